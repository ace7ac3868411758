package store

import (
	"crypto/md5" //nolint:gosec // S3's ETag of a multipart object is an MD5 of MD5s
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CreateUpload begins a multipart upload, now unless it says when. The time is in the
// attributes of its parts, and tells them from those of an object that is moved. In the
// key's turn.
func (s *Store) CreateUpload(key objects.Key, upload objects.Upload) error {
	const op errs.Op = "store.CreateUpload"
	if err := s.admitWrite(op, key, claim{}); err != nil {
		return err
	}
	if upload.Initiated.IsZero() {
		upload.Initiated = s.now()
	}
	batch := s.index.NewBatch()
	batch.Set(layout.UploadKey(nil, key.Bucket.ID, key.Name, upload.ID), layout.AppendUpload(nil, &upload))
	return failed(op, key, s.index.Commit(batch))
}

// upload reads an upload under way; errs.NotFound (objects.ErrNoSuchUpload) if
// there is none of that id for the key.
func (s *Store) upload(op errs.Op, key objects.Key, uploadID string) (*objects.Upload, error) {
	value, err := s.index.Get(layout.UploadKey(nil, key.Bucket.ID, key.Name, uploadID))
	if errs.Is(errs.NotFound, err) {
		return nil, errs.E(op, key, errs.NotFound, objects.ErrNoSuchUpload)
	}
	if err != nil {
		return nil, failed(op, key, err)
	}
	defer value.Close()
	upload, err := layout.DecodeUpload(value.Bytes)
	return upload, failed(op, key, err)
}

// CommitPart makes a sealed payload a part of its upload, in place of an earlier
// one of that number. Of two that came side by side the one that began later stays, at
// every node. It ends the incoming payload whatever happens. In the key's
// turn, so that a part never arrives after its upload was completed.
func (s *Store) CommitPart(in *Incoming, sums checksum.Sums, etag string) (objects.Part, error) {
	ended := false
	defer func() {
		if !ended { // a panic: the part is undone by the lane's next incarnation
			s.leaveOpen(in)
			in.release()
		}
	}()
	part, err := s.commitPart(in, sums, etag)
	ended = true
	return part, err
}

func (s *Store) commitPart(in *Incoming, sums checksum.Sums, etag string) (objects.Part, error) {
	const op errs.Op = "store.CommitPart"
	if !in.sealed {
		return objects.Part{}, s.abandonAfter(in, errs.E(op, in.Key, errs.Internal, errors.New("the payload was not sealed")))
	}
	if _, err := s.upload(op, in.Key, in.uploadID); err != nil {
		return objects.Part{}, s.abandonAfter(in, err)
	}
	part := objects.Part{
		Number: in.number, Payload: in.Payload, Size: in.size, XXHash: sums.XXHash, ETag: etag,
		Checksums: sums.Values, Modified: in.Modified,
	}
	partKey := layout.PartKey(nil, in.Key.Bucket.ID, in.Key.Name, in.uploadID, in.number)
	old, err := s.part(partKey)
	if err != nil {
		return objects.Part{}, s.abandonAfter(in, failed(op, in.Key, err))
	}
	if old != nil && old.Payload.Compare(in.Payload) > 0 {
		return part, s.abandonAfter(in, nil)
	}
	batch := s.index.NewBatch()
	var entry *reclaimEntry
	if old != nil {
		entry = s.reclaimPart(batch, in.Key, in.uploadID, old)
	}
	batch.Set(partKey, layout.AppendPart(nil, &part))
	batch.Delete(in.intentKey())
	in.release()
	if err := s.index.Commit(batch, partKey); err != nil {
		return objects.Part{}, failed(op, in.Key, err)
	}
	if entry != nil {
		s.reclaim.add(entry)
	}
	return part, nil
}

// part reads a part of an upload under way; nil: there is none.
func (s *Store) part(partKey []byte) (*objects.Part, error) {
	value, err := s.index.Get(partKey)
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return layout.DecodePart(value.Bytes)
}

func (s *Store) reclaimPart(batch *index.Batch, key objects.Key, uploadID string, part *objects.Part) *reclaimEntry {
	return addReclaim(batch, layout.Reclaim{
		Kind: layout.ReclaimPart, Bucket: key.Bucket.ID, Name: key.Name, Payload: part.Payload,
		UploadID: uploadID, Part: part.Number, Bytes: part.Size,
	})
}

// Parts returns the parts of an upload with numbers after after, in order.
func (s *Store) Parts(key objects.Key, uploadID string, after, limit int) (*messages.PartPage, error) {
	const op errs.Op = "store.Parts"
	upload, err := s.upload(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	page := &messages.PartPage{Upload: *upload}
	err = s.eachPart(key, uploadID, after, func(part *objects.Part) bool {
		if len(page.Parts) == limit {
			page.More = true
			return false
		}
		page.Parts = append(page.Parts, *part)
		return true
	})
	if err != nil {
		return nil, failed(op, key, err)
	}
	return page, nil
}

func (s *Store) eachPart(key objects.Key, uploadID string, after int, visit func(*objects.Part) bool) error {
	lower, upper := layout.UploadBounds(key.Bucket.ID, key.Name, uploadID)
	if from := layout.PartKey(nil, key.Bucket.ID, key.Name, uploadID, after+1); string(from) > string(lower) {
		lower = from
	}
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return err
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	for scan.Next() {
		value, err := scan.Value()
		var part *objects.Part
		if err == nil {
			part, err = layout.DecodePart(value)
		}
		if err != nil {
			return errors.Join(err, scan.Close())
		}
		if !visit(part) {
			break
		}
	}
	return errors.Join(scan.Err(), scan.Close())
}

// CompleteUpload turns parts of an upload into the object. Nothing is copied:
// the part files stay where they are, a manifest that people can read is written
// beside them, and one synced batch makes them the object. In the key's turn.
func (s *Store) CompleteUpload(m *messages.CompleteUpload) (objects.Receipt, error) {
	const op errs.Op = "store.CompleteUpload"
	key, indexKey := m.Key, objectKey(m.Key)
	upload, err := s.upload(op, key, m.UploadID)
	if errors.Is(err, objects.ErrNoSuchUpload) {
		if done := s.completedBefore(op, m, indexKey); done != nil {
			return receipt(done), nil
		}
	}
	if err != nil {
		return objects.Receipt{}, err
	}
	have := make(map[int]*objects.Part)
	if err := s.eachPart(key, m.UploadID, 0, func(p *objects.Part) bool { have[p.Number] = p; return true }); err != nil {
		return objects.Receipt{}, failed(op, key, err)
	}
	parts, err := chooseParts(m, have)
	if err != nil {
		return objects.Receipt{}, errs.E(op, key, errs.Invalid, err)
	}
	if err := s.intactParts(key, parts); err != nil { // the client can send it once more
		return objects.Receipt{}, errs.E(op, err)
	}
	meta, err := assemble(upload, parts, m)
	if err != nil {
		return objects.Receipt{}, errs.E(op, key, errs.Invalid, err)
	}
	old, err := s.judge(op, key, indexKey, m.Conditions)
	if err != nil {
		return objects.Receipt{}, err
	}
	meta.Generation, meta.Unsettled = s.generations.Under(m.Map), m.Fence.Unsettled
	meta.Payload, meta.Modified = meta.Generation, s.now()
	meta.CountAfter(old)
	if err := s.writeManifest(key, m.UploadID, meta, parts); err != nil {
		s.diskError(key, err)
		return objects.Receipt{}, failed(op, key, err)
	}

	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, meta))
	batch.Set(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload), layout.AppendParts(nil, parts))
	s.recordWrite(batch, objects.MutationCompleted, key, meta, &m.Fence.For)
	entry := s.retire(batch, key, old, meta)
	here := make(partSet, len(have))
	for _, p := range have {
		here[p.Payload] = *p
	}
	unnamed := s.endUpload(batch, key, m.UploadID, here, parts)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return objects.Receipt{}, failed(op, key, err)
	}
	s.retired(entry)
	s.reclaim.add(unnamed...)
	return receipt(meta), nil
}

