package mover

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Config is what a mover needs. Every field is required.
type Config struct {
	System  *actors.System
	Slabs   *slab.Pool
	Roster  *atomic.Pointer[messages.Roster]
	Buckets *atomic.Pointer[messages.BucketSet]
}

// Mover moves single objects and uploads. Safe for concurrent use.
type Mover struct{ Config }

const (
	// moveSlabs is the window of one move: half a MiB for each read and write.
	moveSlabs = 4
	// laneTime bounds the wait for a lane.
	laneTime = 30 * time.Second
	// attempts is how often a move is tried that cannot be done now, or that a write
	// overtook, and firstPause how long the first pause is; each is twice the last.
	// Together they outlast a keeper that reclaims.
	attempts   = 6
	firstPause = 250 * time.Millisecond
)

// Moved is what a move came to.
type Moved struct {
	Found bool  // the source had something
	Bytes int64 // of payload
}

// Object moves an object, if the source has it, and returns when it is durable at
// the destination and gone from the source. wait is called before it is tried
// again, and ends the move with its error. Blocks.
func (m *Mover) Object(ctx context.Context, key objects.Key, from, to *messages.MountpathView, wait func(time.Duration) error) (Moved, error) {
	const op errs.Op = "mover.Object"
	return m.move(op, key, from, to, wait, func(window *slab.Window) (Moved, error) {
		epoch := m.Roster.Load().Epoch
		imported, err := await(ctx, m, op, to.Coordinator, window, func(window *slab.Window) (any, messages.Reply[messages.Imported]) {
			request := &messages.ImportObject{Key: key, From: from, Window: window, Reply: messages.NewReply[messages.Imported]()}
			return request, request.Reply
		})
		if err != nil || !imported.Found {
			return Moved{}, err
		}
		remove := &messages.RemoveMoved{Key: key, Generation: imported.Generation, Epoch: epoch, Reply: messages.NewReply[struct{}]()}
		return Moved{Found: true, Bytes: imported.Bytes}, m.remove(op, from, key, remove, remove.Reply)
	})
}

// Upload moves a multipart upload under way, as Object does an object.
func (m *Mover) Upload(ctx context.Context, key objects.Key, uploadID string, from, to *messages.MountpathView, wait func(time.Duration) error) (Moved, error) {
	const op errs.Op = "mover.Upload"
	return m.move(op, key, from, to, wait, func(window *slab.Window) (Moved, error) {
		epoch := m.Roster.Load().Epoch
		imported, err := await(ctx, m, op, to.Coordinator, window, func(window *slab.Window) (any, messages.Reply[messages.UploadImported]) {
			request := &messages.ImportUpload{Key: key, UploadID: uploadID, From: from, Window: window, Reply: messages.NewReply[messages.UploadImported]()}
			return request, request.Reply
		})
		if err != nil || !imported.Found {
			return Moved{}, err
		}
		remove := &messages.RemoveMovedUpload{Key: key, UploadID: uploadID, Parts: imported.Parts, Epoch: epoch, Reply: messages.NewReply[struct{}]()}
		return Moved{Found: true, Bytes: imported.Bytes}, m.remove(op, from, key, remove, remove.Reply)
	})
}

// move tries a move until it succeeds or cannot.
func (m *Mover) move(op errs.Op, key objects.Key, from, to *messages.MountpathView, wait func(time.Duration) error, once func(*slab.Window) (Moved, error)) (Moved, error) {
	for attempt, pause := 1, firstPause; ; attempt, pause = attempt+1, 2*pause {
		moved, err := m.tryOnce(op, key, from, to, once)
		later := (errs.Is(errs.Busy, err) || errs.Is(errs.Conflict, err)) && !errors.Is(err, messages.ErrMoved) // the set has changed: who asks goes by another roster
		if !later || attempt == attempts {
			return moved, err
		}
		if err := wait(pause); err != nil {
			return Moved{}, err
		}
	}
}

func (m *Mover) tryOnce(op errs.Op, key objects.Key, from, to *messages.MountpathView, once func(*slab.Window) (Moved, error)) (Moved, error) {
	if err := from.Away(); err != nil {
		return Moved{}, errs.E(op, key, errs.Offline, err)
	}
	if err := to.Closed(); err != nil {
		return Moved{}, errs.E(op, key, errs.Offline, err)
	}
	window, err := m.Slabs.Lease(moveSlabs)
	if err != nil {
		return Moved{}, errs.E(op, key, err)
	}
	defer window.Release()
	return once(window)
}

// await waits for an import for as long as it takes: a large object takes minutes.
// Whether it goes on, or was lost, shows by asking for it again now and then: one that
// is at work keeps others of the key out, and what is done is done. Who gives up leaves
// it to end by itself, which does no harm.
func await[T any](ctx context.Context, m *Mover, op errs.Op, to *actor.PID, window *slab.Window, ask func(*slab.Window) (any, messages.Reply[T])) (T, error) {
	request, reply := ask(window)
	m.System.Root().Send(to, request)
	for {
		late, timer := m.System.Clock().NewTimer(laneTime)
		select {
		case answer := <-reply:
			timer.Stop()
			return answer.Value, answer.Err
		case <-ctx.Done():
			timer.Stop()
			var none T
			return none, context.Cause(ctx)
		case <-late:
		}
		if value, err := again(m, op, to, ask); !errs.Is(errs.Busy, err) {
			return value, err
		}
	}
}

// again asks for an import once more, with memory of its own; Busy: another one is at
// work, or nobody knows.
func again[T any](m *Mover, op errs.Op, to *actor.PID, ask func(*slab.Window) (any, messages.Reply[T])) (T, error) {
	window, err := m.Slabs.Lease(moveSlabs)
	if err != nil {
		var none T
		return none, errs.E(op, errs.Busy, err)
	}
	defer window.Release()
	request, reply := ask(window)
	m.System.Root().Send(to, request)
	return reply.WaitOn(m.System.Clock(), op, laneTime)
}

// remove removes the source, in the key's turn.
func (m *Mover) remove(op errs.Op, from *messages.MountpathView, key objects.Key, request any, reply messages.Reply[struct{}]) error {
	m.System.Root().Send(from.Writer(key.Digest()), request)
	_, err := reply.WaitOn(m.System.Clock(), op, laneTime)
	return err
}
