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
	"github.com/troupe-storage/troupe/objects/slab"
)

// transfer takes one large payload: it writes chunks as they come, computes
// digests as bytes pass, syncs, and hands the file to the key's lane. It is a
// worker: it blocks on its disk, lives for one payload, and is never restarted.
type transfer struct {
	system  *actors.System
	hand    *handover
	watch   *watch
	store   *store.Store
	limits  Limits
	md5     *checksum.MD5Pool
	request *messages.OpenUpload
	lane    *actor.PID

	incoming *store.Incoming // nil before the first chunk, and after the lane has it
	digests  *checksum.Digests
	gathered []gatheredChunk // digested and pinned, to be written together
	received int64           // bytes of the chunks that have come
	batch    int             // how many chunks are written together
	failure  error           // what further chunks and the finish are answered with
	idle     clock.Timer
	heard    uint64 // counts messages; an idle timer that was overtaken says nothing
}

// gatheredChunk is a chunk that waits for the others of its batch, and the bytes
// of its slab, which is pinned.
type gatheredChunk struct {
	slot  int
	bytes []byte
}

func newTransfer(c *coordinator, m *messages.OpenUpload, lane *actor.PID, hand *handover, watch *watch) *transfer {
	return &transfer{
		watch: watch, system: c.system, store: c.mount.Store, limits: c.limits, md5: c.md5, request: m, lane: lane, hand: hand,
		batch: batchFor(m.SizeHint, m.Window.Len()),
	}
}

// batchFor returns how many chunks are written together: a payload that fits the
// window at once, since few large direct writes cost least; of a larger one half
// the window, so that the sender fills one half while the other is written.
func batchFor(sizeHint int64, slabs int) int {
	if 0 <= sizeHint && sizeHint <= int64(slabs)*slab.Bytes {
		return slabs
	}
	return max(1, slabs/2)
}

// heardNothing ends a transfer whose sender fell silent.
type heardNothing struct{ heard uint64 }

// Receive implements actor.Actor.
func (t *transfer) Receive(ctx actor.Context) {
	t.watch.begin(t.system.Clock())
	defer t.watch.end()
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.onStarted(ctx)
	case *actor.Stopping:
		t.onStopping()

	case *messages.WriteChunk:
		t.listen(ctx.Self())
		t.onWriteChunk(m)
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
	t.giveBack(func(int) {})
	if t.incoming != nil {
		if err := t.incoming.Abandon(); err != nil {
			t.system.Log().WithError(err).WithField("key", t.request.Key.String()).Warn("the work file of an abandoned upload stays until it is settled")
		}
		t.incoming = nil
	}
	t.answer(-1, errs.E("transfer", t.request.Key, errs.Busy, errors.New("the transfer ended")))
}

// answer tells of a slab. There is room for as many answers as slabs, and one;
// where there is none, nobody waits any more.
func (t *transfer) answer(slot int, err error) {
	select {
	case t.request.Written <- messages.ChunkWritten{Slot: slot, Err: err}:
	default:
	}
}

// errGap says that not every chunk came here.
var errGap = errors.New("a chunk was refused on its way")

// onWriteChunk digests a chunk and writes its batch if it is the last of it. Its
// answer may come later; the finish writes what is left.
func (t *transfer) onWriteChunk(m *messages.WriteChunk) {
	if t.failure == nil && m.Offset != t.received {
		t.failure = errs.E("transfer.WriteChunk", t.request.Key, errs.Busy, errGap)
	}
	t.received += int64(m.Len)
	if t.failure == nil {
		if chunk, ok := t.request.Window.Pin(m.Slot); ok {
			t.gathered = append(t.gathered, gatheredChunk{m.Slot, chunk[:m.Len]})
			t.digests.Write(chunk[:m.Len])
			if len(t.gathered) == t.batch {
				t.writeGathered()
			}
			return
		}
		t.failure = errs.E("transfer.WriteChunk", t.request.Key, errs.Canceled, errors.New("the sender has gone"))
	}
	t.answer(m.Slot, t.failure)
}

// writeGathered writes what was gathered, and answers.
func (t *transfer) writeGathered() {
	if len(t.gathered) == 0 {
		return
	}
	if t.failure == nil {
		pieces := make([][]byte, len(t.gathered))
		for i, c := range t.gathered {
			pieces[i] = c.bytes
		}
		t.failure = t.incoming.Append(pieces...)
	}
	t.giveBack(func(slot int) { t.answer(slot, t.failure) })
}

// giveBack unpins what was gathered, and tells of each slab.
func (t *transfer) giveBack(tell func(slot int)) {
	for len(t.gathered) > 0 {
		slot := t.gathered[0].slot
		t.gathered = t.gathered[1:]
		t.request.Window.Unpin()
		tell(slot)
	}
}

func (t *transfer) onFinishUpload(ctx actor.Context, m *messages.FinishUpload) {
	defer ctx.Stop(ctx.Self()) // incoming is nil by then if the lane has it
	commit, err := t.finish(m)
	if err != nil {
		m.Fail(err)
		return
	}
	if t.hand.state.Load() == revoked {
		return // killed meanwhile: its client knows, and may have written the key anew
	}
	t.incoming = nil // the lane's from here on
	ctx.Send(t.lane, commit)
}

// finish verifies and seals the payload.
func (t *transfer) finish(m *messages.FinishUpload) (*commitFile, error) {
	const op errs.Op = "transfer.Finish"
	t.writeGathered()
	if t.failure == nil && m.Sent != t.received {
		t.failure = errs.E(op, t.request.Key, errs.Busy, errGap)
	}
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
	t.incoming.Modified = m.Modified
	if err := t.incoming.Seal(sums, etag); err != nil {
		return nil, err
	}
	return &commitFile{
		incoming: t.incoming, sums: sums, part: t.request.Part > 0, conditions: t.request.Conditions, hand: t.hand, fence: m.Fence, Reply: m.Reply,
		meta: objects.Meta{
			Size: sums.Size, XXHash: sums.XXHash, ETag: etag, Checksums: sums.Values,
			Modified: m.Modified, Draft: t.request.Draft, Writes: t.request.Writes,
		},
	}, nil
}
