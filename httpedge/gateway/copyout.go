package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// withRecord is up to how many bytes a payload goes with its record, before the other
// node has said that it needs it: a question costs more.
const withRecord = 64 << 10

// copying is this node's charge of a key by the map that its lanes act on, and who is to be
// given the key by the plan under way; not ours: another node is in charge, or none.
func (g *Gateway) copying(op errs.Op, bucket *objects.BucketDoc, key objects.Key) (c Charge, to []smap.NodeID, ours bool, err error) {
	set := g.lanes()
	if set == nil || set.Map == nil {
		return c, nil, false, errs.E(op, key, errs.Offline, errNotJoined)
	}
	c, view := chargeUnder(set, bucket, key.Digest())
	if string(view.InCharge) != set.Self {
		return c, nil, false, nil
	}
	return c, targets(set, &view), true, nil
}

// CopyOut makes what the next owners of a key have equal to what this node has, under the
// map that its lanes act on, and returns how many bytes of payload were sent. It does
// nothing for a key that this node is not in charge of, or that has no next owner.
//
// It is done in the key's turn, on what is settled. What the next owners have beyond this
// node's goes, if it is older than the key epoch: it was left over by an earlier plan.
func (g *Gateway) CopyOut(_ context.Context, bucket *objects.BucketDoc, name string) (bytes int64, err error) {
	const op errs.Op = "gateway.CopyOut"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	c, to, ours, err := g.copying(op, bucket, key)
	if err != nil || !ours {
		return 0, err
	}
	fail := func(err error) (int64, error) { return bytes, away(op, mapDiffers(op, bucket, err)) }
	if record, err := g.recordMarked(op, key); err == nil && record.Meta.Size > withRecord {
		// A large payload goes first: writes of the key do not wait for it.
		if bytes, err = g.copyAll(op, c, bucket, name, to); err != nil {
			return fail(err)
		}
	}
	release, err := g.turns.take(op, key, g.System.Clock(), Deadline)
	if err != nil {
		return fail(err)
	}
	defer release()
	if _, err := g.settledRecord(op, bucket, key, c); err != nil {
		return fail(err)
	}
	sent, err := g.copyAll(op, c, bucket, name, to)
	bytes += sent
	if err != nil {
		return fail(err)
	}
	return bytes, nil
}

// copyAll does CopyOut for all next owners.
func (g *Gateway) copyAll(op errs.Op, c Charge, bucket *objects.BucketDoc, name string, to []smap.NodeID) (bytes int64, err error) {
	for _, id := range to {
		c.Node = c.Set.Find(string(id))
		sent, err := g.copyTo(op, c, bucket, name)
		bytes += sent
		if err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// copyTo does CopyOut for one next owner.
func (g *Gateway) copyTo(op errs.Op, c Charge, bucket *objects.BucketDoc, name string) (sent int64, err error) {
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	c.Sends, c.For = messages.ToEqual, objects.Origin{Cause: objects.CausePlan, Other: c.Set.Self}
	for range maxLooks {
		kept, err := g.Show(bucket, name, c.Epoch, false)
		if err != nil {
			return sent, err
		}
		if kept.Record == nil {
			theirs, err := g.Peers.Show(c, bucket, name, false)
			if err != nil || theirs.Record == nil || theirs.Record.Generation.Map >= c.Epoch.Map {
				return sent, err
			}
			return sent, g.Peers.Drop(c, bucket, name, theirs.Record.Generation)
		}
		stored := messages.Stored{NeedsPayload: true}
		if kept.Record.Deleted || kept.Record.Size > withRecord {
			if stored, err = g.Peers.Store(c, bucket, name, kept.Record, nil); err != nil {
				return sent, err
			}
		}
		if stored.NeedsPayload {
			var bytes int64
			stored, bytes, err = g.sendWhole(c, bucket, name)
			sent += bytes
			if err != nil {
				return sent, err
			}
		}
		switch here := stored.Here; {
		case stored.Has:
			return sent, nil
		case here != nil && here.Generation.Map >= c.Epoch.Map:
			return sent, nil // it was written meanwhile, and all of the ack set are sent it
		case here != nil:
			if err := g.Peers.Drop(c, bucket, name, here.Generation); err != nil {
				return sent, err
			}
		}
	}
	return sent, errs.E(op, key, errs.Busy, fmt.Errorf("node %s has something else of it each time", c.Node.ID))
}

// sendWhole sends what this node has of a key with its payload.
func (g *Gateway) sendWhole(c Charge, bucket *objects.BucketDoc, name string) (stored messages.Stored, sent int64, err error) {
	kept, err := g.Show(bucket, name, c.Epoch, true)
	switch {
	case err != nil:
		return stored, 0, err
	case kept.Record == nil:
		return stored, 0, nil
	case kept.Body == nil:
		stored, err = g.Peers.Store(c, bucket, name, kept.Record, nil)
		return stored, 0, err
	}
	stored, err = g.Peers.Store(c, bucket, name, kept.Record, &Arrival{Parts: kept.Parts, Body: kept.Body})
	return stored, kept.Record.Size, errors.Join(err, kept.Body.Close())
}

var (
	errInSync  = errors.New("the node is a source of the key: what it has is not dropped")
	errPresent = errors.New("the record is of the present key epoch: it may be a write that others count on")
)

// DropHere removes a record that the node in charge of its key lacks, or has an older one
// of, under an epoch of the key, in its turn. It refuses (Conflict) what may count: a
// record of the present epoch, or another generation than the one given. Writes, if not
// nil, is what countWrites returned before that was found out. By is for the history. A
// *messages.MapDiffers has changed nothing.
func (g *Gateway) DropHere(bucket *objects.BucketDoc, name string, epoch smap.Epoch, generation objects.Generation, writes *uint64, by objects.Origin) error {
	const op errs.Op = "gateway.Drop"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return err
	}
	fence.For = by
	view := fence.Set.View(bucket, key.Digest())
	switch {
	case slices.Contains(view.InSync, smap.NodeID(fence.Set.Self)):
		return errs.E(op, key, errs.Conflict, errInSync)
	case generation.Map >= epoch.Map:
		return errs.E(op, key, errs.Conflict, errPresent)
	}
	_, err = change(g, op, key, func(p *place) (struct{}, error) {
		if err := g.settle(op, key, p); err != nil {
			return struct{}{}, err
		}
		m := &messages.DropRecord{Key: key, Generation: generation, Fence: p.under(fence), Reply: messages.NewReply[struct{}]()}
		if writes != nil {
			m.Counted, m.Writes = true, *writes
		}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
	return err
}

// countWrites returns a number that is another one once a write of the key has come.
func (g *Gateway) countWrites(op errs.Op, key objects.Key) (uint64, error) {
	return change(g, op, key, func(p *place) (uint64, error) {
		m := &messages.CountWrites{Key: key, Reply: messages.NewReply[uint64]()}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
}

// LaneMap returns the nodes by the map that this node's lanes act on; nil: it is alone.
func (g *Gateway) LaneMap() *messages.NodeSet { return g.lanes() }
