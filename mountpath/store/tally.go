package store

import (
	"errors"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Tally counts the objects of a bucket on this mountpath whose keys are wanted, and
// the bytes of their payloads; parts of uploads under way count as bytes. It reads
// every record of the bucket, and no payload.
func (s *Store) Tally(bucket objects.Bucket, wanted func(objects.Key) bool) (count int64, bytes int64, err error) {
	const op errs.Op = "store.Tally"
	lower, upper := layout.BucketBounds(layout.KindObject, bucket.ID)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return 0, 0, errs.E(op, bucket, err)
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	var meta objects.Meta
	for scan.Next() {
		if !wanted(objects.Key{Bucket: bucket, Name: string(layout.ObjectName(scan.Key()))}) {
			continue
		}
		value, err := scan.Value()
		if err == nil {
			err = layout.DecodeEntry(value, &meta)
		}
		if err != nil {
			return 0, 0, errs.E(op, bucket, errors.Join(err, scan.Close()))
		}
		count, bytes = count+1, bytes+meta.Size
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return 0, 0, errs.E(op, bucket, err)
	}
	parts, err := s.tallyParts(bucket, wanted)
	return count, bytes + parts, errs.Wrap(op, err)
}

func (s *Store) tallyParts(bucket objects.Bucket, wanted func(objects.Key) bool) (bytes int64, err error) {
	lower, upper := layout.BucketBounds(layout.KindUpload, bucket.ID)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return 0, err
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	for scan.Next() {
		_, name, _, number, err := layout.ParseUploadKey(scan.Key())
		if err == nil && (number == 0 || !wanted(objects.Key{Bucket: bucket, Name: name})) {
			continue
		}
		var part *objects.Part
		if err == nil {
			var value []byte
			if value, err = scan.Value(); err == nil {
				part, err = layout.DecodePart(value)
			}
		}
		if err != nil {
			return 0, errors.Join(err, scan.Close())
		}
		bytes += part.Size
	}
	return bytes, errors.Join(scan.Err(), scan.Close())
}
