package gateway

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Arrival is a payload of another node on its way here.
type Arrival struct {
	Parts []objects.Part // of an object that is made of some, in the order of their bytes
	Body  io.Reader      // all of it; read by one goroutine at a time; nil: it does not come
	Cut   func()         // has a read of Body that waits return soon
}

// lanes returns the nodes by the map that the lanes act on; nil where the node is alone.
func (g *Gateway) lanes() *messages.NodeSet {
	if g.Config.Lanes == nil {
		return g.nodes()
	}
	return g.Config.Lanes.Load()
}

// holds returns the fence for a command about a key of another node's under an epoch. A
// *messages.MapDiffers: the lanes of this node act on another one, or nothing of the key
// is kept here.
func (g *Gateway) holds(bucket *objects.BucketDoc, key objects.Key, epoch smap.Epoch) (messages.Fence, error) {
	set := g.lanes()
	if set == nil || set.Map == nil {
		return messages.Fence{}, &messages.MapDiffers{}
	}
	placing := messages.Placing(bucket, key.Digest())
	view := set.Map.View(placing)
	if view.Epoch != epoch || !acks(&view, set.Self) {
		return messages.Fence{}, &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	if self, _ := set.Map.Node(smap.NodeID(set.Self)); self.State.Serves() && g.isUnknown(key, g.Roster.Load()) {
		return messages.Fence{}, &messages.MapDiffers{Node: set.Self, Version: set.Version()} // the next map says that it does not
	}
	return messages.Fence{Set: set, Epoch: epoch, Key: placing}, nil
}

func acks(v *smap.View, node string) bool {
	for _, id := range v.AckSet {
		if string(id) == node {
			return true
		}
	}
	return false
}

// errMapChanged says why a write that was done may not be acknowledged.
var errMapChanged = errors.New("the map of the cluster changed while it was done")

// still fails if the lanes act on another epoch of a key than a write of it was admitted
// under: it was done, and must not be acknowledged, because a node that is in charge by
// now may have looked before.
func (g *Gateway) still(op errs.Op, bucket *objects.BucketDoc, key objects.Key, fence *messages.Fence) error {
	set := g.lanes()
	if set == fence.Set || set != nil && set.Map != nil && set.View(bucket, key.Digest()).Epoch == fence.Epoch {
		return nil
	}
	return errs.E(op, key, errs.Busy, fmt.Errorf("%w: %w", objects.ErrOutcomeUnknown, errMapChanged))
}

// Accept has this node keep a record of a key as the node in charge of it has it, under
// an epoch of the key, unless what is here is as new. Payload is nil where none comes:
// then the answer may be that it is needed. It has ended with Payload when it returns.
// Answers and failures are durable and final as messages.StoreRecord says; a
// *messages.MapDiffers has changed nothing, objects.ErrOutcomeUnknown perhaps. By is for
// the history.
func (g *Gateway) Accept(bucket *objects.BucketDoc, name string, epoch smap.Epoch, record *objects.Meta, payload *Arrival, by objects.Origin) (messages.Stored, error) {
	return g.accept(bucket, name, epoch, record, payload, messages.ToSettle, by)
}

// AcceptEqual is Accept of what is sent so that this node has the same as the node in
// charge, for a plan or its return: however old it is.
func (g *Gateway) AcceptEqual(bucket *objects.BucketDoc, name string, epoch smap.Epoch, record *objects.Meta, payload *Arrival, by objects.Origin) (messages.Stored, error) {
	return g.accept(bucket, name, epoch, record, payload, messages.ToEqual, by)
}

func (g *Gateway) accept(bucket *objects.BucketDoc, name string, epoch smap.Epoch, record *objects.Meta, payload *Arrival, sent messages.Sending, by objects.Origin) (messages.Stored, error) {
	const op errs.Op = "gateway.Accept"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return messages.Stored{}, err
	}
	fence.For = by
	under, how := acceptance{fence: fence, sent: sent}, g.acceptRecord
	switch {
	case payload == nil || payload.Body == nil:
	case record.Where == objects.Inline:
		if under.window, err = g.readInline(op, key, record, payload); err != nil {
			return messages.Stored{}, err
		}
		defer under.window.Release()
	case !record.Deleted:
		how = g.acceptPayload
	}
	stored, err := change(g, op, key, func(p *place) (messages.Stored, error) {
		if err := g.settle(op, key, p); err != nil {
			return messages.Stored{}, err
		}
		if record.Where == objects.Chunks && !record.Deleted { // its parts may be here
			if err := g.settleUpload(op, key, record.Path, p); err != nil {
				return messages.Stored{}, err
			}
		}
		return how(op, key, record, payload, under, p)
	})
	if err == nil && stored.Has {
		err = g.still(op, bucket, key, &fence)
	}
	return stored, err
}

