package mountpath

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// custody is what belongs to an open store beside its files, and not to the actors
// in front of it: they find it as those before them left it. It knows the calls of
// actors that were killed in them and have not come back from the disk. Its
// methods do not block, but for awaitIdle. Safe for concurrent use.
type custody struct {
	transfers atomic.Uint64 // numbers the transfers; one that hangs keeps its number for itself
	busyCalls atomic.Int64  // that make a key busy, so that nobody looks further while there are none
	keeping   atomic.Int64  // calls of keepers
	running   atomic.Int64  // transfers and importers under way
	writes    writes

	mu    sync.Mutex
	idle  sync.Cond // there are no calls any more; of mu
	calls map[*hungCall]struct{}
	keys  map[objects.Key]int
	lanes map[int]int // by number: calls that are of more than one key
	files []*parked
}

// hungCall is a call that somebody was killed in.
type hungCall struct {
	since time.Duration // of the clock's Elapsed
	reads bool          // it is a reader's
}

func newCustody() *custody {
	c := &custody{calls: make(map[*hungCall]struct{}), keys: make(map[objects.Key]int), lanes: make(map[int]int)}
	c.idle.L = &c.mu
	return c
}

// errHung says why a key is busy after its lane was killed.
var errHung = errors.New("a lane was killed in a call about this key that has not come back from the disk")

// busy refuses a key while a call about it goes on whose lane was killed: the
// writes of a key take turns, whoever is at the lane's address.
func (c *custody) busy(op errs.Op, lane int, key objects.Key) error {
	if c.busyCalls.Load() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[key] > 0 || c.lanes[lane] > 0 {
		return errs.E(op, key, errs.Busy, errHung)
	}
	return nil
}

// laneBusy reports whether a call that is of all keys of a lane goes on.
func (c *custody) laneBusy(lane int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lanes[lane] > 0
}

// hold notes a call of an actor that is abandoned in it, until it has come back:
// it counts as the disk's, and the store is not closed meanwhile.
func (c *custody) hold(w *watch) (returned func()) { return c.note(w, false, func(int) {}) }

// holdRead is hold for one that reads.
func (c *custody) holdRead(w *watch) (returned func()) { return c.note(w, true, func(int) {}) }

// holdKeeping is hold for a keeper's call. It keeps other keepers from the disk:
// housekeeping is one caller's at a time.
func (c *custody) holdKeeping(w *watch) (returned func()) {
	return c.note(w, false, func(by int) { c.keeping.Add(int64(by)) })
}

// holdLane is hold for a write lane's call. It makes busy what the message is
// about: a key, or the whole lane if it names none.
func (c *custody) holdLane(lane int, message any, w *watch) (returned func()) {
	key, one := keyOf(message)
	return c.note(w, false, func(by int) {
		c.busyCalls.Add(int64(by))
		if !one {
			c.lanes[lane] += by
			return
		}
		if c.keys[key] += by; c.keys[key] == 0 {
			delete(c.keys, key)
		}
	})
}

// note notes a call and, when it has come back, forgets it. change is called with
// mu held, with 1 and then with -1.
func (c *custody) note(w *watch, reads bool, change func(by int)) (returned func()) {
	call := &hungCall{since: time.Duration(w.since.Load()), reads: reads}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call] = struct{}{}
	change(1)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, call)
		change(-1)
		if len(c.calls) == 0 {
			c.idle.Broadcast()
		}
	}
}

// oldest returns how long the oldest of the calls has been under way, and the
// oldest of readers.
func (c *custody) oldest(now time.Duration) (any, reads time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for call := range c.calls {
		if call.since == 0 {
			continue // it was between two calls of the disk
		}
		any = max(any, now-call.since)
		if call.reads {
			reads = max(reads, now-call.since)
		}
	}
	return any, reads
}

// awaitIdle waits until every call has come back.
func (c *custody) awaitIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.calls) > 0 {
		c.idle.Wait()
	}
}

// keyOf returns the key that a message to a write lane is about.
func keyOf(message any) (key objects.Key, ok bool) {
	switch m := message.(type) {
	case *messages.PutObject:
		return m.Key, true
	case *commitFile:
		return m.incoming.Key, true
	case *messages.DeleteObject:
		return m.Key, true
	case *messages.ChangeDraft:
		return m.Key, true
	case *messages.CreateUpload:
		return m.Key, true
	case *messages.CompleteUpload:
		return m.Key, true
	case *messages.AbortUpload:
		return m.Key, true
	case *messages.OpenObject:
		return m.Key, true
	case *messages.StoreRecord:
		return m.Key, true
	case *storeImport:
		return m.key, true
	case *messages.DropRecord:
		return m.Key, true
	case *messages.RemoveLeftover:
		return m.Key, true
	case *messages.RenewRecord:
		return m.Key, true
	case *commitImport:
		return m.key, true
	case *messages.RemoveMoved:
		return m.Key, true
	case *messages.RemoveMovedUpload:
		return m.Key, true
	case *putAside:
		return m.key, true
	}
	return objects.Key{}, false
}
