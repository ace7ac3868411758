package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// writer is one client of a random history. It owns the keys under its prefix
// and has one batch under way at a time, so that what it may find after a power
// cut is one of two states: after its last acknowledged batch, or after the one
// that was under way.
type writer struct {
	prefix []byte
	random *rand.Rand
	made   uint64 // batches so far: every value is another

	mu     sync.Mutex // guards what follows, which a power cut looks at
	states []state    // after each batch; the first is empty
	synced int        // the last acknowledged of them
}

// state is what is under a writer's prefix. Its values are never changed.
type state map[string][]byte

func (s state) equal(other state) bool { return maps.EqualFunc(s, other, bytes.Equal) }

func newWriter(number int, seed uint64) *writer {
	return &writer{
		prefix: []byte{'w', byte(number)},
		random: rand.New(rand.NewPCG(seed, uint64(number))),
		states: []state{{}},
	}
}

func (w *writer) key(n int) []byte { return append(slices.Clone(w.prefix), byte(n>>8), byte(n)) }

// value is different for every batch and key; some are large enough to be
// separated from their keys.
func (w *writer) value() []byte {
	size := 8 + w.random.IntN(200)
	if w.random.IntN(3) == 0 {
		size = separatedBytes + w.random.IntN(8<<10)
	}
	value := binary.BigEndian.AppendUint64(nil, w.made)
	fill := rand.NewChaCha8([32]byte{byte(w.made), byte(w.made >> 8), w.prefix[1]})
	value = append(value, make([]byte, size)...)
	fill.Read(value[8:])
	return value
}

// next fills the batch with random changes and notes what they lead to.
func (w *writer) next(b *Batch) {
	const keys = 60
	w.made++
	next := maps.Clone(w.states[len(w.states)-1])
	for range 1 + w.random.IntN(5) {
		key := w.key(w.random.IntN(keys))
		switch w.random.IntN(12) {
		case 0:
			b.Delete(key)
			delete(next, string(key))
		case 1:
			b.DeleteSized(key, len(next[string(key)]))
			delete(next, string(key))
		case 2:
			upper := w.key(w.random.IntN(keys))
			if bytes.Compare(key, upper) >= 0 {
				continue
			}
			b.DeleteRange(key, upper)
			maps.DeleteFunc(next, func(k string, _ []byte) bool { return k >= string(key) && k < string(upper) })
		default:
			value := w.value()
			half := w.random.IntN(len(value))
			b.SetParts(key, value[:half], value[half:])
			next[string(key)] = value
		}
	}
	if b.Len() == 0 {
		b.Set(w.prefix, w.prefix)
		next[string(w.prefix)] = w.prefix
	}
	w.mu.Lock()
	w.states = append(w.states, next)
	w.mu.Unlock()
}

func (w *writer) acknowledged() {
	w.mu.Lock()
	w.synced = len(w.states) - 1
	w.mu.Unlock()
}

// promised returns the last acknowledged state of each writer: no earlier one
// may be found from now on.
func promised(writers []*writer) []int {
	out := make([]int, len(writers))
	for i, w := range writers {
		w.mu.Lock()
		out[i] = w.synced
		w.mu.Unlock()
	}
	return out
}

// possible returns the newest state of each writer: no later one may have been
// found until now.
func possible(writers []*writer) []int {
	out := make([]int, len(writers))
	for i, w := range writers {
		w.mu.Lock()
		out[i] = len(w.states) - 1
		w.mu.Unlock()
	}
	return out
}

// found reads what is under a writer's prefix.
func found(x *Index, w *writer) (state, error) {
	upper := slices.Clone(w.prefix)
	upper[len(upper)-1]++
	scan, err := x.Scan(w.prefix, upper)
	if err != nil {
		return nil, err
	}
	s := state{}
	for scan.Next() {
		value, err := scan.Value()
		if err != nil {
			scan.Close()
			return nil, err
		}
		s[string(scan.Key())] = bytes.Clone(value)
	}
	return s, scan.Close()
}

