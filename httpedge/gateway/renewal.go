package gateway

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// coveredError says that a node refused a record because a delete marker that it dropped
// may have deleted it.
type coveredError struct {
	node    string
	version uint64 // of the map under which the record is to get a generation, or a later one
}

// Error implements error.
func (e *coveredError) Error() string {
	return fmt.Sprintf("node %s takes it for one that was deleted: it wants a generation of version %d of the cluster map", e.node, e.version)
}

// maxRenewals bounds how often a record gets a greater generation while it is spread: once
// is enough, unless markers are dropped meanwhile, or the lanes are about to act on the map
// that a marker is of.
const maxRenewals = 4

// spreadRenewed is spread, with a greater generation for the record where a node refuses
// the one that it has. What is refused is a write that was on its way for longer than
// markers are kept, or a record that is settled late: nobody can tell that it was never
// shown, so it goes forward. The record is changed to what it has become. In the key's
// turn.
func (g *Gateway) spreadRenewed(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, others []*messages.NodeView, record *objects.Meta, inline []byte) (*greaterRecord, error) {
	for try := 0; ; try++ {
		greater, err := g.spread(op, bucket, key, c, others, record, inline)
		var covered *coveredError
		if greater != nil || !errors.As(err, &covered) || try == maxRenewals {
			return greater, err
		}
		if set := g.lanes(); set.Version() < covered.version {
			g.AwaitMap(set, &messages.MapDiffers{Node: covered.node, Version: covered.version})
		}
		renewed, err := g.renew(op, bucket, key, c, record.Generation)
		if err != nil {
			return nil, err
		}
		*record = *renewed
	}
}

// renew has the key's lane give its record a greater generation.
func (g *Gateway) renew(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, generation objects.Generation) (*objects.Meta, error) {
	return change(g, op, key, func(p *place) (*objects.Meta, error) {
		if err := g.settle(op, key, p); err != nil {
			return nil, err
		}
		m := &messages.RenewRecord{Key: key, Generation: generation, Fence: p.under(c.fence(true)), Reply: messages.NewReply[*objects.Meta]()}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
}
