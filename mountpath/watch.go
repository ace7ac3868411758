package mountpath

import (
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
)

// watch says since when a worker has been at work on one message, so that its
// coordinator sees a call that does not return. The worker writes it and the
// coordinator reads it. The zero value is idle.
type watch struct{ since atomic.Int64 } // of the clock's Elapsed, at least 1; 0: idle

func (w *watch) begin(c clock.Clock) { w.since.Store(max(int64(c.Elapsed()), 1)) }
func (w *watch) end()                { w.since.Store(0) }

// running returns how long the worker has been at work; 0: it is idle.
func (w *watch) running(now time.Duration) time.Duration {
	if since := w.since.Load(); since != 0 {
		return max(now-time.Duration(since), 0)
	}
	return 0
}
