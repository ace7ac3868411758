package smap

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/placement"
)

// Slots is into how many slots the digests of keys are divided: what a plan
// switches at a time.
const Slots = 4096

// SlotOf returns the slot of a key: the upper 12 bits of its digest, so that a
// slot is a range of digests.
func SlotOf(keyDigest uint64) uint16 { return uint16(keyDigest >> 52) }

// Key is what placement must know of a key.
type Key struct {
	Digest   uint64
	Bucket   objects.BucketID
	Owners   int    // how many, by the bucket's document: copies, or data and parity slices together; from 1
	Document uint64 // see Epoch
}

// Epoch says since when nothing has changed that concerns a key. Messages about a
// key carry it; a receiver at another one changes nothing and refuses.
type Epoch struct {
	Map      uint64 // last version in which owners, next owners or the state of one of them changed
	Document uint64 // version of the bucket's document, where that says who owns a key; 0: the map does (docs/decisions/012)
}

// Compare returns -1, 0 or 1 as e is older, equal or newer. Of two nodes the one
// at the older epoch fetches what the other has; where each is newer in one
// field, both do, and the maps are compared first.
func (e Epoch) Compare(other Epoch) int {
	return cmp.Or(cmp.Compare(e.Map, other.Map), cmp.Compare(e.Document, other.Document))
}

// String returns the epoch as "7/2".
func (e Epoch) String() string { return fmt.Sprintf("%d/%d", e.Map, e.Document) }

// ParseEpoch reads what String wrote (Invalid: it did not).
func ParseEpoch(s string) (Epoch, error) {
	var e Epoch
	if n, err := fmt.Sscanf(s, "%d/%d", &e.Map, &e.Document); err != nil || n != 2 || e.String() != s {
		return Epoch{}, errs.E("smap.ParseEpoch", errs.Invalid, fmt.Errorf("%q is not the epoch of a key", s))
	}
	return e, nil
}

// View is one key under one map.
type View struct {
	Owners   []NodeID // in HRW order
	Count    int      // how many owners there are to be; more than Owners where there are fewer nodes
	Next     []NodeID // in HRW order; empty unless a plan covers the key, that is: changes its owners and its slot has not switched
	InSync   []NodeID // the sources, in HRW order
	AckSet   []NodeID // owners, then next owners that are not owners; those that are away are not in it
	InCharge NodeID   // empty: no request can be answered, and that is 503, never 404
	Epoch    Epoch
	Placed   uint64 // the version in which the owners last changed; never after the epoch
}

// View returns a key under the map. The result is the caller's.
func (m *Smap) View(key Key) View {
	now, next := m.Owners(key)
	v := View{Owners: order(m.placement, m.weighed, key.Digest, now), Count: now, Epoch: Epoch{m.placementSince, key.Document}, Placed: m.placementSince}
	if m.next != nil {
		m.plan(key, next, &v)
	}
	for _, id := range slices.Concat(v.Owners, v.Next) {
		node, _ := m.Node(id)
		v.Epoch.Map = max(v.Epoch.Map, node.Since)
		if !node.State.Away() && !slices.Contains(v.AckSet, id) {
			v.AckSet = append(v.AckSet, id)
		}
	}
	v.InSync = m.inSync(v.Owners)
	for _, id := range v.InSync {
		if node, _ := m.Node(id); !node.State.Away() {
			v.InCharge = id
			break
		}
	}
	return v
}

// plan adds to a view what the plan under way changes, by which the key has so many owners.
func (m *Smap) plan(key Key, owners int, v *View) {
	to := order(m.next.Placement, m.nextWeighed, key.Digest, owners)
	version, switched := m.switched(SlotOf(key.Digest))
	if switched {
		v.Count = owners
	}
	if slices.Equal(to, v.Owners) {
		return
	}
	if switched {
		v.Owners, v.Placed = to, version
		v.Epoch.Map = max(v.Epoch.Map, version)
		return
	}
	v.Next = to
	v.Epoch.Map = max(v.Epoch.Map, m.next.Since)
}

// switched returns in which version a slot switched, and whether it has.
func (m *Smap) switched(slot uint16) (uint64, bool) {
	for _, run := range m.next.Switched {
		if run.From <= slot && slot <= run.To {
			return run.Version, true
		}
	}
	return 0, false
}

// inSync returns the owners that hold all that was acknowledged: those that
// serve; if none does, the last to leave. An owner whose loss was accepted is
// none of them.
func (m *Smap) inSync(owners []NodeID) []NodeID {
	var serving, last []NodeID
	left := uint64(1)
	for _, id := range owners {
		node, _ := m.Node(id)
		switch {
		case node.State.Serves():
			serving = append(serving, id)
		case node.Left > left || node.Left == left && last == nil:
			left, last = node.Left, []NodeID{id}
		case node.Left == left:
			last = append(last, id)
		}
	}
	if serving != nil {
		return serving
	}
	return last
}

// order returns so many owners of a key over a placement list and its digests, in HRW
// order.
func order(list []NodeID, digests []uint64, digest uint64, count int) []NodeID {
	owners := make([]NodeID, 0, min(count, len(list)))
	for _, i := range placement.Order(digests, digest, count) {
		owners = append(owners, list[i])
	}
	return owners
}

// Holds reports whether a node keeps the key: as owner or as next owner. What
// others have of it is left over, and never a source.
func (v View) Holds(id NodeID) bool {
	return slices.Contains(v.Owners, id) || slices.Contains(v.Next, id)
}

// MayDropTombstone reports whether a settled tombstone of the key may go: every
// owner is up, and no plan covers it. Otherwise somebody may return with what it
// deleted.
func (m *Smap) MayDropTombstone(v View) bool {
	return len(v.Next) == 0 && !slices.ContainsFunc(v.Owners, func(id NodeID) bool {
		node, _ := m.Node(id)
		return !node.State.Serves()
	})
}
