package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// changedNames is how many of the names last changed the version of the buckets tells.
const changedNames = 256

// bucketsDocument is what lies under Keys.BucketsVersion. Every change of a bucket
// changes it, so that there is one order of them.
type bucketsDocument struct {
	Version uint64 `json:"version"`
	// Smap is the version of the map that was in force when the bucket was changed: nobody
	// uses the documents under an older one.
	Smap    uint64   `json:"smap"`
	Changed []string `json:"changed"` // the names last changed, the latest at the end
}

// BucketShelf keeps the documents of buckets on the node's disks. Its methods block.
type BucketShelf interface {
	// Buckets returns the documents that the node has adopted.
	Buckets() []*objects.BucketDoc
	// AdoptBucket is durable when it returns; one that is not newer changes nothing.
	AdoptBucket(doc *objects.BucketDoc) error
	// Forget removes the document of a bucket that is destroyed.
	Forget(id objects.BucketID) error
}

// BucketsConfig is what Buckets need. Every field is needed.
type BucketsConfig struct {
	Provider  cluster.Provider
	ClusterID string
	Shelf     BucketShelf
	View      func() *messages.ClusterView
	// Adopted is told the documents once they are on the disks, and returns when requests
	// see them.
	Adopted func(docs []*objects.BucketDoc) error
	Clock   clock.Clock
	Log     *logrus.Entry
}

// Buckets are the documents of the buckets of a cluster: changed by compare-and-set, and
// adopted by every node. Safe for concurrent use.
type Buckets struct {
	BucketsConfig
	store *cluster.Store
	keys  cluster.Keys

	version atomic.Uint64 // that this node has adopted
	others  atomic.Pointer[map[smap.NodeID]adoptedBuckets]
	graves  graves
	looks   looks
	calls   atomic.Pointer[context.Context] // ends with the node's membership, and calls with it
	nudge   atomic.Pointer[func()]          // has the watch of the buckets ask now; nil: there is none
}

// adoptedBuckets is what a node has said of the documents of buckets.
type adoptedBuckets struct {
	version  uint64
	dropping []objects.BucketID
}

// NewBuckets makes them. They adopt nothing until a Membership that was given them runs.
func NewBuckets(c BucketsConfig) (*Buckets, error) {
	keys, err := cluster.NewKeys(c.ClusterID)
	if err != nil {
		return nil, err
	}
	b := &Buckets{BucketsConfig: c, keys: keys, store: cluster.NewStore(c.Provider, cluster.Pace{Clock: c.Clock})}
	b.looks.reading = make(chan struct{}, 1)
	forever := context.Background()
	b.calls.Store(&forever)
	b.graves.dropping, b.graves.dropped = make(map[objects.BucketID]bool), make(map[objects.BucketID]bool)
	return b, nil
}

// open returns what ends the calls that begin from now on: a node that stops waits for none.
func (b *Buckets) open() (end context.CancelFunc) {
	ctx, end := context.WithCancel(context.Background())
	b.calls.Store(&ctx)
	return end
}

// PutBucket implements bucket.Documents: it changes the document by compare-and-set, and
// returns when every node that is up has adopted it.
func (b *Buckets) PutBucket(doc *objects.BucketDoc) error {
	return b.putBucket(*b.calls.Load(), doc)
}

// putBucket is PutBucket until the context ends.
func (b *Buckets) putBucket(ctx context.Context, doc *objects.BucketDoc) error {
	const op errs.Op = "member.PutBucket"
	ctx, done := cluster.Within(ctx, b.Clock, callTime)
	defer done()
	version, err := b.put(ctx, doc)
	switch {
	case errs.Is(errs.Offline, err) || errs.Is(errs.Canceled, err):
		return errs.E(op, doc.Bucket, errs.Offline, &messages.AgreementAway{Cause: err})
	case err != nil:
		return errs.E(op, doc.Bucket, err)
	}
	if err := b.await(ctx, doc, version); err != nil || doc.State != objects.BucketDestroyed {
		return errs.Wrap(op, err)
	}
	return errs.Wrap(op, b.bury(ctx, doc))
}

