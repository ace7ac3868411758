// Package consul runs a real Consul server for suites that need one: a process of its
// own, one server that is its own cluster, with its data in a directory of the test,
// on loopback ports that are free. It is killed with the test.
//
//	binary, err := consul.Binary()
//	server, err := consul.Start(ctx, consul.Config{Binary: binary, Dir: dir})
//	…            server.Address
//	server.Kill()          // kill -9
//	server.Restart(ctx)    // same data, same ports
//	server.Wipe()          // while it is not running
//
// `make consul` builds the program; one on PATH is used first.
//
// Start with server.go.
package consul
