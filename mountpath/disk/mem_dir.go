package disk

import (
	"os"
	"syscall"
)

// memDir is an open directory of a Mem.
type memDir struct {
	mem    *Mem
	path   string
	node   *node
	closed bool // under the Mem's lock
}

// Receive implements Dir.
func (d *memDir) Receive(oldPath, name string) error {
	d.mem.begin(Operation{Call: CallReceive, Path: oldPath, NewPath: join(d.path, name)})
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	if err := d.receive(oldPath, name); err != nil {
		return &os.LinkError{Op: "rename", Old: oldPath, New: join(d.path, name), Err: err}
	}
	return nil
}

func (d *memDir) receive(oldPath, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if d.closed {
		return syscall.EBADF
	}
	from, oldName, err := d.mem.walk(oldPath)
	if err != nil {
		return err
	}
	return d.mem.move(slot{from, oldName}, slot{d.node, name})
}

// Sync implements Dir.
func (d *memDir) Sync() error {
	d.mem.begin(Operation{Call: CallSyncDir, Path: d.path})
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	err := error(syscall.EBADF)
	if !d.closed {
		err = d.mem.syncDir(d.node)
	}
	if err != nil {
		return &os.PathError{Op: "syncdir", Path: d.path, Err: err}
	}
	return nil
}

// Close implements io.Closer.
func (d *memDir) Close() error {
	d.mem.begin(Operation{Call: CallClose, Path: d.path})
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	if d.closed {
		return &os.PathError{Op: "close", Path: d.path, Err: syscall.EBADF}
	}
	d.closed = true
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(path string) error {
	m.begin(Operation{Call: CallSyncDir, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	found, err := m.find(path)
	if err == nil {
		err = m.syncDir(found)
	}
	if err != nil {
		return &os.PathError{Op: "syncdir", Path: path, Err: err}
	}
	return nil
}

func (m *Mem) syncDir(n *node) error {
	switch {
	case n.directory == nil:
		return syscall.ENOTDIR
	case m.readOnly && n.directory.waiting > 0:
		return syscall.EROFS
	}
	m.names.sync(n)
	return nil
}

// SyncAll implements FS.
func (m *Mem) SyncAll() error {
	m.begin(Operation{Call: CallSyncAll})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readOnly {
		return &os.PathError{Op: "syncall", Path: ".", Err: syscall.EROFS}
	}
	m.names.syncAll()
	m.root.syncFiles()
	return nil
}

// syncFiles syncs every file in the tree below a directory.
func (n *node) syncFiles() {
	for _, child := range n.directory.names {
		if child.directory != nil {
			child.syncFiles()
		} else {
			child.file.sync()
		}
	}
}

// memLock is a lock that is held.
type memLock struct{ file *memFile }

// Close gives the lock up; EBADF the second time.
func (l *memLock) Close() error {
	l.file.mem.begin(Operation{Call: CallClose, Path: l.file.path})
	l.file.mem.mu.Lock()
	defer l.file.mem.mu.Unlock()
	if err := l.file.check(); err != nil {
		return l.file.pathError("unlock", err)
	}
	l.file.node.locked = false
	l.file.close()
	return nil
}
