// Package kill ends real nodes in the middle of their work, with kill -9 and by
// cutting the power of their filesystem, and compares what they have afterwards
// with what they acknowledged.
//
//	workers ──put, overwrite, multipart, copy, delete──▶ node ──✂
//	   └── model: begun, acknowledged, doubtful          │ restart
//	                     └────────── compared ◀── listings, gets
//
// A worker owns its keys and uploads, over all cycles, so that every cell of the
// model has one writer; keys lie below one another ("k", "k/below") and change
// between the index and files all the time. Payloads follow from a number, so
// that a torn one cannot look whole.
//
// Start with load.go, then inspect.go; the cycles are in kill_test.go and
// power_test.go.
package kill
