package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
)

// stagedForm has cells so small that a slice of little has several.
var stagedForm = erasure.Form{Data: 2, Parity: 1, CellBytes: 64}

// stager is a history of slices that are staged on one mountpath: some are committed, others
// abandoned or forgotten.
type stager struct {
	t       *testing.T
	mem     *disk.Mem
	machine *machine
	random  *rand.Rand
	codecs  erasure.Codecs
	seed    uint64
	made    uint64

	// mu guards what follows: a cut may come in any goroutine that writes. They are changed
	// by the test's alone.
	mu        sync.Mutex
	committed []*stagedPayload // acknowledged
	under     *stagedPayload   // its record is on its way
	doing     string
}

func (x *stager) begins(doing string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doing = doing
}

// stagedPayload is what was staged of one payload.
type stagedPayload struct {
	key     objects.Key
	payload objects.Generation
	p       *payload
	indices []uint8 // that the record names here
	files   map[uint8][]byte
	sums    []uint64
}

func newStager(t *testing.T, seed uint64, faulty func(disk.FS) disk.FS) *stager {
	t.Helper()
	x := &stager{t: t, seed: seed, mem: disk.NewMem(seed), random: rand.New(rand.NewPCG(seed, 7))}
	shared := index.NewShared(1<<20, 1)
	t.Cleanup(shared.Close)
	fs := faulty(x.mem)
	if err := format(fs); err != nil {
		t.Fatal(err)
	}
	x.machine = &machine{fs: fs, shared: shared, inline: 1 << 10}
	if err := x.machine.open(); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *stager) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("history %d, %s: %v", x.seed, x.doing, err)
	}
}

// next makes a payload and its slices.
func (x *stager) next() *stagedPayload {
	x.made++
	draft := objects.Draft{Class: objects.Synced}
	if x.random.IntN(3) == 0 { // longer than an attribute carries
		draft.User = []objects.Pair{{Name: "long", Value: strings.Repeat("x", 2<<10)}}
	}
	s := &stagedPayload{
		key:     objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}, Name: fmt.Sprint("object-", x.made)},
		payload: objects.Generation{Map: 1, Start: 99, Seq: x.seed<<20 | x.made},
		p:       newPayload(x.seed<<20|x.made, 1+x.random.IntN(600), draft), files: make(map[uint8][]byte),
	}
	codec, err := x.codecs.For(stagedForm)
	x.must(err)
	stripes, err := codec.NewStripes(1, make([]byte, stagedForm.Slices()*stagedForm.CellBytes))
	x.must(err)
	encoder := codec.NewEncoder(s.payload, s.p.sums.Size)
	rooms := make([]bytes.Buffer, stagedForm.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, &rooms[i])
	}
	made, err := encoder.Copy(context.Background(), stripes[0], bytes.NewReader(s.p.bytes), sinks)
	x.must(err)
	s.sums = made.Sums
	for i := range rooms {
		s.files[uint8(i)] = rooms[i].Bytes()
	}
	s.files[objects.WholeIndex] = s.p.bytes
	return s
}

func (s *stagedPayload) sealing() store.Sealing {
	return store.Sealing{
		Size: s.p.sums.Size, XXHash: s.p.sums.XXHash, ETag: s.p.sums.ETag(), Checksums: s.p.sums.Values, Sums: s.sums,
		Modified: s.p.meta().Modified, Draft: s.p.draft,
	}
}

// stage stages one index, all of it or as much as comes before it is given up.
func (x *stager) stage(s *stagedPayload, index uint8, whole bool) *store.Staged {
	staged, err := x.machine.store.BeginStage(s.key, store.StageOptions{Payload: s.payload, Form: stagedForm, Index: index, SizeHint: -1})
	x.must(err)
	rest := s.files[index]
	if !whole {
		rest = rest[:x.random.IntN(len(rest))]
	}
	for len(rest) > 0 {
		n := 1 + x.random.IntN(len(rest))
		x.must(staged.Append(rest[:n]))
		rest = rest[n:]
	}
	if whole {
		x.must(staged.Seal(s.sealing()))
	}
	return staged
}

// record is what the lane commits: it names the indices at this node.
func (s *stagedPayload) record() *objects.Meta {
	meta := s.p.meta()
	meta.Payload, meta.Where, meta.Unsettled = s.payload, objects.Slices, true
	meta.Slicing = &objects.Slicing{Data: stagedForm.Data, Parity: stagedForm.Parity, CellBytes: stagedForm.CellBytes}
	for _, index := range s.indices {
		meta.Slicing.Members = append(meta.Slicing.Members, objects.Member{Node: objects.NodeDigest("n"), Index: index})
	}
	return &meta
}

