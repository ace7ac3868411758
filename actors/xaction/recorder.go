package xaction

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
)

// recordJob asks the recorder to write a document; Content nil: to remove it. Done
// is called once, on any goroutine, and must not block.
type recordJob struct {
	id      string
	content []byte
	done    func(error)
}

// Fail implements messages.Failer.
func (m *recordJob) Fail(err error) { m.done(err) }

// recorder is the worker that writes the documents of jobs, one after the other: it
// blocks on the disks so that the coordinator need not.
type recorder struct {
	system *actors.System
	store  Store
}

// Receive implements actor.Actor.
func (r *recorder) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *recordJob:
		if m.content == nil {
			m.done(r.store.RemoveJob(m.id))
		} else {
			m.done(r.store.PutJob(m.id, m.content))
		}
	default:
		actors.Unexpected(ctx, r.system.Log())
	}
}
