package actors

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// mailbox is where an actor's messages wait, and what is seen of the actor from
// outside. It is ours and not protoactor's for four reasons: it knows when a
// message came and which one is in hand; it has a gate in front, which refuses
// requests instead of keeping them; it takes messages before the actor has begun
// (protoactor's dispatcher is nil then); and it can be taken away from an actor
// that does not come back from its handler.
//
// A message costs one lock when it comes and one when it is taken, and a look at
// the clock for each. Safe for concurrent use; no method but run waits for the
// actor.
type mailbox struct {
	system *System
	entry  *entry

	mu         sync.Mutex
	invoker    actor.MessageInvoker // nil until the actor has been made
	dispatcher actor.Dispatcher
	user       queue[posted]
	orders     queue[any] // protoactor's system messages: they come first
	running    bool       // a goroutine is in run, or about to be
	waiting    bool       // the actor failed, or restarts: only orders are handled
	suspended  bool       // by control: likewise
	stopping   bool       // it was told to end: it is not restarted any more
	refusal    error      // why requests are not taken; nil: they are
	refusing   *Refusal   // likewise, by System.Refuse; nil: nobody does
	over       bool       // the actor has ended or is abandoned: nothing is taken

	current   any           // the message in hand; nil: none
	since     time.Duration // when it was taken in hand
	abandoned bool
	answered  any  // the message in hand, if System.Refuse has answered it
	ending    bool // the actor has been told that it ends

	counts

	// handing is held from the moment an actor is abandoned until returned is set.
	handing  sync.Mutex
	returned func()
}

// counts are what an address is known by, whoever is behind it: a successor goes
// on counting. Guarded by mailbox.mu.
type counts struct {
	born       time.Duration
	handled    int64
	rate       rate
	starts     int // times that an incarnation has handled its Started
	restarts   int64
	lastCause  string
	lastFailed time.Time
}

// posted is a message that waits, and when it came.
type posted struct {
	message any
	at      time.Duration
}

func newMailbox(s *System, e *entry) *mailbox {
	return &mailbox{system: s, entry: e, counts: counts{born: s.clock.Elapsed()}}
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.invoker, m.dispatcher = invoker, dispatcher
}

// Start implements actor.Mailbox.
func (m *mailbox) Start() {}

// UserMessageCount implements actor.Mailbox.
func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.user.n
}

// PostUserMessage implements actor.Mailbox. A gate that is closed answers on the
// sender's goroutine.
func (m *mailbox) PostUserMessage(message any) {
	now := m.system.clock.Elapsed()
	m.mu.Lock()
	if refusal := m.refusal; refusal != nil {
		request, isRequest := message.(messages.Failer)
		if isRequest || m.over {
			m.mu.Unlock()
			if isRequest {
				m.refuse(request, refusal)
			}
			return
		}
	}
	if m.refusing != nil {
		if request, ok := m.refusing.refuses(message); ok {
			cause := m.refusing.Waiting
			m.mu.Unlock()
			request.Fail(errs.E("actors.Send", m.entry.address, cause))
			return
		}
	}
	m.user.push(posted{message, now})
	m.wake()
}

// PostSystemMessage implements actor.Mailbox.
func (m *mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	switch message.(type) {
	case *actor.Stop:
		m.stopping = true
	case *actor.Restart:
		if m.stopping { // protoactor would forget that it was told to end
			m.mu.Unlock()
			return
		}
	}
	m.orders.push(message)
	m.wake()
}

// wake lets a goroutine come if there is something to do. It is called with mu
// held, and gives it back.
func (m *mailbox) wake() {
	if m.running || m.invoker == nil || m.orders.n == 0 && (m.waiting || m.suspended || m.user.n == 0) {
		m.mu.Unlock()
		return
	}
	m.running = true
	dispatcher := m.dispatcher
	m.mu.Unlock()
	dispatcher.Schedule(m.run)
}

