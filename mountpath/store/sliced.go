package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A record with slices is stored only where what it names here is here: staged, or named
// already by the record that it replaces, or kept because of a record that is not settled. One
// batch stores it, takes what it names out of what is staged, deletes the entries that would
// have it reclaimed, and makes one of what it replaces.

// PutSlices stores an object whose slices are staged here: meta names the payload, its form and
// its members. It comes with everything but Generation; of that there may be the version of the
// map that the turn is under. What is staged stays so if nothing was stored; Busy around
// objects.ErrNoSlice says that a slice is not here. By is for the history. In the key's turn.
func (s *Store) PutSlices(key objects.Key, meta objects.Meta, conditions objects.Conditions, by objects.Origin) (objects.Receipt, error) {
	const op errs.Op = "store.PutSlices"
	if meta.Slicing == nil || meta.Where != objects.Slices || meta.Payload.IsZero() {
		return objects.Receipt{}, errs.E(op, key, errs.Invalid, errors.New("the record names no slices"))
	}
	if err := meta.Slicing.Check(); err != nil {
		return objects.Receipt{}, errs.E(op, key, errs.Invalid, err)
	}
	if err := s.admitWrite(op, key, claim{}); err != nil {
		return objects.Receipt{}, err
	}
	old, err := s.judge(op, key, objectKey(key), conditions)
	if err != nil {
		return objects.Receipt{}, err
	}
	meta.Generation = s.generations.Under(meta.Generation.Map)
	meta.Path, meta.Inode, meta.Birth = "", 0, 0
	meta.Follows = follows(old)
	meta.CountAfter(old)
	if err := s.commitSliced(op, key, old, &meta, slicedWrite{kind: objects.MutationPut, by: &by, own: true}); err != nil {
		return objects.Receipt{}, err
	}
	return receipt(&meta), nil
}

// Remap gives the payload of a record to other members, under a new generation: the record
// must be of the generation given, else errs.Conflict. Map is the version of the map that the
// turn is under; by is for the history. What this node is to have besides is staged, else Busy
// around objects.ErrNoSlice; what it gives away goes once the new record is settled. In the
// key's turn.
func (s *Store) Remap(key objects.Key, generation objects.Generation, members []objects.Member, mapVersion uint64, by objects.Origin) (*objects.Meta, error) {
	const op errs.Op = "store.Remap"
	if err := s.admitWrite(op, key, claim{}); err != nil {
		return nil, err
	}
	old, err := s.current(op, key, objectKey(key))
	switch {
	case err != nil:
		return nil, err
	case old == nil || old.Generation != generation:
		return nil, errs.E(op, key, errs.Conflict, errors.New("it was written again meanwhile"))
	case old.Deleted || old.Slicing == nil:
		return nil, errs.E(op, key, errs.Invalid, errors.New("the record has no slices"))
	}
	meta, slicing := *old, *old.Slicing
	slicing.Members = slices.Clone(members)
	if err := slicing.Check(); err != nil {
		return nil, errs.E(op, key, errs.Invalid, err)
	}
	meta.Slicing, meta.Follows = &slicing, follows(old)
	meta.Generation, meta.Unsettled = s.generations.Under(mapVersion), true
	if err := s.commitSliced(op, key, old, &meta, slicedWrite{kind: objects.MutationChanged, by: &by, own: true}); err != nil {
		return nil, err
	}
	return &meta, nil
}

