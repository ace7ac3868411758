package supervisors

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
)

type gatherer = prometheus.Gatherer

// spawnChild asks the node's actor for a child.
type spawnChild struct {
	spec  actors.Spec
	reply messages.Reply[struct{}]
}

// Fail implements messages.Failer.
func (m *spawnChild) Fail(err error) { m.reply.Fail(err) }

// supervisorOnly is the node's actor: it has children and does nothing, so that it
// cannot fail. One that is restarted has the same children.
type supervisorOnly struct {
	system   *actors.System
	children *[]actors.Spec // of all incarnations, which alone touch it
}

// Receive implements actor.Actor.
func (s supervisorOnly) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		for _, spec := range *s.children {
			if _, err := s.system.Spawn(ctx, spec); err != nil {
				panic(err) // the names are ours: a fault of the program
			}
		}
	case *spawnChild:
		_, err := s.system.Spawn(ctx, m.spec)
		if err == nil {
			*s.children = append(*s.children, m.spec)
		}
		m.reply.Send(struct{}{}, err)
	default:
		actors.Unexpected(ctx, s.system.Log())
	}
}

// parent is a supervisor with a fixed set of children.
type parent struct {
	system   *actors.System
	children []actors.Spec
}

// Receive implements actor.Actor.
func (p *parent) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		for _, spec := range p.children {
			if _, err := p.system.Spawn(ctx, spec); err != nil {
				panic(err) // the names are ours: a fault of the program
			}
		}
	default:
		actors.Unexpected(ctx, p.system.Log())
	}
}
