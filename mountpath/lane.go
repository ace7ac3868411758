package mountpath

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// laneOf is the write lane of a key; messages.Roster computes the same.
func laneOf(digest uint64, lanes int) int { return int((digest >> 32) % uint64(lanes)) }

// isTransfer tells a transfer's address from a lane's.
func isTransfer(id string) bool {
	return strings.HasPrefix(id[strings.LastIndexByte(id, '/')+1:], transferPrefix)
}

// writeLane gives the keys that are hashed to it their turns: it handles one
// command at a time and blocks on its own disk while it does. A write that was
// interrupted is settled before the first command, and one that failed half way
// soon after.
type writeLane struct {
	system  *actors.System
	store   *store.Store
	custody *custody
	watch   *watch
	number  int // among so many lanes
	lanes   int

	id     string                           // of the mountpath
	roster *atomic.Pointer[messages.Roster] // as published
	nodes  *messages.LaneMap                // nil: the node is alone
}

// settleKeys asks a lane to settle what failed writes left of its keys. Sent by
// the coordinator.
type settleKeys struct{}

// Receive implements actor.Actor.
func (l *writeLane) Receive(ctx actor.Context) {
	l.watch.begin(l.system.Clock())
	defer l.watch.end()
	switch m := ctx.Message().(type) {
	case *actor.Started, *settleKeys:
		l.settle()

	case *messages.PutObject:
		m.Reply.Send(l.onPutObject(m))
	case *commitFile:
		if m.take() {
			m.Reply.Send(l.onCommitFile(m))
		}
	case *messages.PutSlices:
		m.Reply.Send(l.onPutSlices(m))
	case *messages.DeleteObject:
		m.Reply.Send(l.onDeleteObject(m))
	case *messages.ChangeDraft:
		m.Reply.Send(l.onChangeDraft(m))

	case *messages.CreateUpload:
		m.Reply.Send(struct{}{}, l.onCreateUpload(m))
	case *messages.CompleteUpload:
		m.Reply.Send(l.onCompleteUpload(m))
	case *messages.AbortUpload:
		m.Reply.Send(struct{}{}, l.onAbortUpload(m))

	case *messages.StoreRecord:
		m.Reply.Send(l.onStoreRecord(m))
	case *storeImport:
		if m.take() {
			m.Reply.Send(l.onStoreImport(m))
		}
	case *messages.DropRecord:
		m.Reply.Send(struct{}{}, l.onDropRecord(m))
	case *messages.RemoveLeftover:
		m.Reply.Send(struct{}{}, l.onRemoveLeftover(m))
	case *messages.KeepUpload:
		m.Reply.Send(l.onKeepUpload(m))
	case *messages.RemoveLeftoverUpload:
		m.Reply.Send(struct{}{}, l.onRemoveLeftoverUpload(m))
	case *messages.CountWrites:
		m.Reply.Send(l.custody.writes.of(m.Key), nil)
	case *messages.SettleRecords:
		m.Reply.Send(struct{}{}, l.onSettleRecords(m))
	case *messages.RenewRecord:
		m.Reply.Send(l.onRenewRecord(m))
	case *messages.DropTombstones:
		m.Reply.Send(l.onDropTombstones(m))

	case *commitImport:
		if m.take() {
			m.Reply.Send(l.onCommitImport(m))
		}
	case *messages.RemoveMoved:
		m.Reply.Send(struct{}{}, l.onRemoveMoved(m))
	case *messages.RemoveMovedUpload:
		m.Reply.Send(struct{}{}, l.onRemoveMovedUpload(m))
	case *messages.Pass:
		m.Reply.Send(struct{}{}, l.onPass())

	case *messages.OpenObject:
		m.Reply.Send(l.onOpenObject(m))
	case *putAside:
		l.onPutAside(m)

	case *messages.SealBucket:
		l.onSealBucket(m)

	default:
		actors.Unexpected(ctx, l.system.Log())
	}
}

