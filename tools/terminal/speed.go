package terminal

import (
	"sync"
	"sync/atomic"
	"time"
)

// Speed is the rate of the last few seconds. Safe for concurrent use.
type Speed struct {
	done atomic.Int64

	mutex   sync.Mutex
	samples []sample // the oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// speedWindow is over how long the rate is taken.
const speedWindow = 5 * time.Second

// Add counts something that is done.
func (s *Speed) Add(n int64) { s.done.Add(n) }

// Rate returns how much is done in a second, and takes a sample.
func (s *Speed) Rate() float64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := sample{time.Now(), s.done.Load()}
	s.samples = append(s.samples, now)
	for len(s.samples) > 2 && now.at.Sub(s.samples[0].at) > speedWindow {
		s.samples = s.samples[1:]
	}
	first := s.samples[0]
	elapsed := now.at.Sub(first.at).Seconds()
	if elapsed < 0.2 {
		return 0
	}
	return max(float64(now.done-first.done)/elapsed, 0)
}
