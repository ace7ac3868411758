package store

import (
	"errors"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Seal makes every lane refuse writes of a bucket that is being destroyed, or
// take them again. A lane's earlier writes are done when the lane says that it
// has seen the seal.
func (s *Store) Seal(bucket objects.BucketID, sealed bool) {
	if sealed {
		s.lifetime.seals().buckets.Store(bucket, struct{}{})
	} else {
		s.lifetime.seals().buckets.Delete(bucket)
	}
}

// Sealed reports whether writes of the bucket are refused.
func (s *Store) Sealed(bucket objects.BucketID) bool {
	_, sealed := s.lifetime.seals().buckets.Load(bucket)
	return sealed
}

// IsEmpty reports whether the mountpath has no object of the bucket. Uploads
// under way do not count: they go with the bucket.
func (s *Store) IsEmpty(bucket objects.Bucket) (bool, error) {
	page, err := s.List(ListRequest{Bucket: bucket, Limit: 1})
	if err != nil {
		return false, err
	}
	return len(page.Entries) == 0, nil
}

// emptyAtOnce is how many objects of a bucket are deleted with one commit.
const emptyAtOnce = 256

// EmptyBucket deletes at most limit objects of a bucket that is being destroyed
// with all that is in it and whose id every lane refuses, and reports whether
// there may be more. Space comes back through the reclaimer.
func (s *Store) EmptyBucket(bucket objects.Bucket, limit int) (more bool, err error) {
	const op errs.Op = "store.EmptyBucket"
	if err := s.admitDelete(op, bucket); err != nil {
		return true, err
	}
	lower, upper := layout.BucketBounds(layout.KindObject, bucket.ID)
	if open := s.unsettled.of(func(key objects.Key) bool { return key.Bucket.ID == bucket.ID }); len(open) > 0 {
		return true, errs.E(op, bucket, errs.Busy, errors.New("a write of a key in it was interrupted and is not settled yet"))
	}
	for deleted := 0; deleted < limit; {
		n, err := s.emptySome(bucket, lower, upper, min(emptyAtOnce, limit-deleted))
		if err != nil {
			return true, errs.E(op, bucket, err)
		}
		if n == 0 {
			return false, nil
		}
		deleted += n
	}
	return true, nil
}

// emptySome deletes the first limit records between the bounds with one commit.
func (s *Store) emptySome(bucket objects.Bucket, lower, upper []byte, limit int) (int, error) {
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return 0, err
	}
	batch := s.index.NewBatch()
	var entries []*reclaimEntry
	deleted := 0
	for deleted < limit && scan.Next() {
		value, err := scan.Value()
		var old *objects.Meta
		if err == nil {
			old, err = layout.DecodeRecord(value)
		}
		if err != nil {
			batch.Close()
			return 0, errors.Join(err, scan.Close())
		}
		key := objects.Key{Bucket: bucket, Name: string(layout.ObjectName(scan.Key()))}
		batch.Delete(objectKey(key))
		if !old.Deleted {
			s.recordWrite(batch, objects.MutationDeleted, key, &objects.Meta{Generation: s.generations.Next()}, &objects.Origin{Cause: objects.CauseBucket})
		}
		if entry := s.retire(batch, key, old, nil); entry != nil {
			entries = append(entries, entry)
		}
		deleted++
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil || deleted == 0 {
		batch.Close()
		return 0, err
	}
	if err := s.index.Commit(batch); err != nil {
		return 0, err
	}
	for _, entry := range entries {
		s.retired(entry)
	}
	return deleted, nil
}

// DropBucket removes everything that the mountpath has of a bucket that was
// found empty, whose document says that it is destroyed, and whose id every lane
// refuses. Space comes back through the reclaimer. Idempotent, also after a bucket
// of the same name was made anew.
func (s *Store) DropBucket(bucket objects.Bucket) error {
	const op errs.Op = "store.DropBucket"
	if err := s.abandonBucket(bucket); err != nil { // nothing begins any more
		return errs.E(op, bucket, err)
	}
	batch := s.index.NewBatch()
	entries, err := s.dropPayloads(batch, bucket)
	if err == nil {
		err = s.recordDestroyed(batch, bucket)
	}
	if err != nil {
		batch.Close()
		return errs.E(op, bucket, err)
	}
	for _, kind := range []byte{layout.KindObject, layout.KindVersion, layout.KindPayload, layout.KindUpload} {
		lower, upper := layout.BucketBounds(kind, bucket.ID)
		batch.DeleteRange(lower, upper)
	}
	s.tombstones.dropping.Lock() // nobody notes a bound of it after this
	defer s.tombstones.dropping.Unlock()
	s.forgetBound(batch, bucket.ID)
	defer s.scrub.forget(batch, bucket.ID)()
	if err := s.index.Commit(batch); err != nil {
		return errs.E(op, bucket, err)
	}
	s.reclaim.add(entries...)
	// A bucket that may be dropped is empty: its directory holds only empty
	// directories, and files that left their records and have reclaim entries. It
	// is not moved away: by now it may be that of a new bucket of the same name.
	s.names.clearEmpty(layout.BucketDir(bucket))
	return nil
}

// abandonBucket abandons all that is staged of a bucket.
func (s *Store) abandonBucket(bucket objects.Bucket) error {
	var failures []error
	for _, p := range s.staging.all() {
		if p.key.Bucket.ID == bucket.ID {
			failures = append(failures, s.AbandonStage(p.key, p.payload))
		}
	}
	return errors.Join(failures...)
}

// dropPayloads adds to the batch the reclaims of uploads under way.
func (s *Store) dropPayloads(batch *index.Batch, bucket objects.Bucket) ([]*reclaimEntry, error) {
	lower, upper := layout.BucketBounds(layout.KindUpload, bucket.ID)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, err
	}
	var entries []*reclaimEntry
	for ok := scan.Next(); ok; {
		_, name, id, _, err := layout.ParseUploadKey(scan.Key())
		if err != nil {
			return nil, errors.Join(err, scan.Close())
		}
		entries = append(entries, addReclaim(batch, layout.Reclaim{
			Kind: layout.ReclaimUpload, Bucket: bucket.ID, Name: name, Payload: s.generations.Next(), UploadID: id,
		}))
		_, end := layout.UploadBounds(bucket.ID, name, id)
		ok = end != nil && scan.SeekGE(end)
	}
	return entries, errors.Join(scan.Err(), scan.Close())
}
