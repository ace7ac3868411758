package messages

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Roster is a node's mountpaths with the addresses of their actors: an
// immutable snapshot. Mountpaths that are missing or disabled are in it, since
// they keep their place in HRW; their keys answer errs.Offline. While the set of
// mountpaths changes, both sets are in it.
type Roster struct {
	Mountpaths []MountpathView
	Transition *Transition // nil: the set does not change
	// Epoch counts the changes of placement: who was told NotFound by a roster of an
	// earlier epoch asks again.
	Epoch uint64
	// Lost are mountpaths that the node has not caught up with: see IsUnknown.
	Lost []LostMountpath
	// Mounts is the mount map; nil: none is served, since too few of the mountpaths that the
	// one in force calls up or recovering have been there since the start.
	Mounts  *MountSet
	placing *MountSet // Mounts, where protected keys are placed by it; see Serve
	owners  candidates
	formers candidates // of a transition
}

// candidates are mountpaths among which HRW chooses.
type candidates struct {
	views   []*MountpathView
	digests []uint64 // of their ids
}

func (c *candidates) add(m *MountpathView) {
	c.views, c.digests = append(c.views, m), append(c.digests, objects.DigestID(m.ID))
}

// choose returns the mountpath with the greatest weight; nil if there is none.
func (c *candidates) choose(digest uint64) *MountpathView {
	i := placement.Highest(c.digests, digest)
	if i < 0 {
		return nil
	}
	return c.views[i]
}

// MountpathView is one mountpath as others see it.
type MountpathView struct {
	ID          string
	Path        string
	State       MountpathState
	Reason      string                    // why it is in that state; empty for ok
	Changes     map[MountpathState]uint64 // how often it came to be in each state; only read
	Offline     string                    // why it cannot be used, with its state; empty: it can
	ReadOnly    string                    // likewise why it takes no writes though it is read; empty: it takes them
	Coordinator *actor.PID                // nil while there is none
	Writers     []*actor.PID              // write lanes; a key's is Writer(digest)
	Readers     []*actor.PID              // read lanes; any can serve any key
}

// NewRoster makes a snapshot. The mountpaths must not be changed afterwards.
func NewRoster(mountpaths []MountpathView) *Roster { return NewMovingRoster(mountpaths, nil) }

// NewMovingRoster makes a snapshot of a set that changes; nil: it does not.
func NewMovingRoster(mountpaths []MountpathView, transition *Transition) *Roster {
	r := &Roster{Mountpaths: mountpaths, Transition: transition}
	for i := range mountpaths {
		m := &mountpaths[i]
		if transition == nil || !transition.Leaving(m.ID) {
			r.owners.add(m)
		}
		if transition != nil && !transition.Joining(m.ID) {
			r.formers.add(m)
		}
	}
	return r
}

// Serve has the roster show a mount map, and place protected keys by it, if it places them
// where the node's document does: while the set of mountpaths changes, a key is at one of
// two mountpaths, which the map does not know, and until the map has followed the change it
// would look for keys where they are no more. Before the roster is published.
func (r *Roster) Serve(mounts *MountSet) {
	r.Mounts, r.placing = mounts, nil
	if mounts == nil || r.Transition != nil {
		return
	}
	if _, planned := mounts.Map.Next(); planned {
		return
	}
	placement := mounts.Map.Placement()
	for _, id := range placement {
		if !slices.ContainsFunc(r.owners.views, func(v *MountpathView) bool { return v.ID == string(id) }) {
			return
		}
	}
	if len(placement) == len(r.owners.views) {
		r.placing = mounts
	}
}

// Placing returns the mount map that protected keys are placed by; nil: they are where the
// node's document places them, as all others.
func (r *Roster) Placing() *MountSet { return r.placing }

// Hold returns the mountpath that a key is read and written at, by its digest and how many
// are to hold it (NodeSet.Holders), and its mount epoch, if the mount map places it; nil
// where there is none. It may be away: of the one holder of a key nobody else has what it
// has, whatever the map says of it.
func (r *Roster) Hold(holders int, digest uint64) (*MountpathView, smap.Epoch) {
	if holders == 0 || r.placing == nil {
		return r.Owner(digest), smap.Epoch{}
	}
	view := r.placing.View(holders, digest)
	return r.Find(string(view.Owners[0])), view.Epoch
}

// Fenced returns a fence with the mount epoch that a key of a digest has by the roster,
// which so many mountpaths are to hold.
func (r *Roster) Fenced(f Fence, holders int, digest uint64) Fence {
	f.Holders, f.Mounts, f.Mount = holders, nil, smap.Epoch{}
	if holders > 0 && r.placing != nil {
		f.Mounts = r.placing
		_, f.Mount = r.Hold(holders, digest)
	}
	return f
}

// Owner returns the mountpath at which the node's document places a key, by its digest; nil
// when there is none. It is that of keys without protection; for others, see Hold.
func (r *Roster) Owner(digest uint64) *MountpathView { return r.owners.choose(digest) }

// Former returns the mountpath that a key leaves, by its digest; nil when it stays
// where it is.
func (r *Roster) Former(digest uint64) *MountpathView {
	if r.Transition == nil {
		return nil
	}
	former := r.formers.choose(digest)
	if former == r.Owner(digest) {
		return nil
	}
	return former
}

// IsUnknown reports whether a key, by its digest, was on a mountpath that is lost, and
// that the node has not caught up with. Where several nodes keep it, and this one has no
// record of it, it is unknown then, and not absent.
func (r *Roster) IsUnknown(digest uint64) bool {
	return slices.ContainsFunc(r.Lost, func(l LostMountpath) bool { return l.held(digest) })
}

// Find returns the mountpath of an id; nil if there is none.
func (r *Roster) Find(id string) *MountpathView {
	for i := range r.Mountpaths {
		if r.Mountpaths[i].ID == id {
			return &r.Mountpaths[i]
		}
	}
	return nil
}

// Away says why the mountpath cannot be used; nil: it can.
func (m *MountpathView) Away() error {
	if m.Offline == "" {
		return nil
	}
	return &MountpathAway{Path: m.Path, State: m.State, Reason: m.Offline}
}

// Closed says why the mountpath takes no writes; nil: it takes them.
func (m *MountpathView) Closed() error {
	if m.ReadOnly == "" {
		return m.Away()
	}
	return &MountpathAway{Path: m.Path, State: m.State, Reason: m.ReadOnly, Writes: true}
}

// lanesShift takes the lane from other bits of the digest than HRW's winner
// favours, so that one mountpath's keys spread over its lanes.
const lanesShift = 32

// Writer returns the write lane of a key by its digest.
func (m *MountpathView) Writer(digest uint64) *actor.PID {
	return m.Writers[(digest>>lanesShift)%uint64(len(m.Writers))]
}

// Reader returns a read lane for a key by its digest.
func (m *MountpathView) Reader(digest uint64) *actor.PID {
	return m.Readers[(digest>>lanesShift)%uint64(len(m.Readers))]
}
