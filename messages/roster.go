package messages

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
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

// Owner returns the mountpath of a key by its digest; nil when there is none.
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
