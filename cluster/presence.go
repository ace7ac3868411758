package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// beatsPerHeartbeat is how many beats fit into the time that one is good for: two may
// be lost.
const beatsPerHeartbeat = 3

// Presence keeps a node in the catalogue. Safe for concurrent use.
type Presence struct {
	membership Membership
	pace       Pace

	mu           sync.Mutex
	registration Registration
	health       Health
	registered   bool // as far as is known
	running      bool
	state        PresenceState
	wake         chan struct{} // has room for one
}

// PresenceState is how the last attempt to be seen went.
type PresenceState struct {
	// Beats counts those that the provider took.
	Beats uint64
	// Heard is when the last of them began, on the Elapsed of the clock.
	Heard time.Duration
	// Err is why the last attempt failed; nil: it did not, or there was none.
	Err error
}

// NewPresence makes the presence of a node. It does nothing until Run.
func NewPresence(m Membership, r Registration, pace Pace) (*Presence, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return &Presence{
		membership: m, pace: pace.filled(), registration: r,
		health: Health{Status: Passing}, wake: make(chan struct{}, 1),
	}, nil
}

// Run registers the node and tells how it is, three times as often as need be, until
// the context ends; then it returns without taking the node out, since a restart is
// no departure. It registers again whenever the provider has forgotten the node. At
// most one Run at a time: Conflict.
func (p *Presence) Run(ctx context.Context) error {
	const op errs.Op = "cluster.Presence"
	if !p.begin() {
		return errs.E(op, p.registration.NodeID, errs.Conflict, errors.New("it runs already"))
	}
	defer p.end()
	retry := p.pace.patience()
	for ctx.Err() == nil {
		wait, err := p.beat(ctx)
		if err != nil {
			wait = min(wait, retry.after())
		} else {
			retry.forget()
		}
		elapsed, timer := p.pace.Clock.NewTimer(jittered(wait))
		select {
		case <-elapsed:
		case <-p.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

func (p *Presence) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.running
	p.running = true
	return !was
}

func (p *Presence) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.registered = false, false
}

// beat makes one attempt, and says when the next one is due if it succeeds.
func (p *Presence) beat(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	r, h, registered := p.registration, p.health, p.registered
	p.registered = true // a change from now on is for the next attempt
	p.mu.Unlock()
	period := r.Heartbeat / beatsPerHeartbeat
	began := p.pace.Clock.Elapsed()
	registered, err := p.attempt(ctx, r, h, registered)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registered = p.registered && registered
	p.state.Err = err
	if err == nil {
		p.state.Beats++
		p.state.Heard = began
	}
	return period, err
}

// attempt registers the node if need be, and tells how it is. It says whether the node
// is registered, as far as is known.
func (p *Presence) attempt(ctx context.Context, r Registration, h Health, registered bool) (bool, error) {
	limited := func(call func(ctx context.Context) error) error {
		ctx, cancel := Within(ctx, p.pace.Clock, r.Heartbeat/beatsPerHeartbeat)
		defer cancel()
		return call(ctx)
	}
	for {
		fresh := !registered
		if fresh {
			if err := limited(func(ctx context.Context) error { return p.membership.Register(ctx, r) }); err != nil {
				return false, err
			}
		}
		err := limited(func(ctx context.Context) error { return p.membership.Beat(ctx, r.NodeID, h) })
		gone := errs.Is(errs.NotFound, err)
		if !gone || fresh {
			return !gone, err
		}
		registered = false // the provider's agent has lost it
	}
}

// SetHealth says how the node is. Run tells it at once.
func (p *Presence) SetHealth(h Health) {
	p.mu.Lock()
	p.health = h
	p.mu.Unlock()
	p.nudge()
}

// SetRegistration changes what the node tells of itself, but not its id: Invalid. Run
// tells it at once.
func (p *Presence) SetRegistration(r Registration) error {
	const op errs.Op = "cluster.Presence"
	if err := r.Validate(); err != nil {
		return errs.Wrap(op, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.NodeID != p.registration.NodeID {
		return errs.E(op, r.NodeID, errs.Invalid, errors.New("a node keeps its id"))
	}
	p.registration, p.registered = r, false
	p.nudge()
	return nil
}

func (p *Presence) nudge() {
	select {
	case p.wake <- struct{}{}:
	default: // one waits already
	}
}

// State returns how it goes.
func (p *Presence) State() PresenceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Leave takes the node out of the catalogue: it is to be no more, or for long. After
// Run has returned: Conflict.
func (p *Presence) Leave(ctx context.Context) error {
	const op errs.Op = "cluster.Leave"
	if !p.begin() {
		return errs.E(op, p.registration.NodeID, errs.Conflict, errors.New("it still runs, and would register again"))
	}
	defer p.end()
	return errs.Wrap(op, p.membership.Deregister(ctx, p.registration.NodeID))
}
