package disk

import (
	"os"
	"syscall"
)

// Link implements FS.
func (m *Mem) Link(oldPath, newPath string) error {
	m.begin(Operation{Call: CallLink, Path: oldPath, NewPath: newPath})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.link(oldPath, newPath); err != nil {
		return &os.LinkError{Op: "link", Old: oldPath, New: newPath, Err: err}
	}
	return nil
}

func (m *Mem) link(oldPath, newPath string) error {
	if _, err := checkPath(newPath); err != nil {
		return err
	}
	found, err := m.find(oldPath)
	if err != nil {
		return err
	}
	to, err := m.free(newPath)
	if err != nil {
		return err
	}
	if found.directory != nil {
		return syscall.EPERM
	}
	m.give(to, found)
	m.names.record(&nameOperation{to: to, node: found}, nil)
	return nil
}

// free returns the slot of a name that is to be made: EEXIST if it is there,
// EROFS if it may not be made.
func (m *Mem) free(path string) (slot, error) {
	in, name, err := m.walk(path)
	if err != nil {
		return slot{}, err
	}
	if name == "" {
		return slot{}, syscall.EEXIST
	}
	switch _, err := in.lookup(name); {
	case err == nil:
		return slot{}, syscall.EEXIST
	case err != syscall.ENOENT:
		return slot{}, err
	case m.readOnly:
		return slot{}, syscall.EROFS
	}
	return slot{in, name}, nil
}

// Mkdir implements FS.
func (m *Mem) Mkdir(path string, mode os.FileMode) error {
	m.begin(Operation{Call: CallMkdir, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mkdir(path); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

func (m *Mem) mkdir(path string) error {
	to, err := m.free(path)
	if err != nil {
		return err
	}
	if m.files >= m.space.TotalFiles {
		return syscall.ENOSPC
	}
	if err := m.room(blockBytes); err != nil {
		return err
	}
	made := m.newNode()
	made.directory = newDirectory(nil)
	m.charge(made, blockBytes)
	m.give(to, made)
	m.names.record(&nameOperation{to: to, node: made, makes: true}, nil)
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(path string) error {
	m.begin(Operation{Call: CallRemove, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.remove(path); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func (m *Mem) remove(path string) error {
	in, name, err := m.walk(path)
	switch {
	case err != nil:
		return err
	case name == "":
		return syscall.EISDIR
	case m.readOnly:
		return syscall.EROFS
	}
	found, err := in.lookup(name)
	if err != nil {
		return err
	}
	if found.directory != nil {
		return syscall.EISDIR
	}
	m.take(slot{in, name}, found)
	m.drop(found)
	m.names.record(&nameOperation{from: slot{in, name}}, nil)
	return nil
}

// RemoveDir implements FS.
func (m *Mem) RemoveDir(path string) error {
	m.begin(Operation{Call: CallRemoveDir, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.removeDir(path); err != nil {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

func (m *Mem) removeDir(path string) error {
	in, name, err := m.walk(path)
	switch {
	case err != nil:
		return err
	case name == "":
		return syscall.EINVAL
	case m.readOnly:
		return syscall.EROFS
	}
	found, err := in.lookup(name)
	switch {
	case err != nil:
		return err
	case found.directory == nil:
		return syscall.ENOTDIR
	case len(found.directory.names) > 0:
		return syscall.ENOTEMPTY
	}
	m.take(slot{in, name}, found)
	found.directory.removed = true
	m.drop(found)
	m.names.record(&nameOperation{from: slot{in, name}}, found)
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(oldPath, newPath string) error {
	m.begin(Operation{Call: CallRename, Path: oldPath, NewPath: newPath})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldPath, newPath); err != nil {
		return &os.LinkError{Op: "rename", Old: oldPath, New: newPath, Err: err}
	}
	return nil
}

func (m *Mem) rename(oldPath, newPath string) error {
	if _, err := checkPath(newPath); err != nil {
		return err
	}
	from, name, err := m.walk(oldPath)
	if err != nil {
		return err
	}
	to, newName, err := m.walk(newPath)
	if err != nil {
		return err
	}
	return m.move(slot{from, name}, slot{to, newName})
}

// move renames, with the errors of Linux in the order of Linux.
func (m *Mem) move(from, to slot) error {
	switch {
	case from.name == "" || to.name == "":
		return syscall.EBUSY
	case m.readOnly:
		return syscall.EROFS
	}
	moved, err := from.directory.lookup(from.name)
	if err != nil {
		return err
	}
	if to.directory.directory.removed {
		return syscall.ENOENT
	}
	replaced, err := to.directory.lookup(to.name)
	if err != nil && err != syscall.ENOENT {
		return err
	}
	if moved.directory != nil && to.directory.under(moved) {
		return syscall.EINVAL
	}
	if replaced != nil {
		switch {
		case replaced.directory != nil && from.directory.under(replaced):
			return syscall.ENOTEMPTY
		case replaced == moved:
			return nil // two names of one file: nothing to do, says POSIX
		case moved.directory != nil && replaced.directory == nil:
			return syscall.ENOTDIR
		case moved.directory == nil && replaced.directory != nil:
			return syscall.EISDIR
		case replaced.directory != nil && len(replaced.directory.names) > 0:
			return syscall.ENOTEMPTY
		}
	}

	var gone *node
	if replaced != nil {
		m.take(to, replaced)
		if replaced.directory != nil {
			replaced.directory.removed = true
			gone = replaced
		}
		m.drop(replaced)
	}
	m.take(from, moved)
	m.give(to, moved)
	m.names.record(&nameOperation{from: from, to: to, node: moved}, gone)
	return nil
}
