package index

import (
	"errors"
	"io"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// adapterFile is a disk.File as Pebble wants it: with a position for Read and
// one for Write. As vfs.File says, one Write or Sync at a time; ReadAt may be
// called concurrently.
type adapterFile struct {
	adapter  *adapter
	name     string
	file     disk.File
	fd       uintptr
	class    class
	manifest bool // and written: what is synced of it is noted
	readOnly bool // opened by Open: nothing of it can be lost, errors are returned

	readOffset  int64
	writeOffset int64  // of what was handed to the disk
	started     int64  // write-back was started below
	buffer      []byte // of a table or blob: written, but not handed to the disk yet; nil: none
}

// bufferBytes is what a table or blob collects before it is handed to the disk.
// Pebble writes block by block, and a call for each 8 KiB costs more than the
// bytes do. Only files being written have a buffer: four for each index at most.
const bufferBytes = 128 << 10

var _ vfs.File = (*adapterFile)(nil)

// newAdapterFile takes ownership of a file that was opened in a call that is
// counted, and is still.
func newAdapterFile(a *adapter, name string, file disk.File) *adapterFile {
	a.opened.add(file)
	f := &adapterFile{adapter: a, name: name, file: file, fd: vfs.InvalidFd, class: classOf(name)}
	_, f.manifest = manifestNumber(path.Base(name))
	if osFile := file.OS(); osFile != nil {
		f.fd = osFile.Fd()
	}
	return f
}

// Close implements vfs.File.
func (f *adapterFile) Close() error {
	if f.readOnly {
		return f.adapter.close(f.file)
	}
	flushErr := f.flush()
	f.recycle()
	f.adapter.instance.beginWrite()
	err := f.adapter.opened.close(f.file)
	f.adapter.instance.endWrite()
	if flushErr != nil {
		return flushErr
	}
	return f.failed(err)
}

// flush hands the buffer to the disk. A blob waits for room: what was not
// written is not lost, and there is no error that Pebble would survive. On a dead
// instance the next write parks.
func (f *adapterFile) flush() error {
	for len(f.buffer) > 0 {
		n, err := f.writeAt(f.buffer, f.writeOffset)
		f.writeOffset += int64(n)
		f.buffer = f.buffer[:copy(f.buffer, f.buffer[n:])]
		switch {
		case err == nil:
		case f.class == blob && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)):
			f.adapter.instance.trouble(err)
			f.adapter.instance.hold()
		default:
			return f.failed(err)
		}
	}
	return nil
}

// recycle gives the buffer back.
func (f *adapterFile) recycle() {
	if f.buffer != nil {
		buffer := (*[bufferBytes]byte)(f.buffer[:bufferBytes])
		f.buffer = nil
		f.adapter.buffers.Put(buffer)
	}
}

// Read implements vfs.File.
func (f *adapterFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.ReadAt(p, f.readOffset)
	f.readOffset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *adapterFile) ReadAt(p []byte, offset int64) (int, error) {
	counter, err := f.adapter.instance.beginRead()
	if err != nil {
		return 0, err
	}
	n, err := f.file.ReadAt(p, offset)
	f.adapter.instance.endRead(counter)
	if err != nil && err != io.EOF && f.class != critical && inBackground() {
		f.adapter.instance.hold()
	}
	return n, err
}

// Write implements vfs.File: it appends at the position.
func (f *adapterFile) Write(p []byte) (int, error) {
	if f.class != critical && !f.readOnly {
		return f.collect(p)
	}
	n, err := f.WriteAt(p, f.writeOffset)
	f.writeOffset += int64(n)
	return n, err
}

// collect appends to the buffer, handing it to the disk whenever it is full.
func (f *adapterFile) collect(p []byte) (int, error) {
	if f.buffer == nil {
		f.buffer = f.adapter.buffers.Get().(*[bufferBytes]byte)[:0]
	}
	written := 0
	for len(p) > 0 {
		if len(f.buffer) == bufferBytes {
			if err := f.flush(); err != nil {
				return written, err
			}
		}
		n := copy(f.buffer[len(f.buffer):bufferBytes], p)
		f.buffer = f.buffer[:len(f.buffer)+n]
		p = p[n:]
		written += n
	}
	return written, nil
}

// WriteAt implements vfs.File.
func (f *adapterFile) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.writeAt(p, offset)
	return n, f.failed(err)
}

