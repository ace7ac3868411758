package disk

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linuxFile is a regular file of the operating system. Reads and writes go
// through os.File, which handles signals, short writes and Close; what os.File
// does not have goes to the number.
type linuxFile struct {
	fs     *Linux
	path   string
	file   *os.File // owns the number; blocking, so outside the poller
	number int      // -1 after Close
}

func (f *linuxFile) pathError(op string, err error) error {
	if errors.Is(err, os.ErrClosed) {
		err = syscall.EBADF
	}
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return f.fs.pathError(op, f.path, err)
}

// call runs a system call on the number until no signal interrupts it.
func (f *linuxFile) call(op string, call func(number int) error) error {
	err := retry(func() error { return call(f.number) })
	runtime.KeepAlive(f.file)
	if err != nil {
		return f.pathError(op, err)
	}
	return nil
}

func (f *linuxFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, f.pathError("read", syscall.EINVAL)
	}
	n, err := f.file.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		err = f.pathError("read", err)
	}
	return n, err
}

func (f *linuxFile) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, f.pathError("write", syscall.EINVAL)
	}
	n, err := f.file.WriteAt(p, offset)
	if err != nil {
		err = f.pathError("write", err)
	}
	return n, err
}

func (f *linuxFile) Close() error {
	f.number = -1
	if err := f.file.Close(); err != nil {
		return f.pathError("close", err)
	}
	return nil
}

func (f *linuxFile) Truncate(size int64) error {
	return f.call("truncate", func(number int) error { return unix.Ftruncate(number, size) })
}

func (f *linuxFile) Sync() error { return f.call("sync", unix.Fsync) }

func (f *linuxFile) SyncData() error { return f.call("syncdata", unix.Fdatasync) }

// Preallocate asks for the free space first and gives back what a failed
// attempt has taken: ext4 allocates what there is before it says ENOSPC, keeps
// it, and so fills the disk for everybody.
func (f *linuxFile) Preallocate(offset, length int64) error {
	return f.call("preallocate", func(number int) error {
		var stat unix.Stat_t
		if err := unix.Fstat(number, &stat); err != nil {
			return err
		}
		var statfs unix.Statfs_t
		if err := unix.Fstatfs(number, &statfs); err != nil {
			return err
		}
		if length > 0 && uint64(length) > statfs.Bavail*blockUnit(&statfs)+uint64(stat.Blocks)*512 {
			return syscall.ENOSPC
		}
		err := unix.Fallocate(number, unix.FALLOC_FL_KEEP_SIZE, offset, length)
		if err == unix.ENOSPC {
			if giving := retry(func() error { return unix.Ftruncate(number, stat.Size) }); giving != nil {
				return errors.Join(err, giving)
			}
		}
		return err
	})
}

func (f *linuxFile) StartWriteback(offset, length int64) error {
	return f.call("writeback", func(number int) error {
		return unix.SyncFileRange(number, offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
}

func (f *linuxFile) Advise(advice Advice) error {
	var kernel int
	switch advice {
	case Sequential:
		kernel = unix.FADV_SEQUENTIAL
	case Random:
		kernel = unix.FADV_RANDOM
	case DontNeed:
		kernel = unix.FADV_DONTNEED
	default:
		return f.pathError("advise", syscall.EINVAL)
	}
	return f.call("advise", func(number int) error { return unix.Fadvise(number, 0, 0, kernel) })
}

func (f *linuxFile) SetAttr(name string, value []byte) error {
	return f.call("setattr", func(number int) error {
		return unix.Fsetxattr(number, attributePrefix+name, value, 0)
	})
}

func (f *linuxFile) GetAttr(name string) (value []byte, err error) {
	err = f.call("getattr", func(number int) (err error) {
		value, err = getAttr(number, name)
		return err
	})
	return value, err
}

func (f *linuxFile) Stat() (Info, error) {
	var stat unix.Statx_t
	err := f.call("stat", func(number int) error {
		return unix.Statx(number, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stat)
	})
	if err != nil {
		return Info{}, err
	}
	return linuxInfo(&stat), nil
}

func (f *linuxFile) OS() *os.File { return f.file }

// linuxInfo translates what statx tells.
func linuxInfo(stat *unix.Statx_t) Info {
	info := Info{
		Dir:      stat.Mode&unix.S_IFMT == unix.S_IFDIR,
		Regular:  stat.Mode&unix.S_IFMT == unix.S_IFREG,
		Size:     int64(stat.Size),
		Inode:    stat.Ino,
		Links:    uint64(stat.Nlink),
		Modified: time.Unix(stat.Mtime.Sec, int64(stat.Mtime.Nsec)),
		Blocks:   int64(stat.Blocks) * 512,
	}
	if stat.Mask&unix.STATX_BTIME != 0 {
		info.Birth = stat.Btime.Sec*int64(time.Second) + int64(stat.Btime.Nsec)
	}
	return info
}
