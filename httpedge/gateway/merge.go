package gateway

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// mapTime is how long a request that was refused waits for a newer map. Maps travel
// in milliseconds; where the other node is the older one, it is asked again then.
const mapTime = 250 * time.Millisecond

// newerTime is how long it waits for a map that another node is known to have: that node
// is asked for it, and every mountpath must have it first.
const newerTime = 2 * time.Second

// NodePage is a node's part of a page: the objects that it is in charge of.
type NodePage struct {
	Entries []messages.ObjectEntry
	// Upto is the position up to which the page tells everything; empty: to the end.
	Upto string
}

// UploadsRequest asks for a page of uploads under way.
type UploadsRequest struct {
	Prefix             string
	AfterName, AfterID string
	Limit              int
}

// NodeUploads is a node's part of a page of uploads.
type NodeUploads struct {
	Uploads []objects.Upload
	More    bool
	// UptoName and UptoID are the position up to which the page tells everything,
	// where there is more.
	UptoName, UptoID string
}

// past is the position after an entry: a common prefix stands for all that is below
// it, and FF is greater than all text.
func past(e *messages.ObjectEntry) string {
	if e.Meta == nil {
		return e.Name + "\xff"
	}
	return e.Name
}

// ListOurs returns this node's part of a page under a map.
func (g *Gateway) ListOurs(set *messages.NodeSet, bucket *objects.BucketDoc, r ListRequest) (*NodePage, error) {
	if isNoSource(set, bucket, "") {
		return &NodePage{}, nil // a mountpath that is away here keeps nobody from a list
	}
	r.Markers = messages.UnsettledMarkers
	before := g.Roster.Load()
	page, err := g.list(bucket, r)
	if err == nil {
		err = g.whole("gateway.List", set, bucket, "", before)
	}
	if err != nil {
		return nil, err
	}
	part := &NodePage{Entries: make([]messages.ObjectEntry, 0, len(page.Entries))}
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Meta != nil && !inCharge(set, bucket, e.Name) {
			continue // another node's to show, or left over from an earlier map
		}
		part.Entries = append(part.Entries, *e)
	}
	if err := g.settleEntries(bucket, part); err != nil {
		return nil, err
	}
	if page.More && len(page.Entries) > 0 {
		part.Upto = past(&page.Entries[len(page.Entries)-1])
	}
	return part, nil
}

// listSettlers is how many entries of a page are settled at a time.
const listSettlers = 16

// settleEntries puts what is settled in place of the entries of a page that are not, and
// takes delete markers out. What cannot be settled because a node has quarantined the key is
// shown as it is here: one key keeps nobody from a list.
func (g *Gateway) settleEntries(bucket *objects.BucketDoc, page *NodePage) error {
	const op errs.Op = "gateway.settleEntries"
	failures := make([]error, len(page.Entries))
	var workers sync.WaitGroup
	room := make(chan struct{}, listSettlers)
	for i := range page.Entries {
		e := &page.Entries[i]
		key := objects.Key{Bucket: bucket.Bucket, Name: e.Name}
		if e.Meta == nil || !e.Meta.Unsettled || g.settled.has(key, e.Meta.Generation) {
			continue
		}
		room <- struct{}{}
		workers.Go(func() {
			defer func() { <-room }()
			defer recovered(op, key, &failures[i])
			record, err := g.settledEntry(op, bucket, key)
			switch {
			case err == nil:
				e.Meta = record
			case !isQuarantined(err):
				failures[i] = err
			}
		})
	}
	workers.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	page.Entries = slices.DeleteFunc(page.Entries, func(e messages.ObjectEntry) bool { return e.Meta != nil && e.Meta.Deleted })
	return nil
}

// settledEntry settles a key for a listing; a delete marker: there is nothing.
func (g *Gateway) settledEntry(op errs.Op, bucket *objects.BucketDoc, key objects.Key) (*objects.Meta, error) {
	c, err := g.charged(op, bucket, key.Name)
	if err != nil {
		return nil, err
	}
	release, err := g.turns.take(op, key, g.System.Clock(), Deadline)
	if err != nil {
		return nil, err
	}
	defer release()
	record, err := g.settledRecord(op, bucket, key, c)
	if record == nil && err == nil {
		record = &objects.Meta{Deleted: true}
	}
	return record, err
}

// ListOurUploads is ListOurs for uploads under way.
func (g *Gateway) ListOurUploads(set *messages.NodeSet, bucket *objects.BucketDoc, r UploadsRequest) (*NodeUploads, error) {
	page, err := g.listUploads(bucket, r)
	if err != nil {
		return nil, err
	}
	part := &NodeUploads{More: page.More && len(page.Uploads) > 0}
	for _, u := range page.Uploads {
		part.UptoName, part.UptoID = u.Name, u.ID
		if inCharge(set, bucket, u.Name) {
			part.Uploads = append(part.Uploads, u)
		}
	}
	return part, g.shareEntries(bucket, part)
}