// Revive goes back: it puts what a record follows, or a delete marker for nil, in the place of
// the record over, under a new generation. errs.Conflict: over is the record no more. What is
// gone back to was settled. Map is the version of the map that the turn is under; by is for the
// history. In the key's turn.
func (s *Store) Revive(key objects.Key, over objects.Generation, record *objects.Meta, mapVersion uint64, by objects.Origin) (*objects.Meta, error) {
	const op errs.Op = "store.Revive"
	if err := s.admitDelete(op, key); err != nil {
		return nil, err
	}
	indexKey := objectKey(key)
	old, err := s.current(op, key, indexKey)
	switch {
	case err != nil:
		return nil, err
	case old == nil || old.Generation != over:
		return nil, errs.E(op, key, errs.Conflict, errors.New("it was written again meanwhile"))
	case record != nil && (record.Slicing == nil || record.Deleted):
		return nil, errs.E(op, key, errs.Invalid, errors.New("what is gone back to has no slices"))
	}
	generation := s.generations.Under(mapVersion)
	if generation.Compare(over) <= 0 {
		return nil, errs.E(op, key, errs.Busy, fmt.Errorf("generation %s was taken under a later map than this turn's: ask again", over))
	}
	if record == nil {
		marker := &objects.Meta{Generation: generation, Deleted: true, Unsettled: true, Modified: s.now()}
		return marker, s.revert(op, key, old, marker, &by)
	}
	meta := *record
	meta.Generation, meta.Follows, meta.Unsettled = generation, record.Generation, true
	meta.Inode, meta.Birth = 0, 0
	if err := s.commitSliced(op, key, old, &meta, slicedWrite{kind: objects.MutationReverted, by: &by, own: true}); err != nil {
		return nil, err
	}
	return &meta, nil
}

// revert puts a delete marker in the place of a record.
func (s *Store) revert(op errs.Op, key objects.Key, old, marker *objects.Meta, by *objects.Origin) error {
	indexKey := objectKey(key)
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, marker))
	s.noteTombstone(batch, key, marker.Generation)
	s.recordWrite(batch, objects.MutationReverted, key, marker, by)
	entry := s.retire(batch, key, old, marker)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return outcomeUnknown(op, key, err)
	}
	s.retired(entry)
	return nil
}

// RestoreSlice puts a slice that was built again, and is staged, in its place: the record, or
// what is kept beside it, names it. With the last of those that are named here, what was known of
// damage ends. errs.Conflict: nothing names it, and it stays staged; errs.NotFound: it is not
// staged. By is for the history. In the key's turn.
func (s *Store) RestoreSlice(key objects.Key, payload objects.Generation, index uint8, by objects.Origin) error {
	const op errs.Op = "store.RestoreSlice"
	if err := s.admitDelete(op, key); err != nil {
		return err
	}
	old, err := s.current(op, key, objectKey(key))
	if err != nil {
		return err
	}
	entries, err := s.reclaimsOf(key, payload)
	if err != nil {
		return failed(op, key, err)
	}
	var named []uint8
	var meta *objects.Meta
	if old != nil && !old.Deleted && old.Payload == payload {
		meta, named = old, s.indicesOf(old)
	}
	for _, e := range entries {
		if e.Settles {
			named = append(named, e.Indices...)
		}
	}
	if !slices.Contains(named, index) {
		return errs.E(op, key, errs.Conflict, fmt.Errorf("nothing names slice %s of payload %s here", layout.SliceSuffix(index), payload))
	}
	h := &holding{store: s, key: key}
	defer h.release()
	h.staged = s.staging.commit(key, payload, []uint8{index})
	if h.staged == nil {
		return errs.E(op, key, errs.NotFound, fmt.Errorf("slice %s of payload %s is not staged", layout.SliceSuffix(index), payload))
	}
	whole := true
	for _, other := range named {
		if _, err := s.fs.Stat(layout.SlicePath(payload, other)); isNoPayload(err) {
			whole = whole && other == objects.WholeIndex && (meta == nil || !meta.Slicing.Whole) // who wrote may have none beside
		} else if err != nil {
			s.diskError(key, err)
			return failed(op, key, err)
		}
	}
	batch := s.index.NewBatch()
	ends := whole && s.isDamaged(payload)
	if ends {
		batch.Delete(layout.DamageKey(payload))
	}
	if ends && meta != nil {
		s.recordOther(batch, objects.MutationRepaired, key, meta, &by)
	}
	if err := h.commit(batch); err != nil {
		return failed(op, key, err)
	}
	if ends {
		return s.damageEnded(payload)
	}
	return nil
}

// Kept returns the records that are kept beside that of a key, because it is not settled and
// may have to go back to them; in no order. In the key's turn.
func (s *Store) Kept(key objects.Key) ([]*objects.Meta, error) {
	const op errs.Op = "store.Kept"
	entries, err := s.reclaims(key, func(r *layout.Reclaim) bool { return r.Settles && r.Previous != nil })
	if err != nil {
		return nil, failed(op, key, err)
	}
	var kept []*objects.Meta
	for _, e := range entries {
		meta, err := layout.DecodeRecord(e.Previous)
		if err != nil {
			return nil, errs.E(op, key, err)
		}
		kept = append(kept, meta)
	}
	return kept, nil
}

