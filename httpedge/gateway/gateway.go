// Package gateway is where HTTP meets messages: bytes to windows, intent to
// messages, answers to bodies. It knows where a key lives and nothing about S3
// or the native API, whose edges call it.
//
//	s3api, native ──▶ gateway ──message──▶ lane, transfer, lister
//	                     └── window (leased here, pinned there)
//
// A small payload travels in one slab and one message. A large one streams
// through a window of a few slabs to a transfer: as many chunks in flight as
// slabs, which is the flow control. What the kernel can send by itself is handed
// to the edge as a file.
//
// Start with Gateway, then upload.go and object.go.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Deadline is how long a request waits for one answer of an actor.
const Deadline = 30 * time.Second

// uploadSlabs is the window of a large upload: one half is filled from the socket
// while the other is digested and written, in one call. When an eighth of the pool is
// in use, windows are halved, so that more uploads go on at once.
const uploadSlabs = 8

// Config is what a gateway needs. Every field is required, but those about other nodes.
type Config struct {
	System  *actors.System
	Slabs   *slab.Pool
	Roster  *atomic.Pointer[messages.Roster]
	Buckets *atomic.Pointer[messages.BucketSet]
	// Mover moves what a write needs while the set of mountpaths changes.
	Mover *mover.Mover
	// BucketsActor is the coordinator of buckets.
	BucketsActor *actor.PID
	// InlineLimit is the mountpaths': payloads up to it go into the index.
	InlineLimit int
	// MinPartBytes is the least size of a part that is not the last.
	MinPartBytes int64
	Now          func() time.Time
	// Nodes are the nodes of the cluster, and Peers asks them. Both nil: the node is
	// alone, for good; Nodes holds nil: it is alone for now.
	Nodes *atomic.Pointer[messages.NodeSet]
	Peers Peers
	// Agreed returns once the node shows all buckets that nodes had agreed on when it was
	// called; an error says that this cannot be told. It blocks for seconds at most. nil: the
	// node knows all there are.
	Agreed func() error
	// Newer has the node ask another one for its map, which is a later one; it does not
	// block. nil: maps come by themselves.
	Newer func(node string)
	// Settler is told of settled records (SettlerSpec); needed with Peers.
	Settler *actor.PID
	// Lanes is the map that the node's write lanes act on, which is Nodes' or a later
	// one; nil: Nodes.
	Lanes *messages.LaneMap
	// Found notes that the node has caught up with mountpaths that were lost, by their ids.
	// It blocks on the disks. nil: none is ever lost.
	Found func(ids []string) error
	// SweepTime is how often delete markers are looked at that may be dropped, and how old
	// they get at least; zero: DefaultSweepTime.
	SweepTime time.Duration
	// MemberIndexBytes bounds the indexes of members of shards in memory; 0: there are none,
	// and shards are gone through for each member.
	MemberIndexBytes int64
}

// Gateway serves the edges of one node. Safe for concurrent use.
type Gateway struct {
	Config
	copies
	sweeps  sweepCounts
	members memberIndexes
	batches atomic.Int64 // under way
	codecs  erasure.Codecs
}

// New makes a gateway.
func New(c Config) *Gateway { return &Gateway{Config: c} }

// Buckets returns the live buckets ordered by name. What the slice points to is
// shared: only read.
func (g *Gateway) Buckets() []*objects.BucketDoc {
	views := g.Config.Buckets.Load().All()
	docs := make([]*objects.BucketDoc, len(views))
	for i, v := range views {
		docs[i] = v.Doc
	}
	return docs
}

// Bucket finds a live bucket by name; errs.NotFound (objects.ErrNoSuchBucket) if
// there is none.
func (g *Gateway) Bucket(name string) (*objects.BucketDoc, error) {
	doc, err := g.KnownBucket(name)
	if err == nil || g.Agreed == nil {
		return doc, err
	}
	if away := g.Agreed(); away != nil {
		return nil, errs.E("gateway.Bucket", name, errs.Offline, away)
	}
	return g.KnownBucket(name)
}

// KnownBucket is Bucket by what this node knows already.
func (g *Gateway) KnownBucket(name string) (*objects.BucketDoc, error) {
	view := g.Config.Buckets.Load().Find(name)
	if view == nil {
		return nil, errs.E("gateway.Bucket", name, errs.NotFound, objects.ErrNoSuchBucket)
	}
	return view.Doc, nil
}

