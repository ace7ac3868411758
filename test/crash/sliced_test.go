package crash

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// sliceName is a slice of a payload.
type sliceName struct {
	payload objects.Generation
	index   uint8
}

// slicedKey is what a mountpath must have of a key whose payloads are slices. Immutable.
type slicedKey struct {
	record *objects.Meta // nil: none
	// kept are the records that an unsettled one may have to go back to, and those that it need
	// no more: they go when the reclaimer comes by.
	kept, going map[objects.Generation]*objects.Meta // by payload
	given       map[sliceName]bool                   // away, by records that are not settled
}

func (k *slicedKey) with(change func(*slicedKey)) *slicedKey {
	next := &slicedKey{record: k.record, kept: maps.Clone(k.kept), going: maps.Clone(k.going), given: maps.Clone(k.given)}
	change(next)
	return next
}

// replaced returns what follows when a record takes the place of the one that there is.
func (k *slicedKey) replaced(by *objects.Meta) *slicedKey {
	return k.with(func(n *slicedKey) {
		old := k.record
		n.record = by
		if old != nil && !old.Deleted && (by.Deleted || by.Payload != old.Payload) && by.Unsettled {
			n.kept[old.Payload] = old
		}
		if !by.Deleted {
			for _, all := range []map[objects.Generation]*objects.Meta{n.kept, n.going} {
				if again := all[by.Payload]; again != nil {
					n.giveAway(again, by)
				}
				delete(all, by.Payload)
			}
			if old != nil && !old.Deleted && old.Payload == by.Payload {
				n.giveAway(old, by)
			}
			for _, index := range here(by) {
				delete(n.given, sliceName{by.Payload, index})
			}
		}
		if !by.Unsettled {
			n.settle()
		}
	})
}

func (k *slicedKey) giveAway(from, to *objects.Meta) {
	for _, index := range here(from) {
		if !slices.Contains(here(to), index) {
			k.given[sliceName{from.Payload, index}] = true
		}
	}
}

// settle lets go of all that an unsettled record needed.
func (k *slicedKey) settle() {
	if k.record.Unsettled {
		settled := *k.record
		settled.Unsettled = false
		k.record = &settled
	}
	maps.Copy(k.going, k.kept)
	clear(k.kept)
	clear(k.given)
}

// here returns the slices that a record names at this node.
func here(meta *objects.Meta) []uint8 {
	if meta == nil || meta.Slicing == nil {
		return nil
	}
	indices, _ := meta.Slicing.Of(objects.NodeDigest("n"))
	return indices
}

// slicedReference is what a mountpath must have of all keys. Immutable.
type slicedReference struct {
	keys    map[string]*slicedKey
	missing map[sliceName]bool // whose files something removed behind the store's back
}

func (r *slicedReference) with(name string, key *slicedKey) *slicedReference {
	next := &slicedReference{keys: maps.Clone(r.keys), missing: maps.Clone(r.missing)}
	next.keys[name] = key
	return next
}

// slicer is a history of records with slices on one mountpath, beside its reference.
type slicer struct {
	*stager
	payloads map[objects.Generation]*stagedPayload
	whole    map[objects.Generation]bool // one is kept beside the slices
	time     time.Time
	did      map[string]int

	now    *slicedReference
	before *slicedReference
	after  *slicedOutcome // of what is being done
}

// slicedOutcome is what there is after a step, once it has ended.
type slicedOutcome struct{ reference *slicedReference }

func newSlicer(t *testing.T, seed uint64, faulty func(disk.FS) disk.FS) *slicer {
	x := &slicer{
		stager: newStager(t, seed, faulty), payloads: make(map[objects.Generation]*stagedPayload), whole: make(map[objects.Generation]bool),
		time: time.Unix(epoch, 0), did: make(map[string]int), now: &slicedReference{keys: make(map[string]*slicedKey), missing: make(map[sliceName]bool)},
	}
	x.must(x.machine.store.Close())
	x.machine.now = func() time.Time {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.time
	}
	x.must(x.machine.open())
	for _, name := range []string{"a", "b"} {
		x.now.keys[name] = &slicedKey{kept: make(map[objects.Generation]*objects.Meta), going: make(map[objects.Generation]*objects.Meta), given: make(map[sliceName]bool)}
	}
	return x
}

func slicedName(name string) objects.Key {
	return objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}, Name: name}
}