// completedBefore returns the object if it is the one that this upload became:
// a client that lost the answer asks again.
func (s *Store) completedBefore(op errs.Op, m *messages.CompleteUpload, indexKey []byte) *objects.Meta {
	meta, err := s.current(op, m.Key, indexKey)
	if err != nil || meta == nil || meta.Where != objects.Chunks || meta.Path != m.UploadID {
		return nil
	}
	return meta
}

// chooseParts finds the parts that the client names, checking order, entity
// tags, checksums and sizes.
func chooseParts(m *messages.CompleteUpload, have map[int]*objects.Part) ([]objects.Part, error) {
	if len(m.Parts) == 0 {
		return nil, fmt.Errorf("%w: none is named", objects.ErrInvalidPart)
	}
	parts := make([]objects.Part, 0, len(m.Parts))
	for i, want := range m.Parts {
		if i > 0 && want.Number <= m.Parts[i-1].Number {
			return nil, fmt.Errorf("%w: %d after %d", objects.ErrInvalidPartOrder, want.Number, m.Parts[i-1].Number)
		}
		part := have[want.Number]
		if part == nil || !strings.EqualFold(strings.Trim(want.ETag, `"`), part.ETag) {
			return nil, fmt.Errorf("%w: part %d", objects.ErrInvalidPart, want.Number)
		}
		for a, text := range want.Checksums {
			got, ok := checksum.Find(part.Checksums, a)
			if !ok || got.String() != text {
				return nil, fmt.Errorf("%w: the %s of part %d is %s, not %s", objects.ErrInvalidPart, a, want.Number, got, text)
			}
		}
		if i < len(m.Parts)-1 && part.Size < m.MinPartSize {
			return nil, fmt.Errorf("%w: part %d has %d bytes, at least %d", objects.ErrPartTooSmall, want.Number, part.Size, m.MinPartSize)
		}
		parts = append(parts, *part)
	}
	return parts, nil
}