// acceptance is under what a record is accepted, and why.
type acceptance struct {
	fence  messages.Fence
	sent   messages.Sending
	window *slab.Window // with the payload, of objects.Inline; nil: none comes
}

// readInline reads a payload that fits a slab into one, which it leases: once, however
// often the lane is asked. The caller releases it.
func (g *Gateway) readInline(op errs.Op, key objects.Key, record *objects.Meta, payload *Arrival) (*slab.Window, error) {
	if record.Size < 0 || record.Size > slab.Bytes {
		return nil, errs.E(op, key, errs.Invalid, fmt.Errorf("a payload of %d bytes is in the record", record.Size))
	}
	window, err := g.Slabs.Lease(1)
	if err != nil {
		return nil, errs.E(op, key, err)
	}
	if _, err := io.ReadFull(payload.Body, window.Slab(0)[:record.Size]); err != nil {
		window.Release()
		return nil, errs.E(op, key, errs.Canceled, err)
	}
	return window, nil
}

// acceptRecord has the key's lane take a record whose payload fits a slab, is there
// already or is not needed.
func (g *Gateway) acceptRecord(op errs.Op, key objects.Key, record *objects.Meta, payload *Arrival, under acceptance, p *place) (messages.Stored, error) {
	m := &messages.StoreRecord{Key: key, Record: record, Fence: p.under(under.fence), Sent: under.sent, Window: under.window, Reply: messages.NewReply[messages.Stored]()}
	if payload != nil {
		m.Parts = payload.Parts
	}
	g.System.Root().Send(p.owner.Writer(p.digest), m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}

// acceptPayload has the key's mountpath take a payload into files.
func (g *Gateway) acceptPayload(op errs.Op, key objects.Key, record *objects.Meta, payload *Arrival, under acceptance, p *place) (messages.Stored, error) {
	return g.arrived(op, key, record.Size, payload, func(body io.Reader, window *slab.Window) messages.Reply[messages.Stored] {
		m := &messages.StorePayload{
			Key: key, Record: record, Parts: payload.Parts, Payload: body, Fence: p.under(under.fence), Sent: under.sent, Window: window, Reply: messages.NewReply[messages.Stored](),
		}
		g.System.Root().Send(p.owner.Coordinator, m)
		return m.Reply
	})
}

// arrived gives a payload that arrives to who takes it into files, and waits for the
// answer: as long as bytes come.
func (g *Gateway) arrived(op errs.Op, key objects.Key, size int64, payload *Arrival, give func(io.Reader, *slab.Window) messages.Reply[messages.Stored]) (messages.Stored, error) {
	window, err := g.Slabs.Lease(g.windowFor(size))
	if err != nil {
		return messages.Stored{}, errs.E(op, key, err)
	}
	defer window.Release()
	body := &lent{from: payload.Body}
	defer body.end(payload.Cut)
	reply := give(body, window)
	for before := int64(-1); ; {
		stored, err := reply.WaitOn(g.System.Clock(), op, sealTime)
		read := body.count()
		if !errors.Is(err, messages.ErrNoAnswer) || read == before {
			return stored, err
		}
		before = read
	}
}

// lent is a reader that somebody else reads for as long as its owner lets him. Safe for
// concurrent use.
type lent struct {
	mu    sync.Mutex
	from  io.Reader
	read  int64
	ended bool
}

// Read implements io.Reader.
func (l *lent) Read(room []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, errs.E("gateway.lent", errs.Canceled, errors.New("the sender has gone"))
	}
	n, err := l.from.Read(room)
	l.read += int64(n)
	return n, err
}

