package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// An object moves from one mountpath of the node to another in three steps, of
// which the last waits for the second to be durable:
//
//	copy     the payload, verified and synced under its own payload generation
//	commit   the record, generation and all, unless what is here is as new
//	remove   the source, if it still is of that generation
//
// Until the last step there are two copies with one generation, and either serves.
// A crash at any point leaves one copy whole at least; moving again ends the move.

// Import is an object, or a multipart upload under way, that was copied from
// another mountpath and has not been committed here. Its owner ends it with
// CommitImport or Abandon; until then no other import of the key begins. Not safe
// for concurrent use.
type Import struct {
	key    objects.Key
	store  *Store
	meta   *objects.Meta        // of an object
	upload *objects.Upload      // of an upload under way
	here   bool                 // the payload is here already: only the record is newer
	ended  bool                 // the key is free for another import
	known  bool                 // of an upload: it was here when the import began
	locks  []string             // what no other import may begin meanwhile
	kind   objects.MutationKind // of its entry in the history, once it is to be committed
	by     objects.Origin       // of that

	inline []byte
	file   *Incoming
	parts  []objects.Part
	have   partSet     // of an object: parts that are here already
	files  []*Incoming // of parts, closed
}

// Imported is what became of an import.
type Imported struct {
	// Generation is the record's that is now here: the import's, or a newer one's.
	Generation objects.Generation
	Copied     bool // something was written; false: what is here is as new
}

// lock takes a key of the index for one import: until it ends, no other begins that
// takes it, too.
func (i *Import) lock(op errs.Op, indexKey []byte) error {
	name := string(indexKey)
	if _, busy := i.store.importing.LoadOrStore(name, struct{}{}); busy {
		return errs.E(op, i.key, errs.Busy, errors.New("the key is being moved here already"))
	}
	i.locks = append(i.locks, name)
	return nil
}

// end gives back what the import took, once.
func (i *Import) end() {
	if !i.ended {
		i.ended = true
		for _, name := range i.locks {
			i.store.importing.Delete(name)
		}
	}
}

// mayImport refuses a payload of which something of an earlier stay is left here: a
// reclaim entry, or an intent that is to be settled, would take the new copy for
// the old one.
func (s *Store) mayImport(op errs.Op, key objects.Key, i *Import) error {
	if len(s.unsettled.of(func(k objects.Key) bool { return k == key })) > 0 {
		return errs.E(op, key, errs.Busy, errors.New("an interrupted write of the key is not settled yet"))
	}
	if err := s.forgetFormer(op, key, i); err != nil {
		return err
	}
	lower, upper := layout.NameBounds(layout.KindReclaim, key.Bucket.ID, key.Name)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return failed(op, key, err)
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	for scan.Next() {
		value, err := scan.Value()
		var reclaim *layout.Reclaim
		if err == nil {
			reclaim, err = layout.DecodeReclaim(value)
		}
		if err != nil {
			return failed(op, key, errors.Join(err, scan.Close()))
		}
		if i.has(reclaim) {
			return errors.Join(errs.E(op, key, errs.Busy, errors.New("an earlier copy is still being reclaimed here")), scan.Close())
		}
	}
	return failed(op, key, errors.Join(scan.Err(), scan.Close()))
}

// has reports whether draining a reclaim entry would take away what the import
// brings.
func (i *Import) has(reclaim *layout.Reclaim) bool {
	if reclaim.Kind == layout.ReclaimUpload && reclaim.UploadID == i.uploadID() && reclaim.UploadID != "" {
		return true
	}
	if i.meta != nil && reclaim.Payload == i.meta.Payload {
		return true
	}
	return slices.ContainsFunc(i.parts, func(p objects.Part) bool { return p.Payload == reclaim.Payload })
}

// uploadID is that of the part files, if there are any.
func (i *Import) uploadID() string {
	switch {
	case i.upload != nil:
		return i.upload.ID
	case i.meta.Where == objects.Chunks:
		return i.meta.Path
	default:
		return ""
	}
}

