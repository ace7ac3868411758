package store

import (
	"errors"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// What a destroyed bucket was called is kept for as long as there may be history of it.

// recordDestroyed adds to the batch that drops a bucket what it was called.
func (s *Store) recordDestroyed(batch *index.Batch, bucket objects.Bucket) error {
	if s.history.current.Load() == 0 {
		return nil
	}
	key := layout.DestroyedKey(nil, bucket.ID)
	if known, err := s.journal(key); err != nil || known != nil { // it is dropped once more
		return err
	}
	value := layout.AppendDestroyed(nil, &layout.DestroyedBucket{Bucket: bucket, Destroyed: s.now()})
	batch.Set(key, value)
	s.history.added.Add(int64(len(key) + len(value)))
	return nil
}

// eachDestroyed calls visit with each destroyed bucket that is still known; nil for one
// whose entry is damaged, which must not keep the others from being found. The key is
// visit's.
func (s *Store) eachDestroyed(visit func(key []byte, d *layout.DestroyedBucket)) error {
	lower, upper := layout.DestroyedBounds()
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return err
	}
	for scan.Next() {
		value, err := scan.Value()
		if err != nil {
			return errors.Join(err, scan.Close())
		}
		d, err := layout.DecodeDestroyed(value)
		if err != nil {
			s.log.WithError(err).Error("the name of a destroyed bucket is damaged: its history is found by its id only")
			d = nil
		}
		visit(append([]byte(nil), scan.Key()...), d)
	}
	return errors.Join(scan.Err(), scan.Close())
}