// commit stages indices and commits the record that names them, in the batch that drops the intent.
func (x *stager) commit() {
	s := x.next()
	s.indices = [][]uint8{{0}, {2}, {0, 1}, {1, 2}, {0, 1, 2}}[x.random.IntN(5)]
	for _, index := range s.indices {
		x.begins(fmt.Sprintf("stage %s.%02x and commit", s.payload, index))
		x.stage(s, index, true)
	}
	x.mu.Lock()
	x.under = s
	x.mu.Unlock()
	_, err := x.machine.store.PutSlices(s.key, *s.record(), objects.Conditions{}, objects.Origin{})
	x.must(err)
	x.mu.Lock()
	x.under, x.committed = nil, append(x.committed, s)
	x.mu.Unlock()
}

// run takes so many steps.
func (x *stager) run(steps int) {
	for range steps {
		switch x.random.IntN(8) {
		case 0, 1, 2, 3:
			x.commit()
		case 4: // given up, sealed or not
			s, index := x.next(), []uint8{0, 1, 2, objects.WholeIndex}[x.random.IntN(4)]
			x.begins(fmt.Sprintf("stage %s.%s and abandon it", s.payload, layout.SliceSuffix(index)))
			x.must(x.stage(s, index, x.random.IntN(2) == 0).Abandon())
		case 5: // two of a payload, of which one is given up
			s := x.next()
			x.begins(fmt.Sprintf("stage two slices of %s, abandon one and then the other", s.payload))
			first := x.stage(s, 0, true)
			x.stage(s, 2, x.random.IntN(2) == 0)
			x.must(first.Abandon())
			x.must(x.machine.store.AbandonStage(s.key, s.payload))
		case 6: // forgotten
			s := x.next()
			x.begins(fmt.Sprintf("stage %s and forget it", s.payload))
			x.stage(s, 1, x.random.IntN(2) == 0)
		case 7:
			x.begins("close and open")
			x.must(x.machine.restart())
		}
	}
}

// stagedCut is one state that a power cut left, and what must be in it.
type stagedCut struct {
	left      *disk.Mem
	committed []*stagedPayload
	under     *stagedPayload // may be there
	name      string
}

// cuts runs the history and returns the states that cuts leave, one of so many.
func (x *stager) cuts(steps, every int) (cuts []*stagedCut) {
	number := 0
	x.mem.OnOperation(func(o disk.Operation) {
		if !o.Call.Changes() {
			return
		}
		x.mu.Lock() // operations are those of whatever goroutine of the index, too
		defer x.mu.Unlock()
		number++
		for i, policy := range []disk.CrashPolicy{{SyncedOnly: true}, {Random: rand.New(rand.NewPCG(x.seed, uint64(number)))}} {
			if (number+i)%every == 0 {
				cuts = append(cuts, &stagedCut{
					left: x.mem.Crash(policy), committed: slices.Clone(x.committed), under: x.under,
					name: fmt.Sprintf("history %d, %s: before operation %d, %s; only what was synced: %t", x.seed, x.doing, number, o, policy.SyncedOnly),
				})
			}
		}
	})
	x.run(steps)
	x.mem.OnOperation(nil)
	x.mu.Lock()
	defer x.mu.Unlock()
	return cuts
}

