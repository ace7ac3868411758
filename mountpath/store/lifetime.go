package store

import (
	"sync"

	"github.com/troupe-storage/troupe/mountpath/index"
)

// Lifetime is what a process remembers of one mountpath from one of its stores to
// the next: an index that died is followed by a new one over the same directory, a
// mountpath that was disabled is enabled again, and readers of the old store keep
// what they lease. Stores of one mountpath follow one another: one is open at a
// time. Safe for concurrent use; the zero value is ready.
type Lifetime struct {
	mu       sync.Mutex
	last     *index.Index // of the last store that opened
	reopener index.Reopener
	leases   *leases
	staging  staging
	// Seals are those of the node. nil: the mountpath's own.
	Seals *Seals
	own   Seals
	// Bounds are those of the node. nil: the mountpath's own.
	Bounds    *Bounds
	ownBounds Bounds
	found     foundDamages
}

// Seals are the buckets that are being destroyed, on all mountpaths of a node: one
// that joins meanwhile takes no writes of them either. Safe for concurrent use; the
// zero value is ready.
type Seals struct {
	buckets sync.Map // objects.BucketID
}

func (l *Lifetime) seals() *Seals {
	if l.Seals != nil {
		return l.Seals
	}
	return &l.own
}

func (l *Lifetime) bounds() *Bounds {
	if l.Bounds != nil {
		return l.Bounds
	}
	return &l.ownBounds
}

// openIndex opens the index: anew, or in the place of one that died. Blocks, at most
// for twice the index's deadline.
func (l *Lifetime) openIndex(o index.Options) (*index.Index, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var x *index.Index
	var err error
	if l.last != nil && l.last.Err() != nil {
		x, err = l.reopener.Reopen(l.last, o)
	} else {
		x, err = index.Open(o)
	}
	if err != nil {
		return nil, err
	}
	l.last = x
	return x, nil
}

// leasesOf returns the leases of the mountpath, made with the first store.
func (l *Lifetime) leasesOf(make func() *leases) *leases {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leases == nil {
		l.leases = make()
	}
	return l.leases
}

// Reopenings returns how often an index that died can still be followed by a new
// one in this process.
func (l *Lifetime) Reopenings() int { return l.reopener.Left() }
