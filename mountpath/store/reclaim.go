package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// reclaimEntry is one entry of the index that says what may be unlinked. It
// stays in the index until the space is back.
type reclaimEntry struct {
	layout.Reclaim
	key  []byte // in the index
	left bool   // ReclaimFile: the payload is at its name no more
	// after is when it may go, from when it might have gone for the rest: who reads may still
	// open a further slice. Of the reclaimer's.
	after time.Time
	going bool // it is being drained; guarded by the queue's mu, and written by the reclaimer
}

func (e *reclaimEntry) objectKey() objects.Key {
	return objects.Key{Bucket: objects.Bucket{ID: e.Bucket, Name: e.Bucket.String()}, Name: e.Name}
}

// reclaimQueue holds the entries that are to be drained, oldest first. Safe for
// concurrent use.
type reclaimQueue struct {
	mu      sync.Mutex
	entries []*reclaimEntry
	taken   map[string]*reclaimEntry // by key, those that are neither finished nor back, those that panicked included
	bytes   int64                    // of both
}

func (q *reclaimQueue) add(entries ...*reclaimEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.entries = append(q.entries, e)
		q.bytes += e.Bytes
	}
}

func (q *reclaimQueue) take(limit int) []*reclaimEntry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(limit, len(q.entries))
	taken := append([]*reclaimEntry(nil), q.entries[:n]...)
	q.entries = q.entries[n:]
	if q.taken == nil {
		q.taken = make(map[string]*reclaimEntry)
	}
	for _, e := range taken {
		q.taken[string(e.key)] = e
	}
	return taken
}

// end notes what became of entries that were taken.
func (q *reclaimQueue) end(finished, back []*reclaimEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range finished {
		delete(q.taken, string(e.key))
		q.bytes -= e.Bytes
	}
	for _, e := range back {
		if q.taken[string(e.key)] == e { // else it was dropped meanwhile
			delete(q.taken, string(e.key))
			q.entries = append(q.entries, e)
		}
	}
}

// goes reports whether an entry that was taken may be drained: from then on it cannot be
// dropped. One that was dropped is the queue's no more.
func (q *reclaimQueue) goes(e *reclaimEntry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken[string(e.key)] != e {
		return false
	}
	e.going = true
	return true
}

// drop forgets an entry, because what it would have unlinked is named again; false: that has
// begun, or ended. The batch that names it deletes the entry. If that fails, add brings it back.
func (q *reclaimQueue) drop(entry *reclaimEntry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.taken[string(entry.key)]; e != nil {
		if e.going {
			return false
		}
		delete(q.taken, string(entry.key))
		q.bytes -= e.Bytes
		return true
	}
	at := slices.IndexFunc(q.entries, func(e *reclaimEntry) bool { return bytes.Equal(e.key, entry.key) })
	if at < 0 || q.entries[at].going {
		return false
	}
	q.bytes -= q.entries[at].Bytes
	q.entries = slices.Delete(slices.Clone(q.entries), at, at+1)
	return true
}

// Reclaimable returns how many payloads are deleted and not yet reclaimed, and
// their bytes.
func (s *Store) Reclaimable() (payloads int, bytes int64) {
	s.reclaim.mu.Lock()
	defer s.reclaim.mu.Unlock()
	return len(s.reclaim.entries) + len(s.reclaim.taken), s.reclaim.bytes
}

// Reclaim gives back the space of up to limit entries and returns how many it
// finished. Entries that a reader pins, or that fail, go back to the queue. One
// caller at a time.
//
// Each step is synced before the next, once for all entries: names are left,
// files are unlinked, entries are deleted. Otherwise a power cut could bring back
// a name or a file that no entry speaks of any more.
func (s *Store) Reclaim(limit int) (finished int, err error) {
	r := &reclaiming{store: s, dirs: make(map[string]struct{})}
	r.entries = s.reclaim.take(limit)
	if len(r.entries) == 0 {
		return 0, nil
	}
	r.each(r.leaveName)
	r.syncDirs()
	r.each(r.unlink)
	r.syncDirs()
	r.commit()
	s.reclaim.end(r.entries, r.back)
	return len(r.entries), errors.Join(r.failures...)
}

// reclaiming is one run of Reclaim.
type reclaiming struct {
	store    *Store
	entries  []*reclaimEntry // still on their way
	back     []*reclaimEntry // to be tried again
	dirs     map[string]struct{}
	failures []error
}

// errPinned says that a reader holds the payload, or that what replaced it is not durable,
// or not settled yet.
var errPinned = errors.New("the payload is still held")

// errNamedAgain says that a record has come to name the payload again.
var errNamedAgain = errors.New("the payload is named again")

// replacedTime is how long slices are kept once they may go, and whatever an unsettled record
// replaced: a download that reads them one after the other opens the last of them by then.
const replacedTime = time.Minute

