package disk

import (
	"io"
	"os"
	"time"
)

// FS is one mountpath's filesystem. Paths are relative to its root,
// slash-separated and already safe (layout made them); "" or "." is the root.
// Errors are *os.PathError, *os.LinkError or *os.SyscallError around a
// syscall.Errno, so that errors.Is(err, fs.ErrNotExist), syscall.ENOSPC and so
// on hold for every implementation. Safe for concurrent use.
//
// What survives a power cut, for every implementation:
//   - the bytes and length of a file: what was written before the last Sync that
//     succeeded (SyncData: the same, but not attributes);
//   - a file's attributes: what was set before the last Sync that succeeded;
//   - a name (created, linked, renamed, removed): when the directory that holds
//     it was synced afterwards. Until then it may or may not have happened, each
//     name by itself, but a rename is never half: the new name is there with the
//     old one gone, or neither happened;
//   - nothing else.
type FS interface {
	// OpenFile opens a file with the os.O_… flags. Symbolic links are not followed.
	OpenFile(path string, flag int, mode os.FileMode) (File, error)
	// OpenDir opens a directory, to rename into and to sync.
	OpenDir(path string) (Dir, error)

	Link(oldPath, newPath string) error
	Rename(oldPath, newPath string) error // replaces newPath
	Remove(path string) error             // a file; ENOENT if there is none, EISDIR for a directory
	RemoveDir(path string) error          // an empty directory; else ENOTEMPTY
	Mkdir(path string, mode os.FileMode) error

	Stat(path string) (Info, error) // of the name itself: links are not followed
	// ReadDir calls visit for each entry, in no order, until it returns false.
	ReadDir(path string, visit func(Entry) bool) error
	// GetAttr returns the extended attribute (name without "user."); ENODATA if
	// there is none.
	GetAttr(path, name string) ([]byte, error)
	// Space returns what the filesystem has and what is free to us.
	Space() (Space, error)
	// SyncDir makes every change of names in a directory durable.
	SyncDir(path string) error
	// SyncAll makes everything written to the filesystem so far durable (syncfs).
	SyncAll() error
	// Lock takes an exclusive lock on a file, creating it; EWOULDBLOCK (as
	// ErrLocked) if another holds it, in this process or another.
	Lock(path string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt are safe for concurrent use, the
// rest is not.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteDirect writes the pieces one behind the other and returns how many
	// bytes were written. What file system, offset, lengths and memory allow goes
	// past the page cache, in one call; the rest as by WriteAt. For payloads, which
	// are synced at once and seldom read at once. It promises no more than WriteAt
	// does. Not safe for concurrent use with other calls on the file.
	WriteDirect(pieces [][]byte, offset int64) (int64, error)
	// ReadDirect is ReadAt from the disk and not from the page cache, as far as the
	// file system lets it, into memory of any alignment: to see whether the disk
	// answers. What was not synced may be read, too. Not safe for concurrent use with
	// other calls on the file.
	ReadDirect(p []byte, offset int64) (int, error)
	Truncate(size int64) error
	Sync() error     // fsync: bytes, length and attributes are on stable storage
	SyncData() error // fdatasync: bytes and length are
	// Preallocate reserves room for the range without changing the length.
	// ENOSPC tells early; EOPNOTSUPP where it cannot be done.
	Preallocate(offset, length int64) error
	// StartWriteback asks the kernel to begin writing the range; promises nothing.
	StartWriteback(offset, length int64) error
	// Advise tells how the file will be read.
	Advise(Advice) error
	SetAttr(name string, value []byte) error
	GetAttr(name string) ([]byte, error)
	Stat() (Info, error)
	// OS returns the descriptor from which the kernel can send, positioned at 0
	// and the caller's to seek; nil where there is none (memory).
	OS() *os.File
}

// Dir is an open directory. Safe for concurrent use.
type Dir interface {
	io.Closer
	// Receive renames oldPath (relative to the FS's root) to name in this
	// directory, replacing what is there.
	Receive(oldPath, name string) error
	// Sync makes every change of names in this directory durable.
	Sync() error
}

// Advice is how a file will be read.
type Advice uint8

const (
	// Sequential: from the beginning to the end.
	Sequential Advice = iota
	// Random: here and there.
	Random
	// DontNeed: its pages may leave the cache.
	DontNeed
)

// Info is what Stat tells.
type Info struct {
	Dir      bool
	Regular  bool
	Size     int64
	Inode    uint64
	Links    uint64
	Birth    int64 // ns since 1970; 0 where the filesystem has no birth times
	Modified time.Time
	Blocks   int64 // bytes allocated
}

// Entry is one name in a directory. Kind may be unknown (neither Dir nor
// Regular): then Stat tells.
type Entry struct {
	Name    string
	Dir     bool
	Regular bool
}

// Space is what a filesystem has, in bytes and inodes. Device is the same for
// two mountpaths on one filesystem.
type Space struct {
	Device     uint64
	TotalBytes uint64
	FreeBytes  uint64 // to an unprivileged user
	TotalFiles uint64
	FreeFiles  uint64
	ReadOnly   bool
}

// ReadOnly is the flag of OpenFile for reading.
const ReadOnly = os.O_RDONLY