// verify opens what a failure left and compares it with what may be there. The
// error says what is wrong.
func verify(t *testing.T, fsys disk.FS, writers []*writer, from, to []int) error {
	x, err := openAt(t, fsys)
	if err != nil {
		return fmt.Errorf("does not open: %w", err)
	}
	for i, w := range writers {
		got, err := found(x, w)
		if err != nil {
			return fmt.Errorf("writer %d: %w", i, err)
		}
		if !slices.ContainsFunc(w.states[from[i]:to[i]+1], got.equal) {
			return fmt.Errorf("writer %d: %d keys, which are none of its states %d (acknowledged) to %d: %s",
				i, len(got), from[i], to[i], difference(got, w.states[from[i]]))
		}
	}
	// It must also go on.
	b := x.NewBatch()
	b.Set([]byte("on"), []byte("and on"))
	if err := x.Commit(b); err != nil {
		return fmt.Errorf("does not go on: %w", err)
	}
	return x.Close()
}

// difference names the first key in which two states differ.
func difference(got, want state) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[key]
		switch {
		case !ok:
			return fmt.Sprintf("%x is missing", key)
		case !bytes.Equal(value, want[key]):
			return fmt.Sprintf("%x has the value of batch %x, not of %x", key, value[:8], want[key][:8])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%x is there", key)
		}
	}
	return "none"
}

// powerCut is a moment of a history at which the power went.
type powerCut struct {
	left      *disk.Mem
	operation disk.Operation
	policy    string
	from, to  []int // of each writer: the states that may be found
}

// history runs batches of some writers over fsys, a view of mem, and cuts the
// power of mem before one in every operations that change it. It returns the cuts.
func history(t *testing.T, mem *disk.Mem, fsys disk.FS, seed uint64, batches, every int) ([]*writer, []powerCut) {
	t.Helper()
	writers := make([]*writer, 3)
	for i := range writers {
		writers[i] = newWriter(i, seed)
	}
	var mu sync.Mutex
	var cuts []powerCut
	chance := rand.New(rand.NewPCG(seed, 99))
	mem.OnOperation(func(o disk.Operation) {
		if !o.Call.Changes() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if chance.IntN(every) != 0 {
			return
		}
		cut := powerCut{operation: o, policy: "synced only", from: promised(writers)}
		if chance.IntN(2) == 0 {
			cut.left = mem.Crash(disk.CrashPolicy{SyncedOnly: true})
		} else {
			cut.policy = "random"
			cut.left = mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, chance.Uint64()))})
		}
		cut.to = possible(writers)
		cuts = append(cuts, cut)
	})
	x := mustOpen(t, fsys)
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() {
			for range batches {
				b := x.NewBatch()
				w.next(b)
				if err := x.Commit(b, w.prefix); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				w.acknowledged()
			}
		})
	}
	wg.Wait()
	if err := x.Close(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	mem.OnOperation(nil)
	return writers, cuts
}

// Power cuts at random operations of random histories, among them the making of
// the index, flushes, log rotations and compactions: whatever was acknowledged
// is there, whole, and what was not is whole or absent.
func TestPowerCuts(t *testing.T) {
	const seeds, batches, every = 8, 250, 25
	total := 0
	for seed := range uint64(seeds) {
		mem := disk.NewMem(seed)
		writers, cuts := history(t, mem, mem, seed, batches, every)
		for i, cut := range cuts {
			if err := verify(t, cut.left, writers, cut.from, cut.to); err != nil {
				t.Errorf("seed %d, cut %d before operation %d (%s), %s: %v",
					seed, i, cut.operation.Number, cut.operation, cut.policy, err)
			}
		}
		total += len(cuts)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d power cuts", total)
	if total < 100 {
		t.Fatalf("only %d power cuts: the test proves little", total)
	}
}
