// Package storage is what `troupe storage` does with mountpaths while no node
// runs: it finds and locks them, reads the node's documents, and hands both to
// mountpath/offline.
//
// Start with set.go.
package storage
