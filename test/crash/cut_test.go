package crash

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/test/model"
)

// cut is one state that a power cut left, and what may be found in it.
type cut struct {
	seed        uint64
	where       point
	policy      string // "synced" or "random-N"
	left        *disk.Mem
	expectation *model.Expectation
	buckets     *bucketSet
	start       uint64
	inline      int
	did         string // the step, for people
}

// point is a moment of a history: before the nth operation that reads so, in the
// step.
type point struct {
	step      int
	operation string
	nth       int
}

// name is what -crash.cut takes.
func (c *cut) name() string {
	return fmt.Sprintf("%d|%s|%d|%s", c.where.step, c.where.operation, c.where.nth, c.policy)
}

func (c *cut) String() string {
	return fmt.Sprintf("history %d, step %d (%s), before operation %q (no. %d in the step), what was not synced: %s",
		c.seed, c.where.step, c.did, c.where.operation, c.where.nth, c.policy)
}

// policyOf makes the policy of a cut from its name: chance follows from the cut,
// not from the order in which cuts are taken.
func policyOf(seed uint64, at point, policy string) disk.CrashPolicy {
	if policy == "synced" {
		return disk.CrashPolicy{SyncedOnly: true}
	}
	h := fnv.New64a()
	fmt.Fprint(h, at, policy)
	return disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// run runs one history and cuts it at every operation that changes something.
func (c *checker) run(seed uint64) {
	mem := disk.NewMem(seed)
	var fs disk.FS = mem
	var fault *disk.Fault
	if c.faulty {
		faulty := disk.NewFaulty(mem)
		var err error
		if fault, err = faulty.Add(c.lose); err != nil {
			c.t.Error(err)
			return
		}
		fs = faulty
	}
	shape := shapeOf(seed)
	shared := index.NewShared(1<<20, 1)
	defer shared.Close()
	w := newWorld(seed, fs, &machine{shared: shared, inline: shape.inline})
	w.relaxed = shape.relaxed
	if err := format(fs); err != nil {
		c.t.Error(err)
		return
	}
	if err := w.machine.open(); err != nil {
		c.t.Error(err)
		return
	}
	writers := make([]*writer, shape.writers)
	for i := range writers {
		writers[i] = newWriter(w, i, shape.writers)
	}
	c.watch(w, mem, writers[0])
	var running sync.WaitGroup
	for _, x := range writers {
		running.Go(func() { x.run(shape.steps) })
	}
	running.Wait()
	mem.OnOperation(nil)
	c.histories.Add(1)
	c.steps.Add(int64(shape.writers * shape.steps))
	for _, p := range w.problems {
		c.violations.Add(1)
		c.first.CompareAndSwap(nil, &p)
		if !c.faulty {
			c.t.Errorf("history %d: %s\nagain: go test ./test/crash -run '^TestPowerCuts$' -crash.history=%d", seed, p, seed)
		}
	}
	if err := w.machine.store.Close(); err != nil && !c.faulty {
		c.t.Errorf("history %d: %v", seed, err)
	}
	if fault != nil {
		c.hits += fault.Hits()
	}
}

// watch takes the cuts of a history. Steps are counted by its first writer.
func (c *checker) watch(w *world, mem *disk.Mem, clock *writer) {
	var mu sync.Mutex
	counts := make(map[point]int)
	step := 0
	number := 0
	mem.OnOperation(func(o disk.Operation) {
		if !o.Call.Changes() || c.stop.Load() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		progress := clock.at.Load()
		if clock.alone && progress.step != step {
			step = progress.step
			clear(counts)
		}
		at := point{step: step, operation: o.String()}
		counts[at]++
		at.nth = counts[at]
		number++
		for i, policy := range []string{"synced", "random-1"} {
			cut := &cut{seed: w.seed, where: at, policy: policy, start: w.machine.start, inline: w.machine.inline}
			if c.only != "" && cut.name() != c.only || c.sparse > 1 && (number+i)%c.sparse != 0 {
				continue
			}
			if clock.alone {
				cut.did = progress.doing
			}
			cut.expectation = w.model.Freeze(func() {
				cut.left = mem.Crash(policyOf(w.seed, at, policy))
				cut.buckets = w.buckets.Load()
			})
			c.cuts <- cut
		}
	})
}

// cutWithin runs fn with the power going at one operation of it that changes
// something, chosen by chance; nil if fn had fewer.
func cutWithin(t *testing.T, mem *disk.Mem, chance *rand.Rand, operations int, fn func() error) (*disk.Mem, string, error) {
	t.Helper()
	at := 1 + chance.IntN(operations)
	policy := disk.CrashPolicy{SyncedOnly: true}
	if chance.IntN(2) == 0 {
		policy = disk.CrashPolicy{Random: chance}
	}
	var mu sync.Mutex
	var left *disk.Mem
	var where string
	n := 0
	mem.OnOperation(func(o disk.Operation) {
		if !o.Call.Changes() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n == at {
			left, where = mem.Crash(policy), o.String()
		}
	})
	err := fn()
	mem.OnOperation(nil)
	return left, where, err
}

var errNotTheSame = errors.New("what was served is gone after another power cut")
