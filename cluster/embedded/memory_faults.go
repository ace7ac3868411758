package embedded

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MemoryFaults is what goes wrong between one node and a Memory. Safe for concurrent
// use.
type MemoryFaults struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when cut, hung, or closed changes
	closed  bool
	cut     bool
	hung    bool
	denied  bool
	delay   time.Duration
	fates   []fate
	late    []func() error // changes on their way
}

// fate is what becomes of one change.
type fate uint8

const (
	carriedOut fate = iota
	answerLost
	requestLost
	requestLate
)

// Cut makes every call fail at once as Offline, waiting ones as well, until it is
// taken back.
func (f *MemoryFaults) Cut(is bool) { f.set(func() { f.cut = is }) }

// Hang holds every new call up until it is taken back or the call's context ends.
func (f *MemoryFaults) Hang(is bool) { f.set(func() { f.hung = is }) }

// Deny makes every new call fail as Denied.
func (f *MemoryFaults) Deny(is bool) { f.set(func() { f.denied = is }) }

// Delay makes every new call take so much longer; 0: no more.
func (f *MemoryFaults) Delay(by time.Duration) { f.set(func() { f.delay = by }) }

// LoseAnswers carries out the next changes, and answers that the outcome is unknown.
func (f *MemoryFaults) LoseAnswers(count int) { f.doom(answerLost, count) }

// LoseRequests does not carry out the next changes, and answers that the outcome is
// unknown.
func (f *MemoryFaults) LoseRequests(count int) { f.doom(requestLost, count) }

// HoldRequests answers of the next changes that the outcome is unknown, and carries
// them out with Arrive.
func (f *MemoryFaults) HoldRequests(count int) { f.doom(requestLate, count) }

// Arrive carries out what HoldRequests held, in the order of asking, and returns what
// would have been answered.
func (f *MemoryFaults) Arrive() []error {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	answers := make([]error, len(late))
	for i, apply := range late {
		answers[i] = apply()
	}
	return answers
}

func (f *MemoryFaults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *MemoryFaults) close() { f.set(func() { f.closed = true }) }

func (f *MemoryFaults) doom(to fate, count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range count {
		f.fates = append(f.fates, to)
	}
}

// fate takes what becomes of a change. Apply carries it out later, if it is late.
func (f *MemoryFaults) fate(apply func() error) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fates) == 0 {
		return carriedOut
	}
	next := f.fates[0]
	f.fates = f.fates[1:]
	if next == requestLate {
		f.late = append(f.late, apply)
	}
	return next
}

// interrupted says why a call must end, or what tells that this may have changed.
func (f *MemoryFaults) interrupted() (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errs.E("", errs.Offline, errors.New("the provider is closed"))
	case f.cut:
		return nil, errs.E("", errs.Offline, errors.New("the memory cannot be reached"))
	}
	return f.changed, nil
}

// pass lets a new call through, holds it up, or fails it.
func (f *MemoryFaults) pass(ctx context.Context, c clock.Clock) error {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		elapsed, timer := c.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-elapsed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		changed, err := f.interrupted()
		if err != nil {
			return err
		}
		f.mu.Lock()
		hung, denied := f.hung, f.denied
		f.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case denied:
			return errs.E("", errs.Denied, errors.New("the token does not allow it"))
		case !hung:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Wipe loses all: documents, nodes, sessions. Indexes begin again.
func (m *Memory) Wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
	m.announce()
}

// ResetIndexes keeps all, and lets indexes begin again, as after a snapshot was
// restored.
func (m *Memory) ResetIndexes() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = 1
	clear(m.removed)
	for key, doc := range m.documents {
		m.index++
		doc.index = m.index
		m.documents[key] = doc
	}
	m.index++
	m.nodesAt = m.index
	m.announce()
}

// ExpireSessions ends all sessions, as if none had been renewed in time, and says how
// many.
func (m *Memory) ExpireSessions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := len(m.sessions)
	for id := range m.sessions {
		m.finish(id)
	}
	return count
}

// Forget takes a node out of the catalogue behind its back.
func (m *Memory) Forget(nodeID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(nodeID)
}

func (m *Memory) forget(nodeID string) {
	if n := m.nodes[nodeID]; n != nil {
		stopTimer(n.timer)
		delete(m.nodes, nodeID)
		m.nodesAt = m.next()
	}
}

// SetMaintenance takes a node out of service as an operator does; without a reason,
// puts it back. One that is not there is no failure.
func (m *Memory) SetMaintenance(nodeID, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[nodeID]; n != nil {
		n.maintenance = reason
		m.nodesAt = m.next()
	}
}
