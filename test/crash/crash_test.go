// Package crash breaks one mountpath's store on purpose, call by call, and
// compares what is left with the reference model.
//
//	writers ──steps──▶ store ──▶ index, files ──▶ disk.Mem ──▶ observer
//	   │                                             │             │ before every operation
//	   └── model: under way, acknowledged, …         └── Crash ◀───┘ that changes something
//	                                                       │
//	      verify: reopen (and cut that, too), read, list, walk, go on
//
// A history is a seed: what its writers do, where the power goes and what a cut
// leaves follow from it. With one writer the order of what the driver does is the
// same in every run, and the index's own goroutines are the only others: a failure
// names its cut by the step, the operation and how often that operation came up in
// the step, and prints the command that runs this one cut again.
//
// Start with TestPowerCuts, then writer_test.go and verify_test.go.
package crash

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/test/soak"
)

// flags of this package's tests. They are read after the testing package parsed
// them and never change.
type flags struct {
	states  *int
	history *uint64
	cut     *string
}

func replayFlags() flags {
	lookup := func(name string) any { return flag.Lookup(name).Value.(flag.Getter).Get() }
	states, history, cut := lookup("crash.states").(int), lookup("crash.history").(uint64), lookup("crash.cut").(string)
	return flags{&states, &history, &cut}
}

func TestMain(m *testing.M) {
	flag.Int("crash.states", 0, "how many crash states TestPowerCuts checks; 0: 20,000, or 500 with -short or the race detector")
	flag.Uint64("crash.history", 0, "run this history only")
	flag.String("crash.cut", "", "check this cut of the history only, as a failure printed it")
	m.Run()
}

// crashStates is how many crash states a run of make test looks at.
const crashStates = 20_000

// The power goes at every operation that changes something, of random histories:
// every acknowledged write is there, whole, with its metadata; every other one is
// whole or absent; nothing deleted comes back; lists agree with reads; nothing is
// left over; and the store goes on.
func TestPowerCuts(t *testing.T) {
	f := replayFlags()
	if *f.history != 0 {
		replay(t, *f.history, *f.cut)
		return
	}
	want := *f.states
	switch {
	case want > 0:
	case testing.Short() || raceDetector:
		want = 500
	default:
		want = crashStates
	}
	seed := uint64(1)
	if slice := os.Getenv("TROUPE_CRASH_SLICE"); slice != "" { // of the soak: from HISTORY, STATES
		if _, err := fmt.Sscanf(slice, "%d,%d", &seed, &want); err != nil {
			t.Fatal(err)
		}
	}
	c := newChecker(t)
	began := time.Now()
	for ; c.states.Load() < int64(want) && !t.Failed(); seed++ {
		c.run(seed)
	}
	c.finish()
	t.Logf("%s in %s; next history %d", c.summary(), time.Since(began).Round(time.Second), seed)
	if !t.Failed() && want >= 500 && (c.views.Load() == 0 || c.busy.Load() == 0) {
		t.Error("the control: no state with an interrupted write was read before it was recovered")
	}
}

// TestPowerCutsSoak looks at a million crash states.
func TestPowerCutsSoak(t *testing.T) {
	soakPlan{
		row:   soak.Row{Name: "crash-states", Unit: "crash states", Goal: 1_000_000},
		batch: 10_000, test: "TestPowerCuts", variable: "TROUPE_CRASH_SLICE",
	}.run(t)
}

// replay runs one history, and checks one cut of it or all. The index's own
// goroutines run as they like, so a history is run until the cut fails, at most
// so many times.
func replay(t *testing.T, seed uint64, only string) {
	const tries = 20
	for range tries {
		c := newChecker(t)
		c.only = only
		c.run(seed)
		c.finish()
		t.Log(c.summary())
		if t.Failed() {
			return
		}
	}
}

// checker takes cuts from histories and verifies them on as many goroutines as
// there are processors.
type checker struct {
	t      *testing.T
	only   string // the one cut that is checked; empty: all
	lose   disk.Rule
	faulty bool // lose is at work: a lie, for the negative control
	hits   uint64
	sparse int // check one of so many cuts; 0: every one

	cuts    chan *cut
	workers sync.WaitGroup
	stop    atomic.Bool

	states, histories, recoveries, steps atomic.Int64
	views, busy                          atomic.Int64 // states that were read first, and keys in them that were busy
	violations                           atomic.Int64
	first                                atomic.Pointer[string]
}

func newChecker(t *testing.T) *checker {
	c := &checker{t: t, cuts: make(chan *cut, 32)}
	for range runtime.GOMAXPROCS(0) {
		c.workers.Go(func() {
			v := newVerifier(c)
			defer v.close()
			for cut := range c.cuts {
				if !c.stop.Load() {
					v.check(cut)
				}
			}
		})
	}
	return c
}

func (c *checker) finish() {
	close(c.cuts)
	c.workers.Wait()
}

func (c *checker) summary() string {
	return fmt.Sprintf("%d crash states of %d histories (%d steps), %d of them cuts of the recovery, %d read first with %d keys busy; %d violations",
		c.states.Load(), c.histories.Load(), c.steps.Load(), c.recoveries.Load(), c.views.Load(), c.busy.Load(), c.violations.Load())
}

// violation reports what is wrong with the state that a cut left. In a control it
// is what the test is waiting for.
func (c *checker) violation(at *cut, format string, args ...any) {
	c.violations.Add(1)
	text := fmt.Sprintf(format, args...)
	whole := fmt.Sprintf("%s\n%s\nagain: go test ./test/crash -run '^TestPowerCuts$' -crash.history=%d -crash.cut='%s'", text, at, at.seed, at.name())
	c.first.CompareAndSwap(nil, &whole)
	c.stop.Store(true)
	if !c.faulty {
		c.t.Error(whole)
	}
}
