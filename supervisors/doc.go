// Package supervisors puts a node together: it opens the mountpaths, reads what
// the node agreed on with itself, spawns the tree, opens the listeners, and takes
// all of it down again in order. It knows everyone and decides nothing.
//
//	node
//	├── mountpaths   d0 d1 …, each with lanes, transfers and a keeper
//	├── buckets      an actor per bucket
//	└── edges        s3, native
//
// Start with Start in node.go, then mounts.go.
package supervisors
