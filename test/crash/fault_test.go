package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/soak"
)

// faultPoints is how many errors a run of make test injects; faultPointsShort
// with -short or the race detector.
const (
	faultPoints      = 2_000
	faultPointsShort = 120
)

// Every operation of a history fails once, in every way that it can: nothing
// panics, nothing hangs, nothing acknowledged is lost after a power cut or a
// restart, what failed to be synced is not acknowledged, the failure names its
// key, and the other keys go on.
func TestEveryErrorOnce(t *testing.T) {
	r := newFaultRun(t)
	if at := os.Getenv("TROUPE_FAULT"); at != "" { // one point again
		seed, name, found := strings.Cut(at, "|")
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil || !found {
			t.Fatalf("TROUPE_FAULT=%q is not HISTORY|OPERATION|FAULT", at)
		}
		r.only = name
		r.history(n)
		t.Log(r.summary())
		return
	}
	first, points := uint64(1), faultPoints
	if testing.Short() || raceDetector {
		points = faultPointsShort
	}
	if slice := os.Getenv("TROUPE_FAULT_SLICE"); slice != "" { // of the soak: from HISTORY, POINTS
		if _, err := fmt.Sscanf(slice, "%d,%d", &first, &points); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	seed := first
	for ; r.points < points && r.failures < enough; seed++ {
		r.limit = points
		r.history(seed)
	}
	t.Logf("%s in %s; next history %d", r.summary(), time.Since(began).Round(time.Second), seed)
}

// TestEveryErrorOnceSoak injects 100,000 errors.
func TestEveryErrorOnceSoak(t *testing.T) {
	soakPlan{
		row:   soak.Row{Name: "every-error-once", Unit: "points", Goal: 100_000},
		batch: 2_000, test: "TestEveryErrorOnce", variable: "TROUPE_FAULT_SLICE",
	}.run(t)
}

// faultRun injects faults, one after the other.
type faultRun struct {
	t      *testing.T
	only   string // the one point; empty: all
	limit  int    // stop at so many points
	points int

	failures int

	kinds  map[string]int
	deaths int // of indexes
	spared int // points that no operation reached: the index's goroutines run as they like
	shared *index.Shared
	used   int // machines that used shared
}

func newFaultRun(t *testing.T) *faultRun {
	return &faultRun{t: t, kinds: make(map[string]int), limit: 1 << 30}
}

func (r *faultRun) summary() string {
	return fmt.Sprintf("%d points (%v), %d of them killed the index, %d were not reached", r.points, r.kinds, r.deaths, r.spared)
}

// fault is one way in which an operation fails.
type fault struct {
	name       string
	err        syscall.Errno
	bytes      int // a write writes so many parts in four
	afterwards bool
}

// faultsOf says how an operation can fail.
func faultsOf(call disk.Call) []fault {
	eio := fault{name: "EIO", err: syscall.EIO}
	full := fault{name: "ENOSPC", err: syscall.ENOSPC}
	late := fault{name: "EIO afterwards", err: syscall.EIO, afterwards: true}
	switch call {
	case disk.CallWrite:
		return []fault{eio, full, {name: "short write", err: syscall.ENOSPC, bytes: 2}}
	case disk.CallCreate, disk.CallMkdir, disk.CallLink, disk.CallRename, disk.CallReceive:
		return []fault{eio, full, late}
	case disk.CallSetAttr, disk.CallTruncate:
		return []fault{eio, full}
	case disk.CallRemove, disk.CallRemoveDir:
		return []fault{eio, late}
	case disk.CallPreallocate:
		return []fault{full}
	case disk.CallAdvise, disk.CallWriteback:
		return nil
	default:
		return []fault{eio}
	}
}

// faultSteps is how long a history of faults is: every operation of it is a point
// or several, and each point runs it all again.
const faultSteps = 12

// history fails every operation of one history.
func (r *faultRun) history(seed uint64) {
	var operations []disk.Operation
	var mu sync.Mutex
	r.play(seed, "", func(faulty *disk.Faulty) func() uint64 {
		faulty.Observe(func(o disk.Operation) {
			mu.Lock()
			defer mu.Unlock()
			operations = append(operations, o)
		})
		return func() uint64 { return 0 }
	}, "without a fault")
	slices.SortFunc(operations, func(a, b disk.Operation) int { return int(a.Number) - int(b.Number) })
	for _, o := range operations {
		for _, f := range faultsOf(o.Call) {
			name := fmt.Sprintf("%d|%s", o.Number, f.name)
			if r.only != "" && r.only != name || r.points >= r.limit || r.failures >= enough {
				continue
			}
			r.points++
			r.kinds[f.name]++
			reached := true
			r.play(seed, name, func(faulty *disk.Faulty) func() uint64 {
				rule := disk.Rule{
					Match: func(other disk.Operation) bool { return other.Number == o.Number },
					Times: 1, Err: f.err, Bytes: int(o.Length) * f.bytes / 4, Afterwards: f.afterwards,
				}
				added, err := faulty.Add(rule)
				if err != nil {
					r.t.Error(err)
				}
				return added.Hits
			}, fmt.Sprintf("%s fails with %s", o, f.name), func(hits uint64) { reached = hits > 0 })
			if !reached {
				r.spared++
			}
		}
	}
}

// enough failures end a run.
const enough = 4

// patience is how long a history may take; it takes some milliseconds, or a
// second for each flush that is tried again.
const patience = 90 * time.Second

// play runs a history with a fault, and looks at what is left. arm adds the fault
// and returns how often it has hit.
func (r *faultRun) play(seed uint64, name string, arm func(*disk.Faulty) func() uint64, what string, after ...func(hits uint64)) {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		hits, err := r.playOnce(seed, arm)
		for _, fn := range after {
			fn(hits)
		}
		done <- err
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			r.failures++
			r.t.Errorf("history %d: %s: %v\nagain: TROUPE_FAULT='%d|%s' go test ./test/crash -run '^TestEveryErrorOnce$'", seed, what, err, seed, name)
		}
	case <-timer.C:
		panic(fmt.Sprintf("history %d: %s: it hangs for %s", seed, what, patience)) // with every goroutine's stack
	}
}

