package offline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Buckets are the buckets that the documents speak of, by id.
type Buckets map[objects.BucketID]*objects.BucketDoc

// live returns the bucket of an id if its objects are objects: it is in use, or
// being looked at for emptiness.
func (b Buckets) live(id objects.BucketID) (objects.Bucket, bool) {
	doc := b[id]
	if doc == nil || doc.State == objects.BucketDestroyed {
		return objects.Bucket{}, false
	}
	return doc.Bucket, true
}

// Mount is a mountpath that no node has open: its lock is held until Close. Not
// safe for concurrent use.
type Mount struct {
	FS     disk.FS // a disk.View unless it was opened to be written
	Name   string  // for people: its path
	Format *layout.Format
	lock   io.Closer
}

// OpenMount takes the lock of a mountpath and reads its format. With write it may
// be changed; else it is only looked at, and may lie on a read-only filesystem. A
// mountpath in use is Busy, wrapping disk.ErrLocked. The FS stays the caller's.
func OpenMount(filesystem disk.FS, name string, write bool) (*Mount, error) {
	const op errs.Op = "offline.OpenMount"
	m := &Mount{FS: filesystem, Name: name}
	if !write {
		m.FS = disk.View(filesystem)
	}
	var err error
	if m.Format, err = store.ReadFormat(m.FS); err != nil {
		if errs.Is(errs.NotFound, err) {
			return nil, errs.E(op, name, errs.NotFound, errors.New("it is not a mountpath: there is no "+layout.FormatFile+"; is its disk mounted?"))
		}
		return nil, errs.E(op, name, err)
	}
	if m.lock, err = m.FS.Lock(layout.LockFile); err != nil {
		if errors.Is(err, disk.ErrLocked) {
			return nil, errs.E(op, name, errs.Busy, fmt.Errorf("a node has it open: %w", err))
		}
		return nil, errs.E(op, name, errs.IO, err)
	}
	return m, nil
}

// Close gives the lock back.
func (m *Mount) Close() error {
	if err := m.lock.Close(); err != nil {
		return errs.E("offline.Close", m.Name, errs.IO, err)
	}
	return nil
}

// startOf is the start counter in a generation that this node took, or 0.
func (m *Mount) startOf(g objects.Generation) uint64 {
	counter, own := objects.StartCounter(g.Start, objects.NodeDigest(m.Format.NodeID))
	if !own {
		return 0
	}
	return counter
}

// exists reports whether there is a name.
func (m *Mount) exists(name string) (bool, error) {
	_, err := m.FS.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
