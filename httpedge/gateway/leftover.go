package gateway

import (
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Leftovers returns a page of records of keys that this node neither owns nor will own,
// by the map that its lanes act on.
func (g *Gateway) Leftovers(bucket *objects.BucketDoc, after string) (*messages.LeftoverPage, error) {
	const op errs.Op = "gateway.Leftovers"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return &messages.LeftoverPage{}, nil
	}
	page, err := g.records(op, bucket, after, holdingRecords)
	if err != nil {
		return nil, err
	}
	answer := &messages.LeftoverPage{Upto: positionOf(page)}
	for i := range page.Entries {
		e := &page.Entries[i]
		if !holds(set, bucket, e.Name) {
			answer.Leftovers = append(answer.Leftovers, messages.Leftover{Name: e.Name, Generation: e.Meta.Generation})
		}
	}
	return answer, nil
}

func holds(set *messages.NodeSet, bucket *objects.BucketDoc, name string) bool {
	digest, _ := keyOf(bucket, name)
	view := set.View(bucket, digest)
	return view.Holds(smap.NodeID(set.Self))
}

// RemoveLeftover removes a record and its payload, in the key's turn, if the node does
// not hold the key then and the record is still of that generation. That it does, or is
// not, is no failure.
func (g *Gateway) RemoveLeftover(bucket *objects.BucketDoc, l messages.Leftover) error {
	const op errs.Op = "gateway.RemoveLeftover"
	key := objects.Key{Bucket: bucket.Bucket, Name: l.Name}
	_, err := change(g, op, key, func(p *place) (struct{}, error) {
		if err := g.settle(op, key, p); err != nil {
			return struct{}{}, err
		}
		m := &messages.RemoveLeftover{Key: key, Generation: l.Generation, Placing: messages.Placing(bucket, key.Digest()), Reply: messages.NewReply[struct{}]()}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
	if errs.Is(errs.Conflict, err) {
		return nil
	}
	return err
}
