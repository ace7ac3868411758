package disk

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/OneOfOne/xxhash"
)

// Mem is an FS in memory whose power can be cut: Crash returns what would be
// left. It keeps POSIX's rules and errors as ext4 has them, and the promises of
// FS to the letter, but no more: whatever was not synced may be gone after
// Crash, also where a real filesystem would usually have kept it.
//
// It is the same in every run: inode numbers count up, its clock ticks once per
// change unless SetClock gives another, and ReadDir's order follows from the
// seed. Files are at most 64 GiB. Safe for concurrent use.
type Mem struct {
	seed       uint64
	operations atomic.Uint64
	changes    atomic.Uint64
	observer   atomic.Pointer[func(Operation)]

	mu       sync.RWMutex // guards all below, all nodes and all open files
	root     *node
	names    names
	inodes   uint64 // the last inode number
	files    uint64 // nodes there are
	used     uint64 // bytes charged
	space    Space
	readOnly bool
	clock    func() time.Time // nil: ticks
	ticks    int64            // changes so far
	born     int64            // the last birth time
}

// epoch is when the clock of a Mem begins: 2020-01-01, in ns since 1970.
const epoch = 1577836800 * int64(time.Second)

// defaultSpaceBytes and defaultSpaceFiles are what a new Mem has room for. They
// cost nothing until they are used.
const (
	defaultSpaceBytes = 1 << 40
	defaultSpaceFiles = 1 << 24
)

// NewMem returns an empty filesystem. The seed orders ReadDir, is the source of
// chance for a Crash that brings none, and is the device number: two Mems with
// one seed look like one filesystem.
func NewMem(seed uint64) *Mem {
	m := &Mem{
		seed:  seed,
		space: Space{Device: seed, TotalBytes: defaultSpaceBytes, TotalFiles: defaultSpaceFiles},
	}
	m.root = m.newNode()
	m.root.directory = newDirectory(nil)
	m.charge(m.root, blockBytes)
	return m
}

// SetSpace sets how many bytes and files (with directories, the root among
// them) there is room for. Less than what is there leaves no room for more.
func (m *Mem) SetSpace(totalBytes, totalFiles uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space.TotalBytes, m.space.TotalFiles = totalBytes, totalFiles
}

// SetReadOnly makes every change fail with EROFS, as when the kernel remounts a
// filesystem after an error, or ends that. What was not synced cannot be
// synced meanwhile.
func (m *Mem) SetReadOnly(readOnly bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readOnly = readOnly
}

// SetClock gives the clock that times come from. Birth times differ whatever it
// says.
func (m *Mem) SetClock(clock func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = clock
}

// OnOperation sets the function that is called before each operation takes
// effect, in the goroutine that called it and with no lock held: it may call
// Crash. nil ends it.
func (m *Mem) OnOperation(observer func(Operation)) {
	if observer == nil {
		m.observer.Store(nil)
		return
	}
	m.observer.Store(&observer)
}

// Operations returns how many operations have begun.
func (m *Mem) Operations() uint64 { return m.operations.Load() }

// Changes returns how many operations have begun whose Call Changes what a
// power cut leaves.
func (m *Mem) Changes() uint64 { return m.changes.Load() }

// begin counts an operation and tells the observer.
func (m *Mem) begin(operation Operation) {
	operation.Number = m.operations.Add(1)
	if operation.Call.Changes() {
		m.changes.Add(1)
	}
	if observer := m.observer.Load(); observer != nil {
		(*observer)(operation)
	}
}

// now returns the time of a change.
func (m *Mem) now() int64 {
	m.ticks++
	if m.clock != nil {
		return m.clock().UnixNano()
	}
	return epoch + m.ticks*int64(time.Microsecond)
}

// newNode returns a node that is neither file nor directory yet.
func (m *Mem) newNode() *node {
	m.inodes++
	m.files++
	now := m.now()
	m.born = max(now, m.born+1)
	return &node{number: m.inodes, birth: m.born, modified: now}
}