// run handles messages until there are none.
func (m *mailbox) run() {
	for n := 1; ; n++ {
		message, isOrder := m.next()
		if message == nil {
			return
		}
		m.handle(message, isOrder)
		if n%throughput == 0 {
			runtime.Gosched()
		}
	}
}

// next says that the message in hand is done, and takes the next one; nil: there
// is nothing to do any more.
func (m *mailbox) next() (message any, isOrder bool) {
	m.mu.Lock()
	m.current = nil
	if m.abandoned {
		m.mu.Unlock()
		m.cameBack()
		return nil, false
	}
	for m.orders.n > 0 {
		message := m.orders.pop()
		switch message.(type) {
		case *actor.SuspendMailbox:
			m.waiting = true
		case *actor.ResumeMailbox:
			m.waiting = false
			m.mu.Unlock()
			m.system.changed() // who restarted it waits for this
			m.mu.Lock()
		default:
			m.current, m.since = message, m.system.clock.Elapsed()
			m.mu.Unlock()
			return message, true
		}
	}
	if m.waiting || m.suspended || m.user.n == 0 {
		m.running = false
		m.mu.Unlock()
		return nil, false
	}
	message = m.user.pop().message
	m.current, m.since = message, m.system.clock.Elapsed()
	m.handled++
	m.rate.add(m.since)
	m.mu.Unlock()
	return message, false
}

// enter says that the actor handles a message of its own life. There can be
// several within one order.
func (m *mailbox) enter(message any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current, m.since = message, m.system.clock.Elapsed()
	switch message.(type) {
	case *actor.Stopping, *actor.Stopped:
		m.ending = true
	}
}

// leave says that the actor has handled such a message. What protoactor does next
// goes by the actor's name: it takes that out of the registry, or tells its parent
// that it has ended. An actor that was abandoned meanwhile must not get there, since
// the name is its successor's, and one that has got there is not abandoned any more.
func (m *mailbox) leave() {
	m.mu.Lock()
	abandoned := m.abandoned
	m.current = nil
	m.mu.Unlock()
	if abandoned {
		panic(errLeft)
	}
}

// errLeft unwinds protoactor's part of an actor that comes back abandoned.
var errLeft = errors.New("the actor was abandoned in the middle of its life")

// isOld reports whether a message says that a child has ended that was there
// before the one of that name which lives: its last words, come late. Protoactor
// would take the living one out of the list of children, and never end it.
func (m *mailbox) isOld(message any) bool {
	ended, ok := message.(*actor.Terminated)
	return ok && m.system.find(ended.Who.Id) != nil
}

// handle lets the actor handle a message. A panic goes to the supervisor.
func (m *mailbox) handle(message any, isOrder bool) {
	returned := false
	defer func() {
		reason := recover()
		if reason == nil && !returned {
			// runtime.Goexit: the goroutine is lost, and the message; another one goes on.
			reason = errExited
			m.failed(reason)
			if request, ok := message.(messages.Failer); ok {
				m.refuse(request, errExited)
			}
			defer m.dispatcher.Schedule(m.run)
		}
		if reason != nil && !m.isAbandoned() {
			m.invoker.EscalateFailure(reason, message)
		}
	}()
	switch {
	case !isOrder:
		m.invoker.InvokeUserMessage(message)
	case !m.isOld(message):
		m.invoker.InvokeSystemMessage(message)
	}
	returned = true
}

var errExited = errors.New("the actor's goroutine ended in the middle of this request; it may or may not have been carried out")

func (m *mailbox) refuse(request messages.Failer, cause error) {
	request.Fail(errs.E("actors.Send", m.entry.address, errs.Busy, cause))
}

// isRequest returns the request that a message is.
func isRequest(message any) (messages.Failer, bool) {
	request, ok := message.(messages.Failer)
	return request, ok
}

