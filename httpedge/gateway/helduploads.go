package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Uploads under way go along when keys go over to other nodes, and a node that returns
// has them made equal, as records: see copyout.go and catchup.go.

// HeldUploadsRequest asks a node for a page of uploads under way that two nodes both
// keep, or are to: as HoldingsRequest, whose fields these are.
type HeldUploadsRequest struct {
	Asker              string
	Next               bool
	AfterName, AfterID string // uploads after this pair
	From, To           uint16
}

// HeldUploads answers a HeldUploadsRequest.
type HeldUploads struct {
	Uploads []messages.UploadName
	// AfterName and AfterID are where the next page goes on, if there is More.
	AfterName, AfterID string
	More               bool
}

// uploadsPage is how many uploads under way are looked at together.
const uploadsPage = 1000

// HeldUploads returns a page of uploads under a map: the one that the lanes act on.
func (g *Gateway) HeldUploads(set *messages.NodeSet, bucket *objects.BucketDoc, r HeldUploadsRequest) (*HeldUploads, error) {
	page, err := g.listUploads(bucket, UploadsRequest{AfterName: r.AfterName, AfterID: r.AfterID, Limit: uploadsPage})
	if err != nil {
		return nil, err
	}
	answer := &HeldUploads{More: page.More && len(page.Uploads) > 0}
	for i := range page.Uploads {
		u := &page.Uploads[i]
		answer.AfterName, answer.AfterID = u.Name, u.ID
		if isAskedFor(set, bucket, u.Name, r.Asker, r.Next, r.From, r.To) {
			answer.Uploads = append(answer.Uploads, messages.UploadName{Name: u.Name, ID: u.ID})
		}
	}
	return answer, nil
}

// allHeldUploads asks nodes side by side for all uploads that they hold with this one.
func (g *Gateway) allHeldUploads(set *messages.NodeSet, nodes []*messages.NodeView, bucket *objects.BucketDoc, r HeldUploadsRequest) (map[messages.UploadName]bool, error) {
	var asking sync.WaitGroup
	answers, failures := make([][]messages.UploadName, len(nodes)), make([]error, len(nodes))
	for i, node := range nodes {
		asking.Go(func() {
			defer recovered("gateway.HeldUploads", objects.Key{Bucket: bucket.Bucket}, &failures[i])
			for r, more := r, true; more; {
				page, err := g.Peers.HeldUploads(set, node, bucket, r)
				if err != nil {
					failures[i] = away("gateway.HeldUploads", err)
					return
				}
				answers[i] = append(answers[i], page.Uploads...)
				r.AfterName, r.AfterID, more = page.AfterName, page.AfterID, page.More
			}
		})
	}
	asking.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	all := make(map[messages.UploadName]bool)
	for _, list := range answers {
		for _, u := range list {
			all[u] = true
		}
	}
	return all, nil
}

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

// OwedUploads returns the uploads under way in a run of slots whose keys this node is in
// charge of and a plan gives to others: those that it has, and those that a next owner
// has of an earlier plan. As Owed.
func (g *Gateway) OwedUploads(r messages.OwedRequest) ([]messages.UploadName, error) {
	const op errs.Op = "gateway.OwedUploads"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return nil, errs.E(op, r.Bucket.Bucket, errs.Offline, errNotJoined)
	}
	next, planned := set.Map.Next()
	if !planned {
		return nil, nil
	}
	var nodes []*messages.NodeView
	for _, id := range next.Placement {
		if node, in := set.Map.Node(id); in && string(id) != set.Self && !node.State.Away() {
			nodes = append(nodes, set.Find(string(id)))
		}
	}
	owed, err := g.allHeldUploads(set, nodes, r.Bucket, HeldUploadsRequest{Asker: set.Self, Next: true, From: r.From, To: r.To})
	if err != nil {
		return nil, mapDiffers(op, r.Bucket, err)
	}
	err = g.eachUpload(r.Bucket, func(u *objects.Upload) error {
		digest, slot := keyOf(r.Bucket, u.Name)
		if slot < r.From || slot > r.To {
			return nil
		}
		if view := set.View(r.Bucket, digest); string(view.InCharge) == set.Self && len(targets(set, &view)) > 0 {
			owed[messages.UploadName{Name: u.Name, ID: u.ID}] = true
		}
		return nil
	})
	return uploadNames(owed), err
}

func uploadNames(set map[messages.UploadName]bool) []messages.UploadName {
	list := make([]messages.UploadName, 0, len(set))
	for u := range set {
		list = append(list, u)
	}
	slices.SortFunc(list, messages.UploadName.Compare)
	return list
}

// CopyOutUpload makes what the next owners of a key have of an upload under way what this
// node has, under the map that its lanes act on, and returns how many bytes were sent but
// for those of parts that came meanwhile. As CopyOut.
func (g *Gateway) CopyOutUpload(_ context.Context, bucket *objects.BucketDoc, u messages.UploadName) (bytes int64, err error) {
	const op errs.Op = "gateway.CopyOutUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
	c, to, ours, err := g.copying(op, bucket, key)
	if err != nil || !ours {
		return 0, err
	}
	for _, id := range to { // most parts go first: those that come do not wait for them
		sent, err := g.sendAhead(op, bucket, key, u.ID, c, c.Set.Find(string(id)))
		if bytes += sent; err != nil {
			return bytes, away(op, mapDiffers(op, bucket, err))
		}
	}
	return bytes, away(op, mapDiffers(op, bucket, g.shareNow(op, bucket, key, u.ID, c)))
}

