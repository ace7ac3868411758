package disk

import (
	"io"
	"os"
)

// faultyFile is an open file of a Faulty.
type faultyFile struct {
	fs    *Faulty
	path  string
	inner File
}

func (f *faultyFile) ReadAt(p []byte, offset int64) (n int, err error) {
	o := f.fs.begin(Operation{Call: CallRead, Path: f.path, Offset: offset, Length: int64(len(p))})
	if o.err != nil {
		return 0, o.failure()
	}
	n, err = f.inner.ReadAt(p, offset)
	for _, corrupt := range o.corrupt {
		corrupt(p[:n], offset)
	}
	return n, err
}

// ReadDirect is a read like any other.
func (f *faultyFile) ReadDirect(p []byte, offset int64) (n int, err error) {
	o := f.fs.begin(Operation{Call: CallRead, Path: f.path, Offset: offset, Length: int64(len(p))})
	if o.err != nil {
		return 0, o.failure()
	}
	n, err = f.inner.ReadDirect(p, offset)
	for _, corrupt := range o.corrupt {
		corrupt(p[:n], offset)
	}
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, offset int64) (n int, err error) {
	o := f.fs.begin(Operation{Call: CallWrite, Path: f.path, Offset: offset, Length: int64(len(p))})
	if o.err == nil && o.tear {
		if _, err := f.inner.WriteAt(p[:min(o.keep, len(p))], offset); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if o.err == nil {
		return f.inner.WriteAt(p, offset)
	}
	if !o.afterwards {
		p = p[:min(o.bytes, len(p))]
	}
	if len(p) > 0 {
		if n, err = f.inner.WriteAt(p, offset); err != nil {
			return n, err
		}
	}
	return n, o.failure()
}

// WriteDirect is one operation, as the kernel's is. What a fault lets through of
// it ends within a piece.
func (f *faultyFile) WriteDirect(pieces [][]byte, offset int64) (n int64, err error) {
	length := int64(0)
	for _, p := range pieces {
		length += int64(len(p))
	}
	o := f.fs.begin(Operation{Call: CallWrite, Path: f.path, Offset: offset, Length: length})
	if o.err == nil && o.tear {
		if kept := min(int64(o.keep), length); kept > 0 {
			if _, err := f.inner.WriteDirect(firstBytes(pieces, kept), offset); err != nil {
				return 0, err
			}
		}
		return length, nil
	}
	if o.err == nil {
		return f.inner.WriteDirect(pieces, offset)
	}
	if !o.afterwards {
		pieces = firstBytes(pieces, int64(o.bytes))
	}
	if n, err = f.inner.WriteDirect(pieces, offset); err != nil {
		return n, err
	}
	return n, o.failure()
}

func (f *faultyFile) Close() error {
	o := f.fs.begin(Operation{Call: CallClose, Path: f.path})
	o.afterwards = true
	return o.do(f.inner.Close)
}

func (f *faultyFile) Truncate(size int64) error {
	o := f.fs.begin(Operation{Call: CallTruncate, Path: f.path, Length: size})
	return o.do(func() error { return f.inner.Truncate(size) })
}

func (f *faultyFile) Sync() error {
	o := f.fs.begin(Operation{Call: CallSync, Path: f.path})
	o.drop(f.inner)
	return o.sync(f.inner.Sync)
}

func (f *faultyFile) SyncData() error {
	o := f.fs.begin(Operation{Call: CallSyncData, Path: f.path})
	o.drop(f.inner)
	return o.sync(f.inner.SyncData)
}

// dropUnsynced passes it on, where one Faulty wraps another.
func (f *faultyFile) dropUnsynced() {
	if inner, ok := f.inner.(dropper); ok {
		inner.dropUnsynced()
	}
}

func (f *faultyFile) Preallocate(offset, length int64) error {
	o := f.fs.begin(Operation{Call: CallPreallocate, Path: f.path, Offset: offset, Length: length})
	return o.do(func() error { return f.inner.Preallocate(offset, length) })
}

func (f *faultyFile) StartWriteback(offset, length int64) error {
	o := f.fs.begin(Operation{Call: CallWriteback, Path: f.path, Offset: offset, Length: length})
	return o.do(func() error { return f.inner.StartWriteback(offset, length) })
}

func (f *faultyFile) Advise(advice Advice) error {
	o := f.fs.begin(Operation{Call: CallAdvise, Path: f.path})
	return o.do(func() error { return f.inner.Advise(advice) })
}

func (f *faultyFile) SetAttr(name string, value []byte) error {
	o := f.fs.begin(Operation{Call: CallSetAttr, Path: f.path, Attribute: name, Length: int64(len(value))})
	return o.do(func() error { return f.inner.SetAttr(name, value) })
}

func (f *faultyFile) GetAttr(name string) (value []byte, err error) {
	o := f.fs.begin(Operation{Call: CallGetAttr, Path: f.path, Attribute: name})
	err = o.do(func() (err error) {
		value, err = f.inner.GetAttr(name)
		return err
	})
	return value, err
}

func (f *faultyFile) Stat() (info Info, err error) {
	o := f.fs.begin(Operation{Call: CallStat, Path: f.path})
	err = o.do(func() (err error) {
		info, err = f.inner.Stat()
		return err
	})
	return info, err
}

// OS returns nil while a fault is about reads of this file: what the kernel
// sends by itself, no fault can touch.
func (f *faultyFile) OS() *os.File {
	if f.fs.readsAreFaulty(f.path) {
		return nil
	}
	return f.inner.OS()
}

// faultyDir is an open directory of a Faulty.
type faultyDir struct {
	fs    *Faulty
	path  string
	inner Dir
}

func (d *faultyDir) Receive(oldPath, name string) error {
	o := d.fs.begin(Operation{Call: CallReceive, Path: oldPath, NewPath: join(d.path, name)})
	return o.do(func() error { return d.inner.Receive(oldPath, name) })
}

func (d *faultyDir) Sync() error {
	o := d.fs.begin(Operation{Call: CallSyncDir, Path: d.path})
	return o.sync(d.inner.Sync)
}

func (d *faultyDir) Close() error {
	o := d.fs.begin(Operation{Call: CallClose, Path: d.path})
	o.afterwards = true
	return o.do(d.inner.Close)
}

// faultyLock is a lock that is held through a Faulty.
type faultyLock struct {
	fs    *Faulty
	path  string
	inner io.Closer
}

func (l *faultyLock) Close() error {
	o := l.fs.begin(Operation{Call: CallClose, Path: l.path})
	o.afterwards = true
	return o.do(l.inner.Close)
}
