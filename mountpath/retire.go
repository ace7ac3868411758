package mountpath

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (s *mountpaths) onFinishTransition(ctx actor.Context, m *messages.FinishTransition) {
	const op errs.Op = "mountpath.FinishTransition"
	switch {
	case s.transition == nil || !slices.Equal(s.transition.To, m.To):
		s.whenRetired(m)
	case s.changing || s.ready != nil:
		m.Fail(errs.E(op, errs.Busy, errors.New("the set of mountpaths is being changed")))
	default:
		s.changing = true
		leaving := s.leaving()
		s.work(ctx, func() any {
			if err := areEmpty(s.Set.Buckets(), leaving); err != nil {
				return &finished{request: m, err: errs.E(op, err)}
			}
			return &finished{request: m, err: s.Set.Finish(m.To)}
		}, func(err error) any { return &finished{request: m, err: err} })
	}
}

// leaving are the stores of mountpaths that leave, by path; nil: it is not open.
func (s *mountpaths) leaving() map[string]*store.Store {
	stores := make(map[string]*store.Store)
	for _, p := range s.places {
		if s.transition.Leaving(p.mount.ID) {
			stores[p.mount.Path] = p.mount.Store
		}
	}
	return stores
}

// areEmpty fails if something is left on mountpaths whose directories are to be
// wiped: whoever thinks that all has moved is not believed.
func areEmpty(buckets []objects.Bucket, stores map[string]*store.Store) error {
	const op errs.Op = "mountpath.areEmpty"
	for path, s := range stores {
		if s == nil {
			return errs.E(op, path, errs.Offline, errors.New("it cannot be looked at, so nobody can say that nothing is left on it"))
		}
		left, err := tally(buckets, s, func(objects.Key) bool { return true })
		if err != nil {
			return errs.E(op, path, err)
		}
		if left != (messages.Tally{}) {
			return errs.E(op, path, errs.Busy, fmt.Errorf("%d objects with %d bytes are left on it", left.Objects, left.Bytes))
		}
	}
	return nil
}

// finished says how ending a transition in the documents went. Sent by a worker.
type finished struct {
	request *messages.FinishTransition // nil: a mountpath was given up
	err     error

	forced     *place               // given up
	lost       int64                // objects that were on it, by the share of the others
	transition *messages.Transition // that goes on without it; nil: none
	unknown    []messages.LostMountpath
}

func (s *mountpaths) onFinished(ctx actor.Context, m *finished) {
	s.changing = false
	if m.err != nil {
		s.tell("", m.err)
		if m.request != nil {
			m.request.Fail(m.err)
		} else {
			s.scheduleJob(ctx) // it may have been stopped
		}
		return
	}
	if m.forced != nil {
		s.onGivenUp(ctx, m)
		return
	}
	done := s.transition
	s.transition = nil
	s.epoch++
	for _, p := range s.places {
		if done.Leaving(p.mount.ID) {
			p.hidden, p.retired = true, true
			s.awaitLeases(ctx, p)
		}
	}
	s.publish()
	s.System.Log().WithField("mountpaths", done.To).Info("the set of mountpaths has changed")
	s.whenRetired(m.request)
}

// leaseTick says that it is time to look whether readers have left a mountpath that
// has left the node. Sent by a timer.
type leaseTick struct {
	place *place
	since time.Duration // of the clock's Elapsed
}

func (s *mountpaths) awaitLeases(ctx actor.Context, p *place) {
	s.onLeaseTick(ctx, &leaseTick{place: p, since: s.System.Clock().Elapsed()})
}

// onLeaseTick closes a mountpath that has left once nobody reads what was on it:
// bodies that are being sent open one part file after the other, and uploads that
// end there are read again. What has moved is reclaimed by then: what still had its
// name would be left as somebody else's file.
func (s *mountpaths) onLeaseTick(ctx actor.Context, m *leaseTick) {
	p := m.place
	if p.phase != serving {
		if p.phase == away {
			s.retire(ctx, p)
		}
		return
	}
	waits, _ := p.mount.Store.Reclaimable()
	if waits+p.mount.Store.Leases()+p.custody.parked()+int(p.custody.running.Load()) > 0 && s.System.Clock().Elapsed()-m.since < store.LeaseTime {
		s.System.Clock().AfterFunc(passPause, s.sender(ctx, m))
		return
	}
	p.phase = stopping
	ctx.Stop(p.view.Coordinator)
}

// retire has the directory of a mountpath wiped that has left and is closed.
func (s *mountpaths) retire(ctx actor.Context, p *place) {
	p.phase = working
	s.work(ctx, func() any { return &retired{place: p, err: s.Set.Retire(p.mount.ID)} }, func(err error) any { return &retired{place: p, err: err} })
}

// retired says that the directory of a mountpath that has left is wiped, as far as
// it can be. Sent by a worker.
type retired struct {
	place *place
	err   error
}

func (s *mountpaths) onRetired(m *retired) {
	log := s.System.Log().WithField("mountpath", m.place.mount.Path)
	if m.err != nil {
		log.WithError(m.err).Warn("the directory of a mountpath that left the node could not be wiped")
	} else {
		log.Info("a mountpath has left the node")
	}
	s.places = slices.DeleteFunc(s.places, func(p *place) bool { return p == m.place })
	for _, reply := range s.finishing {
		reply.Send(struct{}{}, nil)
	}
	s.finishing = nil
}

// whenRetired answers when every mountpath that left is gone.
func (s *mountpaths) whenRetired(m *messages.FinishTransition) {
	for _, p := range s.places {
		if p.retired {
			s.finishing = append(s.finishing, m.Reply)
			return
		}
	}
	m.Reply.Send(struct{}{}, nil)
}
