package protocol

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Form is how a bucket keeps a value: in so many slices of data and of parity, or, without any
// of data, with the record at each of Copies owners.
type Form struct {
	Data, Parity int
	Copies       int // where Data is zero
}

// String returns the form as "3+2", or "3 copies".
func (f Form) String() string {
	if f.Data == 0 {
		return fmt.Sprintf("%d copies", f.Copies)
	}
	return fmt.Sprintf("%d+%d", f.Data, f.Parity)
}

// owners is how many owners a key has whose value is kept so.
func (f Form) owners() int {
	if f.Data == 0 {
		return f.Copies
	}
	return f.Data + f.Parity
}

// readable is how many of them it takes to read.
func (f Form) readable() int { return max(1, f.Data) }

// spare is how many nodes may be not up, while so many own keys, without a key being unreadable:
// where there are fewer of them than owners, a key has fewer slices.
func (f Form) spare(nodes int) int { return max(0, min(f.owners(), nodes)-f.readable()) }

// minimum is how many must have a write of that form.
func (s *Setting) minimum(f Form) int {
	if f.Data == 0 {
		return min(s.MinCopies, f.Copies)
	}
	return min(f.Data+s.MinSlices-s.Data, f.owners())
}

// is reports whether a record's value is kept in a form.
func (r Record) is(f Form) bool {
	if f.Data == 0 {
		return !r.sliced()
	}
	return r.form() == f
}

// form returns in what form a record's payload is; zero if it has none.
func (r Record) form() Form { return Form{Data: r.Data, Parity: r.Parity} }

// assign says which node is to have which index of a payload of a form. Without IndexKept who
// joins gets the one that a new payload would give it.
func (n *Node) assign(key string, f Form, have []Member) (members []Member) {
	v := n.views[key]
	ids, given := map[uint64]smap.NodeID{}, make([]objects.Member, 0, len(have))
	for _, node := range n.smap.Nodes() {
		ids[uint64(node.Digest)] = node.ID
	}
	for _, m := range have {
		if node, ok := n.smap.Node(m.Node); ok {
			given = append(given, objects.Member{Node: uint64(node.Digest), Index: uint8(m.Index)})
		}
	}
	slices.SortFunc(given, objects.Member.Compare)
	for _, m := range n.smap.Assign(given, v, smap.Assigning{Width: f.owners(), PerNode: 1, First: v.InCharge}) {
		id := ids[m.Node]
		if index := slices.Index(v.Next, id); index >= 0 && !owns(v, id) && !n.on(IndexKept) {
			m.Index = uint8(index % f.owners())
		}
		members = append(members, Member{id, int(m.Index)})
	}
	return members
}

// writesAs returns the form of a new value of a key: what the document wants, if as many nodes are
// to own the key, also after a plan, else the next of its forms of which that is true.
func (n *Node) writesAs(key string) Form {
	d := n.disk.Bucket
	now, next := n.smap.Owners(n.key(key))
	for _, f := range append([]Form{d.writesAs()}, d.forms()...) {
		if f.owners() <= min(now, next) {
			return f
		}
	}
	return d.writesAs()
}

// hasRoom reports whether as many are to own the key, also after a plan, as a record's form has
// slices.
func (n *Node) hasRoom(key string, r Record) bool {
	now, next := n.smap.Owners(n.key(key))
	return !r.sliced() || r.form().owners() <= min(now, next)
}

// first is the form that a cluster begins with.
func (s *Setting) first() Form {
	if s.Data == 0 {
		return Form{Copies: s.Copies}
	}
	return Form{Data: s.Data, Parity: s.Parity}
}
