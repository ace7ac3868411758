package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// View returns an FS that shows another and changes nothing of it: whatever
// would change it fails with EROFS. Lock takes the lock of a file that is there;
// where there is none, nobody holds it, and the lock is an empty one. Sync calls
// succeed, since there is nothing to sync. Closing is the owner's of the other.
func View(of FS) FS { return view{of} }

type view struct{ of FS }

func refuse(op, path string) error {
	return &os.PathError{Op: op, Path: path, Err: syscall.EROFS}
}

// OpenFile implements FS: for reading only.
func (v view) OpenFile(path string, flag int, mode os.FileMode) (File, error) {
	if flag != ReadOnly {
		return nil, refuse("open", path)
	}
	file, err := v.of.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return viewFile{file, path}, nil
}

// OpenDir implements FS.
func (v view) OpenDir(path string) (Dir, error) {
	dir, err := v.of.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return viewDir{dir, path}, nil
}

// Link implements FS: refused.
func (v view) Link(_, newPath string) error { return refuse("link", newPath) }

// Rename implements FS: refused.
func (v view) Rename(_, newPath string) error { return refuse("rename", newPath) }

// Remove implements FS: refused.
func (v view) Remove(path string) error { return refuse("remove", path) }

// RemoveDir implements FS: refused.
func (v view) RemoveDir(path string) error { return refuse("rmdir", path) }

// Mkdir implements FS: refused.
func (v view) Mkdir(path string, _ os.FileMode) error { return refuse("mkdir", path) }

// Stat implements FS.
func (v view) Stat(path string) (Info, error) { return v.of.Stat(path) }

// ReadDir implements FS.
func (v view) ReadDir(path string, visit func(Entry) bool) error { return v.of.ReadDir(path, visit) }

// GetAttr implements FS.
func (v view) GetAttr(path, name string) ([]byte, error) { return v.of.GetAttr(path, name) }

// Space implements FS: it is read-only.
func (v view) Space() (Space, error) {
	space, err := v.of.Space()
	space.ReadOnly = true
	return space, err
}

// SyncDir implements FS.
func (v view) SyncDir(string) error { return nil }

// SyncAll implements FS.
func (v view) SyncAll() error { return nil }

// Lock implements FS; it makes no file.
func (v view) Lock(path string) (io.Closer, error) {
	if _, err := v.of.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return noLock{}, nil
	} else if err != nil {
		return nil, err
	}
	return v.of.Lock(path)
}

// noLock is the lock of a file that is not there.
type noLock struct{}

func (noLock) Close() error { return nil }

// viewFile is a file of a view.
type viewFile struct {
	File
	path string
}

func (f viewFile) WriteAt([]byte, int64) (int, error) { return 0, refuse("write", f.path) }
func (f viewFile) Truncate(int64) error               { return refuse("truncate", f.path) }
func (f viewFile) Sync() error                        { return nil }
func (f viewFile) SyncData() error                    { return nil }
func (f viewFile) Preallocate(int64, int64) error     { return refuse("preallocate", f.path) }
func (f viewFile) StartWriteback(int64, int64) error  { return nil }
func (f viewFile) SetAttr(string, []byte) error       { return refuse("setattr", f.path) }

// viewDir is a directory of a view.
type viewDir struct {
	Dir
	path string
}

func (d viewDir) Receive(_, name string) error { return refuse("rename", d.path+"/"+name) }
func (d viewDir) Sync() error                  { return nil }
