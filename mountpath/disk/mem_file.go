package disk

import (
	"io"
	"os"
	"syscall"
)

// memFile is an open file of a Mem. Its fields but closed never change; that
// one belongs to the Mem's lock.
type memFile struct {
	mem    *Mem
	path   string
	node   *node
	read   bool
	write  bool
	closed bool
}

// check returns EBADF for a closed file.
func (f *memFile) check() error {
	if f.closed {
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) pathError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.path, Err: err}
}

func (f *memFile) ReadAt(p []byte, offset int64) (int, error) {
	f.mem.begin(Operation{Call: CallRead, Path: f.path, Offset: offset, Length: int64(len(p))})
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	switch {
	case offset < 0:
		return 0, f.pathError("read", syscall.EINVAL)
	case f.closed || !f.read && len(p) > 0:
		return 0, f.pathError("read", syscall.EBADF)
	case len(p) == 0:
		return 0, nil
	}
	n := f.node.file.now.readAt(p, offset)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, offset int64) (int, error) {
	f.mem.begin(Operation{Call: CallWrite, Path: f.path, Offset: offset, Length: int64(len(p))})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	n, err := f.writeAt(p, offset)
	return n, f.pathError("write", err)
}

// ReadDirect implements File: memory has no cache.
func (f *memFile) ReadDirect(p []byte, offset int64) (int, error) { return f.ReadAt(p, offset) }

func (f *memFile) WriteDirect(pieces [][]byte, offset int64) (int64, error) {
	return writePieces(f, pieces, offset)
}

func (f *memFile) writeAt(p []byte, offset int64) (int, error) {
	switch {
	case offset < 0:
		return 0, syscall.EINVAL
	case f.closed || !f.write && len(p) > 0:
		return 0, syscall.EBADF
	case len(p) == 0:
		return 0, nil
	case f.mem.readOnly:
		return 0, syscall.EROFS
	case offset > maxContentBytes-int64(len(p)):
		return 0, syscall.EFBIG
	}
	data := f.node.file
	defer func() {
		f.mem.chargeFile(f.node)
		data.touched()
		f.node.modified = f.mem.now()
	}()
	written := 0
	for written < len(p) {
		at := offset + int64(written)
		if data.now.at(at/blockBytes) == nil && (data.now.blocks+1)*blockBytes > int64(f.node.charged) {
			if err := f.mem.room(blockBytes); err != nil {
				return written, err
			}
		}
		n := min(len(p)-written, int(blockBytes-at%blockBytes))
		data.now.writeBlock(p[written:written+n], at)
		f.mem.chargeFile(f.node)
		written += n
	}
	return written, nil
}

func (f *memFile) Close() error {
	f.mem.begin(Operation{Call: CallClose, Path: f.path})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check(); err != nil {
		return f.pathError("close", err)
	}
	f.close()
	return nil
}

// close ends an open file, under the lock.
func (f *memFile) close() {
	f.closed = true
	f.node.opens--
	f.mem.drop(f.node)
}

func (f *memFile) Truncate(size int64) error {
	f.mem.begin(Operation{Call: CallTruncate, Path: f.path, Length: size})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	err := f.check()
	switch {
	case err != nil:
	case size < 0 || !f.write:
		err = syscall.EINVAL
	case f.mem.readOnly:
		err = syscall.EROFS
	case size > maxContentBytes:
		err = syscall.EFBIG
	default:
		f.mem.truncate(f.node, size)
	}
	return f.pathError("truncate", err)
}

// truncate sets the length of a file, and gives up what is reserved beyond it.
func (m *Mem) truncate(n *node, size int64) {
	n.file.now.truncate(size)
	n.file.touched()
	n.modified = m.now()
	n.reserved = min(n.reserved, (size+blockBytes-1)/blockBytes*blockBytes)
	m.chargeFile(n)
}

