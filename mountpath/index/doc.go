// Package index is one mountpath's ordered index: names, metadata and small
// payloads, in a Pebble database that lives on the mountpath's own disk.FS.
//
// It knows keys and values and nothing of what they mean. What it adds to
// Pebble is what a disk that fails needs:
//
//	lanes ──Commit──▶ queue ──▶ committer ──ApplyNoSyncWait──▶ Pebble ──▶ adapter ──▶ disk.FS
//	  ▲                            │ applied                                │
//	  └───── answer ◀── answerer ◀─┘ SyncWait             an error of the log, the manifest
//	  └───── dead   ◀──────────────── instance ◀────────── or a marker: dead, and parked
//
// Promise: a commit that returned nil is on stable storage, whole; one that
// did not is there whole or not at all. What Get followed by Settled, or Scan,
// shows is on stable storage too: Pebble shows a batch before its sync, so keys
// in flight are kept in a table and a scan waits for what it may have seen.
//
// An index that fails never ends the process. The adapter never hands an error
// of the write-ahead log, the manifest, a marker, the options or a directory
// sync to Pebble, which would panic or hang holding locks: it declares the
// instance dead and parks the goroutine that asked, for ever. Reads go on. A
// dead instance writes nothing any more and compacts nothing (see scheduler). Pebble
// never closes it; Close of it closes its files and releases its lock instead, and
// a new one over the same directory may follow: see Reopener.
//
// Start with index.go, then commit.go and adapter.go.
package index
