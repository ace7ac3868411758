package smap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Change makes the successor of a map. Its methods note what is to change; Done
// returns the successor, or all that was refused. It belongs to one goroutine.
type Change struct {
	from   *Smap
	to     *Smap
	leaves NodeID // the node that stops being in sync by this change; empty: none does
	faults []error
}

// Change begins a successor of the map: version + 1, with the map's hash.
func (m *Smap) Change() *Change {
	to := &Smap{
		version: m.version + 1, lineage: m.lineage, previous: m.Hash(),
		nodes: slices.Clone(m.nodes), placement: slices.Clone(m.placement), placementSince: m.placementSince, counts: slices.Clone(m.counts),
	}
	if m.next != nil {
		next, _ := m.Next()
		to.next = &next
	}
	to.arrange()
	return &Change{from: m, to: to}
}

// Done returns the successor (Invalid or Conflict: why there is none). What the
// change is about was judged against the map being replaced.
func (c *Change) Done() (*Smap, error) {
	if len(c.faults) > 0 {
		return nil, errs.E("smap.Change", errs.Conflict, fmt.Errorf("cluster map, version %d: %w", c.from.version, errors.Join(c.faults...)))
	}
	c.to.arrange()
	if err := c.to.validate(); err != nil {
		return nil, err
	}
	return c.to, nil
}

func (c *Change) refuse(format string, args ...any) *Change {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
	return c
}

// Join adds a node that is up and owns nothing: a plan gives it keys. A node that
// joins has no data.
func (c *Change) Join(id NodeID, digest Digest) *Change {
	if _, ok := c.to.digests[id]; ok {
		return c.refuse("%s is in the map", id)
	}
	c.to.nodes = append(c.to.nodes, Node{ID: id, Digest: digest, State: Up, Since: c.to.version})
	c.to.arrange()
	return c
}

// Remove takes a node out of the map that owns nothing any more.
func (c *Change) Remove(id NodeID) *Change {
	if slices.Contains(c.to.placement, id) || c.to.next != nil && slices.Contains(c.to.next.Placement, id) {
		return c.refuse("%s still owns keys", id)
	}
	c.to.nodes = slices.DeleteFunc(c.to.nodes, func(n Node) bool { return n.ID == id })
	c.to.arrange()
	return c
}

// SetState moves a node to another state. Since is what the mover knew of the
// entry: a report about an earlier life of it is refused. Leaving what serves sets
// left, becoming up clears it; between, it stays. One node leaves at a time: two owners
// that left in one version would both be the last to leave, and the one that is back
// first would take writes that the other, a source as well, has never seen.
func (c *Change) SetState(id NodeID, since uint64, state State) *Change {
	i, ok := c.to.digests[id]
	if !ok {
		return c.refuse("%s is not in the map", id)
	}
	node := &c.to.nodes[i]
	if node.Since != since {
		return c.refuse("%s is %s since version %d, the report is about %d", id, node.State, node.Since, since)
	}
	if node.lost() && state != node.State {
		return c.refuse("the loss of %s was accepted: it joins again, empty, when its plan has ended", id)
	}
	if !slices.Contains(follows(node.State), state) {
		return c.refuse("%s is %s and cannot become %s", id, node.State, state)
	}
	if node.State.Serves() && !state.Serves() {
		if c.leaves != "" {
			return c.refuse("%s leaves already in version %d: %s leaves in a version of its own", c.leaves, c.to.version, id)
		}
		c.leaves, node.Left = id, c.to.version
	}
	if state.Serves() {
		node.Left = 0
	}
	node.State, node.Since = state, c.to.version
	return c
}

// follows returns the states that a state may be followed by. Nobody becomes up
// but from recovering: who was away asks before it serves.
func follows(state State) []State {
	switch state {
	case Up:
		return []State{Down, Recovering, Maintenance, Draining}
	case Draining:
		return []State{Down, Recovering, Maintenance, Up}
	case Recovering:
		return []State{Up, Down, Recovering, Maintenance}
	default: // Down, Maintenance
		return []State{Recovering, Down, Maintenance}
	}
}