func (l *lent) count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read
}

// end takes the reader back. A read under way is cut short.
func (l *lent) end(cut func()) {
	if !l.mu.TryLock() {
		cut()
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	l.ended = true
}

// Kept is a record as one node has it, with its payload.
type Kept struct {
	Record *objects.Meta // nil: the node has none, not even a delete marker
	Parts  []objects.Part
	Body   io.ReadCloser // of Record.Size bytes; nil: it was not asked for, or there is none
}

// Show returns the record that this node has of a key under an epoch, settled or not,
// and its payload if it is wanted. A *messages.MapDiffers: the lanes act on another
// epoch, or nothing of the key is kept here. The caller closes Body.
func (g *Gateway) Show(bucket *objects.BucketDoc, name string, epoch smap.Epoch, payload bool) (Kept, error) {
	const op errs.Op = "gateway.Show"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return Kept{}, err
	}
	var object *Object
	if payload {
		object, err = g.openMarked(op, bucket, key)
	} else {
		object, err = g.recordMarked(op, key)
	}
	if err != nil && !errs.Is(errs.NotFound, err) {
		return Kept{}, err
	}
	if mapErr := g.still(op, bucket, key, &fence); mapErr != nil { // it may be older than what the node in charge by now has
		if object != nil {
			object.Close()
		}
		return Kept{}, &messages.MapDiffers{Node: fence.Set.Self, Version: fence.Set.Version()}
	}
	if err != nil {
		return Kept{}, nil
	}
	kept := Kept{Record: object.Meta}
	if kept.Record.Unsettled && g.settled.has(key, kept.Record.Generation) {
		kept.Record.Unsettled = false // and is about to be noted as such
	}
	if !payload || object.Meta.Deleted {
		object.Close()
		if record := kept.Record; record.Where == objects.Chunks && !record.Deleted {
			kept.Parts, err = g.partsOf(op, bucket, key, record)
		}
		return kept, err
	}
	kept.Parts = object.Parts()
	kept.Body = &openBody{object.Reader(0, object.Meta.Size), object}
	return kept, nil
}

// openBody is the payload of an open object, which it closes.
type openBody struct {
	io.Reader
	object *Object
}

// Close implements io.Closer.
func (b *openBody) Close() error {
	b.object.Close()
	return nil
}

// openMarked opens what this node has of a key; a delete marker is an object without
// payload.
func (g *Gateway) openMarked(op errs.Op, bucket *objects.BucketDoc, key objects.Key) (*Object, error) {
	if _, err := g.place(op, key); err != nil {
		return nil, err
	}
	before := g.Roster.Load()
	window, err := g.Slabs.Lease(1)
	if err != nil {
		return nil, errs.E(op, key, err)
	}
	opened, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.ObjectOpened, error) {
		return g.openAt(op, &messages.OpenObject{Key: key, Window: window, Tombstones: true}, view, digest)
	})
	if err != nil {
		window.Release()
		return nil, g.absent(op, key, before, err)
	}
	return &Object{
		Meta: opened.Meta, opened: opened, key: key, slabs: g.Slabs, window: window,
		inline: opened.Meta.Where == objects.Inline, verify: bucket.Props.ValidateWarmGet,
	}, nil
}

// recordMarked is openMarked for the record only.
func (g *Gateway) recordMarked(op errs.Op, key objects.Key) (*Object, error) {
	before := g.Roster.Load()
	opened, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.ObjectOpened, error) {
		return g.openAt(op, &messages.OpenObject{Key: key, RecordOnly: true, Tombstones: true}, view, digest)
	})
	if err != nil {
		return nil, g.absent(op, key, before, err)
	}
	return &Object{Meta: opened.Meta, opened: opened, key: key, slabs: g.Slabs}, nil
}

// Confirms reports whether the lanes of this node act on an epoch of a key, and it
// takes part in its writes.
func (g *Gateway) Confirms(bucket *objects.BucketDoc, name string, epoch smap.Epoch) bool {
	_, err := g.holds(bucket, objects.Key{Bucket: bucket.Bucket, Name: name}, epoch)
	return err == nil
}
