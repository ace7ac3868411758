package mountpath

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Set changes which mountpaths a node has: directories and documents. Its functions
// block on disks and are called one at a time.
type Set struct {
	// Resolve makes a path absolute that is relative to where the node was started. It
	// asks no disk.
	Resolve func(path string) string
	// Join checks a directory as a start does, makes it a mountpath, opens it, and has
	// the documents begin the transition to the set with it.
	Join func(path string) (Mount, *messages.Transition, error)
	// Leave has the documents begin the transition to the set without a mountpath.
	Leave func(id string) (*messages.Transition, error)
	// Turn has them turn the transition round.
	Turn func() (*messages.Transition, error)
	// Began notes the job that moves to a set.
	Began func(to []string, job string) error
	// Finish ends the transition to a set.
	Finish func(to []string) error
	// Retire wipes the directory of a mountpath that has left and is closed.
	Retire func(id string) error
	// GiveUp has them forget a mountpath that cannot be used, with what is on it, and
	// returns what is left of a transition that was under way, and what is lost.
	GiveUp func(id string) (*messages.Transition, []messages.LostMountpath, error)
	// Found has them note that the node has caught up with mountpaths that were lost, and
	// returns what still is.
	Found func(ids []string) ([]messages.LostMountpath, error)
	// Mounts returns what the documents know of the mount map; it is served from then on,
	// if it can be. PutMounts has them publish its next version. nil: there is no mount map.
	Mounts    func() (MountState, error)
	PutMounts func(*smap.Smap) error
	// Drop lets its directory go.
	Drop func(id string) error
	// Buckets returns the live buckets that there are.
	Buckets func() []objects.Bucket
}

// MountState is what the documents of a node know of its mount map.
type MountState struct {
	Latest *smap.Smap // which the next version follows; it may not have been published
	Served *smap.Smap // nil: too few mountpaths have been there since the start
	Kept   []string   // mountpaths whose documents are kept up to date, by id
}

// set is the mountpaths of a node and how their set changes. It belongs to the
// supervisor of mountpaths, and outlives its incarnations.
type set struct {
	places     []*place
	transition *messages.Transition // nil: the set does not change
	epoch      uint64               // of placement
	changing   bool                 // a worker changes the documents of the set
	lost       []messages.LostMountpath
	ready      chan struct{} // of the transition; nil: it is
	// asked is answered when the job that moves has begun; nil: nobody waits.
	asked   messages.Reply[messages.MountpathStatus]
	subject *place // whose status is the answer
	// results are what workers were asked for and nobody has dealt with yet.
	results map[uint64]*result
	worked  uint64 // numbers the workers
	// mounts is the mount map that goes with the roster; nil: none. replaced is of it.
	mounts   *messages.MountSet
	replaced chan struct{}
	// reviewed are the reports that the mount map last followed, or is following while
	// reviewing; unfollowed why it could not.
	reviewed   []mountReport
	reviewing  bool
	unfollowed string
	// finishing are answered when who left is gone.
	finishing []messages.Reply[struct{}]
}

// statusOf is a mountpath's status with its part in a transition.
func (s *mountpaths) statusOf(p *place) messages.MountpathStatus {
	status := p.status()
	if status.Mount = s.mounts.State(p.mount.ID); status.Mount != "" {
		status.MountVersion = s.mounts.Version()
	}
	if p.retired {
		status.State, status.Reason = messages.MountpathLeaving, "everything has moved; it is wiped when its last reader has gone"
	}
	if t := s.transition; t != nil {
		joining, leaving := t.Joining(p.mount.ID), t.Leaving(p.mount.ID)
		if joining || leaving {
			status.Job = t.Job
		}
		if status.State == messages.MountpathOK || status.State == messages.MountpathSlow {
			switch {
			case joining:
				status.State = messages.MountpathJoining
			case leaving:
				status.State = messages.MountpathLeaving
			}
		}
	}
	return status
}

// steady fails while the set is being changed.
func (s *mountpaths) steady(op errs.Op, thing string) error {
	switch {
	case s.transition != nil && s.transition.Job != "":
		return errs.E(op, thing, errs.Conflict, fmt.Errorf("the set of mountpaths is being changed already: job %s moves objects; wait for it, or turn it round", s.transition.Job))
	case s.transition != nil || s.changing:
		return errs.E(op, thing, errs.Conflict, errors.New("the set of mountpaths is being changed already"))
	}
	return nil
}

// tell answers who asked for the change, with the job that moves.
func (s *mountpaths) tell(job string, err error) {
	if s.asked == nil {
		return
	}
	var status messages.MountpathStatus
	if s.subject != nil {
		status = s.statusOf(s.subject)
		status.Job = job
	}
	s.asked.Send(status, err)
	s.asked, s.subject = nil, nil
}