// follows returns the generation of the record that was settled when one was written in place
// of old; zero: there was none, or it was a delete marker.
func follows(old *objects.Meta) objects.Generation {
	switch {
	case old == nil || old.Deleted:
		return objects.Generation{}
	case old.Unsettled: // it was not settled before: what it follows was
		return old.Follows
	}
	return old.Generation
}

// indicesOf returns what a record names on this node: objects.WholeIndex for all of the payload.
func (s *Store) indicesOf(meta *objects.Meta) []uint8 {
	if meta == nil || meta.Deleted || meta.Slicing == nil {
		return nil
	}
	indices, whole := meta.Slicing.Of(objects.NodeDigest(s.format.NodeID))
	if whole {
		indices = append(indices, objects.WholeIndex)
	}
	return indices
}

// durableOf is indicesOf for an answer that counts them: of a payload that is known to be
// damaged nobody knows which are left.
func (s *Store) durableOf(meta *objects.Meta) []uint8 {
	if meta == nil || s.isDamaged(meta.Payload) {
		return nil
	}
	return s.indicesOf(meta)
}

// takeSliced is take for a record with slices, which is greater than what is here.
func (s *Store) takeSliced(op errs.Op, key objects.Key, old, meta *objects.Meta, payload []byte, by *objects.Origin) (messages.Stored, error) {
	if err := meta.Slicing.Check(); err != nil {
		return messages.Stored{}, errs.E(op, key, errs.Invalid, err)
	}
	w := slicedWrite{kind: objects.MutationStored, by: by}
	if meta.Where == objects.Inline && (payload != nil || meta.Size == 0) {
		if got := xxhash.Checksum64(payload); got != meta.XXHash || int64(len(payload)) != meta.Size {
			return messages.Stored{}, errs.E(op, key, errs.Corrupt, fmt.Errorf("%d bytes with xxhash %016x came, the record says %d with %016x", len(payload), got, meta.Size, meta.XXHash))
		}
		w.inline, w.came = payload, true
	}
	if old == nil || old.Deleted || old.Payload != meta.Payload {
		if err := s.forgetFormer(op, key, &Import{meta: meta}); err != nil {
			return messages.Stored{}, err
		}
	}
	err := s.commitSliced(op, key, old, meta, w)
	if errors.Is(err, objects.ErrNoSlice) {
		return messages.Stored{NeedsPayload: true}, nil
	}
	if err != nil {
		return messages.Stored{}, err
	}
	return messages.Stored{Has: true, Indices: s.durableOf(meta)}, nil
}

// slicedWrite is how a record with slices comes.
type slicedWrite struct {
	kind   objects.MutationKind
	by     *objects.Origin
	own    bool   // its generation was taken here, for this
	inline []byte // the payload, if it goes into the index
	came   bool   // inline is there, if only as nothing
}

// commitSliced stores a record with slices in place of old, if all that it names here is here;
// else nothing is done: Busy around objects.ErrNoSlice. In the key's turn.
func (s *Store) commitSliced(op errs.Op, key objects.Key, old, meta *objects.Meta, w slicedWrite) error {
	h, err := s.hold(op, key, old, meta, w.came)
	if err != nil {
		return err
	}
	defer h.release()
	batch := s.index.NewBatch()
	h.indexKey = objectKey(key)
	if w.came && slices.Contains(s.indicesOf(meta), objects.WholeIndex) {
		batch.Set(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload), w.inline)
	}
	batch.Set(h.indexKey, layout.AppendRecord(nil, meta))
	if w.own {
		s.recordWrite(batch, w.kind, key, meta, w.by)
	} else {
		s.recordOther(batch, w.kind, key, meta, w.by)
	}
	for _, e := range h.again {
		batch.Delete(e.key)
	}
	replaced := h.giveAway(batch, old, meta)
	if old != nil && old.Payload != meta.Payload {
		written := *meta
		written.Class = objects.Synced
		if entry := s.retire(batch, key, old, &written); entry != nil {
			replaced = append(replaced, entry)
		}
	}
	if err := h.commit(batch); err != nil {
		if errs.Is(errs.Busy, err) { // it was not taken
			return failed(op, key, err)
		}
		return outcomeUnknown(op, key, err)
	}
	for _, entry := range replaced {
		s.retired(entry)
	}
	if old != nil && !old.Deleted && old.Payload == meta.Payload {
		if err := s.renewPayload(key, old, meta); err != nil {
			s.diskError(key, err)
			s.log.WithError(err).WithField("key", key.String()).Warn("an object's newer metadata is not beside its payload, where a rebuild of the index would look; the record has it")
		}
	}
	return nil
}

