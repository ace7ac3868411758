package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ExportUpload returns an upload under way with the means to read its parts, or that of
// one part; 0: of all. A part that is replaced or reclaimed meanwhile fails to open with
// Busy.
func (s *Store) ExportUpload(key objects.Key, uploadID string, only int) (*messages.UploadExported, error) {
	const op errs.Op = "store.ExportUpload"
	after, limit := 0, maxParts
	if only > 0 {
		after, limit = only-1, 1
	}
	page, err := s.Parts(key, uploadID, after, limit)
	if err != nil {
		return nil, err
	}
	if page.More && only == 0 {
		return nil, errs.E(op, key, errs.Corrupt, fmt.Errorf("the upload has more than %d parts", maxParts))
	}
	parts := page.Parts
	return &messages.UploadExported{Upload: page.Upload, Parts: messages.PartReader{Parts: parts, Open: func(n int) (messages.PayloadFile, error) {
		file, err := s.fs.OpenFile(layout.PartPath(uploadID, parts[n].Number, parts[n].Payload), disk.ReadOnly, 0)
		if absent(err) == nil && err != nil {
			return nil, errs.E(op, key, errs.Busy, errMoved)
		}
		if err != nil {
			s.diskError(key, err)
			return nil, failed(op, key, err)
		}
		return &payloadFile{File: file, store: s, key: key}, nil
	}}}, nil
}

// maxParts is S3's limit.
const maxParts = 10_000

// CopyUpload copies a multipart upload under way from another mountpath, as Copy
// does an object.
func (s *Store) CopyUpload(key objects.Key, exported *messages.UploadExported, room [][]byte) (_ *Import, err error) {
	const op errs.Op = "store.CopyUpload"
	upload := exported.Upload
	i := &Import{key: key, store: s, upload: &upload}
	if err := i.lock(op, objectKey(key)); err != nil {
		return nil, err
	}
	copied := false
	defer func() {
		if !copied || err != nil { // also by a panic
			err = errors.Join(err, i.Abandon())
		}
	}()
	object, err := s.madeOf(key, upload.ID)
	if err != nil {
		return nil, failed(op, key, err)
	}
	if object != nil { // it was completed here: its files have those very names
		i.here, copied = true, true
		return i, nil
	}
	if err := i.lockParts(op, exported.Parts.Parts); err != nil {
		return nil, err
	}
	have, known, err := s.partsHere(op, key, upload.ID)
	if err != nil {
		return nil, err
	}
	i.known = known
	var at []int // of the parts that are to be copied, among the exported
	for n, p := range exported.Parts.Parts {
		if h, ok := have[p.Number]; !ok || h.Payload.Compare(p.Payload) < 0 {
			i.parts, at = append(i.parts, p), append(at, n)
		}
	}
	if err := s.mayImport(op, key, i); err != nil {
		return nil, err
	}
	open := func(n int) (messages.PayloadFile, error) { return exported.Parts.Open(at[n]) }
	err = i.takeParts(op, layout.IntentPart, open, room)
	copied = err == nil
	return i, err
}

// partsHere returns the parts of an upload that are here, by number, and whether
// the upload is.
func (s *Store) partsHere(op errs.Op, key objects.Key, uploadID string) (map[int]objects.Part, bool, error) {
	page, err := s.Parts(key, uploadID, 0, maxParts)
	if errs.Is(errs.NotFound, err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, errs.E(op, key, err)
	}
	have := make(map[int]objects.Part, len(page.Parts))
	for _, p := range page.Parts {
		have[p.Number] = p
	}
	return have, true, nil
}

// commitUpload makes a copied upload the upload here, or adds its parts to the one
// that is here; of two parts with one number the later stays.
func (s *Store) commitUpload(op errs.Op, i *Import) (Imported, error) {
	if i.here {
		return Imported{}, nil
	}
	have, known, err := s.partsHere(op, i.key, i.upload.ID)
	if err == nil && i.known && !known {
		err = errs.E(op, i.key, errs.Conflict, errors.New("the upload ended here meanwhile"))
	}
	if err != nil {
		return Imported{}, errors.Join(err, i.Abandon())
	}
	uploadKey := layout.UploadKey(nil, i.key.Bucket.ID, i.key.Name, i.upload.ID)
	batch := s.index.NewBatch()
	settled := [][]byte{uploadKey}
	var entries []*reclaimEntry
	if !known {
		batch.Set(uploadKey, layout.AppendUpload(nil, i.upload))
	}
	for n := range i.parts {
		part := &i.parts[n]
		loser, there := have[part.Number]
		if there && loser.Payload == part.Payload {
			continue // it came by another way
		}
		if there && loser.Payload.Compare(part.Payload) > 0 {
			loser = *part
		} else {
			partKey := layout.PartKey(nil, i.key.Bucket.ID, i.key.Name, i.upload.ID, part.Number)
			batch.Set(partKey, layout.AppendPart(nil, part))
			settled = append(settled, partKey)
		}
		if there {
			entries = append(entries, s.reclaimPart(batch, i.key, i.upload.ID, &loser))
		}
	}
	i.dropIntents(batch)
	if err := s.index.Commit(batch, settled...); err != nil {
		i.leaveOpen(i.files)
		return Imported{}, outcomeUnknown(op, i.key, err)
	}
	s.reclaim.add(entries...)
	return Imported{Copied: !known || len(i.parts) > 0}, nil
}

// RemoveMovedUpload removes an upload that is now on another mountpath, if it still
// has exactly those parts; errs.Conflict otherwise. One that is not there any more
// is no failure. In the key's turn.
func (s *Store) RemoveMovedUpload(key objects.Key, uploadID string, parts []objects.Generation) error {
	const op errs.Op = "store.RemoveMovedUpload"
	if err := s.admitDelete(op, key); err != nil {
		return err
	}
	have, known, err := s.partsHere(op, key, uploadID)
	if err != nil || !known {
		return err
	}
	same := len(have) == len(parts)
	for _, p := range have {
		same = same && slices.Contains(parts, p.Payload)
	}
	if !same {
		return errs.E(op, key, errs.Conflict, errors.New("the upload got other parts meanwhile"))
	}
	return s.AbortUpload(key, uploadID)
}