// judge opens what a cut left, cutting that, too, and says what is wrong.
func (x *stager) judge(c *stagedCut) error {
	m := &machine{fs: c.left, shared: x.machine.shared, inline: x.machine.inline, boot: "another", start: x.machine.start}
	if x.random.IntN(2) == 0 { // the power goes once more, while it is recovered
		at, number, policy := x.random.IntN(40), 0, disk.CrashPolicy{SyncedOnly: x.random.IntN(2) == 0}
		var again *disk.Mem
		var mu sync.Mutex
		c.left.OnOperation(func(o disk.Operation) {
			mu.Lock()
			defer mu.Unlock()
			if number++; o.Call.Changes() && number > at && again == nil {
				again = c.left.Crash(policy)
			}
		})
		err := m.open()
		c.left.OnOperation(nil)
		if err == nil {
			err = m.store.Close()
		}
		if err != nil {
			return err
		}
		mu.Lock()
		if again != nil {
			m.fs = again
		}
		mu.Unlock()
	}
	if err := m.open(); err != nil {
		return err
	}
	defer m.store.Close()
	owned := make(map[string]bool)
	candidates := c.committed
	if c.under != nil {
		candidates = append(slices.Clone(candidates), c.under)
	}
	for _, s := range candidates {
		meta, err := m.store.Head(s.key)
		if err != nil && s == c.under {
			continue
		}
		if err != nil {
			return fmt.Errorf("an acknowledged record is gone: %w", err)
		}
		if meta.Payload != s.payload || meta.Slicing == nil {
			return fmt.Errorf("%s has the record %+v", s.key, meta)
		}
		for _, index := range s.indices {
			if err := s.isWhole(m.fs, index); err != nil {
				return fmt.Errorf("slice %02x of %s: %w", index, s.key, err)
			}
			owned[layout.SlicePath(s.payload, index)] = true
		}
		if !layout.DraftFits(&s.p.draft) {
			owned[layout.SidecarPath(s.payload)] = true
			content, err := store.ReadFile(m.fs, layout.SidecarPath(s.payload))
			if err != nil {
				return err
			}
			if sidecar, err := layout.DecodeSidecar(content); err != nil || !reflect.DeepEqual(sidecar.Draft, s.p.draft) {
				return fmt.Errorf("the sidecar of %s: %+v, %w", s.key, sidecar, err)
			}
		}
	}
	if err := filesLeft(m.fs, owned, nil); err != nil {
		return err
	}
	scan, err := m.store.Index().Scan([]byte{layout.KindIntent}, []byte{layout.KindIntent + 1})
	if err != nil {
		return err
	}
	if scan.Next() {
		err = fmt.Errorf("the intent %q is left", scan.Key())
	}
	return errorsOf(err, scan.Err(), scan.Close())
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// isWhole reads a slice and its attribute.
func (s *stagedPayload) isWhole(fs disk.FS, index uint8) error {
	name := layout.SlicePath(s.payload, index)
	file, err := fs.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	got, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	if err != nil || !bytes.Equal(got, s.files[index]) {
		return fmt.Errorf("%d bytes that are not those that were sealed, %d: %v", len(got), len(s.files[index]), err)
	}
	raw, err := fs.GetAttr(name, layout.AttributeName)
	if err != nil {
		return err
	}
	a, err := layout.DecodeAttribute(raw)
	if err != nil {
		return err
	}
	if a.Payload != s.payload || a.Key.Name != s.key.Name || a.Form != stagedForm || a.Index != index || a.Size != s.p.sums.Size || a.XXHash != s.p.sums.XXHash ||
		!slices.Equal(a.Sums, s.sums) || a.Sidecar == layout.DraftFits(&s.p.draft) {
		return fmt.Errorf("its attribute is %+v", a)
	}
	return nil
}

// The power goes at every operation of staging, sealing, committing and abandoning slices, and
// of the recovery from that: what a record names is there, whole, with its attribute, and
// nothing else is left.
func TestStagedIsUndoneOrWhole(t *testing.T) {
	histories, every := uint64(6), 1
	if testing.Short() || raceDetector {
		histories, every = 2, 6
	}
	states, named := 0, 0
	for seed := uint64(1); seed <= histories && !t.Failed(); seed++ {
		x := newStager(t, seed, func(fs disk.FS) disk.FS { return fs })
		for _, c := range x.cuts(8, every) {
			states++
			named += len(c.committed)
			if err := x.judge(c); err != nil {
				t.Fatalf("%s:\n%v", c.name, err)
			}
		}
		if err := x.machine.store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d crash states, %d records looked at", states, named)
	if states == 0 || named == 0 {
		t.Error("the control: nothing was looked at")
	}
}

// Negative control: with one kind of sync turned into a lie, the test above finds it.
func TestStagingFindsLyingSyncs(t *testing.T) {
	for _, lie := range []disk.Rule{
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/work/*", Lose: true},
		{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/slices/*", Lose: true},
		{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/slices", Lose: true},
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/index/*.log", Lose: true},
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/sidecars/**", Lose: true},
		{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/sidecars/**", Lose: true},
	} {
		t.Run(fmt.Sprint(lie.Calls[0], " ", lie.Path), func(t *testing.T) {
			var found error
			hits := uint64(0)
			for seed := uint64(1); seed <= 20 && found == nil; seed++ {
				var fault *disk.Fault
				x := newStager(t, seed, func(fs disk.FS) disk.FS {
					faulty := disk.NewFaulty(fs)
					var err error
					if fault, err = faulty.Add(lie); err != nil {
						t.Fatal(err)
					}
					return faulty
				})
				for _, c := range x.cuts(8, 3) {
					if found = x.judge(c); found != nil {
						break
					}
				}
				hits += fault.Hits()
				_ = x.machine.store.Close() // of a liar nobody asks whether it closed well
			}
			if hits == 0 {
				t.Fatal("no sync was lost: the control controls nothing")
			}
			if found == nil {
				t.Fatalf("%d syncs were lost, and nobody noticed", hits)
			}
			t.Logf("found: %.200v", found)
		})
	}
}
