package messages

import (
	"errors"
	"slices"
)

// Transition is a change of the set of mountpaths among which HRW places keys,
// while objects move from where the old set placed them to where the new one does.
// Immutable.
type Transition struct {
	From, To []string // ids of the mountpaths of the old set and of the new one
	Job      string   // id of the job that moves; empty: it is not known yet
	// Turned says that the set turned round half way: the former mountpath of a key
	// may have a newer record than its owner.
	Turned bool
	// Ready is closed when every write at a former mountpath that began before the
	// transition has ended; owners are written to from then on. nil: it is.
	Ready <-chan struct{}
}

// Joining reports whether the mountpath is in the new set only.
func (t *Transition) Joining(id string) bool {
	return t != nil && slices.Contains(t.To, id) && !slices.Contains(t.From, id)
}

// Leaving reports whether the mountpath is in the old set only.
func (t *Transition) Leaving(id string) bool {
	return t != nil && slices.Contains(t.From, id) && !slices.Contains(t.To, id)
}

// Moving counts the mountpaths that join or leave.
func (t *Transition) Moving() (count int) {
	for _, id := range slices.Concat(t.From, t.To) {
		if t.Joining(id) || t.Leaving(id) {
			count++
		}
	}
	return count
}

// IsSource reports whether keys leave the mountpath: when one joins, all the others
// give up some of theirs; when one leaves, only it does.
func (t *Transition) IsSource(id string) bool {
	if t == nil || t.Joining(id) {
		return false
	}
	return t.Leaving(id) || slices.ContainsFunc(t.To, t.Joining)
}

// ErrMoved is the cause of a failed write: by now the key belongs to another
// mountpath, and nothing was done. Asked again with the roster as it is now, it
// succeeds.
var ErrMoved = errors.New("the key belongs to another mountpath by now")

// AddMountpath makes a directory a mountpath of the node: it is checked as at a
// start, formatted and opened, and gets its share of the keys, which a job moves.
// Sent by an edge to the supervisor of mountpaths; answered when it is in use and
// the job has begun, or by a failure: Invalid (it cannot be a mountpath), Conflict
// (the set is being changed already), NoSpace.
type AddMountpath struct {
	Path  string
	Reply Reply[MountpathStatus]
}

// Fail implements Failer.
func (m *AddMountpath) Fail(err error) { m.Reply.Fail(err) }

// RemoveMountpath takes a mountpath from the node: a job moves what it has to the
// others; then it is closed, and its directory is left with its format only. Sent
// by an edge to the supervisor of mountpaths; answered when the job has begun, or
// by a failure: NotFound, Conflict (it is the last, or the set is being changed
// already), NoSpace (the others have no room), Offline (it cannot be read, and
// Force is not set). Of a mountpath that is joining, it turns the change round.
type RemoveMountpath struct {
	Path string // or the id
	// Force gives up what is on a mountpath that cannot be read.
	Force bool
	Reply Reply[MountpathStatus]
}

// Fail implements Failer.
func (m *RemoveMountpath) Fail(err error) { m.Reply.Fail(err) }

// FinishTransition says that nothing is left to move: the old set is forgotten,
// and a mountpath that leaves is closed. Sent by the job to the supervisor of
// mountpaths; answered when the documents say so and what leaves is gone. No
// transition to that set is no failure: it is finished.
type FinishTransition struct {
	To    []string
	Reply Reply[struct{}]
}

// Fail implements Failer.
func (m *FinishTransition) Fail(err error) { m.Reply.Fail(err) }

// TallyTransition asks what is to be moved by the transition that is under way. Sent
// by the job to the supervisor of mountpaths.
type TallyTransition struct{ Reply Reply[Tally] }

// Fail implements Failer.
func (m *TallyTransition) Fail(err error) { m.Reply.Fail(err) }

// Tally counts objects and the bytes of their payloads.
type Tally struct{ Objects, Bytes int64 }

// Pass is answered by a write lane when everything that it was sent before is
// done. Sent by the supervisor of mountpaths.
type Pass struct{ Reply Reply[struct{}] }

// Fail implements Failer.
func (m *Pass) Fail(err error) { m.Reply.Fail(err) }