// room returns ENOSPC if there is none for so many more bytes.
func (m *Mem) room(bytes uint64) error {
	if m.used+bytes > m.space.TotalBytes {
		return syscall.ENOSPC
	}
	return nil
}

// charge sets what a node takes of the space.
func (m *Mem) charge(n *node, bytes uint64) {
	m.used += bytes - n.charged // may wrap around, and back
	n.charged = bytes
}

// chargeFile charges a file with its blocks, or with what is reserved for it if
// that is more.
func (m *Mem) chargeFile(n *node) {
	m.charge(n, uint64(max(n.file.now.blocks*blockBytes, n.reserved)))
}

// drop frees a node that has neither names nor open files.
func (m *Mem) drop(n *node) {
	if n.links == 0 && n.opens == 0 {
		m.charge(n, 0)
		m.files--
	}
}

// walk returns the directory that holds the last name of a path, and that name;
// an empty name for the root.
func (m *Mem) walk(path string) (*node, string, error) {
	path, err := checkPath(path)
	if err != nil {
		return nil, "", err
	}
	if path == "." {
		return m.root, "", nil
	}
	at := m.root
	for {
		name, rest, more := strings.Cut(path, "/")
		if at.directory == nil {
			return nil, "", syscall.ENOTDIR
		}
		if !more {
			return at, name, nil
		}
		if at, err = at.lookup(name); err != nil {
			return nil, "", err
		}
		path = rest
	}
}

// lookup returns what a directory has under the name: ENAMETOOLONG, ENOENT.
func (n *node) lookup(name string) (*node, error) {
	if len(name) > maxNameBytes {
		return nil, syscall.ENAMETOOLONG
	}
	if found, ok := n.directory.names[name]; ok {
		return found, nil
	}
	return nil, syscall.ENOENT
}

// find returns the node at a path.
func (m *Mem) find(path string) (*node, error) {
	in, name, err := m.walk(path)
	if err != nil || name == "" {
		return in, err
	}
	return in.lookup(name)
}