// newer returns the record that is here if it is as new as the other; else nil, and
// whether its payload is the other's. In the key's turn, or as a first guess.
func (s *Store) newer(op errs.Op, key objects.Key, than *objects.Meta) (here *objects.Meta, samePayload bool, err error) {
	have, err := s.current(op, key, objectKey(key))
	switch {
	case err != nil:
		return nil, false, err
	case have == nil:
		return nil, false, nil
	case have.Generation.Compare(than.Generation) >= 0:
		return have, false, nil
	case !have.Deleted && have.Payload == than.Payload:
		if err := s.intactWhole(key, have); err != nil {
			return nil, false, errs.E(op, err)
		}
		return nil, true, nil
	default:
		return nil, false, nil
	}
}

// hasFiles fails if a file of the object's payload is not there: errs.Corrupt. In the
// key's turn.
func (s *Store) hasFiles(op errs.Op, key objects.Key, meta *objects.Meta) error {
	missing := func(path string, err error) error {
		err = errs.E(op, key, errs.Corrupt, fmt.Errorf("it is here with the same generation, but without its file %s; the other copy stays where it is: %w", path, err))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		return err
	}
	if meta.Deleted {
		return nil
	}
	if err := s.intactWhole(key, meta); err != nil {
		return errs.E(op, err)
	}
	switch meta.Where {
	case objects.File:
		path := payloadPath(key, meta)
		switch holds, err := s.holds(path, meta.Payload); {
		case err != nil:
			s.diskError(key, err)
			return failed(op, key, err)
		case !holds:
			return missing(path, fs.ErrNotExist)
		}
	case objects.Chunks:
		parts, err := s.partTable(key, meta)
		if err != nil {
			return failed(op, key, err)
		}
		for _, p := range parts {
			path := layout.PartPath(meta.Path, p.Number, p.Payload)
			switch _, err := s.fs.Stat(path); {
			case errors.Is(err, fs.ErrNotExist):
				return missing(path, err)
			case err != nil:
				s.diskError(key, err)
				return failed(op, key, err)
			}
		}
	}
	return nil
}

// Copy copies an object from another mountpath: its payload is verified against
// the record and synced, under its own payload generation. What an inline payload
// needs is in inline; room is the memory through which others pass, in pieces. The
// opened object stays the caller's. Blocks on both disks; never in a lane.
func (s *Store) Copy(key objects.Key, opened *messages.ObjectOpened, inline []byte, room [][]byte) (_ *Import, err error) {
	const op errs.Op = "store.Copy"
	meta := *opened.Meta
	i := &Import{key: key, store: s, meta: &meta}
	if err := i.lock(op, objectKey(key)); err != nil {
		return nil, err
	}
	copied := false
	defer func() {
		if !copied || err != nil { // also by a panic, or the key would be busy for ever
			err = errors.Join(err, i.Abandon())
		}
	}()
	err = s.copyObject(op, i, opened, inline, room)
	copied = err == nil
	return i, err
}

// copyObject does the copying of Copy.
func (s *Store) copyObject(op errs.Op, i *Import, opened *messages.ObjectOpened, inline []byte, room [][]byte) error {
	key, meta := i.key, i.meta
	here, samePayload, err := s.newer(op, key, meta)
	if err != nil {
		return err
	}
	if here != nil || samePayload {
		i.here = true
		return nil
	}
	if opened.Parts != nil {
		i.parts = opened.Parts.Parts
		if err := i.lockParts(op, i.parts); err != nil {
			return err
		}
		old, err := s.current(op, key, objectKey(key))
		if err != nil {
			return err
		}
		if i.have, err = s.partsOf(op, key, meta.Path, old); err != nil {
			return err
		}
	}
	if err := s.mayImport(op, key, i); err != nil {
		return err
	}
	if meta.Deleted {
		return nil // it has no payload
	}
	switch meta.Where {
	case objects.Inline:
		return i.takeInline(op, inline)
	case objects.File:
		return i.takeFile(op, opened.File, room)
	case objects.Chunks:
		kind := layout.IntentImportPart
		if len(i.have) > 0 { // undoing it would take their manifest away
			kind = layout.IntentPart
		}
		return i.takeParts(op, kind, opened.Parts.Open, room)
	default:
		return errs.E(op, key, errs.Internal, fmt.Errorf("a payload of kind %d cannot be moved", meta.Where))
	}
}

