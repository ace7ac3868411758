package store

import (
	"errors"
	"maps"
	"sync"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Bounds cover the delete markers that a node has dropped, by bucket, on whichever of its
// mountpaths: a key that moves from one to another is still covered. Safe for concurrent
// use; the zero value is ready.
type Bounds struct {
	mu       sync.RWMutex
	byBucket map[objects.BucketID]objects.Bound
}

// covering returns the version of the map of the bound that covers a record; 0: none does.
func (b *Bounds) covering(bucket objects.BucketID, g objects.Generation) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if bound := b.byBucket[bucket]; bound.Covers(g) {
		return bound.Map()
	}
	return 0
}

// raise has a bucket's bound cover what another one does, too, and returns it.
func (b *Bounds) raise(bucket objects.BucketID, by objects.Bound) objects.Bound {
	b.mu.Lock()
	defer b.mu.Unlock()
	bound := b.byBucket[bucket].With(by)
	if b.byBucket == nil {
		b.byBucket = make(map[objects.BucketID]objects.Bound)
	}
	b.byBucket[bucket] = bound
	return bound
}

// all returns the bounds of all buckets.
func (b *Bounds) all() map[objects.BucketID]objects.Bound {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return maps.Clone(b.byBucket)
}

func (b *Bounds) forget(bucket objects.BucketID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byBucket, bucket)
}

func (s *Store) bounds() *Bounds { return s.lifetime.bounds() }

// loadBounds reads what was dropped here in earlier lives.
func (s *Store) loadBounds() error {
	const op errs.Op = "store.loadBounds"
	s.tombstones.noted = make(map[objects.BucketID]objects.Bound)
	scan, err := s.index.Scan(layout.DroppedBounds())
	if err != nil {
		return errs.E(op, err)
	}
	for scan.Next() {
		bucket, err := layout.ParseDroppedKey(scan.Key())
		var markers []objects.Generation
		if err == nil {
			var value []byte
			if value, err = scan.Value(); err == nil {
				markers, err = layout.DecodeGenerations(value)
			}
		}
		if err != nil {
			return errs.E(op, errors.Join(err, scan.Close()))
		}
		s.tombstones.noted[bucket] = objects.BoundOf(markers)
		s.bounds().raise(bucket, s.tombstones.noted[bucket])
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return errs.E(op, err)
	}
	return nil
}
