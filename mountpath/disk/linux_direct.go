package disk

import (
	"errors"
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// leastAlignment is asked of direct writes even where the device would take
	// less: a block of the file system, which is then never written in part.
	leastAlignment = 4096
	// mostPieces is how many pieces go into one system call (IOV_MAX).
	mostPieces = 1024
	// noDirect says that the file system has no direct writes.
	noDirect = -1
)

// WriteDirect implements File with O_DIRECT: the device reads the caller's memory.
// The page cache, which for fresh payloads is only a second copy on the way, is
// left to what is read; see docs/decisions/005.
func (f *linuxFile) WriteDirect(pieces [][]byte, offset int64) (int64, error) {
	direct := f.directBytes(pieces, offset)
	if direct == 0 {
		return writePieces(f, pieces, offset)
	}
	written, err := f.writeDirect(firstBytes(pieces, direct), offset)
	switch {
	case err == nil && written == direct:
	case err != nil && written == 0 && refusesDirect(err):
		f.fs.alignment.Store(noDirect)
	case err != nil:
		return written, err
	}
	n, err := writePieces(f, afterBytes(pieces, written), offset+written)
	return written + n, err
}

// refusesDirect reports whether an error says that the file system cannot, rather
// than that the disk could not.
func refusesDirect(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP)
}

// directBytes returns how much of the pieces, from the first, can be written
// directly: what is aligned on disk and in memory.
func (f *linuxFile) directBytes(pieces [][]byte, offset int64) int64 {
	alignment := int64(f.directAlignment())
	if alignment == noDirect || offset < 0 || offset%alignment != 0 {
		return 0
	}
	direct := int64(0)
	for i, p := range pieces {
		if i == mostPieces || len(p) == 0 || int64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))%alignment != 0 {
			break
		}
		whole := int64(len(p)) / alignment * alignment
		direct += whole
		if whole != int64(len(p)) {
			break
		}
	}
	return direct
}

// directAlignment returns the alignment that the file system asks of direct
// writes, or noDirect. Kernels before 6.1 do not tell, and the first write does.
func (f *linuxFile) directAlignment() int32 {
	if known := f.fs.alignment.Load(); known != 0 {
		return known
	}
	alignment := int32(leastAlignment)
	var stat unix.Statx_t
	err := f.call("statx", func(number int) error {
		return unix.Statx(number, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &stat)
	})
	if err == nil && stat.Mask&unix.STATX_DIOALIGN != 0 {
		if alignment = int32(max(leastAlignment, stat.Dio_mem_align, stat.Dio_offset_align)); stat.Dio_offset_align == 0 {
			alignment = noDirect
		}
	}
	f.fs.alignment.Store(alignment)
	return alignment
}

// writeDirect writes aligned pieces with O_DIRECT set. The flag belongs to the
// descriptor and is taken back, so that other reads and writes need no alignment.
func (f *linuxFile) writeDirect(pieces [][]byte, offset int64) (int64, error) {
	if err := f.setDirect(true); err != nil {
		return 0, err
	}
	alignment := int64(f.directAlignment())
	written := int64(0)
	var err error
	for len(pieces) > 0 && err == nil {
		var n int
		err = f.call("write", func(number int) (err error) {
			n, err = unix.Pwritev(number, pieces, offset+written)
			return err
		})
		if n <= 0 {
			break
		}
		written += int64(n)
		pieces = afterBytes(pieces, int64(n))
		if int64(n)%alignment != 0 {
			break // the rest is no longer aligned
		}
	}
	if taking := f.setDirect(false); err == nil {
		err = taking
	}
	return written, err
}

func (f *linuxFile) setDirect(on bool) error {
	flags := 0 // OpenFile takes no flag that F_SETFL could take away
	if on {
		flags = unix.O_DIRECT
	}
	return f.call("fcntl", func(number int) error {
		_, err := unix.FcntlInt(uintptr(number), unix.F_SETFL, flags)
		return err
	})
}

// ReadDirect implements File with O_DIRECT, through memory of its own, since that has
// to be aligned; where the file system has none, pages that are clean leave the cache
// before they are read.
func (f *linuxFile) ReadDirect(p []byte, offset int64) (int, error) {
	alignment := int64(f.directAlignment())
	if alignment != noDirect && offset >= 0 && offset%alignment == 0 && len(p) > 0 {
		n, err := f.readDirect(p, offset, int(alignment))
		if err == nil || !refusesDirect(err) {
			if err == nil && n < len(p) {
				err = io.EOF
			}
			return n, err
		}
		f.fs.alignment.Store(noDirect)
	}
	if err := f.Advise(DontNeed); err != nil {
		return 0, err
	}
	return f.ReadAt(p, offset)
}

// readDirect reads with O_DIRECT set, up to the end of the file.
func (f *linuxFile) readDirect(p []byte, offset int64, alignment int) (n int, err error) {
	whole := (len(p) + alignment - 1) / alignment * alignment
	room := make([]byte, whole+alignment)
	room = room[alignment-int(uintptr(unsafe.Pointer(unsafe.SliceData(room)))%uintptr(alignment)):][:whole]
	if err := f.setDirect(true); err != nil {
		return 0, err
	}
	for n < whole && err == nil {
		got := 0
		err = f.call("read", func(number int) (err error) {
			got, err = unix.Pread(number, room[n:], offset+int64(n))
			return err
		})
		if got <= 0 {
			break
		}
		if n += got; got%alignment != 0 {
			break // the end of the file
		}
	}
	if taking := f.setDirect(false); err == nil {
		err = taking
	}
	return copy(p, room[:n]), err
}
