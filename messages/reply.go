package messages

import (
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Reply is where the answer to a message goes: a channel with room for one, so
// that who answers never blocks, and who gave up waiting costs nothing. Only
// the first answer counts.
type Reply[T any] chan Result[T]

// Result is an answer: a value or an error.
type Result[T any] struct {
	Value T
	Err   error
}

// NewReply makes a reply for one request.
func NewReply[T any]() Reply[T] { return make(chan Result[T], 1) }

// Send answers. A second answer is dropped.
func (r Reply[T]) Send(value T, err error) {
	select {
	case r <- Result[T]{value, err}:
	default:
	}
}

// Fail answers with an error.
func (r Reply[T]) Fail(err error) {
	var zero T
	r.Send(zero, err)
}

// Wait is WaitOn by the operating system's clock: for tests.
func (r Reply[T]) Wait(op errs.Op, within time.Duration) (T, error) {
	return r.WaitOn(clock.System{}, op, within)
}

// WaitOn returns the answer, or errs.Busy when none came within the time given, by
// that clock: the message may have been lost with an actor, or may still be
// carried out.
func (r Reply[T]) WaitOn(clock clock.Clock, op errs.Op, within time.Duration) (T, error) {
	select { // the answer that is there already needs no timer
	case x := <-r:
		return x.Value, x.Err
	default:
	}
	late, timer := clock.NewTimer(within)
	defer timer.Stop()
	select {
	case x := <-r:
		return x.Value, x.Err
	case <-late:
		var zero T
		return zero, errs.E(op, errs.Busy, ErrNoAnswer)
	}
}