// settle settles the open intents of the lane's keys. What cannot be settled now
// keeps its key busy, and the coordinator asks again. What panicked on that again and
// again is left alone until it is released.
func (l *writeLane) settle() {
	if l.custody.laneBusy(l.number) {
		return // another is at it, and has not come back from the disk
	}
	quarantine := l.system.Quarantine()
	own := func(key objects.Key) bool { return laneOf(key.Digest(), l.lanes) == l.number }
	err := l.store.Settle(own, func(key objects.Key) func() error {
		settling := messages.HandlesKey(key, messages.SettleAccess)
		if !quarantine.Holds(settling) {
			return nil
		}
		return func() error { return quarantine.Refuses("lane.settle", settling) }
	})
	if err != nil {
		l.system.Log().WithError(err).Warn("interrupted writes cannot be settled now; it is tried again")
	}
}

// errSealed says that a bucket is being destroyed.
var errSealed = errors.New("the bucket is being deleted")

// refuses says why a write of the key is not done here; nil: it can be. It belongs
// to another mountpath, perhaps, or is at another mount epoch than the fence: the roster
// is looked at in the key's turn, so that once it says so, and the turns under way have
// ended, nothing is written here any more.
func (l *writeLane) refuses(op errs.Op, key objects.Key, fence *messages.Fence) error {
	if err := l.custody.busy(op, l.number, key); err != nil {
		return err
	}
	if l.store.Sealed(key.Bucket.ID) {
		return errs.E(op, key, errs.Busy, errSealed)
	}
	if err := fence.AdmitsMount(l.roster.Load(), l.id, key.Digest()); err != nil {
		return errs.E(op, key, errs.Busy, err)
	}
	return nil
}

// refusesFormer is refuses for what the mountpath is asked as the one that the key
// leaves, by the roster of an epoch: should the key be its own again by now, or have
// been meanwhile, what it has is not to be removed.
func (l *writeLane) refusesFormer(op errs.Op, key objects.Key, epoch uint64) error {
	if err := l.custody.busy(op, l.number, key); err != nil {
		return err
	}
	if l.store.Sealed(key.Bucket.ID) {
		return errs.E(op, key, errs.Busy, errSealed)
	}
	roster := l.roster.Load()
	if former := roster.Former(key.Digest()); former == nil || former.ID != l.id || roster.Epoch != epoch {
		return errs.E(op, key, errs.Busy, messages.ErrMoved)
	}
	return nil
}

// begin begins a write of the key, unless it is refused. Copies of the key that are
// on their way here from another mountpath are not committed after it: what they
// bring may have been deleted there.
func (l *writeLane) begin(op errs.Op, key objects.Key, fence *messages.Fence) error {
	if err := l.refuses(op, key, fence); err != nil {
		return err
	}
	l.custody.writes.began(key)
	return nil
}

// admits looks whether the map that the lanes act on says of a key what a command about
// it was admitted under. It returns the version of that map; 0: the node is alone.
func (l *writeLane) admits(op errs.Op, key objects.Key, fence *messages.Fence) (version uint64, err error) {
	if version, err = fence.Admits(l.nodes); err != nil {
		return 0, errs.E(op, key, errs.Busy, err)
	}
	return version, nil
}

// unfenced is the fence of a command that was admitted by nobody, and is judged by the maps
// as the lane sees them.
func (l *writeLane) unfenced(placing smap.Key) *messages.Fence {
	var nodes *messages.NodeSet
	if l.nodes != nil {
		nodes = l.nodes.Load()
	}
	fence := l.roster.Load().Fenced(messages.Fence{}, nodes.Holders(placing), placing.Digest)
	return &fence
}

// fenced is begin for a command that was admitted under a map of the cluster.
func (l *writeLane) fenced(op errs.Op, key objects.Key, fence *messages.Fence) (version uint64, err error) {
	if version, err = l.admits(op, key, fence); err != nil {
		return 0, err
	}
	return version, l.begin(op, key, fence)
}

// onPass answers when everything before it is done, also what an earlier lane of the
// place was killed in.
func (l *writeLane) onPass() error {
	if l.custody.busyCalls.Load() > 0 {
		return errs.E("lane.Pass", l.id, errs.Busy, errHung)
	}
	return nil
}