// holding is what a record with slices finds of its payload here. From hold to release none of it
// is abandoned or reclaimed. It belongs to one turn.
type holding struct {
	store    *Store
	key      objects.Key
	indexKey []byte          // in flight with the batch; nil: none
	staged   *committing     // what is taken of what is staged; nil: nothing
	again    []*reclaimEntry // of what is named again, out of the queue
	done     bool            // the batch was committed
}

// hold looks for what a record names here, and keeps it until release. It completes the record
// where the payload's file lies under a name of this mountpath's.
func (s *Store) hold(op errs.Op, key objects.Key, old, meta *objects.Meta, came bool) (_ *holding, err error) {
	h := &holding{store: s, key: key}
	wants := s.indicesOf(meta)
	var have []uint8
	switch {
	case old == nil || old.Deleted || old.Payload != meta.Payload:
	default:
		have = append(have, s.indicesOf(old)...)
		meta.Where, meta.Path, meta.Inode, meta.Birth = old.Where, old.Path, old.Inode, old.Birth
	}
	if came {
		have = append(have, objects.WholeIndex)
	}
	entries, err := s.reclaimsOf(key, meta.Payload)
	if err != nil {
		return nil, failed(op, key, err)
	}
	defer func() {
		if err != nil {
			h.release()
		}
	}()
	for _, e := range entries {
		if e.Kind == layout.ReclaimSlices && !e.Sidecar && !overlap(e.Indices, wants) {
			continue // it was given away, and goes on to be
		}
		if !s.reclaim.drop(e) {
			return nil, errs.E(op, key, errs.Busy, fmt.Errorf("payload %s is being reclaimed: ask again", meta.Payload))
		}
		h.again = append(h.again, e)
		have = append(have, e.named()...)
		if e.Kind == layout.ReclaimFile && e.Previous != nil {
			previous, err := layout.DecodeRecord(e.Previous)
			if err != nil {
				return nil, errs.E(op, key, err)
			}
			meta.Path, meta.Inode, meta.Birth = previous.Path, previous.Inode, previous.Birth
		}
	}
	if meta.Where == objects.Slices {
		beside := append(slices.Clone(wants), objects.WholeIndex) // who writes may keep it
		if h.staged = s.staging.commit(key, meta.Payload, beside); h.staged != nil {
			if err = h.staged.check(meta); err != nil {
				return nil, errs.E(op, err)
			}
			have = append(have, h.staged.indices()...)
		}
	}
	for _, index := range wants {
		if !slices.Contains(have, index) {
			return nil, errs.E(op, key, errs.Busy, fmt.Errorf("slice %s of payload %s: %w", layout.SliceSuffix(index), meta.Payload, objects.ErrNoSlice))
		}
	}
	return h, nil
}

// giveAway adds to the batch what becomes of slices that the record does not name here any more,
// although it goes on to name the payload: an entry whose key has its own generation, since the
// payload's is that of the entry for all of it. Of the record before nothing is kept: who goes
// back needs one of another payload.
func (h *holding) giveAway(batch *index.Batch, old, meta *objects.Meta) []*reclaimEntry {
	s, wants := h.store, h.store.indicesOf(meta)
	kept := func(index uint8) bool {
		return slices.Contains(wants, index) || index == objects.WholeIndex && meta.Where == objects.Slices && !meta.Slicing.Whole
	}
	var given []uint8
	if old != nil && !old.Deleted && old.Payload == meta.Payload {
		given = s.indicesOf(old)
	}
	for _, e := range h.again {
		given = append(given, e.named()...)
	}
	given = slices.DeleteFunc(given, kept)
	slices.Sort(given)
	given = slices.Compact(given)
	if len(given) == 0 {
		return nil
	}
	reclaim := layout.Reclaim{
		Bucket: h.key.Bucket.ID, Name: h.key.Name, Payload: meta.Payload, Settles: meta.Unsettled,
	}
	switch meta.Where {
	case objects.Slices:
		reclaim.Kind, reclaim.Indices, reclaim.Bytes = layout.ReclaimSlices, given, sliceBytes(meta, given)
	case objects.Inline:
		reclaim.Kind, reclaim.Bytes = layout.ReclaimInline, meta.Size
	default:
		return nil // files and parts have one place, which the record names still
	}
	entry := &reclaimEntry{Reclaim: reclaim, key: layout.ReclaimKey(nil, h.key.Bucket.ID, h.key.Name, meta.Generation)}
	batch.Set(entry.key, layout.AppendReclaim(nil, &reclaim))
	return []*reclaimEntry{entry}
}

