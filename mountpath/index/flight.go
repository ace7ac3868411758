package index

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

const flightShards = 32 // a power of two, some times the processors

// flights is the table of keys in flight: a key enters before its batch is
// applied, which is when Pebble begins to show it, and leaves after the batch
// is synced. A commit fails only by the death of its instance: its keys stay
// in the dead instance's table.
// A key is known by a 64-bit hash under a seed of this process; two keys with
// one hash make a reader wait or be refused for nothing, and no more.
// Safe for concurrent use.
type flights struct {
	seed   maphash.Seed
	keys   atomic.Int64 // entries of all shards: 0 spares the reader a lock
	shards [flightShards]flightShard
}

type flightShard struct {
	mu      sync.Mutex
	flights map[uint64]flight
	made    uint64 // entries ever made: the identity of the next
	_       [40]byte
}

// flight is what is known of one key while any commit of it is under way.
type flight struct {
	identity uint64        // of this entry: another one of the same key has another
	open     uint32        // commits under way
	left     uint64        // commits that ended since the entry was made
	wake     chan struct{} // closed at the next end of a commit; nil: nobody waits
}

func newFlights() *flights {
	f := &flights{seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].flights = make(map[uint64]flight)
	}
	return f
}

func (f *flights) hash(key []byte) uint64 { return maphash.Bytes(f.seed, key) }

func (f *flights) shard(hash uint64) *flightShard { return &f.shards[hash%flightShards] }

// enter notes that a commit of the key begins.
func (f *flights) enter(hash uint64) {
	s := f.shard(hash)
	s.mu.Lock()
	entry, ok := s.flights[hash]
	if !ok {
		s.made++
		entry.identity = s.made
		f.keys.Add(1)
	}
	entry.open++
	s.flights[hash] = entry
	s.mu.Unlock()
}

// leave notes that a commit of the key is synced.
func (f *flights) leave(hash uint64) {
	s := f.shard(hash)
	s.mu.Lock()
	entry := s.flights[hash]
	entry.open--
	entry.left++
	if entry.wake != nil {
		close(entry.wake)
		entry.wake = nil
	}
	if entry.open == 0 {
		delete(s.flights, hash)
		f.keys.Add(-1)
	} else {
		s.flights[hash] = entry
	}
	s.mu.Unlock()
}

// look returns the key's entry, and a channel that is closed when it changes.
func (f *flights) look(hash uint64) (flight, bool) {
	s := f.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.flights[hash]
	if ok && entry.wake == nil {
		entry.wake = make(chan struct{})
		s.flights[hash] = entry
	}
	return entry, ok
}

// Settled says whether what Get returned for key may be used. Call it after
// Get, with the key that was read:
//
//   - false, nil: what was read, or that nothing was found, is on stable storage;
//   - true, nil: a commit of the key was in flight and has returned; read again;
//   - Busy around objects.ErrOutcomeUnknown: a commit of the key failed, and
//     stays so for the life of the instance;
//   - Busy: still in flight after the wait.
//
// It waits only for commits that began before the call.
func (x *Index) Settled(key []byte, within time.Duration) (waited bool, err error) {
	const op errs.Op = "index.Settled"
	if x.flights.keys.Load() == 0 {
		return false, nil
	}
	hash := x.flights.hash(key)
	first, ok := x.flights.look(hash)
	if !ok {
		return false, nil
	}
	// Commits end in the order in which they were applied, so those that Get
	// may have seen are among the first that end, as many as are open now.
	until := first.left + uint64(first.open)
	var expired <-chan time.Time
	for entry := first; ; {
		if entry.left >= until {
			return waited, nil
		}
		if expired == nil {
			timer := time.NewTimer(within)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-entry.wake:
		case <-x.instance.dead:
			return waited, x.outcomeUnknown(op)
		case <-expired:
			return waited, errs.E(op, errs.Busy, errStillInFlight)
		}
		waited = true
		if entry, ok = x.flights.look(hash); !ok || entry.identity != first.identity {
			return true, nil
		}
	}
}
