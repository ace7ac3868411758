package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// ErrLeadLost is the cause for which the context of a Lead ends when it is lost.
var ErrLeadLost = errors.New("the lead is lost")

// renewalsPerTTL is how often a session is renewed within its life: two renewals may
// fail.
const renewalsPerTTL = 3

// Candidate wants to lead. Safe for concurrent use; each Win has a session of its own.
type Candidate struct {
	election Election
	key      string
	value    []byte
	session  Session
	pace     Pace
}

// NewCandidate makes one, for the lock under a key. Value is what others are shown of
// the leader.
func NewCandidate(e Election, key string, value []byte, session Session, pace Pace) (*Candidate, error) {
	if err := session.Validate(); err != nil {
		return nil, errs.E("cluster.NewCandidate", key, errs.Invalid, err)
	}
	return &Candidate{election: e, key: key, value: value, session: session, pace: pace.filled()}, nil
}

// Win waits until it has the lead, whoever had it before. The caller resigns it. It
// goes on while the provider is away; Denied and Invalid end it, and Canceled.
func (c *Candidate) Win(ctx context.Context) (*Lead, error) {
	const op errs.Op = "cluster.Win"
	retry := c.pace.patience()
	for {
		lead, err := c.campaign(ctx, &retry)
		switch {
		case err == nil:
			return lead, nil
		case ctx.Err() != nil:
			return nil, errs.E(op, c.key, errs.Canceled, errors.Join(err, ctx.Err()))
		case errs.Is(errs.Denied, err) || errs.Is(errs.Invalid, err):
			return nil, errs.E(op, c.key, err)
		}
		if !Pause(ctx, c.pace.Clock, retry.after()) {
			return nil, errs.E(op, c.key, errs.Canceled, errors.Join(err, ctx.Err()))
		}
	}
}

// campaign opens a session and tries to win with it, until one of the calls fails.
func (c *Candidate) campaign(ctx context.Context, retry *patience) (lead *Lead, err error) {
	began := c.pace.Clock.Elapsed()
	id, err := c.election.OpenSession(ctx, c.session)
	if err != nil {
		return nil, err
	}
	defer func() {
		if lead == nil {
			c.drop(ctx, id)
		}
	}()
	lock := Lock{Key: c.key, Session: id, Value: c.value}
	for {
		if c.pace.Clock.Elapsed()-began >= c.session.TTL/renewalsPerTTL {
			began = c.pace.Clock.Elapsed()
			if err := c.election.RenewSession(ctx, id); err != nil {
				return nil, err
			}
		}
		acquired := c.election.Acquire(ctx, lock) // the lock may be taken although it failed
		holder, index, err := c.election.Holder(ctx, c.key, Query{})
		if err != nil {
			return nil, err
		}
		if holder.Session == id {
			return c.begin(id, holder, began), nil
		}
		if acquired != nil {
			return nil, acquired
		}
		retry.forget()
		if !holder.Held() { // it is kept from everybody for the lock delay
			if !Pause(ctx, c.pace.Clock, min(c.session.LockDelay/4+c.pace.Retry, c.session.TTL/renewalsPerTTL)) {
				return nil, ctx.Err()
			}
			continue
		}
		if err := c.await(ctx, index); err != nil {
			return nil, err
		}
	}
}

// await waits until the lock may have changed hands, or the session is to be renewed.
func (c *Candidate) await(ctx context.Context, index uint64) error {
	began := c.pace.Clock.Elapsed()
	_, _, err := c.election.Holder(ctx, c.key, Query{After: max(index, 1), Wait: c.session.TTL / renewalsPerTTL, Consistency: Default})
	if err == nil && c.pace.Clock.Elapsed()-began < c.pace.Gap && !Pause(ctx, c.pace.Clock, c.pace.Gap) {
		return ctx.Err()
	}
	return err
}

// drop closes the session of a campaign that was not won, so that it need not expire.
func (c *Candidate) drop(ctx context.Context, id string) {
	ctx, cancel := Within(context.WithoutCancel(ctx), c.pace.Clock, c.session.TTL/renewalsPerTTL)
	defer cancel()
	// Failing costs nothing: it holds no lock that is known of, and expires by itself.
	_ = c.election.CloseSession(ctx, id)
}

