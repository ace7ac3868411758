package mountpath

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// exportTime bounds the wait for a read lane of the source.
const exportTime = 30 * time.Second

// importer copies one object, or one multipart upload, from another mountpath of
// the node: it opens the source, copies and syncs, and hands what it has to the
// key's lane. It is a worker: it blocks on its disk and on the source's, lives for
// one import, and is never restarted.
type importer struct {
	system  *actors.System
	store   *store.Store
	roster  *atomic.Pointer[messages.Roster] // as published
	lane    *actor.PID
	key     objects.Key
	request messages.Failer
	work    func(*importer)
	custody *custody
	writes  uint64 // of the key when the import began
}

// Receive implements actor.Actor.
func (i *importer) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		i.writes = i.custody.writes.of(i.key)
		i.work(i)
		ctx.Stop(ctx.Self())
	case *actor.Stopping: // after a panic; else it is answered already, or will be by the lane
		i.request.Fail(errs.E("importer", errs.Busy, errors.New("the import ended")))
	default:
		actors.Unexpected(ctx, i.system.Log())
	}
}

// offer is a copy that is offered to a lane. One that no lane has taken is the
// importer's again, which waits for the answer: who refuses a message must not wait for
// a disk.
type offer struct {
	key    objects.Key
	copied *store.Import
	state  atomic.Int32 // offered, taken or refused
}

// Subject implements messages.Subjected.
func (o *offer) Subject() string { return o.key.String() }

// Handles implements messages.Handled.
func (o *offer) Handles() messages.Handling {
	return messages.HandlesKey(o.key, messages.WriteAccess)
}

// take makes the copy the lane's; false: it was refused, and is the importer's.
func (o *offer) take() bool { return o.state.CompareAndSwap(offered, taken) }

// refuse takes the copy back unless a lane has it, and reports whether it did.
func (o *offer) refuse() bool {
	o.state.CompareAndSwap(offered, refused)
	return o.state.Load() == refused
}

// commitImport asks a lane to make a copy the object or the upload here. Sent by
// the importer.
type commitImport struct {
	offer
	writes uint64 // of the key, before the source was opened
	from   string // id of the mountpath that it was copied from
	Reply  messages.Reply[store.Imported]
}

// Fail implements messages.Failer.
func (m *commitImport) Fail(err error) {
	m.refuse()
	m.Reply.Fail(err)
}

// commitTime bounds the wait for the lane's turn and commit.
const commitTime = time.Minute

// commit hands a copy to the lane and waits for what became of it.
func (i *importer) commit(op errs.Op, key objects.Key, from *messages.MountpathView, copied *store.Import) (store.Imported, error) {
	m := &commitImport{offer: offer{key: key, copied: copied}, writes: i.writes, from: from.ID, Reply: messages.NewReply[store.Imported]()}
	i.system.Root().Send(i.lane, m)
	done, err := m.Reply.WaitOn(i.system.Clock(), op, commitTime)
	if err != nil && m.refuse() {
		return done, errors.Join(err, copied.Abandon())
	}
	return done, err
}

func (l *writeLane) onCommitImport(m *commitImport) (store.Imported, error) {
	// Moved is only while the node's document places all keys, protected ones, too.
	if err := l.refuses("lane.CommitImport", m.key, &messages.Fence{}); err != nil {
		return store.Imported{}, errors.Join(err, m.copied.Abandon())
	}
	if l.custody.writes.of(m.key) != m.writes {
		err := errs.E("lane.CommitImport", m.key, errs.Busy, errors.New("the key was written while it was copied"))
		return store.Imported{}, errors.Join(err, m.copied.Abandon())
	}
	return l.store.CommitImport(m.copied, objects.Origin{Cause: objects.CauseMove, Other: m.from})
}

