// Package plan runs whole nodes of a cluster in the test's own process, over the memory
// provider, and has nodes join, drain and return while clients read and write: nothing is
// lost, no read fails, and what a node does not own any more is not on its disks.
//
// What membership decides when all goes wrong that can is tested in cluster/member; the
// protocol in test/protocol.
//
// Start with world_test.go.
package plan
