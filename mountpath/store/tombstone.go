package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A delete marker has an entry in a journal, in the batch that it comes with. By it a
// sweeper finds the marker, oldest first, without reading the bucket. What replaces the
// marker leaves the entry, which the sweeper finds stale.
//
// A marker goes in one batch with its entry, and with the bound that covers it from then
// on: a late record that it had deleted is told from a new one by that.

// tombstones is a store's part in dropping delete markers.
type tombstones struct {
	// dropping is held by who drops some: of two bounds the later one must be the one that
	// stays.
	dropping sync.Mutex
	noted    map[objects.BucketID]objects.Bound // what the index says; guarded by dropping
}

// noteTombstone adds to the batch of a delete marker the entry by which it is found.
func (s *Store) noteTombstone(batch *index.Batch, key objects.Key, marker objects.Generation) {
	batch.Set(layout.TombstoneKey(s.generations.Next(), key.Bucket.ID, key.Name), layout.AppendGenerations(nil, marker))
}

// Tombstones returns a page of delete markers in the order in which they came, after one
// arrival and before another. Some may have gone already.
func (s *Store) Tombstones(after, before objects.Generation, limit int) (*messages.TombstonePage, error) {
	const op errs.Op = "store.Tombstones"
	page := &messages.TombstonePage{Now: s.generations.Next()}
	if before.Compare(after) <= 0 {
		return page, nil // none is old enough
	}
	scan, err := s.index.Scan(layout.TombstoneBounds(after, before))
	if err != nil {
		return nil, errs.E(op, err)
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	for scan.Next() {
		if len(page.List) == limit {
			page.More = true
			break
		}
		t, err := tombstone(scan)
		if err != nil {
			return nil, errs.E(op, errors.Join(err, scan.Close()))
		}
		page.List = append(page.List, t)
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return nil, errs.E(op, err)
	}
	return page, nil
}

// tombstone reads the entry that a scan is at.
func tombstone(scan *index.Scan) (t messages.Tombstone, err error) {
	if t.Arrival, t.Key.Bucket.ID, t.Key.Name, err = layout.ParseTombstoneKey(scan.Key()); err != nil {
		return t, err
	}
	value, err := scan.Value()
	if err != nil {
		return t, err
	}
	markers, err := layout.DecodeGenerations(value)
	if err == nil && len(markers) != 1 {
		err = errs.E("store.tombstone", t.Key, errs.Corrupt, fmt.Errorf("%d generations", len(markers)))
	}
	if err == nil {
		t.Generation = markers[0]
	}
	return t, err
}

var errDropping = errors.New("delete markers of the mountpath are being dropped already")

// DropTombstones drops delete markers that are settled and not Held, and entries whose
// markers have gone; that all owners are up and no plan is under way is the caller's to
// know, who holds the others. It also notes what was dropped on other mountpaths of the
// node, which may leave it. One batch. In the keys' turn.
func (s *Store) DropTombstones(list []messages.Tombstone) (swept messages.Swept, err error) {
	const op errs.Op = "store.DropTombstones"
	if err := s.admitDelete(op, objects.Key{}); err != nil {
		return swept, err
	}
	if !s.tombstones.dropping.TryLock() {
		return swept, errs.E(op, errs.Busy, errDropping)
	}
	defer s.tombstones.dropping.Unlock()
	batch := s.index.NewBatch()
	var dropped [][]byte
	for i := range list {
		t := &list[i]
		indexKey := objectKey(t.Key)
		have, err := s.current(op, t.Key, indexKey)
		switch {
		case err != nil && !errs.Is(errs.Busy, err):
			batch.Close()
			return messages.Swept{}, err
		case err != nil:
			swept.Held++
		case have == nil || have.Generation != t.Generation || !have.Deleted:
			batch.Delete(layout.TombstoneKey(t.Arrival, t.Key.Bucket.ID, t.Key.Name))
			swept.Stale++
		case t.Held:
			swept.Held++
		case have.Unsettled:
			swept.Unsettled = append(swept.Unsettled, *t)
		default:
			batch.Delete(layout.TombstoneKey(t.Arrival, t.Key.Bucket.ID, t.Key.Name))
			batch.Delete(indexKey)
			dropped = append(dropped, indexKey)
			swept.Dropped++
			s.bounds().raise(t.Key.Bucket.ID, objects.BoundOf([]objects.Generation{t.Generation})) // before it has gone
		}
	}
	noted := s.noteBounds(batch)
	if batch.Len() == 0 {
		batch.Close()
		return swept, nil
	}
	if err := s.index.Commit(batch, dropped...); err != nil {
		return messages.Swept{}, errs.E(op, kindOf(err), err)
	}
	for bucket, bound := range noted {
		s.tombstones.noted[bucket] = bound
	}
	return swept, nil
}

// noteBounds adds to a batch the bounds that the index does not know, and returns them.
func (s *Store) noteBounds(batch *index.Batch) map[objects.BucketID]objects.Bound {
	bounds := s.bounds().all()
	for bucket, bound := range bounds {
		if bound.Equal(s.tombstones.noted[bucket]) {
			delete(bounds, bucket)
			continue
		}
		batch.Set(layout.DroppedKey(bucket), layout.AppendGenerations(nil, bound.Generations()...))
	}
	return bounds
}

// forgetBound adds to the batch that drops a bucket that of its bound. The caller holds
// dropping.
func (s *Store) forgetBound(batch *index.Batch, bucket objects.BucketID) {
	batch.Delete(layout.DroppedKey(bucket))
	s.bounds().forget(bucket)
	delete(s.tombstones.noted, bucket)
}

// Renew gives a record that is to be settled a greater generation, under a version of the
// map; errs.Conflict if it is of another one than that given. By is for the history. In
// the key's turn.
func (s *Store) Renew(key objects.Key, generation objects.Generation, mapVersion uint64, by objects.Origin) (*objects.Meta, error) {
	const op errs.Op = "store.Renew"
	if err := s.admitDelete(op, key); err != nil {
		return nil, err
	}
	indexKey := objectKey(key)
	old, err := s.current(op, key, indexKey)
	switch {
	case err != nil:
		return nil, err
	case old == nil || old.Generation != generation:
		return nil, errs.E(op, key, errs.Conflict, errors.New("it was written again meanwhile"))
	case !s.isCheckpointed(relaxedGeneration(old)): // its journal finds it by its generation
		return nil, errs.E(op, key, errs.Busy, errors.New("its payload is not on stable storage yet: ask again in some seconds"))
	}
	meta := *old
	meta.Generation, meta.Unsettled = s.generations.Under(mapVersion), true
	if old.Slicing != nil && !old.Unsettled {
		meta.Follows = old.Generation
	}
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	if meta.Deleted {
		s.noteTombstone(batch, key, meta.Generation)
	}
	s.recordWrite(batch, objects.MutationRenewed, key, &meta, &by)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return nil, failed(op, key, err)
	}
	return &meta, nil
}
