package embedded

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/clock"
)

// Memory is what the nodes of one process agree on: the part of Consul, without
// Consul. Every node has a Provider of its own, which can be cut off, slowed down or
// lied to by itself; see MemoryFaults. It lasts as long as the process. Safe for
// concurrent use.
//
// It follows Consul where the two could differ: an index grows with every change of
// anything; a value that is written again under the same stamp changes nothing; a
// query from the future waits, and is answered with the lower index; registrations
// begin critical; a lock is a document, too; a lock that was not released is kept from
// everybody for a while.
type Memory struct {
	clock clock.Clock

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced with every change
	index     uint64        // of the last change
	documents map[string]document
	removed   map[string]uint64 // when keys were last removed
	delayed   map[string]time.Duration
	nodes     map[string]*entry
	nodesAt   uint64 // when nodes last changed
	sessions  map[string]*session
}

// document is a document, and a lock if a session holds it.
type document struct {
	value   []byte
	index   uint64
	stamp   uint64
	session string
}

// entry is a node in the catalogue.
type entry struct {
	registration cluster.Registration
	health       cluster.Health
	maintenance  string      // why; empty: it is in none
	timer        clock.Timer // runs out with the heartbeat
	beat         uint64      // counts beats, so that a timer that came too late is known
}

type session struct {
	cluster.Session
	timer  clock.Timer
	number uint64 // counts renewals
}

// NewMemory makes an empty one that lives by a clock.
func NewMemory(c clock.Clock) *Memory {
	m := &Memory{clock: c, changed: make(chan struct{})}
	m.clear()
	return m
}

// clear forgets all; with mu held, or before anyone else knows it.
func (m *Memory) clear() {
	for _, n := range m.nodes {
		stopTimer(n.timer)
	}
	for _, s := range m.sessions {
		stopTimer(s.timer)
	}
	m.index, m.nodesAt = 1, 1
	m.documents = make(map[string]document)
	m.removed = make(map[string]uint64)
	m.delayed = make(map[string]time.Duration)
	m.nodes = make(map[string]*entry)
	m.sessions = make(map[string]*session)
}

func stopTimer(t clock.Timer) {
	if t != nil {
		t.Stop()
	}
}

// Close stops the timers of what is in it, and forgets it.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
	m.announce()
}

// next takes the index of a change; with mu held.
func (m *Memory) next() uint64 {
	m.index++
	m.announce()
	return m.index
}

// announce wakes all who wait; with mu held.
func (m *Memory) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// await answers a query: at once, or when the index of what it asks for is above the
// query's, or when its wait is over. Look is called with mu held. Interrupted ends the
// wait early; it is asked after each change.
func await[T any](ctx context.Context, m *Memory, q cluster.Query, look func() (T, uint64), interrupted func() (<-chan struct{}, error)) (T, uint64, error) {
	var none T
	waited, timer := m.clock.NewTimer(max(q.Wait, 0))
	defer timer.Stop()
	over := q.After == 0
	for {
		cut, err := interrupted()
		if err != nil {
			return none, 0, err
		}
		m.mu.Lock()
		state, index := look()
		changed := m.changed
		m.mu.Unlock()
		if over || index > q.After {
			return state, index, nil
		}
		select {
		case <-changed:
		case <-cut:
		case <-waited:
			over = true
		case <-ctx.Done():
			return none, 0, ctx.Err()
		}
	}
}

// register enters a node; with mu held.
func (m *Memory) register(r cluster.Registration) {
	r.Listeners, r.Roles = maps.Clone(r.Listeners), append([]string(nil), r.Roles...)
	have := m.nodes[r.NodeID]
	if have == nil {
		have = &entry{health: cluster.Health{Status: cluster.Critical, Reason: "not heard of yet"}}
		m.nodes[r.NodeID] = have
	}
	have.registration = r
	m.nodesAt = m.next()
}

// heartbeat notes how a node is, until its heartbeat runs out; with mu held.
func (m *Memory) heartbeat(n *entry, h cluster.Health) {
	stopTimer(n.timer)
	n.beat++
	beat := n.beat
	if n.health.Status != h.Status {
		m.nodesAt = m.next()
	}
	n.health = h
	n.timer = m.clock.AfterFunc(n.registration.Heartbeat, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if n.beat == beat && m.nodes[n.registration.NodeID] == n && n.health.Status != cluster.Critical {
			n.health = cluster.Health{Status: cluster.Critical, Reason: "the heartbeat ran out"}
			m.nodesAt = m.next()
		}
	})
}

// member shows a node as a catalogue does; with mu held.
func (n *entry) member() cluster.Member {
	member := cluster.MemberOf(n.registration)
	member.Status = n.health.Status
	if n.health.Status != cluster.Passing {
		member.Reason = n.health.Reason
	}
	if n.maintenance != "" {
		member.Status, member.Reason = cluster.Maintenance, n.maintenance
	}
	return member
}
