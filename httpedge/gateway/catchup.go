package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// CatchUp makes what this node has of every key that it owns and is not in sync for equal
// to what the node in charge of the key has: what that has replaces what is here, what
// that lacks goes; only records of the present key epoch stay, for they are writes that
// count on this node. The map is the one by which this node is recovering.
//
// It compares page by page, and asks about the keys that differ one by one. Keys that came
// to this node by a switch meanwhile are compared, too: it ends when no key has changed
// its owners since it began.
//
// While a mountpath is away it fails with Offline: what is fetched could not be kept. Of
// mountpaths that were lost it notes in the end that the node has caught up with them.
//
// A key of which nobody is in charge cannot be asked about, and not be told from one that
// never was: then it fails with Offline, naming who is missing.
func (g *Gateway) CatchUp(ctx context.Context, m *smap.Smap) error {
	const op errs.Op = "gateway.CatchUp"
	for {
		set := g.lanes()
		if set == nil || set.Map == nil || set.Version() < m.Version() {
			return errs.E(op, errs.Busy, fmt.Errorf("the node does not act on version %d of the map yet", m.Version()))
		}
		lost, err := g.mayCatchUp(set)
		if err != nil {
			return err
		}
		for _, bucket := range g.Buckets() {
			if g.lanes().Most(bucket) == 1 {
				continue // this node is the only source
			}
			uploads, err := g.uploadsBehind(bucket) // one may be completed while objects are compared
			if err == nil {
				err = g.catchUpBucket(ctx, bucket)
			}
			if err == nil {
				err = g.catchUpUploads(ctx, bucket, uploads) // after the objects that uploads became
			}
			if err != nil {
				return errs.E(op, bucket.Bucket, err)
			}
		}
		now := g.lanes()
		if !samePlaces(set.Map, now.Map) {
			continue
		}
		if found, err := g.foundAll(lost, now); found || err != nil {
			return err
		}
	}
}

// foundAll notes that the node has caught up with mountpaths that were lost, if no other
// one was lost meanwhile, and nothing that was on them may have come to be known to nobody.
func (g *Gateway) foundAll(lost []string, now *messages.NodeSet) (bool, error) {
	still, err := g.mayCatchUp(now)
	if err != nil || len(still) > len(lost) || len(lost) == 0 {
		return err == nil && len(still) == 0, err
	}
	return true, g.Found(lost)
}

// samePlaces reports whether every key has the same owners under two maps.
func samePlaces(a, b *smap.Smap) bool {
	nextA, _ := a.Next()
	nextB, _ := b.Next()
	return slices.Equal(a.Placement(), b.Placement()) && slices.Equal(nextA.Switched, nextB.Switched)
}

func (g *Gateway) catchUpBucket(ctx context.Context, bucket *objects.BucketDoc) error {
	for after, more := "", true; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		upto, err := g.catchUpPage(ctx, bucket, after)
		if err != nil {
			return err
		}
		after, more = upto, upto != ""
	}
	return nil
}

// missing says which node may have keys that this one owns and nobody can be asked about;
// empty: there is no such node. Such a key has no owner that serves, and the last that
// left is away.
func missing(set *messages.NodeSet, owners int) string {
	self, _ := set.Map.Node(smap.NodeID(set.Self))
	not, last := 0, ""
	for _, node := range set.Map.Nodes() {
		if node.ID == self.ID || node.State.Serves() {
			continue
		}
		not++
		if node.State.Away() && node.Left > self.Left {
			last = fmt.Sprintf("%s, which is %s", node.ID, node.State)
		}
	}
	if not < owners-1 {
		return ""
	}
	return last
}

