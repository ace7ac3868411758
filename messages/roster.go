package messages

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
)

// Roster is a node's mountpaths with the addresses of their actors: an
// immutable snapshot. Mountpaths that are missing or disabled are in it, since
// they keep their place in HRW; their keys answer errs.Offline.
type Roster struct {
	Mountpaths []MountpathView
	digests    []uint64 // of the mountpaths' ids, in the same order
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
func NewRoster(mountpaths []MountpathView) *Roster {
	r := &Roster{Mountpaths: mountpaths}
	for _, m := range mountpaths {
		r.digests = append(r.digests, objects.DigestID(m.ID))
	}
	return r
}

// Owner returns the mountpath of a key by its digest; nil when there is none.
func (r *Roster) Owner(digest uint64) *MountpathView {
	i := placement.Highest(r.digests, digest)
	if i < 0 {
		return nil
	}
	return &r.Mountpaths[i]
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
