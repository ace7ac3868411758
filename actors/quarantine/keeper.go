package quarantine

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Name is the keeper's among the node's children.
const Name = "quarantine"

// again is when a disk is asked anew that could not be written.
const again = 10 * time.Second

// Store keeps documents. Used by one goroutine at a time; it may block.
type Store interface {
	// Put writes a document, durably and whole.
	Put(id string, content []byte) error
	// Remove removes a document durably; one that is not there is no failure.
	Remove(id string) error
}

// Config is what the keeper needs.
type Config struct {
	System *actors.System
	Store  Store
	Self   *actor.PID // where the keeper will be
	// Documents are the documents as they were at start, by the ids that they were
	// put under.
	Documents map[string][]byte
}

// Spec describes the keeper, and takes up what an earlier process had quarantined:
// before there are actors that would panic. A document that cannot be read is logged
// and left alone.
func Spec(c Config) actors.Spec {
	var earlier []messages.Quarantine
	for id, content := range c.Documents {
		q, err := decode(id, content)
		if err != nil {
			c.System.Log().WithError(err).WithField("quarantine", id).Warn("the document of a quarantine cannot be read; it is left alone")
			continue
		}
		earlier = append(earlier, q)
	}
	quarantine := c.System.Quarantine()
	quarantine.Restore(earlier)
	quarantine.OnChange(func() { c.System.Root().Send(c.Self, &lookAgain{}) })
	return actors.Spec{Name: Name, Kind: "keeper of quarantines", New: func() actor.Actor {
		return &keeper{system: c.System, quarantine: quarantine, store: c.Store}
	}}
}

// lookAgain says that there may be something to write or to remove.
type lookAgain struct{}

// keeper writes and removes documents, one after the other. It is a worker: it blocks
// on the disks.
type keeper struct {
	system     *actors.System
	quarantine *actors.Quarantine
	store      Store
	timer      clock.Timer // of the next try; nil: all is well
}

// Receive implements actor.Actor.
func (k *keeper) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		k.look(ctx.Self())
	case *actor.Restarting, *actor.Stopping:
		k.rest()

	case *messages.ReleaseQuarantine:
		m.Reply.Send(k.onRelease(ctx.Self(), m))

	case *lookAgain:
		k.look(ctx.Self())

	default:
		actors.Unexpected(ctx, k.system.Log())
	}
}

// look writes what is not kept, and removes what is released.
func (k *keeper) look(self *actor.PID) {
	k.rest()
	keep, drop := k.quarantine.Pending()
	well := true
	for i := range keep {
		content, err := encode(&keep[i])
		if err == nil {
			err = k.store.Put(keep[i].ID, content)
		}
		if well = k.settled(err, keep[i].ID) && well; err == nil {
			k.quarantine.Kept(keep[i].ID)
		}
	}
	for _, id := range drop {
		err := k.store.Remove(id)
		if well = k.settled(err, id) && well; err == nil {
			k.quarantine.Dropped(id)
		}
	}
	if !well {
		k.later(self)
	}
}

// later has it looked again after a while.
func (k *keeper) later(self *actor.PID) {
	k.rest()
	root := k.system.Root()
	k.timer = k.system.Clock().AfterFunc(again, func() { root.Send(self, &lookAgain{}) })
}

// settled logs a failure, and reports whether there was none.
func (k *keeper) settled(err error, id string) bool {
	if err != nil {
		k.system.Log().WithError(err).WithField("quarantine", id).Warn("a quarantine is at work and not on the disks as it should be; it is tried again")
	}
	return err == nil
}

func (k *keeper) rest() {
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// onRelease takes the document away first: what is released is so after a crash, too.
func (k *keeper) onRelease(self *actor.PID, m *messages.ReleaseQuarantine) (messages.Quarantine, error) {
	const op errs.Op = "quarantine.Release"
	if _, err := k.quarantine.Find(m.ID); err != nil {
		return messages.Quarantine{}, errs.Wrap(op, err)
	}
	if err := k.store.Remove(m.ID); err != nil {
		k.quarantine.Unkept(m.ID) // some disks may have it no more, and it goes on
		k.later(self)
		return messages.Quarantine{}, errs.E(op, m.ID, err)
	}
	released, err := k.quarantine.Release(m.ID)
	return released, errs.Wrap(op, err)
}