func (l *writeLane) onPutObject(m *messages.PutObject) (objects.Receipt, error) {
	const op errs.Op = "lane.PutObject"
	version, err := l.admits(op, m.Key, &m.Fence)
	if err != nil {
		return objects.Receipt{}, err
	}
	if err := l.refuses(op, m.Key, &m.Fence); err != nil {
		return objects.Receipt{}, err
	}
	var payload []byte
	if m.Window != nil {
		slab, ok := m.Window.Pin(0)
		if !ok {
			return objects.Receipt{}, errs.E(op, m.Key, errs.Canceled, errors.New("the sender has gone"))
		}
		defer m.Window.Unpin()
		payload = slab[:m.Meta.Size]
	}
	m.Meta.Generation.Map, m.Meta.Unsettled = version, m.Fence.Unsettled
	return l.store.PutInline(m.Key, m.Meta, payload, m.Conditions, m.Fence.For)
}

func (l *writeLane) onCommitFile(m *commitFile) (messages.Uploaded, error) {
	const op errs.Op = "lane.CommitFile"
	version, err := l.fenced(op, m.incoming.Key, &m.fence)
	switch {
	case errors.Is(err, messages.ErrMoved):
		p := l.custody.park(m.incoming, l.system.Clock().Elapsed()+parkTime)
		return messages.Uploaded{}, errs.E(op, m.incoming.Key, errs.Busy, &messages.Parked{Payload: p, Size: m.incoming.Size(), Release: p.release})
	case err != nil:
		return messages.Uploaded{}, errors.Join(err, m.incoming.Abandon())
	}
	if m.part {
		part, err := l.store.CommitPart(m.incoming, m.sums, m.meta.ETag)
		return messages.Uploaded{Part: part}, err
	}
	m.meta.Generation.Map, m.meta.Unsettled = version, m.fence.Unsettled
	receipt, err := l.store.CommitFile(m.incoming, m.meta, m.conditions, m.fence.For)
	return messages.Uploaded{Receipt: receipt}, err
}

func (l *writeLane) onDeleteObject(m *messages.DeleteObject) (messages.ObjectDeleted, error) {
	const op errs.Op = "lane.DeleteObject"
	var version uint64
	var err error
	if m.Former {
		err = l.refusesFormer(op, m.Key, m.Epoch)
	} else {
		version, err = l.fenced(op, m.Key, &m.Fence)
	}
	if err != nil {
		return messages.ObjectDeleted{}, err
	}
	if m.Fence.Unsettled {
		existed, marker, err := l.store.Bury(m.Key, m.Conditions, version, m.Fence.For)
		if err != nil {
			return messages.ObjectDeleted{}, err
		}
		return messages.ObjectDeleted{Existed: existed, Generation: marker.Generation, Marker: marker}, nil
	}
	existed, generation, err := l.store.Delete(m.Key, m.Conditions, m.Fence.For)
	return messages.ObjectDeleted{Existed: existed, Generation: generation}, err
}

func (l *writeLane) onChangeDraft(m *messages.ChangeDraft) (*objects.Meta, error) {
	var err error
	if m.Map, err = l.fenced("lane.ChangeDraft", m.Key, &m.Fence); err != nil {
		return nil, err
	}
	return l.store.ChangeDraft(m)
}

func (l *writeLane) onCreateUpload(m *messages.CreateUpload) error {
	if _, err := l.fenced("lane.CreateUpload", m.Key, &m.Fence); err != nil {
		return err
	}
	return l.store.CreateUpload(m.Key, m.Upload)
}

func (l *writeLane) onCompleteUpload(m *messages.CompleteUpload) (objects.Receipt, error) {
	var err error
	if m.Map, err = l.fenced("lane.CompleteUpload", m.Key, &m.Fence); err != nil {
		return objects.Receipt{}, err
	}
	return l.store.CompleteUpload(m)
}

func (l *writeLane) onAbortUpload(m *messages.AbortUpload) error {
	if m.Counted && l.custody.writes.of(m.Key) != m.Writes {
		return errs.E("lane.AbortUpload", m.Key, errs.Busy, errWrittenSince)
	}
	if m.Former {
		if err := l.refusesFormer("lane.AbortUpload", m.Key, m.Epoch); err != nil {
			return err
		}
	} else if _, err := l.fenced("lane.AbortUpload", m.Key, &m.Fence); err != nil && !errors.Is(err, errSealed) {
		return err
	}
	return l.store.AbortUpload(m.Key, m.UploadID)
}

