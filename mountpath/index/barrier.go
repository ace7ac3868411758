package index

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// barrier makes a scan wait until every commit that it may have seen is synced.
// One committer counts commits before it applies them, one answerer counts them
// after their sync, both in the same order: so many synced means the first so
// many. Safe for concurrent use.
type barrier struct {
	applied atomic.Uint64 // commits that Pebble may show
	synced  atomic.Uint64 // the first of them, which are on stable storage

	waiting atomic.Int32 // spares the answerer the lock
	mu      sync.Mutex
	waiters []barrierWaiter
}

type barrierWaiter struct {
	until uint64
	done  chan struct{}
}

// apply counts a commit that is about to be applied.
func (b *barrier) apply() { b.applied.Add(1) }

// sync counts a commit that is synced, and wakes who waited for it.
func (b *barrier) sync() {
	synced := b.synced.Add(1)
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters = slices.DeleteFunc(b.waiters, func(w barrierWaiter) bool {
		if w.until > synced {
			return false
		}
		close(w.done)
		return true
	})
}

// wait returns once every commit that was applied before the call is synced.
// False: the deadline passed, or dead was closed, before that.
func (b *barrier) wait(dead <-chan struct{}, within time.Duration) bool {
	until := b.applied.Load()
	if b.synced.Load() >= until {
		return true
	}
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	w := barrierWaiter{until: until, done: make(chan struct{})}
	b.mu.Lock()
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	// The sync that was waited for may have come before the waiter was listed.
	if b.synced.Load() >= until {
		b.remove(w)
		return true
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.done:
		return true
	case <-dead:
	case <-timer.C:
	}
	b.remove(w)
	return b.synced.Load() >= until
}

func (b *barrier) remove(w barrierWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters = slices.DeleteFunc(b.waiters, func(other barrierWaiter) bool { return other.done == w.done })
}
