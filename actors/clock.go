package actors

import "time"

// Clock is the time that a node lives by. Actors, and what they call, ask it and
// never the global one, so that faults and simulations can say what time it is.
// Safe for concurrent use.
type Clock interface {
	// Now is the wall clock: what dates are made of and compared with. It may
	// jump, in both directions.
	Now() time.Time
	// Elapsed is for measuring how long something takes: it never goes back, and a
	// step of the wall clock does not touch it.
	Elapsed() time.Duration
	// AfterFunc calls f in a goroutine of its own when so much has elapsed, unless
	// the timer is stopped before.
	AfterFunc(wait time.Duration, f func()) Timer
}

// Timer is a call to come.
type Timer interface {
	// Stop takes the call back; false: it has begun, or was taken back before.
	Stop() bool
}

// SystemClock is the clock of the operating system.
type SystemClock struct{ began time.Time }

// NewSystemClock returns a clock whose Elapsed counts from now.
func NewSystemClock() SystemClock { return SystemClock{began: time.Now()} }

// Now implements Clock.
func (c SystemClock) Now() time.Time { return time.Now() }

// Elapsed implements Clock.
func (c SystemClock) Elapsed() time.Duration { return time.Since(c.began) }

// AfterFunc implements Clock.
func (c SystemClock) AfterFunc(wait time.Duration, f func()) Timer { return time.AfterFunc(wait, f) }
