package node

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/test/soak"
)

// oneKeyReads is how many reads of one key a run of make test makes.
const oneKeyReads = 50_000

// Sixteen writers and sixteen readers of one key, with deletes: every body is one
// whole version with its own ETag, and nobody reads what was replaced before he
// asked.
func TestOneKey(t *testing.T) {
	reads := oneKeyReads
	if testing.Short() || raceDetector {
		reads = 2_000
	}
	oneKey(t, reads, 7)
}

// TestOneKeySoak is TestOneKey with a million reads.
func TestOneKeySoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "one-key", Unit: "reads", Goal: 1_000_000})
	for slice.More() {
		reads := min(oneKeyReads, slice.Left())
		oneKey(t, int(reads), slice.Next())
		if !t.Failed() {
			slice.Add(reads, slice.Next()+1)
		}
	}
}

// access is one write, delete or read, with the times at which it began and
// ended: ticks of a counter, so that two differ always.
type access struct {
	number     uint64 // of the version written or read; 0: nothing was there
	begin, end int64
}

// journal is what happened to the key.
type journal struct {
	clock  atomic.Int64
	mu     sync.Mutex
	writes []access // number 0: a delete
	reads  [][]access
}

func oneKey(t *testing.T, reads int, seed uint64) {
	defer leaves(t, goleak.IgnoreCurrent())
	node := start(t, t.TempDir(), 1, nil)
	defer stop(t, node)
	c := newClient(node)
	defer c.close()
	c.bucket(t, "photos")

	const writers, readers = 16, 16
	j := &journal{reads: make([][]access, readers)}
	j.writes = append(j.writes, access{number: 0, begin: 0, end: 0}) // there was nothing at first
	var numbers atomic.Uint64
	var left atomic.Int64
	left.Store(int64(reads))
	var failed atomic.Bool
	fail := func(format string, args ...any) {
		failed.Store(true)
		t.Errorf(format, args...)
	}
	stopWriting := make(chan struct{})
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for {
				select {
				case <-stopWriting:
					return
				default:
				}
				one := access{begin: j.clock.Add(1)}
				var err error
				if random.IntN(8) == 0 {
					err = c.delete("photos", "one")
				} else {
					one.number = numbers.Add(1)
					err = c.put("photos", "one", version(one.number))
				}
				if err != nil {
					fail("writer %d: %v", w, err)
					return
				}
				one.end = j.clock.Add(1)
				j.mu.Lock()
				j.writes = append(j.writes, one)
				j.mu.Unlock()
			}
		})
	}
	began := time.Now()
	for r := range readers {
		reading.Go(func() {
			for left.Add(-1) >= 0 && !failed.Load() {
				one := access{begin: j.clock.Add(1)}
				body, err := c.get("photos", "one")
				one.end = j.clock.Add(1)
				if err == nil {
					one.number, err = versionOf(body)
				}
				if err != nil && err != errNone {
					fail("reader %d: %v", r, err)
					return
				}
				j.reads[r] = append(j.reads[r], one)
			}
		})
	}
	reading.Wait()
	close(stopWriting)
	writing.Wait()
	took := time.Since(began)
	absent, stale := j.check()
	for _, s := range stale[:min(len(stale), 5)] {
		t.Error(s)
	}
	t.Logf("%d reads (%d found nothing) beside %d writes in %s, %d stale", reads, absent, len(j.writes), took.Round(time.Millisecond), len(stale))
}

// check judges every read by time alone: what it found must not have been replaced
// for certain before the read began, must not come from the future, and must not
// be for certain older than what the same reader found before.
func (j *journal) check() (absent int, stale []string) {
	byNumber := make(map[uint64]access)
	var deletes []access
	for _, w := range j.writes {
		if w.number == 0 {
			deletes = append(deletes, w)
		} else {
			byNumber[w.number] = w
		}
	}
	slices.SortFunc(deletes, func(a, b access) int { return cmp.Compare(a.end, b.end) })
	// newest[i] is the latest beginning among the writes that had ended i-th or before.
	ended := slices.Clone(j.writes)
	slices.SortFunc(ended, func(a, b access) int { return cmp.Compare(a.end, b.end) })
	newest := make([]int64, len(ended))
	latest := int64(math.MinInt64)
	for i, w := range ended {
		latest = max(latest, w.begin)
		newest[i] = latest
	}
	floor := func(at int64) int64 { // a write that ended before this was replaced for certain
		i, _ := slices.BinarySearchFunc(ended, at, func(w access, at int64) int { return cmp.Compare(w.end, at) })
		if i == 0 {
			return math.MinInt64
		}
		return newest[i-1]
	}
	for reader, reads := range j.reads {
		before := access{end: math.MinInt64, begin: math.MinInt64} // the write that was read last
		for _, r := range reads {
			must := max(floor(r.begin), before.begin)
			if r.number == 0 {
				absent++
				i, _ := slices.BinarySearchFunc(deletes, must, func(w access, at int64) int { return cmp.Compare(w.end, at) })
				if !slices.ContainsFunc(deletes[i:], func(d access) bool { return d.begin < r.end }) {
					stale = append(stale, fmt.Sprintf("reader %d found nothing at %d to %d, and no delete explains it", reader, r.begin, r.end))
				}
				continue
			}
			w, ok := byNumber[r.number]
			switch {
			case !ok:
				stale = append(stale, "version "+strconv.FormatUint(r.number, 10)+" was read, and its write never ended")
			case w.end < must:
				stale = append(stale, fmt.Sprintf("reader %d found version %d at %d to %d: it was written at %d to %d and replaced by a write that began at %d", reader, r.number, r.begin, r.end, w.begin, w.end, must))
			case w.begin > r.end:
				stale = append(stale, fmt.Sprintf("reader %d found version %d before it was written", reader, r.number))
			}
			before = w
		}
	}
	return absent, stale
}

// The check of TestOneKey is not blind: a read of what was replaced, one from the
// future, one that goes backwards, and a loss are each found.
func TestOneKeyCheckFindsStaleReads(t *testing.T) {
	first, second := access{1, 1, 2}, access{2, 3, 4}
	for name, c := range map[string]struct {
		writes []access
		reads  []access
		wrong  bool
	}{
		"right":     {[]access{first, second}, []access{{1, 2, 3}, {2, 5, 6}}, false},
		"at once":   {[]access{{1, 1, 10}, {2, 2, 9}}, []access{{2, 11, 12}}, false},
		"replaced":  {[]access{first, second}, []access{{1, 5, 6}}, true},
		"future":    {[]access{first, {2, 10, 11}}, []access{{2, 3, 4}}, true},
		"backwards": {[]access{first, {2, 3, 20}}, []access{{2, 5, 6}, {1, 7, 8}}, true},
		"lost":      {[]access{first}, []access{{0, 3, 4}}, true},
		"deleted":   {[]access{first, {0, 3, 4}}, []access{{0, 5, 6}}, false},
		"came back": {[]access{first, {0, 3, 4}}, []access{{1, 5, 6}}, true},
	} {
		j := &journal{writes: append([]access{{}}, c.writes...), reads: [][]access{c.reads}}
		if _, stale := j.check(); (len(stale) > 0) != c.wrong {
			t.Errorf("%s: %q", name, stale)
		}
	}
}