// begin says what is done from now on; end, what there is after it.
func (x *slicer) begin(doing string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doing, x.before, x.after = fmt.Sprintf(doing, args...), x.now, new(slicedOutcome)
	x.did[doing]++
}

func (x *slicer) end(reference *slicedReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now, x.after.reference = reference, reference
}

func (x *slicer) some() []uint8 {
	return [][]uint8{{}, {0}, {2}, {0, 1}, {1, 2}, {0, 1, 2}}[x.random.IntN(6)]
}

// members gives slices to this node, and the others to another one.
func members(indices []uint8) (list []objects.Member) {
	other := objects.NodeDigest("other")
	for index := range uint8(stagedForm.Slices()) {
		node := other
		if slices.Contains(indices, index) {
			node = objects.NodeDigest("n")
		}
		list = append(list, objects.Member{Node: node, Index: index})
	}
	return list
}

// new makes a payload of a key.
func (x *slicer) new(name string) *stagedPayload {
	s := x.next()
	s.key = slicedName(name)
	x.payloads[s.payload] = s
	return s
}

func (x *slicer) recordOf(s *stagedPayload, indices []uint8) objects.Meta {
	meta := *s.record()
	meta.Slicing.Members = members(indices)
	return meta
}

// generation is one of another node, greater than what is here.
func (x *slicer) generation(than *objects.Meta) objects.Generation {
	x.made++
	g := objects.Generation{Map: 1, Start: 1 << 50, Seq: x.made}
	if than != nil {
		g.Map = than.Generation.Map + 1
	}
	return g
}

