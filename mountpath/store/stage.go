package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// StageOptions says what is staged.
type StageOptions struct {
	Payload  objects.Generation // zero: BeginStage takes one
	Form     erasure.Form       // of the payload, also where all of it is staged
	Index    uint8              // which slice; objects.WholeIndex: all of the payload
	SizeHint int64              // bytes of the file; -1: not known
	UploadID string             // of a part
	Part     int                // of a part: its number; 0: an object
}

// Sealing is what is known of a payload after its body: a store is told by its callers.
type Sealing = objects.Sealing

// Staged is a slice, or all of a payload, on its way to the file that has its name. The file
// is named by nothing until a record is: a crash, or Abandon, undoes it. What has come is
// checked as it passes. Its methods may be called by several goroutines, one after the other.
type Staged struct {
	Key     objects.Key
	Payload objects.Generation
	Index   uint8

	uploadID string
	part     int
	form     erasure.Form
	store    *Store
	of       *stagedPayload

	mu      sync.Mutex // one call at a time
	in      *Incoming  // the work file
	checker *erasure.Checker
	digest  *xxhash.XXHash64 // of all of a payload, which has no checker
	broken  error            // the first failure: nothing follows it

	bytes  atomic.Int64 // that have come
	sealed atomic.Bool  // it is at its name, durably
	size   int64        // of the payload; with xxhash, once it is sealed
	xxhash uint64
	ended  atomic.Bool // it was abandoned, or the store was
}

// errStageEnded says that a slice was abandoned.
var errStageEnded = errors.New("what was staged was abandoned")

// errBucketSealed says that nothing of a bucket is staged any more.
var errBucketSealed = errors.New("the bucket is being destroyed")

// BeginStage begins to stage a slice: its work file is there and its intent on the way to
// stable storage. What is staged already, or lies at its name, is errs.Exists, what is on its
// way errs.Busy. Blocks on the disk; not in the key's turn, and never in a lane.
func (s *Store) BeginStage(key objects.Key, o StageOptions) (*Staged, error) {
	const op errs.Op = "store.BeginStage"
	if err := o.check(); err != nil {
		return nil, errs.E(op, key, errs.Invalid, err)
	}
	if err := s.admitWrite(op, key, claim{bytes: max(o.SizeHint, 0), files: filesPerPayload}); err != nil {
		return nil, err
	}
	if o.Payload.IsZero() {
		o.Payload = s.generations.Next()
	}
	t := &Staged{Key: key, Payload: o.Payload, Index: o.Index, uploadID: o.UploadID, part: o.Part, form: o.Form, store: s}
	if o.Index == objects.WholeIndex {
		t.digest = xxhash.New64()
	} else {
		t.checker = erasure.NewChecker(o.Payload, o.Form, int(o.Index))
	}
	// All of the file was claimed: the hint is not for Incoming, which would do it again.
	t.in = &Incoming{Key: key, Payload: o.Payload, store: s, path: layout.SliceWorkPath(o.Payload, o.Index), hint: -1, room: max(o.SizeHint, 0)}
	p, err := s.staging.add(t, s.now())
	if err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	t.of = p
	err = t.open(o.SizeHint)
	if err == nil && s.Sealed(key.Bucket.ID) { // who drops the bucket may have looked into the table already
		err = errors.Join(errs.E(op, errs.Busy, errBucketSealed), t.in.discard())
	}
	if err != nil {
		t.ended.Store(true)
		delete(p.slices, t.Index)
		s.staging.forget(p)
		return nil, failed(op, key, err)
	}
	batch := s.index.NewBatch()
	batch.Set(t.in.intentKey(), layout.AppendIntent(nil, p.intent()))
	t.in.intent = s.index.CommitAsync(batch)
	return t, nil
}

func (o *StageOptions) check() error {
	switch {
	case o.Form.Check() != nil:
		return o.Form.Check()
	case o.Index != objects.WholeIndex && int(o.Index) >= o.Form.Slices():
		return fmt.Errorf("slice %d of %d", o.Index, o.Form.Slices())
	case (o.UploadID == "") != (o.Part == 0) || o.Part < 0:
		return fmt.Errorf("part %d of upload %q", o.Part, o.UploadID)
	}
	return nil
}