// assemble makes the record of the object from its parts.
func assemble(upload *objects.Upload, parts []objects.Part, m *messages.CompleteUpload) (*objects.Meta, error) {
	meta := &objects.Meta{Where: objects.Chunks, Path: m.UploadID, PartCount: len(parts), PartSize: parts[0].Size, Draft: upload.Draft}
	etags := md5.New() //nolint:gosec // see the import
	xx := xxhash.New64()
	var pieces []checksum.Piece
	for i, p := range parts {
		meta.Size += p.Size
		if i < len(parts)-1 && p.Size != meta.PartSize {
			meta.PartSize = 0
		}
		raw, err := hex.DecodeString(p.ETag)
		if err != nil {
			raw = []byte(p.ETag) // a fast one
		}
		etags.Write(raw)
		xx.Write(binary.BigEndian.AppendUint64(nil, p.XXHash))
		if v, ok := checksum.Find(p.Checksums, upload.Checksum.Algorithm); ok {
			pieces = append(pieces, checksum.Piece{Sum: v.Sum, Size: p.Size})
		}
	}
	meta.XXHash = xx.Sum64()
	meta.ETag = fmt.Sprintf("%x-%d", etags.Sum(nil), len(parts))
	if m.ETag == objects.ETagFast {
		meta.ETag = fmt.Sprintf("x%016x%016x-%d", meta.XXHash, meta.Size, len(parts))
	}
	if m.Size >= 0 && m.Size != meta.Size {
		return nil, fmt.Errorf("%w: the parts make %d bytes, the request says %d", objects.ErrInvalidPart, meta.Size, m.Size)
	}
	if upload.Checksum.Algorithm != checksum.None {
		if len(pieces) != len(parts) {
			return nil, fmt.Errorf("%w: a part came without the %s checksum that the upload announced", objects.ErrInvalidPart, upload.Checksum.Algorithm)
		}
		whole, err := checksum.Combine(upload.Checksum, pieces)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", objects.ErrInvalidPart, err)
		}
		meta.Checksums = []checksum.Value{whole}
		if want := m.Checksum; want != "" && want != whole.String() && want != strings.TrimSuffix(whole.String(), fmt.Sprintf("-%d", len(parts))) {
			return nil, fmt.Errorf("%w: %s of the object is %s, the request says %s", objects.ErrBadDigest, upload.Checksum.Algorithm, whole, want)
		}
	}
	return meta, nil
}