func (i *Import) takeInline(op errs.Op, payload []byte) error {
	if err := i.store.admitWrite(op, i.key, claim{bytes: 2 * int64(len(payload))}); err != nil {
		return err
	}
	if got := xxhash.Checksum64(payload); got != i.meta.XXHash || int64(len(payload)) != i.meta.Size {
		return errs.E(op, i.key, errs.Corrupt, fmt.Errorf("%d bytes with xxhash %016x, want %d with %016x", len(payload), got, i.meta.Size, i.meta.XXHash))
	}
	i.inline = append([]byte(nil), payload...) // the caller's memory is not held beyond its call
	return nil
}

func (i *Import) takeFile(op errs.Op, from io.ReaderAt, room [][]byte) error {
	s := i.store
	if err := s.admitWrite(op, i.key, claim{files: filesPerPayload}); err != nil {
		return err
	}
	in := &Incoming{Key: i.key, Payload: i.meta.Payload, Draft: i.meta.Draft, Modified: i.meta.Modified, record: i.meta, store: s, hint: i.meta.Size}
	in.path = layout.WorkPath(in.Payload)
	if err := in.open(); err != nil {
		return failed(op, i.key, err)
	}
	i.file = in
	natural, _ := layout.NaturalPath(i.key.Bucket, i.key.Name)
	record := *i.meta
	record.Path, record.Inode, record.Birth = "", 0, 0
	draft := i.meta.Draft // for a sidecar, if it has one
	draft.Class = objects.Synced
	in.intend(&layout.Intent{Kind: layout.IntentImport, Path: natural, Draft: draft, Record: layout.AppendRecord(nil, &record)})
	if err := in.fill(op, from, i.meta.Size, i.meta.XXHash, room); err != nil {
		return err
	}
	return in.Seal(checksum.Sums{Size: i.meta.Size, XXHash: i.meta.XXHash, Values: i.meta.Checksums}, i.meta.ETag)
}

// fill copies size bytes that hash to sum.
func (in *Incoming) fill(op errs.Op, from io.ReaderAt, size int64, sum uint64, room [][]byte) error {
	hash := xxhash.New64()
	for at := int64(0); at < size; {
		var pieces [][]byte
		for _, piece := range room {
			piece = piece[:min(int64(len(piece)), size-at)]
			if len(piece) == 0 {
				break
			}
			n, err := from.ReadAt(piece, at)
			if n < len(piece) {
				return errs.E(op, in.Key, kindOf(err), fmt.Errorf("the source ends after %d of %d bytes: %w", at+int64(n), size, err))
			}
			hash.Write(piece) //nolint:errcheck // a hash takes everything
			pieces = append(pieces, piece)
			at += int64(n)
		}
		if err := in.Append(pieces...); err != nil {
			return err
		}
	}
	if got := hash.Sum64(); got != sum {
		return errs.E(op, in.Key, errs.Corrupt, fmt.Errorf("the source has xxhash %016x, its record says %016x", got, sum))
	}
	return nil
}

// Abandon ends an import that is not to be committed: what was copied goes.
func (i *Import) Abandon() error {
	defer i.end()
	var failures []error
	if i.file != nil {
		failures = append(failures, i.file.Abandon())
		i.file = nil
	}
	failures = append(failures, i.undoParts())
	return errors.Join(failures...)
}

