package httpedge

import (
	"io/fs"
	"syscall"
)

// inodeOf returns the number of a file's inode; 0 if the system tells none.
func inodeOf(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
