// Package errs is how Troupe says that something failed: which operation, on
// which thing, of which kind, and why.
//
//	writer.Commit: photos/cat.jpg: corrupt: xxhash 9f2c11d0, want 41aa03be
//
// A kind means one thing to a caller. Kinds become HTTP statuses in one table
// of httpedge and a Failure in messages, and nowhere else.
//
// Start with E and KindOf.
package errs

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Op names an operation as package.Function, for example "gateway.Upload".
type Op string

// Kind says what a failure means to a caller.
type Kind uint8

const (
	// Internal is a fault of Troupe's own; also the kind of errors that carry none.
	Internal Kind = iota
	// NotFound: the thing that was named does not exist.
	NotFound
	// Exists: the thing that was to be made exists already.
	Exists
	// Denied: the caller may not do this.
	Denied
	// Invalid: what the caller sent can never succeed as it is.
	Invalid
	// Busy: not now; the same request may succeed later. Nothing was changed,
	// unless the error says that the outcome is unknown.
	Busy
	// NoSpace: the disk is full; reads and deletes work.
	NoSpace
	// Offline: what holds the thing (a mountpath, a node, a backend) is away.
	Offline
	// Corrupt: what is stored is not what was stored.
	Corrupt
	// Canceled: the caller went away or gave up.
	Canceled
	// Conflict: a condition of the caller does not hold.
	Conflict
	// IO: the operating system refused.
	IO
)

var kindNames = [...]string{
	Internal: "internal", NotFound: "not found", Exists: "exists", Denied: "denied",
	Invalid: "invalid", Busy: "busy", NoSpace: "no space", Offline: "offline",
	Corrupt: "corrupt", Canceled: "canceled", Conflict: "conflict", IO: "i/o",
}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is a failure with its circumstances. Every field may be empty.
type Error struct {
	Op   Op
	What string // the thing, for example "photos/cat.jpg"
	Kind Kind
	Err  error // the cause
}

// E builds an *Error from its arguments, each told by its type: an Op, a Kind,
// an error (the cause), a string or a fmt.Stringer (the thing). Without a Kind,
// the cause's kind is taken. Any other argument panics: it is a fault of the
// program, not of its input.
func E(op Op, args ...any) error {
	e := &Error{Op: op}
	kindGiven := false
	for _, arg := range args {
		switch a := arg.(type) {
		case Kind:
			e.Kind, kindGiven = a, true
		case error:
			e.Err = a
		case string:
			e.What = a
		case fmt.Stringer:
			e.What = a.String()
		case nil:
		default:
			panic(fmt.Sprintf("errs.E: argument of type %T", arg))
		}
	}
	if !kindGiven {
		e.Kind = KindOf(e.Err)
	}
	return e
}

// Error implements error: operation, thing, kind and cause, joined by colons,
// leaving out what is empty and a kind that the cause repeats.
func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, string(e.Op))
	}
	if e.What != "" {
		parts = append(parts, e.What)
	}
	var cause *Error
	if !errors.As(e.Err, &cause) || cause.Kind != e.Kind {
		parts = append(parts, e.Kind.String())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost *Error in err's chain. A context's
// error is Canceled; any other error without a kind, and nil, is Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Canceled
	}
	return Internal
}

// Is reports whether err is of the kind. A nil error is of no kind.
func Is(kind Kind, err error) bool { return err != nil && KindOf(err) == kind }

// Wrap puts an operation in front of an error; nil stays nil.
func Wrap(op Op, err error) error {
	if err == nil {
		return nil
	}
	return E(op, err)
}
