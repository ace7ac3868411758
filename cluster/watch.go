package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Pace says how watches and repetitions go. The zero value of a field stands for
// its default.
type Pace struct {
	Clock clock.Clock // default: the operating system's
	// Wait is how long a question may stay open before it is asked anew. Default a minute:
	// what a provider that was replaced behind its agent's back can hide for so long.
	Wait time.Duration
	// Gap is the least time between two answers of a watch: a node that flaps must not
	// keep all others busy. Default 100 ms; below 0: none.
	Gap time.Duration
	// Retry is the wait after a failure; it doubles up to RetryMax. Defaults 250 ms and
	// 5 s. Each wait is cut by up to a half at random. The longest one is how long nobody may
	// notice that the provider is back. A node has seven watches: they ask twice a second while
	// nobody answers, and 100 nodes are 700 questions within the seconds in which it comes back.
	Retry    time.Duration
	RetryMax time.Duration
}

func (p Pace) filled() Pace {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if p.Clock == nil {
		p.Clock = clock.NewSystem()
	}
	set(&p.Wait, time.Minute)
	set(&p.Gap, 100*time.Millisecond)
	set(&p.Retry, 250*time.Millisecond)
	set(&p.RetryMax, 5*time.Second)
	return p
}

func (p Pace) patience() patience { return patience{first: p.Retry, longest: p.RetryMax} }

// Watch follows something that a provider keeps. It belongs to one goroutine, but for
// Nudge, has none of its own, and needs no closing.
type Watch[T any] struct {
	ask   func(context.Context, Query) (T, uint64, error)
	equal func(a, b T) bool
	pace  Pace

	index  uint64 // of the last answer; 0: ask to be answered at once
	last   T
	shown  bool // whether last has been returned
	failed bool // whether the last question failed
	retry  patience
	at     time.Duration // when last was returned
	nudged chan struct{} // has room for one
}

// NewWatch makes a watch of what ask answers. Equal says of two answers whether
// there is nothing new between them.
func NewWatch[T any](ask func(context.Context, Query) (T, uint64, error), equal func(a, b T) bool, pace Pace) *Watch[T] {
	pace = pace.filled()
	return &Watch[T]{ask: ask, equal: equal, pace: pace, retry: pace.patience(), nudged: make(chan struct{}, 1)}
}

// Nudge has a watch ask at once that waits after a failure: somebody has heard of the
// provider. Safe for concurrent use.
func (w *Watch[T]) Nudge() {
	select {
	case w.nudged <- struct{}{}:
	default: // one waits already
	}
}

// Next returns the present state when first called, and from then on waits for one
// that differs from the last that was returned. States that stood between two looks
// are left out; the last one never is.
//
// A failure is returned when it happens. It says nothing about what is watched, which
// is still to be taken for the last state that was returned. Next is to be called
// again, and waits by itself before it asks: longer with each failure, and then it
// asks for the present state, wherever the index was. Canceled: the context ended.
func (w *Watch[T]) Next(ctx context.Context) (T, error) {
	const op errs.Op = "cluster.Watch"
	var none T
	if w.failed && !pause(ctx, w.pace.Clock, w.retry.after(), w.nudged) {
		return none, errs.E(op, errs.Canceled, ctx.Err())
	}
	if gap := w.at + w.pace.Gap - w.pace.Clock.Elapsed(); w.shown && w.pace.Gap > 0 && gap > 0 {
		if !Pause(ctx, w.pace.Clock, gap) {
			return none, errs.E(op, errs.Canceled, ctx.Err())
		}
	}
	for {
		was := w.index
		state, index, err := w.ask(ctx, Query{After: was, Wait: w.pace.Wait, Consistency: Default})
		if err != nil {
			// What answers next may be another provider, whose indexes count from elsewhere.
			w.failed, w.index = true, 0
			if ctx.Err() != nil {
				return none, errs.E(op, errs.Canceled, err)
			}
			return none, errs.E(op, err)
		}
		w.failed = false
		w.retry.forget()
		if index < was {
			// The provider has lost its data, or got older data back: this answer is that
			// of a question that waited for the future.
			w.index = 0
			continue
		}
		w.index = max(index, 1) // 0 would be answered at once, for ever
		if w.shown && w.equal(w.last, state) {
			// The wait is over, or something has changed that does not matter.
			if w.pace.Gap > 0 && !Pause(ctx, w.pace.Clock, w.pace.Gap) {
				return none, errs.E(op, errs.Canceled, ctx.Err())
			}
			continue
		}
		w.last, w.shown, w.at = state, true, w.pace.Clock.Elapsed()
		return state, nil
	}
}

// WatchDocument follows one document. That it is removed, or that the provider loses
// its data, shows as one with the Index 0.
func WatchDocument(d Documents, key string, pace Pace) *Watch[Document] {
	return NewWatch(func(ctx context.Context, q Query) (Document, uint64, error) {
		return d.Read(ctx, key, q)
	}, Document.Equal, pace)
}

// WatchDocuments follows all documents whose keys begin so. Every change brings all
// of them: for prefixes with little below them.
func WatchDocuments(d Documents, prefix string, pace Pace) *Watch[[]Document] {
	return NewWatch(func(ctx context.Context, q Query) ([]Document, uint64, error) {
		return d.List(ctx, prefix, q)
	}, func(a, b []Document) bool { return slices.EqualFunc(a, b, Document.Equal) }, pace)
}

// WatchMembers follows who is there of one cluster.
func WatchMembers(m Membership, clusterID string, pace Pace) *Watch[[]Member] {
	return NewWatch(func(ctx context.Context, q Query) ([]Member, uint64, error) {
		members, index, err := m.Members(ctx, q)
		return InCluster(members, clusterID), index, err
	}, func(a, b []Member) bool { return slices.EqualFunc(a, b, Member.Equal) }, pace)
}

// WatchHolder follows who holds a lock.
func WatchHolder(e Election, key string, pace Pace) *Watch[Holder] {
	return NewWatch(func(ctx context.Context, q Query) (Holder, uint64, error) {
		return e.Holder(ctx, key, q)
	}, Holder.Equal, pace)
}