// undoParts removes part files that are not committed, and then their intents.
func (i *Import) undoParts() error {
	s := i.store
	if len(i.files) == 0 {
		return nil
	}
	files := i.files
	i.files = nil
	var err error
	for _, in := range files {
		err = errors.Join(err, s.undoPart(in.Key, in.uploadID, in.number, in.Payload))
	}
	if err == nil {
		batch := s.index.NewBatch()
		for _, in := range files {
			batch.Delete(in.intentKey())
		}
		err = s.index.Commit(batch)
	}
	if err != nil {
		i.leaveOpen(files)
		return failed("store.Abandon", i.key, err)
	}
	return nil
}

func (i *Import) leaveOpen(files []*Incoming) {
	for _, in := range files {
		i.store.leaveOpen(in)
	}
}

// CommitImport makes a copied object the object here, with the generation that it
// had, unless what is here is as new; or a copied upload the upload. It ends the
// import whatever happens. By is for the history. In the key's turn.
func (s *Store) CommitImport(i *Import, by objects.Origin) (Imported, error) {
	i.kind, i.by = objects.MutationArrived, by
	return s.endImport(i)
}

// endImport does CommitImport.
func (s *Store) endImport(i *Import) (Imported, error) {
	ended := false
	defer func() {
		if !ended { // a panic: the next incarnation of the lane settles what is left
			if i.file != nil {
				s.unsettle(i.file, errInterrupted)
				i.file.release()
			}
			i.leaveOpen(i.files)
		}
		i.file, i.files = nil, nil
		i.end()
	}()
	done, err := s.commitImport(i)
	ended = true
	return done, err
}

func (s *Store) commitImport(i *Import) (Imported, error) {
	const op errs.Op = "store.CommitImport"
	if i.upload != nil {
		return s.commitUpload(op, i)
	}
	here, samePayload, err := s.newer(op, i.key, i.meta)
	switch {
	case err != nil:
		return Imported{}, errors.Join(err, i.Abandon())
	case here != nil:
		if here.Generation == i.meta.Generation { // who moves it removes the other copy
			err = s.hasFiles(op, i.key, here)
		}
		return Imported{Generation: here.Generation}, errors.Join(err, i.Abandon())
	case samePayload:
		return s.commitRecord(op, i)
	case i.here:
		return Imported{}, errs.E(op, i.key, errs.Busy, errors.New("the object that was here went meanwhile"))
	}
	if err := s.mayImport(op, i.key, i); err != nil {
		return Imported{}, errors.Join(err, i.Abandon())
	}
	old, err := s.current(op, i.key, objectKey(i.key))
	if err != nil {
		return Imported{}, errors.Join(err, i.Abandon())
	}
	if i.file != nil {
		_, err := s.replaceBy(op, i.file, *i.meta, old, i.kind, &i.by)
		i.file = nil
		return Imported{Generation: i.meta.Generation, Copied: true}, err
	}
	return s.commitInIndex(op, i, old)
}

// commitRecord takes over a record whose payload is here.
func (s *Store) commitRecord(op errs.Op, i *Import) (Imported, error) {
	if err := i.Abandon(); err != nil {
		return Imported{}, err
	}
	indexKey := objectKey(i.key)
	have, err := s.current(op, i.key, indexKey)
	if err != nil {
		return Imported{}, err
	}
	meta := *i.meta
	meta.Where, meta.Path, meta.Inode, meta.Birth = have.Where, have.Path, have.Inode, have.Birth
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	s.recordOther(batch, i.kind, i.key, &meta, &i.by)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return Imported{}, failed(op, i.key, err)
	}
	if err := s.renewPayload(i.key, have, &meta); err != nil {
		s.diskError(i.key, err)
		s.log.WithError(err).WithField("key", i.key.String()).Warn("an object's newer metadata is not beside its payload, where a rebuild of the index would look; the record has it")
	}
	return Imported{Generation: meta.Generation, Copied: true}, nil
}

