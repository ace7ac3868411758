package disk

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Linux is the FS of a directory of the operating system. It holds a descriptor
// of its root and calls everything relative to it, so that it stays on the
// filesystem it was opened on, whatever is mounted over the path later. A
// symbolic link as the last component is never followed: opening one fails with
// ELOOP.
//
// Errors name the path with the root. Safe for concurrent use.
type Linux struct {
	path      string // of the root, for errors
	root      *descriptor
	buffers   sync.Pool    // *[]byte of direntBytes, for ReadDir
	alignment atomic.Int32 // of direct writes, in bytes; 0: not known yet; noDirect: there are none
}

// direntBytes is the buffer of one getdents call: about a thousand names of 20
// bytes, the size that glibc uses too.
const direntBytes = 32 << 10

// NewLinux opens the FS at root, which must be an existing directory. The caller
// closes it.
func NewLinux(root string) (*Linux, error) {
	var number int
	err := retry(func() (err error) {
		number, err = unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	return &Linux{
		path: root,
		root: newDescriptor(number),
		buffers: sync.Pool{New: func() any {
			buffer := make([]byte, direntBytes)
			return &buffer
		}},
	}, nil
}

// Close gives the root's descriptor back; later calls fail with EBADF. Files and
// directories that are open stay so.
func (l *Linux) Close() error {
	if err := l.root.Close(); err != nil {
		return &os.PathError{Op: "close", Path: l.path, Err: err}
	}
	return nil
}

// full returns the path with the root, for errors.
func (l *Linux) full(path string) string {
	if path == "" || path == "." {
		return l.path
	}
	return l.path + "/" + path
}

func (l *Linux) pathError(op, path string, err error) error {
	return &os.PathError{Op: op, Path: l.full(path), Err: err}
}

func (l *Linux) linkError(op, oldPath, newPath string, err error) error {
	return &os.LinkError{Op: op, Old: l.full(oldPath), New: l.full(newPath), Err: err}
}

// at checks the path and runs the call with the root's descriptor until no
// signal interrupts it.
func (l *Linux) at(path string, call func(root int, path string) error) error {
	path, err := checkPath(path)
	if err != nil {
		return err
	}
	root, err := l.root.use()
	if err != nil {
		return err
	}
	err = retry(func() error { return call(root, path) })
	if closing := l.root.release(); err == nil {
		err = closing
	}
	return err
}

// at2 is at for two paths.
func (l *Linux) at2(oldPath, newPath string, call func(root int, oldPath, newPath string) error) error {
	newPath, err := checkPath(newPath)
	if err != nil {
		return err
	}
	return l.at(oldPath, func(root int, oldPath string) error { return call(root, oldPath, newPath) })
}

// open returns a new descriptor number, the caller's to close.
func (l *Linux) open(path string, flag int, mode os.FileMode) (int, error) {
	number := -1
	err := l.at(path, func(root int, path string) (err error) {
		number, err = unix.Openat(root, path, flag|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(mode.Perm()))
		return err
	})
	return number, err
}

// OpenFile implements FS. It refuses directories with EISDIR, what is neither
// file nor directory with EINVAL, and O_APPEND, O_SYNC and whatever is not an
// access mode, O_CREATE, O_EXCL or O_TRUNC with EINVAL.
func (l *Linux) OpenFile(path string, flag int, mode os.FileMode) (File, error) {
	if err := checkFlag(flag); err != nil {
		return nil, l.pathError("open", path, err)
	}
	number, err := l.open(path, flag|unix.O_NOCTTY, mode)
	if err != nil {
		return nil, l.pathError("open", path, err)
	}
	var stat unix.Stat_t
	if err = retry(func() error { return unix.Fstat(number, &stat) }); err == nil {
		switch stat.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			// A blocking descriptor: os.NewFile leaves the poller alone.
			return &linuxFile{fs: l, path: path, file: os.NewFile(uintptr(number), path), number: number}, nil
		case unix.S_IFDIR:
			err = syscall.EISDIR
		default:
			err = syscall.EINVAL
		}
	}
	return nil, l.pathError("open", path, abandon(number, err))
}

// OpenDir implements FS.
func (l *Linux) OpenDir(path string) (Dir, error) {
	number, err := l.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, l.pathError("open", path, err)
	}
	return &linuxDir{fs: l, path: path, descriptor: newDescriptor(number)}, nil
}

