package member

import "time"

// tellEvery is how often the log is told of something that goes on failing.
const tellEvery = time.Minute

// repeated is something that is tried again and again: the log hears of the first
// failure, then once a minute with how many there were, and of the end. Not safe for
// concurrent use; the zero value is ready.
type repeated struct {
	failures    int
	since, told time.Duration // of the clock's Elapsed: the first failure, and the last that was told
}

// failed counts a failure, and reports whether the log is to hear of it.
func (r *repeated) failed(now time.Duration) bool {
	r.failures++
	if r.failures == 1 {
		r.since = now
	} else if now-r.told < tellEvery {
		return false
	}
	r.told = now
	return true
}

// ended forgets the failures, and returns how many there were and how long they went
// on; none: there is nothing to tell.
func (r *repeated) ended(now time.Duration) (failures int, lasted time.Duration) {
	failures, lasted = r.failures, now-r.since
	*r = repeated{}
	return failures, lasted
}