// step does one thing, and has the reference follow.
func (x *slicer) step() {
	name := []string{"a", "b"}[x.random.IntN(2)]
	key, have, s := slicedName(name), x.now.keys[name], x.machine.store
	live := have.record != nil && !have.record.Deleted
	mapVersion := uint64(1)
	if have.record != nil {
		mapVersion = have.record.Generation.Map + 1
	}
	switch x.random.IntN(16) {
	case 0, 1, 2:
		x.begin("put slices")
		p, indices := x.new(name), x.some()
		for _, index := range indices {
			x.stage(p, index, true)
		}
		if x.random.IntN(4) == 0 {
			x.whole[p.payload] = true
			x.stage(p, objects.WholeIndex, true)
		}
		meta := x.recordOf(p, indices)
		meta.Generation.Map, meta.Unsettled = mapVersion, x.random.IntN(4) > 0
		receipt, err := s.PutSlices(key, meta, objects.Conditions{}, objects.Origin{})
		x.must(err)
		x.end(x.now.with(name, have.replaced(receipt.Meta)))
	case 3, 4:
		x.begin("store another node's")
		p, indices := x.new(name), x.some()
		meta := x.recordOf(p, indices)
		meta.Generation, meta.Unsettled = x.generation(have.record), x.random.IntN(4) > 0
		if len(indices) > 0 && x.random.IntN(2) == 0 { // it lacks one: nothing is done
			x.stored(key, &meta, false)
		}
		for _, index := range indices {
			x.stage(p, index, true)
		}
		x.stored(key, &meta, true)
		x.end(x.now.with(name, have.replaced(&meta)))
	case 5:
		x.begin("delete")
		_, marker, err := s.Bury(key, objects.Conditions{}, mapVersion, objects.Origin{})
		x.must(err)
		x.end(x.now.with(name, have.replaced(marker)))
	case 6, 7:
		if have.record == nil {
			return
		}
		x.begin("settle")
		x.must(s.NoteSettled([]messages.Settlement{{Key: key, Generation: have.record.Generation}}))
		x.end(x.now.with(name, have.with((*slicedKey).settle)))
	case 8, 9:
		if !live {
			return
		}
		x.begin("remap")
		indices, p := x.some(), x.payloads[have.record.Payload]
		var lacks []uint8
		for _, index := range indices {
			if name := (sliceName{p.payload, index}); !slices.Contains(here(have.record), index) && !have.given[name] {
				lacks = append(lacks, index)
			}
		}
		meta, err := s.Remap(key, have.record.Generation, members(indices), mapVersion, objects.Origin{})
		if err != nil && len(lacks) == 0 {
			x.must(err)
		}
		for err != nil { // what was given away, and may go by now, may be here or not
			if !errors.Is(err, objects.ErrNoSlice) {
				x.must(err)
			}
			if len(lacks) == 0 {
				x.must(fmt.Errorf("with all of its slices: %w", err))
			}
			if _, statErr := x.machine.fs.Stat(layout.SlicePath(p.payload, lacks[0])); statErr == nil {
				x.drain() // it is not named, and being reclaimed
			}
			x.stage(p, lacks[0], true)
			lacks = lacks[1:]
			meta, err = s.Remap(key, have.record.Generation, members(indices), mapVersion, objects.Origin{})
		}
		x.end(x.now.with(name, have.replaced(meta)))
	case 10, 11, 12:
		if have.record == nil || !have.record.Unsettled || len(have.kept) == 0 {
			return
		}
		payloads := slices.SortedFunc(maps.Keys(have.kept), objects.Generation.Compare)
		back := have.kept[payloads[x.random.IntN(len(payloads))]]
		if x.random.IntN(2) == 0 {
			x.begin("go back")
			meta, err := s.Revive(key, have.record.Generation, back, mapVersion, objects.Origin{})
			x.must(err)
			if meta.Follows != back.Generation {
				x.must(fmt.Errorf("it follows %s, and not %s", meta.Follows, back.Generation))
			}
			x.end(x.now.with(name, have.replaced(meta)))
			return
		}
		x.begin("store another node's, which went back")
		meta := *back
		meta.Generation, meta.Unsettled = x.generation(have.record), true
		x.stored(key, &meta, true)
		x.end(x.now.with(name, have.replaced(&meta)))
	case 13:
		x.begin("reclaim")
		if x.random.IntN(2) == 0 {
			x.drain()
			x.end(x.now)
			return
		}
		x.mu.Lock()
		x.time = x.time.Add(time.Duration(x.random.IntN(2)) * 61 * time.Second)
		x.mu.Unlock()
		_, err := s.Reclaim(100)
		x.must(err)
		x.end(x.now)
	case 14:
		if x.random.IntN(2) == 0 {
			x.begin("close and open")
			x.must(x.machine.restart())
			x.end(x.now)
			return
		}
		x.begin("forget what is staged")
		p := x.new(name)
		x.stage(p, 1, true)
		if x.random.IntN(2) == 0 {
			x.must(s.AbandonStage(key, p.payload))
		}
		x.end(x.now)
	case 15:
		if !live || len(here(have.record)) == 0 {
			return
		}
		gone := sliceName{have.record.Payload, here(have.record)[0]}
		x.begin("lose a slice")
		file := layout.SlicePath(gone.payload, gone.index)
		x.must(x.machine.fs.Remove(file))
		x.must(x.machine.fs.SyncDir(path.Dir(file)))
		lost := x.now.with(name, have)
		lost.missing[gone] = true
		x.end(lost)
		x.begin("restore a slice")
		x.stage(x.payloads[gone.payload], gone.index, true)
		x.must(s.RestoreSlice(key, gone.payload, gone.index, objects.Origin{}))
		found := x.now.with(name, have)
		delete(found.missing, gone)
		x.end(found)
	}
}

// stored stores another node's record, which must be taken if all that it names is here.
func (x *slicer) stored(key objects.Key, meta *objects.Meta, want bool) {
	got, err := x.machine.store.Store(key, meta, nil, messages.ToSettle, objects.Origin{})
	x.must(err)
	if got.Has != want || got.NeedsPayload == want || want && !slices.Equal(got.Indices, here(meta)) {
		x.must(fmt.Errorf("storing %s with %v here: %+v", meta.Generation, here(meta), got))
	}
}

// drain has the reclaimer take all that may go.
func (x *slicer) drain() {
	x.must(reclaimAll(x.machine, func(d time.Duration) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.time = x.time.Add(d)
	}))
}

func reclaimAll(m *machine, pass func(time.Duration)) error {
	for range 2 { // the first look begins the time that readers have
		for {
			finished, err := m.store.Reclaim(1000)
			if err != nil {
				return err
			}
			if finished == 0 {
				break
			}
		}
		pass(2 * time.Minute)
	}
	_, err := m.store.Reclaim(1000)
	return err
}

// slicedCrash is one state that a power cut left, and what may be in it.
type slicedCrash struct {
	left   *disk.Mem
	before *slicedReference
	after  *slicedOutcome
	name   string
}

