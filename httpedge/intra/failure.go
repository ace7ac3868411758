package intra

import (
	"cmp"
	"errors"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// sentinels are the errors that callers tell apart, which go between nodes by their words.
func sentinels() []error {
	return []error{
		objects.ErrNoSuchBucket, objects.ErrNoSuchKey, objects.ErrNoSuchVersion, objects.ErrNoSuchUpload, objects.ErrPreconditionFailed,
		objects.ErrObjectName, objects.ErrNameTooLong, objects.ErrOutcomeUnknown, objects.ErrInvalidRange, messages.ErrNoAnswer,
		erasure.ErrTooFew,
	}
}

// failureOf is an error on its way to another node: its kind, its words, and what
// callers tell apart.
func failureOf(err error) *wire.Failure {
	f := &wire.Failure{Kind: uint32(errs.KindOf(err)), Message: []byte(err.Error())}
	var away *messages.MountpathAway
	if errors.As(err, &away) {
		f.Mountpath = &wire.MountpathAway{
			Path: []byte(away.Path), State: string(away.State), Reason: []byte(away.Reason), Writes: away.Writes, Begun: away.Begun,
		}
	}
	var quarantined *messages.Quarantined
	if errors.As(err, &quarantined) {
		f.Quarantined = &wire.Quarantined{
			Id: []byte(quarantined.ID), Subject: []byte(quarantined.Subject), Since: quarantined.Since.UnixMilli(),
			Panics: uint32(quarantined.Panics), Cause: []byte(quarantined.Cause), Node: quarantined.Node,
		}
	}
	for _, s := range sentinels() {
		if errors.Is(err, s) {
			f.Sentinel = s.Error()
			break
		}
	}
	return f
}

// toldError is a failure of another node.
type toldError struct {
	node, message string
	cause         error // sentinel, mountpath or quarantine; may be nil
}

// Error implements error.
func (e *toldError) Error() string { return "node " + e.node + ": " + e.message }

// Unwrap returns what callers tell apart.
func (e *toldError) Unwrap() error { return e.cause }

// unknownError is the failure of a node that knows no such question.
type unknownError struct {
	node string
	told error
}

// Error implements error.
func (e *unknownError) Error() string { return e.told.Error() }

// Unwrap returns what the node told.
func (e *unknownError) Unwrap() error { return e.told }

// toldBy is the error that a node tells of.
func toldBy(node string, f *wire.Failure) error {
	e := &toldError{node: node, message: string(f.Message)}
	if m := f.Mountpath; m != nil {
		e.cause = &messages.MountpathAway{
			Path: string(m.Path), State: messages.MountpathState(m.State), Reason: string(m.Reason), Writes: m.Writes, Begun: m.Begun,
		}
	} else if q := f.Quarantined; q != nil {
		e.cause = &messages.Quarantined{
			ID: string(q.Id), Subject: string(q.Subject), Since: time.UnixMilli(q.Since).UTC(), Panics: int(q.Panics), Cause: string(q.Cause), Node: cmp.Or(q.Node, node),
		}
	} else if f.Sentinel != "" {
		for _, s := range sentinels() {
			if s.Error() == f.Sentinel {
				e.cause = s
			}
		}
	}
	return errs.E("intra.ask", f.ErrorKind(), e)
}
