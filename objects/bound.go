package objects

import (
	"fmt"
	"slices"
)

// Bound covers the generations of delete markers that were dropped: a record at or below
// it may be one that such a marker had deleted. The zero value covers nothing. A value:
// Raised makes another one.
//
// Under one version of the map a key's generations are all one node's, the one in charge
// of it. So a record is covered if it is of an earlier version than the last marker
// dropped, or, under the same version, if it does not come after a marker that was dropped
// of the same node. What other nodes do under that version does not matter: a node never
// has to take a generation above those of another one.
type Bound struct {
	// greatest has, for each node of which a marker of the greatest version of the map was
	// dropped, the greatest of them, in the order of generations.
	greatest []Generation
}

// Map returns the version of the map below which everything is covered; 0: nothing is.
func (b Bound) Map() uint64 {
	if len(b.greatest) == 0 {
		return 0
	}
	return b.greatest[0].Map
}

// Covers reports whether a record of that generation may have been deleted by a marker
// that was dropped.
func (b Bound) Covers(g Generation) bool {
	if g.Map != b.Map() {
		return g.Map < b.Map()
	}
	return slices.ContainsFunc(b.greatest, func(h Generation) bool { return sameNode(g, h) && g.Compare(h) <= 0 })
}

// Raised returns a bound that covers what b does, and a marker of that generation.
func (b Bound) Raised(g Generation) Bound {
	switch {
	case b.Covers(g):
		return b
	case g.Map > b.Map():
		return Bound{[]Generation{g}}
	}
	greatest := slices.DeleteFunc(slices.Clone(b.greatest), func(h Generation) bool { return sameNode(g, h) })
	greatest = append(greatest, g)
	slices.SortFunc(greatest, Generation.Compare)
	return Bound{greatest}
}

// With returns a bound that covers what either does.
func (b Bound) With(other Bound) Bound {
	for _, g := range other.greatest {
		b = b.Raised(g)
	}
	return b
}

// Equal reports whether two bounds cover the same.
func (b Bound) Equal(other Bound) bool { return slices.Equal(b.greatest, other.greatest) }

// Generations are the markers that make the bound, in their order.
func (b Bound) Generations() []Generation { return slices.Clone(b.greatest) }

// BoundOf returns the bound that markers make.
func BoundOf(markers []Generation) (b Bound) {
	for _, g := range markers {
		b = b.Raised(g)
	}
	return b
}

// String returns the bound as "[1-7-42 1-8-3]".
func (b Bound) String() string { return fmt.Sprint(b.greatest) }

// sameNode reports whether generations are of starts of one node (NodeStart).
func sameNode(g, h Generation) bool {
	const node = 1<<nodeBits - 1
	return g.Start&node == h.Start&node
}
