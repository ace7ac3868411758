package mountpath

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A transition is a change of the set of mountpaths that keys are placed on:
//
//	asked ──▶ documents ──▶ roster: keys have owner and former; formers refuse writes
//	                          │
//	                          ▼ every write lane has passed what it was in
//	                        ready: owners are written to; the job moves
//	                          │
//	                          ▼ nothing is left at a former mountpath
//	                        documents ──▶ roster without formers ──▶ who left is closed
//
// It is in the documents before anybody hears of it, so that a restart goes on with
// it, and the set changes one mountpath at a time.

// turn turns a transition round: who was joining leaves, and the other way round.
// The job is stopped first.
func (s *mountpaths) turn(ctx actor.Context, op errs.Op, p *place, reply messages.Reply[messages.MountpathStatus]) {
	if s.transition.Moving() > 1 {
		reply.Fail(errs.E(op, p.mount.Path, errs.Conflict, errors.New("others join or leave with it, and would turn round, too; wait until the set has changed")))
		return
	}
	job := s.transition.Job
	s.changing, s.asked, s.subject = true, reply, p
	s.work(ctx, func() any {
		if err := s.endJob(job); err != nil {
			return &changed{err: err}
		}
		transition, err := s.Set.Turn()
		return &changed{transition: transition, err: err}
	}, func(err error) any { return &changed{err: err} })
}

// changed says how a change of the set in the documents went. Sent by a worker.
type changed struct {
	transition *messages.Transition
	err        error
}

func (s *mountpaths) onChanged(ctx actor.Context, m *changed) {
	if m.err != nil {
		s.changing = false
		s.tell("", m.err)
		s.scheduleJob(ctx) // that of a transition that was not turned
		return
	}
	s.begin(ctx, m.transition)
}

// begin publishes a transition that the documents have, and waits for the writes
// that began before.
func (s *mountpaths) begin(ctx actor.Context, t *messages.Transition) {
	s.ready = make(chan struct{})
	next := *t
	next.Ready = s.ready
	s.transition = &next
	s.epoch++
	s.changing = false
	s.publish()
	s.System.Log().WithFields(logrus.Fields{"from": t.From, "to": t.To, "turned": t.Turned}).Info("the set of mountpaths changes")
	s.pass(ctx)
}

// passTime bounds the wait for a write lane, and passPause lies between two tries.
const (
	passTime  = 30 * time.Second
	passPause = 250 * time.Millisecond
)

// pass waits until every write lane is past what it was at.
func (s *mountpaths) pass(ctx actor.Context) {
	var lanes []*actor.PID
	for _, p := range s.places {
		if p.phase == serving && !p.hidden {
			lanes = append(lanes, p.view.Writers...)
		}
	}
	epoch := s.epoch
	s.work(ctx, func() any {
		var replies []messages.Reply[struct{}]
		for _, lane := range lanes {
			m := &messages.Pass{Reply: messages.NewReply[struct{}]()}
			s.System.Root().Send(lane, m)
			replies = append(replies, m.Reply)
		}
		var failures []error
		for _, r := range replies {
			_, err := r.WaitOn(s.System.Clock(), "mountpath.pass", passTime)
			failures = append(failures, err)
		}
		return &passed{epoch: epoch, err: errors.Join(failures...)}
	}, func(err error) any { return &passed{epoch: epoch, err: err} })
}

// passed says that every write lane is past what it was at when the transition was
// published, or that one is not. Sent by a worker.
type passed struct {
	epoch uint64
	err   error
}

// passAgain says that it is time to try again. Sent by a timer.
type passAgain struct{ epoch uint64 }

func (s *mountpaths) onPassAgain(ctx actor.Context, m *passAgain) {
	if m.epoch == s.epoch && s.ready != nil {
		s.pass(ctx)
	}
}

func (s *mountpaths) onPassed(ctx actor.Context, m *passed) {
	if m.epoch != s.epoch || s.ready == nil {
		return
	}
	if m.err != nil {
		s.System.Log().WithError(m.err).Warn("writes that began before the set of mountpaths changed have not ended; keys that move are busy until they do")
		s.System.Clock().AfterFunc(passPause, s.sender(ctx, &passAgain{m.epoch}))
		return
	}
	close(s.ready)
	s.ready = nil
	s.startJob(ctx)
}

// resume goes on with a transition after a start of the node, or of the actor.
func (s *mountpaths) resume(ctx actor.Context) {
	switch {
	case s.transition == nil:
	case s.ready != nil:
		s.pass(ctx)
	default:
		s.scheduleJob(ctx)
	}
	for _, p := range s.places {
		if p.retired && p.phase == serving {
			s.awaitLeases(ctx, p)
		}
	}
}
