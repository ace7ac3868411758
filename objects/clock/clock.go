// Package clock is the time that a node lives by. Actors, edges and what they
// call ask a Clock that was given to them and never the global one, so that
// faults and simulations can say what time it is.
//
// It tells two things apart that a node must not confuse: Now is a date, and may
// jump in both directions when somebody sets the machine's clock; Elapsed only
// ever goes on, and is what durations and deadlines are measured with. Deadlines
// of sockets are the kernel's and take its time, not a Clock's.
//
// Start with Clock.
package clock

import "time"

// Clock says what time it is, and calls when some of it has passed. Safe for
// concurrent use.
type Clock interface {
	// Now is the wall clock: what dates are made of and compared with.
	Now() time.Time
	// Elapsed is the time since some moment before the clock was first used.
	Elapsed() time.Duration
	// AfterFunc calls f in a goroutine of its own when so much has elapsed, unless
	// the timer is stopped before.
	AfterFunc(wait time.Duration, f func()) Timer
	// NewTimer sends to the channel, which has room for it, when so much has
	// elapsed, unless the timer is stopped before.
	NewTimer(wait time.Duration) (<-chan time.Time, Timer)
}

// Timer is something to come.
type Timer interface {
	// Stop takes it back; false: it has begun, or was taken back before.
	Stop() bool
}

// System is the clock of the operating system.
type System struct{ began time.Time }

// NewSystem returns a clock whose Elapsed counts from now.
func NewSystem() System { return System{began: time.Now()} }

// Now implements Clock.
func (c System) Now() time.Time { return time.Now() }

// Elapsed implements Clock.
func (c System) Elapsed() time.Duration { return time.Since(c.began) }

// AfterFunc implements Clock.
func (c System) AfterFunc(wait time.Duration, f func()) Timer { return time.AfterFunc(wait, f) }

// NewTimer implements Clock.
func (c System) NewTimer(wait time.Duration) (<-chan time.Time, Timer) {
	t := time.NewTimer(wait)
	return t.C, t
}
