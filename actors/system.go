package actors

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Spec describes an actor: what it is called among its siblings, how to make it
// (again after each restart: New has no side effects and opens nothing), and how
// its parent treats its failures.
type Spec struct {
	Name string
	Kind string // what it is, for people who look at the tree: "write lane"
	// Subject is what all messages of the actor are about that do not say so
	// themselves: of an upload, its key. May be empty.
	Subject string
	// Handles is what all messages of the actor handle that do not say so themselves: its
	// panics count for that, and may have it quarantined. May be zero.
	Handles messages.Handling
	New     func() actor.Actor
	Policy  Policy

	// Abandoned is called when the actor is killed in a handler from which it does
	// not come back: somebody else is at its address from now on, while that call
	// goes on. It keeps the two apart (for a write lane: it marks the key of the
	// message as busy) and tells whoever waits that there is no answer to come, where
	// the message in hand is none that can be answered. What it returns, which may be
	// nil, is called when the call has come back, after the actor's Stopping. Called
	// on another goroutine than the actor's; it must not block. nil: nothing to keep
	// apart.
	Abandoned func(message any) (returned func())
	// Suspended is kept true while the actor is suspended, for those who stand in
	// front of its mailbox, as HTTP handlers do; nil: nobody does.
	Suspended *atomic.Bool
}

// Policy says what happens when an actor panics. The pause before a restart
// doubles from Base to Max with each failure within Window.
type Policy struct {
	Base   time.Duration // pause before the first restart; 0: a millisecond
	Max    time.Duration // longest pause; 0: a second
	Window time.Duration // failures older than this are forgotten; 0: a minute
	// NoRestart stops the actor at its first failure: for workers that live for
	// one request, whose state is gone with them.
	NoRestart bool
	// Resumes has a panic on a message that handles one thing (messages.Handled) leave the
	// actor as it is, and all below it: it costs what the message is about, and counts against
	// that. For coordinators whose handlers of such messages change their state in one step, at
	// the end. After mostResumes within Window the state is doubted, and they are restarted.
	Resumes bool
	// Limit is how many failures within Window are restarted; beyond it the actor
	// is stopped and GaveUp is called. 0: no limit.
	Limit int
	// GaveUp is called, on the supervisor's goroutine, when the limit is passed;
	// it must not block. nil: nothing.
	GaveUp func(reason any)
	// Failed is called on every failure, likewise. nil: nothing.
	Failed func(reason any)
}

// mostResumes is how many panics an actor goes on after within a policy's Window: those of
// ten things that are quarantined for it.
const mostResumes = 30

func (p Policy) withDefaults() Policy {
	if p.Base == 0 {
		p.Base = time.Millisecond
	}
	if p.Max == 0 {
		p.Max = time.Second
	}
	if p.Window == 0 {
		p.Window = time.Minute
	}
	return p
}

// System is a node's actors. Safe for concurrent use.
type System struct {
	actors *actor.ActorSystem
	log    *logrus.Entry
	clock  clock.Clock
	dead   interface{ unsubscribe() }
	runs   *workers

	interceptor atomic.Pointer[Interceptor] // nil: messages pass
	panics      panics
	quarantine  *Quarantine
	over        chan struct{} // closed by Shutdown: nothing changes any more
	restarts    atomic.Int64  // of all actors there have been

	mu      sync.Mutex
	known   map[string]*entry // by actor id
	orphans map[string]*entry // abandoned ones, until their parents have spawned successors
	hung    map[string]int    // calls that abandoned actors have not come back from, by actor id
	waiters []chan struct{}   // closed at the next change of an actor's life
}

// entry is what the kit knows of one actor, through all its restarts.
type entry struct {
	spec       Spec
	address    string
	parent     string // address; empty at the root
	mailbox    *mailbox
	controlled atomic.Bool     // a restart or a kill is under way
	ended      []chan struct{} // closed when the actor has ended; guarded by System.mu
	// resumed are the panics that it went on after; its supervisor's.
	resumed actor.RestartStatistics
}

// Options says what a system is made of.
type Options struct {
	Clock      clock.Clock // that its actors live by
	Log        *logrus.Entry
	Version    string // of the binary, for the evidence of panics; empty: nobody says
	Node       string // its id, which refusals name; empty: it is alone
	Quarantine QuarantineLimits
}

// NewSystem makes an empty system that logs through log and lives by the clock of
// the operating system.
func NewSystem(log *logrus.Entry) *System { return NewSystemOn(clock.NewSystem(), log) }