// CreateBucket makes a bucket; errs.Exists (objects.ErrBucketExists) if its name
// is taken.
func (g *Gateway) CreateBucket(_ context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error) {
	if err := g.roomFor(props); err != nil {
		return nil, errs.E("gateway.CreateBucket", name, errs.Invalid, err)
	}
	m := &messages.CreateBucket{Name: name, Props: props, Reply: messages.NewReply[*objects.BucketDoc]()}
	g.System.Root().Send(g.BucketsActor, m)
	return m.Reply.WaitOn(g.System.Clock(), "gateway.CreateBucket", Deadline)
}

// roomFor fails if a bucket wants copies on several nodes, and the node is alone for good.
func (g *Gateway) roomFor(props objects.BucketProps) error {
	if g.Config.Nodes == nil && props.Owners() > 1 {
		return fmt.Errorf("copies %d: this node is alone, and an object has one copy; start it with --consul and --cluster to have several nodes", props.Owners())
	}
	return nil
}

// SetBucketProps replaces the properties that are wanted of a bucket: another number of copies
// is made by a plan, afterwards.
func (g *Gateway) SetBucketProps(_ context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error) {
	if err := g.roomFor(props); err != nil {
		return nil, errs.E("gateway.SetBucketProps", name, errs.Invalid, err)
	}
	m := &messages.SetBucketProps{Name: name, Props: props, Reply: messages.NewReply[*objects.BucketDoc]()}
	g.System.Root().Send(g.BucketsActor, m)
	return m.Reply.WaitOn(g.System.Clock(), "gateway.SetBucketProps", Deadline)
}

// DeleteBucket destroys an empty bucket; errs.Conflict (objects.ErrBucketNotEmpty)
// otherwise.
func (g *Gateway) DeleteBucket(_ context.Context, name string) error {
	m := &messages.DestroyBucket{Name: name, Reply: messages.NewReply[struct{}]()}
	g.System.Root().Send(g.BucketsActor, m)
	_, err := m.Reply.WaitOn(g.System.Clock(), "gateway.DeleteBucket", 2*Deadline)
	return err
}

// DestroyBucket destroys a bucket with all that is in it. It returns once no
// client finds the bucket any more and, unless that takes long, once its space
// may be taken; a crash in between is finished at the next start.
func (g *Gateway) DestroyBucket(_ context.Context, name string) error {
	m := &messages.DestroyBucket{Name: name, WithObjects: true, Reply: messages.NewReply[struct{}]()}
	g.System.Root().Send(g.BucketsActor, m)
	_, err := m.Reply.Wait("gateway.DestroyBucket", destroyTime)
	if errors.Is(err, messages.ErrNoAnswer) && g.Config.Buckets.Load().Find(name) == nil {
		return nil // it goes on without us
	}
	return err
}

// destroyTime is how long a client waits for the objects of a bucket to go: less
// than the 20 s after which AIStore's Python client asks again.
const destroyTime = 15 * time.Second

// Location returns the path of the mountpath that holds a name; empty if the node
// has none.
func (g *Gateway) Location(bucket *objects.BucketDoc, name string) string {
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	view, _ := g.Roster.Load().Hold(g.holders(key), key.Digest())
	if view == nil {
		return ""
	}
	return view.Path
}

// Delete removes an object, wherever it is; one that is not there is no failure
// unless the conditions need it.
func (g *Gateway) Delete(ctx context.Context, bucket *objects.BucketDoc, name, versionID string, c objects.Conditions) (messages.ObjectDeleted, error) {
	by := originOf(ctx)
	return elsewhere(g, "gateway.Delete", bucket, name, func() (messages.ObjectDeleted, error) {
		return g.DeleteHere(bucket, name, versionID, c, by)
	}, func(at Charge) (messages.ObjectDeleted, error) {
		at.For = askedOf(by, at.Set.Self)
		return g.Peers.Delete(at, bucket, name, versionID, c)
	})
}

