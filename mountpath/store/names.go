package store

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// maxDurable bounds the set of directories known durable: a forgotten one costs
// an fsync, 100,000 cost about 10 MiB.
const maxDurable = 100_000

// names makes names of payload files and their directories, and knows which
// directories are durable. Whoever makes names holds the lock shared from the
// first mkdir to the last fsync; the sweeper, which removes empty directories,
// holds it alone. Safe for concurrent use.
type names struct {
	fs   disk.FS
	lock sync.RWMutex

	mu sync.Mutex
	// durable holds directories whose own entry, and that of every directory
	// above them, is on stable storage. Empty at start; loses what is removed.
	durable map[string]struct{}
}

func newNames(fs disk.FS) *names { return &names{fs: fs, durable: make(map[string]struct{})} }

// receive renames the file from to the name to, making directories as needed.
// With sync it then makes the name durable: the directory that received it, and
// upwards the parent of every directory not known durable. renamed says whether
// the rename happened; an error after it leaves the outcome unknown.
func (n *names) receive(from, to string, sync bool) (renamed bool, err error) {
	n.lock.RLock()
	defer n.lock.RUnlock()
	dirPath, base := path.Split(to)
	dirPath = path.Clean(dirPath)
	dir, err := n.open(dirPath)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := dir.Receive(from, base); err != nil {
		return false, err
	}
	if !sync {
		return true, nil
	}
	if err := dir.Sync(); err != nil {
		return true, err
	}
	return true, n.syncAbove(dirPath)
}

// open opens a directory, making it and those above it if they are missing.
func (n *names) open(dirPath string) (disk.Dir, error) {
	dir, err := n.fs.OpenDir(dirPath)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := n.make(dirPath); err != nil {
		return nil, err
	}
	return n.fs.OpenDir(dirPath)
}

// make makes a directory and those above it.
func (n *names) make(dirPath string) error {
	if dirPath == "." || dirPath == "" {
		return nil
	}
	err := n.fs.Mkdir(dirPath, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err := n.make(path.Dir(dirPath)); err != nil {
			return err
		}
		err = n.fs.Mkdir(dirPath, 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // a file of that name shows itself when it is opened as a directory
	}
	return err
}

// syncAbove makes the entries of a directory and of those above it durable.
func (n *names) syncAbove(dirPath string) error {
	var synced []string
	for p := dirPath; p != "." && p != "" && !n.isDurable(p); p = path.Dir(p) {
		if err := n.fs.SyncDir(path.Dir(p)); err != nil {
			return err
		}
		synced = append(synced, p)
	}
	if len(synced) > 0 {
		n.remember(synced)
	}
	return nil
}

// syncPath makes a name that exists durable, from its directory upwards.
func (n *names) syncPath(name string) error {
	dirPath := path.Dir(name)
	if err := n.fs.SyncDir(dirPath); err != nil {
		return err
	}
	return n.syncAbove(dirPath)
}

func (n *names) isDurable(dirPath string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.durable[dirPath]
	return ok
}

func (n *names) remember(dirPaths []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.durable)+len(dirPaths) > maxDurable {
		clear(n.durable)
	}
	for _, p := range dirPaths {
		n.durable[p] = struct{}{}
	}
}

func (n *names) forget(dirPath string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.durable, dirPath)
}

// sweep removes a directory if it is empty, then its parents up to, not
// including, stop.
func (n *names) sweep(dirPath, stop string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	for p := dirPath; p != stop && p != "." && p != ""; p = path.Dir(p) {
		n.forget(p)
		if err := n.fs.RemoveDir(p); err != nil {
			return // not empty, or not there: nothing to sweep
		}
	}
}

// clearEmpty removes a tree of empty directories that stands where a file is
// wanted. It reports whether the name is free now.
func (n *names) clearEmpty(dirPath string) bool {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.removeEmptyTree(dirPath) == nil
}

func (n *names) removeEmptyTree(dirPath string) error {
	var below []string
	err := n.fs.ReadDir(dirPath, func(e disk.Entry) bool {
		below = append(below, path.Join(dirPath, e.Name))
		return true
	})
	if err != nil {
		return err
	}
	for _, p := range below {
		if err := n.removeEmptyTree(p); err != nil {
			return err // a file (ENOTDIR), or something in use
		}
	}
	n.forget(dirPath)
	return n.fs.RemoveDir(dirPath)
}

// isNameConflict reports whether a name cannot be made because another object's
// name is in its way (a and a/b), or because the filesystem cannot hold it.
func isNameConflict(err error) bool {
	for _, conflict := range []error{syscall.ENOTDIR, syscall.EISDIR, syscall.ENOTEMPTY, syscall.EEXIST, syscall.ENAMETOOLONG, syscall.EILSEQ} {
		if errors.Is(err, conflict) {
			return true
		}
	}
	return false
}

// isDirectoryInTheWay reports whether the name is a directory's.
func isDirectoryInTheWay(err error) bool {
	return errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// forgetBelow forgets a directory and all below it.
func (n *names) forgetBelow(dirPath string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.durable {
		if p == dirPath || strings.HasPrefix(p, dirPath+"/") {
			delete(n.durable, p)
		}
	}
}

// isNoPayload reports whether an error says that there is no file at a path, or
// one without our attribute: nothing that recovery has to care for.
func isNoPayload(err error) bool {
	for _, absent := range []error{syscall.ENOENT, syscall.ENODATA, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG, syscall.ELOOP} {
		if errors.Is(err, absent) {
			return true
		}
	}
	return false
}
