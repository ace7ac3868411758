package smap

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
)

// named writes members as people do: "n1:0,3 n2:1", over the nodes of a map by id.
func named(m *Smap, members []objects.Member) (text string) {
	for _, node := range m.nodes {
		separator := " " + string(node.ID) + ":"
		for _, member := range members {
			if member.Node == uint64(node.Digest) {
				text += fmt.Sprint(separator, member.Index)
				separator = ","
			}
		}
	}
	return text
}

// What is given to whom, by cases, over views that say who stands where in HRW order.
func TestAssign(t *testing.T) {
	m := founded(t, 8)
	digest := func(i int) uint64 { return placement.Mix(uint64(i)) }
	has := func(of ...[2]int) (members []objects.Member) { // node, index
		for _, m := range of {
			members = append(members, objects.Member{Node: digest(m[0]), Index: uint8(m[1])})
		}
		return members
	}
	list := func(nodes ...int) (ids []NodeID) {
		for _, i := range nodes {
			ids = append(ids, NodeID(fmt.Sprintf("n%d", i)))
		}
		return ids
	}
	for _, test := range []struct {
		name      string
		have      []objects.Member
		v         View
		assigning Assigning
		want      string
	}{
		{"new: the node in charge has the first, who is away the last", nil,
			View{Owners: list(3, 1, 2), AckSet: list(1, 2)}, Assigning{Width: 3, PerNode: 1, First: "n2"}, " n1:1 n2:0 n3:2"},
		{"fewer nodes than slices", nil,
			View{Owners: list(3, 1, 2), AckSet: list(3, 1, 2)}, Assigning{Width: 5, PerNode: 2, First: "n3"}, " n1:1,4 n2:2 n3:0,3"},
		{"reduced: the last are nobody's", nil,
			View{Owners: list(3, 1, 2), AckSet: list(3, 1, 2)}, Assigning{Width: 5, PerNode: 1, First: "n1"}, " n1:0 n2:2 n3:1"},
		{"who returns keeps its own", has([2]int{1, 2}, [2]int{2, 0}, [2]int{3, 1}),
			View{Owners: list(3, 1, 2), AckSet: list(3, 1, 2)}, Assigning{Width: 3, PerNode: 1, First: "n3"}, " n1:2 n2:0 n3:1"},
		{"what others have that own nothing is dropped", has([2]int{4, 0}, [2]int{1, 1}),
			View{Owners: list(1, 2), AckSet: list(1, 2)}, Assigning{Width: 2, PerNode: 1}, " n1:1 n2:0"},
		{"an index of two stays with who has fewest", has([2]int{1, 0}, [2]int{1, 1}, [2]int{2, 1}),
			View{Owners: list(1, 2), AckSet: list(1, 2)}, Assigning{Width: 2, PerNode: 2}, " n1:0 n2:1"},
		{"who joins takes that of who leaves, and no other moves", has([2]int{1, 2}, [2]int{2, 1}, [2]int{3, 0}),
			View{Owners: list(3, 1, 2), Next: list(4, 3, 1), AckSet: list(3, 1, 2, 4)}, Assigning{Width: 3, PerNode: 1}, " n1:2 n2:1 n3:0 n4:1"},
		{"two pairs, in HRW order", has([2]int{1, 0}, [2]int{2, 1}, [2]int{3, 2}),
			View{Owners: list(3, 1, 2), Next: list(5, 1, 4), AckSet: list(3, 1, 2, 5, 4)}, Assigning{Width: 3, PerNode: 1}, " n1:0 n2:1 n3:2 n4:1 n5:2"},
		{"who joins beyond that takes one of who has most", has([2]int{1, 0}, [2]int{1, 3}, [2]int{2, 1}, [2]int{3, 2}),
			View{Owners: list(3, 1, 2), Next: list(4, 3, 1, 2), AckSet: list(3, 1, 2, 4)}, Assigning{Width: 4, PerNode: 2}, " n1:0,3 n2:1 n3:2 n4:3"},
		{"and it is theirs after the switch", has([2]int{1, 0}, [2]int{1, 3}, [2]int{2, 1}, [2]int{3, 2}, [2]int{4, 3}),
			View{Owners: list(4, 3, 1, 2), AckSet: list(4, 3, 1, 2)}, Assigning{Width: 4, PerNode: 2}, " n1:0 n2:1 n3:2 n4:3"},
		{"who leaves beyond that: to the next owners", has([2]int{1, 0}, [2]int{2, 1}, [2]int{3, 2}),
			View{Owners: list(3, 1, 2), Next: list(3, 1), AckSet: list(3, 1, 2)}, Assigning{Width: 3, PerNode: 2, First: "n3"}, " n1:0 n2:1 n3:1,2"},
		{"an owner with none takes one", has([2]int{1, 0}, [2]int{1, 1}),
			View{Owners: list(1, 2), AckSet: list(1, 2)}, Assigning{Width: 2, PerNode: 2}, " n1:0 n2:1"},
		{"but not while it is away", has([2]int{1, 0}, [2]int{1, 1}),
			View{Owners: list(1, 2), AckSet: list(1)}, Assigning{Width: 2, PerNode: 2}, " n1:0,1"},
		{"a node alone has all", nil,
			View{Owners: list(1), AckSet: list(1)}, Assigning{Width: 4, PerNode: 4, First: "n1"}, " n1:0,1,2,3"},
	} {
		if got := named(m, m.Assign(test.have, test.v, test.assigning)); got != test.want {
			t.Errorf("%s: got%s, want%s", test.name, got, test.want)
		}
	}
	held := m.Assign(nil, View{Owners: list(1, 2, 3), AckSet: list(1, 2, 3)}, Assigning{Width: 3, Whole: 2, PerNode: 1})
	for _, member := range held {
		if member.Holds != (member.Index < 2) {
			t.Errorf("of a whole payload that two hold, %+v", member)
		}
	}
}

