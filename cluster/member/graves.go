package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// grave is what is left of a bucket that was destroyed, under Keys.Destroyed, until every
// node of the map has nothing of it any more: who was away learns from it that what it
// has is trash. Meanwhile nobody makes another bucket of the name.
type grave struct {
	objects.BucketDoc
	// Buckets is the version of the buckets that destroyed it.
	Buckets uint64 `json:"buckets"`
}

// graves are the destroyed buckets as this node knows them. Safe for concurrent use.
type graves struct {
	mu       sync.Mutex
	dropping map[objects.BucketID]bool                   // this node still has data of them
	dropped  map[objects.BucketID]bool                   // it has none any more; while they are kept
	kept     atomic.Pointer[map[objects.BucketID]*grave] // as seen last; nil: they were not looked at
}

// mark notes a bucket that is destroyed, and reports whether its data is to be removed.
func (g *graves) mark(id objects.BucketID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dropped[id] {
		return false
	}
	g.dropping[id] = true
	return true
}

// all are the buckets whose data is being removed, by id.
func (g *graves) all() []objects.BucketID {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ids []objects.BucketID
	for id := range g.dropping {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b objects.BucketID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

func (g *graves) has(id objects.BucketID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropped[id]
}

// Forget implements bucket.Documents: this node has nothing of a destroyed bucket any
// more. Its document stays until no node has.
func (b *Buckets) Forget(id objects.BucketID) error {
	b.graves.mu.Lock()
	defer b.graves.mu.Unlock()
	delete(b.graves.dropping, id)
	b.graves.dropped[id] = true
	return nil
}

// destroyed reads the graves.
func (b *Buckets) destroyed(ctx context.Context) (map[objects.BucketID]*grave, error) {
	list, err := b.store.List(ctx, b.keys.AllDestroyed())
	if err != nil {
		return nil, err
	}
	all := make(map[objects.BucketID]*grave, len(list))
	for _, doc := range list {
		g := new(grave)
		if err := json.Unmarshal(doc.Value, g); err != nil {
			return nil, errs.E("member.destroyed", doc.Key, errs.Corrupt, err)
		}
		all[g.ID] = g
	}
	b.graves.kept.Store(&all)
	return all, nil
}

// burial is what is written when a bucket is destroyed.
func (b *Buckets) burial(ctx context.Context, was cluster.Document, doc *objects.BucketDoc, version uint64) ([]cluster.Write, error) {
	if !was.Exists() {
		return nil, errs.E("member.burial", doc.Bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	text, err := json.Marshal(grave{*doc, version})
	if err != nil {
		return nil, err
	}
	place, err := b.store.Get(ctx, b.keys.Destroyed(doc.ID))
	if err != nil {
		return nil, err
	}
	return []cluster.Write{was.Remove(), place.Put(text)}, nil
}

// vacant fails where a change is about a bucket that has been destroyed, or a new one
// would have the name of one of which a node still has data: both would lie under one
// name there. It is called after the version of the buckets was read, which every
// destruction changes: nothing of that comes between this look and the commit.
func (b *Buckets) vacant(ctx context.Context, doc *objects.BucketDoc, exists bool) error {
	if exists {
		return nil
	}
	if doc.Version > 1 { // and where the provider lost it, it is put back first
		return errs.E("member.put", doc.Bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	all, err := b.destroyed(ctx)
	if err != nil {
		return err
	}
	for _, g := range all {
		if g.Name != doc.Name || g.Provider != doc.Provider || g.Namespace != doc.Namespace {
			continue
		}
		if late := b.holders(g); len(late) > 0 {
			return errs.E("member.put", doc.Bucket, errs.Busy, fmt.Errorf("a bucket of that name was destroyed, and nodes still have data of it: %v", late))
		}
		return errs.E("member.put", doc.Bucket, errs.Busy, errors.New("a bucket of that name was destroyed, and is about to be forgotten: ask again in a moment"))
	}
	return nil
}

// holders are the nodes of the map that may have something of a destroyed bucket.
func (b *Buckets) holders(g *grave) []string {
	view, others := b.View(), b.heard()
	if view.Map == nil {
		return []string{"all"}
	}
	var late []string
	for _, node := range view.Map.Nodes() {
		has := others[node.ID].version >= g.Buckets && !slices.Contains(others[node.ID].dropping, g.ID)
		if node.ID == view.Self {
			has = b.version.Load() >= g.Buckets && b.graves.has(g.ID)
		}
		if !has {
			late = append(late, string(node.ID))
		}
	}
	return late
}

// isForgotten reports whether a bucket is destroyed and no node of the map has anything of it,
// as this node knows.
func (b *Buckets) isForgotten(id objects.BucketID) bool {
	kept := b.graves.kept.Load()
	return kept != nil && (*kept)[id] != nil && len(b.holders((*kept)[id])) == 0
}

// isCounted reports whether the map still has a count of a bucket. It does not where
// version Buckets of its grave was adopted, and the count has gone since.
func (b *Buckets) isCounted(id objects.BucketID) bool {
	m := b.View().Map
	return m != nil && m.HasCount(id)
}

// buryTime is how long a destruction waits for the last of the data to go, so that the
// name is free when it is answered. What takes longer goes on.
const buryTime = 5 * time.Second

// bury waits until nodes have nothing of a destroyed bucket any more, and then has its
// name free. It does not wait for who is away.
func (b *Buckets) bury(ctx context.Context, doc *objects.BucketDoc) error {
	ctx, done := cluster.Within(ctx, b.Clock, buryTime)
	defer done()
	for {
		all, err := b.sweep(ctx)
		g := all[doc.ID]
		switch {
		case err != nil && ctx.Err() == nil:
			b.Log.WithError(err).WithField("bucket", doc.Name).Debug("what is left of a destroyed bucket is removed later")
			return nil
		case err == nil && (g == nil || b.onlyAway(g)):
			return nil
		}
		if !cluster.Pause(ctx, b.Clock, 4*adoptPause) {
			return nil
		}
	}
}

// onlyAway reports whether a grave is kept for nodes that are away, and for no other.
func (b *Buckets) onlyAway(g *grave) bool {
	view, late := b.View(), b.holders(g)
	return len(late) > 0 && !slices.ContainsFunc(late, func(id string) bool {
		node, ok := view.Map.Node(smap.NodeID(id))
		return ok && !node.State.Away()
	})
}

// sweep removes the graves that nobody needs any more, and returns the others. As long as the
// map has a count of the bucket, who leads needs it, to know that it is to be forgotten.
func (b *Buckets) sweep(ctx context.Context) (map[objects.BucketID]*grave, error) {
	all, err := b.destroyed(ctx)
	if err != nil {
		return nil, err
	}
	left := maps.Clone(all) // what was seen is published, and not changed
	for id, g := range all {
		if len(b.holders(g)) > 0 || b.isCounted(id) { // in this order: who has adopted the grave has a map that had the count
			continue
		}
		doc, err := b.store.Get(ctx, b.keys.Destroyed(id))
		if err != nil {
			return nil, err
		}
		if doc.Exists() {
			if err := b.store.Commit(ctx, doc.Remove()); err != nil && !errs.Is(errs.Conflict, err) { // somebody else has
				return nil, err
			}
		}
		delete(left, id)
	}
	return left, nil
}

// sweepEvery is between two looks of the leader at what may be forgotten.
const sweepEvery = 5 * time.Second

// sweepAll sweeps where this node leads, until the context ends.
func (b *Buckets) sweepAll(ctx context.Context) {
	for cluster.Pause(ctx, b.Clock, sweepEvery) {
		view := b.View()
		if kept := b.graves.kept.Load(); view.Map == nil || view.Leader != view.Self || kept == nil || len(*kept) == 0 {
			continue
		}
		limited, done := cluster.Within(ctx, b.Clock, callTime)
		_, err := b.sweep(limited)
		done()
		if err != nil && !errors.Is(err, context.Canceled) {
			b.Log.WithError(err).Debug("destroyed buckets are not forgotten yet")
		}
	}
}

// forget removes this node's own documents of buckets that no node has anything of.
func (b *Buckets) forget(kept map[objects.BucketID]*grave) error {
	for _, own := range b.Shelf.Buckets() {
		if own.State != objects.BucketDestroyed || kept[own.ID] != nil || !b.graves.has(own.ID) {
			continue
		}
		if err := b.Shelf.Forget(own.ID); err != nil {
			return errs.E("member.forget", own.Bucket, err)
		}
		b.graves.mu.Lock()
		delete(b.graves.dropped, own.ID)
		b.graves.mu.Unlock()
	}
	return nil
}
