package embedded

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MemoryProvider is a Memory as one node sees it.
type MemoryProvider struct {
	memory *Memory
	faults MemoryFaults
	once   sync.Once
}

var _ cluster.Provider = (*MemoryProvider)(nil)

// Provider returns a provider for one more node.
func (m *Memory) Provider() *MemoryProvider {
	p := &MemoryProvider{memory: m}
	p.faults.changed = make(chan struct{})
	return p
}

// Faults returns what goes wrong between this node and the memory.
func (p *MemoryProvider) Faults() *MemoryFaults { return &p.faults }

// change carries out a change as the faults of the moment have it.
func (p *MemoryProvider) change(ctx context.Context, op errs.Op, thing string, apply func(m *Memory) error) error {
	if err := ctx.Err(); err != nil { // a client would not even send it
		return errs.E(op, thing, err)
	}
	if err := p.faults.pass(ctx, p.memory.clock); err != nil {
		if ctx.Err() != nil { // it was on its way
			err = errors.Join(objects.ErrOutcomeUnknown, err)
		}
		return errs.E(op, thing, err)
	}
	locked := func() error {
		p.memory.mu.Lock()
		defer p.memory.mu.Unlock()
		return apply(p.memory)
	}
	lost := errs.E(op, thing, errs.Offline, errors.Join(objects.ErrOutcomeUnknown, errors.New("the answer was lost")))
	switch p.faults.fate(locked) {
	case answerLost:
		// What became of it is what nobody is told.
		_ = locked()
		return lost
	case requestLost, requestLate:
		return lost
	}
	if err := locked(); err != nil {
		return errs.E(op, thing, err)
	}
	return nil
}

// query answers a question as the faults of the moment have it.
func query[T any](ctx context.Context, p *MemoryProvider, op errs.Op, thing string, q cluster.Query, look func(m *Memory) (T, uint64)) (T, uint64, error) {
	var none T
	if err := p.faults.pass(ctx, p.memory.clock); err != nil {
		return none, 0, errs.E(op, thing, err)
	}
	state, index, err := await(ctx, p.memory, q, func() (T, uint64) { return look(p.memory) }, p.faults.interrupted)
	if err != nil {
		return none, 0, errs.E(op, thing, err)
	}
	return state, index, nil
}

// Register implements cluster.Membership.
func (p *MemoryProvider) Register(ctx context.Context, r cluster.Registration) error {
	const op errs.Op = "embedded.Register"
	if err := r.Validate(); err != nil {
		return errs.E(op, err)
	}
	return p.change(ctx, op, r.NodeID, func(m *Memory) error {
		m.register(r)
		return nil
	})
}

// Beat implements cluster.Membership.
func (p *MemoryProvider) Beat(ctx context.Context, nodeID string, h cluster.Health) error {
	return p.change(ctx, "embedded.Beat", nodeID, func(m *Memory) error {
		n := m.nodes[nodeID]
		if n == nil {
			return errs.E("", errs.NotFound, errors.New("the node is not registered"))
		}
		m.heartbeat(n, h)
		return nil
	})
}

// Deregister implements cluster.Membership.
func (p *MemoryProvider) Deregister(ctx context.Context, nodeID string) error {
	return p.change(ctx, "embedded.Deregister", nodeID, func(m *Memory) error {
		m.forget(nodeID)
		return nil
	})
}

// Members implements cluster.Membership.
func (p *MemoryProvider) Members(ctx context.Context, q cluster.Query) ([]cluster.Member, uint64, error) {
	return query(ctx, p, "embedded.Members", "", q, func(m *Memory) ([]cluster.Member, uint64) {
		members := make([]cluster.Member, 0, len(m.nodes))
		for _, n := range m.nodes {
			members = append(members, n.member())
		}
		slices.SortFunc(members, func(a, b cluster.Member) int { return strings.Compare(a.NodeID, b.NodeID) })
		return members, m.nodesAt
	})
}

// Read implements cluster.Documents.
func (p *MemoryProvider) Read(ctx context.Context, key string, q cluster.Query) (cluster.Document, uint64, error) {
	return query(ctx, p, "embedded.Read", key, q, func(m *Memory) (cluster.Document, uint64) { return m.read(key) })
}

// List implements cluster.Documents.
func (p *MemoryProvider) List(ctx context.Context, prefix string, q cluster.Query) ([]cluster.Document, uint64, error) {
	return query(ctx, p, "embedded.List", prefix, q, func(m *Memory) ([]cluster.Document, uint64) { return m.list(prefix) })
}

// Commit implements cluster.Documents.
func (p *MemoryProvider) Commit(ctx context.Context, stamp uint64, writes []cluster.Write) error {
	const op errs.Op = "embedded.Commit"
	if err := cluster.CheckWrites(op, writes); err != nil {
		return err
	}
	writes = slices.Clone(writes)
	for i := range writes { // a late change is made when the caller has its memory back
		writes[i].Value = slices.Clone(writes[i].Value)
	}
	return p.change(ctx, op, writes[0].Key, func(m *Memory) error { return m.commit(stamp, writes) })
}

// OpenSession implements cluster.Election.
func (p *MemoryProvider) OpenSession(ctx context.Context, s cluster.Session) (string, error) {
	const op errs.Op = "embedded.OpenSession"
	if err := s.Validate(); err != nil {
		return "", errs.E(op, s.Name, errs.Invalid, err)
	}
	id, err := NewID()
	if err != nil {
		return "", errs.E(op, err)
	}
	err = p.change(ctx, op, s.Name, func(m *Memory) error {
		m.open(id, s)
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// RenewSession implements cluster.Election.
func (p *MemoryProvider) RenewSession(ctx context.Context, id string) error {
	return p.change(ctx, "embedded.RenewSession", id, func(m *Memory) error {
		s := m.sessions[id]
		if s == nil {
			return errs.E("", errs.NotFound, errors.New("the session is over"))
		}
		m.prolong(id, s)
		return nil
	})
}

// CloseSession implements cluster.Election.
func (p *MemoryProvider) CloseSession(ctx context.Context, id string) error {
	return p.change(ctx, "embedded.CloseSession", id, func(m *Memory) error {
		m.finish(id)
		return nil
	})
}

// Acquire implements cluster.Election.
func (p *MemoryProvider) Acquire(ctx context.Context, l cluster.Lock) error {
	return p.change(ctx, "embedded.Acquire", l.Key, func(m *Memory) error { return m.acquire(l) })
}

// Release implements cluster.Election.
func (p *MemoryProvider) Release(ctx context.Context, l cluster.Lock) error {
	return p.change(ctx, "embedded.Release", l.Key, func(m *Memory) error {
		m.release(l)
		return nil
	})
}

// Holder implements cluster.Election.
func (p *MemoryProvider) Holder(ctx context.Context, key string, q cluster.Query) (cluster.Holder, uint64, error) {
	return query(ctx, p, "embedded.Holder", key, q, func(m *Memory) (cluster.Holder, uint64) { return m.holder(key) })
}

// Close implements cluster.Provider.
func (p *MemoryProvider) Close() error {
	p.once.Do(p.faults.close)
	return nil
}
