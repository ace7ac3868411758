package xaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ErrStop says that a job is to come to an end: it was stopped or killed, or the
// node stops. Run.Turn answers it, and a Kind's Run returns it.
var ErrStop = errors.New("the job is to stop")

// Run is what one run of a job has: what it was asked for, where it was, and its
// ways to the rest of the node. Methods are safe for concurrent use; Turn is for
// one goroutine at a time.
type Run struct {
	id         string
	parameters json.RawMessage
	restored   *checkpoint // nil: from the beginning
	ledger     *ledger
	hold       *hold
	limit      *limit
	pace       pace
	ctx        context.Context
	sync       func() messages.Reply[struct{}]
	step       func() error // what Config.Step says
	objects    Objects
	system     *actors.System
	address    string // of the job's actor
	clock      clock.Clock
	log        *logrus.Entry
}

// ID returns the job's id.
func (r *Run) ID() string { return r.id }

// Context ends when the job is to stop, with ErrStop as its cause: for everything
// in Run that waits.
func (r *Run) Context() context.Context { return r.ctx }

// Log returns the node's log with the job's id and kind as fields.
func (r *Run) Log() *logrus.Entry { return r.log }

// Objects returns the way to the node's objects.
func (r *Run) Objects() Objects { return r.objects }

// Now returns the time.
func (r *Run) Now() time.Time { return r.clock.Now() }

// Parameters reads the job's parameters, which Kind.Check let pass.
func (r *Run) Parameters(into any) error {
	return errs.Wrap("xaction.Parameters", Decode(r.parameters, into))
}

// Restore reads the last checkpoint of an earlier run and returns its version; 0
// if there is none, and into is as it was.
func (r *Run) Restore(into any) (version int, err error) {
	if r.restored == nil {
		return 0, nil
	}
	if err := json.Unmarshal(r.restored.State, into); err != nil {
		return 0, errs.E("xaction.Restore", r.id, errs.Corrupt, err)
	}
	return r.restored.Version, nil
}

// Checkpoint replaces the state from which the job goes on after a restart. The
// version, from 1, is that of the state's form. It costs next to nothing: the state
// is written within a second or so, and with every change of the job's own state;
// Sync waits for it. The state becomes JSON at once, of at most 64 KiB.
func (r *Run) Checkpoint(version int, state any) error {
	if version < 1 {
		return errs.E("xaction.Checkpoint", r.id, errs.Internal, fmt.Errorf("version %d, at least 1", version))
	}
	return r.ledger.keep(version, state)
}

// syncTime bounds the wait for a checkpoint to be durable.
const syncTime = 30 * time.Second

// Sync returns when the last checkpoint and all progress are durable: for steps
// that must not be taken twice.
func (r *Run) Sync() error {
	const op errs.Op = "xaction.Sync"
	reply := r.sync()
	timeout, timer := r.clock.NewTimer(syncTime)
	defer timer.Stop()
	select {
	case answer := <-reply:
		return errs.Wrap(op, answer.Err)
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-timeout:
		return errs.E(op, r.id, errs.Busy, messages.ErrNoAnswer)
	}
}

// Expect says how much there is to do in all, as far as it is known.
func (r *Run) Expect(a Amount) { r.ledger.expect(a) }

// Did counts what was done since the last call. The rate limit is counted in it.
func (r *Run) Did(a Amount) { r.ledger.count(a) }

// Done returns how much was done, also by earlier runs.
func (r *Run) Done() Amount { return r.ledger.amount() }

// Failed notes a thing that failed while the job goes on: counted, and the last of
// them kept with their names.
func (r *Run) Failed(name string, err error) { r.ledger.failed(name, err) }

// Apart does what is about one thing, on any goroutine. A panic is the failure of that
// alone: it counts against the thing, which is refused once it has panicked again and
// again. Of a goroutine of the job's own it would end the process.
func (r *Run) Apart(thing messages.Handling, do func() error) (err error) {
	const op errs.Op = "xaction.Apart"
	if err := r.system.Quarantine().Refuses(op, thing); err != nil {
		return err
	}
	defer func() {
		if reason := recover(); reason != nil {
			r.system.Panicked(r.address, "job", thing, actors.Recovered{Reason: reason, Stack: debug.Stack()})
			err = errs.E(op, thing.Subject(), errs.Internal, fmt.Errorf("it panicked: %v", reason))
		}
	}()
	return do()
}

