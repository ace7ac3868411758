package messages

import (
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// MountpathState says how a mountpath is.
type MountpathState string

// The states of a mountpath, best first.
const (
	// MountpathOK: everything works.
	MountpathOK MountpathState = "ok"
	// MountpathFull: reads and deletes work, writes fail with NoSpace before they
	// start; when half of the reserve is gone deletes fail too.
	MountpathFull MountpathState = "full"
	// MountpathSlow: everything works, slowly. Its keys stay with it.
	MountpathSlow MountpathState = "slow"
	// MountpathReadOnly: the filesystem takes no writes; reads work.
	MountpathReadOnly MountpathState = "read-only"
	// MountpathFailing: errors, a call that does not return, or an index that
	// stopped; the disk is probed, and is ok again or disabled soon.
	MountpathFailing MountpathState = "failing"
	// MountpathDisabled: it is not used until it is enabled.
	MountpathDisabled MountpathState = "disabled"
	// MountpathMissing: it was not there, or could not be opened.
	MountpathMissing MountpathState = "missing"
	// MountpathJoining: it is ok, or slow, as its reason says then, and keys move to
	// it. Of MountpathStatus only.
	MountpathJoining MountpathState = "joining"
	// MountpathLeaving: likewise, and its keys move to the others.
	MountpathLeaving MountpathState = "leaving"
	// MountpathSuspended: its disk is ok, and actors of it are suspended by control:
	// what they are asked is refused. Of MountpathStatus only.
	MountpathSuspended MountpathState = "suspended"
)

// MountpathChange is one change of a mountpath's state.
type MountpathChange struct {
	At     time.Time
	State  MountpathState
	Reason string // in words
}

// MountpathStatus is what is known of one mountpath. Numbers of a mountpath that
// is not open are zero.
type MountpathStatus struct {
	ID, Path string
	State    MountpathState
	Reason   string    // why it is in that state; empty for ok
	Since    time.Time // when it came to be in it
	Writable bool      // it takes writes, as far as there is room
	Readable bool

	TotalBytes, FreeBytes uint64
	ReservedBytes         uint64 // kept free; below it writes fail
	TotalFiles, FreeFiles uint64 // inodes; 0 where the filesystem has no table of them

	ReclaimPayloads int   // deleted, not yet reclaimed
	ReclaimBytes    int64 // likewise
	Leases          int   // payloads that readers keep from being reclaimed
	UnsettledKeys   int   // busy until a write that failed is settled

	Errors     uint64        // disk errors since the node started
	Probe      time.Duration // how long the last probe took; 0: it was not probed
	Transfers  int           // large payloads on their way in
	Reopenings int           // how often an index that dies can still be followed by a new one

	Changes []MountpathChange // the last ones, oldest first

	Job string // id of the job that moves its keys, or keys to it; empty: none

	Suspended int // actors of it that are suspended by control; in a list only

	// Mount is its state in the mount map, and MountVersion the version of that; empty and
	// 0: no map is served, or it is not in it.
	Mount        smap.State
	MountVersion uint64
}

// ListMountpaths asks for the state of every mountpath. Sent by an edge to the
// supervisor of mountpaths, which answers at once.
type ListMountpaths struct {
	Reply Reply[[]MountpathStatus]
}

// Fail implements Failer.
func (m *ListMountpaths) Fail(err error) { m.Reply.Fail(err) }

// DisableMountpath takes a mountpath out of use until EnableMountpath, over
// restarts too: its keys answer 503 and stay its own. Sent by an edge to the
// supervisor of mountpaths; answered when it is out of use and the documents say
// so, which takes as long as its calls under way. A failure (NotFound, Busy) says
// what to do; one that is disabled already is none.
type DisableMountpath struct {
	Path  string // or the id; may be relative to where the node was started
	Reply Reply[MountpathStatus]
}

// Fail implements Failer.
func (m *DisableMountpath) Fail(err error) { m.Reply.Fail(err) }

// EnableMountpath opens a mountpath that is disabled or missing, settles what was
// in flight, and puts it to use. Sent by an edge to the supervisor of mountpaths;
// answered when it is at work, or with the reason why it cannot be (NotFound,
// Invalid, Busy, Offline, Corrupt). One that is in use is no failure.
type EnableMountpath struct {
	Path  string // or the id; may be relative to where the node was started
	Reply Reply[MountpathStatus]
}

// Fail implements Failer.
func (m *EnableMountpath) Fail(err error) { m.Reply.Fail(err) }

// MountpathAway is the cause of a failure of kind Offline: a mountpath cannot be
// used now, or takes no writes.
type MountpathAway struct {
	Path   string
	State  MountpathState
	Reason string // with the state, for operators
	Writes bool   // it is only writes that it does not take
	Begun  bool   // the request was under way there; it may or may not be carried out
}

// Error implements error.
func (e *MountpathAway) Error() string {
	switch {
	case e.Begun:
		return "mountpath " + e.Path + " does not come back from this request, which may or may not be carried out: " + e.Reason
	case e.Writes:
		return "mountpath " + e.Path + " takes no writes: " + e.Reason
	}
	return "mountpath " + e.Path + ": " + e.Reason
}

// Is makes one whose request was begun objects.ErrOutcomeUnknown.
func (e *MountpathAway) Is(target error) bool { return e.Begun && target == objects.ErrOutcomeUnknown }

// Public says it to clients, who are to know the state and neither paths nor errors.
func (e *MountpathAway) Public() string {
	state := string(e.State)
	if e.State == MountpathOK {
		state = "being opened"
	}
	switch {
	case e.Begun:
		return "The mountpath that holds this is " + state + " and did not answer in time: the request may or may not be carried out."
	case e.Writes:
		return "The mountpath that holds this takes no writes now: it is " + state + "."
	}
	return "The mountpath that holds this cannot be used now: it is " + state + "."
}
