package index

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

const (
	fileMode      os.FileMode = 0o640 // the index belongs to Troupe; its group may look
	directoryMode os.FileMode = 0o750
)

// adapter gives one mountpath's disk.FS to Pebble as a vfs.FS. Pebble's paths
// are relative to the mountpath's root, as disk.FS wants them.
//
// Files fall in classes. Errors of tables, which are written by flushes and
// compactions, go to Pebble, held back for a moment. Everything else (write-ahead
// log, manifest, markers, options, directory syncs) is what Pebble cannot do
// without: an error there kills the instance and parks the caller. So it is with
// blobs, except that they wait for room. Errors of removing and reading are
// returned, whatever the class.
//
// There is one adapter per instance. Safe for concurrent use.
type adapter struct {
	disk     disk.FS
	instance *instance
	lock     *lock
	buffers  sync.Pool // of *[bufferBytes]byte
	opened   openFiles

	letGo    sync.Once
	unlocked chan struct{} // closed when a dead instance's lock was released
	released chan struct{} // closed when its files are closed, too
}

func newAdapter(fsys disk.FS, i *instance, l *lock) *adapter {
	a := &adapter{disk: fsys, instance: i, lock: l, unlocked: make(chan struct{}), released: make(chan struct{})}
	a.buffers.New = func() any { return new([bufferBytes]byte) }
	return a
}

var _ vfs.FS = (*adapter)(nil)

// lock is the index's lock file. It belongs to the index, not to Pebble, which
// never closes a dead instance.
type lock struct {
	mu     sync.Mutex
	closer io.Closer // nil: not held
}

func (l *lock) take(fsys disk.FS, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closer != nil {
		return nil
	}
	closer, err := fsys.Lock(name)
	if err != nil {
		return err
	}
	l.closer = closer
	return nil
}

func (l *lock) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closer == nil {
		return nil
	}
	err := l.closer.Close()
	l.closer = nil
	return err
}

// class says what Pebble makes of an error of a file.
type class uint8

const (
	// critical: the write-ahead log, the manifest, markers, options: Pebble dies
	// of any error, or hangs.
	critical class = iota
	// table: an sstable. Pebble gives up the flush or compaction and tries again.
	table
	// blob: separated values. Pebble (2.1.7) survives an error of creating one;
	// of writing or finishing it, it panics: sstable/blob.FileWriter.Close aborts
	// what Finish has closed.
	blob
)

// classOf tells the class of a file by its name.
func classOf(name string) class {
	switch path.Ext(name) {
	case ".sst":
		return table
	case ".blob":
		return blob
	}
	return critical
}

// write runs a call that changes a name or a directory. For a critical file it
// returns only if the call succeeded.
func (a *adapter) write(of class, call func() error) error {
	a.instance.beginWrite()
	err := call()
	a.instance.endWrite()
	if err == nil {
		return nil
	}
	if of == critical {
		a.instance.die(err)
		a.instance.park()
	}
	a.instance.hold()
	return err
}

