// Package process runs Troupe as its users do: the real binary, in a process
// of its own, with real directories and real ports. It serves the suites that
// need a process to kill (clients, demo, durability) and nothing else; what can
// be tested in one process is tested there.
//
//	binary, err := process.Build(ctx, dir)
//	node, err := process.Start(ctx, process.Config{Binary: binary, Dir: dir})
//	…            node.S3, node.Native, node.Mountpaths
//	node.Kill()            // kill -9
//	node.Restart(ctx)      // same directories, same ports
//	node.Stop(ctx)         // SIGTERM; an exit code other than 0 is an error
//
// A node lives at most as long as the test process: the kernel kills it when
// the test dies.
//
// Tests take their nodes from fixture.go: ForTest, ClientForTest, AuthorityForTest.
//
// Start with node.go.
package process
