package xaction

import "time"

// Clock tells the time and calls back: the system's, or a test's. Safe for
// concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f on a goroutine of its own once d has passed, unless stop is
	// called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// SystemClock is the time of the operating system.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}
