package supervisors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// mount is one directory that is a mountpath of the node, or on its way to being
// one. It outlives its stores: the mountpath can be disabled and enabled. But for
// current, which anyone may read, it belongs to who opens or closes it.
type mount struct {
	path   string // absolute, symbolic links resolved; never changes
	given  string // as it was given, absolute; never changes
	root   os.FileInfo
	linux  *disk.Linux    // nil: it is not open, so that its filesystem can be unmounted
	fs     disk.FS        // linux, or what the fault desk put around it
	format *layout.Format // nil: it is new, or cannot be read
	// trouble says why it cannot be opened now, though it may be later.
	trouble error
	// holder is the last store whose index died, while calls of it may be under way:
	// the directory stays open until they have ended. nil: there is none.
	holder *store.Store
	// left says that the mountpath has left the node, and givenUp that it still has
	// what was on it then.
	left, givenUp bool
	// waits says that it is to join the node when another change of its set has ended.
	waits bool

	events   chan store.Event
	lifetime *store.Lifetime
	current  atomic.Pointer[store.Store] // nil: none is open
	files    atomic.Pointer[disk.FS]     // fs, for who keeps documents; nil while it is not open
}

// eventRoom is how many events of a disk wait for its coordinator; a disk that
// fails faster is judged by those.
const eventRoom = 64

func newMount(at directory, shared *sharedStores) *mount {
	return &mount{
		path: at.path, given: at.given, events: make(chan store.Event, eventRoom),
		lifetime: &store.Lifetime{Seals: &shared.seals, Bounds: &shared.bounds},
	}
}

// sharedStores is what the stores of a node have in common.
type sharedStores struct {
	seals  store.Seals
	bounds store.Bounds
}

// look opens the directory and reads what it is. A mount that cannot be used for a
// cause that may pass has it in trouble; one that is not to be used at all is
// refused: Invalid, or around layout.ErrNewer.
func (m *mount) look(config Config, others []*mount) error {
	const op errs.Op = "supervisors.look"
	m.trouble, m.format = nil, nil
	path := m.path
	root, err := os.Stat(path)
	switch {
	case err != nil:
		m.trouble = errs.E(op, path, errs.IO, err)
		return nil
	case !root.IsDir():
		return errs.E(op, path, errs.Invalid, errors.New("it is not a directory"))
	}
	for _, other := range others {
		switch {
		case other == m:
		case other.path == path:
			return errs.E(op, path, errs.Invalid, errors.New("the directory is given twice"))
		case other.root != nil && os.SameFile(other.root, root):
			return errs.E(op, path, errs.Invalid, fmt.Errorf("it is the same directory as %s", other.path))
		case isBelow(path, other.path) || isBelow(other.path, path):
			return errs.E(op, path, errs.Invalid, fmt.Errorf("it and %s lie one in the other", other.path))
		}
	}
	if m.linux != nil { // an index that died is followed by another on the same filesystem
		if !os.SameFile(m.root, root) {
			m.trouble = errs.E(op, path, errs.Offline, errors.New("another directory is there now; restart the node"))
			return nil
		}
		return m.read()
	}
	err = m.openFiles(config, root)
	if err == nil {
		err = m.read()
	} else {
		m.trouble, err = errs.E(op, path, errs.IO, err), nil
	}
	if err != nil || m.trouble != nil && !m.isReadOnly() {
		err = errors.Join(err, m.closeFiles())
	}
	return err
}

// isReadOnly reports whether what was looked at is a mountpath whose filesystem takes
// no writes now, not even small ones: it is open, and what is stored on it can be read.
// Its documents are not used: they could not be kept up to date.
func (m *mount) isReadOnly() bool {
	return m.linux != nil && m.format != nil && store.TakesNoWrites(m.trouble)
}

// openFiles opens the directory that is at the path now.
func (m *mount) openFiles(config Config, root os.FileInfo) error {
	linux, err := disk.NewLinux(m.path)
	if err != nil {
		return err
	}
	m.linux, m.root = linux, root
	if m.fs, err = config.Trial.disk(m.path, linux); err != nil {
		return err
	}
	if config.Faults != nil {
		if m.fs, err = config.Faults.Disk(m.path, m.fs); err != nil {
			return err
		}
	}
	m.files.Store(&m.fs)
	return nil
}

