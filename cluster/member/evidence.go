package member

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// evidence is what a node knows when it is to say what the next map is. It decides
// and does nothing; moments are on the Elapsed of the clock.
type evidence struct {
	self      smap.NodeID
	clusterID string
	now       time.Duration
	began     time.Duration // when the node began to ask others
	current   *smap.Smap    // that it acts on; nil: none
	contacts  map[smap.NodeID]contact
	records   map[smap.NodeID]Record
	catalogue map[smap.NodeID]cluster.Member
	leads     bool // it holds the lock, and did a moment ago
	leader    smap.NodeID
	own       Status // the node's own
	outages   map[smap.NodeID]outage
	// giveUpAfter is how long a node is down until it is given up by itself; 0: for ever.
	giveUpAfter time.Duration
	empty       bool // there is no bucket: keys may be placed without a plan
	wishes      wishes
	wished      bool // they are known
	manual      bool // no plan is begun by itself
	rule        func() Rule
	forgotten   func(objects.BucketID) bool // a bucket is destroyed, and no node has anything of it; nil: none is
}

// decision is what to do about it.
type decision struct {
	change  func(*smap.Change) // nil: nothing
	reasons []string           // for people, one for each thing that is to change
	empty   bool               // the change holds only as long as there is no bucket
	resign  string             // why the lead is to be given up; empty: it is not
	newer   bool               // somebody has a newer map: it is to be adopted first
	heir    smap.NodeID        // whom the lead is to be given to; empty: nobody

	wishes    func(*wishes)        // nil: nothing; it changes in the same transaction as the map
	known     bool                 // the change holds only as long as the wishes are what the leader knows
	expects   []*objects.BucketDoc // documents that are to be as the leader knows them
	rewrites  []*objects.BucketDoc // what is written in their place, in the same order; nil: they stay
	forget    []smap.NodeID        // nodes whose records go with the change
	placement []smap.NodeID        // where keys are to live by it, for who asked
}

// nothing reports whether there is nothing to write.
func (d decision) nothing() bool { return d.change == nil && d.wishes == nil }

// decide says what the next map is, of a node that has one. Only what is certain
// enough changes anything; the map that is written is judged once more when it is
// written, against what it replaces.
func (e evidence) decide() decision {
	if d, urgent := e.urgent(); urgent || !e.leads {
		return d
	}
	for _, look := range []func() decision{e.maintenance, e.losing, e.caughtUpNodes, e.returning, e.joining, e.placing, e.switching, e.forgetting, e.leaving, e.draining, e.givingUp, e.planning} {
		if d := look(); !d.nothing() {
			return d
		}
	}
	return decision{}
}

// urgent is what comes before everything else, and whether there is anything.
func (e evidence) urgent() (d decision, is bool) {
	if e.hasNewer() {
		return decision{newer: true}, true
	}
	accused := e.accused()
	if !e.leads {
		d = e.standIn(accused)
		return d, d.change != nil
	}
	if slices.Contains(accused, e.self) {
		return decision{resign: "others do not reach this node, or it does not reach them"}, true
	}
	if e.mayWriteDown(accused) != smap.Write { // it may have been written down itself, and complaints not count any more
		return decision{resign: "it reaches no majority of the nodes that serve"}, true
	}
	if len(accused) > 0 {
		return e.writeDown(accused), true
	}
	return decision{}, false
}

// hasNewer reports whether a node has a newer map of the same line.
func (e evidence) hasNewer() bool {
	for _, c := range e.contacts {
		if c.fresh(e.now) && c.status.Lineage == e.current.Lineage() && c.status.Version > e.current.Version() {
			return true
		}
	}
	return false
}

// accused are the nodes that are to be written down: those that nobody reaches, and of
// two that do not reach one another the one with more complaints.
func (e evidence) accused() []smap.NodeID {
	own, _ := complaints(e.self, e.current, e.contacts, e.now)
	by := map[smap.NodeID][]smap.Complaint{e.self: own}
	for id, c := range e.contacts {
		if c.fresh(e.now) && c.status.Lineage == e.current.Lineage() {
			by[id] = c.status.Complaints
		}
	}
	unreached := e.unreached(by)
	var rest []smap.Complaint
	for _, id := range slices.Sorted(maps.Keys(by)) {
		for _, c := range by[id] {
			if !slices.Contains(unreached, c.About) && !e.undecided(c.About, by) && !e.overtaken(c) {
				rest = append(rest, c)
			}
		}
	}
	return append(unreached, e.current.Accused(rest)...)
}

// overtaken reports whether a complaint may be older than what this node knows better: it
// reaches the other one, or is the other one, and who complains has not had the time since to
// try once more. Where a node is back that was not written down, as when Consul was away, the
// pair would cost either of them its place.
func (e evidence) overtaken(c smap.Complaint) bool {
	since := e.began
	if c.About != e.self {
		since = e.contacts[c.About].steady
	}
	return c.By != e.self && since != never && e.contacts[c.By].heard-since < triedAgain
}

