package actors

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// KillGrace is how long an actor that is killed may take to come back from its
	// handler. A write that waits for its sync on a healthy disk is back by then.
	KillGrace = 500 * time.Millisecond
	// ControlTime bounds a restart or a kill as seen by who asked for it: the grace
	// for the actor and for those below it, and twice that for all of them to begin.
	ControlTime = 4 * KillGrace
)

// What is written down as the cause of a restart that control asked for.
const (
	CauseRestart = "restarted by control"
	CauseKill    = "killed by control"
)

var (
	errSuspended = errors.New("the actor is suspended; it can be resumed (troupe actors resume)")
	errKilled    = errors.New("the actor was killed")
	errAbandoned = errors.New("calls of actors that were killed have not come back")
	errInHand    = errors.New("the actor was killed on this request; it may or may not have been carried out")
)

// Actors returns the state of every actor, in the order of the tree.
func (s *System) Actors() []State {
	s.mu.Lock()
	entries := make([]*entry, 0, len(s.known))
	for _, e := range s.known {
		entries = append(entries, e)
	}
	s.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int { return compareAddresses(a.address, b.address) })
	states := make([]State, len(entries))
	number := make(map[string]int, len(entries))
	for i, e := range entries {
		states[i] = e.mailbox.state()
		number[e.address] = i
	}
	for _, e := range entries {
		if i, ok := number[e.parent]; ok {
			states[i].Children = append(states[i].Children, e.address)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, n := range s.hung {
		if i, ok := number[address]; ok {
			states[i].Abandoned = n
		}
	}
	return states
}

// List returns the actors whose addresses match a pattern (see
// messages.ListActors), in the order of the tree; errs.Invalid if it is none.
func (s *System) List(pattern string) ([]State, error) {
	if _, err := matches(pattern, ""); err != nil {
		return nil, errs.E("actors.List", pattern, errs.Invalid, fmt.Errorf("%w; as in node/mountpaths/*/w* or node/edges/**", err))
	}
	return slices.DeleteFunc(s.Actors(), func(state State) bool {
		ok, err := matches(pattern, state.Address)
		return err != nil || !ok
	}), nil
}

// matches reports whether an address is meant by a pattern.
func matches(pattern, address string) (bool, error) {
	if pattern == "" || pattern == "**" {
		return true, nil
	}
	above, deep := strings.CutSuffix(pattern, "/**")
	if !deep {
		return path.Match(pattern, address)
	}
	depth := strings.Count(above, "/") + 1
	parts := strings.Split(address, "/")
	if len(parts) <= depth {
		return path.Match(above, "") // for its error
	}
	return path.Match(above, strings.Join(parts[:depth], "/"))
}

// Find returns the state of one actor; errs.NotFound if there is none.
func (s *System) Find(address string) (State, error) {
	for _, state := range s.Actors() {
		if state.Address == address {
			state.Panics = s.panics.of(address)
			return state, nil
		}
	}
	return State{}, notFound("actors.Find", address)
}

func notFound(op errs.Op, address string) error {
	return errs.E(op, address, errs.NotFound, errors.New("there is no actor of that address now"))
}

// Control does to an actor what an action says, and returns its state afterwards.
// After a restart or a kill that is when the actor and those below it are at work
// again. It waits at most twice ControlTime; errs.Busy says that the action is
// under way, and what it waits for. An actor that ends itself so, or what is above it, holds it
// up for KillGrace.
func (s *System) Control(address string, action messages.ActorAction) (State, error) {
	carryOut, err := s.Claim(address, action)
	if err != nil {
		return State{}, err
	}
	return carryOut()
}

// Claim is the part of Control that is known at once: errs.NotFound, errs.Invalid,
// or errs.Conflict while another restart or kill of the actor is under way. What it
// returns is the rest. It must be called, once: until then there is no other restart
// or kill.
func (s *System) Claim(address string, action messages.ActorAction) (carryOut func() (State, error), err error) {
	const op errs.Op = "actors.Control"
	e := s.find(address)
	if e == nil {
		return nil, notFound(op, address)
	}
	switch action {
	case messages.SuspendActor, messages.ResumeActor, messages.SuspendBelow, messages.ResumeBelow:
	case messages.RestartActor, messages.KillActor:
		if !e.controlled.CompareAndSwap(false, true) {
			return nil, errs.E(op, address, errs.Conflict, errors.New("another restart or kill of it is under way"))
		}
	default:
		return nil, errs.E(op, address, errs.Invalid, fmt.Errorf("no action %q; there are suspend, resume, restart and kill, and suspend-below and resume-below", action))
	}
	return func() (State, error) {
		log := s.log.WithFields(logrus.Fields{"actor": address, "action": string(action)})
		if err := s.carryOut(e, action); err != nil {
			log.WithError(err).Warn("control of an actor is still under way")
			return State{}, errs.E(op, address, err)
		}
		log.Info("control of an actor")
		state, err := s.Find(address)
		if errs.Is(errs.NotFound, err) { // a worker that is not restarted: gone, as was wanted
			return State{Address: address, Kind: e.spec.Kind, Parent: e.parent, Status: messages.ActorStopping}, nil
		}
		return state, err
	}, nil
}

// carryOut does what a claim was made for, and gives the claim up.
func (s *System) carryOut(e *entry, action messages.ActorAction) error {
	var err error
	below := s.lasting(e.address)
	switch action {
	case messages.SuspendActor, messages.ResumeActor:
		s.gate(e, action == messages.SuspendActor)
		return nil
	case messages.SuspendBelow:
		s.gate(e, true) // first, so that it spawns nothing more
		for _, child := range s.below(e.address) {
			s.gate(child, true)
		}
		return nil
	case messages.ResumeBelow:
		for _, child := range s.below(e.address) {
			s.gate(child, false)
		}
		s.gate(e, false)
		return nil
	case messages.RestartActor:
		err = s.restart(e)
	case messages.KillActor:
		err = s.kill(e)
	}
	e.controlled.Store(false)
	if err == nil {
		// Some may be gone for good; who asked need not hear of that.
		s.await(ControlTime, func() bool { return s.started(below) })
	}
	return err
}

// lasting returns the addresses below one whose actors are made anew when they end.
func (s *System) lasting(address string) []string {
	var lasting []string
	for _, e := range s.below(address) {
		if !e.spec.Policy.NoRestart {
			lasting = append(lasting, e.address)
		}
	}
	return lasting
}

// started reports whether there is an actor at work at each of the addresses.
func (s *System) started(addresses []string) bool {
	for _, address := range addresses {
		e := s.find(address)
		if e == nil {
			return false
		}
		e.mailbox.mu.Lock()
		at := e.mailbox.starts > 0 && !e.mailbox.stopping
		e.mailbox.mu.Unlock()
		if !at {
			return false
		}
	}
	return true
}

// Suspend is Control's suspend for who is to undo only what he has done himself: it
// reports whether it was he. False: the actor was suspended before, or there is none.
// It may be called in the actor's own turn.
func (s *System) Suspend(address string) bool {
	return s.switchGate(address, messages.SuspendActor)
}

// Resume undoes Suspend, without Control's look at all actors. False: the actor was not
// suspended, or there is none.
func (s *System) Resume(address string) bool {
	return s.switchGate(address, messages.ResumeActor)
}

func (s *System) switchGate(address string, action messages.ActorAction) bool {
	e := s.find(address)
	if e == nil || !s.gate(e, action == messages.SuspendActor) {
		return false
	}
	s.log.WithFields(logrus.Fields{"actor": address, "action": string(action)}).Info("control of an actor")
	return true
}

// gate closes or opens the gate in front of an actor, and reports whether it was not so
// before.
func (s *System) gate(e *entry, closed bool) (changed bool) {
	if closed {
		return e.mailbox.suspend()
	}
	return e.mailbox.resume()
}

// restart makes an actor anew when it has handled what it has in hand.
func (s *System) restart(e *entry) error {
	starts := e.mailbox.begin(CauseRestart, e.spec.Policy.NoRestart)
	if s.await(ControlTime, func() bool { return s.begun(e, starts) }) {
		return nil
	}
	if state := e.mailbox.state(); state.Current != "" {
		return errs.E("actors.restart", errs.Busy, fmt.Errorf("it handles %s since %s, and is restarted afterwards; kill does not wait", state.Current, state.CurrentFor.Round(time.Millisecond)))
	}
	return errs.E("actors.restart", errs.Busy, errors.New("those below it have not ended yet; it is restarted afterwards"))
}

// kill makes an actor anew at once.
func (s *System) kill(e *entry) error {
	starts := e.mailbox.begin(CauseKill, e.spec.Policy.NoRestart)
	e.mailbox.discard(errKilled)
	s.gate(e, false) // who comes next was not suspended
	until := s.clock.Elapsed() + ControlTime
	grace := KillGrace
	for left := ControlTime; left > 0; left = until - s.clock.Elapsed() {
		if s.await(min(left, grace), func() bool { return s.begun(e, starts) }) {
			return nil
		}
		s.abandon(e, KillGrace)
		grace = e.mailbox.grace() // it may have come back, and be in the handler of its end
	}
	return errs.E("actors.kill", errs.Busy, errors.New("it has not begun anew yet; those below it have not ended"))
}

// begin tells an actor to restart, or to end, and returns how often it has
// started before.
func (m *mailbox) begin(cause string, end bool) (starts int) {
	m.failed(cause)
	m.mu.Lock()
	starts = m.starts
	m.mu.Unlock()
	if end {
		m.PostSystemMessage(&actor.Stop{})
		return starts
	}
	m.PostSystemMessage(&actor.SuspendMailbox{}) // what comes is for the next incarnation
	m.PostSystemMessage(&actor.Restart{})
	return starts
}

// begun reports whether there is a newer incarnation at an actor's address than
// the one that has started so often; of one that is not restarted, whether it is
// gone.
func (s *System) begun(e *entry, starts int) bool {
	now := s.find(e.address)
	if e.spec.Policy.NoRestart {
		return now != e
	}
	if now == nil {
		// On its way to a successor, or stopped for good by its parent.
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.orphans[e.address] == nil && s.known[e.address] == nil && s.known[e.parent] == nil
	}
	now.mailbox.mu.Lock()
	defer now.mailbox.mu.Unlock()
	return now.mailbox.starts > starts && !now.mailbox.waiting
}

// await waits until something holds, looking whenever an actor begins or ends, at
// most until the system is shut down.
func (s *System) await(within time.Duration, holds func() bool) bool {
	late := make(chan struct{})
	timer := s.clock.AfterFunc(within, func() { close(late) })
	defer timer.Stop()
	for {
		changed := make(chan struct{})
		s.mu.Lock()
		s.waiters = append(s.waiters, changed)
		s.mu.Unlock()
		if holds() {
			return true
		}
		select {
		case <-changed:
		case <-late:
			return holds()
		case <-s.over:
			return holds()
		}
	}
}

// tell lets those who wait look again. It is called with mu held.
func (s *System) tell() {
	for _, w := range s.waiters {
		close(w)
	}
	s.waiters = nil
}

func (s *System) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell()
}

// compareAddresses orders addresses as a tree is read: parents before children,
// w2 before w10.
func compareAddresses(a, b string) int {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	return slices.CompareFunc(x, y, compareNames)
}

// compareNames compares by prefix, and then by the number at the end if both have
// one.
func compareNames(a, b string) int {
	wordA, numberA := cutNumber(a)
	wordB, numberB := cutNumber(b)
	if wordA == wordB && len(numberA) != len(numberB) && numberA != "" && numberB != "" {
		return len(numberA) - len(numberB)
	}
	return strings.Compare(a, b)
}

func cutNumber(name string) (word, number string) {
	word = strings.TrimRight(name, "0123456789")
	return word, name[len(word):]
}
