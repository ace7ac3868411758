package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Exit codes of every command. Scripts rely on them.
const (
	ExitOK          = 0
	ExitFailure     = 1   // anything that has no code of its own
	ExitUsage       = 2   // the command line says something that cannot be
	ExitNotFound    = 3   // a bucket, object, job or file that was named does not exist
	ExitDenied      = 4   // the server refused the keys, or what they may do
	ExitPartly      = 5   // some of several things were done and some were not; they are named
	ExitUnavailable = 6   // the server is busy or cannot be reached; the same command may succeed later
	ExitInterrupted = 130 // Ctrl-C or SIGTERM; what was begun can be resumed
)

// usageError is a command line that cannot be.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Usage makes an error about the command line: exit code 2.
func Usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// Partly is the error of a command over several things of which some failed.
// Each failure was told when it happened.
type Partly struct {
	Done, Failed int
	// First is the first failure.
	First error
	// Resume says how to do the rest; may be empty.
	Resume string
}

// Error implements error.
func (p *Partly) Error() string {
	return fmt.Sprintf("%d of %d failed", p.Failed, p.Done+p.Failed)
}

// advised is an error that knows better than the table in advice.go what to do.
type advised struct {
	error
	advice string
}

func (a *advised) Unwrap() error { return a.error }

// Advise adds what to do to an error; nil stays nil.
func Advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &advised{err, fmt.Sprintf(format, args...)}
}

// Unadvised keeps an error from getting advice that is meant for clients; nil
// stays nil.
func Unadvised(err error) error {
	if err == nil {
		return nil
	}
	return &advised{error: err}
}

// coded is an error of a command that has exit codes of its own.
type coded struct {
	error
	code int
}

func (c *coded) Unwrap() error { return c.error }

// Coded gives an error an exit code, for commands whose codes others' scripts
// know; nil stays nil.
func Coded(err error, code int) error {
	if err == nil {
		return nil
	}
	return &coded{err, code}
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// ExitCode returns the exit code that tells of an error.
func ExitCode(err error) int {
	var usage *usageError
	var partly *Partly
	var own *coded
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &partly):
		if partly.Done == 0 { // all for one reason, as far as is known
			if code := ExitCode(partly.First); code != ExitOK {
				return code
			}
		}
		return ExitPartly
	}
	switch errs.KindOf(err) {
	case errs.NotFound:
		return ExitNotFound
	case errs.Denied:
		return ExitDenied
	case errs.Busy, errs.Offline:
		return ExitUnavailable
	}
	return ExitFailure
}