// open makes the work file. One that is there is what an earlier try left, whose removal failed.
func (t *Staged) open(sizeHint int64) error {
	if _, err := t.store.fs.Stat(t.path()); err == nil {
		return errs.E("store.BeginStage", errs.Exists, errors.New("slice "+layout.SliceSuffix(t.Index)+" of the payload is there"))
	} else if !isNoPayload(err) {
		t.store.diskError(t.Key, err)
		return err
	}
	err := t.in.open()
	if errors.Is(err, fs.ErrExist) {
		if err = absent(t.store.fs.Remove(t.in.path)); err == nil {
			err = t.in.open()
		}
	}
	if err != nil || sizeHint < preallocateFrom {
		return err
	}
	err = t.in.file.Preallocate(0, min(sizeHint, preallocateAhead))
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	if err != nil {
		t.store.diskError(t.Key, err)
		err = errors.Join(err, t.in.discard())
	}
	return err
}

// path returns where the slice lies once it is sealed.
func (t *Staged) path() string { return slicePath(t.uploadID, t.part, t.Payload, t.Index) }

func slicePath(uploadID string, part int, payload objects.Generation, index uint8) string {
	if part > 0 {
		return layout.PartSlicePath(uploadID, part, payload, index)
	}
	return layout.SlicePath(payload, index)
}

// Size returns how many bytes have come: where the next ones go.
func (t *Staged) Size() int64 { return t.bytes.Load() }

// Append writes the next bytes of the slice, which lie in one piece or in several. A cell
// that is wrong is errs.Corrupt. After a failure there is nothing to do but Abandon.
func (t *Staged) Append(pieces ...[]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	const op errs.Op = "store.Append"
	switch {
	case t.ended.Load():
		return errs.E(op, t.Key, errs.Canceled, errStageEnded)
	case t.sealed.Load():
		return errs.E(op, t.Key, errs.Conflict, errors.New("the slice is sealed"))
	case t.broken != nil:
		return t.broken
	}
	t.of.heard(t.store.now())
	if t.broken = t.in.Append(pieces...); t.broken != nil {
		return t.broken
	}
	t.bytes.Store(t.in.Size())
	for _, p := range pieces {
		if t.checker == nil {
			_, _ = t.digest.Write(p) // never fails
		} else if _, err := t.checker.Write(p); err != nil {
			t.broken = errs.E(op, t.Key, err)
			return t.broken
		}
	}
	return nil
}

// Seal ends the slice: it is what the sealing says, the attribute names it, and file, name and
// intent are on stable storage. Blocks on the disk; never in a lane. A Seal that failed is not
// tried again.
func (t *Staged) Seal(sealing Sealing) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	const op errs.Op = "store.Seal"
	switch {
	case t.ended.Load():
		return errs.E(op, t.Key, errs.Canceled, errStageEnded)
	case t.sealed.Load():
		return errs.E(op, t.Key, errs.Conflict, errors.New("the slice is sealed"))
	case t.broken != nil:
		return t.broken
	}
	t.of.heard(t.store.now())
	if t.broken = t.check(op, &sealing); t.broken == nil {
		if err := t.seal(&sealing); err != nil {
			t.store.diskError(t.Key, err)
			t.broken = failed(op, t.Key, err)
		}
	}
	if t.broken != nil {
		return t.broken
	}
	t.size, t.xxhash = sealing.Size, sealing.XXHash
	t.sealed.Store(true)
	t.in.release()
	return nil
}

// check compares what has come with what is said of it.
func (t *Staged) check(op errs.Op, sealing *Sealing) error {
	if t.checker != nil {
		label := t.label(sealing)
		if err := label.Layout.Check(); err != nil {
			return errs.E(op, t.Key, errs.Invalid, err)
		}
		if err := t.checker.Finish(label); err != nil {
			return errs.E(op, t.Key, err)
		}
		return nil
	}
	if sealing.Sums != nil && len(sealing.Sums) != t.form.Slices() {
		return errs.E(op, t.Key, errs.Invalid, fmt.Errorf("sums of %d slices of %d", len(sealing.Sums), t.form.Slices()))
	}
	if got := t.digest.Sum64(); t.in.Size() != sealing.Size || got != sealing.XXHash {
		return errs.E(op, t.Key, errs.Corrupt, fmt.Errorf("%d bytes with xxhash %016x came, want %d with %016x", t.in.Size(), got, sealing.Size, sealing.XXHash))
	}
	return nil
}

// label returns what the slice says it is: it follows from its attribute, and is not stored.
func (t *Staged) label(sealing *Sealing) *erasure.Label {
	return &erasure.Label{
		Bucket: t.Key.Bucket.ID, Name: t.Key.Name, Payload: t.Payload, Slice: int(t.Index),
		Layout: erasure.Layout{Form: t.form, Size: sealing.Size}, Sums: sealing.Sums,
	}
}