// Link implements FS.
func (l *Linux) Link(oldPath, newPath string) error {
	err := l.at2(oldPath, newPath, func(root int, oldPath, newPath string) error {
		return unix.Linkat(root, oldPath, root, newPath, 0)
	})
	if err != nil {
		return l.linkError("link", oldPath, newPath, err)
	}
	return nil
}

// Rename implements FS.
func (l *Linux) Rename(oldPath, newPath string) error {
	err := l.at2(oldPath, newPath, func(root int, oldPath, newPath string) error {
		return renameat(root, oldPath, root, newPath)
	})
	if err != nil {
		return l.linkError("rename", oldPath, newPath, err)
	}
	return nil
}

// renameat renames, and says ENOTEMPTY where the kernel says EEXIST: POSIX has
// both for a directory that is to be replaced and is not empty, and XFS differs
// from ext4.
func renameat(oldDirectory int, oldPath string, newDirectory int, newPath string) error {
	err := unix.Renameat(oldDirectory, oldPath, newDirectory, newPath)
	if err == unix.EEXIST {
		return syscall.ENOTEMPTY
	}
	return err
}

// Remove implements FS.
func (l *Linux) Remove(path string) error {
	err := l.at(path, func(root int, path string) error { return unix.Unlinkat(root, path, 0) })
	if err != nil {
		return l.pathError("remove", path, err)
	}
	return nil
}

// RemoveDir implements FS.
func (l *Linux) RemoveDir(path string) error {
	err := l.at(path, func(root int, path string) error {
		return unix.Unlinkat(root, path, unix.AT_REMOVEDIR)
	})
	if err != nil {
		return l.pathError("rmdir", path, err)
	}
	return nil
}

// Mkdir implements FS.
func (l *Linux) Mkdir(path string, mode os.FileMode) error {
	err := l.at(path, func(root int, path string) error {
		return unix.Mkdirat(root, path, uint32(mode.Perm()))
	})
	if err != nil {
		return l.pathError("mkdir", path, err)
	}
	return nil
}

// Stat implements FS.
func (l *Linux) Stat(path string) (Info, error) {
	var stat unix.Statx_t
	err := l.at(path, func(root int, path string) error {
		return unix.Statx(root, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stat)
	})
	if err != nil {
		return Info{}, l.pathError("stat", path, err)
	}
	return linuxInfo(&stat), nil
}

// ReadDir implements FS. It asks for no more than what the directory holds: the
// kind of an entry may be unknown.
func (l *Linux) ReadDir(path string, visit func(Entry) bool) (err error) {
	number, err := l.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return l.pathError("readdir", path, err)
	}
	buffer := l.buffers.Get().(*[]byte)
	defer func() { // visit may panic
		l.buffers.Put(buffer)
		if closing := closeDescriptor(number); err == nil && closing != nil {
			err = l.pathError("readdir", path, closing)
		}
	}()
	for {
		var filled int
		err := retry(func() (err error) {
			filled, err = unix.Getdents(number, *buffer)
			return err
		})
		if err != nil {
			return l.pathError("readdir", path, err)
		}
		if filled == 0 || !visitDirents((*buffer)[:filled], visit) {
			return nil
		}
	}
}

// visitDirents calls visit for each linux_dirent64 of what getdents returned,
// but "." and "..", and returns false when visit did. Format, getdents(2): inode
// and offset of 8 bytes each, length of the entry in 2, kind in 1, name and NUL.
func visitDirents(dirents []byte, visit func(Entry) bool) bool {
	const lengthOffset, kindOffset, nameOffset = 16, 18, 19
	for len(dirents) > 0 {
		next := binary.NativeEndian.Uint16(dirents[lengthOffset:])
		kind, name := dirents[kindOffset], dirents[nameOffset:next]
		dirents = dirents[next:]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		entry := Entry{
			Name:    string(name),
			Dir:     kind == unix.DT_DIR,
			Regular: kind == unix.DT_REG,
		}
		if entry.Name == "." || entry.Name == ".." {
			continue
		}
		if !visit(entry) {
			return false
		}
	}
	return true
}

