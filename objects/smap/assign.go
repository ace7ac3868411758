package smap

import (
	"slices"

	"github.com/troupe-storage/troupe/objects"
)

// Assigning says what Assign is to give away.
type Assigning struct {
	Width   int    // how many indices there are: data and parity slices, from 1
	Whole   int    // members with an index below it hold the payload; 0: it is sliced
	PerNode int    // how many indices a node may have, from 1
	First   NodeID // gets an index before others that have as few: the node in charge; empty: none
}

// Assign says which node is to have which index of a payload under a view of its key, while
// have is what its members are; empty for a new one. In this order:
//
//   - An owner keeps what it has, the lower indices first. An index that several have stays
//     with the one that has fewest, then the first in HRW order.
//   - Indices that no owner has go, the lowest first, to the owner with the fewest: to First,
//     before others of the ack set, before those that are away, who build it when they
//     return; among equals in HRW order. What is left over once all have PerNode is nobody's.
//   - An owner of the ack set that still has none takes one of the owner with the most.
//   - While a plan covers the key, the first node that joins takes the indices of the first
//     that leaves, and so on, in HRW order: nobody else's move. What is left over at nodes
//     that leave, and what is nobody's, goes to next owners in the same way as above, and a
//     node that joins and still has none takes one of the next owner with the most. Two nodes
//     have such an index until the slot has switched.
//
// So of owners, and after the switch of next owners, no two have an index; each has one if
// there are enough; neither the switch nor a state moves an index that need not move; and to
// ask again changes nothing.
// What nodes have that are neither owners nor next owners is dropped: readers ask who
// answers. Pure; the result is the caller's, and in the order of Slicing.Members.
func (m *Smap) Assign(have []objects.Member, v View, a Assigning) []objects.Member {
	g := &giving{Assigning: a, view: v, digests: make(map[NodeID]uint64, len(v.Owners)+len(v.Next))}
	for _, id := range slices.Concat(v.Owners, v.Next) {
		node, _ := m.Node(id)
		g.digests[id] = uint64(node.Digest)
	}
	if len(v.Next) > 0 {
		// What this plan has given to an owner that stays is still that of who leaves.
		if members := g.all(have, g.leaving()); slices.Equal(members, have) {
			return members
		}
	}
	return g.all(have, nil)
}

// all returns all members. Of an index that several have, it stays with one that is first,
// if there is one.
func (g *giving) all(have []objects.Member, first []NodeID) []objects.Member {
	g.keep(have, first)
	g.fill(g.view.Owners, g.missing(g.view.Owners))
	g.level(g.view.Owners, g.view.AckSet)
	members := g.members(g.view.Owners)
	if len(g.view.Next) > 0 {
		g.handOver()
		members = append(members, g.members(g.view.Next)...)
	}
	slices.SortFunc(members, objects.Member.Compare)
	return slices.Compact(members)
}

// giving is one run of Assign. It has the indices of owners first, and then, if a plan covers
// the key, those of next owners.
type giving struct {
	Assigning
	view    View
	digests map[NodeID]uint64
	indices map[NodeID][]uint8 // in order
}

// keep gives owners the indices that they have.
func (g *giving) keep(have []objects.Member, first []NodeID) {
	g.indices = make(map[NodeID][]uint8, len(g.digests))
	claims := make([][]NodeID, g.Width) // by index, in HRW order
	for _, id := range g.view.Owners {
		for index := range claims {
			if slices.ContainsFunc(have, func(m objects.Member) bool { return m.Node == g.digests[id] && int(m.Index) == index }) {
				claims[index] = append(claims[index], id)
			}
		}
	}
	for index, owners := range claims {
		if len(owners) == 1 {
			g.give(owners[0], index)
		}
	}
	for index, owners := range claims {
		if len(owners) < 2 {
			continue
		}
		if preferred := common(owners, first); len(preferred) > 0 {
			owners = preferred
		}
		g.give(g.poorest(owners), index)
	}
}

// give gives a node an index, unless it has as many as it may.
func (g *giving) give(id NodeID, index int) {
	if id != "" && len(g.indices[id]) < g.PerNode {
		g.indices[id] = append(g.indices[id], uint8(index))
		slices.Sort(g.indices[id])
	}
}

// poorest returns the first of the nodes with the fewest indices; empty for no nodes.
func (g *giving) poorest(nodes []NodeID) (poorest NodeID) {
	for _, id := range nodes {
		if poorest == "" || len(g.indices[id]) < len(g.indices[poorest]) {
			poorest = id
		}
	}
	return poorest
}

// missing returns the indices that none of the nodes has, in order.
func (g *giving) missing(nodes []NodeID) (indices []int) {
	for index := range g.Width {
		if !slices.ContainsFunc(nodes, func(id NodeID) bool { return slices.Contains(g.indices[id], uint8(index)) }) {
			indices = append(indices, index)
		}
	}
	return indices
}

// fill gives indices that nobody has to the nodes with the fewest.
func (g *giving) fill(nodes []NodeID, indices []int) {
	byRank := make([]NodeID, 0, len(nodes))
	for rank := range 3 {
		for _, id := range nodes {
			if g.rank(id) == rank {
				byRank = append(byRank, id)
			}
		}
	}
	for _, index := range indices {
		g.give(g.poorest(byRank), index) // if the poorest is full, all are
	}
}

// rank orders nodes that have as few.
func (g *giving) rank(id NodeID) int {
	switch {
	case id == g.First:
		return 0
	case slices.Contains(g.view.AckSet, id):
		return 1
	}
	return 2
}

// level gives each of the takers among nodes that has none the last index of the one with
// the most. One that alone has an index keeps it.
func (g *giving) level(nodes, takers []NodeID) {
	for _, id := range nodes {
		if len(g.indices[id]) > 0 || !slices.Contains(takers, id) {
			continue
		}
		richest := slices.MaxFunc(nodes, func(a, b NodeID) int { return len(g.indices[a]) - len(g.indices[b]) })
		if has := g.indices[richest]; len(has) > 1 {
			g.indices[id] = []uint8{has[len(has)-1]}
			g.indices[richest] = has[:len(has)-1]
		}
	}
}

// leaving returns the owners that the plan takes the key from, in HRW order.
func (g *giving) leaving() []NodeID {
	return slices.DeleteFunc(slices.Clone(g.view.Owners), func(id NodeID) bool { return slices.Contains(g.view.Next, id) })
}

// handOver goes on to what next owners are to have.
func (g *giving) handOver() {
	next := make(map[NodeID][]uint8, len(g.view.Next))
	for _, id := range common(g.view.Owners, g.view.Next) {
		next[id] = slices.Clone(g.indices[id])
	}
	leaving := g.leaving()
	joining := slices.DeleteFunc(slices.Clone(g.view.Next), func(id NodeID) bool { return slices.Contains(g.view.Owners, id) })
	for i, id := range joining[:min(len(joining), len(leaving))] {
		next[id] = slices.Clone(g.indices[leaving[i]])
	}
	g.indices = next
	g.fill(g.view.Next, g.missing(g.view.Next))
	g.level(g.view.Next, joining)
}

// common returns those of a list that are in another one, too.
func common(list, other []NodeID) []NodeID {
	return slices.DeleteFunc(slices.Clone(list), func(id NodeID) bool { return !slices.Contains(other, id) })
}

// members returns what the nodes have, as members.
func (g *giving) members(nodes []NodeID) (members []objects.Member) {
	for _, id := range nodes {
		for _, index := range g.indices[id] {
			members = append(members, objects.Member{Node: g.digests[id], Index: index, Holds: int(index) < g.Whole})
		}
	}
	return members
}
