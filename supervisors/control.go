package supervisors

import (
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
)

// controlName is the control actor's among the node's children.
const controlName = "control"

// controlSpec describes the actor that is asked about other actors, and to do
// something to them, by message. Who holds the System can do without it, as the
// native listener does: no actor has to be well for an operator to look.
func controlSpec(system *actors.System) actors.Spec {
	return actors.Spec{Name: controlName, Kind: "control", New: func() actor.Actor { return &control{system: system} }}
}

// control looks by itself, which takes no time, and has children that act, since
// they wait.
type control struct {
	system *actors.System
	named  uint64 // numbers the children
}

// Receive implements actor.Actor.
func (c *control) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *messages.ListActors:
		m.Reply.Send(c.system.List(m.Pattern))
	case *messages.GetActor:
		m.Reply.Send(c.system.Find(m.Address))
	case *messages.ControlActor:
		c.onControlActor(ctx, m)
	default:
		actors.Unexpected(ctx, c.system.Log())
	}
}

func (c *control) onControlActor(ctx actor.Context, m *messages.ControlActor) {
	c.named++
	_, err := c.system.Spawn(ctx, actors.Spec{
		Name: "c" + strconv.FormatUint(c.named, 36), Kind: "control of one actor",
		New:    func() actor.Actor { return &controller{system: c.system, request: m} },
		Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		m.Fail(err)
	}
}

// controller does one thing to one actor and ends. One that ends itself so, or
// what is above it, is abandoned, and answers nevertheless.
type controller struct {
	system  *actors.System
	request *messages.ControlActor
}

// Receive implements actor.Actor.
func (c *controller) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		c.request.Reply.Send(c.system.Control(c.request.Address, c.request.Action))
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, c.system.Log())
	}
}