// Idle says whether the job waits for work. A paused job is idle by itself.
func (r *Run) Idle(idle bool) { r.ledger.setIdle(idle) }

// Turn asks for leave to begin the next step: it waits while the job is paused and
// as long as its rate demands, which may change meanwhile. ErrStop: the job is to
// end. Run calls it between steps that take seconds at most.
func (r *Run) Turn() error {
	if err := r.step(); err != nil {
		return err
	}
	done, began := r.ledger.amount(), r.clock.Now()
	for {
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		if opened := r.hold.closed(); opened != nil {
			r.ledger.setIdle(true)
			select {
			case <-opened:
			case <-r.ctx.Done():
			}
			r.ledger.setIdle(false)
			continue
		}
		rate, changed := r.limit.now()
		due := r.pace.due(done, rate, began)
		wait := due.Sub(r.clock.Now())
		if wait <= 0 {
			r.pace.give(done, due)
			return nil
		}
		if err := r.waitUnless(changed, wait); err != nil {
			return err
		}
	}
}

// Wait waits so long, or until the job is to end: ErrStop.
func (r *Run) Wait(d time.Duration) error { return r.waitUnless(nil, d) }

// waitUnless is Wait that also ends when a channel is closed.
func (r *Run) waitUnless(closed <-chan struct{}, d time.Duration) error {
	over, timer := r.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-closed:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// hold keeps a job from beginning its next step. Safe for concurrent use.
type hold struct {
	mu     sync.Mutex
	opened chan struct{} // closed when the hold ends; nil: there is none
}

func (h *hold) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened == nil {
		h.opened = make(chan struct{})
	}
}

func (h *hold) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened != nil {
		close(h.opened)
		h.opened = nil
	}
}

// closed returns a channel that is closed when the hold ends; nil: there is none.
func (h *hold) closed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened
}

// limit is how fast a job may be, which changes while it runs. Safe for concurrent
// use.
type limit struct {
	mu      sync.Mutex
	rate    messages.JobRate
	changed chan struct{} // closed when the rate changes
}

func newLimit(rate messages.JobRate) *limit {
	return &limit{rate: rate, changed: make(chan struct{})}
}

func (l *limit) set(rate messages.JobRate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = rate
	close(l.changed)
	l.changed = make(chan struct{})
}

// now returns the rate, and a channel that is closed when it is another one.
func (l *limit) now() (messages.JobRate, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, l.changed
}

// pace spreads work over time: what was done between two turns takes at least as
// long as the rate says. Nothing is saved up while the job does less.
type pace struct {
	last  Amount    // done at the last turn
	since time.Time // when the last turn was given, or was due if that is later
}

// due returns when the turn may be given that was asked for at a time, after so much
// was done, at a rate.
func (p *pace) due(done Amount, rate messages.JobRate, asked time.Time) time.Time {
	if p.since.IsZero() {
		return asked
	}
	var least time.Duration
	if rate.Objects > 0 {
		least = max(least, span(done.Objects-p.last.Objects, rate.Objects))
	}
	if rate.Bytes > 0 {
		least = max(least, span(done.Bytes-p.last.Bytes, rate.Bytes))
	}
	if due := p.since.Add(least); due.After(asked) {
		return due
	}
	return asked
}

// give notes that a turn is given that was due then, after so much was done.
func (p *pace) give(done Amount, due time.Time) { p.last, p.since = done, due }

// span is how long n takes at so many a second; at most an hour, so that one large
// step does not look like a job that hangs.
func span(n, perSecond int64) time.Duration {
	seconds := float64(n) / float64(perSecond)
	return time.Duration(min(seconds, time.Hour.Seconds()) * float64(time.Second))
}