// closeFiles lets the directory go, so that its filesystem can be unmounted.
func (m *mount) closeFiles() error {
	if m.linux == nil || m.holder != nil && !m.holder.Index().Released() {
		return nil
	}
	m.holder = nil
	m.files.Store(nil)
	linux := m.linux
	m.linux = nil
	return linux.Close()
}

// read reads the format, and tries whether the filesystem can be written and has
// attributes.
func (m *mount) read() error {
	const op errs.Op = "supervisors.look"
	format, err := store.ReadFormat(m.fs)
	if errors.Is(err, layout.ErrNewer) {
		return errs.E(op, m.path, errs.Invalid, err)
	}
	fresh := errs.Is(errs.NotFound, err)
	if err != nil && !fresh {
		m.trouble = errs.E(op, m.path, err)
		return nil
	}
	if fresh {
		if err := isFresh(m.path); err != nil {
			return errs.E(op, m.path, errs.Invalid, err)
		}
		if err := m.linux.CheckAttributes(); err != nil {
			return errs.E(op, m.path, errs.Invalid, err)
		}
		return nil
	}
	m.format = format
	if err := store.Try(m.fs); err != nil {
		m.trouble = errs.E(op, m.path, err)
		return nil
	}
	switch err := m.linux.CheckAttributes(); {
	case errors.Is(err, syscall.ENOSPC): // it had attributes when it was formatted
		m.trouble = errs.E(op, m.path, err)
	case errs.Is(errs.Invalid, err):
		return errs.E(op, m.path, err)
	}
	return nil
}

// shelf is where the mountpath's documents are.
func (m *mount) shelf() embedded.Shelf { return shelf{m, m.format.MountpathID} }

// shelf keeps documents on a mount while its directory is open. It is an
// embedded.Shelf.
type shelf struct {
	mount *mount
	id    string
}

// ID implements embedded.Shelf.
func (s shelf) ID() string { return s.id }

// String implements embedded.Shelf.
func (s shelf) String() string { return s.mount.path }

// use calls what uses the documents of the directory, if it is open.
func (s shelf) use(call func(store.Shelf) error) error {
	files := s.mount.files.Load()
	if files == nil {
		return errs.E("supervisors.shelf", s.mount.path, errs.Offline, errors.New("the mountpath is not open"))
	}
	return call(store.Shelf{FS: *files, Name: s.mount.path, MountpathID: s.id})
}

// Read implements embedded.Shelf.
func (s shelf) Read(name string) (content []byte, err error) {
	err = s.use(func(x store.Shelf) (err error) { content, err = x.Read(name); return err })
	return content, err
}

// Write implements embedded.Shelf.
func (s shelf) Write(name string, content []byte) error {
	return s.use(func(x store.Shelf) error { return x.Write(name, content) })
}

// List implements embedded.Shelf.
func (s shelf) List(dir string) (names []string, err error) {
	err = s.use(func(x store.Shelf) (err error) { names, err = x.List(dir); return err })
	return names, err
}

// Remove implements embedded.Shelf.
func (s shelf) Remove(name string) error {
	return s.use(func(x store.Shelf) error { return x.Remove(name) })
}

// openStore opens the store of a mount that was looked at: to be read only, if its
// filesystem takes no writes.
func (m *mount) openStore(o store.Options) (*store.Store, error) {
	o.FS, o.Lifetime, o.ReadOnly = m.fs, m.lifetime, m.isReadOnly()
	o.Log = o.Log.WithField("mountpath", m.path)
	o.OnEvent = func(e store.Event) {
		select {
		case m.events <- e:
		default: // the disk is judged by those that wait
		}
	}
	s, err := store.Open(o)
	if err != nil {
		return nil, err
	}
	m.current.Store(s)
	m.holder = nil // an index follows one that died when that has let go
	return s, nil
}

// closeStore closes the store, if one is open, and lets the directory go.
func (m *mount) closeStore() error {
	var err error
	if s := m.current.Swap(nil); s != nil {
		err = s.Close()
		if s.Index().Err() != nil {
			m.holder = s
		}
	}
	return errors.Join(err, m.closeFiles())
}

