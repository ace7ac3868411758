package store

import (
	"errors"
	"io"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The part files of an upload lie in one directory, also once they are an object's. A
// node that keeps copies has them from the upload, and needs no bytes when another node
// completes it: see Assemble. What is here of an upload is either under way or an
// object, never both.

// partSet is parts whose files are here, by what names their bytes.
type partSet map[objects.Generation]objects.Part

// has reports whether a part is here: that one, not another of its number.
func (s partSet) has(part *objects.Part) bool {
	here, ok := s[part.Payload]
	return ok && here.Number == part.Number && here.Size == part.Size && here.XXHash == part.XXHash
}

// partsOf returns the parts that are here of an upload: of the one under way, or of the
// object that it became, if old is that.
func (s *Store) partsOf(op errs.Op, key objects.Key, uploadID string, old *objects.Meta) (partSet, error) {
	have := make(partSet)
	err := s.eachPart(key, uploadID, 0, func(p *objects.Part) bool {
		have[p.Payload] = *p
		return true
	})
	if err != nil {
		return nil, failed(op, key, err)
	}
	if !became(old, uploadID) {
		return have, nil
	}
	list, err := s.partTable(key, old)
	for _, p := range list {
		have[p.Payload] = p
	}
	return have, failed(op, key, err)
}

// became reports whether a record is the object that an upload became.
func became(record *objects.Meta, uploadID string) bool {
	return record != nil && !record.Deleted && record.Where == objects.Chunks && record.Path == uploadID
}

// endUpload adds to the batch that makes parts of an upload an object that the upload
// is under way no more - aborted here, it would take them along -, and returns the reclaims of those that are not named.
func (s *Store) endUpload(batch *index.Batch, key objects.Key, uploadID string, have partSet, named []objects.Part) []*reclaimEntry {
	lower, upper := layout.UploadBounds(key.Bucket.ID, key.Name, uploadID)
	batch.DeleteRange(lower, upper)
	names := make(map[objects.Generation]bool, len(named))
	for i := range named {
		names[named[i].Payload] = true
	}
	var unnamed []*reclaimEntry
	for payload, p := range have {
		if !names[payload] {
			unnamed = append(unnamed, s.reclaimPart(batch, key, uploadID, &p))
		}
	}
	return unnamed
}

// whole reports whether all parts of an object's import are here, or were copied.
func (i *Import) whole(have partSet) bool {
	copied := make(map[objects.Generation]bool, len(i.files))
	for _, in := range i.files {
		copied[in.Payload] = true
	}
	for n := range i.parts {
		if !copied[i.parts[n].Payload] && !have.has(&i.parts[n]) {
			return false
		}
	}
	return true
}

// lockParts takes the parts that an import may copy, so that no other import writes, or
// takes back, the same files.
func (i *Import) lockParts(op errs.Op, parts []objects.Part) error {
	for n := range parts {
		if err := i.lock(op, layout.PartKey(nil, i.key.Bucket.ID, i.key.Name, i.uploadID(), parts[n].Number)); err != nil {
			return err
		}
	}
	return nil
}

// Assemble is Store for an object that is made of parts, without its payload: it counts
// where the parts are here, each with the payload generation, number, size and checksum
// that it is named with. Otherwise those that lack are named, if the upload is under way
// here. In the key's turn.
func (s *Store) Assemble(key objects.Key, record *objects.Meta, parts []objects.Part, sent messages.Sending, by objects.Origin) (messages.Stored, error) {
	const op errs.Op = "store.Assemble"
	if record.Deleted || record.Where != objects.Chunks || len(parts) == 0 {
		return s.Store(key, record, nil, sent, by)
	}
	if err := checkParts(op, key, record, parts); err != nil {
		return messages.Stored{}, err
	}
	indexKey := objectKey(key)
	old, err := s.current(op, key, indexKey)
	if err != nil {
		return messages.Stored{}, err
	}
	if old != nil && (old.Generation.Compare(record.Generation) >= 0 || !old.Deleted && old.Payload == record.Payload) {
		return s.Store(key, record, nil, sent, by)
	}
	if err := s.intactParts(key, parts); err != nil {
		return messages.Stored{}, errs.E(op, err)
	}
	have, err := s.partsOf(op, key, record.Path, old)
	if err != nil {
		return messages.Stored{}, err
	}
	stored := messages.Stored{}
	for n := range parts {
		if !have.has(&parts[n]) {
			stored.NeedsPayload, stored.Missing = true, append(stored.Missing, parts[n].Number)
		}
	}
	if stored.NeedsPayload {
		if _, err := s.upload(op, key, record.Path); errs.Is(errs.NotFound, err) {
			stored.Missing = nil
		} else if err != nil {
			return messages.Stored{}, err
		}
		return stored, nil
	}
	return s.take(op, key, record, parts, nil, sent, &by)
}

// KeepUpload makes an upload under way here what it is at the node in charge of its key,
// but for the parts that lack, whose numbers it returns: those that are not among these
// go. Conflict: it became the object that is here. Busy: an earlier stay of it is still
// being reclaimed. In the key's turn.
func (s *Store) KeepUpload(key objects.Key, upload *objects.Upload, parts []objects.Part) (missing []int, err error) {
	const op errs.Op = "store.KeepUpload"
	if err := s.admitWrite(op, key, claim{}); err != nil {
		return nil, err
	}
	old, err := s.current(op, key, objectKey(key))
	if err != nil {
		return nil, err
	}
	if became(old, upload.ID) {
		return nil, errs.E(op, key, errs.Conflict, errors.New("the upload became the object that is here"))
	}
	have, known, err := s.partsHere(op, key, upload.ID)
	if err != nil {
		return nil, err
	}
	if !known {
		if err := s.mayImport(op, key, &Import{key: key, store: s, upload: upload}); err != nil {
			return nil, err
		}
	}
	named := make(partSet, len(parts))
	for n := range parts {
		named[parts[n].Payload] = parts[n]
		if here, ok := have[parts[n].Number]; !ok || here.Payload != parts[n].Payload {
			missing = append(missing, parts[n].Number)
		}
	}
	uploadKey := layout.UploadKey(nil, key.Bucket.ID, key.Name, upload.ID)
	batch := s.index.NewBatch()
	settled := [][]byte{uploadKey}
	var entries []*reclaimEntry
	for number, here := range have {
		if !named.has(&here) {
			partKey := layout.PartKey(nil, key.Bucket.ID, key.Name, upload.ID, number)
			batch.Delete(partKey)
			settled = append(settled, partKey)
			entries = append(entries, s.reclaimPart(batch, key, upload.ID, &here))
		}
	}
	if known && len(entries) == 0 {
		batch.Close()
		return missing, nil
	}
	batch.Set(uploadKey, layout.AppendUpload(nil, upload))
	if err := s.index.Commit(batch, settled...); err != nil {
		return nil, failed(op, key, err)
	}
	s.reclaim.add(entries...)
	return missing, nil
}

// ReceivePart takes a part that another node sends into its file, verified and synced,
// for StoreImport; one that is here already, or a later one of its number, is not taken
// again. NotFound: the upload is not under way here. As Receive.
func (s *Store) ReceivePart(key objects.Key, uploadID string, part *objects.Part, payload messages.PayloadFile, room [][]byte) (_ *Import, err error) {
	const op errs.Op = "store.ReceivePart"
	upload, err := s.upload(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	i := &Import{key: key, store: s, upload: upload, known: true}
	copied := false
	defer func() {
		if !copied || err != nil { // also by a panic
			err = errors.Join(err, i.Abandon())
		}
	}()
	if err := i.lockParts(op, []objects.Part{*part}); err != nil {
		return nil, err
	}
	here, err := s.part(layout.PartKey(nil, key.Bucket.ID, key.Name, uploadID, part.Number))
	if err != nil {
		return nil, failed(op, key, err)
	}
	if here == nil || here.Payload.Compare(part.Payload) < 0 {
		i.parts = []objects.Part{*part}
		if err := s.mayImport(op, key, i); err != nil {
			return nil, err
		}
		open := func(int) (messages.PayloadFile, error) { return payload, nil }
		if err := i.takeParts(op, layout.IntentPart, open, room); err != nil {
			return nil, err
		}
	}
	copied = true
	return i, nil
}

// takeParts copies part files to the places where they will stay, those that are not
// there already. The caller has locked them.
func (i *Import) takeParts(op errs.Op, kind layout.IntentKind, open func(int) (messages.PayloadFile, error), room [][]byte) error {
	for n := range i.parts {
		if i.have.has(&i.parts[n]) {
			continue
		}
		file, err := open(n)
		if err != nil {
			return failed(op, i.key, err)
		}
		err = i.takePart(op, kind, &i.parts[n], file, room)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (i *Import) takePart(op errs.Op, kind layout.IntentKind, part *objects.Part, from io.ReaderAt, room [][]byte) (err error) {
	s, uploadID := i.store, i.uploadID()
	if err := s.admitWrite(op, i.key, claim{files: filesPerPayload}); err != nil {
		return err
	}
	in := &Incoming{Key: i.key, Payload: part.Payload, Modified: part.Modified, uploadID: uploadID, number: part.Number, store: s, hint: part.Size}
	if i.upload != nil {
		in.upload, in.Draft = i.upload, i.upload.Draft
	} else {
		in.Draft = i.meta.Draft
	}
	in.path = layout.WorkPath(in.Payload)
	if err := in.open(); err != nil {
		return failed(op, i.key, err)
	}
	whole := false
	defer func() {
		if !whole { // also by a panic: the next try takes the same name
			err = s.abandonAfter(in, err)
		}
	}()
	in.intend(&layout.Intent{Kind: kind, UploadID: uploadID, Part: part.Number})
	err = in.fill(op, from, part.Size, part.XXHash, room)
	if err == nil {
		err = in.Seal(checksum.Sums{Size: part.Size, XXHash: part.XXHash, Values: part.Checksums}, part.ETag)
	}
	if err != nil {
		return err
	}
	whole = true
	in.release() // thousands of parts would need as many descriptors
	i.files = append(i.files, in)
	return nil
}
