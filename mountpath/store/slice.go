package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Slice names a slice of a payload of a key.
type Slice struct {
	Payload  objects.Generation
	Index    uint8  // objects.WholeIndex: all of the payload
	UploadID string // of a part
	Part     int    // of a part: its number; 0: an object's
}

func (n Slice) path() string { return slicePath(n.UploadID, n.Part, n.Payload, n.Index) }

// OpenSlice opens a slice for reading: one that has its name, whether a record names it or it
// is staged. A payload in the index is copied into room, which must hold InlineLimit bytes,
// where all of it is asked for. The caller closes what it gets. errs.NotFound: it is not here;
// errs.Corrupt: it is known to be damaged, or is not what its name says. Needs no turn: what
// has the name never changes, and an open file outlives it. Blocks on the disk.
func (s *Store) OpenSlice(key objects.Key, n Slice, room []byte) (*messages.SliceOpened, error) {
	const op errs.Op = "store.OpenSlice"
	one := s.reads.begin()
	defer s.reads.end(one)
	if err := s.intact(key, n.Payload); err != nil {
		return nil, errs.E(op, err)
	}
	file, bytes, err := s.openSlice(key, n)
	if err == nil {
		return &messages.SliceOpened{File: &payloadFile{File: file, store: s, key: key, payload: n.Payload}, Bytes: bytes}, nil
	}
	if n.Index == objects.WholeIndex && n.Part == 0 && errs.Is(errs.NotFound, err) {
		return s.openInlineSlice(op, key, n, room)
	}
	return nil, err
}

// openSlice opens the file of a slice, and returns its length in bytes.
func (s *Store) openSlice(key objects.Key, n Slice) (disk.File, int64, error) {
	const op errs.Op = "store.openSlice"
	file, err := s.fs.OpenFile(n.path(), disk.ReadOnly, 0)
	if isNoPayload(err) {
		return nil, 0, errs.E(op, key, errs.NotFound, errors.New("slice "+layout.SliceSuffix(n.Index)+" of the payload is not here"))
	}
	if err != nil {
		s.diskError(key, err)
		return nil, 0, failed(op, key, err)
	}
	bytes, err := s.checkSlice(key, n, file)
	if err == nil {
		return file, bytes, nil
	}
	_ = file.Close() // it was only read
	if errs.Is(errs.Corrupt, err) {
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
	}
	return nil, 0, failed(op, key, err)
}

// checkSlice compares a file with what its attribute and its name say of it.
func (s *Store) checkSlice(key objects.Key, n Slice, file disk.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		s.diskError(key, err)
		return 0, err
	}
	raw, err := file.GetAttr(layout.AttributeName)
	if err != nil && !errors.Is(err, syscall.ENODATA) {
		s.diskError(key, err)
		return 0, err
	}
	attribute, decodeErr := layout.DecodeAttribute(raw)
	if err = errors.Join(err, decodeErr); err == nil {
		err = n.differs(key, attribute, info.Size)
	}
	if err != nil {
		return 0, errs.E("store.checkSlice", key, errs.Corrupt, fmt.Errorf("%s: %w", n.path(), err))
	}
	return info.Size, nil
}

// differs says in what a file is not the slice of its name, or nil.
func (n Slice) differs(key objects.Key, a *layout.Attribute, bytes int64) error {
	switch {
	case a.Key.Bucket.ID != key.Bucket.ID || a.Key.Name != key.Name:
		return fmt.Errorf("its attribute is of %s", a.Key)
	case a.Payload != n.Payload || a.UploadID != n.UploadID || a.PartNumber != n.Part:
		return fmt.Errorf("its attribute is of payload %s, part %d of upload %q", a.Payload, a.PartNumber, a.UploadID)
	case a.Form == (erasure.Form{}) || a.Index != n.Index:
		return errors.New("its attribute is of slice " + layout.SliceSuffix(a.Index))
	}
	if want := SliceBytes(a); bytes != want {
		return fmt.Errorf("it has %d bytes, want %d", bytes, want)
	}
	return nil
}

// SliceBytes returns how long a file in SlicesDir is, by its attribute: it is a slice, or
// all of a payload.
func SliceBytes(a *layout.Attribute) int64 {
	if a.Index == objects.WholeIndex {
		return a.Size
	}
	return erasure.Layout{Form: a.Form, Size: a.Size}.SliceBytes()
}

// SliceLabel returns what a slice says it is, by the attribute of its file: it is not stored.
func SliceLabel(a *layout.Attribute) *erasure.Label {
	return &erasure.Label{
		Bucket: a.Key.Bucket.ID, Name: a.Key.Name, Payload: a.Payload, Slice: int(a.Index),
		Layout: erasure.Layout{Form: a.Form, Size: a.Size}, Sums: a.Sums,
	}
}

// openInlineSlice opens all of a payload that is in the index.
func (s *Store) openInlineSlice(op errs.Op, key objects.Key, n Slice, room []byte) (*messages.SliceOpened, error) {
	meta, err := s.current(op, key, objectKey(key))
	if err != nil {
		return nil, err
	}
	opened := &messages.ObjectOpened{Meta: meta}
	if meta != nil && !meta.Deleted && meta.Payload == n.Payload && meta.Where == objects.Inline {
		err = s.openInline(key, opened, room)
		if err == nil {
			return &messages.SliceOpened{Inline: opened.Inline, Bytes: int64(opened.Inline)}, nil
		}
		if err != errMoved {
			return nil, failed(op, key, err)
		}
	}
	return nil, errs.E(op, key, errs.NotFound, errors.New("the payload is not here"))
}