// undecided reports whether it cannot be told yet if nobody reaches a node or only some
// do not: it says nothing, and somebody's probes of it have failed of late, but not for
// long enough to complain. They will be answered, or there will be a complaint.
func (e evidence) undecided(id smap.NodeID, by map[smap.NodeID][]smap.Complaint) bool {
	if _, reports := by[id]; reports {
		return false
	}
	for reporter, list := range by {
		if slices.ContainsFunc(list, func(c smap.Complaint) bool { return c.About == id }) {
			continue
		}
		unsteady := e.contacts[reporter].status.Unsteady
		if reporter == e.self {
			_, unsteady = complaints(e.self, e.current, e.contacts, e.now)
		}
		if slices.Contains(unsteady, id) {
			return true
		}
	}
	return false
}

// unreached are the nodes that all complain about whose complaints are known, and whose
// own are not. They are not weighed against those who complain: where many have died,
// each that lives has as many complaints as each that does not.
func (e evidence) unreached(by map[smap.NodeID][]smap.Complaint) []smap.NodeID {
	var ids []smap.NodeID
	for _, node := range e.current.Nodes() {
		// Writes wait for one that is recovering, too.
		if _, reports := by[node.ID]; reports || node.State.Away() {
			continue
		}
		all := true
		for id, list := range by {
			if reporter, ok := e.current.Node(id); !ok || !reporter.State.Serves() && id != e.self {
				continue
			}
			all = all && slices.ContainsFunc(list, func(c smap.Complaint) bool { return c.About == node.ID && c.Since == node.Since })
		}
		if all {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// reached are the nodes of the map that answer this one, itself among them.
func (e evidence) reached() []smap.NodeID {
	ids := []smap.NodeID{e.self}
	for _, node := range e.current.Nodes() {
		if c, ok := e.contacts[node.ID]; ok && node.ID != e.self && c.fresh(e.now) {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

func (e evidence) mayWriteDown(accused []smap.NodeID) smap.Verdict {
	critical := true
	for _, id := range accused {
		member, known := e.catalogue[id]
		critical = critical && known && member.Status == cluster.Critical
	}
	return e.current.MayWriteDown(smap.Reach{Nodes: e.reached(), Lock: e.leads, Critical: critical})
}

// writeDown writes the first of them down; the others follow in versions of their own: the
// map refuses several that leave at once.
func (e evidence) writeDown(accused []smap.NodeID) decision {
	node, _ := e.current.Node(accused[0])
	why := "others do not reach it"
	if c := e.contacts[node.ID]; c.silent(e.now) {
		why = c.why
	}
	return decision{
		change:  func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Down) },
		reasons: []string{fmt.Sprintf("%s is silent: %s", node.ID, why)},
	}
}

// standIn writes the leader down in its place, if this node is the one that is to.
func (e evidence) standIn(accused []smap.NodeID) decision {
	if e.leader == "" || !slices.Contains(accused, e.leader) || slices.Contains(accused, e.self) {
		return decision{}
	}
	if e.current.StandIn(e.leader) != e.self || e.mayWriteDown([]smap.NodeID{e.leader}) != smap.Write {
		return decision{}
	}
	return e.writeDown([]smap.NodeID{e.leader})
}

// setState is a decision about one node.
func setState(node smap.Node, state smap.State, reason string) decision {
	return decision{
		change:  func(c *smap.Change) { c.SetState(node.ID, node.Since, state) },
		reasons: []string{fmt.Sprintf("%s is %s: %s", node.ID, state, reason)},
	}
}

// inMaintenance reports whether an operator has taken the node out of service.
func (e evidence) inMaintenance(id smap.NodeID) (reason string, is bool) {
	if reason, is := e.wishes.Maintenance[id]; is {
		return reason, true
	}
	member, ok := e.catalogue[id]
	return member.Reason, ok && member.InMaintenance()
}

// maintenance follows `consul maint`, and requests.
func (e evidence) maintenance() decision {
	for _, node := range e.current.Nodes() {
		if reason, is := e.inMaintenance(node.ID); is && node.State != smap.Maintenance && !lost(node) {
			return setState(node, smap.Maintenance, reason)
		}
	}
	return decision{}
}

// caughtUpNodes become up: those that report it of the entry as it is now.
func (e evidence) caughtUpNodes() decision {
	for _, node := range e.current.Nodes() {
		if node.State != smap.Recovering || lost(node) {
			continue
		}
		report := e.own.CaughtUp
		if node.ID != e.self {
			c, ok := e.contacts[node.ID]
			if !ok || !c.fresh(e.now) || c.status.Lineage != e.current.Lineage() {
				continue
			}
			report = c.status.CaughtUp
		}
		if report == node.Since {
			return setState(node, smap.Up, "it has caught up")
		}
	}
	return decision{}
}

// returning are nodes that were away and have been reached by all for SteadyAfter.
func (e evidence) returning() decision {
	for _, node := range e.current.Nodes() {
		if !node.State.Away() || lost(node) || node.State == smap.Maintenance && !e.wished {
			continue
		}
		if _, is := e.inMaintenance(node.ID); is {
			continue
		}
		if e.reachedByAll(node) {
			return setState(node, smap.Recovering, fmt.Sprintf("all have reached it for %s", SteadyAfter))
		}
	}
	return decision{}
}

// reachedByAll reports whether all nodes that serve have reached a node for
// SteadyAfter, and that it knows what the map says of it.
func (e evidence) reachedByAll(node smap.Node) bool {
	if node.ID != e.self {
		c, ok := e.contacts[node.ID]
		if !ok || !c.isSteady(e.now) || c.status.Lineage != e.current.Lineage() || c.status.Version < node.Since {
			return false
		}
	}
	for _, other := range e.current.Nodes() {
		if other.ID == e.self || other.ID == node.ID || !other.State.Serves() {
			continue
		}
		c, ok := e.contacts[other.ID]
		if !ok || !c.fresh(e.now) || c.status.Version < node.Since || slices.Contains(c.status.Unsteady, node.ID) {
			return false
		}
	}
	return true
}

// joining are nodes that have told of themselves, answer, and have no map.
func (e evidence) joining() decision {
	var d decision
	var new []Record
	for _, id := range slices.Sorted(maps.Keys(e.records)) {
		if _, there := e.current.Node(id); there {
			continue
		}
		c, ok := e.contacts[id]
		if _, away := e.inMaintenance(id); away || !ok || !c.fresh(e.now) || c.status.Lineage != "" || c.status.ClusterID != e.clusterID {
			continue
		}
		new = append(new, e.records[id])
		d.reasons = append(d.reasons, fmt.Sprintf("%s joins", id))
	}
	if len(new) > 0 {
		d.change = func(c *smap.Change) {
			for _, r := range new {
				c.Join(r.ID, r.Digest)
			}
		}
	}
	return d
}

// placing gives all nodes that serve their part of the keys while there are none.
func (e evidence) placing() decision {
	if _, planned := e.current.Next(); planned || !e.empty {
		return decision{}
	}
	list := e.current.Placement()
	for _, node := range e.current.Nodes() {
		if node.State == smap.Up && !slices.Contains(list, node.ID) {
			list = append(list, node.ID)
		}
	}
	if len(list) == len(e.current.Placement()) {
		return decision{}
	}
	return decision{
		change: func(c *smap.Change) { c.Place(list) }, empty: true,
		reasons: []string{fmt.Sprintf("there is no bucket yet: %d nodes own keys from now on", len(list))},
	}
}

// founding says who founds the cluster: all that are in the catalogue, if each of them
// answers that it has no map; one that has buckets, alone, since its keys are placed.
// Nil, and why: it is not known.
func (e evidence) founding() (nodes []smap.Node, why string) {
	var owners []smap.Node
	for _, id := range slices.Sorted(maps.Keys(e.catalogue)) {
		member, record := e.catalogue[id], e.records[id]
		if member.InMaintenance() {
			continue
		}
		data := !e.empty
		if id != e.self {
			c, ok := e.contacts[id]
			switch {
			case record.ID == "" || !ok || !c.fresh(e.now):
				return nil, fmt.Sprintf("%s is in the catalogue and does not answer", id)
			case c.status.Lineage != "":
				return nil, fmt.Sprintf("%s has a map of the cluster: it was lost, and there is one to restore", id)
			}
			data = c.status.Data
		}
		node := smap.Node{ID: id, Digest: record.Digest}
		nodes = append(nodes, node)
		if data {
			owners = append(owners, node)
		}
	}
	switch {
	case e.catalogue[e.self].NodeID == "" || e.records[e.self].ID == "":
		return nil, "this node is not in the catalogue yet"
	case len(owners) > 1:
		return nil, fmt.Sprintf("%s and %s have buckets of their own: one of them is to join empty", owners[0].ID, owners[1].ID)
	case len(owners) == 1:
		return owners, ""
	}
	return nodes, ""
}

// restoring says why the map that this node has may not be written anew where it was
// lost; empty: every node of it answers and agrees.
func (e evidence) restoring() string {
	hash := e.current.Hash()
	for _, node := range e.current.Nodes() {
		if node.ID == e.self {
			continue
		}
		c, ok := e.contacts[node.ID]
		switch {
		case !ok || !c.fresh(e.now):
			return fmt.Sprintf("%s does not answer", node.ID)
		case c.status.Lineage != e.current.Lineage() || c.status.Version != e.current.Version() || c.status.Hash != hash:
			return fmt.Sprintf("%s has version %d of %s, and this node version %d of %s", node.ID, c.status.Version, c.status.Lineage, e.current.Version(), e.current.Lineage())
		}
	}
	return ""
}

// lost reports whether the loss of what only this node had was accepted: it is to be
// removed, and does not come back by itself.
func lost(node smap.Node) bool { return !node.State.Serves() && node.Left == 0 }
