package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Refusal says with what the requests of an actor are answered while it waits for
// something that may never come.
type Refusal struct {
	// Waiting answers those that it has not begun with, and those that come until
	// System.Accept: they are not carried out.
	Waiting error
	// InHand answers the one that it is in: it may or may not be carried out.
	InHand error
	// Waits reports whether a request is kept and waits as it would without a refusal;
	// nil: none is. It must not block.
	Waits func(message any) bool
	// Before is called with the message in hand before it is answered; nil: nothing.
	// It must not block, and runs beside the actor.
	Before func(message any)
}

// Refuse answers the requests of an actor that does not come back from its handler,
// and keeps others from it until Accept. The actor itself stays where it is, with
// what it holds: its call goes on, and what it answers in the end nobody hears. What
// is no request waits as before. Refusing again answers what is in hand by then.
// It returns how many requests it answered, and does not wait for the actor; one
// that is gone has none.
func (s *System) Refuse(pid *actor.PID, with Refusal) (answered int) {
	e := s.find(pid.Id)
	if e == nil {
		return 0
	}
	return e.mailbox.refuseRequests(with)
}

// Accept ends a Refuse.
func (s *System) Accept(pid *actor.PID) {
	if e := s.find(pid.Id); e != nil {
		e.mailbox.accept()
	}
}

func (m *mailbox) refuseRequests(with Refusal) (answered int) {
	m.mu.Lock()
	if m.over {
		m.mu.Unlock()
		return 0
	}
	m.refusing = &with
	current := m.current
	again := current != nil && current == m.answered
	m.answered = current
	waiting := m.takeRequests(with.refuses)
	m.mu.Unlock()
	for _, request := range waiting {
		request.Fail(errs.E("actors.Refuse", m.entry.address, with.Waiting))
	}
	request, ok := with.refuses(current)
	if !ok || again {
		return len(waiting)
	}
	if with.Before != nil {
		with.Before(current)
	}
	request.Fail(errs.E("actors.Refuse", m.entry.address, with.InHand))
	return len(waiting) + 1
}

// refuses returns the request that a message is, if it is not to wait.
func (r *Refusal) refuses(message any) (messages.Failer, bool) {
	request, ok := message.(messages.Failer)
	return request, ok && (r.Waits == nil || !r.Waits(message))
}

func (m *mailbox) accept() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusing, m.answered = nil, nil
}