// each takes a step with every entry; those that fail leave the run. What panics is set
// aside until the mountpath is opened again: it would do so with every try.
func (r *reclaiming) each(step func(*reclaimEntry) error) {
	kept := r.entries[:0]
	for _, e := range r.entries {
		switch err := r.store.apart(e.objectKey(), messages.DeleteAccess, func() error { return step(e) }); {
		case err == nil:
			kept = append(kept, e)
		case isPanic(err):
			r.failures = append(r.failures, errs.E("store.Reclaim", fmt.Errorf("%w; its space comes back when the mountpath is opened again", err)))
		case errors.Is(err, errPinned):
			r.back = append(r.back, e)
		case errors.Is(err, errNamedAgain):
		default:
			r.fail(e.objectKey(), err)
			r.back = append(r.back, e)
		}
	}
	r.entries = kept
}

func (r *reclaiming) fail(key objects.Key, err error) {
	r.store.diskError(key, err)
	r.failures = append(r.failures, errs.E("store.Reclaim", key, kindOf(err), err))
}

// syncDirs syncs the directories that lost names since the last time. If one
// cannot be synced, no entry goes on.
func (r *reclaiming) syncDirs() {
	for dir := range r.dirs {
		if err := absent(r.store.fs.SyncDir(dir)); err != nil {
			r.fail(objects.Key{}, err)
			r.back = append(r.back, r.entries...)
			r.entries = nil
		}
	}
	clear(r.dirs)
}

func (r *reclaiming) leaveName(e *reclaimEntry) error {
	if r.store.leases.pinned(e.Payload) || !r.store.isCheckpointed(e.By) {
		return errPinned
	}
	if waits, err := r.store.waits(e); err != nil {
		return err
	} else if waits {
		return errPinned
	}
	if !r.store.reclaim.goes(e) {
		return errNamedAgain
	}
	if e.Kind == layout.ReclaimUpload {
		r.dirs[layout.UploadDir(e.UploadID)] = struct{}{}
		return r.store.markRetired(e)
	}
	if e.Kind != layout.ReclaimFile {
		return nil
	}
	if !e.left {
		r.store.names.alone(func() { r.store.leaveName(e) })
		if !e.left {
			return errors.New("the payload cannot leave its name")
		}
	}
	r.dirs[path.Dir(e.Path)] = struct{}{}
	return nil
}

// waits reports whether an entry is not to be drained yet. Of the record it believes only that
// it is settled, which is never taken back: neither by writers that overtake the look, nor by a
// crash that loses the flag, for all that must have the record have it.
func (s *Store) waits(e *reclaimEntry) (bool, error) {
	if !e.Settles && e.Kind != layout.ReclaimSlices {
		return false, nil
	}
	if e.Settles {
		record, err := s.recordOrNone(e.objectKey())
		if err != nil || record != nil && record.Unsettled {
			e.after = time.Time{}
			return true, err
		}
	}
	now := s.now()
	if e.after.IsZero() {
		e.after = now.Add(replacedTime)
	}
	return now.Before(e.after), nil
}

func (r *reclaiming) unlink(e *reclaimEntry) error {
	switch e.Kind {
	case layout.ReclaimFile:
		r.store.forgetMembers(e.Payload)
		if e.Sidecar {
			sidecar := layout.SidecarPath(e.Payload)
			r.dirs[path.Dir(sidecar)] = struct{}{}
			if err := absent(r.store.fs.Remove(sidecar)); err != nil {
				return err
			}
		}
		r.dirs[layout.TrashDir] = struct{}{}
		return absent(r.store.fs.Remove(layout.TrashPath(e.Payload)))
	case layout.ReclaimPart:
		name := layout.PartPath(e.UploadID, e.Part, e.Payload)
		r.dirs[path.Dir(name)] = struct{}{}
		if err := absent(r.store.fs.Remove(layout.PartSidecarPath(e.UploadID, e.Part, e.Payload))); err != nil {
			return err
		}
		return absent(r.store.fs.Remove(name))
	case layout.ReclaimUpload:
		r.store.forgetMembers(e.Payload)
		r.dirs[layout.PartsDir] = struct{}{}
		return r.store.removeTree(layout.UploadDir(e.UploadID))
	case layout.ReclaimSlices:
		if e.Sidecar {
			sidecar := layout.SidecarPath(e.Payload)
			r.dirs[path.Dir(sidecar)] = struct{}{}
			if err := absent(r.store.fs.Remove(sidecar)); err != nil {
				return err
			}
		}
		for _, index := range e.Indices {
			name := layout.SlicePath(e.Payload, index)
			r.dirs[path.Dir(name)] = struct{}{}
			if err := absent(r.store.fs.Remove(name)); err != nil {
				return err
			}
		}
		return nil
	case layout.ReclaimInline:
		return nil // the payload goes with the entry
	default:
		return fmt.Errorf("a reclaim entry of unknown kind %d", e.Kind)
	}
}