// isQuarantined reports whether something failed because a node has quarantined it.
func isQuarantined(err error) bool {
	var quarantined *messages.Quarantined
	return errors.As(err, &quarantined)
}

// shareEntries sees that all that must have the uploads of a page have them, and takes out
// those that have ended by then. One that a node has quarantined is shown.
func (g *Gateway) shareEntries(bucket *objects.BucketDoc, page *NodeUploads) error {
	const op errs.Op = "gateway.shareEntries"
	failures, ended := make([]error, len(page.Uploads)), make([]bool, len(page.Uploads))
	var workers sync.WaitGroup
	defer workers.Wait()
	room := make(chan struct{}, listSettlers)
	for i := range page.Uploads {
		u := &page.Uploads[i]
		key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
		c, err := g.charged(op, bucket, u.Name)
		if err != nil {
			return err
		}
		if !c.Plural() || g.uploads.isShared(uploadRef{key, u.ID}, c.Epoch) {
			continue
		}
		room <- struct{}{}
		workers.Go(func() {
			defer func() { <-room }()
			defer recovered(op, key, &failures[i])
			upload, err := sharedUpload(g, op, bucket, key, u.ID, c, func() (*objects.Upload, error) {
				upload, _, err := g.uploadHere(op, key, u.ID)
				return upload, err
			})
			if isQuarantined(err) {
				return
			}
			ended[i], failures[i] = upload == nil, err
		})
	}
	workers.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	kept := page.Uploads[:0]
	for i, u := range page.Uploads {
		if !ended[i] {
			kept = append(kept, u)
		}
	}
	page.Uploads = kept
	return nil
}

func inCharge(set *messages.NodeSet, bucket *objects.BucketDoc, name string) bool {
	return string(set.View(bucket, objects.Key{Bucket: bucket.Bucket, Name: name}.Digest()).InCharge) == set.Self
}

// share is how many entries each of several nodes is asked for first: names are
// spread evenly, and who runs dry is asked again.
func share(limit, nodes int) int { return min(limit, (limit*13/10+nodes-1)/nodes+8) }

// source is one node's entries while pages are merged.
type source[E any, P comparable] struct {
	node    *messages.NodeView
	entries []E
	upto    P
	more    bool
}

// ask gets a node's entries after a position: how far they reach, and whether there
// are more.
type ask[E any, P comparable] func(node *messages.NodeView, after P) (entries []E, upto P, more bool, err error)

// needed returns the nodes without which a page of a bucket is not whole. The error names
// one that cannot be asked: one that the map has down is in charge of nothing, and is
// needed only where so many are not up that nobody may be in charge of a key.
func needed(set *messages.NodeSet, bucket *objects.BucketDoc) ([]*messages.NodeView, error) {
	var nodes []*messages.NodeView
	var down *messages.NodeView
	notUp := 0
	for i := range set.Nodes {
		node := &set.Nodes[i]
		if !node.Owns {
			continue
		}
		entry, _ := set.Map.Node(smap.NodeID(node.ID))
		if !entry.State.Serves() {
			notUp++
		}
		switch {
		case entry.State.Away():
			down = node
			continue
		case node.Away != "":
			return nil, &messages.NodeAway{Node: node.ID, Reason: node.Away}
		}
		nodes = append(nodes, node)
	}
	if down != nil && notUp >= ownersOf(set, bucket) {
		return nil, &messages.NodeAway{Node: down.ID, Reason: cmp.Or(down.Away, "it is down")}
	}
	return nodes, nil
}

// merge takes up to limit entries in order from several nodes, and says whether there
// are more. Equal entries of several nodes are one.
func merge[E any, P comparable](nodes []*messages.NodeView, limit int, begin P, ask ask[E, P], compare func(a, b *E) int) (merged []E, more bool, err error) {
	sources := make([]*source[E, P], len(nodes))
	for i, node := range nodes {
		sources[i] = &source[E, P]{node: node, upto: begin, more: true}
	}
	for {
		if err := refill(sources, ask); err != nil {
			return nil, false, err
		}
		var least *E
		for _, s := range sources {
			if len(s.entries) > 0 && (least == nil || compare(&s.entries[0], least) < 0) {
				least = &s.entries[0]
			}
		}
		if least == nil {
			return merged, false, nil
		}
		if len(merged) == limit {
			return merged, true, nil
		}
		merged = append(merged, *least)
		for _, s := range sources {
			if len(s.entries) > 0 && compare(&s.entries[0], &merged[len(merged)-1]) == 0 {
				s.entries = s.entries[1:]
			}
		}
	}
}