// commitInIndex commits an object whose payload is in the index, or in part files
// that are in their places.
func (s *Store) commitInIndex(op errs.Op, i *Import, old *objects.Meta) (Imported, error) {
	indexKey, meta := objectKey(i.key), *i.meta
	payloadKey := layout.PayloadKey(nil, i.key.Bucket.ID, i.key.Name, meta.Payload)
	batch := s.index.NewBatch()
	var unnamed []*reclaimEntry
	switch {
	case meta.Deleted:
		s.noteTombstone(batch, i.key, meta.Generation)
	case meta.Where == objects.Inline:
		batch.Set(payloadKey, i.inline)
	default:
		have, err := s.partsOf(op, i.key, meta.Path, old)
		if err == nil && !i.whole(have) {
			err = errs.E(op, i.key, errs.Busy, errors.New("parts that were here went meanwhile"))
		}
		if err != nil {
			batch.Close()
			return Imported{}, errors.Join(err, i.Abandon())
		}
		unnamed = s.endUpload(batch, i.key, meta.Path, have, i.parts)
		if err := s.writeManifest(i.key, meta.Path, &meta, i.parts); err != nil {
			batch.Close()
			s.diskError(i.key, err)
			return Imported{}, errors.Join(failed(op, i.key, err), s.fsAbsent(layout.ManifestPath(meta.Path)), i.Abandon())
		}
		batch.Set(payloadKey, layout.AppendParts(nil, i.parts))
	}
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	s.recordOther(batch, i.kind, i.key, &meta, &i.by)
	written := meta
	written.Class = objects.Synced
	entry := s.retire(batch, i.key, old, &written)
	i.dropIntents(batch)
	if err := s.index.Commit(batch, indexKey); err != nil {
		i.leaveOpen(i.files) // the index may have taken it: the intents tell
		return Imported{}, outcomeUnknown(op, i.key, err)
	}
	s.retired(entry)
	s.reclaim.add(unnamed...)
	return Imported{Generation: meta.Generation, Copied: true}, nil
}

func (i *Import) dropIntents(batch *index.Batch) {
	for _, in := range i.files {
		batch.Delete(in.intentKey())
	}
}

// fsAbsent removes a file; one that is not there is no failure.
func (s *Store) fsAbsent(name string) error { return absent(s.fs.Remove(name)) }

// settleImportPart undoes a part of an object that was on its way here: its commit
// drops its intent. The manifest, which is written just before, goes with it, unless
// it is the object's nevertheless, as in undoPart.
func (s *Store) settleImportPart(intent *layout.Intent) error {
	object, err := s.madeOf(intent.Key, intent.UploadID)
	if err != nil {
		return err
	}
	if object != nil {
		return s.settlePart(intent)
	}
	if err := s.fsAbsent(layout.ManifestPath(intent.UploadID)); err != nil {
		return err
	}
	return s.settlePart(intent)
}

// RemoveMoved removes an object that is now on another mountpath, if it still is
// of that generation; errs.Conflict if it is another one by now, which is to be
// moved again. One that is not there any more is no failure. Kind and by are for the
// history. In the key's turn.
func (s *Store) RemoveMoved(key objects.Key, generation objects.Generation, kind objects.MutationKind, by objects.Origin) error {
	const op errs.Op = "store.RemoveMoved"
	if err := s.admitDelete(op, key); err != nil {
		return err
	}
	indexKey := objectKey(key)
	old, err := s.current(op, key, indexKey)
	switch {
	case err != nil:
		return err
	case old == nil:
		return nil
	case old.Generation != generation:
		return errs.E(op, key, errs.Conflict, fmt.Errorf("it is of generation %s, and %s was moved", old.Generation, generation))
	}
	batch := s.index.NewBatch()
	batch.Delete(indexKey)
	s.recordOther(batch, kind, key, old, &by)
	entry := s.retire(batch, key, old, nil)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return failed(op, key, err)
	}
	s.retired(entry)
	return nil
}