func (f *memFile) Sync() error {
	f.mem.begin(Operation{Call: CallSync, Path: f.path})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	err := f.check()
	switch {
	case err != nil:
	case f.mem.readOnly && f.node.file.unsynced():
		err = syscall.EROFS
	default:
		f.node.file.sync()
	}
	return f.pathError("sync", err)
}

func (f *memFile) SyncData() error {
	f.mem.begin(Operation{Call: CallSyncData, Path: f.path})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	err := f.check()
	switch {
	case err != nil:
	case f.mem.readOnly && f.node.file.dirty:
		err = syscall.EROFS
	default:
		f.node.file.syncData()
	}
	return f.pathError("syncdata", err)
}

// dropUnsynced does what the kernel does when a sync fails: what was written
// since the last one can still be read, but counts as clean. No later sync makes
// it durable. Faulty calls it.
func (f *memFile) dropUnsynced() {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.file.drop()
}

// dropUnsynced does the same to every file.
func (m *Mem) dropUnsynced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root.dropFiles()
}

// dropFiles drops what is not synced of every file below a directory.
func (n *node) dropFiles() {
	for _, child := range n.directory.names {
		if child.directory != nil {
			child.dropFiles()
		} else {
			child.file.drop()
		}
	}
}

func (f *memFile) Preallocate(offset, length int64) error {
	f.mem.begin(Operation{Call: CallPreallocate, Path: f.path, Offset: offset, Length: length})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.pathError("preallocate", f.preallocate(offset, length))
}

func (f *memFile) preallocate(offset, length int64) error {
	switch {
	case f.closed:
		return syscall.EBADF
	case offset < 0 || length <= 0:
		return syscall.EINVAL
	case !f.write:
		return syscall.EBADF
	case f.mem.readOnly:
		return syscall.EROFS
	case offset > maxContentBytes-length:
		return syscall.EFBIG
	}
	reserved := max(f.node.reserved, (offset+length+blockBytes-1)/blockBytes*blockBytes)
	if more := reserved - int64(f.node.charged); more > 0 {
		if err := f.mem.room(uint64(more)); err != nil {
			return err
		}
	}
	f.node.reserved = reserved
	f.mem.chargeFile(f.node)
	return nil
}

func (f *memFile) StartWriteback(offset, length int64) error {
	f.mem.begin(Operation{Call: CallWriteback, Path: f.path, Offset: offset, Length: length})
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	err := f.check()
	if err == nil && (offset < 0 || length < 0) {
		err = syscall.EINVAL
	}
	return f.pathError("writeback", err)
}

func (f *memFile) Advise(advice Advice) error {
	f.mem.begin(Operation{Call: CallAdvise, Path: f.path})
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	err := f.check()
	if err == nil && advice > DontNeed {
		err = syscall.EINVAL
	}
	return f.pathError("advise", err)
}

func (f *memFile) SetAttr(name string, value []byte) error {
	f.mem.begin(Operation{Call: CallSetAttr, Path: f.path, Attribute: name, Length: int64(len(value))})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	err := f.check()
	switch {
	case err != nil:
	case f.mem.readOnly:
		err = syscall.EROFS
	default:
		err = f.node.setAttribute(name, value)
	}
	return f.pathError("setattr", err)
}

func (f *memFile) GetAttr(name string) ([]byte, error) {
	f.mem.begin(Operation{Call: CallGetAttr, Path: f.path, Attribute: name})
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check(); err != nil {
		return nil, f.pathError("getattr", err)
	}
	value, err := f.node.attribute(name)
	return value, f.pathError("getattr", err)
}

func (f *memFile) Stat() (Info, error) {
	f.mem.begin(Operation{Call: CallStat, Path: f.path})
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check(); err != nil {
		return Info{}, f.pathError("stat", err)
	}
	return f.node.info(), nil
}

// OS returns nil: there is no descriptor.
func (f *memFile) OS() *os.File { return nil }
