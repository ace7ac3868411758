package crash

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/test/model"
)

// pair is two mountpaths of one node: objects move from the source to the
// destination.
type pair struct {
	shared *index.Shared
	inline int
	start  uint64 // the start counter: greater with every opening

	fs     [2]disk.FS
	faulty [2]*disk.Faulty
	stores [2]*store.Store
	bucket objects.Bucket

	careless bool // the source is removed before the destination has committed: for the control
}

const (
	source      = 0
	destination = 1
)

// open opens both stores under one sequence of generations, as a node does.
func (p *pair) open() error {
	p.start++
	generations := objects.NewSequencer(1, p.start)
	for side := range p.stores {
		s, err := store.Open(store.Options{
			FS: p.fs[side], Shared: p.shared, Generations: generations, MemTableBytes: index.MinMemTableBytes,
			InlineLimit: p.inline, BootID: fmt.Sprint(p.start), Now: func() time.Time { return time.Unix(epoch+int64(p.start), 0) },
		})
		if err != nil {
			return err
		}
		p.stores[side] = s
	}
	return nil
}

func (p *pair) close() error {
	var failures []error
	for _, s := range p.stores {
		if s != nil {
			failures = append(failures, s.Close())
		}
	}
	return errors.Join(failures...)
}

func newPair(t *testing.T) (*pair, [2]*disk.Mem) {
	t.Helper()
	p := &pair{shared: index.NewShared(1<<20, 2), inline: 1 << 10, bucket: objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"}}
	t.Cleanup(p.shared.Close)
	mems := [2]*disk.Mem{disk.NewMem(1), disk.NewMem(2)}
	for side, mem := range mems {
		p.faulty[side] = disk.NewFaulty(mem)
		p.fs[side] = p.faulty[side]
		if err := format(p.fs[side]); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	return p, mems
}

func (p *pair) key(name string) objects.Key { return objects.Key{Bucket: p.bucket, Name: name} }

// put stores an object of one of the three kinds.
func (p *pair) put(side int, name, kind string, seed uint64, class objects.Durability) (objects.Receipt, error) {
	s, key := p.stores[side], p.key(name)
	draft := objects.Draft{Class: class, Headers: objects.Headers{ContentType: kind}, User: []objects.Pair{{Name: "seed", Value: fmt.Sprint(seed)}}}
	if seed%6 == 1 { // more than an attribute holds
		draft.User = append(draft.User, objects.Pair{Name: "long", Value: strings.Repeat("m", layout.MaxAttributeBytes)})
	}
	switch kind {
	case "inline":
		w := newPayload(seed, 300, draft)
		meta := w.meta()
		meta.Modified = time.Unix(epoch-int64(seed), 5)
		return s.PutInline(key, meta, w.bytes, objects.Conditions{}, objects.Origin{})
	case "file":
		w := newPayload(seed, 6000, draft)
		in, err := s.Create(key, draft, -1)
		if err == nil {
			err = errors.Join(in.Append(w.bytes), in.Seal(w.sums, w.sums.ETag()))
		}
		if err != nil {
			return objects.Receipt{}, err
		}
		meta := w.meta()
		meta.Modified = time.Unix(epoch-int64(seed), 5)
		return s.CommitFile(in, meta, objects.Conditions{}, objects.Origin{})
	default:
		id := fmt.Sprintf("%032x", seed)
		m := &messages.CompleteUpload{Key: key, UploadID: id, Size: -1}
		if err := p.upload(side, name, id, seed, &m.Parts); err != nil {
			return objects.Receipt{}, err
		}
		return s.CompleteUpload(m)
	}
}

// upload begins an upload with three parts.
func (p *pair) upload(side int, name, id string, seed uint64, parts *[]messages.CompletePart) error {
	s, key := p.stores[side], p.key(name)
	draft := objects.Draft{User: []objects.Pair{{Name: "seed", Value: fmt.Sprint(seed)}}}
	if err := s.CreateUpload(key, objects.Upload{ID: id, Name: name, Initiated: time.Unix(epoch, 0), Draft: draft}); err != nil {
		return err
	}
	for number := 1; number <= 3; number++ {
		part, err := p.part(side, name, id, number, seed<<8|uint64(number))
		if err != nil {
			return err
		}
		*parts = append(*parts, messages.CompletePart{Number: number, ETag: part.ETag})
	}
	return nil
}

func (p *pair) part(side int, name, id string, number int, seed uint64) (objects.Part, error) {
	w := newPayload(seed, 2500, objects.Draft{})
	in, err := p.stores[side].CreatePart(p.key(name), id, number, -1)
	if err == nil {
		err = errors.Join(in.Append(w.bytes), in.Seal(w.sums, w.sums.ETag()))
	}
	if err != nil {
		return objects.Part{}, err
	}
	return p.stores[side].CommitPart(in, w.sums, w.sums.ETag())
}

// copy is the first step of a move; nil: there is nothing to move.
func (p *pair) copy(from, to int, name string) (*store.Import, *objects.Meta, error) {
	inline := make([]byte, p.inline)
	opened, err := p.stores[from].Open(p.key(name), inline)
	if errs.Is(errs.NotFound, err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer opened.Close()
	i, err := p.stores[to].Copy(p.key(name), opened, inline[:opened.Inline], room())
	return i, opened.Meta, err
}

// room is memory in pieces, as a window is.
func room() [][]byte { return [][]byte{make([]byte, 2048), make([]byte, 1024)} }

// move moves an object and the uploads of its key, as the mover does.
func (p *pair) move(from, to int, name string) error {
	i, meta, err := p.copy(from, to, name)
	if err != nil {
		return err
	}
	if i != nil && p.careless {
		if err := p.stores[from].RemoveMoved(p.key(name), meta.Generation, objects.MutationLeft, objects.Origin{}); err != nil {
			return errors.Join(err, i.Abandon())
		}
	}
	if i != nil {
		if _, err := p.stores[to].CommitImport(i, objects.Origin{}); err != nil {
			return err
		}
		if err := p.stores[from].RemoveMoved(p.key(name), meta.Generation, objects.MutationLeft, objects.Origin{}); err != nil {
			return err
		}
	}
	uploads, err := p.stores[from].Uploads(p.bucket, name, "", "", 100)
	if err != nil {
		return err
	}
	for _, u := range uploads.Uploads {
		if u.Name != name {
			continue
		}
		if err := p.moveUpload(from, to, name, u.ID); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) moveUpload(from, to int, name, id string) error {
	opened, err := p.stores[from].ExportUpload(p.key(name), id, 0)
	if err != nil {
		return err
	}
	i, err := p.stores[to].CopyUpload(p.key(name), opened, room())
	if err != nil {
		return err
	}
	if _, err := p.stores[to].CommitImport(i, objects.Origin{}); err != nil {
		return err
	}
	var parts []objects.Generation
	for _, part := range opened.Parts.Parts {
		parts = append(parts, part.Payload)
	}
	return p.stores[from].RemoveMovedUpload(p.key(name), id, parts)
}

// held is what a key is to hold, wherever it lies.
type held struct {
	value *model.Value
	meta  objects.Meta
	parts map[model.Cell]*model.Value // of uploads
}

// look reads what a mountpath has of a key.
func (p *pair) look(side int, name string) (held, error) {
	h := held{parts: make(map[model.Cell]*model.Value)}
	var err error
	if h.value, err = readObject(p.stores[side], p.key(name)); err != nil {
		return h, err
	}
	if h.value != nil {
		meta, err := p.stores[side].Head(p.key(name))
		if err != nil {
			return h, err
		}
		h.meta = *meta
	}
	all := make(map[model.Cell]*model.Value)
	if err := readUploads(p.fs[side], p.stores[side], p.bucket, all); err != nil {
		return h, err
	}
	for cell, value := range all {
		if cell.Name == name {
			h.parts[cell] = value
		}
	}
	return h, nil
}

// check compares what a key holds, here or there, with what it is to hold; where
// both have it, the later counts.
func (p *pair) check(name string, want held) error {
	there, err := p.look(destination, name)
	if err != nil {
		return fmt.Errorf("%q at the destination: %w", name, err)
	}
	here, err := p.look(source, name)
	if err != nil {
		return fmt.Errorf("%q at the source: %w", name, err)
	}
	got := there
	if got.value == nil || here.value != nil && here.meta.Generation.Compare(there.meta.Generation) > 0 {
		got.value, got.meta = here.value, here.meta
	}
	if !got.value.Equal(want.value) {
		return fmt.Errorf("%q holds %s, want %s", name, got.value, want.value)
	}
	if want.value != nil && (got.meta.Generation != want.meta.Generation || got.meta.Payload != want.meta.Payload ||
		!got.meta.Modified.Equal(want.meta.Modified) || got.meta.XXHash != want.meta.XXHash || !slices.EqualFunc(got.meta.Checksums, want.meta.Checksums, sameSum)) {
		return fmt.Errorf("the record of %q is %+v, want %+v", name, got.meta, want.meta)
	}
	for cell, value := range want.parts {
		part := there.parts[cell]
		if part == nil {
			part = here.parts[cell]
		}
		if !part.Equal(value) {
			return fmt.Errorf("%s is %s, want %s", cell, part, value)
		}
	}
	for cell := range there.parts {
		if want.parts[cell] == nil {
			return fmt.Errorf("%s came from nowhere", cell)
		}
	}
	return nil
}

func sameSum[T fmt.Stringer](a, b T) bool { return a.String() == b.String() }
