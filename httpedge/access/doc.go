// Package access writes one line for every request: who asked what, what was
// answered, and how long that took.
//
//	listener ──Begin──▶ Record ◀── s3api, auth, gateway say what they know
//	                      │ the answer has been written: Close
//	                      ▼
//	                   a line ──▶ queue ──▶ writer ──▶ file or standard output
//
// Promise: the road of a request never waits for the log. When the queue is full
// the line is dropped and counted; a disk that takes no lines costs lines.
//
// What would let somebody else act in a client's name is not written: signatures
// and session tokens of presigned URLs are blanked, headers that authorise are
// never looked at.
//
// Start with Log, then Record.
package access