// SyncDir implements FS.
func (l *Linux) SyncDir(path string) error {
	number, err := l.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return l.pathError("syncdir", path, err)
	}
	err = retry(func() error { return unix.Fsync(number) })
	if closing := closeDescriptor(number); err == nil {
		err = closing
	}
	if err != nil {
		return l.pathError("syncdir", path, err)
	}
	return nil
}

// SyncAll implements FS with syncfs(2). Linux tells errors of writing back since
// version 5.8; the call waits for what others have written there, too.
func (l *Linux) SyncAll() error {
	if err := l.at(".", func(root int, _ string) error { return unix.Syncfs(root) }); err != nil {
		return l.pathError("syncall", ".", err)
	}
	return nil
}

// GetAttr implements FS.
func (l *Linux) GetAttr(path, name string) ([]byte, error) {
	// There is no getxattr relative to a descriptor before Linux 6.13; O_NONBLOCK,
	// so that a pipe does not wait for its other end.
	number, err := l.open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, l.pathError("getattr", path, err)
	}
	value, err := getAttr(number, name)
	if closing := closeDescriptor(number); err == nil {
		err = closing
	}
	if err != nil {
		return nil, l.pathError("getattr", path, err)
	}
	return value, nil
}

// Space implements FS. TotalFiles is 0 where the filesystem sets no limit to
// their number (Btrfs).
func (l *Linux) Space() (Space, error) {
	var stat unix.Stat_t
	var statfs unix.Statfs_t
	err := l.at(".", func(root int, _ string) error {
		if err := unix.Fstat(root, &stat); err != nil {
			return err
		}
		return unix.Fstatfs(root, &statfs)
	})
	if err != nil {
		return Space{}, l.pathError("statfs", ".", err)
	}
	unit := blockUnit(&statfs)
	return Space{
		Device:     stat.Dev,
		TotalBytes: statfs.Blocks * unit,
		FreeBytes:  statfs.Bavail * unit,
		TotalFiles: statfs.Files,
		FreeFiles:  statfs.Ffree,
		ReadOnly:   statfs.Flags&unix.ST_RDONLY != 0,
	}, nil
}

// blockUnit returns the bytes in which statfs counts: the fragment size, or the
// block size where a filesystem has none.
func blockUnit(statfs *unix.Statfs_t) uint64 {
	if statfs.Frsize > 0 {
		return uint64(statfs.Frsize)
	}
	return uint64(statfs.Bsize)
}

// Lock implements FS with flock(2): the lock goes with the closer, or with the
// process. The file stays; nobody may remove it. On a read-only filesystem it
// must be there.
func (l *Linux) Lock(path string) (io.Closer, error) {
	number, err := l.open(path, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err == unix.EROFS || err == unix.EACCES { // who may only read locks what is there
		if existing, openErr := l.open(path, unix.O_RDONLY, 0); openErr == nil {
			number, err = existing, nil
		}
	}
	if err != nil {
		return nil, l.pathError("lock", path, err)
	}
	err = retry(func() error { return unix.Flock(number, unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		if err == unix.EWOULDBLOCK {
			err = ErrLocked
		}
		return nil, l.pathError("lock", path, abandon(number, err))
	}
	return &linuxLock{fs: l, path: path, descriptor: newDescriptor(number)}, nil
}

// linuxLock is a lock that is held.
type linuxLock struct {
	fs         *Linux
	path       string
	descriptor *descriptor
}

// Close gives the lock up; EBADF the second time.
func (l *linuxLock) Close() error {
	if err := l.descriptor.Close(); err != nil {
		return l.fs.pathError("unlock", l.path, err)
	}
	return nil
}
