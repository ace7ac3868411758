package actors

import (
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// An actor that does not come back from its handler is abandoned: its name, its
// counts and its events go to a successor, its requests are answered, and when
// its call comes back at last it is told Stopping, so that it gives back what it
// holds, and is never heard of again. Protoactor's part of it is left as it was
// in the middle of that message, and collected with the goroutine.

// abandon abandons an actor that has been in a handler for at least so long, after
// those below it have been stopped; nothing happens if it has come back meanwhile.
func (s *System) abandon(e *entry, atLeast time.Duration) {
	m := e.mailbox
	now := s.clock.Elapsed()
	m.handing.Lock()
	m.mu.Lock()
	if m.current == nil || m.over || now-m.since < atLeast {
		m.mu.Unlock()
		m.handing.Unlock()
		return
	}
	m.abandoned, m.over, m.refusal = true, true, errKilled
	current := m.current
	m.mu.Unlock()
	s.mu.Lock()
	s.hung[e.address]++
	s.mu.Unlock()
	s.log.WithFields(logrus.Fields{"actor": e.address, "message": nameOf(current)}).Error("an actor does not come back from its handler and is abandoned")
	if e.spec.Abandoned != nil {
		m.returned = e.spec.Abandoned(current)
	}
	m.handing.Unlock()
	m.discard(errKilled)
	if request, ok := current.(messages.Failer); ok {
		m.refuse(request, errInHand)
	}
	s.stopBelow(e.address)
	s.handOver(e)
}

// stopBelow ends everything below an address, and abandons what does not end.
func (s *System) stopBelow(address string) {
	for _, child := range s.below(address) {
		child.mailbox.PostSystemMessage(&actor.Stop{})
	}
	none := func() bool { return len(s.below(address)) == 0 }
	if s.await(KillGrace, none) {
		return
	}
	for _, child := range s.below(address) {
		s.abandon(child, 0)
	}
	s.await(KillGrace, none) // those that were not in a handler: they waited for the others
}

// below returns the actors below an address.
func (s *System) below(address string) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var below []*entry
	for id, e := range s.known {
		if strings.HasPrefix(id, address+"/") {
			below = append(below, e)
		}
	}
	return below
}

// handOver frees the name of an abandoned actor and lets its parent know.
func (s *System) handOver(e *entry) {
	pid := s.PID(e.address)
	s.actors.ProcessRegistry.Remove(pid) // whoever has it cached looks again
	s.mu.Lock()
	if !e.spec.Policy.NoRestart {
		s.orphans[e.address] = e
	}
	parent := s.known[e.parent]
	s.mu.Unlock()
	s.forget(e.address, e)
	if parent != nil {
		parent.mailbox.PostSystemMessage(&actor.Terminated{Who: pid})
		return
	}
	s.succeed(s.actors.Root, e.address, e.parent == "")
}

// succeed spawns the successor of an abandoned child, if there is one to come.
func (s *System) succeed(parent actor.SpawnerContext, address string, wanted bool) bool {
	s.mu.Lock()
	e := s.orphans[address]
	delete(s.orphans, address)
	s.mu.Unlock()
	if e == nil || !wanted {
		return false
	}
	if _, err := s.spawn(parent, e.successor()); err != nil {
		s.log.WithError(err).WithField("actor", address).Error("an actor that was abandoned has no successor")
		return false
	}
	return true
}

// successor returns the entry of who comes after an abandoned actor: it goes on
// counting, and gets the events that waited.
func (e *entry) successor() *entry {
	next := &entry{spec: e.spec}
	next.mailbox = newMailbox(e.mailbox.system, next)
	if e.spec.Suspended != nil {
		e.spec.Suspended.Store(false)
	}
	m := e.mailbox
	m.mu.Lock()
	defer m.mu.Unlock()
	next.mailbox.counts = m.counts
	next.mailbox.restarts++
	next.mailbox.system.restarts.Add(1)
	next.mailbox.user, m.user = m.user, queue[posted]{}
	return next
}

// cameBack ends an abandoned actor, on its own goroutine. One that came back from
// its end has given back what it holds.
func (m *mailbox) cameBack() {
	func() {
		defer func() {
			if reason := recover(); reason != nil {
				m.failed(reason) // the guard has logged it
			}
		}()
		m.mu.Lock()
		told := m.ending
		m.mu.Unlock()
		if !told {
			m.invoker.InvokeUserMessage(&actor.Stopping{})
		}
	}()
	m.handing.Lock() // who abandoned it may not be done yet
	returned := m.returned
	m.handing.Unlock()
	if returned != nil {
		returned()
	}
	s, address := m.system, m.entry.address
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung[address]--; s.hung[address] == 0 {
		delete(s.hung, address)
	}
	s.tell()
}

// reapLater abandons those below an actor that have been told to end, so that it
// can restart, once they have been in a handler for the grace.
func (s *System) reapLater(address string) {
	s.clock.AfterFunc(KillGrace, func() {
		ending := false
		for _, child := range s.below(address) {
			child.mailbox.mu.Lock()
			stopping := child.mailbox.stopping
			child.mailbox.mu.Unlock()
			if stopping {
				ending = true
				s.abandon(child, KillGrace)
			}
		}
		if ending {
			s.reapLater(address)
		}
	})
}

// AwaitAbandoned waits until the calls of all abandoned actors have come back.
func (s *System) AwaitAbandoned(within time.Duration) error {
	none := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.hung) == 0
	}
	if s.await(within, none) {
		return nil
	}
	return errs.E("actors.AwaitAbandoned", errs.Busy, errAbandoned)
}
