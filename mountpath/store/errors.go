package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// failed turns an error of the filesystem or the index into one that names the
// operation and the thing, and says what it means to a caller.
func failed(op errs.Op, what fmt.Stringer, err error) error {
	if err == nil {
		return nil
	}
	var e *errs.Error
	if errors.As(err, &e) {
		return errs.E(op, what, err)
	}
	return errs.E(op, what, kindOf(err), err)
}

func kindOf(err error) errs.Kind {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errs.NoSpace
	case errors.Is(err, syscall.EROFS):
		return errs.Offline
	case errors.Is(err, fs.ErrNotExist):
		return errs.NotFound
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return errs.Busy
	default:
		return errs.IO
	}
}

// outcomeUnknown is the failure of a write that may or may not have happened.
func outcomeUnknown(op errs.Op, key objects.Key, err error) error {
	return errs.E(op, key, errs.Busy, fmt.Errorf("%w: %w", objects.ErrOutcomeUnknown, err))
}

func noSuchKey(op errs.Op, key objects.Key) error {
	return errs.E(op, key, errs.NotFound, objects.ErrNoSuchKey)
}
