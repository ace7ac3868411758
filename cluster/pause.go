package cluster

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
)

// Pause waits for between half of wait and all of it, so that nodes that were
// disturbed at once do not come back at once; false: the context ended before.
func Pause(ctx context.Context, c clock.Clock, wait time.Duration) bool {
	return pause(ctx, c, wait, nil)
}

// pause is Pause, which is over when it is told so, too.
func pause(ctx context.Context, c clock.Clock, wait time.Duration, over <-chan struct{}) bool {
	elapsed, timer := c.NewTimer(jittered(wait))
	defer timer.Stop()
	select {
	case <-elapsed:
		return ctx.Err() == nil
	case <-over:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// jittered returns something between half of wait and all of it.
func jittered(wait time.Duration) time.Duration {
	if wait <= 1 {
		return wait
	}
	return wait/2 + rand.N(wait/2+1)
}

// patience is how long to wait after failures that follow one another: the first
// wait, doubling up to the longest one. The zero value is not ready.
type patience struct{ first, longest, next time.Duration }

// after returns how long to wait after one more failure.
func (p *patience) after() time.Duration {
	wait := max(p.next, p.first)
	p.next = min(2*wait, p.longest)
	return min(wait, p.longest)
}

// forget begins anew, after a success.
func (p *patience) forget() { p.next = 0 }

// Within returns a context that also ends when so much has elapsed on the clock. The
// context's error is then Canceled; the caller knows by the clock that time was out.
func Within(ctx context.Context, c clock.Clock, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := c.AfterFunc(limit, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}
