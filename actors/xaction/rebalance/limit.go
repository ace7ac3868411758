package rebalance

import (
	"time"

	"github.com/troupe-storage/troupe/messages"
)

// limit spreads work over time by a rate that may change meanwhile. Nothing is saved up
// while less is done. Not safe for concurrent use.
type limit struct {
	objects, bytes int64 // done since the last look
	until          time.Time
}

func (l *limit) did(objects, bytes int64) {
	l.objects += objects
	l.bytes += bytes
}

// due returns for how long nothing is to be begun.
func (l *limit) due(rate messages.JobRate, now time.Time) time.Duration {
	var span time.Duration
	if rate.Objects > 0 {
		span = max(span, time.Duration(float64(l.objects)/float64(rate.Objects)*float64(time.Second)))
	}
	if rate.Bytes > 0 {
		span = max(span, time.Duration(float64(l.bytes)/float64(rate.Bytes)*float64(time.Second)))
	}
	l.objects, l.bytes = 0, 0
	if l.until.Before(now) {
		l.until = now
	}
	if rate == (messages.JobRate{}) {
		l.until = now
	}
	l.until = l.until.Add(min(span, time.Hour))
	return l.until.Sub(now)
}
