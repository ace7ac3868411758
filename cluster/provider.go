package cluster

import (
	"context"
	"time"
)

// Provider keeps what nodes agree on. All methods are safe for concurrent use and
// block; each ends soon after its context does, and by itself when it takes longer
// than the provider allows a call.
//
// Errors of all of them: Offline, the provider cannot be reached; Busy, it answers
// and cannot serve, for want of a leader or because of a limit of its own; Denied,
// the token does not allow it; Invalid, it can never succeed as it is; Canceled, the
// context has ended. A change that failed has not happened, unless the error wraps
// objects.ErrOutcomeUnknown: then it may have happened or may still happen.
type Provider interface {
	Membership
	Documents
	Election
	// Close gives back connections. Calls under way may fail, later ones do.
	Close() error
}

// Consistency says how much a read may lag behind.
type Consistency uint8

const (
	// Consistent: nothing acknowledged before the read is missing from it. What
	// decisions and compare-and-set need.
	Consistent Consistency = iota
	// Default: of the present leader, which may for a moment not know that it is
	// none any more. What watches take.
	Default
	// Stale: of any server, without a leader if need be, however old. What a start
	// without a leader takes.
	Stale
)

// Query says what a read waits for and how fresh it must be. The zero value is a
// consistent read, answered at once.
type Query struct {
	// After is the index of the read before: this one is answered when the index is
	// another one, or when Wait is over. 0: at once.
	After uint64
	// Wait is how long at most; from a second to ten minutes. A provider may take up to
	// a sixteenth longer. Without After it means nothing.
	Wait        time.Duration
	Consistency Consistency
}

// Membership is the catalogue of who is there. That somebody is not is a hint, not a
// departure: the map of the cluster says who belongs to it.
type Membership interface {
	// Register enters a node, or renews what is entered of it. Its heartbeat check
	// begins critical, or stays as it is.
	Register(ctx context.Context, r Registration) error
	// Beat tells how the node is, which is good for the Heartbeat of its registration.
	// NotFound: the provider knows no such node; it is to register again.
	Beat(ctx context.Context, nodeID string, h Health) error
	// Deregister takes a node out. One that is not there is no failure.
	Deregister(ctx context.Context, nodeID string) error
	// Members returns who is there, well or not, of all clusters that share the
	// provider, in the order of their node ids, and the index for the next Query.
	Members(ctx context.Context, q Query) ([]Member, uint64, error)
}

// Documents keeps values under keys.
type Documents interface {
	// Read returns a document; one that is not there has the Index 0, which is no
	// failure. The second result is the index for the next Query.
	Read(ctx context.Context, key string, q Query) (Document, uint64, error)
	// List returns the documents whose keys begin so, in the order of their keys.
	List(ctx context.Context, prefix string, q Query) ([]Document, uint64, error)
	// Commit carries out all writes, at once, or none. The stamp is kept with every
	// document that is written. Conflict: a document is not at the index that its write
	// names. Use Store.Commit, which finds out about unknown outcomes.
	Commit(ctx context.Context, stamp uint64, writes []Write) error
}

// Election is locks that go with the life of a process.
type Election interface {
	// OpenSession begins a session.
	OpenSession(ctx context.Context, s Session) (id string, err error)
	// RenewSession keeps a session alive for its TTL from some moment of this call.
	// NotFound: it is over, and its locks with it.
	RenewSession(ctx context.Context, id string) error
	// CloseSession ends a session. One that is over already is no failure.
	CloseSession(ctx context.Context, id string) error
	// Acquire tries to take a lock for a session. That it returns without an error does
	// not say that the lock was taken: Holder says. NotFound: the session is over.
	Acquire(ctx context.Context, l Lock) error
	// Release gives a lock up; one that the session does not hold is no failure.
	Release(ctx context.Context, l Lock) error
	// Holder returns who holds a lock.
	Holder(ctx context.Context, key string, q Query) (Holder, uint64, error)
}
