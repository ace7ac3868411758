// Package recording is what `troupe prove` makes of a node whose disks were recorded:
// the directories of its mountpaths as a power cut may have left them, at any moment of
// its life.
//
//	node ──disk.Recorder──▶ journal ──disk.Replay──▶ memory ──Crash──▶ directories
//
// What a power cut may leave is not said here but in mountpath/disk, by the same code
// that every crash test of Troupe runs on.
//
// Start with recording.go.
package recording
