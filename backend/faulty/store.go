// Package faulty puts trouble between a backend.Store and who uses it: what the fault desk
// and tests do to a remote bucket. Wrapped without trouble a Store is as it was.
//
// Start with Wrap.
package faulty

import (
	"context"
	"io"
	"time"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Does is what a Store is asked to do.
type Does string

const (
	Head   Does = "head"
	Open   Does = "open"
	List   Does = "list"
	Put    Does = "put"
	Delete Does = "delete"
	Info   Does = "info"
)

// Trouble is what befalls one call. The zero Trouble is none.
type Trouble struct {
	// Delay is waited before the call, unless its context ends.
	Delay time.Duration
	// Err, if not nil, is answered instead of the call being made.
	Err error
	// Lost, if not nil, is answered after the call was made: its outcome is not told.
	Lost error
	// Body befalls the body of Open.
	Body BodyTrouble
}

// BodyTrouble befalls a body. The zero BodyTrouble is none.
type BodyTrouble struct {
	// Kind is what happens at byte At of the body, from 0.
	Kind BodyKind
	At   int64
}

// BodyKind is what happens to a body.
type BodyKind uint8

const (
	None  BodyKind = iota
	Cut            // it breaks off: Offline
	Ends           // it ends as if that were all, as of a store that lies
	Flip           // a bit of that byte is another one
	Stall          // it stands still until the context of Open ends, or the body is closed
)

// Choose says what befalls a call. It is called beside others, and must not block.
type Choose func(does Does, name string) Trouble

// Wrap returns a Store with trouble before it.
func Wrap(s backend.Store, clock clock.Clock, choose Choose) backend.Store {
	return &store{Store: s, clock: clock, choose: choose}
}

type store struct {
	backend.Store
	clock  clock.Clock
	choose Choose
}

// call makes a call with whatever befalls it.
func call[T any](ctx context.Context, s *store, does Does, name string, do func() (T, error)) (T, Trouble, error) {
	var none T
	op := errs.Op("faulty." + string(does))
	trouble := s.choose(does, name)
	if trouble.Delay > 0 {
		over, timer := s.clock.NewTimer(trouble.Delay)
		select {
		case <-over:
		case <-ctx.Done():
			timer.Stop()
			return none, trouble, errs.E(op, name, ctx.Err())
		}
	}
	if trouble.Err != nil {
		return none, trouble, errs.E(op, name, trouble.Err)
	}
	value, err := do()
	if err == nil && trouble.Lost != nil {
		return value, trouble, errs.E(op, name, trouble.Lost)
	}
	return value, trouble, err
}

// Head implements backend.Store.
func (s *store) Head(ctx context.Context, name string) (backend.Object, error) {
	object, _, err := call(ctx, s, Head, name, func() (backend.Object, error) { return s.Store.Head(ctx, name) })
	return object, err
}

// Open implements backend.Store.
func (s *store) Open(ctx context.Context, name string, r backend.Read) (backend.Object, io.ReadCloser, error) {
	var body io.ReadCloser
	object, trouble, err := call(ctx, s, Open, name, func() (object backend.Object, err error) {
		object, body, err = s.Store.Open(ctx, name, r)
		return object, err
	})
	if err != nil {
		if body != nil {
			_ = body.Close() // the failure is the one to tell
		}
		return backend.Object{}, nil, err
	}
	if trouble.Body.Kind == None {
		return object, body, nil
	}
	return object, newBody(ctx, name, body, trouble.Body), nil
}

// List implements backend.Store.
func (s *store) List(ctx context.Context, r backend.ListRequest) (backend.Page, error) {
	page, _, err := call(ctx, s, List, r.Prefix, func() (backend.Page, error) { return s.Store.List(ctx, r) })
	return page, err
}

// Put implements backend.Store.
func (s *store) Put(ctx context.Context, name string, p backend.Put, body io.ReaderAt, size int64) (backend.Object, error) {
	object, _, err := call(ctx, s, Put, name, func() (backend.Object, error) { return s.Store.Put(ctx, name, p, body, size) })
	return object, err
}

// Delete implements backend.Store.
func (s *store) Delete(ctx context.Context, name string) error {
	_, _, err := call(ctx, s, Delete, name, func() (struct{}, error) { return struct{}{}, s.Store.Delete(ctx, name) })
	return err
}

// Info implements backend.Store.
func (s *store) Info(ctx context.Context) (backend.BucketInfo, error) {
	info, _, err := call(ctx, s, Info, "", func() (backend.BucketInfo, error) { return s.Store.Info(ctx) })
	return info, err
}
