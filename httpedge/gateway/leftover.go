package gateway

import (
	"errors"

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
		m := &messages.RemoveLeftover{Key: key, Generation: l.Generation, Owners: bucket.Props.Owners(), Document: bucket.Version, Reply: messages.NewReply[struct{}]()}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
	if errs.Is(errs.Conflict, err) {
		return nil
	}
	return err
}

// uploadsPage is how many uploads under way are looked at together.
const uploadsPage = 1000

// eachUpload calls a function for every upload under way that this node has.
func (g *Gateway) eachUpload(bucket *objects.BucketDoc, do func(u *objects.Upload) error) error {
	r := UploadsRequest{Limit: uploadsPage}
	for {
		page, err := g.listUploads(bucket, r)
		if err != nil {
			return err
		}
		for i := range page.Uploads {
			u := &page.Uploads[i]
			r.AfterName, r.AfterID = u.Name, u.ID
			if err := do(u); err != nil {
				return err
			}
		}
		if !page.More || len(page.Uploads) == 0 {
			return nil
		}
	}
}

// UploadsIn counts the uploads under way in a run of slots that this node is in charge
// of and the plan under way covers.
func (g *Gateway) UploadsIn(bucket *objects.BucketDoc, from, to uint16) (int, error) {
	set, count := g.lanes(), 0
	if set == nil || set.Map == nil {
		return 0, nil
	}
	err := g.eachUpload(bucket, func(u *objects.Upload) error {
		digest, slot := keyOf(bucket, u.Name)
		if slot < from || slot > to {
			return nil
		}
		if view := set.View(bucket, digest); string(view.InCharge) == set.Self && len(view.Next) > 0 {
			count++
		}
		return nil
	})
	return count, err
}

// RemoveLeftoverUploads aborts the uploads under way of keys that this node does not
// hold.
func (g *Gateway) RemoveLeftoverUploads(bucket *objects.BucketDoc) error {
	const op errs.Op = "gateway.RemoveLeftoverUploads"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return nil
	}
	var failures []error
	err := g.eachUpload(bucket, func(u *objects.Upload) error {
		if holds(set, bucket, u.Name) {
			return nil
		}
		key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
		_, err := change(g, op, key, func(p *place) (struct{}, error) {
			m := &messages.AbortUpload{Key: key, UploadID: u.ID, Reply: messages.NewReply[struct{}]()}
			g.System.Root().Send(p.owner.Writer(p.digest), m)
			return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		})
		if !errs.Is(errs.NotFound, err) {
			failures = append(failures, err)
		}
		return nil
	})
	return errors.Join(append(failures, err)...)
}