// catchUpPage compares a page of this node's records, and returns how far it got.
func (g *Gateway) catchUpPage(ctx context.Context, bucket *objects.BucketDoc, after string) (upto string, err error) {
	const op errs.Op = "gateway.CatchUp"
	set := g.lanes()
	if who := missing(set, ownersOf(set, bucket)); who != "" {
		return "", errs.E(op, bucket.Bucket, errs.Offline, fmt.Errorf("keys that this node owns may be known to nobody but %s", who))
	}
	page, err := g.records(op, bucket, after, holdingRecords)
	if err != nil {
		return "", err
	}
	upto = positionOf(page)
	var nodes []*messages.NodeView
	for _, node := range set.Map.Nodes() {
		if string(node.ID) != set.Self && !node.State.Away() {
			nodes = append(nodes, set.Find(string(node.ID)))
		}
	}
	theirs, err := g.allHoldings(set, nodes, bucket, HoldingsRequest{Asker: set.Self, After: after, Upto: upto, To: smap.Slots - 1})
	if err != nil {
		return "", mapDiffers(op, bucket, err)
	}
	var differ []string
	for i := range page.Entries {
		e := &page.Entries[i]
		digest, _ := keyOf(bucket, e.Name)
		view := set.View(bucket, digest)
		if !lacks(&view, set.Self) {
			continue
		}
		source := theirs[view.InCharge]
		if h, has := source[e.Name]; !has || h.Generation != e.Meta.Generation || h.Unsettled || e.Meta.Unsettled {
			differ = append(differ, e.Name)
		}
		delete(source, e.Name)
	}
	for _, rest := range theirs {
		for name := range rest {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	return upto, g.catchUpKeys(ctx, bucket, differ)
}

// keysTogether is how many keys a node that returns asks about side by side: they wait
// for other nodes and for syncs, mostly.
const keysTogether = 8

// catchUpKeys is catchUpKey for keys that differ. The first failure ends it.
func (g *Gateway) catchUpKeys(ctx context.Context, bucket *objects.BucketDoc, names []string) error {
	var next atomic.Int64
	failures := make([]error, min(keysTogether, len(names)))
	var asking sync.WaitGroup
	for i := range failures {
		asking.Go(func() {
			defer recovered("gateway.CatchUp", objects.Key{Bucket: bucket.Bucket}, &failures[i])
			for failures[i] == nil {
				at := int(next.Add(1)) - 1
				if at >= len(names) {
					return
				}
				if ctx.Err() != nil {
					failures[i] = context.Cause(ctx)
					return
				}
				if failures[i] = g.catchUpKey(bucket, names[at]); failures[i] != nil {
					next.Store(int64(len(names))) // nobody begins another one
				}
			}
		})
	}
	asking.Wait()
	return cmp.Or(failures...)
}

// catchUpKey makes what this node has of a key equal to what the node in charge has.
func (g *Gateway) catchUpKey(bucket *objects.BucketDoc, name string) error {
	const op errs.Op = "gateway.CatchUp"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	var last error
	for look := range maxLooks {
		set := g.lanes()
		c, view := chargeUnder(set, bucket, key.Digest())
		if !lacks(&view, set.Self) {
			return nil
		}
		if c.Node == nil {
			return errs.E(op, key, errs.Offline, errors.New("no node is in charge of it"))
		}
		done, err := g.equal(op, c, bucket, name)
		var differs *messages.MapDiffers
		switch {
		case done && err == nil:
			return nil
		case errors.As(err, &differs):
			g.AwaitMap(set, differs)
		case err != nil && !errs.Is(errs.Busy, err) && !errs.Is(errs.Conflict, err) || look == maxLooks-1:
			return away(op, err)
		}
		last = err
	}
	return errs.E(op, key, errs.Busy, last, errors.New("it is written all the while"))
}

// equal asks the node in charge of a key, and does as it says. Not done: the answer may
// not count any more, and it is to be asked again.
func (g *Gateway) equal(op errs.Op, c Charge, bucket *objects.BucketDoc, name string) (done bool, err error) {
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	writes, err := g.countWrites(op, key) // before the question
	if err != nil {
		return false, err
	}
	by := objects.Origin{Cause: objects.CauseReturn, Other: c.Node.ID}
	own, err := g.Show(bucket, name, c.Epoch, false)
	if err != nil && !IsUnknown(err) {
		return false, err
	}
	if err != nil {
		by.Cause = objects.CauseLost
	}
	theirs, err := g.Peers.Show(c, bucket, name, false)
	if err != nil {
		return false, err
	}
	if theirs.Record != nil && theirs.Record.Unsettled {
		// Who reads it there has it settled first.
		if _, err := g.Peers.Record(c, bucket, name, ""); err != nil && !errs.Is(errs.NotFound, err) {
			return false, err
		}
		return false, nil
	}
	guarded := own.Record != nil && own.Record.Generation.Map >= c.Epoch.Map
	beyond := own.Record != nil && (theirs.Record == nil || own.Record.Generation.Compare(theirs.Record.Generation) > 0)
	switch {
	case beyond && guarded:
		return true, nil
	case beyond:
		if err := g.DropHere(bucket, name, c.Epoch, own.Record.Generation, &writes, by); err != nil {
			return false, err
		}
		return theirs.Record == nil, nil
	case theirs.Record == nil:
		return true, nil
	}
	stored, err := g.AcceptEqual(bucket, name, c.Epoch, theirs.Record, &Arrival{Parts: theirs.Parts}, by)
	if err == nil && stored.NeedsPayload {
		stored, err = g.fetch(c, bucket, name, by)
	}
	return stored.Has, err
}

// fetch has the node in charge send what it has of a key, with its payload, and keeps it.
func (g *Gateway) fetch(c Charge, bucket *objects.BucketDoc, name string, by objects.Origin) (messages.Stored, error) {
	kept, err := g.Peers.Show(c, bucket, name, true)
	if err != nil || kept.Record == nil {
		return messages.Stored{}, err
	}
	if kept.Body == nil {
		return g.AcceptEqual(bucket, name, c.Epoch, kept.Record, nil, by)
	}
	cut := func() {}
	if body, ok := kept.Body.(interface{ Cut() }); ok {
		cut = body.Cut
	}
	stored, err := g.AcceptEqual(bucket, name, c.Epoch, kept.Record, &Arrival{Parts: kept.Parts, Body: kept.Body, Cut: cut}, by)
	return stored, errors.Join(err, kept.Body.Close())
}