// HaveSlices returns what is here of a payload of a key, in order: slices that have their
// names, by their attributes, and objects.WholeIndex for all of it. Of a part of an upload
// under way only what is staged is told. Needs no turn. Blocks on the disk.
func (s *Store) HaveSlices(key objects.Key, payload objects.Generation) ([]uint8, error) {
	const op errs.Op = "store.HaveSlices"
	one := s.reads.begin()
	defer s.reads.end(one)
	candidates, n, err := s.mayHave(op, key, payload)
	if err != nil {
		return nil, err
	}
	var have []uint8
	for _, index := range candidates {
		n.Index = index
		opened, err := s.OpenSlice(key, n, make([]byte, s.roomFor(index)))
		switch {
		case err == nil:
			opened.Close()
			have = append(have, index)
		case !errs.Is(errs.NotFound, err) && !errs.Is(errs.Corrupt, err):
			return nil, err // it cannot be told
		}
	}
	return have, nil
}

// roomFor returns how many bytes a payload in the index may have.
func (s *Store) roomFor(index uint8) int {
	if index == objects.WholeIndex {
		return s.inlineLimit
	}
	return 0
}

// mayHave returns which slices of a payload can be here, in order, and of what they are: those
// that something names, or that are staged. Nothing else is left to lie.
func (s *Store) mayHave(op errs.Op, key objects.Key, payload objects.Generation) ([]uint8, Slice, error) {
	n := Slice{Payload: payload}
	candidates := map[uint8]struct{}{}
	add := func(indices ...uint8) {
		for _, index := range indices {
			candidates[index] = struct{}{}
		}
	}
	if p := s.staging.of(payload, nil); p != nil && p.key.Bucket.ID == key.Bucket.ID && p.key.Name == key.Name {
		n.UploadID, n.Part = p.uploadID, p.part
		p.mu.Lock()
		for index, t := range p.slices {
			if t.sealed.Load() {
				add(index)
			}
		}
		p.mu.Unlock()
	}
	value, err := s.journal(layout.ReclaimKey(nil, key.Bucket.ID, key.Name, payload))
	if err != nil {
		return nil, n, failed(op, key, err)
	}
	if value != nil {
		reclaim, err := layout.DecodeReclaim(value)
		if err != nil {
			return nil, n, errs.E(op, key, errs.Corrupt, err)
		}
		add(reclaim.Indices...)
	}
	meta, err := s.current(op, key, objectKey(key))
	if err != nil {
		return nil, n, err
	}
	if meta != nil && !meta.Deleted && meta.Slicing != nil {
		named := meta.Payload == payload
		if meta.Where == objects.Chunks {
			named = false
			parts, err := s.partTable(key, meta)
			if err != nil {
				return nil, n, err
			}
			for i := range parts {
				if parts[i].Payload == payload {
					named, n.UploadID, n.Part = true, meta.Path, parts[i].Number
				}
			}
		}
		if named {
			indices, _ := meta.Slicing.Of(objects.NodeDigest(s.format.NodeID))
			add(append(indices, objects.WholeIndex)...) // who wrote may keep it beside
		}
	}
	return slices.Sorted(maps.Keys(candidates)), n, nil
}

// StagedTo returns how far a slice is staged: the bytes that have come, and whether it is
// sealed. 0: it is not staged, or cannot go on.
func (s *Store) StagedTo(key objects.Key, n Slice) (bytes int64, sealed bool) {
	t := s.stagedSlice(key, n)
	if t == nil {
		return 0, false
	}
	if t.sealed.Load() {
		return t.Size(), true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return 0, false
	}
	return t.Size(), false
}

// ContinueStage returns a slice whose next bytes are at an offset: the one that is staged so
// far, or where there is none and the offset is 0, one that BeginStage begins. Another offset
// is errs.Conflict. What an earlier try broke is abandoned first. Blocks on the disk; never
// in a lane. Who appends and seals is for the caller to put in a line.
func (s *Store) ContinueStage(key objects.Key, o StageOptions, offset int64) (*Staged, error) {
	n := Slice{Payload: o.Payload, Index: o.Index, UploadID: o.UploadID, Part: o.Part}
	t := s.stagedSlice(key, n)
	if t != nil && t.isBroken() {
		if err := s.endStage(t); err != nil {
			return nil, err
		}
		t = nil
	}
	switch {
	case t == nil && offset == 0:
		return s.BeginStage(key, o)
	case t == nil:
		return nil, errs.E("store.ContinueStage", key, errs.Conflict, fmt.Errorf("nothing is staged of the slice, and bytes come for %d", offset))
	case t.sealed.Load():
		return nil, errs.E("store.ContinueStage", key, errs.Exists, errors.New("slice "+layout.SliceSuffix(n.Index)+" of the payload is staged"))
	case t.form != o.Form:
		return nil, errs.E("store.ContinueStage", key, errs.Conflict, fmt.Errorf("the slice is of %s in cells of %d bytes", t.form, t.form.CellBytes))
	case t.Size() != offset:
		return nil, errs.E("store.ContinueStage", key, errs.Conflict, fmt.Errorf("%d bytes of the slice are staged, and the next come for %d", t.Size(), offset))
	}
	return t, nil
}

func (t *Staged) isBroken() bool {
	if t.sealed.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken != nil
}

// stagedSlice finds a slice that is staged; nil: it is not.
func (s *Store) stagedSlice(key objects.Key, n Slice) *Staged {
	p := s.staging.of(n.Payload, nil)
	if p == nil || p.key.Bucket.ID != key.Bucket.ID || p.key.Name != key.Name || p.uploadID != n.UploadID || p.part != n.Part {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slices[n.Index]
}
