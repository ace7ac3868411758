package gateway

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// HoldingsRequest asks a node for a page of records that two nodes both keep, or are to.
type HoldingsRequest struct {
	Asker string // id of the node that asks
	// Next: records of keys that the asker is in charge of, and that this node is to own by
	// the plan under way, and does not yet. Otherwise: records of keys that this node is in
	// charge of, and that the asker owns and is not in sync for.
	Next     bool
	After    string // names after it
	Upto     string // names up to it; empty: to the end
	From, To uint16 // slots, both inclusive
}

// Holding is what a node has of a key.
type Holding struct {
	Name       string
	Generation objects.Generation
	Unsettled  bool
}

// HoldingsPage answers a HoldingsRequest.
type HoldingsPage struct {
	Holdings []Holding
	// Told is the position up to which the page tells everything; empty: all that was asked
	// for.
	Told string
}

// holdingRecords is how many records a node looks at for one page of holdings.
const holdingRecords = 2000

// records returns a page of the records that this node has, delete markers with them.
func (g *Gateway) records(op errs.Op, bucket *objects.BucketDoc, after string, limit int) (*messages.ObjectPage, error) {
	view := g.Config.Buckets.Load().Find(bucket.Name)
	if view == nil || view.Doc.ID != bucket.ID {
		return nil, errs.E(op, bucket.Bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	m := &messages.ListObjects{Bucket: bucket.Bucket, After: after, Limit: limit, Markers: messages.AllMarkers, Reply: messages.NewReply[*messages.ObjectPage]()}
	g.System.Root().Send(view.Actor, m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}

// positionOf is the last position of a page of records; empty: there are no more after it.
func positionOf(page *messages.ObjectPage) string {
	if !page.More || len(page.Entries) == 0 {
		return ""
	}
	return page.Entries[len(page.Entries)-1].Name
}

// keyOf returns a name's key and slot.
func keyOf(bucket *objects.BucketDoc, name string) (digest uint64, slot uint16) {
	digest = objects.Key{Bucket: bucket.Bucket, Name: name}.Digest()
	return digest, smap.SlotOf(digest)
}

// Holdings returns a page of records under a map: the one that the lanes act on.
func (g *Gateway) Holdings(set *messages.NodeSet, bucket *objects.BucketDoc, r HoldingsRequest) (*HoldingsPage, error) {
	const op errs.Op = "gateway.Holdings"
	if !r.Next && isNoSource(set, bucket, r.Asker) {
		return &HoldingsPage{}, nil // a mountpath that is away here holds nobody up
	}
	before := g.Roster.Load()
	page, err := g.records(op, bucket, r.After, holdingRecords)
	if err != nil {
		return nil, err
	}
	if !r.Next {
		if err := g.whole(op, set, bucket, r.Asker, before); err != nil {
			return nil, err
		}
	}
	answer := &HoldingsPage{Told: positionOf(page)}
	for i := range page.Entries {
		e := &page.Entries[i]
		if r.Upto != "" && e.Name > r.Upto {
			answer.Told = ""
			break
		}
		if !isAskedFor(set, bucket, e.Name, r.Asker, r.Next, r.From, r.To) {
			continue
		}
		unsettled := e.Meta.Unsettled && !g.settled.has(objects.Key{Bucket: bucket.Bucket, Name: e.Name}, e.Meta.Generation)
		answer.Holdings = append(answer.Holdings, Holding{e.Name, e.Meta.Generation, unsettled})
	}
	return answer, nil
}

// isAskedFor reports whether a question of another node about what this one holds is about
// a key in these slots: that the asker is in charge of and this node is to be given (next),
// or that this node is in charge of and the asker lacks.
func isAskedFor(set *messages.NodeSet, bucket *objects.BucketDoc, name, asker string, next bool, from, to uint16) bool {
	digest, slot := keyOf(bucket, name)
	if slot < from || slot > to {
		return false
	}
	view := set.View(bucket, digest)
	if next {
		return string(view.InCharge) == asker && slices.Contains(targets(set, &view), smap.NodeID(set.Self))
	}
	return string(view.InCharge) == set.Self && lacks(&view, asker)
}

// targets are the nodes that are to be given a key by the plan under way: next owners
// that are none yet, and not away.
func targets(set *messages.NodeSet, v *smap.View) []smap.NodeID {
	var list []smap.NodeID
	for _, id := range v.Next {
		if node, _ := set.Map.Node(id); !node.State.Away() && !slices.Contains(v.Owners, id) {
			list = append(list, id)
		}
	}
	return list
}

// lacks reports whether a node owns a key and is not in sync for it.
func lacks(v *smap.View, id string) bool {
	return slices.Contains(v.Owners, smap.NodeID(id)) && !slices.Contains(v.InSync, smap.NodeID(id))
}

// holdingsOf asks a node for all that it has of a range of names, by name.
func (g *Gateway) holdingsOf(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r HoldingsRequest) (map[string]Holding, error) {
	all := make(map[string]Holding)
	for {
		page, err := g.Peers.Holdings(set, node, bucket, r)
		if err != nil {
			return nil, away("gateway.Holdings", err)
		}
		for _, h := range page.Holdings {
			all[h.Name] = h
		}
		if page.Told == "" {
			return all, nil
		}
		if page.Told <= r.After {
			return nil, errs.E("gateway.Holdings", bucket.Bucket, errs.Internal, errors.New("node "+node.ID+" does not get on with its page"))
		}
		r.After = page.Told
	}
}

// allHoldings asks nodes side by side, and returns what each of them has.
func (g *Gateway) allHoldings(set *messages.NodeSet, nodes []*messages.NodeView, bucket *objects.BucketDoc, r HoldingsRequest) (map[smap.NodeID]map[string]Holding, error) {
	var asking sync.WaitGroup
	answers, failures := make([]map[string]Holding, len(nodes)), make([]error, len(nodes))
	for i, node := range nodes {
		asking.Go(func() {
			defer recovered("gateway.Holdings", objects.Key{Bucket: bucket.Bucket}, &failures[i])
			answers[i], failures[i] = g.holdingsOf(set, node, bucket, r)
		})
	}
	asking.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	all := make(map[smap.NodeID]map[string]Holding, len(nodes))
	for i, node := range nodes {
		all[smap.NodeID(node.ID)] = answers[i]
	}
	return all, nil
}

// Owed returns a page of keys that this node is in charge of, and of which a next owner
// lacks what it has, or has what it lacks. Under the map that the lanes act on; without a
// plan there is none. Busy: another node acts on another map.
func (g *Gateway) Owed(r messages.OwedRequest) (*messages.OwedPage, error) {
	const op errs.Op = "gateway.Owed"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return nil, errs.E(op, r.Bucket.Bucket, errs.Offline, errNotJoined)
	}
	next, planned := set.Map.Next()
	if !planned {
		return &messages.OwedPage{}, nil
	}
	before := g.Roster.Load()
	page, err := g.records(op, r.Bucket, r.After, r.Limit)
	if err == nil {
		err = g.whole(op, set, r.Bucket, "", before)
	}
	if err != nil {
		return nil, err
	}
	answer := &messages.OwedPage{Upto: positionOf(page)}
	var nodes []*messages.NodeView
	for _, id := range next.Placement {
		if node, in := set.Map.Node(id); in && string(id) != set.Self && !node.State.Away() {
			nodes = append(nodes, set.Find(string(id)))
		}
	}
	theirs, err := g.allHoldings(set, nodes, r.Bucket, HoldingsRequest{Asker: set.Self, Next: true, After: r.After, Upto: answer.Upto, From: r.From, To: r.To})
	if err != nil {
		return nil, mapDiffers(op, r.Bucket, err)
	}
	owed := make(map[string]bool)
	for i := range page.Entries {
		e := &page.Entries[i]
		digest, slot := keyOf(r.Bucket, e.Name)
		if slot < r.From || slot > r.To {
			continue
		}
		view := set.View(r.Bucket, digest)
		if string(view.InCharge) != set.Self {
			continue
		}
		for _, id := range targets(set, &view) {
			if h, has := theirs[id][e.Name]; !has || h.Generation != e.Meta.Generation || e.Meta.Unsettled {
				owed[e.Name] = true
			}
			delete(theirs[id], e.Name)
		}
	}
	for _, rest := range theirs { // what this node does not have
		for name := range rest {
			owed[name] = true
		}
	}
	answer.Names = slices.Sorted(maps.Keys(owed))
	return answer, nil
}

// mapDiffers gives a refusal because of another map its kind: it is asked again.
func mapDiffers(op errs.Op, bucket *objects.BucketDoc, err error) error {
	var differs *messages.MapDiffers
	if errors.As(err, &differs) {
		return errs.E(op, bucket.Bucket, errs.Busy, err)
	}
	return err
}

// Tally counts a page of what a plan would have this node copy. The map has the plan.
func (g *Gateway) Tally(bucket *objects.BucketDoc, m *smap.Smap, after string) (*messages.PlanTally, error) {
	const op errs.Op = "gateway.Tally"
	set := g.lanes()
	if set == nil || set.Map == nil {
		return nil, errs.E(op, bucket.Bucket, errs.Offline, errNotJoined)
	}
	planned := &messages.NodeSet{Self: set.Self, Map: m}
	page, err := g.records(op, bucket, after, holdingRecords)
	if err != nil {
		return nil, err
	}
	tally := &messages.PlanTally{Upto: positionOf(page)}
	for i := range page.Entries {
		e := &page.Entries[i]
		digest, _ := keyOf(bucket, e.Name)
		view := planned.View(bucket, digest)
		if e.Meta.Deleted || string(view.InCharge) != set.Self {
			continue
		}
		for _, id := range view.Next {
			if !slices.Contains(view.Owners, id) {
				tally.Objects++
				tally.Bytes += e.Meta.Size
			}
		}
	}
	return tally, nil
}