// takeRequests empties the mailbox of the requests meant, isRequest for all; what is
// none stays. It is called with mu held; the caller answers them without it.
func (m *mailbox) takeRequests(meant func(message any) (messages.Failer, bool)) []messages.Failer {
	var requests []messages.Failer
	for n := m.user.n; n > 0; n-- {
		p := m.user.pop()
		if request, ok := meant(p.message); ok {
			requests = append(requests, request)
		} else {
			m.user.push(p)
		}
	}
	return requests
}

// refuseAll answers what takeRequests returned.
func (m *mailbox) refuseAll(requests []messages.Failer, cause error) {
	for _, r := range requests {
		m.refuse(r, cause)
	}
}

// suspend closes the gate; false: it was closed, or the actor has ended.
func (m *mailbox) suspend() bool {
	m.mu.Lock()
	if m.over || m.suspended {
		m.mu.Unlock()
		return false
	}
	m.suspended, m.refusal = true, errSuspended
	m.show(true)
	requests := m.takeRequests(isRequest)
	m.mu.Unlock()
	m.refuseAll(requests, errSuspended)
	return true
}

// resume opens the gate; false: it was open, or the actor has ended.
func (m *mailbox) resume() bool {
	m.mu.Lock()
	opens := m.suspended && !m.over
	if opens {
		m.suspended, m.refusal = false, nil
		m.show(false)
	}
	m.wake()
	return opens
}

// show tells those who stand in for the actor whether it is suspended. It is called with
// mu held.
func (m *mailbox) show(suspended bool) {
	if shown := m.entry.spec.Suspended; shown != nil {
		shown.Store(suspended)
	}
}

// discard answers every request that waits.
func (m *mailbox) discard(cause error) {
	m.mu.Lock()
	requests := m.takeRequests(isRequest)
	m.mu.Unlock()
	m.refuseAll(requests, cause)
}

// end says that the actor has ended.
func (m *mailbox) end() {
	m.mu.Lock()
	m.over, m.refusal = true, errStopping
	requests := m.takeRequests(isRequest)
	m.user = queue[posted]{}
	m.show(false) // with mu held: nobody shows it as suspended who came too late
	m.mu.Unlock()
	m.refuseAll(requests, errStopping)
}

// started says that an incarnation has begun.
func (m *mailbox) started() {
	m.mu.Lock()
	m.starts++
	m.mu.Unlock()
	m.system.changed()
}

// restarting says that an incarnation is over. That of an abandoned actor has been
// counted with its successor.
func (m *mailbox) restarting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.abandoned {
		m.restarts++
		m.system.restarts.Add(1)
	}
}

// failed notes why the actor fails, or is made to.
func (m *mailbox) failed(reason any) {
	cause := fmt.Sprint(reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastCause, m.lastFailed = cause, m.system.clock.Now()
}

func (m *mailbox) isAbandoned() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.abandoned
}

// grace returns after what time the actor can be abandoned, if nothing changes.
func (m *mailbox) grace() time.Duration {
	now := m.system.clock.Elapsed()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil || m.over {
		return KillGrace
	}
	return max(KillGrace-(now-m.since), 0)
}

// state returns what is seen of the actor.
func (m *mailbox) state() State {
	now := m.system.clock.Elapsed()
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry
	state := State{
		Address: e.address, Kind: e.spec.Kind, Parent: e.parent, Status: messages.ActorRunning,
		Queued: int64(m.user.n), Handled: m.handled, Restarts: m.restarts, Rate: m.rate.perSecond(m.born, now),
		LastCause: m.lastCause, LastFailed: m.lastFailed,
	}
	switch {
	case m.stopping:
		state.Status = messages.ActorStopping
	case m.waiting:
		state.Status = messages.ActorRestarting
	case m.suspended:
		state.Status = messages.ActorSuspended
	}
	if m.user.n > 0 {
		state.Oldest = now - m.user.first().at
	}
	if m.current != nil {
		state.Current, state.CurrentFor, state.Subject = nameOf(m.current), now-m.since, e.spec.Subject
		if about, ok := m.current.(messages.Subjected); ok {
			state.Subject = about.Subject()
		}
	}
	return state
}