// Lead is the lead while it lasts. Safe for concurrent use.
type Lead struct {
	candidate *Candidate
	session   string
	fence     uint64
	ctx       context.Context
	cancel    context.CancelCauseFunc
	work      sync.WaitGroup

	mu       sync.Mutex
	deadline time.Duration // when the session may be over, on the Elapsed of the clock
}

// begin makes the lead of a session that was renewed at a moment, at the earliest.
func (c *Candidate) begin(session string, h Holder, renewed time.Duration) *Lead {
	l := &Lead{candidate: c, session: session, fence: h.Fence, deadline: renewed + c.session.TTL}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.work.Add(2)
	go l.renew()
	go l.follow()
	return l
}

// Fence grows from holder to holder: commands that carry it can be told from those of
// earlier leaders, as long as the provider keeps its data.
func (l *Lead) Fence() uint64 { return l.fence }

// Context ends when the lead is lost, for ErrLeadLost, or resigned. What a leader
// does is to run under it.
func (l *Lead) Context() context.Context { return l.ctx }

// Held reports whether the lead is certain at this moment. It knows about a process
// that was stopped before its Context does: to be asked before anything that cannot
// be taken back.
func (l *Lead) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx.Err() == nil && l.candidate.pace.Clock.Elapsed() < l.deadline
}

// Resign gives the lead up, so that another one may have it at once. The lead is over
// when it returns, whether or not the provider could be told; if not, its session
// expires. To be called once for every Lead, lost or not.
func (l *Lead) Resign(ctx context.Context) error {
	const op errs.Op = "cluster.Resign"
	l.cancel(context.Canceled)
	l.work.Wait()
	e := l.candidate.election
	released := e.Release(ctx, Lock{Key: l.candidate.key, Session: l.session, Value: l.candidate.value})
	closed := e.CloseSession(ctx, l.session)
	return errs.Wrap(op, errors.Join(released, closed))
}

func (l *Lead) lose() { l.cancel(ErrLeadLost) }

// left is how long the lead is certain.
func (l *Lead) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline - l.candidate.pace.Clock.Elapsed()
}

// renew keeps the session alive, and gives the lead up when it may be over.
func (l *Lead) renew() {
	defer l.work.Done()
	c := l.candidate
	period := c.session.TTL / renewalsPerTTL
	wait := l.left() - c.session.TTL + period // winning may have taken long
	for {
		if !Pause(l.ctx, c.pace.Clock, min(wait, l.left())) {
			return
		}
		left := l.left()
		if left <= 0 {
			l.lose()
			return
		}
		began := c.pace.Clock.Elapsed()
		ctx, cancel := Within(l.ctx, c.pace.Clock, min(left, period))
		err := c.election.RenewSession(ctx, l.session)
		cancel()
		switch {
		case err == nil:
			l.mu.Lock()
			l.deadline = began + c.session.TTL
			l.mu.Unlock()
			wait = period
		case errs.Is(errs.NotFound, err):
			l.lose()
			return
		default:
			wait = min(period, c.pace.Retry*4)
		}
	}
}

// follow sees that somebody else has the lock, or nobody, long before a renewal does.
func (l *Lead) follow() {
	defer l.work.Done()
	c := l.candidate
	retry := c.pace.patience()
	index := uint64(0)
	for l.ctx.Err() == nil {
		holder, now, err := c.election.Holder(l.ctx, c.key, Query{After: index, Wait: c.pace.Wait})
		switch {
		case err != nil:
			index = 0
			if !Pause(l.ctx, c.pace.Clock, retry.after()) {
				return
			}
			continue
		case now < index: // see Watch
			index = 0
			continue
		case holder.Session != l.session:
			l.lose()
			return
		case now != index && c.pace.Gap > 0 && !Pause(l.ctx, c.pace.Clock, c.pace.Gap):
			return
		}
		retry.forget()
		index = max(now, 1)
	}
}
