package smap

import (
	"cmp"
	"slices"
)

// Verdict is what whoever wants to write a node down may do.
type Verdict int

// Verdicts.
const (
	Resign Verdict = iota // it is the one that is cut off: it writes nothing and gives up the lock
	Write                 // it writes
)

// Reach is what a node knows that wants to write others down.
type Reach struct {
	Nodes    []NodeID // those that it reaches over intra, itself among them
	Lock     bool     // it holds the lock
	Critical bool     // Consul's check of the silent node is critical, too
}

// MayWriteDown says whether a node may write others down: one that reaches a
// majority of the nodes that serve. With exactly half only the holder of the lock
// may, or anyone whom Consul's check agrees with.
func (m *Smap) MayWriteDown(reach Reach) Verdict {
	up, reached := 0, 0
	for _, node := range m.nodes {
		if !node.State.Serves() {
			continue
		}
		up++
		if slices.Contains(reach.Nodes, node.ID) {
			reached++
		}
	}
	switch {
	case reached*2 > up, reached*2 == up && (reach.Lock || reach.Critical):
		return Write
	default:
		return Resign
	}
}

// StandIn returns who writes in the place of a leader that is silent: the next
// node by id that serves, after the leader and round again; empty if there is
// none.
func (m *Smap) StandIn(silent NodeID) NodeID {
	var serving []NodeID
	for _, node := range m.nodes {
		if node.State.Serves() && node.ID != silent {
			serving = append(serving, node.ID)
		}
	}
	for _, id := range serving {
		if id > silent {
			return id
		}
	}
	if len(serving) == 0 {
		return ""
	}
	return serving[0]
}

// Complaint is one node's about another that it does not reach, standing for 3 s.
type Complaint struct {
	By, About NodeID
	Since     uint64 // of the entry of About that it was made under
}

// Accused returns whom to write down because of complaints: of each pair the one that
// is recovering, then the one with more complaints about it or by it, then the lower id,
// until no complaint is left. Complaints of and about nodes that are away, and about an
// earlier life of an entry, count for nothing. One that is recovering counts: all writes
// of its keys wait for it.
func (m *Smap) Accused(complaints []Complaint) []NodeID {
	stands := func(c Complaint) bool {
		by, ok := m.Node(c.By)
		about, okay := m.Node(c.About)
		return ok && okay && !by.State.Away() && !about.State.Away() && about.Since == c.Since && c.By != c.About
	}
	recovers := func(id NodeID) int { // 0: it does
		if node, _ := m.Node(id); node.State == Recovering {
			return 0
		}
		return 1
	}
	left := slices.DeleteFunc(slices.Clone(complaints), func(c Complaint) bool { return !stands(c) })
	var accused []NodeID
	for len(left) > 0 {
		counts := make(map[NodeID]map[NodeID]bool) // with whom it does not speak
		note := func(a, b NodeID) {
			if counts[a] == nil {
				counts[a] = make(map[NodeID]bool)
			}
			counts[a][b] = true
		}
		var ids []NodeID
		for _, c := range left {
			note(c.By, c.About)
			note(c.About, c.By)
			ids = append(ids, c.By, c.About)
		}
		worst := slices.MinFunc(ids, func(a, b NodeID) int {
			return cmp.Or(cmp.Compare(recovers(a), recovers(b)), cmp.Compare(len(counts[b]), len(counts[a])), cmp.Compare(a, b))
		})
		accused = append(accused, worst)
		left = slices.DeleteFunc(left, func(c Complaint) bool { return c.By == worst || c.About == worst })
	}
	slices.Sort(accused)
	return accused
}

// Walked is a node's report that every key of a slot that it is in charge of has
// been copied to its next owners.
type Walked struct {
	By   NodeID
	Slot uint16
	Map  uint64 // version of the map that it walked under, from the first key to the last
}

// SwitchRule is what the protections of the buckets ask of a switch, the weakest
// of them in each field; of a bucket whose count a plan changes, the weaker of both.
type SwitchRule struct {
	Spare int // how many nodes may be not up without a key being without one in charge: the smallest copies - 1, or parity
	Slack int // how many next owners of a key need not be up: the smallest copies - min_copies
}

// MaySwitch reports whether a slot may switch: every node that can be in charge of
// a key of it walked it under a map since which no node changed its state and no
// other plan began; so few nodes are not up that each key keeps one in charge and
// enough next owners. Nodes whose loss was accepted are not counted: what only they
// had is lost already.
func (m *Smap) MaySwitch(slot uint16, reports []Walked, rule SwitchRule) bool {
	if m.next == nil {
		return false
	}
	if _, done := m.switched(slot); done {
		return false
	}
	oldest, notUp, nextNotUp := m.next.Since, 0, 0
	for _, node := range m.nodes {
		oldest = max(oldest, node.Since)
		if node.State.Serves() {
			continue
		}
		if node.concerns(m) && !node.lost() {
			notUp++
		}
		if slices.Contains(m.next.Placement, node.ID) {
			nextNotUp++
		}
	}
	if notUp > m.spare(rule) || nextNotUp > rule.Slack {
		return false
	}
	for _, id := range m.placement {
		node, _ := m.Node(id)
		if node.State.Away() {
			continue
		}
		if !slices.ContainsFunc(reports, func(w Walked) bool { return w.By == id && w.Slot == slot && w.Map >= oldest }) {
			return false
		}
	}
	return true
}

// concerns reports whether a node owns keys, or will.
func (n Node) concerns(m *Smap) bool {
	return slices.Contains(m.placement, n.ID) || m.next != nil && slices.Contains(m.next.Placement, n.ID)
}

// lost reports whether the node's loss was accepted.
func (n Node) lost() bool { return !n.State.Serves() && n.Left == 0 }

// MayGiveUp reports whether a down node may be given up by itself: so few nodes
// are not up, it included, that each key of a protected bucket has a copy. How long
// it has been down is the caller's to know.
func (m *Smap) MayGiveUp(id NodeID, rule SwitchRule) bool {
	node, ok := m.Node(id)
	if !ok || node.State != Down {
		return false
	}
	notUp := 0
	for _, other := range m.nodes {
		if !other.State.Serves() && other.concerns(m) && !other.lost() {
			notUp++
		}
	}
	return notUp <= m.spare(rule)
}

// spare is how many nodes may be not up: where there are fewer than a bucket has copies, a
// key has no more owners than there are nodes.
func (m *Smap) spare(rule SwitchRule) int { return min(rule.Spare, len(m.placement)-1) }
