package gateway

import (
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// uploadRef names an upload.
type uploadRef struct {
	key objects.Key
	id  string
}

// uploads are those that several nodes keep, at the node in charge: their turns, and
// which of them all nodes are known to have as this one does. The zero value is ready.
// Safe for concurrent use.
type uploads struct {
	mu     sync.Mutex
	turns  map[uploadRef]*uploadTurn
	shared map[uploadRef]smap.Epoch
}

// uploadTurn is an upload that somebody holds or waits for. Its parts come side by side;
// who looks at all of it, or ends it, has it alone.
type uploadTurn struct {
	parts   int           // under way
	alone   bool          // somebody has it alone
	waiting int           // who wants it alone: no further parts begin
	users   int           // the entry goes with the last of them
	changed chan struct{} // closed, and replaced, when one of them leaves
}

// maxShared bounds the table of uploads that are known to be shared. What it forgets is
// asked for again.
const maxShared = 1 << 16

// takeAlone waits until nobody else has the upload, at most for so long: errs.Busy. The
// caller calls release exactly once.
func (u *uploads) takeAlone(op errs.Op, ref uploadRef, clock clock.Clock, within time.Duration) (release func(), err error) {
	return u.take(op, ref, true, clock, within)
}

// takePart waits until nobody has the upload alone, or waits for that.
func (u *uploads) takePart(op errs.Op, ref uploadRef, clock clock.Clock, within time.Duration) (release func(), err error) {
	return u.take(op, ref, false, clock, within)
}

func (u *uploads) take(op errs.Op, ref uploadRef, alone bool, clock clock.Clock, within time.Duration) (func(), error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.turns == nil {
		u.turns = make(map[uploadRef]*uploadTurn)
	}
	t := u.turns[ref]
	if t == nil {
		t = &uploadTurn{changed: make(chan struct{})}
		u.turns[ref] = t
	}
	t.users++
	late, timer := clock.NewTimer(within)
	defer timer.Stop()
	if alone {
		t.waiting++
		defer func() { t.waiting-- }()
	}
	for t.alone || alone && t.parts > 0 || !alone && t.waiting > 0 {
		changed := t.changed
		u.mu.Unlock()
		timeout := false
		select {
		case <-changed:
		case <-late:
			timeout = true
		}
		u.mu.Lock()
		if timeout {
			u.leave(ref, t)
			return nil, errs.E(op, ref.key, errs.Busy, errTurn)
		}
	}
	if alone {
		t.alone = true
	} else {
		t.parts++
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if alone {
			t.alone = false
		} else {
			t.parts--
		}
		u.leave(ref, t)
	}, nil
}

// leave ends one's use of a turn, and wakes who waits. The caller holds the mutex.
func (u *uploads) leave(ref uploadRef, t *uploadTurn) {
	if t.users--; t.users == 0 {
		delete(u.turns, ref)
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// isShared reports whether the ack set of an epoch is known to have the upload as it is
// here.
func (u *uploads) isShared(ref uploadRef, epoch smap.Epoch) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, known := u.shared[ref]
	return known && at == epoch
}

// note notes that it has.
func (u *uploads) note(ref uploadRef, epoch smap.Epoch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.shared == nil || len(u.shared) >= maxShared {
		u.shared = make(map[uploadRef]smap.Epoch)
	}
	u.shared[ref] = epoch
}

// forget notes that it may not.
func (u *uploads) forget(ref uploadRef) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.shared, ref)
}
