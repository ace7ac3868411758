// Package cluster checks what keeps a cluster together, package cluster of the
// product, over every provider that there is. Each test is written once and runs over
// both: the memory of a process (embedded.Memory), and real Consul, in servers that
// the test starts on ports of their own and kills.
//
// A world is a provider with what is needed to break it. What only one of the two can
// be made to do is in a file of its own: memory_test.go, consul_test.go.
//
// Start with world_test.go.
package cluster