// onOpenObject opens an object in its key's turn: a read lane saw it move twice.
func (l *writeLane) onOpenObject(m *messages.OpenObject) (*messages.ObjectOpened, error) {
	if err := l.custody.busy("lane.OpenObject", l.number, m.Key); err != nil {
		return nil, err
	}
	if m.Tombstones {
		return open(m, l.store, l.store.OpenMarkedInTurn)
	}
	return open(m, l.store, l.store.OpenInTurn)
}

// putAside asks a lane to put a damaged payload aside. Sent by the scrubber, which asks
// again if it is still there.
type putAside struct {
	key     objects.Key
	payload objects.Generation
}

// Handles implements messages.Handled.
func (m *putAside) Handles() messages.Handling {
	return messages.HandlesKey(m.key, messages.ScrubAccess)
}

// Subject implements messages.Subjected.
func (m *putAside) Subject() string { return m.key.String() }

// Fail implements messages.Failer: nobody waits.
func (*putAside) Fail(error) {}

func (l *writeLane) onPutAside(m *putAside) {
	const op errs.Op = "lane.PutAside"
	err := l.custody.busy(op, l.number, m.key)
	if err == nil {
		err = l.store.PutAside(m.key, m.payload)
	}
	if err != nil {
		l.system.Log().WithError(err).WithField("key", m.key.String()).Warn("a damaged payload cannot be put aside now; it is tried again")
	}
}

func (l *writeLane) onSealBucket(m *messages.SealBucket) {
	l.store.Seal(m.Bucket, !m.Open) // the store's, so that it outlives a restart of the lane
	m.Reply.Send(struct{}{}, nil)
}

// readLane answers reads. Any read lane can serve any key; it blocks on its disk.
type readLane struct {
	system *actors.System
	store  *store.Store
	watch  *watch
}

// Receive implements actor.Actor.
func (l *readLane) Receive(ctx actor.Context) {
	l.watch.begin(l.system.Clock())
	defer l.watch.end()
	switch m := ctx.Message().(type) {
	case *messages.OpenObject:
		m.Reply.Send(l.onOpenObject(m))
	case *messages.ListObjects:
		m.Reply.Send(l.store.List(store.ListRequest{
			Bucket: m.Bucket, Prefix: m.Prefix, After: m.After, Delimiter: m.Delimiter, Limit: m.Limit, Whole: m.Whole, Markers: m.Markers,
		}))
	case *messages.ListParts:
		m.Reply.Send(l.store.Parts(m.Key, m.UploadID, m.After, m.Limit))
	case *messages.ExportUpload:
		m.Reply.Send(l.store.ExportUpload(m.Key, m.UploadID, m.Only))
	case *messages.ListTombstones:
		m.Reply.Send(l.store.Tombstones(m.After, m.Before, m.Limit))
	case *messages.GetHistory:
		m.Reply.Send(l.store.History(m))
	case *messages.ListUploads:
		m.Reply.Send(l.store.Uploads(m.Bucket, m.Prefix, m.AfterName, m.AfterID, m.Limit))
	default:
		actors.Unexpected(ctx, l.system.Log())
	}
}

func (l *readLane) onOpenObject(m *messages.OpenObject) (*messages.ObjectOpened, error) {
	if m.Tombstones {
		return open(m, l.store, l.store.OpenMarked)
	}
	return open(m, l.store, l.store.Open)
}

// open reads a record, or opens an object with slot 0 of the message's window
// pinned.
func open(m *messages.OpenObject, s *store.Store, how func(objects.Key, []byte) (*messages.ObjectOpened, error)) (*messages.ObjectOpened, error) {
	if m.RecordOnly {
		head := s.Head
		if m.Tombstones {
			head = s.HeadMarked
		}
		meta, err := head(m.Key)
		if err != nil {
			return nil, err
		}
		return &messages.ObjectOpened{Meta: meta}, nil
	}
	slab, ok := m.Window.Pin(0)
	if !ok {
		return nil, errs.E("lane.OpenObject", m.Key, errs.Canceled, errors.New("the sender has gone"))
	}
	defer m.Window.Unpin()
	return how(m.Key, slab)
}