func (x *slicer) crashes(steps, every int) (cuts []*slicedCrash) {
	number := 0
	x.mem.OnOperation(func(o disk.Operation) {
		if !o.Call.Changes() {
			return
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		number++
		for i, policy := range []disk.CrashPolicy{{SyncedOnly: true}, {Random: rand.New(rand.NewPCG(x.seed, uint64(number)))}} {
			if x.after != nil && (number+i)%every == 0 {
				cuts = append(cuts, &slicedCrash{
					left: x.mem.Crash(policy), before: x.before, after: x.after,
					name: fmt.Sprintf("history %d, %s: before operation %d, %s; only what was synced: %t", x.seed, x.doing, number, o, policy.SyncedOnly),
				})
			}
		}
	})
	for range steps {
		x.step()
	}
	x.mem.OnOperation(nil)
	return cuts
}

// look opens what a cut left, and says what is wrong with it.
func (x *slicer) look(c *slicedCrash) error {
	now := time.Unix(epoch, 0).Add(time.Hour)
	var mu sync.Mutex
	m := &machine{fs: c.left, shared: x.machine.shared, inline: x.machine.inline, boot: "another", start: x.machine.start, now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}}
	if err := m.open(); err != nil {
		return err
	}
	defer m.store.Close()
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	for _, settled := range []bool{false, true} {
		if settled { // by now all may go but what records name
			for name := range c.before.keys {
				meta, err := m.store.HeadMarked(slicedName(name))
				if err != nil {
					continue
				}
				if err := m.store.NoteSettled([]messages.Settlement{{Key: slicedName(name), Generation: meta.Generation}}); err != nil {
					return err
				}
			}
		}
		if err := reclaimAll(m, pass); err != nil {
			return err
		}
		owned := make(map[string]bool)
		for name, before := range c.before.keys {
			candidates := []*slicedKey{before}
			if c.after.reference != nil {
				candidates = append(candidates, c.after.reference.keys[name])
			}
			if err := x.lookAt(m, slicedName(name), candidates, c, settled, owned); err != nil {
				return err
			}
		}
		for gone := range c.before.missing { // it may be back, and need not
			x.missingIs(m.fs, gone, owned)
		}
		if c.after.reference != nil {
			for gone := range c.after.reference.missing {
				x.missingIs(m.fs, gone, owned)
			}
		}
		if err := filesLeft(m.fs, owned, nil); err != nil {
			return fmt.Errorf("settled %t: %w", settled, err)
		}
	}
	scan, err := m.store.Index().Scan([]byte{layout.KindReclaim}, []byte{layout.KindReclaim + 1})
	if err != nil {
		return err
	}
	if scan.Next() {
		err = fmt.Errorf("the reclaim entry %q is left", scan.Key())
	}
	return errorsOf(err, scan.Err(), scan.Close())
}

func (x *slicer) missingIs(fs disk.FS, gone sliceName, owned map[string]bool) {
	file := layout.SlicePath(gone.payload, gone.index)
	if _, err := fs.Stat(file); err == nil {
		owned[file] = true
	} else {
		delete(owned, file)
	}
}

