package mountpath

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/errs"
)

// keep asks the keeper to do what has to be done now and then. Sent by the
// coordinator, which gets kept when it is done, also when the keeper fails on it.
type keep struct {
	measureOnly bool // the disk takes nothing else now
	done        func()
}

// Fail implements messages.Failer.
func (m *keep) Fail(error) { m.done() }

// kept says that the keeper is free again.
type kept struct{}

// reclaimAtOnce is how many payloads are reclaimed with one commit.
const reclaimAtOnce = 256

// keeper does the housekeeping of one mountpath: it blocks on the disk so that
// the coordinator need not.
type keeper struct {
	system  *actors.System
	store   *store.Store
	custody *custody
	watch   *watch

	damage     time.Duration // likewise, when what was found damaged is to be looked at
	checkpoint time.Duration // when, by Clock.Elapsed, relaxed writes are to be made durable next
}

// damageTime is how often what was found damaged is looked at: what could not be noted is
// noted, and what was deleted or written anew is forgotten.
const damageTime = 10 * time.Second

// checkpointTime is how often relaxed writes are made durable: what a crash of
// the operating system can cost, and how long their predecessors take space.
const checkpointTime = 5 * time.Second

// Receive implements actor.Actor.
func (k *keeper) Receive(ctx actor.Context) {
	k.watch.begin(k.system.Clock())
	defer k.watch.end()
	switch m := ctx.Message().(type) {
	case *keep:
		if k.refuses() == nil {
			k.onKeep(m)
		}
		m.done()
	case *messages.EmptyBucket:
		if err := k.refuses(); err != nil {
			m.Fail(err)
			return
		}
		m.Reply.Send(k.store.EmptyBucket(m.Bucket, m.Limit))
	case *messages.DropBucket:
		if err := k.refuses(); err != nil {
			m.Fail(err)
			return
		}
		m.Reply.Send(struct{}{}, k.store.DropBucket(m.Bucket))
	case *messages.AbandonStage:
		if err := k.refuses(); err != nil {
			m.Fail(err)
			return
		}
		m.Reply.Send(struct{}{}, k.store.AbandonStage(m.Key, m.Payload))
	default:
		actors.Unexpected(ctx, k.system.Log())
	}
}

// refuses says why there can be no housekeeping now; nil: there can.
func (k *keeper) refuses() error {
	if k.custody.keeping.Load() == 0 {
		return nil
	}
	return errs.E("keeper", errs.Busy, errors.New("a keeper was killed in a call that has not come back from the disk"))
}

func (k *keeper) onKeep(m *keep) {
	if now := k.system.Clock().Elapsed(); now >= k.checkpoint && !m.measureOnly {
		k.checkpoint = now + checkpointTime
		if err := k.store.Checkpoint(); err != nil {
			k.system.Log().WithError(err).Warn("relaxed writes cannot be made durable now; it is tried again")
		}
	}
	if err := k.store.MeasureSpace(); err != nil {
		k.system.Log().WithError(err).Warn("the free space of a mountpath cannot be measured")
	}
	if m.measureOnly {
		return
	}
	if now := k.system.Clock().Elapsed(); now >= k.damage {
		k.damage = now + damageTime
		if err := k.store.KeepDamage(); err != nil {
			k.system.Log().WithError(err).Warn("what was found damaged cannot be noted or forgotten now; it is tried again")
		}
	}
	if err := k.store.KeepHistory(); err != nil {
		k.system.Log().WithError(err).Warn("the history of objects cannot be trimmed now; it is tried again")
	}
	for _, p := range k.custody.collect(k.system.Clock().Elapsed()) {
		if err := p.abandon(); err != nil {
			k.system.Log().WithError(err).WithField("key", p.file.Key.String()).Warn("the work file of a refused upload stays until it is settled")
		}
	}
	if _, err := k.store.AbandonOverdue(); err != nil {
		k.system.Log().WithError(err).Warn("slices that nobody finished cannot be removed now; they are tried again")
	}
	for {
		finished, err := k.store.Reclaim(reclaimAtOnce)
		if err != nil {
			k.system.Log().WithError(err).Warn("deleted payloads cannot be reclaimed now; they are tried again")
			return
		}
		if finished < reclaimAtOnce {
			return
		}
	}
}