// put writes a document, if it follows the one that is there.
func (b *Buckets) put(ctx context.Context, doc *objects.BucketDoc) (version uint64, err error) {
	const op errs.Op = "member.put"
	if b.View().Map == nil {
		return 0, errs.E(op, doc.Bucket, errs.Busy, errors.New("the node has not joined the cluster yet"))
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return 0, err
	}
	for {
		was, err := b.store.Get(ctx, b.keys.Bucket(doc.Bucket))
		if err != nil {
			return 0, err
		}
		var have objects.BucketDoc
		if was.Exists() {
			if err := json.Unmarshal(was.Value, &have); err != nil {
				return 0, errs.E(op, was.Key, errs.Corrupt, err)
			}
			switch {
			case have.ID != doc.ID && have.State != objects.BucketDestroyed:
				return 0, errs.E(op, doc.Bucket, errs.Exists, objects.ErrBucketExists)
			case have.ID == doc.ID && have.Version+1 != doc.Version:
				return 0, errs.E(op, doc.Bucket, errs.Conflict, fmt.Errorf("version %d follows %d: another node has changed the bucket", doc.Version, have.Version))
			}
		}
		small, err := b.store.Get(ctx, b.keys.BucketsVersion())
		if err != nil {
			return 0, err
		}
		now, err := b.store.Get(ctx, b.keys.SmapVersion())
		if err != nil {
			return 0, err
		}
		next, err := b.following(small, now, doc.Name)
		if err != nil {
			return 0, err
		}
		if have.ID == doc.ID && !sameCopies(&have, doc) {
			if m := b.View().Map; m.Version() != next.Smap {
				if !cluster.Pause(ctx, b.Clock, adoptPause) {
					return 0, errs.E(op, doc.Bucket, errs.Canceled, fmt.Errorf("the node has not adopted version %d of the map", next.Smap))
				}
				continue
			} else if err := judgeCopies(m, &have, doc); err != nil {
				return 0, err
			}
		}
		line, err := json.Marshal(next)
		if err != nil {
			return 0, err
		}
		writes := []cluster.Write{was.Put(text)}
		if doc.State == objects.BucketDestroyed {
			if writes, err = b.burial(ctx, was, doc, next.Version); err != nil {
				return 0, err
			}
		} else if err := b.vacant(ctx, doc, was.Exists()); err != nil { // after the version was read: see vacant
			return 0, err
		}
		err = b.store.Commit(ctx, append(writes, small.Put(line), now.Unchanged())...)
		if !errs.Is(errs.Conflict, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			return next.Version, err
		}
		if !cluster.Pause(ctx, b.Clock, 50*time.Millisecond) { // another bucket was faster
			return 0, errs.E(op, doc.Bucket, errs.Canceled, err)
		}
	}
}

// following is the next version of the buckets, under the map in force. It is later than
// any that a node is known to have adopted: a provider that lost all counts from the
// beginning.
func (b *Buckets) following(small, now cluster.Document, names ...string) (bucketsDocument, error) {
	var next bucketsDocument
	var in versionDocument
	if small.Exists() {
		if err := json.Unmarshal(small.Value, &next); err != nil {
			return next, errs.E("member.following", small.Key, errs.Corrupt, err)
		}
	}
	if !now.Exists() {
		return next, errs.E("member.following", now.Key, errs.Busy, errors.New("the cluster has no map, or it was lost"))
	}
	if err := json.Unmarshal(now.Value, &in); err != nil {
		return next, errs.E("member.following", now.Key, errs.Corrupt, err)
	}
	next.Version = max(next.Version, b.version.Load())
	for _, other := range b.heard() {
		next.Version = max(next.Version, other.version)
	}
	next.Version++
	next.Smap = in.Version
	next.Changed = append(slices.DeleteFunc(next.Changed, func(n string) bool { return slices.Contains(names, n) }), names...)
	next.Changed = next.Changed[max(0, len(next.Changed)-changedNames):]
	return next, nil
}

// heard are the versions that other nodes have adopted, as last heard.
func (b *Buckets) heard() map[smap.NodeID]adoptedBuckets {
	if m := b.others.Load(); m != nil {
		return *m
	}
	return nil
}

// adoptPause is between two looks at who has adopted a change.
const adoptPause = 50 * time.Millisecond

// await waits until all nodes that are up have adopted a version.
func (b *Buckets) await(ctx context.Context, doc *objects.BucketDoc, version uint64) error {
	for {
		late := b.late(version)
		if len(late) == 0 {
			return nil
		}
		if !cluster.Pause(ctx, b.Clock, adoptPause) {
			return errs.E("member.await", doc.Bucket, errs.Busy, fmt.Errorf("%w: the change is agreed on, and nodes have not adopted it: %v", objects.ErrOutcomeUnknown, late))
		}
	}
}

// late are the nodes that are up and have not adopted a version, as far as this node knows.
func (b *Buckets) late(version uint64) (late []string) {
	view, others := b.View(), b.heard()
	for _, node := range view.Map.Nodes() {
		has := others[node.ID].version
		if node.ID == view.Self {
			has = b.version.Load()
		}
		if node.State.Serves() && has < version {
			late = append(late, string(node.ID))
		}
	}
	return late
}