func (t *Staged) seal(sealing *Sealing) error {
	s := t.store
	if sealing.Modified.IsZero() {
		sealing.Modified = s.now()
	}
	content := layout.Attribute{
		Key: t.Key, Payload: t.Payload, Size: sealing.Size, XXHash: sealing.XXHash, ETag: sealing.ETag, Checksums: sealing.Checksums,
		UploadID: t.uploadID, PartNumber: t.part, Modified: sealing.Modified, Form: t.form, Index: t.Index, Sums: sealing.Sums,
	}
	content.CarryDraft(&sealing.Draft)
	if err := t.in.file.SetAttr(layout.AttributeName, layout.AppendAttribute(nil, &content)); err != nil {
		if errors.Is(err, syscall.ENOSPC) { // ext4's word for attributes that do not fit their block
			err = fmt.Errorf("its attribute does not fit beside others: %w", syscall.E2BIG)
		}
		return err
	}
	if err := t.in.file.Sync(); err != nil {
		return err
	}
	if err := t.in.awaitIntent(); err != nil { // before anything has another name than the work file's
		return err
	}
	if content.Sidecar {
		sidecar := &layout.Sidecar{Key: t.Key, UploadID: t.uploadID, Payload: t.Payload, Draft: sealing.Draft}
		if err := s.writeSidecar(sliceSidecar(t.uploadID, t.part, t.Payload), sidecar); err != nil {
			return err
		}
	}
	if t.ended.Load() { // or a store that opens has undone it by its intent
		return errs.E("store.Seal", t.Key, errs.Canceled, errStageEnded)
	}
	_, err := s.names.receive(t.in.path, t.path(), true)
	return err
}

// sliceSidecar returns where the draft is that the attributes of a payload's slices cannot carry.
func sliceSidecar(uploadID string, part int, payload objects.Generation) string {
	if part > 0 {
		return layout.PartSidecarPath(uploadID, part, payload)
	}
	return layout.SidecarPath(payload)
}

// Abandon ends a slice that will not be named: its files and its intent go. What fails here is
// left to Settle, which finds the intent. What is being committed stays. Idempotent.
func (t *Staged) Abandon() error {
	if current := t.store.staging.store.Load(); current != nil {
		return current.endStage(t)
	}
	return t.store.endStage(t)
}

// AbandonStage abandons all that is staged of a payload of a key, but for what is being
// committed. Blocks on the disk; idempotent.
func (s *Store) AbandonStage(key objects.Key, payload objects.Generation) error {
	p := s.staging.of(payload, nil)
	if p == nil || p.key.Bucket.ID != key.Bucket.ID || p.key.Name != key.Name {
		return nil
	}
	p.mu.Lock()
	staged := slices.Collect(maps.Values(p.slices))
	p.mu.Unlock()
	var failures []error
	for _, t := range staged {
		failures = append(failures, s.endStage(t))
	}
	return errors.Join(failures...)
}

// endStage undoes one slice, whichever store it began with.
func (s *Store) endStage(t *Staged) error {
	if t.ended.Swap(true) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.in.release() // what a store that opened has undone
		return nil
	}
	t.mu.Lock() // what its writer is in ends first
	defer t.mu.Unlock()
	p := t.of
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.slices[t.Index] != t: // it was committed meanwhile
		return nil
	case p.committing.has(t): // whoever does has found it whole
		t.ended.Store(false)
		return nil
	}
	var err error
	if t.in.file != nil {
		err = errors.Join(t.in.discard(), t.in.awaitIntent())
	}
	delete(p.slices, t.Index)
	p.left[t.Index] = struct{}{}
	if err == nil {
		err = s.undoStaged(p, []uint8{t.Index})
	}
	if err != nil {
		s.diskError(t.Key, err)
		s.unsettled.add(&openIntent{key: t.Key, payload: t.Payload})
		return failed("store.Abandon", t.Key, err)
	}
	s.staging.forget(p)
	return nil
}

// undoStaged removes the files of slices that ended, and then takes them out of the intent. The
// caller has locked the payload.
func (s *Store) undoStaged(p *stagedPayload, indices []uint8) error {
	err := s.undoSlices(&layout.Intent{Key: p.key, Payload: p.payload, UploadID: p.uploadID, Part: p.part, Indices: indices}, len(p.slices) > 0)
	if err != nil {
		return err
	}
	for _, index := range indices {
		delete(p.left, index)
	}
	batch := s.index.NewBatch()
	intentKey := layout.IntentKey(nil, p.key.Bucket.ID, p.key.Name, p.payload)
	if rest := p.intent(); rest != nil {
		batch.Set(intentKey, layout.AppendIntent(nil, rest))
	} else {
		batch.Delete(intentKey)
	}
	if err := s.index.Commit(batch); err != nil {
		for _, index := range indices {
			p.left[index] = struct{}{}
		}
		return err
	}
	return nil
}

