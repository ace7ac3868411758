// Package disk is the only place that calls the operating system's files.
//
// FS is one mountpath's filesystem; it has two implementations, Linux and Mem,
// which pass one conformance suite. Mem is memory that crashes: Crash returns
// what a power cut would have left, as ext4 and XFS are allowed to leave it.
// Faulty wraps any FS and breaks its operations on purpose, by operation, path
// and count. Recorder wraps any FS and writes a journal of what changes it, which
// Replay does again in a Mem, to crash it there.
//
// Start with FS, which says what survives a power cut.
package disk
