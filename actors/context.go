package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects/errs"
)

// ownContext is protoactor's context of one incarnation. It keeps an actor that
// was abandoned in a handler from touching its successor, which has its name.
type ownContext struct {
	actor.Context
	mailbox *mailbox
	leaving bool // the actor was told to end, or to make room for the next incarnation; its own
}

// Stop implements actor.Context. An abandoned actor ends by itself when it comes
// back; who is stopped by its name would be its successor.
func (c *ownContext) Stop(pid *actor.PID) {
	if c.mailbox.isAbandoned() && pid.Id == c.Self().Id {
		return
	}
	c.Context.Stop(pid)
}

// SpawnNamed implements actor.Context. An abandoned actor has no children: nobody
// would stop them. A child of an actor that is leaving is told to end at once: protoactor
// has told those before it, and would wait for this one without a word.
func (c *ownContext) SpawnNamed(props *actor.Props, name string) (*actor.PID, error) {
	if c.mailbox.isAbandoned() {
		return nil, errs.E("actors.Spawn", c.Self().Id, errs.Busy, errKilled)
	}
	pid, err := c.Context.SpawnNamed(props, name)
	if err == nil && c.leaving {
		c.Context.Stop(pid)
	}
	return pid, err
}