// lookAt compares a key with what it may be.
func (x *slicer) lookAt(m *machine, key objects.Key, candidates []*slicedKey, c *slicedCrash, settled bool, owned map[string]bool) error {
	meta, err := m.store.HeadMarked(key)
	if err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	var is *slicedKey
	for _, k := range candidates {
		same := k.record == nil && meta == nil || k.record != nil && meta != nil && k.record.Generation == meta.Generation
		if same && (is == nil || settled || meta == nil || k.record.Unsettled == meta.Unsettled) {
			is = k
		}
	}
	if is == nil {
		return fmt.Errorf("%s has the record %+v, want %+v", key, meta, candidates[len(candidates)-1].record)
	}
	// A flag that was lost says less than is known; one that is there was not made up.
	if meta != nil && !settled && !meta.Unsettled && is.record.Unsettled {
		return fmt.Errorf("%s is settled, and was not", key)
	}
	kept, err := m.store.Kept(key)
	if err != nil {
		return err
	}
	own := func(r *objects.Meta, indices []uint8, what string) error {
		p := x.payloads[r.Payload]
		for _, index := range indices {
			if err := p.isWhole(m.fs, index); err != nil && !c.before.missing[sliceName{r.Payload, index}] && (c.after.reference == nil || !c.after.reference.missing[sliceName{r.Payload, index}]) {
				return fmt.Errorf("slice %02x of %s, %s, of %s: %w", index, r.Payload, what, key, err)
			}
			owned[layout.SlicePath(r.Payload, index)] = true
		}
		if x.whole[r.Payload] {
			owned[layout.SlicePath(r.Payload, objects.WholeIndex)] = true
		}
		sidecar := layout.SidecarPath(r.Payload)
		if _, err := m.fs.Stat(sidecar); !layout.DraftFits(&p.p.draft) && (err == nil || len(indices) > 0) { // it may have had one here
			owned[sidecar] = true
		}
		return nil
	}
	if meta != nil && !meta.Deleted {
		if !slices.Equal(here(meta), here(is.record)) {
			return fmt.Errorf("%s names %v here, want %v", key, here(meta), here(is.record))
		}
		if err := own(meta, here(meta), "which the record names"); err != nil {
			return err
		}
	}
	if settled && len(kept) > 0 {
		return fmt.Errorf("%s is settled, and %d records are kept beside it", key, len(kept))
	}
	if settled || meta == nil || !meta.Unsettled {
		return nil
	}
	found := make(map[objects.Generation]*objects.Meta)
	for _, r := range kept {
		want := is.kept[r.Payload]
		if want == nil {
			want = is.going[r.Payload]
		}
		if want == nil || want.Generation != r.Generation {
			return fmt.Errorf("%s keeps %s over %s, which is nothing to go back to", key, r.Generation, r.Payload)
		}
		found[r.Payload] = r
		if err := own(r, here(r), "which is kept"); err != nil {
			return err
		}
	}
	for payload, r := range is.kept {
		if is.record.Unsettled && found[payload] == nil {
			return fmt.Errorf("%s may have to go back to %s over %s, which is not kept", key, r.Generation, payload)
		}
	}
	entries, err := m.store.Index().Scan(layout.NameBounds(layout.KindReclaim, key.Bucket.ID, key.Name))
	if err != nil {
		return err
	}
	for entries.Next() { // what was given away
		value, err := entries.Value()
		if err != nil {
			return errorsOf(err, entries.Close())
		}
		e, err := layout.DecodeReclaim(value)
		if err != nil || !e.Settles {
			return fmt.Errorf("%s: the entry %+v is left, %w", key, e, errorsOf(err, entries.Close()))
		}
		for _, index := range e.Indices {
			if _, err := m.fs.Stat(layout.SlicePath(e.Payload, index)); err == nil {
				owned[layout.SlicePath(e.Payload, index)] = true
			}
		}
	}
	if err := errorsOf(entries.Err(), entries.Close()); err != nil {
		return err
	}
	for gone := range is.given {
		if err := x.payloads[gone.payload].isWhole(m.fs, gone.index); err != nil && is.record.Unsettled {
			return fmt.Errorf("slice %02x of %s, which %s gave away by a record that is not settled: %w", gone.index, gone.payload, key, err)
		}
	}
	return nil
}

// The power goes at every operation of a history of writes, other nodes' records, deletes, remaps,
// settling, going back, reclaiming and restoring: the mountpath is what the reference says, all that
// a record names or may have to go back to is whole, and once all is settled nothing else is left.
func TestSlicedRecordsAgainstAReference(t *testing.T) {
	histories, steps, every := uint64(12), 40, 12
	if testing.Short() || raceDetector {
		histories, every = 3, 40
	}
	states := 0
	did := make(map[string]int)
	for seed := uint64(1); seed <= histories && !t.Failed(); seed++ {
		x := newSlicer(t, seed, func(fs disk.FS) disk.FS { return fs })
		for _, c := range x.crashes(steps, every) {
			states++
			if err := x.look(c); err != nil {
				t.Fatalf("%s:\n%v", c.name, err)
			}
		}
		for doing, times := range x.did {
			did[doing] += times
		}
		if err := x.machine.store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d crash states; %v", states, did)
	for _, doing := range []string{"put slices", "store another node's", "delete", "settle", "remap", "go back", "store another node's, which went back", "reclaim", "restore a slice"} {
		if did[doing] == 0 {
			t.Errorf("the control: %q was never done", doing)
		}
	}
	if states == 0 {
		t.Error("the control: nothing was looked at")
	}
}