// AcceptLoss says that what only this node has is lost: it is never again among
// the last to leave. The caller listed what may be lost, an operator agreed, and
// the node has been Down for so long that it answers nothing (rule Alone). No plan is
// under way and no node holds leftovers: they would be served where nobody is in
// charge. A plan that leaves the node out, begun by the same change, moves its keys; the node itself does not come back with what it
// has, but is removed then and joins again, empty.
func (c *Change) AcceptLoss(id NodeID, since uint64) *Change {
	i, ok := c.to.digests[id]
	if !ok || c.to.nodes[i].State != Down || c.to.nodes[i].Since != since {
		return c.refuse("%s is not down since version %d", id, since)
	}
	if c.to.next != nil {
		return c.refuse("the loss of %s cannot be accepted while a plan is under way: its next owners have what is older", id)
	}
	c.to.nodes[i].Left, c.to.nodes[i].Since = 0, c.to.version
	return c
}

// Begin begins a plan: the placement that the cluster moves to, which may be the one that
// it has, and buckets whose keys are to have another number of owners. One at a time.
func (c *Change) Begin(placement []NodeID, counts ...Count) *Change {
	if c.to.next != nil {
		return c.refuse("a plan is under way since version %d", c.to.next.Since)
	}
	for _, id := range placement {
		if i, ok := c.to.digests[id]; ok && c.to.nodes[i].lost() {
			return c.refuse("the loss of %s was accepted", id)
		}
	}
	c.to.next = &Next{Placement: slices.Clone(placement), Since: c.to.version, Counts: slices.Clone(counts)}
	return c
}

// Place makes a list the placement at once, without a plan. The caller knows that
// there is no bucket, and that nobody uses one that is made from now on before it has
// adopted this map: there is no key that could be looked for in the wrong place.
func (c *Change) Place(placement []NodeID) *Change {
	if c.to.next != nil {
		return c.refuse("a plan is under way since version %d", c.to.next.Since)
	}
	for _, id := range placement {
		if i, ok := c.to.digests[id]; ok && c.to.nodes[i].lost() {
			return c.refuse("the loss of %s was accepted", id)
		}
	}
	c.to.placement, c.to.placementSince = slices.Clone(placement), c.to.version
	return c
}

// Switch gives a slot to its next owners. The caller checked MaySwitch.
func (c *Change) Switch(slot uint16) *Change {
	if c.to.next == nil {
		return c.refuse("slot %d cannot switch: no plan is under way", slot)
	}
	if _, done := c.to.switched(slot); done || slot >= Slots {
		return c.refuse("slot %d cannot switch: it has, or there is none", slot)
	}
	c.to.next.Switched = join(append(c.to.next.Switched, Switch{slot, slot, c.to.version}))
	return c
}

// join makes one run of neighbours that switched in the same version.
func join(runs []Switch) []Switch {
	slices.SortFunc(runs, func(a, b Switch) int { return int(a.From) - int(b.From) })
	joined := runs[:1]
	for _, run := range runs[1:] {
		last := &joined[len(joined)-1]
		if last.To+1 == run.From && last.Version == run.Version {
			last.To = run.To
			continue
		}
		joined = append(joined, run)
	}
	return joined
}

// Finish ends a plan all of whose slots have switched: the next placement is the
// placement, and its counts hold.
func (c *Change) Finish() *Change {
	if c.to.next == nil {
		return c.refuse("no plan is under way")
	}
	count := 0
	for _, run := range c.to.next.Switched {
		count += int(run.To-run.From) + 1
	}
	if count != Slots {
		return c.refuse("%d of %d slots have switched", count, Slots)
	}
	c.to.counts = merged(c.to.counts, c.to.next.Counts)
	c.to.placement, c.to.placementSince, c.to.next = c.to.next.Placement, c.to.version, nil
	return c
}

// Cancel drops a plan none of whose slots has switched. One that has is turned
// round by a plan in the other direction, once it is finished: keys of a switched
// slot live with their next owners only.
func (c *Change) Cancel() *Change {
	if c.to.next == nil {
		return c.refuse("no plan is under way")
	}
	if len(c.to.next.Switched) > 0 {
		return c.refuse("slots have switched: the plan can only be finished, and then be turned round")
	}
	c.to.placementSince, c.to.next = c.to.version, nil
	return c
}