// follow adopts what is agreed on, until the context ends.
func (b *Buckets) follow(ctx context.Context, pace cluster.Pace) {
	watch := cluster.WatchDocument(b.Provider, b.keys.BucketsVersion(), pace)
	nudge := watch.Nudge
	b.nudge.Store(&nudge)
	var late repeated
	for {
		_, err := watch.Next(ctx)
		for err == nil && ctx.Err() == nil {
			if err = b.adopt(ctx); err != nil {
				level := logrus.WarnLevel
				if b.View().Map == nil || !late.failed(b.Clock.Elapsed()) { // it is joining, or has said so
					level = logrus.DebugLevel
				}
				b.Log.WithError(err).Log(level, "documents of buckets are not adopted yet")
				cluster.Pause(ctx, b.Clock, retryAfter)
				err = nil
				continue
			}
			late.ended(b.Clock.Elapsed())
			break
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// adopt puts what is agreed on onto the disks, and then has requests see it.
func (b *Buckets) adopt(ctx context.Context) error {
	const op errs.Op = "member.adopt"
	limited, done := cluster.Within(ctx, b.Clock, callTime)
	defer done()
	small, err := b.store.Get(limited, b.keys.BucketsVersion()) // before the list: what is newer in that is adopted early
	if err != nil {
		return err
	}
	var agreed bucketsDocument
	if small.Exists() {
		if err := json.Unmarshal(small.Value, &agreed); err != nil {
			return errs.E(op, small.Key, errs.Corrupt, err)
		}
	}
	list, err := b.store.List(limited, b.keys.Buckets())
	if err != nil {
		return err
	}
	// After the buckets: one that is destroyed in between is among both, not among neither.
	destroyed, err := b.destroyed(limited)
	if err != nil {
		return err
	}
	view := b.View()
	if view.Map == nil || view.Map.Version() < agreed.Smap {
		return errs.E(op, errs.Busy, fmt.Errorf("they were changed under version %d of the map, which this node has not adopted", agreed.Smap))
	}
	known := make(map[objects.BucketID]uint64)
	var docs []*objects.BucketDoc
	for _, d := range list {
		doc := new(objects.BucketDoc)
		if err := json.Unmarshal(d.Value, doc); err != nil {
			return errs.E(op, d.Key, errs.Corrupt, err)
		}
		known[doc.ID] = doc.Version
		if _, gone := destroyed[doc.ID]; !gone {
			docs = append(docs, doc)
		}
	}
	for id, grave := range destroyed {
		known[id] = grave.Version
		if b.graves.mark(id) {
			docs = append(docs, &grave.BucketDoc)
		}
	}
	for _, own := range b.Shelf.Buckets() { // of who founded the cluster, or lost where they were kept
		if known[own.ID] < own.Version && own.State == objects.BucketLive {
			if err := b.restore(limited, own); err != nil {
				return err
			}
		}
	}
	for _, doc := range docs {
		if err := b.Shelf.AdoptBucket(doc); err != nil {
			return errs.E(op, doc.Bucket, err)
		}
	}
	if err := b.Adopted(docs); err != nil {
		return err
	}
	b.version.Store(agreed.Version)
	return b.forget(destroyed)
}

// restore writes a document that this node has and the provider lacks, or has an older
// version of.
func (b *Buckets) restore(ctx context.Context, own *objects.BucketDoc) error {
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	was, err := b.store.Get(ctx, b.keys.Bucket(own.Bucket))
	if err != nil {
		return err
	}
	var have objects.BucketDoc
	if was.Exists() {
		if err := json.Unmarshal(was.Value, &have); err != nil {
			return errs.E("member.restore", was.Key, errs.Corrupt, err)
		}
		if have.ID != own.ID {
			b.Log.WithFields(logrus.Fields{"bucket": own.Name, "id": own.ID.String(), "agreed": have.ID.String()}).Error("there is another bucket of that name in the cluster; this node's is not shown to other nodes")
			return nil
		}
		if have.Version >= own.Version {
			return nil
		}
	}
	grave, err := b.store.Get(ctx, b.keys.Destroyed(own.ID))
	if err != nil {
		return err
	}
	if grave.Exists() { // since the list was read
		return errs.E("member.restore", own.Bucket, errs.Busy, errors.New("it has just been destroyed"))
	}
	small, err := b.store.Get(ctx, b.keys.BucketsVersion())
	if err != nil {
		return err
	}
	now, err := b.store.Get(ctx, b.keys.SmapVersion())
	if err != nil {
		return err
	}
	next, err := b.following(small, now, own.Name)
	if err != nil {
		return err
	}
	line, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return b.store.Commit(ctx, was.Put(text), grave.Unchanged(), small.Put(line), now.Unchanged())
}