// NewSystemOn makes an empty system that logs through log and lives by the clock.
func NewSystemOn(clock clock.Clock, log *logrus.Entry) *System {
	return NewSystemWith(Options{Clock: clock, Log: log})
}

// NewSystemWith makes an empty system.
func NewSystemWith(o Options) *System {
	s := &System{
		log: o.Log, clock: o.Clock, runs: newWorkers(), over: make(chan struct{}), quarantine: newQuarantine(o),
		known: make(map[string]*entry), orphans: make(map[string]*entry), hung: make(map[string]int),
	}
	s.actors = actor.NewActorSystem(actor.WithLoggerFactory(bridge(o.Log)))
	subscription := s.actors.EventStream.Subscribe(s.onEvent)
	s.dead = unsubscriber(func() { s.actors.EventStream.Unsubscribe(subscription) })
	return s
}

type unsubscriber func()

func (u unsubscriber) unsubscribe() { u() }

// Spawn spawns an actor: as a child of the actor whose context is given, or at
// the root for Root(). Its address is the parent's, a slash, and the name.
func (s *System) Spawn(parent actor.SpawnerContext, spec Spec) (*actor.PID, error) {
	const op errs.Op = "actors.Spawn"
	if spec.Name == "" || spec.New == nil {
		return nil, errs.E(op, spec.Name, errs.Internal, errors.New("a spec needs a name and New"))
	}
	spec.Policy = spec.Policy.withDefaults()
	return s.spawn(parent, &entry{spec: spec})
}

// spawn spawns the actor of an entry, which may have a mailbox already: that of
// a successor.
func (s *System) spawn(parent actor.SpawnerContext, e *entry) (*actor.PID, error) {
	const op errs.Op = "actors.Spawn"
	spec := e.spec
	if e.mailbox == nil {
		e.mailbox = newMailbox(s, e)
	}
	id := spec.Name
	options := []actor.PropsOption{
		actor.WithMailbox(func() actor.Mailbox { return e.mailbox }),
		actor.WithDispatcher(s.runs),
		actor.WithSupervisor(supervisor{s}),
	}
	if ctx, ok := parent.(actor.Context); ok {
		e.parent = ctx.Self().Id
		id = e.parent + "/" + spec.Name
	} else {
		options = append(options, actor.WithGuardian(supervisor{s}))
	}
	e.address = id
	props := actor.PropsFromProducer(func() actor.Actor {
		return &guard{system: s, entry: e, inner: spec.New()}
	}, options...)
	own, _ := parent.(*ownContext)
	s.mu.Lock()
	_, taken := s.known[id]
	abandoned := own != nil && own.mailbox.isAbandoned() // then the name is its successor's to give
	if !taken && !abandoned {
		s.known[id] = e
	}
	s.mu.Unlock()
	switch {
	case abandoned:
		return nil, errs.E(op, id, errs.Busy, errKilled)
	case taken:
		return nil, errs.E(op, id, errs.Exists, errors.New("an actor of that name is there"))
	}
	pid, err := parent.SpawnNamed(props, spec.Name)
	if err != nil {
		s.forget(id, e)
		return nil, errs.E(op, id, errs.Internal, err)
	}
	return pid, nil
}

// Root returns the context for spawning at the root and for sending from
// outside of actors.
func (s *System) Root() *actor.RootContext { return s.actors.Root }

// PID returns the process id of an address; whether anyone is there shows when
// something is sent.
func (s *System) PID(address string) *actor.PID { return s.actors.NewLocalPID(address) }

// Restarts returns how often actors of the system were made anew, those included
// that have ended since: it never falls. Those that a parent spawns again when it is
// itself made anew are new ones.
func (s *System) Restarts() int64 { return s.restarts.Load() }

// Log returns the log that the system writes to.
func (s *System) Log() *logrus.Entry { return s.log }

// Await waits until the actors at the addresses have handled what was sent to
// them so far, at least their Started.
func (s *System) Await(within time.Duration, addresses ...string) error {
	var failures []error
	for _, a := range addresses {
		ping := &messages.Ping{Reply: messages.NewReply[struct{}]()}
		s.actors.Root.Send(s.PID(a), ping)
		if _, err := ping.Reply.WaitOn(s.clock, "actors.Await", within); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", a, err))
		}
	}
	return errors.Join(failures...)
}

