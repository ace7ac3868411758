package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
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
		return s.PutInline(key, meta, w.bytes, objects.Conditions{})
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
		return s.CommitFile(in, meta, objects.Conditions{})
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
		if err := p.stores[from].RemoveMoved(p.key(name), meta.Generation); err != nil {
			return errors.Join(err, i.Abandon())
		}
	}
	if i != nil {
		if _, err := p.stores[to].CommitImport(i); err != nil {
			return err
		}
		if err := p.stores[from].RemoveMoved(p.key(name), meta.Generation); err != nil {
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
	opened, err := p.stores[from].ExportUpload(p.key(name), id)
	if err != nil {
		return err
	}
	i, err := p.stores[to].CopyUpload(p.key(name), opened, room())
	if err != nil {
		return err
	}
	if _, err := p.stores[to].CommitImport(i); err != nil {
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

// fill gives the source an object of every kind under every name, and the
// destination newer ones of some and older ones of others; it returns what the keys
// are to hold.
func (p *pair) fill(t *testing.T, seed uint64) map[string]held {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kinds := []string{"inline", "file", "chunks"}
	wins := make(map[string]int)
	for n, name := range names() {
		kind, number := kinds[n%3], seed*1000+uint64(n)
		class := objects.Synced
		if n%4 == 3 {
			class = objects.Relaxed
		}
		if n%7 == 1 { // the destination has had it before
			_, err := p.put(destination, name, kinds[(n+1)%3], number+200, objects.Synced)
			must(err)
		}
		_, err := p.put(source, name, kind, number, class)
		must(err)
		if n%7 == 2 { // it was written again while the move was under way
			_, err := p.put(destination, name, kinds[(n+2)%3], number+400, objects.Synced)
			must(err)
			wins[name] = destination
		}
		if n%5 == 4 {
			must(p.upload(source, name, fmt.Sprintf("%032x", number+600), number+600, new([]messages.CompletePart)))
		}
	}
	want := make(map[string]held)
	for _, name := range names() {
		h, err := p.look(wins[name], name)
		must(err)
		if wins[name] == destination { // its uploads still come from the source
			from, err := p.look(source, name)
			must(err)
			h.parts = from.parts
		}
		want[name] = h
	}
	for _, s := range p.stores {
		must(s.Checkpoint())
		must(drain(s))
	}
	return want
}

// finish moves everything and says what is wrong then.
func (p *pair) finish(want map[string]held) error {
	for _, name := range names() {
		if err := p.move(source, destination, name); err != nil {
			return fmt.Errorf("moving %q: %w", name, err)
		}
	}
	for name, h := range want {
		if err := p.check(name, h); err != nil {
			return fmt.Errorf("after the move: %w", err)
		}
		if left, err := p.look(source, name); err != nil || left.value != nil || len(left.parts) > 0 {
			return fmt.Errorf("after the move the source still has %q: %s (%v)", name, left.value, err)
		}
	}
	for side, s := range p.stores {
		if err := drain(s); err != nil {
			return err
		}
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			return fmt.Errorf("mountpath %d: %w", side, err)
		}
	}
	return nil
}

// moveCut is what a power cut left of both mountpaths.
type moveCut struct {
	left  [2]*disk.Mem
	where string
}

// verify opens what is left, reads every key, and ends the move.
func (c *moveCut) verify(shared *index.Shared, before *pair, want map[string]held) (err error) {
	p := &pair{shared: shared, inline: before.inline, start: before.start, bucket: before.bucket, fs: [2]disk.FS{c.left[0], c.left[1]}}
	if err := p.open(); err != nil {
		return errors.Join(err, p.close())
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for name, h := range want {
		if err := p.check(name, h); err != nil {
			return err
		}
	}
	return p.finish(want)
}

// cutMoves moves everything, with the power going at one of so many operations of
// either mountpath that change something, and returns what it found. What spoil
// does to the pair before the move is for controls.
func cutMoves(t *testing.T, seed uint64, sparse int, spoil func(*pair)) (states int, violation error) {
	t.Helper()
	p, mems := newPair(t)
	defer func() {
		if err := p.close(); err != nil && spoil == nil {
			t.Error(err)
		}
	}()
	want := p.fill(t, seed)
	if spoil != nil {
		spoil(p)
	}
	chance := rand.New(rand.NewPCG(seed, 9))
	var mu sync.Mutex
	var cuts []*moveCut
	number := 0
	for side, mem := range mems {
		mem.OnOperation(func(o disk.Operation) {
			if !o.Call.Changes() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if number++; number%sparse != int(seed)%sparse {
				return
			}
			policy := disk.CrashPolicy{SyncedOnly: true}
			if chance.IntN(2) == 0 {
				policy = disk.CrashPolicy{Random: chance}
			}
			cuts = append(cuts, &moveCut{
				where: fmt.Sprintf("seed %d, before operation %d, of mountpath %d: %s (synced only: %v)", seed, number, side, o, policy.SyncedOnly),
				left:  [2]*disk.Mem{mems[0].Crash(policy), mems[1].Crash(policy)},
			})
		})
	}
	err := p.finish(want)
	for _, mem := range mems {
		mem.OnOperation(nil)
	}
	if err != nil && spoil == nil {
		t.Fatalf("without a cut: %v", err)
	}
	for _, c := range cuts {
		states++
		if err := c.verify(p.shared, p, want); err != nil {
			return states, fmt.Errorf("%s: %w", c.where, err)
		}
	}
	return states, nil
}

// The power goes while objects of every kind and uploads under way move between
// two mountpaths: each is whole on one of them at least, with its generation and
// everything else of its record; what is newer at the destination stays; and moving
// again ends the move, leaving nothing at the source.
func TestPowerCutsWhileMoving(t *testing.T) {
	seeds, sparse := uint64(4), 5
	if testing.Short() || raceDetector {
		seeds, sparse = 1, 9
	}
	total := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		states, err := cutMoves(t, seed, sparse, nil)
		total += states
		if err != nil {
			t.Fatal(err)
		}
	}
	if total < 50 {
		t.Errorf("only %d states were looked at", total)
	}
	t.Logf("%d states", total)
}

// The test above finds it if the destination's disk lies about what it has synced,
// since the source goes by its word, and if the source goes first.
func TestPowerCutsWhileMovingFindWhatIsWrong(t *testing.T) {
	for _, lie := range []struct {
		name string
		rule disk.Rule
	}{
		{"payload files", disk.Rule{Calls: []disk.Call{disk.CallSync}, Path: ".troupe/work/**", Lose: true}},
		{"directories of buckets", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Lose: true}},
		{"the log of the index", disk.Rule{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/index/*.log", Lose: true}},
		{"the source goes first", disk.Rule{}},
	} {
		t.Run(lie.name, func(t *testing.T) {
			var fault *disk.Fault
			for seed := uint64(1); seed <= 6; seed++ {
				states, err := cutMoves(t, seed, 11, func(p *pair) {
					if !lie.rule.Lose {
						p.careless = true
						return
					}
					var err error
					if fault, err = p.faulty[destination].Add(lie.rule); err != nil {
						t.Fatal(err)
					}
				})
				if fault != nil && fault.Hits() == 0 {
					t.Fatal("no sync was lost: the control controls nothing")
				}
				if err != nil {
					t.Logf("found after %d states: %.300s", states, err)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}

// What is written at the source after it was copied keeps the source; moving again
// brings the newer one.
func TestMoveThatIsOvertaken(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	for _, kind := range []string{"inline", "file", "chunks"} {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		_, err := p.put(source, kind, kind, 1, objects.Synced)
		must(err)
		i, meta, err := p.copy(source, destination, kind)
		must(err)
		if _, _, err := p.copy(source, destination, kind); !errs.Is(errs.Busy, err) {
			t.Errorf("%s: two imports of one key: %v", kind, err)
		}
		newer, err := p.put(source, kind, kind, 2, objects.Synced)
		must(err)
		_, err = p.stores[destination].CommitImport(i)
		must(err)
		if err := p.stores[source].RemoveMoved(p.key(kind), meta.Generation); !errs.Is(errs.Conflict, err) {
			t.Errorf("%s: the source went, and with it what was written there: %v", kind, err)
		}
		must(p.move(source, destination, kind))
		got, err := p.look(destination, kind)
		must(err)
		if got.meta.Generation != newer.Generation {
			t.Errorf("%s: the destination has %s, want %s", kind, got.meta.Generation, newer.Generation)
		}
		// An import that comes late changes nothing.
		_, err = p.put(source, kind, kind, 3, objects.Synced)
		must(err)
		late, _, err := p.copy(source, destination, kind)
		must(err)
		newest, err := p.put(destination, kind, kind, 4, objects.Synced)
		must(err)
		done, err := p.stores[destination].CommitImport(late)
		must(err)
		if done.Copied || done.Generation != newest.Generation {
			t.Errorf("%s: a late import became %+v, want %s", kind, done, newest.Generation)
		}
		must(p.move(source, destination, kind))
	}
	for side, s := range p.stores {
		if err := drain(s); err != nil {
			t.Fatal(err)
		}
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			t.Errorf("mountpath %d: %v", side, err)
		}
	}
}

// An object that comes back to where it was does not meet what is left of its
// first stay: a reclaim entry with its payload generation would take it away.
func TestMoveThereAndBack(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	for _, kind := range []string{"inline", "file", "chunks"} {
		if _, err := p.put(source, kind, kind, 1, objects.Synced); err != nil {
			t.Fatal(err)
		}
		want, err := p.look(source, kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.move(source, destination, kind); err != nil {
			t.Fatal(err)
		}
		err = p.move(destination, source, kind)
		if busy := errs.Is(errs.Busy, err); busy != (kind != "inline") { // an inline payload leaves nothing
			t.Errorf("%s: back before the first stay was reclaimed: %v", kind, err)
		}
		if err := drain(p.stores[source]); err != nil {
			t.Fatal(err)
		}
		if err := p.move(destination, source, kind); err != nil {
			t.Errorf("%s: back: %v", kind, err)
		}
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		if err := p.open(); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.stores {
			if err := drain(s); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.look(source, kind)
		if err != nil || !got.value.Equal(want.value) || got.meta.Generation != want.meta.Generation {
			t.Errorf("%s: after coming back it is %s (%v), want %s", kind, got.value, err, want.value)
		}
	}
}

// A source that is damaged is not copied, and stays for whoever repairs it.
func TestDamagedSourceIsNotMoved(t *testing.T) {
	p, mems := newPair(t)
	defer p.close()
	for _, kind := range []string{"file", "chunks"} {
		if _, err := p.put(source, kind, kind, 1, objects.Synced); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"photos/file", "chunks"} {
		if path == "chunks" {
			page := fmt.Sprintf("%032x", 1)
			if err := mems[source].ReadDir(layout.UploadDir(page), func(e disk.Entry) bool {
				if !strings.HasSuffix(e.Name, ".json") {
					path = layout.UploadDir(page) + "/" + e.Name
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		file, err := mems[source].OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("!"), 1000); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"file", "chunks"} {
		if err := p.move(source, destination, kind); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %v, want corrupt", kind, err)
		}
		if _, err := p.stores[source].Head(p.key(kind)); err != nil {
			t.Errorf("%s left the source: %v", kind, err)
		}
	}
	if err := drain(p.stores[destination]); err != nil {
		t.Fatal(err)
	}
	if err := leftovers(p.fs[destination], p.stores[destination], []objects.Bucket{p.bucket}); err != nil {
		t.Error(err)
	}
}

// Parts that come to both sides during a move are merged: of two with one number
// the later stays, and the source keeps an upload that got more parts meanwhile.
func TestMoveOfAnUploadThatGrows(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const name, id = "a", "0123456789abcdef0123456789abcdef"
	must(p.upload(source, name, id, 1, new([]messages.CompletePart)))
	opened, err := p.stores[source].ExportUpload(p.key(name), id)
	must(err)
	i, err := p.stores[destination].CopyUpload(p.key(name), opened, room())
	must(err)
	late, err := p.part(source, name, id, 2, 77) // in the middle of the move
	must(err)
	_, err = p.stores[destination].CommitImport(i)
	must(err)
	var moved []objects.Generation
	for _, part := range opened.Parts.Parts {
		moved = append(moved, part.Payload)
	}
	if err := p.stores[source].RemoveMovedUpload(p.key(name), id, moved); !errs.Is(errs.Conflict, err) {
		t.Fatalf("an upload that got another part meanwhile went: %v", err)
	}
	later, err := p.part(destination, name, id, 3, 88)
	must(err)
	must(p.moveUpload(source, destination, name, id))
	page, err := p.stores[destination].Parts(p.key(name), id, 0, 10)
	must(err)
	if len(page.Parts) != 3 || page.Parts[1].ETag != late.ETag || page.Parts[2].ETag != later.ETag {
		t.Errorf("the parts are %+v", page.Parts)
	}
	if _, err := p.stores[source].Parts(p.key(name), id, 0, 10); !errs.Is(errs.NotFound, err) {
		t.Errorf("the source still has the upload: %v", err)
	}
	for side, s := range p.stores {
		must(drain(s))
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			t.Errorf("mountpath %d: %v", side, err)
		}
	}
}
