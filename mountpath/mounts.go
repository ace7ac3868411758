package mountpath

import (
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// The mount map follows what is known of the mountpaths:
//
//	health, set ──▶ reports ──▶ decide ──▶ PutMounts, on the disks ──▶ roster
//
// The supervisor is the only one that makes versions of it, one at a time.

// mountReport is what the mount map is decided by, of one mountpath of the node.
type mountReport struct {
	id     string
	state  messages.MountpathState // by its health
	placed bool                    // keys are placed on it: it does not leave
	kept   bool                    // the documents on it are kept up to date
	// compared says that it has whatever the others have for it.
	compared bool
}

// isUsed reports whether the mountpath can be up or recovering at all.
func (r mountReport) isUsed() bool {
	switch r.state {
	case messages.MountpathFailing, messages.MountpathDisabled, messages.MountpathMissing:
		return false
	}
	return r.kept
}

// isSpared reports whether the mountpath is better gone around than used, though it can be:
// every key keeps a holder in sync without it.
func (r mountReport) isSpared(m *smap.Smap, fewest int) bool {
	if r.state != messages.MountpathSlow && r.state != messages.MountpathReadOnly {
		return false
	}
	notInSync := 1 // it
	for _, node := range m.Nodes() {
		if string(node.ID) != r.id && !node.State.Serves() {
			notInSync++
		}
	}
	return notInSync < fewest
}

// returns reports whether a mountpath that is down is to be used again: one that is
// read-only is not, since it is written from the moment at which it recovers.
func (r mountReport) returns(m *smap.Smap, fewest int) bool {
	return r.isUsed() && !r.isSpared(m, fewest) && r.state != messages.MountpathReadOnly
}

// decide begins the next version of a mount map, or returns nil: it says what the reports
// say, which are of all mountpaths of the node. Fewest is how many holders each key has at
// least, from 1. One thing changes at a time: what has failed goes first, since a version
// has to be written where the map calls it up, and what is slow or read-only after it, if
// the others are enough then.
//
// The last one that is up stays so: nobody would be there to write it down. Who comes, and
// who goes, is placed, or not, without a plan, since no keys are placed by the map yet.
func decide(m *smap.Smap, reports []mountReport, fewest int) *smap.Change {
	report := make(map[smap.NodeID]mountReport, len(reports))
	for _, r := range reports {
		report[smap.NodeID(r.id)] = r
	}
	used := 0
	for _, node := range m.Nodes() {
		if !node.State.Away() {
			used++
		}
	}
	for _, node := range m.Nodes() {
		r, known := report[node.ID]
		if known && !r.isUsed() && !node.State.Away() && used > 1 {
			return m.Change().SetState(node.ID, node.Since, smap.Down)
		}
	}
	if change := comeAndGo(m, reports); change != nil {
		return change
	}
	for _, node := range m.Nodes() {
		if r := report[node.ID]; r.isSpared(m, fewest) && !node.State.Away() && used > 1 {
			return m.Change().SetState(node.ID, node.Since, smap.Down)
		}
	}
	for _, node := range m.Nodes() {
		switch r := report[node.ID]; {
		case node.State == smap.Down && r.returns(m, fewest):
			return m.Change().SetState(node.ID, node.Since, smap.Recovering)
		case node.State == smap.Recovering && r.isUsed() && r.compared:
			return m.Change().SetState(node.ID, node.Since, smap.Up)
		}
	}
	return nil
}

// comeAndGo begins a version with the mountpaths that the node has, placed as it places
// them; nil: the map has them.
func comeAndGo(m *smap.Smap, reports []mountReport) *smap.Change {
	var placement []smap.NodeID
	change, changes := m.Change(), false
	for _, r := range reports {
		id := smap.NodeID(r.id)
		_, has := m.Node(id)
		if !has && !r.isUsed() {
			continue // it joins when it can be written
		}
		if !has {
			change, changes = change.Join(id, smap.Digest(objects.DigestID(r.id))), true
		}
		if r.placed {
			placement = append(placement, id)
		}
	}
	if len(placement) == 0 {
		return nil
	}
	slices.Sort(placement)
	if !slices.Equal(placement, m.Placement()) {
		change, changes = change.Place(placement), true
	}
	for _, node := range m.Nodes() {
		if !slices.ContainsFunc(reports, func(r mountReport) bool { return smap.NodeID(r.id) == node.ID }) {
			change, changes = change.Remove(node.ID), true
		}
	}
	if !changes {
		return nil
	}
	return change
}

// fewestHolders is how many holders each key has at least: no bucket asks for more than
// one, so that no mountpath is spared for being slow.
const fewestHolders = 1

// follow makes the versions that bring the mount map to what the reports say, and returns
// the one that is served then; nil: none is. It blocks on disks.
func (s Set) follow(reports []mountReport) (*smap.Smap, error) {
	const op errs.Op = "mountpath.follow"
	for range 4*len(reports) + 4 { // down, recovering, up and placed, for each
		state, err := s.Mounts()
		if err != nil || state.Served == nil {
			return state.Served, errs.Wrap(op, err)
		}
		for i := range reports {
			reports[i].kept = slices.Contains(state.Kept, reports[i].id)
		}
		next, change := state.Latest, decide(state.Latest, reports, fewestHolders)
		switch {
		case change != nil:
			if next, err = change.Done(); err != nil {
				return state.Served, errs.E(op, err)
			}
		case next.Version() == state.Served.Version():
			return state.Served, nil
		}
		if err := s.PutMounts(next); err != nil && change == nil {
			return state.Served, errs.E(op, err)
		}
	}
	return nil, errs.E(op, errs.Internal, errors.New("the mount map does not come to rest"))
}

// reviewMounts has the mount map follow, if what it is decided by has changed since it
// last did.
func (s *mountpaths) reviewMounts(ctx actor.Context) {
	if s.Set.PutMounts == nil || s.reviewing || s.ending {
		return
	}
	var reports []mountReport
	for _, p := range s.places {
		if p.retired {
			continue
		}
		state := p.report.state
		if state == messages.MountpathFailing {
			// Nobody goes around it, and what it lacks cannot be brought to it while its store
			// is open: it stays up, as one that is slow does, until it is disabled or well.
			state = messages.MountpathSlow
		}
		reports = append(reports, mountReport{
			id: p.mount.ID, state: state, placed: !s.transition.Leaving(p.mount.ID),
			compared: true, // no other mountpath was written to in its place
		})
	}
	if slices.Equal(reports, s.reviewed) {
		return
	}
	s.reviewing, s.reviewed = true, slices.Clone(reports)
	s.work(ctx, func() any {
		served, err := s.Set.follow(reports)
		return &reviewed{served: served, err: err}
	}, func(err error) any { return &reviewed{err: err} })
}

// reviewed says how the mount map followed. Sent by a worker.
type reviewed struct {
	served *smap.Smap // nil: none is
	err    error
}

// reviewPause lies between two tries to have the mount map follow: each writes to all
// disks, and what is tried again most often waits for a disk that fails.
const reviewPause = 10 * time.Second

// reviewAgain says that it is time to have the mount map follow again. Sent by a timer.
type reviewAgain struct{}

func (s *mountpaths) onReviewed(ctx actor.Context, m *reviewed) {
	s.reviewing = false
	why := ""
	if m.err != nil {
		why = m.err.Error()
	}
	if why != "" && why != s.unfollowed {
		s.System.Log().WithError(m.err).Warn("the mount map does not say yet what is known of the mountpaths")
	}
	s.unfollowed = why
	if why != "" {
		s.System.Clock().AfterFunc(reviewPause, s.sender(ctx, &reviewAgain{}))
	}
	if m.served != nil && s.serveMounts(m.served) {
		s.System.Log().WithFields(logrus.Fields{"version": m.served.Version(), "mountpaths": described(m.served)}).Info("the mount map has changed")
		s.publish()
	}
}

func (s *mountpaths) onReviewAgain() { s.reviewed = nil }

// serveMounts makes a version of the mount map the one that goes with the roster, and
// reports whether it is another one.
func (s *set) serveMounts(m *smap.Smap) bool {
	if s.mounts != nil && s.mounts.Map.Hash() == m.Hash() {
		return false
	}
	if s.replaced != nil {
		close(s.replaced)
	}
	s.replaced = make(chan struct{})
	s.mounts = &messages.MountSet{Map: m, Replaced: s.replaced}
	return true
}

// described is the states of a mount map, for people.
func described(m *smap.Smap) map[string]string {
	states := make(map[string]string)
	for _, node := range m.Nodes() {
		states[string(node.ID)] = string(node.State)
	}
	return states
}
