package faults

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
)

// shifted is a clock that faults can set. It keeps its timers, because a jump
// shortens those under way.
type shifted struct {
	base clock.Clock
	skew atomic.Int64 // ns between the wall clock and the base's

	mu      sync.Mutex
	jumped  atomic.Int64 // ns that have elapsed at once; changed under mu, never lowered
	waiting map[*timer]struct{}
}

func newShifted(base clock.Clock) *shifted {
	return &shifted{base: base, waiting: make(map[*timer]struct{})}
}

// Now implements clock.Clock.
func (c *shifted) Now() time.Time { return c.base.Now().Add(time.Duration(c.skew.Load())) }

// Elapsed implements clock.Clock.
func (c *shifted) Elapsed() time.Duration { return c.base.Elapsed() + time.Duration(c.jumped.Load()) }

// AfterFunc implements clock.Clock.
func (c *shifted) AfterFunc(wait time.Duration, f func()) clock.Timer {
	t := &timer{clock: c, call: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.due = c.Elapsed() + wait
	c.waiting[t] = struct{}{}
	t.inner = c.base.AfterFunc(wait, t.fire)
	return t
}

// NewTimer implements clock.Clock.
func (c *shifted) NewTimer(wait time.Duration) (<-chan time.Time, clock.Timer) {
	fired := make(chan time.Time, 1)
	return fired, c.AfterFunc(wait, func() { fired <- c.Now() })
}

// maxShifts bounds what faults do to the clock together: far from where 64 bits of
// nanoseconds end.
const maxShifts = 100 * MaxShift

// bears reports whether one more fault leaves the clock within maxShifts.
func (c *shifted) bears(f *Clock) bool {
	skew := time.Duration(c.skew.Load()) + f.Skew + f.Jump
	return skew.Abs() <= maxShifts && time.Duration(c.jumped.Load())+f.Jump <= maxShifts
}

// set moves the wall clock.
func (c *shifted) set(by time.Duration) { c.skew.Add(int64(by)) }

// jump lets time pass at once.
func (c *shifted) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumped.Add(int64(by))
	now := c.Elapsed()
	for t := range c.waiting {
		t.inner.Stop() // one that fires already waits for the lock, and is due
		t.inner = c.base.AfterFunc(max(0, t.due-now), t.fire)
	}
}

// timer is one call to come of a shifted clock. Its fields are guarded by the
// clock's mu.
type timer struct {
	clock *shifted
	call  func()
	due   time.Duration // by Elapsed
	inner clock.Timer
}

func (t *timer) fire() {
	t.clock.mu.Lock()
	_, waits := t.clock.waiting[t]
	delete(t.clock.waiting, t)
	t.clock.mu.Unlock()
	if waits {
		t.call()
	}
}

// Stop implements clock.Timer.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, waits := t.clock.waiting[t]
	delete(t.clock.waiting, t)
	t.inner.Stop()
	return waits
}
