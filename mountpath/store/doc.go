// Package store keeps objects on one mountpath: its files and its index, which
// outlive the actors that use them. It is plain synchronous code, so that a
// crash test can run it call by call; mountpath puts actors in front of it.
//
// Words: P is the plain file under an object's own name; a work file is a
// payload on its way in; an intent says what a crash may have left half done;
// a reclaim entry says what may be unlinked.
//
//	small    one synced index batch {payload, record}
//	large    work file, attribute, fsync │ link old P to trash, rename over P,
//	         (any goroutine)             │ fsync directories, one synced batch
//	                                     │ (the key's lane, one at a time per key)
//	staged   work file, attribute, fsync,│ one synced batch {record}, which names the file
//	         renamed to its own name,    │
//	         fsync directories           │
//
// Promise: what a method acknowledged with nil is on stable storage at the class
// of the write, and nothing that it did not acknowledge is ever half there.
// Methods that change a key say "in the key's turn": the caller makes sure that
// no two of them run for one key at the same time.
//
// Start with store.go, then put.go and settle.go.
package store
