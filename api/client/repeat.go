package client

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// The backoff: pauses double from the first to the longest, and each is drawn
// between half of it and all of it, so that clients that were refused together
// do not come back together.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// strangerAttempts is how often a server that never answered is asked: enough
// for a listener that is just being opened, few enough that a wrong address is
// reported within a second.
const strangerAttempts = 4

// repetition decides about the attempts of one request. The zero value is ready.
type repetition struct {
	began    time.Time
	attempts int
}

// next is told how an attempt failed; it says whether to make another one, and
// after what pause.
func (p *repetition) next(c *Connection, r *Request, err error) (pause time.Duration, again bool) {
	if p.attempts == 0 {
		p.began = time.Now()
	}
	p.attempts++
	failure := AsFailure(err)
	var own *errBody
	switch {
	case r.Once || c.config.Patience < 0 || errors.As(err, &own):
		return 0, false
	case r.OnlyRefused && (failure == nil || failure.Status != http.StatusServiceUnavailable && failure.Status != http.StatusTooManyRequests):
		return 0, false
	case failure != nil && !failure.passes():
		return 0, false
	case failure == nil && !errs.Is(errs.Offline, err):
		return 0, false
	case failure == nil && !c.heard.Load() && p.attempts >= strangerAttempts:
		return 0, false
	}
	pause = min(firstPause<<min(p.attempts-1, 10), longestPause)
	pause = pause/2 + rand.N(pause/2+1)
	if failure != nil {
		pause = max(pause, failure.RetryAfter)
	}
	return pause, time.Since(p.began)+pause <= c.config.Patience
}
