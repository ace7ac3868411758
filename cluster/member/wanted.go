package member

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/smap"
)

// mapWanted says that a node has refused a request because its map is a later one.
type mapWanted struct{ node smap.NodeID }

// AskForMap asks a node for its map, and the provider for what is agreed on, now and not
// when it is their turn. It does not block; safe on any goroutine.
func (s *Membership) AskForMap(node smap.NodeID) {
	if self := s.held.self.Load(); self != nil {
		s.config.System.Root().Send(self, &mapWanted{node})
	}
}

// onMapWanted asks, once at a time: many requests meet the same refusal.
func (m *member) onMapWanted(ctx actor.Context, msg *mapWanted) {
	if m.wanted[msg.node] || m.probers[msg.node] == nil {
		return
	}
	m.wanted[msg.node] = true
	m.fetch(ctx)
	out, clock, peers, id := m.held.out.Load(), m.System.Clock(), m.Peers, msg.node
	m.task(ctx, "ask", func(ctx context.Context) any {
		ctx, done := cluster.Within(ctx, clock, ProbeTime)
		defer done()
		status, err := peers.Probe(ctx, out.records[id], out.probe)
		return &mapAsked{id, status, err}
	}, func(err error) any { return &mapAsked{node: id, err: err} })
}

// mapAsked is what the node answered.
type mapAsked struct {
	node   smap.NodeID
	status Status
	err    error
}

// onMapAsked considers its map. That it did not answer is for the probes to judge.
func (m *member) onMapAsked(ctx actor.Context, msg *mapAsked) {
	delete(m.wanted, msg.node)
	if msg.err == nil && msg.status.Node == msg.node && msg.status.ClusterID == m.ClusterID {
		m.learn(ctx, msg.node, msg.status)
	}
}
