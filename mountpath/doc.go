// Package mountpath puts actors in front of a node's disks.
//
//	mountpaths            one for one; tells everyone where lanes are (Roster)
//	└── d0 d1 …           coordinator of one mountpath: admission, state
//	    ├── w0…           write lanes: a key always meets the same one
//	    ├── r0…           read lanes
//	    ├── keeper        space, reclaiming, checkpoints: blocks so that d0 need not
//	    └── t…            transfers: one large payload each
//
// The store (files and index) outlives its actors: a restarted lane is put in
// front of the same store. A lane may block on its own disk and on nothing else.
//
// Promise: writes of one key happen one at a time, in the order they asked, and
// what fails here answers with a retryable error and costs nothing else.
//
// The set of mountpaths changes while the node runs: set.go, transition.go, and who
// joins, leaves and is retired; movejob.go has the job that moves.
//
// Start with mountpaths.go, then lane.go and transfer.go; store has what they do.
package mountpath
