package gateway

import (
	"errors"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// turns give the keys that several nodes keep their turns at the node in charge: one
// write of a key at a time, from the look at what is there until every node has it. A
// turn is held by a request's goroutine. The zero value is ready. Safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	byKey map[objects.Key]*keyTurn
}

// keyTurn is a key that somebody holds or waits for.
type keyTurn struct {
	held  chan struct{} // with room for one, who has the turn
	users int           // guarded by turns.mu; the entry goes with the last of them
}

var errTurn = errors.New("other writes of the key are under way")

// take waits for a key's turn, at most for so long: errs.Busy. The caller calls release
// exactly once.
func (t *turns) take(op errs.Op, key objects.Key, clock clock.Clock, within time.Duration) (release func(), err error) {
	t.mu.Lock()
	if t.byKey == nil {
		t.byKey = make(map[objects.Key]*keyTurn)
	}
	k := t.byKey[key]
	if k == nil {
		k = &keyTurn{held: make(chan struct{}, 1)}
		t.byKey[key] = k
	}
	k.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(t.byKey, key)
		}
	}
	release = func() {
		<-k.held
		leave()
	}
	select {
	case k.held <- struct{}{}:
		return release, nil
	default:
	}
	late, timer := clock.NewTimer(within)
	defer timer.Stop()
	select {
	case k.held <- struct{}{}:
		return release, nil
	case <-late:
		leave()
		return nil, errs.E(op, key, errs.Busy, errTurn)
	}
}