// DeleteHere is Delete of an object that this node is in charge of. By is for the history.
func (g *Gateway) DeleteHere(bucket *objects.BucketDoc, name, versionID string, c objects.Conditions, by objects.Origin) (messages.ObjectDeleted, error) {
	const op errs.Op = "gateway.Delete"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	charge, err := g.charged(op, bucket, name)
	if err != nil {
		return messages.ObjectDeleted{}, err
	}
	charge.For = by
	return agree(g, op, bucket, key, charge, func(fence messages.Fence) (written[messages.ObjectDeleted], error) {
		deleted, err := change(g, op, key, func(p *place) (messages.ObjectDeleted, error) {
			before, err := g.deleteFormer(op, key, p, c, by)
			if err != nil {
				return messages.ObjectDeleted{}, err
			}
			m := &messages.DeleteObject{Key: key, VersionID: versionID, Conditions: c, Fence: p.under(fence), Reply: messages.NewReply[messages.ObjectDeleted]()}
			g.System.Root().Send(p.owner.Writer(p.digest), m)
			deleted, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
			deleted.Existed = deleted.Existed || before.Existed
			return deleted, err
		})
		return written[messages.ObjectDeleted]{value: deleted, record: deleted.Marker}, err
	})
}

// deleteFormer takes a key from its former mountpath before it is deleted at its
// owner's: in the other order, what is deleted would come back after a crash in
// between. Where the record counts, it is moved instead.
func (g *Gateway) deleteFormer(op errs.Op, key objects.Key, p *place, c objects.Conditions, by objects.Origin) (messages.ObjectDeleted, error) {
	if p.former == nil {
		return messages.ObjectDeleted{}, nil
	}
	if c != (objects.Conditions{}) || p.turned() {
		return messages.ObjectDeleted{}, g.settle(op, key, p)
	}
	if err := p.former.Closed(); err != nil {
		return messages.ObjectDeleted{}, errs.E(op, key, errs.Offline, err)
	}
	m := &messages.DeleteObject{Key: key, Former: true, Epoch: p.roster.Epoch, Fence: messages.Fence{For: by}, Reply: messages.NewReply[messages.ObjectDeleted]()}
	g.System.Root().Send(p.former.Writer(p.digest), m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}

// ChangeDraft changes the user metadata or the tags of an object; see
// messages.DraftChange.
func (g *Gateway) ChangeDraft(ctx context.Context, bucket *objects.BucketDoc, name string, draft messages.DraftChange) (*objects.Meta, error) {
	const op errs.Op = "gateway.ChangeDraft"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	write := func(fence messages.Fence) (written[*objects.Meta], error) {
		meta, err := change(g, op, key, func(p *place) (*objects.Meta, error) {
			if err := g.settle(op, key, p); err != nil {
				return nil, err
			}
			m := &messages.ChangeDraft{Key: key, Change: draft, Fence: p.under(fence), Reply: messages.NewReply[*objects.Meta]()}
			g.System.Root().Send(p.owner.Writer(p.digest), m)
			return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		})
		return written[*objects.Meta]{value: meta, record: meta}, err
	}
	return followMap(g, op, bucket, name, func(c Charge) (*objects.Meta, error) {
		c.For = originOf(ctx)
		return agree(g, op, bucket, key, c, write)
	})
}

// ListRequest asks for a page of a bucket's names.
type ListRequest struct {
	Prefix, After, Delimiter string
	Limit                    int
	Whole                    bool // entries hold the whole record
	Markers                  messages.Markers
}

// List returns a page in byte order, merged from every mountpath of every node that
// may be in charge of keys; it fails rather than leave one out.
func (g *Gateway) List(_ context.Context, bucket *objects.BucketDoc, r ListRequest) (*messages.ObjectPage, error) {
	if set := g.nodes(); set != nil && r.Limit > 0 {
		return g.listAll("gateway.List", set, bucket, r)
	}
	return g.list(bucket, r)
}

// list returns a page of what this node has.
func (g *Gateway) list(bucket *objects.BucketDoc, r ListRequest) (*messages.ObjectPage, error) {
	const op errs.Op = "gateway.List"
	view := g.Config.Buckets.Load().Find(bucket.Name)
	if view == nil {
		return nil, errs.E(op, bucket.Bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	if r.Limit <= 0 {
		return &messages.ObjectPage{}, nil
	}
	m := &messages.ListObjects{
		Bucket: bucket.Bucket, Prefix: r.Prefix, After: r.After, Delimiter: r.Delimiter, Limit: r.Limit, Whole: r.Whole, Markers: r.Markers,
		Reply: messages.NewReply[*messages.ObjectPage](),
	}
	g.System.Root().Send(view.Actor, m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}