// settleSlices undoes what an intent says was staged, but for what is still: a store that
// opens keeps what its predecessor in this process sealed.
func (s *Store) settleSlices(intent *layout.Intent) error {
	p := s.staging.of(intent.Payload, nil)
	if p == nil {
		if err := s.undoSlices(intent, false); err != nil {
			return err
		}
		return s.dropIntent(layout.IntentKey(nil, intent.Key.Bucket.ID, intent.Key.Name, intent.Payload))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer s.staging.forget(p)
	gone := slices.DeleteFunc(slices.Clone(intent.Indices), func(index uint8) bool { return p.slices[index] != nil })
	return s.undoStaged(p, gone)
}

// settleLeft undoes what may be left of a payload whose intent was never written.
func (s *Store) settleLeft(p *stagedPayload) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer s.staging.forget(p)
	return s.undoStaged(p, slices.Collect(maps.Keys(p.left)))
}

// undoSlices removes the files of slices that nothing names, durably: then their intent may
// go. Kept says that others of the payload are still staged, for which the sidecar stays.
func (s *Store) undoSlices(intent *layout.Intent, kept bool) error {
	named, err := s.namedSlices(intent)
	if err != nil {
		return err
	}
	var dir string
	for _, index := range intent.Indices {
		if err := absent(s.fs.Remove(layout.SliceWorkPath(intent.Payload, index))); err != nil {
			return err
		}
		name := slicePath(intent.UploadID, intent.Part, intent.Payload, index)
		dir = path.Dir(name)
		if named.has(index) {
			kept = true
			continue
		}
		if err := absent(s.fs.Remove(name)); err != nil {
			return err
		}
	}
	if !kept && !named.payload {
		sidecar := sliceSidecar(intent.UploadID, intent.Part, intent.Payload)
		if err := absent(s.fs.Remove(sidecar)); err != nil {
			return err
		}
		if err := absent(s.fs.SyncDir(path.Dir(sidecar))); err != nil {
			return err
		}
	}
	if dir == "" {
		return nil
	}
	if err := absent(s.fs.SyncDir(dir)); err != nil {
		return err
	}
	if intent.Part == 0 {
		return nil
	}
	s.names.sweep(dir, layout.PartsDir)
	return s.fs.SyncDir(layout.PartsDir)
}

// namedSlices says which slices of a payload are named.
type namedSlices struct {
	payload bool // the payload is, by something
	all     bool // every index is
	indices []uint8
}

func (n *namedSlices) has(index uint8) bool { return n.all || slices.Contains(n.indices, index) }

// namedSlices returns which slices of a payload the record, an upload or a reclaim entry of the
// key names. Of a damaged entry nobody knows: nothing is removed for it. Out of the key's turn the
// record may be replaced, and its payload come to be named by an entry: both are looked at until
// the record has not changed meanwhile.
func (s *Store) namedSlices(intent *layout.Intent) (n namedSlices, err error) {
	key := intent.Key
	for {
		before, err := s.recordOrNone(key)
		if err != nil {
			return n, err
		}
		if n, err = s.namedBeside(intent, before); err != nil {
			return n, err
		}
		after, err := s.recordOrNone(key)
		if err != nil {
			return n, err
		}
		if (before == nil) == (after == nil) && (before == nil || before.Generation == after.Generation) {
			return n, nil
		}
	}
}

func (s *Store) recordOrNone(key objects.Key) (*objects.Meta, error) {
	record, err := s.record(objectKey(key))
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	return record, err
}

// namedBeside is namedSlices with the record that the key has; nil: none.
func (s *Store) namedBeside(intent *layout.Intent, record *objects.Meta) (n namedSlices, err error) {
	key := intent.Key
	entries, err := s.reclaimsOf(key, intent.Payload)
	if errs.Is(errs.Corrupt, err) {
		return namedSlices{payload: true, all: true}, nil
	}
	if err != nil {
		return n, err
	}
	for _, e := range entries {
		n.payload = true
		n.indices = append(n.indices, e.Indices...)
	}
	if intent.Part > 0 {
		named, err := s.namesPart(key, intent.UploadID, intent.Part, intent.Payload)
		n.payload, n.all = n.payload || named, named // what is too much goes with the upload's directory
		return n, err
	}
	if record == nil || record.Deleted || record.Payload != intent.Payload || record.Slicing == nil {
		return n, nil
	}
	n.payload = true
	n.indices = append(append(n.indices, s.indicesOf(record)...), objects.WholeIndex) // who wrote may keep it beside
	return n, nil
}
