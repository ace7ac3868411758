package store

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// PanicError says that work on one key panicked which nobody asked for: to settle an
// intent, to reclaim a payload. Nothing else of the mountpath waits for one key: who opens
// it, the key's lane and the keeper go on without.
type PanicError struct {
	Does   messages.Access // what was done: SettleAccess, DeleteAccess
	Reason any
	Stack  []byte
}

// Error implements error.
func (e *PanicError) Error() string {
	verb := "settling"
	if e.Does == messages.DeleteAccess {
		verb = "reclaiming"
	}
	return fmt.Sprintf("%s it panicked: %v", verb, e.Reason)
}

// apart does something with a key; a panic of that is an error, and told of.
func (s *Store) apart(key objects.Key, does messages.Access, do func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			what := &PanicError{Does: does, Reason: reason, Stack: debug.Stack()}
			s.onEvent(Event{Kind: Panicked, Key: key, Err: what})
			err = errs.E("store.apart", key, errs.Internal, what)
		}
	}()
	return do()
}

// isPanic reports whether a failure to settle was a panic.
func isPanic(err error) bool {
	var p *PanicError
	return errors.As(err, &p)
}