// Over random lines of maps and writes: indices are distinct, as far as a plan does not give
// them away; none moves that need not move, and the switch moves none; whoever fits has one;
// and to ask again changes nothing.
func TestAssignOverLinesOfMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []Node
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			nodes = append(nodes, Node{ID: NodeID(fmt.Sprintf("n%d", i+1)), Digest: Digest(placement.Mix(uint64(i) + 1))})
		}
		m, err := New(lineage, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		type object struct {
			key     Key
			a       Assigning
			members []objects.Member
		}
		all := make([]*object, 8)
		for i := range all {
			width := rapid.IntRange(2, 9).Draw(t, "width")
			all[i] = &object{
				key: Key{Digest: rapid.Uint64().Draw(t, "digest"), Owners: width},
				a:   Assigning{Width: width, Whole: rapid.IntRange(0, width).Draw(t, "whole"), PerNode: rapid.IntRange(1, 4).Draw(t, "per node")},
			}
		}
		for range 20 {
			next := onward(t, m)
			if next == nil {
				continue
			}
			for _, o := range all {
				before, after := m.View(o.key), next.View(o.key)
				o.a.First = after.InCharge
				if o.members == nil || rapid.IntRange(0, 9).Draw(t, "written anew") == 0 {
					o.members = nil
				}
				had := o.members
				given := next.Assign(had, after, o.a)
				fits(t, next, after, o.a, had, given)
				if had != nil && len(before.Next) > 0 && len(after.Next) == 0 && slices.Equal(before.Next, after.Owners) {
					for _, member := range given {
						if !slices.Contains(had, member) {
							t.Fatalf("the switch gives %+v away: had%s, have%s", member, named(next, had), named(next, given))
						}
					}
				}
				// Nothing but a plan remaps, and a write; and a plan does before it switches.
				if had == nil || len(after.Next) > 0 || rapid.Bool().Draw(t, "written") {
					o.members = given
				}
			}
			m = next
		}
	})
}

// onward returns a random successor, or nil where the change is refused: half of the time a
// step of a plan to its end, which draw alone seldom finds.
func onward(t *rapid.T, m *Smap) *Smap {
	if rapid.Bool().Draw(t, "any change") {
		return draw(t, m)
	}
	c := m.Change()
	if m.next == nil {
		c.Begin(rapid.SliceOfNDistinct(rapid.SampledFrom(ids(m)), 1, len(m.nodes), rapid.ID[NodeID]).Draw(t, "placement"))
	} else if left := slots(m); len(left) > 0 {
		for _, slot := range left {
			c.Switch(slot)
		}
	} else {
		c.Finish()
	}
	next, err := c.Done()
	if err != nil {
		return nil
	}
	return next
}