func (l *writeLane) onRemoveMoved(m *messages.RemoveMoved) error {
	if err := l.refusesFormer("lane.RemoveMoved", m.Key, m.Epoch); err != nil {
		return err
	}
	by := objects.Origin{Cause: objects.CauseMove}
	if owner := l.roster.Load().Owner(m.Key.Digest()); owner != nil {
		by.Other = owner.ID
	}
	return l.store.RemoveMoved(m.Key, m.Generation, objects.MutationLeft, by)
}

func (l *writeLane) onRemoveMovedUpload(m *messages.RemoveMovedUpload) error {
	if err := l.refusesFormer("lane.RemoveMovedUpload", m.Key, m.Epoch); err != nil {
		return err
	}
	return l.store.RemoveMovedUpload(m.Key, m.UploadID, m.Parts)
}

// pinned pins all slabs of a window while fn runs.
func pinned(op errs.Op, key objects.Key, window *slab.Window, fn func(room [][]byte) error) error {
	room := make([][]byte, 0, window.Len())
	defer func() {
		for range room {
			window.Unpin()
		}
	}()
	for n := range window.Len() {
		slab, ok := window.Pin(n)
		if !ok {
			return errs.E(op, key, errs.Canceled, errors.New("the sender has gone"))
		}
		room = append(room, slab)
	}
	return fn(room)
}

func (i *importer) importObject(m *messages.ImportObject) {
	const op errs.Op = "importer.Import"
	var answer messages.Imported
	err := pinned(op, m.Key, m.Window, func(room [][]byte) error {
		opened, err := i.open(op, m)
		if errs.Is(errs.NotFound, err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer opened.Close()
		copied, err := i.store.Copy(m.Key, opened, room[0][:opened.Inline], room)
		if err != nil {
			return err
		}
		done, err := i.commit(op, m.Key, m.From, copied)
		answer = messages.Imported{Found: true, Generation: opened.Meta.Generation, Bytes: opened.Meta.Size, Copied: done.Copied}
		return err
	})
	m.Reply.Send(answer, err)
}

// open opens the source.
func (i *importer) open(op errs.Op, m *messages.ImportObject) (*messages.ObjectOpened, error) {
	if err := m.From.Away(); err != nil {
		return nil, errs.E(op, m.Key, errs.Offline, err)
	}
	digest := m.Key.Digest()
	ask := func(lane *actor.PID) (*messages.ObjectOpened, error) {
		open := &messages.OpenObject{Key: m.Key, Window: m.Window, Tombstones: true, Reply: messages.NewReply[*messages.ObjectOpened]()}
		i.system.Root().Send(lane, open)
		return open.Reply.WaitOn(i.system.Clock(), op, exportTime)
	}
	opened, err := ask(m.From.Reader(digest))
	if messages.Overtaken(err) {
		opened, err = ask(m.From.Writer(digest))
	}
	return opened, err
}

func (i *importer) importUpload(m *messages.ImportUpload) {
	const op errs.Op = "importer.ImportUpload"
	var answer messages.UploadImported
	err := pinned(op, m.Key, m.Window, func(room [][]byte) error {
		if err := m.From.Away(); err != nil {
			return errs.E(op, m.Key, errs.Offline, err)
		}
		export := &messages.ExportUpload{Key: m.Key, UploadID: m.UploadID, Reply: messages.NewReply[*messages.UploadExported]()}
		i.system.Root().Send(m.From.Reader(m.Key.Digest()), export)
		exported, err := export.Reply.WaitOn(i.system.Clock(), op, exportTime)
		if errs.Is(errs.NotFound, err) {
			return nil
		}
		if err != nil {
			return err
		}
		answer.Found = true
		for _, part := range exported.Parts.Parts {
			answer.Parts, answer.Bytes = append(answer.Parts, part.Payload), answer.Bytes+part.Size
		}
		copied, err := i.store.CopyUpload(m.Key, exported, room)
		if err != nil {
			return err
		}
		_, err = i.commit(op, m.Key, m.From, copied)
		return err
	})
	m.Reply.Send(answer, err)
}
