package cluster

import (
	"time"
)

// What Consul allows of sessions.
const (
	// MinSessionTTL is the shortest life of a session without renewal.
	MinSessionTTL = 10 * time.Second
	// MaxSessionTTL is the longest.
	MaxSessionTTL = 24 * time.Hour
	// MaxLockDelay is the longest time that a lock may be kept from everybody.
	MaxLockDelay = time.Minute
)

// Session is how a session is to be.
type Session struct {
	// Name tells people whose it is.
	Name string
	// TTL is how long it lives without renewal; from MinSessionTTL to MaxSessionTTL. A
	// provider may let it live twice as long, and never shorter.
	TTL time.Duration
	// LockDelay is how long nobody can take a lock whose session ended without releasing
	// it; 0 to MaxLockDelay. It gives the last writes of a holder time to arrive; it is
	// no fence.
	LockDelay time.Duration
}

// Validate refuses as Invalid what no provider takes.
func (s Session) Validate() error {
	if s.TTL < MinSessionTTL || s.TTL > MaxSessionTTL {
		return errorf("a session cannot live for %s without renewal, but from %s to %s", s.TTL, MinSessionTTL, MaxSessionTTL)
	}
	if s.LockDelay < 0 || s.LockDelay > MaxLockDelay {
		return errorf("a lock cannot be kept from everybody for %s, but from 0 to %s", s.LockDelay, MaxLockDelay)
	}
	return nil
}

// Lock is a lock as a session takes it or gives it up.
type Lock struct {
	Key     string
	Session string // the id of the session
	Value   []byte // what Holder shows of who has it
}

// Holder is who holds a lock.
type Holder struct {
	Session string // empty: nobody
	Value   []byte // of the holder, or of the last one; nobody changes it
	// Fence grows with every change of the holder, as long as the provider keeps its
	// data: commands that carry it can be told from those of an earlier holder.
	Fence uint64
}

// Held reports whether somebody holds the lock.
func (h Holder) Held() bool { return h.Session != "" }

// Equal reports whether nothing has changed.
func (h Holder) Equal(o Holder) bool {
	return h.Session == o.Session && h.Fence == o.Fence && string(h.Value) == string(o.Value)
}