// AwaitEnd waits until the actor at an address has ended, with all below it.
func (s *System) AwaitEnd(within time.Duration, address string) error {
	ended := make(chan struct{})
	s.mu.Lock()
	if e := s.known[address]; e != nil {
		e.ended = append(e.ended, ended)
	} else {
		close(ended)
	}
	s.mu.Unlock()
	late, timer := s.clock.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-late:
		return errs.E("actors.AwaitEnd", address, errs.Busy, fmt.Errorf("it has not ended within %s", within))
	}
}

// forget drops an actor that has ended, unless its name has been taken again.
func (s *System) forget(id string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] == e {
		delete(s.known, id)
	}
	for _, ended := range e.ended {
		close(ended)
	}
	e.ended = nil
	s.tell()
}

func (s *System) find(id string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

// Stop ends an actor at the root with all below it, after it handled what is in
// its mailbox, and waits at most ten seconds (protoactor's own limit); then it is
// stopped whatever it is doing.
func (s *System) Stop(pid *actor.PID) error {
	if e := s.find(pid.Id); e != nil {
		e.mailbox.resume() // to be stopped after what is in the mailbox, it has to handle that
	}
	if err := s.actors.Root.PoisonFuture(pid).Wait(); err != nil {
		s.actors.Root.Stop(pid)
		return errs.E("actors.Stop", pid.Id, errs.Busy, err)
	}
	return s.AwaitEnd(time.Second, pid.Id) // the future is answered a moment before
}

// Shutdown ends the system itself. Every root actor must have been stopped.
func (s *System) Shutdown() {
	s.dead.unsubscribe()
	s.actors.Shutdown()
	s.runs.end()
	close(s.over)
}

// onEvent answers what was sent to an actor that is gone. It runs on the
// sender's goroutine and must not panic.
func (s *System) onEvent(event any) {
	letter, ok := event.(*actor.DeadLetterEvent)
	if !ok {
		return
	}
	if request, ok := letter.Message.(messages.Failer); ok {
		to := "nobody"
		if letter.PID != nil {
			to = letter.PID.Id
		}
		request.Fail(errs.E("actors.Send", to, errs.Busy, errGone))
	}
}

var errGone = errors.New("the actor is not running now")

// supervisor is the strategy of every parent: each child is treated by the
// policy of its own spec.
type supervisor struct{ system *System }

// HandleFailure implements actor.SupervisorStrategy.
func (v supervisor) HandleFailure(system *actor.ActorSystem, parent actor.Supervisor, child *actor.PID,
	statistics *actor.RestartStatistics, reason, message any,
) {
	publish := func(d actor.Directive) {
		system.EventStream.Publish(&actor.SupervisorEvent{Child: child, Reason: reason, Directive: d})
	}
	e := v.system.find(child.Id)
	if e == nil { // spawned around the kit
		publish(actor.StopDirective)
		parent.StopChildren(child)
		return
	}
	p := e.spec.Policy
	if p.Failed != nil {
		p.Failed(reason)
	}
	if p.Resumes && handlesOne(message) && failures(&e.resumed, p.Window) <= mostResumes {
		publish(actor.ResumeDirective)
		parent.ResumeChildren(child)
		return
	}
	n := failures(statistics, p.Window)
	if p.NoRestart {
		publish(actor.StopDirective)
		stop(parent, child)
		return
	}
	if p.Limit > 0 && n > p.Limit {
		v.system.log.WithFields(logrus.Fields{"actor": child.Id, "failures": n, "cause": fmt.Sprint(reason)}).Error("actor failed too often and is stopped")
		publish(actor.StopDirective)
		stop(parent, child)
		if p.GaveUp != nil {
			p.GaveUp(reason)
		}
		return
	}
	pause := min(p.Base<<min(n-1, 20), p.Max)
	v.system.clock.AfterFunc(pause, func() {
		publish(actor.RestartDirective)
		parent.RestartChildren(child)
	})
}

// failures adds one, and returns how many there were within a time.
func failures(s *actor.RestartStatistics, within time.Duration) int {
	if s.NumberOfFailures(within) == 0 {
		s.Reset() // the list of failure times grows otherwise
	}
	s.Fail()
	return s.NumberOfFailures(within)
}

// handlesOne reports whether a message says what it handles.
func handlesOne(message any) bool {
	h, says := handlesOf(actor.UnwrapEnvelopeMessage(message))
	return says && !h.IsZero()
}

// stop stops a child that failed. A failure suspends the mailbox; it goes on, so
// that what is in it is answered and not lost.
func stop(parent actor.Supervisor, child *actor.PID) {
	parent.StopChildren(child)
	parent.ResumeChildren(child)
}