func (f *adapterFile) writeAt(p []byte, offset int64) (int, error) {
	f.adapter.instance.beginWrite()
	n, err := f.file.WriteAt(p, offset)
	f.adapter.instance.endWrite()
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// failed treats the outcome of a call on an open file that is written: Pebble
// survives it for tables only.
func (f *adapterFile) failed(err error) error {
	if err == nil {
		return nil
	}
	if f.class != table {
		f.adapter.instance.die(err)
		f.adapter.instance.park()
	}
	f.adapter.instance.hold()
	return err
}

// Preallocate implements vfs.File. Pebble ignores its error: to have no room
// yet is not to have failed.
func (f *adapterFile) Preallocate(offset, length int64) error {
	f.adapter.instance.beginWrite()
	defer f.adapter.instance.endWrite()
	return f.file.Preallocate(offset, length)
}

// Stat implements vfs.File. Pebble panics if it cannot learn the size of a log
// that it is about to write again.
func (f *adapterFile) Stat() (vfs.FileInfo, error) {
	var info disk.Info
	counter, err := f.adapter.instance.beginRead()
	if err == nil {
		info, err = f.file.Stat()
		f.adapter.instance.endRead(counter)
	}
	if err != nil {
		if !f.readOnly {
			return nil, f.failed(err)
		}
		return nil, err
	}
	return fileInfo{name: f.adapter.PathBase(f.name), info: info}, nil
}

// Sync implements vfs.File.
func (f *adapterFile) Sync() error {
	if err := f.flush(); err != nil {
		return err
	}
	f.adapter.instance.beginWrite()
	err := f.file.Sync()
	f.adapter.instance.endWrite()
	return f.synced(err)
}

// SyncData implements vfs.File.
func (f *adapterFile) SyncData() error {
	if err := f.flush(); err != nil {
		return err
	}
	f.adapter.instance.beginWrite()
	err := f.file.SyncData()
	f.adapter.instance.endWrite()
	return f.synced(err)
}

// synced treats the outcome of a sync. What is synced of a manifest is noted; a
// note that cannot be written only leaves the last record of it unguarded.
func (f *adapterFile) synced(err error) error {
	if err != nil || !f.manifest {
		return f.failed(err)
	}
	f.adapter.instance.beginWrite()
	err = noteSynced(f.adapter.disk, f.name, f.writeOffset)
	f.adapter.instance.endWrite()
	if err != nil {
		f.adapter.instance.trouble(err)
	}
	return nil
}

// SyncTo implements vfs.File: it starts write-back of what was not started
// before and promises nothing. Where that cannot be done nothing is lost: the
// sync at the end does it all.
func (f *adapterFile) SyncTo(length int64) (fullSync bool, err error) {
	if err := f.flush(); err != nil {
		return false, err
	}
	if length <= f.started {
		return false, nil
	}
	f.adapter.instance.beginWrite()
	err = f.file.StartWriteback(f.started, length-f.started)
	f.adapter.instance.endWrite()
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EOPNOTSUPP) {
		err = nil
	}
	f.started = length
	return false, f.failed(err)
}

// Prefetch implements vfs.File. The kernel's own read-ahead does it.
func (f *adapterFile) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File; Pebble uses it for advice only.
func (f *adapterFile) Fd() uintptr { return f.fd }

// adapterDir is an open directory: all it can do is sync.
type adapterDir struct {
	adapter *adapter
	name    string
	dir     disk.Dir
}

var _ vfs.File = (*adapterDir)(nil)

func (d *adapterDir) notAFile(operation string) error {
	return &os.PathError{Op: operation, Path: d.name, Err: syscall.EISDIR}
}

// Close implements vfs.File.
func (d *adapterDir) Close() error { return d.adapter.close(d.dir) }

// Read implements vfs.File.
func (d *adapterDir) Read([]byte) (int, error) { return 0, d.notAFile("read") }

// ReadAt implements vfs.File.
func (d *adapterDir) ReadAt([]byte, int64) (int, error) { return 0, d.notAFile("read") }

// Write implements vfs.File.
func (d *adapterDir) Write([]byte) (int, error) { return 0, d.notAFile("write") }

// WriteAt implements vfs.File.
func (d *adapterDir) WriteAt([]byte, int64) (int, error) { return 0, d.notAFile("write") }

// Preallocate implements vfs.File.
func (d *adapterDir) Preallocate(int64, int64) error { return nil }

// Stat implements vfs.File.
func (d *adapterDir) Stat() (vfs.FileInfo, error) { return d.adapter.Stat(d.name) }

// Sync implements vfs.File: every change of names in the directory is durable.
func (d *adapterDir) Sync() error { return d.adapter.write(critical, d.dir.Sync) }

// SyncTo implements vfs.File.
func (d *adapterDir) SyncTo(int64) (bool, error) { return false, nil }

// SyncData implements vfs.File.
func (d *adapterDir) SyncData() error { return d.Sync() }

// Prefetch implements vfs.File.
func (d *adapterDir) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (d *adapterDir) Fd() uintptr { return vfs.InvalidFd }

// fileInfo is disk.Info as os.FileInfo.
type fileInfo struct {
	name string
	info disk.Info
}

var _ vfs.FileInfo = fileInfo{}

// Name implements os.FileInfo.
func (i fileInfo) Name() string { return i.name }

// Size implements os.FileInfo.
func (i fileInfo) Size() int64 { return i.info.Size }

// Mode implements os.FileInfo.
func (i fileInfo) Mode() os.FileMode {
	if i.info.Dir {
		return os.ModeDir | directoryMode
	}
	return fileMode
}

// ModTime implements os.FileInfo.
func (i fileInfo) ModTime() time.Time { return i.info.Modified }

// IsDir implements os.FileInfo.
func (i fileInfo) IsDir() bool { return i.info.Dir }

// Sys implements os.FileInfo.
func (i fileInfo) Sys() any { return i.info }

// DeviceID implements vfs.FileInfo. Pebble compares devices only where it
// watches two filesystems; an index has one.
func (i fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