// Create implements vfs.FS.
//
// Pebble creates a manifest, then the marker that names it, and then syncs the
// directory. A power cut before that may keep the marker and lose the manifest;
// so the directory is synced before a marker is created.
func (a *adapter) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if isMarker(name) {
		if err := a.syncNames(name); err != nil {
			return nil, err
		}
	}
	var f *adapterFile
	err := a.write(classOf(name), func() (err error) {
		var file disk.File
		const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
		file, err = a.disk.OpenFile(name, flags, fileMode)
		// A file of that name is removed, not truncated: it may have a second link.
		for errors.Is(err, fs.ErrExist) {
			if err = a.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			file, err = a.disk.OpenFile(name, flags, fileMode)
		}
		if err == nil {
			f = newAdapterFile(a, name, file)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Link implements vfs.FS.
func (a *adapter) Link(oldName, newName string) error {
	return a.write(classOf(newName), func() error { return a.disk.Link(oldName, newName) })
}

// Open implements vfs.FS. A log, which Pebble opens to replay it, is refused if it
// is damaged and not torn; a blob, if its footer is damaged.
func (a *adapter) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	counter, err := a.instance.beginRead()
	if err != nil {
		return nil, err
	}
	f, err := a.open(name, options)
	a.instance.endRead(counter)
	if err != nil {
		if classOf(name) != critical && inBackground() {
			a.instance.hold()
		}
		return nil, err
	}
	return f, nil
}

// open opens a file to be read. In a call that is counted.
func (a *adapter) open(name string, options []vfs.OpenOption) (*adapterFile, error) {
	file, err := a.disk.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := checkOpened(file, name); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f := newAdapterFile(a, name, file)
	f.readOnly = true
	for _, option := range options {
		option.Apply(f) // advice, by the number
	}
	return f, nil
}

// checkOpened looks for damage that Pebble would overlook, or not survive.
func checkOpened(file disk.File, name string) error {
	switch path.Ext(name) {
	case ".log":
		return checkLog(file, name)
	case ".blob":
		return checkBlob(file, name)
	}
	return nil
}

// OpenReadWrite implements vfs.FS.
func (a *adapter) OpenReadWrite(name string, _ vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	var f *adapterFile
	err := a.write(classOf(name), func() error {
		file, err := a.disk.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
		if err == nil {
			f = newAdapterFile(a, name, file)
			for _, option := range options {
				option.Apply(f) // advice, by the number
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenDir implements vfs.FS.
func (a *adapter) OpenDir(name string) (vfs.File, error) {
	counter, err := a.instance.beginRead()
	if err != nil {
		return nil, err
	}
	defer a.instance.endRead(counter)
	dir, err := a.disk.OpenDir(name)
	if err != nil {
		return nil, err
	}
	a.opened.add(dir)
	return &adapterDir{adapter: a, name: name, dir: dir}, nil
}

// Remove implements vfs.FS.
//
// Pebble moves a marker by creating the new one, removing the old one and then
// syncing the directory. Between them a power cut may keep the removal and lose
// the creation, and the database would look absent. So the directory is synced
// before a marker is removed.
func (a *adapter) Remove(name string) error {
	if isMarker(name) {
		if err := a.syncNames(name); err != nil {
			return err
		}
	}
	a.instance.beginWrite()
	err := a.disk.Remove(name)
	a.instance.endWrite()
	return err
}

func isMarker(name string) bool { return strings.HasPrefix(path.Base(name), "marker.") }

// syncNames makes every change of names beside name durable.
func (a *adapter) syncNames(name string) error {
	return a.write(critical, func() error { return a.disk.SyncDir(path.Dir(name)) })
}

// RemoveAll implements vfs.FS.
func (a *adapter) RemoveAll(name string) error {
	a.instance.beginWrite()
	defer a.instance.endWrite()
	return a.removeAll(name)
}

func (a *adapter) removeAll(name string) error {
	info, err := a.disk.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Dir:
		return a.disk.Remove(name)
	}
	var names []string
	first := a.disk.ReadDir(name, func(entry disk.Entry) bool {
		names = append(names, entry.Name)
		return true
	})
	for _, child := range names {
		if err := a.removeAll(path.Join(name, child)); first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	return a.disk.RemoveDir(name)
}

// Rename implements vfs.FS.
func (a *adapter) Rename(oldName, newName string) error {
	return a.write(classOf(newName), func() error { return a.disk.Rename(oldName, newName) })
}

// ReuseForWrite implements vfs.FS: a used log file is written again, which
// syncs faster than a new one because its length does not change.
func (a *adapter) ReuseForWrite(oldName, newName string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	var f *adapterFile
	err := a.write(classOf(newName), func() error {
		if err := a.disk.Rename(oldName, newName); err != nil {
			return err
		}
		file, err := a.disk.OpenFile(newName, os.O_RDWR, 0)
		if err == nil {
			f = newAdapterFile(a, newName, file)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// MkdirAll implements vfs.FS. Modes are the index's own.
func (a *adapter) MkdirAll(dir string, _ os.FileMode) error {
	a.instance.beginWrite()
	defer a.instance.endWrite()
	return a.mkdirAll(path.Clean(dir))
}

func (a *adapter) mkdirAll(dir string) error {
	if dir == "." {
		return nil
	}
	err := a.disk.Mkdir(dir, directoryMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = a.mkdirAll(path.Dir(dir)); err == nil {
			err = a.disk.Mkdir(dir, directoryMode)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		info, statErr := a.disk.Stat(dir)
		if statErr == nil && info.Dir {
			return nil
		}
	}
	return err
}

// Lock implements vfs.FS. The index holds the lock before Pebble asks for it
// and after Pebble lets it go.
func (a *adapter) Lock(name string) (io.Closer, error) {
	a.instance.beginWrite()
	defer a.instance.endWrite()
	if err := a.lock.take(a.disk, name); err != nil {
		return nil, err
	}
	return keptLock{}, nil
}

// keptLock is what Pebble closes; the lock stays with the index.
type keptLock struct{}

func (keptLock) Close() error { return nil }

// List implements vfs.FS.
//
// Pebble lists its directory once more at the end of opening, when goroutines of
// its own are at work already; told of an error, it frees what they use, and they
// panic. So an error that says more than that there is no directory is not told.
func (a *adapter) List(dir string) ([]string, error) {
	var names []string
	counter, err := a.instance.beginRead()
	if err == nil {
		err = a.disk.ReadDir(dir, func(entry disk.Entry) bool {
			names = append(names, entry.Name)
			return true
		})
		a.instance.endRead(counter)
	}
	switch {
	case err == nil:
		return names, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	a.instance.die(err)
	a.instance.park()
	return nil, err
}

// Stat implements vfs.FS.
func (a *adapter) Stat(name string) (vfs.FileInfo, error) {
	counter, err := a.instance.beginRead()
	if err != nil {
		return nil, err
	}
	info, err := a.disk.Stat(name)
	a.instance.endRead(counter)
	if err != nil {
		return nil, err
	}
	return fileInfo{name: path.Base(name), info: info}, nil
}

// PathBase implements vfs.FS.
func (a *adapter) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (a *adapter) PathJoin(elements ...string) string { return path.Join(elements...) }

// PathDir implements vfs.FS.
func (a *adapter) PathDir(name string) string { return path.Dir(name) }

// GetDiskUsage implements vfs.FS.
func (a *adapter) GetDiskUsage(string) (vfs.DiskUsage, error) {
	counter, err := a.instance.beginRead()
	if err != nil {
		return vfs.DiskUsage{}, err
	}
	space, err := a.disk.Space()
	a.instance.endRead(counter)
	if err != nil {
		return vfs.DiskUsage{}, err
	}
	return vfs.DiskUsage{
		AvailBytes: space.FreeBytes,
		TotalBytes: space.TotalBytes,
		UsedBytes:  space.TotalBytes - min(space.FreeBytes, space.TotalBytes),
	}, nil
}

// Unwrap implements vfs.FS: there is no vfs.FS below.
func (a *adapter) Unwrap() vfs.FS { return nil }
