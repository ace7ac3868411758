package store

import (
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// leases keeps payload generations from being reclaimed while readers have
// their files open one after the other. Each lease has a deadline: a reader that
// is forgotten holds nothing for ever. Safe for concurrent use.
type leases struct {
	now  func() time.Time
	mu   sync.Mutex
	next uint64
	held map[objects.Generation]map[uint64]time.Time // payload → lease → deadline
}

func newLeases(now func() time.Time) *leases {
	return &leases{now: now, held: make(map[objects.Generation]map[uint64]time.Time)}
}

// lease is one entry of the table.
type lease struct {
	table   *leases
	payload objects.Generation
	number  uint64
}

func (l *leases) take(payload objects.Generation, within time.Duration) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	if l.held[payload] == nil {
		l.held[payload] = make(map[uint64]time.Time)
	}
	l.held[payload][l.next] = l.now().Add(within)
	return &lease{table: l, payload: payload, number: l.next}
}

// Release implements messages.Lease.
func (x *lease) Release() {
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	delete(x.table.held[x.payload], x.number)
	if len(x.table.held[x.payload]) == 0 {
		delete(x.table.held, x.payload)
	}
}

// pinned reports whether the payload has a lease whose deadline has not passed.
func (l *leases) pinned(payload objects.Generation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for number, deadline := range l.held[payload] {
		if now.Before(deadline) {
			return true
		}
		delete(l.held[payload], number)
	}
	delete(l.held, payload)
	return false
}

// count returns how many leases are held.
func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, held := range l.held {
		n += len(held)
	}
	return n
}