// writeManifest writes and syncs the description of a chunked object that
// people and the offline export read.
func (s *Store) writeManifest(key objects.Key, uploadID string, meta *objects.Meta, parts []objects.Part) (err error) {
	content, err := layout.EncodeManifest(&layout.Manifest{
		Key: key, UploadID: uploadID, Payload: meta.Payload, Size: meta.Size, XXHash: meta.XXHash, ETag: meta.ETag,
		Checksums: meta.Checksums, Modified: meta.Modified, Draft: meta.Draft, Parts: parts,
	})
	if err != nil {
		return err
	}
	name := layout.ManifestPath(uploadID)
	file, err := s.fs.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return s.fs.SyncDir(path.Dir(name))
}

// madeOf returns the record of the object if its payload is in the directory of that
// upload; nil otherwise. In the key's turn.
func (s *Store) madeOf(key objects.Key, uploadID string) (*objects.Meta, error) {
	meta, err := s.record(objectKey(key))
	switch {
	case errs.Is(errs.NotFound, err):
		return nil, nil
	case err != nil:
		return nil, err
	case meta.Deleted || meta.Where != objects.Chunks || meta.Path != uploadID:
		return nil, nil
	default:
		return meta, nil
	}
}

// AbortUpload ends an upload and gives its parts to the reclaimer. In the key's turn.
func (s *Store) AbortUpload(key objects.Key, uploadID string) error {
	const op errs.Op = "store.AbortUpload"
	if _, err := s.upload(op, key, uploadID); err != nil {
		return err
	}
	object, err := s.madeOf(key, uploadID)
	if err != nil {
		return failed(op, key, err)
	}
	batch := s.index.NewBatch()
	var entry *reclaimEntry
	if object != nil { // its parts are the object's, which would go with them
		lower, upper := layout.UploadBounds(key.Bucket.ID, key.Name, uploadID)
		batch.DeleteRange(lower, upper)
	} else {
		entry = s.dropUpload(batch, key, uploadID)
	}
	if err := s.index.Commit(batch, layout.UploadKey(nil, key.Bucket.ID, key.Name, uploadID)); err != nil {
		return failed(op, key, err)
	}
	s.retired(entry)
	return nil
}

func (s *Store) dropUpload(batch *index.Batch, key objects.Key, uploadID string) *reclaimEntry {
	lower, upper := layout.UploadBounds(key.Bucket.ID, key.Name, uploadID)
	batch.DeleteRange(lower, upper)
	return addReclaim(batch, layout.Reclaim{
		Kind: layout.ReclaimUpload, Bucket: key.Bucket.ID, Name: key.Name, Payload: s.generations.Next(), UploadID: uploadID,
	})
}

// Uploads returns the uploads under way in a bucket after the pair of name and
// id, ordered by name, then id.
func (s *Store) Uploads(bucket objects.Bucket, prefix, afterName, afterID string, limit int) (*messages.UploadPage, error) {
	const op errs.Op = "store.Uploads"
	lower, upper := layout.BucketBounds(layout.KindUpload, bucket.ID)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, errs.E(op, bucket, err)
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	page := &messages.UploadPage{}
	seek := max(prefix, afterName)
	ok := scan.Next()
	if seek != "" && ok {
		from, _ := layout.NameBounds(layout.KindUpload, bucket.ID, seek)
		ok = scan.SeekGE(from)
	}
	for ok {
		_, name, id, part, err := layout.ParseUploadKey(scan.Key())
		if err != nil {
			return nil, errs.E(op, bucket, errs.Corrupt, errors.Join(err, scan.Close()))
		}
		if !strings.HasPrefix(name, prefix) {
			if name > prefix {
				break
			}
			ok = scan.Next()
			continue
		}
		past := name > afterName || name == afterName && afterID != "" && id > afterID
		if part == 0 && past {
			if len(page.Uploads) == limit {
				page.More = true
				break
			}
			value, err := scan.Value()
			var upload *objects.Upload
			if err == nil {
				upload, err = layout.DecodeUpload(value)
			}
			if err != nil {
				return nil, errs.E(op, bucket, errors.Join(err, scan.Close()))
			}
			page.Uploads = append(page.Uploads, *upload)
		}
		_, end := layout.UploadBounds(bucket.ID, name, id) // skip its parts
		ok = end != nil && scan.SeekGE(end)
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return nil, errs.E(op, bucket, err)
	}
	return page, nil
}
