package store

import (
	"errors"
	"io/fs"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// IsEmpty reports whether the mountpath has no object of the bucket. Uploads
// under way do not count: they go with the bucket.
func (s *Store) IsEmpty(bucket objects.Bucket) (bool, error) {
	page, err := s.List(ListRequest{Bucket: bucket, Limit: 1})
	if err != nil {
		return false, err
	}
	return len(page.Entries) == 0, nil
}

// DropBucket removes everything that the mountpath has of a bucket whose
// document says that it is destroyed and whose id every lane refuses. Space comes
// back through the reclaimer. Idempotent.
func (s *Store) DropBucket(bucket objects.Bucket) error {
	const op errs.Op = "store.DropBucket"
	batch := s.index.NewBatch()
	entries, err := s.dropPayloads(batch, bucket)
	if err != nil {
		batch.Close()
		return errs.E(op, bucket, err)
	}
	for _, kind := range []byte{layout.KindObject, layout.KindVersion, layout.KindPayload, layout.KindUpload} {
		lower, upper := layout.BucketBounds(kind, bucket.ID)
		batch.DeleteRange(lower, upper)
	}
	// The directory moves to the trash under the bucket's id, which is never
	// used again; a new bucket of the same name gets a new directory.
	grave := layout.TrashDir + "/" + bucket.ID.String()
	entries = append(entries, addReclaim(batch, layout.Reclaim{
		Kind: layout.ReclaimBucketDir, Bucket: bucket.ID, Payload: s.generations.Next(), Path: grave,
	}))
	if err := s.index.Commit(batch); err != nil {
		return errs.E(op, bucket, err)
	}
	dir := layout.BucketDir(bucket)
	s.names.lock.Lock()
	err = s.fs.Rename(dir, grave)
	s.names.forgetBelow(dir)
	s.names.lock.Unlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.diskError(objects.Key{Bucket: bucket}, err)
		return errs.E(op, bucket, kindOf(err), err)
	}
	s.reclaim.add(entries...)
	return nil
}

// dropPayloads adds to the batch the reclaims of uploads and chunked objects,
// whose files lie outside the bucket's directory.
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