// OpenFile implements FS. It refuses what Linux refuses.
func (m *Mem) OpenFile(path string, flag int, mode os.FileMode) (File, error) {
	call := CallOpen
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		call = CallCreate
	}
	m.begin(Operation{Call: call, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	file, err := m.openFile(path, flag)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return file, nil
}

func (m *Mem) openFile(path string, flag int) (*memFile, error) {
	if err := checkFlag(flag); err != nil {
		return nil, err
	}
	in, name, err := m.walk(path)
	if err != nil {
		return nil, err
	}
	exclusive := flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0
	if name == "" {
		if exclusive {
			return nil, syscall.EEXIST
		}
		return nil, syscall.EISDIR
	}
	found, err := in.lookup(name)
	switch {
	case err == nil && exclusive:
		return nil, syscall.EEXIST
	case err == nil && found.directory != nil:
		return nil, syscall.EISDIR
	case err == nil:
		if m.readOnly && flag&(os.O_WRONLY|os.O_RDWR|os.O_TRUNC) != 0 {
			return nil, syscall.EROFS
		}
		if flag&os.O_TRUNC != 0 {
			m.truncate(found, 0)
		}
	case err == syscall.ENOENT && flag&os.O_CREATE != 0:
		if found, err = m.createFile(in, name); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	found.opens++
	return &memFile{
		mem:  m,
		path: path,
		node: found,
		read: flag&os.O_WRONLY == 0, write: flag&(os.O_WRONLY|os.O_RDWR) != 0,
	}, nil
}

// createFile makes an empty file under a name that is free.
func (m *Mem) createFile(in *node, name string) (*node, error) {
	if m.readOnly {
		return nil, syscall.EROFS
	}
	if m.files >= m.space.TotalFiles {
		return nil, syscall.ENOSPC
	}
	created := m.newNode()
	created.file = new(fileData)
	m.give(slot{in, name}, created)
	m.names.record(&nameOperation{to: slot{in, name}, node: created}, nil)
	return created, nil
}

// give puts a node under a name that is free.
func (m *Mem) give(to slot, n *node) {
	to.directory.directory.names[to.name] = n
	to.directory.modified = m.now()
	if n.directory != nil {
		n.directory.parent = to.directory
		to.directory.directory.subs++
	} else {
		n.links++
	}
}

// take takes a node from under its name. It stays charged: see drop.
func (m *Mem) take(from slot, n *node) {
	delete(from.directory.directory.names, from.name)
	from.directory.modified = m.now()
	if n.directory != nil {
		n.directory.parent = nil
		from.directory.directory.subs--
	} else {
		n.links--
	}
}

// OpenDir implements FS.
func (m *Mem) OpenDir(path string) (Dir, error) {
	m.begin(Operation{Call: CallOpenDir, Path: path})
	m.mu.RLock()
	defer m.mu.RUnlock()
	found, err := m.find(path)
	if err == nil && found.directory == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &memDir{mem: m, path: path, node: found}, nil
}

// Stat implements FS.
func (m *Mem) Stat(path string) (Info, error) {
	m.begin(Operation{Call: CallStat, Path: path})
	m.mu.RLock()
	defer m.mu.RUnlock()
	found, err := m.find(path)
	if err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return found.info(), nil
}

// ReadDir implements FS. It visits the names that there are when it begins, in
// an order that follows from the seed and the names.
func (m *Mem) ReadDir(path string, visit func(Entry) bool) error {
	m.begin(Operation{Call: CallReadDir, Path: path})
	entries, err := m.entries(path)
	if err != nil {
		return &os.PathError{Op: "readdir", Path: path, Err: err}
	}
	for _, entry := range entries {
		if !visit(entry.Entry) {
			break
		}
	}
	return nil
}

type orderedEntry struct {
	Entry
	order uint64
}

func (m *Mem) entries(path string) ([]orderedEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found, err := m.find(path)
	if err != nil {
		return nil, err
	}
	if found.directory == nil {
		return nil, syscall.ENOTDIR
	}
	entries := make([]orderedEntry, 0, len(found.directory.names))
	for name, node := range found.directory.names {
		entries = append(entries, orderedEntry{
			Entry: Entry{Name: name, Dir: node.directory != nil, Regular: node.file != nil},
			order: xxhash.ChecksumString64S(name, m.seed),
		})
	}
	slices.SortFunc(entries, func(a, b orderedEntry) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Name, b.Name))
	})
	return entries, nil
}

// GetAttr implements FS.
func (m *Mem) GetAttr(path, name string) ([]byte, error) {
	m.begin(Operation{Call: CallGetAttr, Path: path, Attribute: name})
	m.mu.RLock()
	defer m.mu.RUnlock()
	found, err := m.find(path)
	if err == nil {
		var value []byte
		if value, err = found.attribute(name); err == nil {
			return value, nil
		}
	}
	return nil, &os.PathError{Op: "getattr", Path: path, Err: err}
}

// Space implements FS. It never fails.
func (m *Mem) Space() (Space, error) {
	m.begin(Operation{Call: CallSpace})
	m.mu.RLock()
	defer m.mu.RUnlock()
	space := m.space
	space.FreeBytes = space.TotalBytes - min(m.used, space.TotalBytes)
	space.FreeFiles = space.TotalFiles - min(m.files, space.TotalFiles)
	space.ReadOnly = m.readOnly
	return space, nil
}

// Lock implements FS. A crash ends all locks.
func (m *Mem) Lock(path string) (io.Closer, error) {
	m.begin(Operation{Call: CallLock, Path: path})
	m.mu.Lock()
	defer m.mu.Unlock()
	file, err := m.openFile(path, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, syscall.EROFS) {
		if existing, openErr := m.openFile(path, os.O_RDONLY); openErr == nil {
			file, err = existing, nil
		}
	}
	if err == nil && file.node.locked {
		file.close()
		err = ErrLocked
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	file.node.locked = true
	return &memLock{file}, nil
}
