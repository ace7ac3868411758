package store

import (
	"errors"
	"io/fs"
	"path"
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
	// syncs are the directories that are being synced, or wait for it.
	syncs map[string]*dirSync
	// durable holds directories whose own entry, and that of every directory
	// above them, is on stable storage. Empty at start; loses what is removed.
	durable map[string]struct{}
}

func newNames(fs disk.FS) *names {
	return &names{fs: fs, syncs: make(map[string]*dirSync), durable: make(map[string]struct{})}
}

// shared and alone run a function under the lock, which a panic in it does not
// keep.
func (n *names) shared(fn func()) {
	n.lock.RLock()
	defer n.lock.RUnlock()
	fn()
}

func (n *names) alone(fn func()) {
	n.lock.Lock()
	defer n.lock.Unlock()
	fn()
}

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
		return n.isGone(from), err
	}
	if !sync {
		return true, nil
	}
	if err := n.sync(dirPath, dir.Sync); err != nil {
		return true, err
	}
	return true, n.syncAbove(dirPath)
}

// isGone reports whether a file is under its name no more, as far as can be told,
// after a rename of it failed: an error may come after the deed.
func (n *names) isGone(name string) bool {
	_, err := n.fs.Stat(name)
	return err != nil
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
	if err := n.sync(dirPath, func() error { return n.fs.SyncDir(dirPath) }); err != nil {
		return err
	}
	return n.syncAbove(dirPath)
}

// dirSync lets those who need one directory synced at the same time share a
// sync: each joins the next one that has not begun.
type dirSync struct {
	users int        // guarded by names.mu; the entry goes with the last of them
	next  *syncBatch // guarded by names.mu: the sync that has not begun
	turn  sync.Mutex // held by who syncs
}

// syncBatch is one sync and those who share it.
type syncBatch struct {
	done bool // guarded by dirSync.turn, as is err
	err  error
}

// sync makes the changes of names made so far in a directory durable. A failure
// is told to all who share the sync.
func (n *names) sync(dirPath string, how func() error) error {
	n.mu.Lock()
	d := n.syncs[dirPath]
	if d == nil {
		d = &dirSync{}
		n.syncs[dirPath] = d
	}
	d.users++
	if d.next == nil {
		d.next = &syncBatch{}
	}
	batch := d.next
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		if d.users--; d.users == 0 {
			delete(n.syncs, dirPath)
		}
		n.mu.Unlock()
	}()

	d.turn.Lock()
	defer d.turn.Unlock()
	if batch.done {
		return batch.err
	}
	n.mu.Lock()
	d.next = nil // who comes from now on needs another sync
	n.mu.Unlock()
	batch.err = how()
	batch.done = true
	return batch.err
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
