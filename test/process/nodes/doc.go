// Package nodes runs a cluster as its users do: a real Consul, and `troupe serve` in a
// process of its own for each node, with real directories and real ports. Single nodes
// are package process's, and each node here is one of those.
//
//	c := nodes.ForTest(t, nodes.Config{})          // three nodes, up, with keys of their own
//	c.Consul.Kill(), c.Consul.Restart(ctx)
//	c.Nodes[1].Kill()                              // kill -9
//	c.AwaitStates(ctx, "up down up")               // the map, in the order of Nodes
//	c.Nodes[1].Restart(ctx)                        // same data, same ports, until it is ready
//	c.Nodes[2].Pause(ctx), c.Nodes[2].Continue()
//	c.InCharge(ctx, "bucket", "key")               // which of Nodes
//
// Where there is no Consul, a test that needs one is skipped with what to do.
//
// Start with cluster.go; network.go puts each node into a network namespace of its own,
// whose links can be cut.
package nodes
