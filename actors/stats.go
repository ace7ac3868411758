package actors

import (
	"fmt"
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Stats counts what passes an actor's mailbox, through all its restarts. It is
// the mailbox's middleware. Safe for concurrent use.
type Stats struct {
	address   string
	posted    atomic.Int64
	handled   atomic.Int64
	restarts  atomic.Int64
	ended     atomic.Bool  // Stopped was handled
	lastCause atomic.Value // string
}

// MailboxStarted implements actor.MailboxMiddleware.
func (s *Stats) MailboxStarted() {}

// MessagePosted implements actor.MailboxMiddleware.
func (s *Stats) MessagePosted(any) { s.posted.Add(1) }

// MessageReceived implements actor.MailboxMiddleware. It is not called for a
// message whose handling panicked. Of an actor that has ended, protoactor empties
// the mailbox without telling anyone: what is in it is answered here.
func (s *Stats) MessageReceived(message any) {
	s.handled.Add(1)
	if request, ok := message.(messages.Failer); ok && s.ended.Load() {
		request.Fail(errs.E("actors.Receive", s.address, errs.Busy, errStopping))
	}
}

// MailboxEmpty implements actor.MailboxMiddleware.
func (s *Stats) MailboxEmpty() {}

func (s *Stats) failed(reason any) {
	s.handled.Add(1) // the mailbox does not count it
	s.lastCause.Store(fmt.Sprint(reason))
}

// State is what can be seen of an actor from outside.
type State struct {
	Address   string
	Queued    int64 // messages in the mailbox, about
	Handled   int64 // messages since the actor was first spawned
	Restarts  int64
	LastCause string // of the last failure; empty: it never failed
}

func (s *Stats) state() State {
	cause, _ := s.lastCause.Load().(string)
	handled := s.handled.Load()
	return State{
		Address: s.address, Handled: handled, Queued: max(0, s.posted.Load()-handled),
		Restarts: s.restarts.Load(), LastCause: cause,
	}
}
