package mountpath

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// incoming is a transfer under way.
type incoming struct {
	pid   *actor.PID
	watch *watch
	hand  *handover
}

// held says whose requests are being answered in the place of a disk that does not.
type held struct{ writes, reads bool }

// answerHeld answers the requests that a disk holds which does not answer: they
// would wait for as long as it hangs, or for their deadline. It is called with every
// tick, so that those that came in between are answered too, and takes requests in
// again once the disk answers.
//
// The lanes and transfers stay in their calls, and the keys that these are about
// have their turn until the calls come back. What such a call does in the end counts
// as any write whose outcome was unknown; an upload, which has not had its key's turn,
// is given up instead, since its client may have written the key anew by then. Slabs
// that the calls have pinned stay leased: whoever leased them lets go of them, and
// the last unpin gives them back.
func (c *coordinator) answerHeld() {
	now := held{writes: c.health.hung, reads: c.health.hungRead}
	was := c.held
	c.held = now
	if now == was && now == (held{}) {
		return
	}
	answered := 0
	for _, lane := range c.lanes {
		answered += c.hold(lane, was.writes, now.writes, nil)
	}
	for _, t := range c.transfers {
		answered += c.hold(t.pid, was.writes, now.writes, func(message any) {
			if _, ok := message.(*messages.FinishUpload); ok {
				t.hand.revoke()
			}
		})
	}
	for _, lane := range c.readers {
		answered += c.hold(lane, was.reads, now.reads, nil)
	}
	if now.reads {
		answered += c.failSliceReadings()
	}
	if answered > 0 {
		c.system.Log().WithField("mountpath", c.mount.Path).WithField("requests", answered).Warn("requests that a hanging disk held are answered; those that it had begun may or may not be carried out")
	}
}

// hold refuses the requests of a lane or transfer while its disk hangs, or takes them
// in again; it returns how many it answered.
func (c *coordinator) hold(who *actor.PID, was, is bool, before func(message any)) int {
	if !is {
		if was {
			c.system.Accept(who)
		}
		return 0
	}
	away := messages.MountpathAway{Path: c.mount.Path, State: c.report.state, Reason: c.report.reason, Writes: !c.health.hungRead}
	begun := away
	begun.Begun = true
	return c.system.Refuse(who, actors.Refusal{
		Waiting: errs.E("mountpath", errs.Offline, &away), InHand: errs.E("mountpath", errs.Offline, &begun), Before: before,
		Waits: unseals,
	})
}

// unseals reports whether a message ends what an earlier one began: if it were lost,
// a bucket would be busy for ever.
func unseals(message any) bool {
	m, ok := message.(*messages.SealBucket)
	return ok && m.Open
}