// slots returns those that have not switched.
func slots(m *Smap) (left []uint16) {
	for slot := range uint16(Slots) {
		if _, ok := m.switched(slot); !ok {
			left = append(left, slot)
		}
	}
	return left
}

// fits checks what Assign made of what there was.
func fits(t *rapid.T, m *Smap, v View, a Assigning, had, given []objects.Member) {
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s\n%+v, width %d, %d per node\nhad%s\nhave%s", fmt.Sprintf(format, args...), v, a.Width, a.PerNode, named(m, had), named(m, given))
	}
	if err := (&objects.Slicing{Data: a.Width - 1, Parity: 1, CellBytes: 1, Members: given}).Check(); err != nil {
		fail("%v", err)
	}
	ids := make(map[uint64]NodeID)
	for _, node := range m.nodes {
		ids[uint64(node.Digest)] = node.ID
	}
	indicesOf := func(members []objects.Member, id NodeID) (indices []uint8) {
		for _, member := range members {
			if ids[member.Node] == id {
				indices = append(indices, member.Index)
			}
		}
		return indices
	}
	of := func(members []objects.Member, index uint8, nodes []NodeID) (with []NodeID) {
		for _, member := range members {
			if member.Index == index && slices.Contains(nodes, ids[member.Node]) {
				with = append(with, ids[member.Node])
			}
		}
		return with
	}
	planned := len(v.Next) > 0
	leaves := func(id NodeID) bool { return planned && !slices.Contains(v.Next, id) }
	joins := func(id NodeID) bool { return !slices.Contains(v.Owners, id) }
	sets := [][]NodeID{v.Owners}
	if planned {
		sets = append(sets, v.Next)
	}
	for s, nodes := range sets {
		covered := 0
		for index := range uint8(a.Width) {
			with := of(given, index, nodes)
			if len(with) > 0 {
				covered++
			}
			given := slices.ContainsFunc(with, leaves) || s == 1 && slices.ContainsFunc(with, joins)
			if len(with) > 2 || len(with) == 2 && !given {
				fail("%v of set %d have index %d", with, s, index)
			}
		}
		if want := min(a.Width, len(nodes)*a.PerNode); covered != want {
			fail("set %d has %d indices, want %d", s, covered, want)
		}
		for _, id := range nodes {
			n := len(indicesOf(given, id))
			if n > a.PerNode {
				fail("%s has %d", id, n)
			}
			gets := had == nil || slices.Contains(v.AckSet, id) || s == 1 && joins(id)
			if n == 0 && gets && len(nodes) <= a.Width {
				fail("%s of set %d has none", id, s)
			}
		}
	}
	for _, member := range given {
		id := ids[member.Node]
		if !v.Holds(id) {
			fail("%s has an index and is no owner", id)
		}
		if member.Holds != (int(member.Index) < a.Whole) {
			fail("%+v, and %d hold", member, a.Whole)
		}
		if slices.Contains(indicesOf(had, id), member.Index) || joins(id) {
			continue
		}
		before := of(had, member.Index, v.Owners)
		if len(v.Next) >= len(v.Owners) && len(before) == 1 && leaves(before[0]) && len(indicesOf(had, id)) > 0 && len(indicesOf(had, before[0])) <= a.PerNode {
			fail("%s stays and gets index %d of %s, which leaves: somebody joins for it", id, member.Index, before[0])
		}
		if len(before) > 0 && len(indicesOf(had, id)) > 0 && !slices.ContainsFunc(before, leaves) && len(indicesOf(had, before[0])) <= a.PerNode {
			fail("%s is given index %d, which %v had", id, member.Index, before)
		}
	}
	for _, member := range had {
		id := ids[member.Node]
		if joins(id) || len(of(had, member.Index, v.Owners)) > 1 || len(indicesOf(had, id)) > a.PerNode || slices.Contains(indicesOf(given, id), member.Index) {
			continue
		}
		for _, taker := range of(given, member.Index, v.Owners) {
			if len(indicesOf(had, taker)) > 0 {
				fail("%s had index %d, and %s got it", id, member.Index, taker)
			}
		}
	}
	if again := m.Assign(given, v, a); !slices.Equal(again, given) {
		fail("asked again:%s", named(m, again))
	}
}
