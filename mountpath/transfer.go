package mountpath

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// transfer takes one large payload: it writes chunks as they come, computes
// digests as bytes pass, syncs, and hands the file to the key's lane. It is a
// worker: it blocks on its disk, lives for one payload, and is never restarted.
type transfer struct {
	system  *actors.System
	store   *store.Store
	limits  Limits
	md5     *checksum.MD5Pool
	request *messages.OpenUpload
	lane    *actor.PID

	incoming *store.Incoming // nil before the first chunk, and after the lane has it
	digests  *checksum.Digests
	failure  error // what further chunks and the finish are answered with
	idle     clock.Timer
	heard    uint64 // counts messages; an idle timer that was overtaken says nothing
}

func newTransfer(c *coordinator, m *messages.OpenUpload, lane *actor.PID) *transfer {
	return &transfer{system: c.system, store: c.mount.Store, limits: c.limits, md5: c.md5, request: m, lane: lane}
}

// heardNothing ends a transfer whose sender fell silent.
type heardNothing struct{ heard uint64 }

// Receive implements actor.Actor.
func (t *transfer) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.onStarted(ctx)
	case *actor.Stopping:
		t.onStopping()

	case *messages.WriteChunk:
		t.listen(ctx.Self())
		t.request.Written <- messages.ChunkWritten{Slot: m.Slot, Err: t.onWriteChunk(m)}
	case *messages.FinishUpload:
		t.onFinishUpload(ctx, m)
	case *messages.AbandonUpload:
		ctx.Stop(ctx.Self())
	case *heardNothing:
		if m.heard == t.heard {
			t.system.Log().WithField("key", t.request.Key.String()).Warn("an upload fell silent and is abandoned")
			ctx.Stop(ctx.Self())
		}

	default:
		actors.Unexpected(ctx, t.system.Log())
	}
}

func (t *transfer) onStarted(ctx actor.Context) {
	m := t.request
	if m.Part > 0 {
		t.incoming, t.failure = t.store.CreatePart(m.Key, m.UploadID, m.Part, m.SizeHint)
	} else {
		t.incoming, t.failure = t.store.Create(m.Key, m.Draft, m.SizeHint)
	}
	t.digests = checksum.NewDigests(checksum.Want{
		MD5: m.WantMD5 || m.ETag == objects.ETagMD5, SHA256: m.WantSHA256, Sums: m.Sums, Pool: t.md5,
	})
	t.listen(ctx.Self())
}

// listen starts the idle timer anew.
func (t *transfer) listen(self *actor.PID) {
	t.heard++
	if t.idle != nil {
		t.idle.Stop()
	}
	heard := t.heard
	t.idle = t.system.Clock().AfterFunc(t.limits.Idle, func() { t.system.Root().Send(self, &heardNothing{heard}) })
}

// onStopping gives back what the transfer holds. A sender that still waits for
// chunks (after a panic) hears that there is nobody.
func (t *transfer) onStopping() {
	if t.idle != nil {
		t.idle.Stop()
	}
	if t.digests != nil {
		t.digests.Close()
	}
	if t.incoming != nil {
		if err := t.incoming.Abandon(); err != nil {
			t.system.Log().WithError(err).WithField("key", t.request.Key.String()).Warn("the work file of an abandoned upload stays until it is settled")
		}
		t.incoming = nil
	}
	select {
	case t.request.Written <- messages.ChunkWritten{Slot: -1, Err: errs.E("transfer", t.request.Key, errs.Busy, errors.New("the transfer ended"))}:
	default: // nobody waits: every slab was answered
	}
}

func (t *transfer) onWriteChunk(m *messages.WriteChunk) error {
	if t.failure != nil {
		return t.failure
	}
	chunk, ok := t.request.Window.Pin(m.Slot)
	if !ok {
		return errs.E("transfer.WriteChunk", t.request.Key, errs.Canceled, errors.New("the sender has gone"))
	}
	defer t.request.Window.Unpin()
	t.digests.Write(chunk[:m.Len])
	t.failure = t.incoming.Append(chunk[:m.Len])
	return t.failure
}

func (t *transfer) onFinishUpload(ctx actor.Context, m *messages.FinishUpload) {
	defer ctx.Stop(ctx.Self()) // incoming is nil by then if the lane has it
	commit, err := t.finish(m)
	if err != nil {
		m.Fail(err)
		return
	}
	t.incoming = nil // the lane's from here on
	ctx.Send(t.lane, commit)
}

// finish verifies and seals the payload.
func (t *transfer) finish(m *messages.FinishUpload) (*commitFile, error) {
	const op errs.Op = "transfer.Finish"
	if t.failure != nil {
		return nil, t.failure
	}
	sums := t.digests.Sums()
	t.digests.Close() // streams that only wait for a sync are none to be computed together
	if err := sums.Compare(checksum.Expected{Size: m.Size, MD5: m.MD5, SHA256: m.SHA256, Values: m.Expect}); err != nil {
		return nil, errs.E(op, t.request.Key, errs.Invalid, errors.Join(objects.ErrBadDigest, err))
	}
	if t.request.ETag == objects.ETagFast {
		sums.MD5 = ""
	}
	etag := sums.ETag()
	if err := t.incoming.Seal(sums, etag); err != nil {
		return nil, err
	}
	return &commitFile{
		incoming: t.incoming, sums: sums, part: t.request.Part > 0, conditions: t.request.Conditions, Reply: m.Reply,
		meta: objects.Meta{
			Size: sums.Size, XXHash: sums.XXHash, ETag: etag, Checksums: sums.Values,
			Modified: m.Modified, Draft: t.request.Draft,
		},
	}, nil
}