// cacheOf returns caches for one more machine. A dead index keeps what it uses,
// so caches are shared by some machines and then left to them.
func (r *faultRun) cacheOf() *index.Shared {
	if r.shared == nil || r.used == 100 {
		r.shared, r.used = index.NewShared(1<<20, 1), 0
	}
	r.used++
	return r.shared
}

func (r *faultRun) playOnce(seed uint64, arm func(*disk.Faulty) func() uint64) (hits uint64, err error) {
	mem := disk.NewMem(seed)
	if err := format(mem); err != nil {
		return 0, err
	}
	faulty := disk.NewFaulty(mem)
	hit := arm(faulty)
	w := newWorld(seed, faulty, &machine{shared: r.cacheOf(), inline: 2 << 10})
	w.faults, w.relaxed = true, shapeOf(seed).relaxed
	x := newWriter(w, 0, 1)
	if err := w.machine.open(); err != nil {
		if hit() == 0 {
			return 0, err
		}
		if err := kindOfOpening(err); err != nil {
			return hit(), err
		}
		// The fault is over: the next try must do, in a process of its own.
		return hit(), r.look(w, mem.Crash(disk.CrashPolicy{SyncedOnly: true}))
	}
	err = r.steps(w, x, hit)
	if err != nil {
		return hit(), err
	}
	dead := isDead(w)
	if dead {
		r.deaths++
	}
	expected := rand.New(rand.NewPCG(seed, hit()))
	if err := r.look(w, mem.Crash(disk.CrashPolicy{SyncedOnly: true})); err != nil {
		return hit(), fmt.Errorf("after a power cut that left what was synced: %w", err)
	}
	if err := r.look(w, mem.Crash(disk.CrashPolicy{Random: expected})); err != nil {
		return hit(), fmt.Errorf("after a power cut: %w", err)
	}
	if dead || w.stopped {
		return hit(), nil
	}
	before := hit()
	if err := w.machine.store.Close(); err != nil && hit() == before && !isDead(w) {
		return hit(), fmt.Errorf("it does not close: %w", err)
	} else if err == nil {
		// The same system goes on: what was written and not synced is there.
		if err := r.look(w, mem); err != nil {
			return hit(), fmt.Errorf("after a restart: %w", err)
		}
	}
	return hit(), nil
}

func isDead(w *world) bool {
	if w.stopped {
		return true
	}
	select {
	case <-w.machine.store.Dead():
		return true
	default:
		return false
	}
}

// steps runs the history. A step in which the fault hit may fail; later ones may
// only if they are about a key whose outcome is unknown, or if the index died.
func (r *faultRun) steps(w *world, x *writer, hit func() uint64) error {
	x.afterStep = func(at progress, failures []error) error {
		if hit() > x.hitBefore || isDead(w) {
			x.hitBefore = hit()
			return nil
		}
		for _, err := range failures {
			if !errors.Is(err, objects.ErrOutcomeUnknown) {
				return fmt.Errorf("step %d (%s): nothing is broken any more, and yet: %w", at.step, at.doing, err)
			}
		}
		return nil
	}
	x.run(faultSteps)
	if len(w.problems) > 0 {
		return errors.New(strings.Join(w.problems, "; "))
	}
	return nil
}

// kindOfOpening checks the error of an Open that was hit: an error of the disk is
// not damage.
func kindOfOpening(err error) error {
	if !errs.Is(errs.IO, err) && !errs.Is(errs.NoSpace, err) && !errs.Is(errs.Offline, err) {
		return fmt.Errorf("the failure of Open is neither of the disk nor of its room: %w", err)
	}
	return nil
}

// look opens what is left and compares it with the model.
func (r *faultRun) look(w *world, left *disk.Mem) error {
	m := &machine{fs: left, shared: r.cacheOf(), inline: w.machine.inline, start: w.machine.start + 1, boot: "after the fault"}
	if err := m.open(); err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	set := w.buckets.Load()
	if set.dropping != nil {
		if err := m.store.DropBucket(*set.dropping); err != nil {
			return err
		}
	}
	found, err := readEverything(left, m.store, set.live)
	if err != nil {
		return err
	}
	expectation := w.model.Freeze(func() {}).Without(func(cell model.Cell) bool {
		return !slices.ContainsFunc(set.live, func(b objects.Bucket) bool { return b.ID == cell.Bucket })
	})
	for _, violation := range expectation.Check(found) {
		return violation
	}
	if err := drain(m.store); err != nil {
		return err
	}
	if err := leftovers(left, m.store, set.live); err != nil {
		return err
	}
	if err := recorded(m.store, set.live); err != nil {
		return err
	}
	return m.store.Close()
}