// commit deletes the entries that went all the way, and sweeps the directories
// that they may have left empty.
func (r *reclaiming) commit() {
	if len(r.entries) == 0 {
		return
	}
	batch := r.store.index.NewBatch()
	for _, e := range r.entries {
		batch.Delete(e.key)
		if e.Kind == layout.ReclaimInline || e.Kind == layout.ReclaimUpload && (!e.By.IsZero() || e.Settles) {
			batch.Delete(layout.PayloadKey(nil, e.Bucket, e.Name, e.Payload))
		}
		if e.Kind == layout.ReclaimInline {
			r.store.deletedBytes.Add(e.Bytes)
		}
	}
	if err := r.store.index.Commit(batch); err != nil {
		r.fail(objects.Key{}, err)
		r.back, r.entries = append(r.back, r.entries...), nil
		return
	}
	for _, e := range r.entries {
		if e.Kind == layout.ReclaimFile {
			r.store.names.sweep(path.Dir(e.Path), bucketDirOf(e.Path))
		}
	}
}

// bucketDirOf returns the bucket's directory of a payload path; it stays when it
// is empty.
func bucketDirOf(name string) string {
	depth := 1
	if strings.HasPrefix(name, layout.BucketsDir+"/") {
		depth = strings.Count(layout.BucketsDir, "/") + 2
	}
	parts := strings.SplitN(name, "/", depth+1)
	return strings.Join(parts[:min(depth, len(parts))], "/")
}

// absent turns "it is not there" into success. Where a directory was, a file may
// be by now: then what was below it is not there either.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// removeTree removes a directory with all that is below it.
func (s *Store) removeTree(dirPath string) error {
	var entries []disk.Entry
	err := s.fs.ReadDir(dirPath, func(e disk.Entry) bool {
		entries = append(entries, e)
		return true
	})
	if err != nil {
		return absent(err)
	}
	if at := slices.IndexFunc(entries, func(e disk.Entry) bool { return e.Name == layout.RetiredName }); at >= 0 {
		entries = append(slices.Delete(entries, at, at+1), disk.Entry{Name: layout.RetiredName, Regular: true}) // the mark goes last
	}
	for _, e := range entries {
		below := path.Join(dirPath, e.Name)
		if !e.Dir && !e.Regular {
			info, err := s.fs.Stat(below)
			if err != nil {
				return absent(err)
			}
			e.Dir = info.Dir
		}
		if e.Dir {
			err = s.removeTree(below)
		} else {
			err = absent(s.fs.Remove(below))
		}
		if err != nil {
			return err
		}
	}
	s.names.forget(dirPath)
	return absent(s.fs.RemoveDir(dirPath))
}

// clearDeleted removes the file of a deleted relaxed write whose attribute a power
// cut took: its name does not tell whose it is, but no other object of the key is
// there. It lasts before the entry goes.
func (s *Store) clearDeleted(entry *reclaimEntry) error {
	current, err := s.record(layout.ObjectKey(nil, entry.Bucket, entry.Name))
	if err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	if current != nil && current.Where == objects.File {
		return nil
	}
	torn, err := s.isTorn(entry.Path)
	if err != nil || !torn {
		return err
	}
	return absent(s.fs.Remove(entry.Path))
}

// loadReclaims reads the entries of the index into the queue. Files leave their
// names now, before any write of their keys.
func (s *Store) loadReclaims() error {
	lower, upper := []byte{layout.KindReclaim}, []byte{layout.KindReclaim + 1}
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return err
	}
	for scan.Next() {
		value, err := scan.Value()
		var reclaim *layout.Reclaim
		if err == nil {
			reclaim, err = layout.DecodeReclaim(value)
		}
		if err != nil {
			return errors.Join(err, scan.Close())
		}
		entry := &reclaimEntry{Reclaim: *reclaim, key: append([]byte(nil), scan.Key()...)}
		if entry.Kind == layout.ReclaimFile && !entry.Settles {
			s.leaveName(entry)
			if !entry.left {
				return errors.Join(errs.E("store.loadReclaims", entry.objectKey(), errs.IO, errors.New("a deleted payload cannot leave its name")), scan.Close())
			}
			if err := s.clearDeleted(entry); err != nil {
				return errors.Join(errs.E("store.loadReclaims", entry.objectKey(), kindOf(err), err), scan.Close())
			}
		}
		if entry.Kind == layout.ReclaimUpload {
			if err := s.markRetired(entry); err != nil {
				s.diskError(entry.objectKey(), err) // tried again when the entry is drained
			}
		}
		s.reclaim.add(entry)
	}
	return errors.Join(scan.Err(), scan.Close())
}
