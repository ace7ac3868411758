// Package transition runs a whole node in the test's process while its set of
// mountpaths changes under load: mountpaths are added, removed and changed back, the
// node is stopped in the middle, and nothing that was acknowledged may be lost,
// stale or doubled.
//
// Words: a history is a random run of writes, reads and listings by many workers,
// recorded in a test/model; a change is one transition of the set.
//
// Promise: at the end every key is on the mountpath that HRW says and on no other,
// and a directory that has left holds nothing of the node's but its format.
//
// Start with transition_test.go, then history_test.go.
package transition
