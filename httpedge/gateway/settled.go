package gateway

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// NoteSettled has the lanes of this node note that records are settled. What cannot be
// noted now is settled again by who needs it.
func (g *Gateway) NoteSettled(list []messages.Settlement) error {
	const op errs.Op = "gateway.NoteSettled"
	byLane := make(map[*actor.PID]*messages.SettleRecords)
	roster := g.Roster.Load()
	for _, l := range list {
		digest := l.Key.Digest()
		view, _ := roster.Hold(g.holders(l.Key), digest)
		if view == nil || view.Closed() != nil {
			continue
		}
		lane := view.Writer(digest)
		if byLane[lane] == nil {
			byLane[lane] = &messages.SettleRecords{Reply: messages.NewReply[struct{}]()}
		}
		byLane[lane].List = append(byLane[lane].List, l)
	}
	var failures []error
	for lane, m := range byLane {
		g.System.Root().Send(lane, m)
	}
	for _, m := range byLane {
		_, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