// close closes the store and the directory for good.
func (m *mount) close() error {
	err := m.closeStore()
	m.holder = nil
	return errors.Join(err, m.closeFiles())
}

// opener opens mountpaths while the node runs, one at a time of each.
type opener struct {
	config    Config
	documents *embedded.Documents
	options   store.Options
	mounts    *mountList
	shared    sharedStores
	planned   int // mountpaths that the node's start divided descriptors among

	dividing sync.Mutex
}

// open opens a mountpath again, or one that was missing, as a start does: it is
// looked at anew, must still be the mountpath of the id, gets its documents brought
// up to date, is settled, and loses what it has of buckets that are destroyed. While
// its filesystem takes no writes it is opened to be read, and none of that is done;
// one that an operator disabled stays so, because the documents on it would not say
// that it is in use again.
func (o *opener) open(m *mount, id string) (*store.Store, error) {
	s, err := o.tryOpen(m, id)
	if err != nil {
		err = errors.Join(err, m.closeFiles())
	}
	return s, err
}

func (o *opener) tryOpen(m *mount, id string) (*store.Store, error) {
	const op errs.Op = "supervisors.open"
	if err := m.look(o.config, o.mounts.all()); err != nil {
		return nil, errs.E(op, err)
	}
	switch node := o.documents.Node(); {
	case m.trouble != nil && (!m.isReadOnly() || isDisabled(node.Mountpaths, id)):
		return nil, errs.E(op, m.path, errs.Offline, m.trouble)
	case m.format == nil:
		return nil, errs.E(op, m.path, errs.Offline, errMissing)
	case m.format.NodeID != node.NodeID || m.format.ClusterID != node.ClusterID:
		return nil, errs.E(op, m.path, errs.Invalid, foreign(m.format, node))
	case m.format.MountpathID != id:
		return nil, errs.E(op, m.path, errs.Invalid, fmt.Errorf("it is mountpath %s, and %s is wanted here", m.format.MountpathID, id))
	}
	options := o.options
	options.MemTableBytes = o.memTableBytes(len(o.documents.Node().Mountpaths))
	if m.isReadOnly() {
		s, err := m.openStore(options)
		if err != nil {
			return nil, errs.E(op, m.path, errs.Offline, errors.Join(m.trouble, err))
		}
		o.divide()
		return s, nil
	}
	if err := store.RaiseFormat(m.fs, m.format); err != nil {
		return nil, errs.E(op, m.path, err)
	}
	if err := o.documents.Attach(m.shelf(), m.path); err != nil {
		return nil, errs.E(op, err)
	}
	s, err := m.openStore(options)
	if err == nil {
		err = o.dropDestroyed(s)
	}
	if err != nil {
		err = errors.Join(err, m.closeStore())
		return nil, errs.E(op, m.path, err, o.documents.SetAway(id, err.Error(), false))
	}
	o.divide()
	return s, nil
}

// dropDestroyed removes what the mountpath still has of buckets that are destroyed.
// Their documents stay for the next start, which looks at all mountpaths.
func (o *opener) dropDestroyed(s *store.Store) error {
	for _, doc := range o.documents.Buckets() {
		if doc.State != objects.BucketDestroyed {
			continue
		}
		if err := s.DropBucket(doc.Bucket); err != nil {
			return errs.E("supervisors.dropDestroyed", doc.Bucket, err)
		}
	}
	return nil
}

var errMissing = errors.New("its directory is empty; is its disk mounted?")

// foreign says whose a mountpath is that is not this node's.
func foreign(f *layout.Format, node embedded.Node) error {
	return fmt.Errorf("it belongs to node %s of cluster %s; the others belong to node %s of cluster %s", f.NodeID, f.ClusterID, node.NodeID, node.ClusterID)
}

func isBelow(path, other string) bool {
	return len(path) > len(other) && path[:len(other)] == other && (other == "/" || path[len(other)] == filepath.Separator)
}

// isFresh reports, as an error, why a directory that is no mountpath yet must not
// become one: someone else's files are in it. What a crash left of an earlier
// attempt to format it is nobody's.
func isFresh(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != layout.Private && e.Name() != "lost+found" {
			return fmt.Errorf("it is neither empty nor a mountpath: it holds %q", e.Name())
		}
	}
	return nil
}
