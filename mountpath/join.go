package mountpath

import (
	"errors"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (s *mountpaths) onAddMountpath(ctx actor.Context, m *messages.AddMountpath) {
	const op errs.Op = "mountpath.Add"
	if p, err := s.find(op, m.Path); err == nil {
		switch {
		case s.transition.Leaving(p.mount.ID) && !s.changing:
			s.turn(ctx, op, p, m.Reply)
		case s.transition.Joining(p.mount.ID) && !s.changing && s.ready == nil:
			s.again(ctx, p, m.Reply)
		default:
			m.Fail(errs.E(op, m.Path, errs.Exists, errors.New("it is a mountpath of the node already")))
		}
		return
	}
	absolute := s.Set.Resolve(m.Path)
	if slices.ContainsFunc(s.places, func(p *place) bool { return p.retired && p.isAt(absolute) }) {
		m.Fail(errs.E(op, m.Path, errs.Conflict, errors.New("it has just left the node and is being wiped; add it when it has gone from the list")))
		return
	}
	if err := s.steady(op, m.Path); err != nil {
		m.Fail(err)
		return
	}
	s.changing, s.asked = true, m.Reply
	s.work(ctx, func() any {
		mount, transition, err := s.Set.Join(m.Path)
		return &joined{mount: mount, transition: transition, err: err}
	}, func(err error) any { return &joined{err: err} })
}

// joined says how making a directory a mountpath went. Sent by a worker.
type joined struct {
	mount      Mount
	transition *messages.Transition
	err        error
}

func (s *mountpaths) onJoined(ctx actor.Context, m *joined) {
	if m.err != nil {
		s.changing = false
		s.tell("", m.err)
		return
	}
	number := 0
	for _, p := range s.places {
		number = max(number, p.number+1)
	}
	p := newPlace(number, m.mount, s.System.Clock().Now())
	p.hidden = true // until its lanes are at work: onCoordinating
	s.places, s.subject, s.transition = append(s.places, p), p, m.transition
	p.view = s.spawn(ctx, p)
}

// reveal puts a mountpath that joins into the roster, with the transition, once it is
// at work or has failed before it was. Others are there already.
func (s *mountpaths) reveal(ctx actor.Context, p *place) {
	if p.hidden && !p.retired {
		p.hidden = false
		s.begin(ctx, s.transition)
	}
}
