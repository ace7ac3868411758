package index

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// workload runs writers over an index, flushing and compacting in between, until
// their batches are done or the index is dead. It never fails a test: what comes
// of it is for verify to judge.
func workload(x *Index, writers []*writer, batches int) {
	var wg sync.WaitGroup
	for n, w := range writers {
		wg.Go(func() {
			for i := range batches {
				b := x.NewBatch()
				w.next(b)
				if x.Commit(b, w.prefix) != nil {
					return
				}
				w.acknowledged()
				if n > 0 {
					continue
				}
				switch i {
				case batches / 3:
					_ = x.Flush() // may fail: that is the point
				case batches / 2:
					_ = x.Compact([]byte("a"), []byte("z"))
				}
			}
		})
	}
	wg.Wait()
}

func someWriters(seed uint64) []*writer {
	writers := make([]*writer, 2)
	for i := range writers {
		writers[i] = newWriter(i, seed)
	}
	return writers
}

// faultBatches of each writer are enough for some flushes, rotations of the log
// and a compaction or two.
const faultBatches = 120

// runFault opens an index over a disk on which one operation fails, works on it
// and closes it. Whatever happened, afterwards the acknowledged batches must be
// there: after a power cut at the end, and in the living process, on which a
// dead index is reopened.
func runFault(t *testing.T, seed uint64, rule disk.Rule) (hit, died bool, err error) {
	const batches = faultBatches
	mem := disk.NewMem(seed)
	faulty := disk.NewFaulty(mem)
	fault := add(t, faulty, rule)
	writers := someWriters(seed)
	x, openErr := openAt(t, faulty)
	if openErr == nil {
		workload(x, writers, batches)
		_ = x.Close() // may fail: that is the point
		died = x.Err() != nil
	}
	hit = fault.Hits() > 0
	faulty.Clear()
	from, to := promised(writers), possible(writers)
	for _, policy := range []disk.CrashPolicy{
		{SyncedOnly: true},
		{Random: rand.New(rand.NewPCG(seed, 1))},
	} {
		if err := verify(t, mem.Crash(policy), writers, from, to); err != nil {
			return hit, died, fmt.Errorf("after a power cut (synced only: %v): %w", policy.SyncedOnly, err)
		}
	}
	if openErr != nil || !died {
		// The lock of an index that failed to open is free once its calls are over.
		return hit, died, verify(t, mem, writers, from, to)
	}
	y, err := new(Reopener).Reopen(x, x.options)
	if err != nil {
		return hit, died, fmt.Errorf("reopening: %w", err)
	}
	for i, w := range writers {
		got, err := found(y, w)
		if err != nil {
			return hit, died, err
		}
		if !slices.ContainsFunc(w.states[from[i]:to[i]+1], got.equal) {
			return hit, died, fmt.Errorf("reopened: writer %d: %s", i, difference(got, w.states[from[i]]))
		}
	}
	return hit, died, y.Close()
}

// bounded runs f and panics with all stacks if it takes too long: nothing that a
// disk does may hang an index for longer than its deadline.
func bounded(t *testing.T, what string, f func()) {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs:\n%s", what, stacks[:runtime.Stack(stacks, true)]))
	})
	defer timer.Stop()
	f()
}

// Every operation fails once: nothing panics, nothing hangs, the process lives,
// and nothing acknowledged is lost.
func TestEveryErrorOnce(t *testing.T) {
	clean := disk.NewFaulty(disk.NewMem(1))
	x := mustOpen(t, clean)
	workload(x, someWriters(1), faultBatches)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	operations := clean.Operations()
	const points = 400
	kinds := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS}
	hits, deaths := 0, 0
	for i := range uint64(points) {
		after := i * operations / points // another run has some operations more or fewer
		rule := disk.Rule{
			After: after, Times: 1, Err: kinds[i%3],
			Bytes: int(i%5) * 1000, Afterwards: i%4 == 3,
		}
		what := fmt.Sprintf("point %d: operation %d fails with %v (afterwards: %v)", i, after+1, rule.Err, rule.Afterwards)
		bounded(t, what, func() {
			hit, died, err := runFault(t, i, rule)
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if hit {
				hits++
			}
			if died {
				deaths++
			}
		})
	}
	t.Logf("%d of about %d operations failed, %d instances died of it", hits, operations, deaths)
	if deaths == 0 || hits < points/2 {
		t.Fatal("too little happened: the test proves little")
	}
}

// The control of the power cuts: with log syncs that report success and do
// nothing, acknowledged batches must be found missing.
func TestPowerCutsFindLostSyncs(t *testing.T) {
	const seed = 5
	mem := disk.NewMem(seed)
	faulty := disk.NewFaulty(mem)
	fault := add(t, faulty, disk.Rule{Calls: syncs, Path: logFiles, Lose: true})
	writers, cuts := history(t, mem, faulty, seed, 150, 25)
	if fault.Hits() == 0 {
		t.Fatal("no sync was lost")
	}
	caught := 0
	for _, cut := range cuts {
		if verify(t, cut.left, writers, cut.from, cut.to) != nil {
			caught++
		}
	}
	t.Logf("%d of %d power cuts show it", caught, len(cuts))
	if caught == 0 {
		t.Fatal("log syncs do nothing, and no power cut shows it")
	}
}