// commit commits a batch with what is taken out of what is staged.
func (h *holding) commit(batch *index.Batch) error {
	keys := [][]byte{h.indexKey}
	if h.indexKey == nil {
		keys = nil
	}
	if h.staged == nil {
		err := h.store.index.Commit(batch, keys...)
		h.done = err == nil
		return err
	}
	// Intents of a payload are written in one order: this one comes before that of a slice
	// which begins to be staged now.
	p := h.staged.payload
	p.mu.Lock()
	intentKey := layout.IntentKey(nil, p.key.Bucket.ID, p.key.Name, p.payload)
	if rest := p.intent(h.staged.indices()...); rest != nil {
		batch.Set(intentKey, layout.AppendIntent(nil, rest))
	} else {
		batch.Delete(intentKey)
	}
	pending := h.store.index.CommitAsync(batch, keys...)
	p.mu.Unlock()
	err := pending.Wait()
	h.done = err == nil
	return err
}

// release ends the holding: without a batch that was committed, all is as it was.
func (h *holding) release() {
	if h.staged != nil {
		h.staged.done(h.store.staging, h.done)
		h.staged = nil
	}
	if !h.done {
		h.store.reclaim.add(h.again...)
	}
	h.again = nil
}

// reclaimsOf returns the reclaim entries of a payload.
func (s *Store) reclaimsOf(key objects.Key, payload objects.Generation) ([]*reclaimEntry, error) {
	return s.reclaims(key, func(r *layout.Reclaim) bool { return r.Payload == payload })
}

// reclaims returns the reclaim entries of a key that are wanted, as the index has them: those
// of the queue are others.
func (s *Store) reclaims(key objects.Key, wanted func(*layout.Reclaim) bool) ([]*reclaimEntry, error) {
	lower, upper := layout.NameBounds(layout.KindReclaim, key.Bucket.ID, key.Name)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, err
	}
	var found []*reclaimEntry
	for scan.Next() {
		value, err := scan.Value()
		var reclaim *layout.Reclaim
		if err == nil {
			reclaim, err = layout.DecodeReclaim(value)
		}
		if err != nil {
			return nil, errors.Join(err, scan.Close())
		}
		if wanted(reclaim) {
			found = append(found, &reclaimEntry{Reclaim: *reclaim, key: slices.Clone(scan.Key())})
		}
	}
	return found, errors.Join(scan.Err(), scan.Close())
}

// named returns which slices the entry is about.
func (e *reclaimEntry) named() []uint8 {
	if e.Kind == layout.ReclaimSlices {
		return e.Indices
	}
	return []uint8{objects.WholeIndex}
}

// formOf returns the form of a record's payload.
func formOf(s *objects.Slicing) erasure.Form {
	return erasure.Form{Data: s.Data, Parity: s.Parity, CellBytes: s.CellBytes}
}

// sliceBytes returns how many bytes slices of a record's payload have.
func sliceBytes(meta *objects.Meta, indices []uint8) (bytes int64) {
	one := erasure.Layout{Form: formOf(meta.Slicing), Size: meta.Size}.SliceBytes()
	for _, index := range indices {
		if index != objects.WholeIndex {
			bytes += one
		} else if meta.Slicing.Whole { // one that is kept beside slices may not be there
			bytes += meta.Size
		}
	}
	return bytes
}

func overlap(a, b []uint8) bool {
	return slices.ContainsFunc(a, func(index uint8) bool { return slices.Contains(b, index) })
}
