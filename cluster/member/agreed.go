package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// currentTime bounds a look at what is agreed on, and the wait until this node has
// adopted it: a client waits for it.
const currentTime = 2 * time.Second

// lookAgain is for how long a look that failed is the answer to others, while the provider is
// known to be away: one request in so long waits for it, and none for long.
const lookAgain = time.Second

// looks are the consistent reads of the version of the buckets: one at a time, each for
// all who asked before it began. Safe for concurrent use.
type looks struct {
	mu      sync.Mutex
	next    *look         // not begun yet; nil: nobody waits
	reading chan struct{} // holds one while a read is under way
	failed  error         // why the last one failed; nil: it did not, or there was none
	again   time.Duration // until when that is answered, on the Elapsed of the clock
}

// spare says why the provider need not be asked that is known to be away; nil: the caller is
// to find out whether it is back.
func (l *looks) spare(now time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil && now < l.again {
		return l.failed
	}
	l.again = now + currentTime // the others wait for what comes of it
	return nil
}

// end notes how a look went.
func (l *looks) end(now time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed, l.again = err, now+lookAgain
}

// look is one read.
type look struct {
	done chan struct{} // closed when version and err are set
	// version is that of the buckets.
	version uint64
	err     error
}

// Current returns once this node shows all that was agreed on about buckets when it was
// called: a bucket that requests do not see then does not exist. errs.Offline, a
// *messages.AgreementAway: that cannot be told now. It blocks for two seconds at most.
func (b *Buckets) Current() error {
	const op errs.Op = "member.Current"
	view := b.View()
	if view.Map == nil {
		return errs.E(op, errs.Offline, &messages.AgreementAway{Reading: true, Cause: errors.New(view.Unready())})
	}
	if view.Unconfirmed != "" { // as it was a while ago: the watches that say so ask seldom
		if err := b.looks.spare(b.Clock.Elapsed()); err != nil {
			return errs.E(op, errs.Offline, &messages.AgreementAway{Reading: true, Cause: err})
		}
	}
	ctx, done := cluster.Within(*b.calls.Load(), b.Clock, currentTime)
	defer done()
	version, err := b.look(ctx)
	if err != nil {
		return errs.E(op, errs.Offline, &messages.AgreementAway{Reading: true, Cause: err})
	}
	if nudge := b.nudge.Load(); nudge != nil && b.version.Load() < version {
		(*nudge)()
	}
	for b.version.Load() < version {
		if !cluster.Pause(ctx, b.Clock, adoptPause) {
			return errs.E(op, errs.Offline, &messages.AgreementAway{Reading: true, Cause: fmt.Errorf("this node has not adopted version %d of the buckets yet", version)})
		}
	}
	return nil
}

// look reads the version of the buckets, at a moment after it was called.
func (b *Buckets) look(ctx context.Context) (uint64, error) {
	b.looks.mu.Lock()
	l, first := b.looks.next, false
	if l == nil {
		l, first = &look{done: make(chan struct{})}, true
		b.looks.next = l
	}
	b.looks.mu.Unlock()
	if first {
		b.read(ctx, l)
	}
	select {
	case <-l.done:
		return l.version, l.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// read reads for all who wait for l, once the read under way has ended.
func (b *Buckets) read(ctx context.Context, l *look) {
	defer close(l.done)
	var ended error
	select {
	case b.looks.reading <- struct{}{}:
		defer func() { <-b.looks.reading }()
	case <-ctx.Done():
		ended = context.Cause(ctx)
	}
	b.looks.mu.Lock()
	b.looks.next = nil // who comes from now on needs a later one
	b.looks.mu.Unlock()
	if ended != nil {
		l.err = ended
		return
	}
	small, err := b.store.Get(ctx, b.keys.BucketsVersion())
	b.looks.end(b.Clock.Elapsed(), err)
	if err != nil || !small.Exists() {
		l.err = err
		return
	}
	var agreed bucketsDocument
	l.err = json.Unmarshal(small.Value, &agreed)
	l.version = agreed.Version
}