// sendAhead sends a node parts of an upload that it lacks, each in a turn of its own, and
// returns how many bytes they had.
func (g *Gateway) sendAhead(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge, node *messages.NodeView) (sent int64, err error) {
	c.Node = node
	ref := uploadRef{key, uploadID}
	inTurn := func(do func() error) error {
		release, err := g.uploads.takePart(op, ref, g.System.Clock(), Deadline)
		if err != nil {
			return err
		}
		defer release()
		return do()
	}
	var missing []int
	var parts []objects.Part
	err = inTurn(func() error {
		theirs, err := g.Peers.ShowUpload(c, bucket, key.Name, uploadID)
		if err != nil {
			return err
		}
		var mine *objects.Upload
		if mine, parts, err = g.uploadHere(op, key, uploadID); err != nil || mine == nil || theirs.Became != nil {
			return err
		}
		missing, err = g.Peers.KeepUpload(c, bucket, mine, parts, theirs.Writes)
		return err
	})
	for _, p := range parts {
		if err == nil && slices.Contains(missing, p.Number) {
			err = inTurn(func() error { return g.sendPart(op, bucket, key, c, node, uploadID, &p) })
			sent += p.Size
		}
	}
	var differs *messages.MapDiffers
	if errors.Is(err, objects.ErrNoSuchUpload) || errs.Is(errs.Conflict, err) || errs.Is(errs.Busy, err) && !errors.As(err, &differs) {
		return sent, nil // it changed or ended meanwhile: who has it alone finds out
	}
	return sent, err
}

// RemoveLeftoverUploads ends the uploads under way of keys that this node does not hold,
// by the map that its lanes act on then, and returns how many there were.
func (g *Gateway) RemoveLeftoverUploads(bucket *objects.BucketDoc) (removed int, err error) {
	const op errs.Op = "gateway.RemoveLeftoverUploads"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return 0, nil
	}
	var failures []error
	err = g.eachUpload(bucket, func(u *objects.Upload) error {
		if holds(set, bucket, u.Name) {
			return nil
		}
		key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
		_, err := change(g, op, key, func(p *place) (struct{}, error) {
			if err := g.settleUpload(op, key, u.ID, p); err != nil {
				return struct{}{}, err
			}
			m := &messages.RemoveLeftoverUpload{Key: key, UploadID: u.ID, Placing: messages.Placing(bucket, key.Digest()), Reply: messages.NewReply[struct{}]()}
			g.System.Root().Send(p.owner.Writer(p.digest), m)
			return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		})
		switch {
		case err == nil:
			removed++
		case !errs.Is(errs.Conflict, err):
			failures = append(failures, err)
		}
		return nil
	})
	return removed, errors.Join(append(failures, err)...)
}

// uploadsBehind returns the uploads under way of keys that this node owns and is not in
// sync for: those that it has, and those that others say it is to have.
func (g *Gateway) uploadsBehind(bucket *objects.BucketDoc) (map[messages.UploadName]bool, error) {
	const op errs.Op = "gateway.CatchUp"
	set := g.lanes()
	var nodes []*messages.NodeView
	for _, node := range set.Map.Nodes() {
		if string(node.ID) != set.Self && !node.State.Away() {
			nodes = append(nodes, set.Find(string(node.ID)))
		}
	}
	all, err := g.allHeldUploads(set, nodes, bucket, HeldUploadsRequest{Asker: set.Self, To: smap.Slots - 1})
	if err != nil {
		return nil, mapDiffers(op, bucket, err)
	}
	err = g.eachUpload(bucket, func(u *objects.Upload) error {
		digest, _ := keyOf(bucket, u.Name)
		if view := set.View(bucket, digest); lacks(&view, set.Self) {
			all[messages.UploadName{Name: u.Name, ID: u.ID}] = true
		}
		return nil
	})
	return all, err
}

// catchUpUploads has the nodes in charge make what this node has of their uploads what
// they have: those that are behind now, and those that were before the objects were
// compared. One of these that is under way no more may have become the object since, of
// which this node may not have been told: its key is compared again.
func (g *Gateway) catchUpUploads(ctx context.Context, bucket *objects.BucketDoc, before map[messages.UploadName]bool) error {
	const op errs.Op = "gateway.CatchUp"
	all, err := g.uploadsBehind(bucket)
	if err != nil {
		return err
	}
	maps.Copy(all, before)
	for _, u := range uploadNames(all) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := g.catchUpUpload(bucket, u); err != nil {
			return err
		}
		here, _, err := g.uploadHere(op, objects.Key{Bucket: bucket.Bucket, Name: u.Name}, u.ID)
		if err == nil && here == nil {
			err = g.catchUpKey(bucket, u.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUpUpload has the node in charge of a key make an upload equal here.
func (g *Gateway) catchUpUpload(bucket *objects.BucketDoc, u messages.UploadName) error {
	const op errs.Op = "gateway.CatchUp"
	key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
	for look := 1; ; look++ {
		set := g.lanes()
		c, view := chargeUnder(set, bucket, key.Digest())
		if !lacks(&view, set.Self) {
			return nil
		}
		if c.Node == nil {
			return errs.E(op, key, errs.Offline, fmt.Errorf("no node is in charge of it"))
		}
		err := g.Peers.ShareUpload(c, bucket, u.Name, u.ID)
		var differs *messages.MapDiffers
		if !errors.As(err, &differs) || look == maxLooks {
			return away(op, err)
		}
		g.AwaitMap(set, differs)
	}
}