// refill asks the nodes that have run dry and have more, all at once, until none is.
func refill[E any, P comparable](sources []*source[E, P], ask ask[E, P]) error {
	for {
		var asked sync.WaitGroup
		failures := make([]error, len(sources))
		dry := false
		for i, s := range sources {
			if len(s.entries) > 0 || !s.more {
				continue
			}
			dry = true
			asked.Go(func() {
				defer recovered("gateway.refill", objects.Key{}, &failures[i])
				s.entries, s.upto, s.more, failures[i] = ask(s.node, s.upto)
			})
		}
		asked.Wait()
		if err := errors.Join(failures...); err != nil || !dry {
			return err
		}
	}
}

// underOneMap makes a page, and makes it again where a node has another map.
func underOneMap[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, set *messages.NodeSet, make func(*messages.NodeSet) (T, error)) (T, error) {
	for look := 1; ; look++ {
		if set.Map == nil {
			var none T
			return none, errs.E(op, bucket.Bucket, errs.Offline, errNotJoined)
		}
		page, err := make(set)
		var differs *messages.MapDiffers
		if !errors.As(err, &differs) {
			return page, away(op, err)
		}
		if look == maxMaps {
			return page, errs.E(op, bucket.Bucket, errs.Busy, err)
		}
		g.AwaitMap(set, differs)
		set = g.nodes()
	}
}

// listAll merges a page out of the parts of all nodes.
func (g *Gateway) listAll(op errs.Op, set *messages.NodeSet, bucket *objects.BucketDoc, r ListRequest) (*messages.ObjectPage, error) {
	return underOneMap(g, op, bucket, set, func(set *messages.NodeSet) (*messages.ObjectPage, error) {
		ask := func(node *messages.NodeView, after string) ([]messages.ObjectEntry, string, bool, error) {
			r := r
			r.After, r.Limit = after, share(r.Limit+1, len(set.Nodes))
			var part *NodePage
			var err error
			if node.ID == set.Self {
				part, err = g.ListOurs(set, bucket, r)
			} else {
				part, err = g.Peers.List(set, node, bucket, r)
			}
			if err != nil {
				return nil, "", false, errs.E(op, bucket.Bucket, err)
			}
			if part.Upto != "" && part.Upto <= after {
				return nil, "", false, errs.E(op, bucket.Bucket, errs.Internal, errors.New("node "+node.ID+" does not get on with its page"))
			}
			return part.Entries, part.Upto, part.Upto != "", nil
		}
		nodes, err := needed(set, bucket)
		if err != nil {
			return nil, err
		}
		entries, more, err := merge(nodes, r.Limit, r.After, ask, func(a, b *messages.ObjectEntry) int { return strings.Compare(a.Name, b.Name) })
		if err != nil {
			return nil, err
		}
		return &messages.ObjectPage{Entries: entries, More: more}, nil
	})
}

// uploadPosition is where a page of uploads goes on.
type uploadPosition struct{ name, id string }

// listAllUploads is listAll for uploads under way.
func (g *Gateway) listAllUploads(op errs.Op, set *messages.NodeSet, bucket *objects.BucketDoc, r UploadsRequest) (*messages.UploadPage, error) {
	return underOneMap(g, op, bucket, set, func(set *messages.NodeSet) (*messages.UploadPage, error) {
		ask := func(node *messages.NodeView, after uploadPosition) ([]objects.Upload, uploadPosition, bool, error) {
			r := r
			r.AfterName, r.AfterID, r.Limit = after.name, after.id, share(r.Limit+1, len(set.Nodes))
			var part *NodeUploads
			var err error
			if node.ID == set.Self {
				part, err = g.ListOurUploads(set, bucket, r)
			} else {
				part, err = g.Peers.ListUploads(set, node, bucket, r)
			}
			if err != nil {
				return nil, uploadPosition{}, false, errs.E(op, bucket.Bucket, err)
			}
			upto := uploadPosition{part.UptoName, part.UptoID}
			if part.More && upto == after {
				return nil, uploadPosition{}, false, errs.E(op, bucket.Bucket, errs.Internal, errors.New("node "+node.ID+" does not get on with its page"))
			}
			return part.Uploads, upto, part.More, nil
		}
		nodes, err := needed(set, bucket)
		if err != nil {
			return nil, err
		}
		uploads, more, err := merge(nodes, r.Limit, uploadPosition{r.AfterName, r.AfterID}, ask, func(a, b *objects.Upload) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
		if err != nil {
			return nil, err
		}
		return &messages.UploadPage{Uploads: uploads, More: more}, nil
	})
}
