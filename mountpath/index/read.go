package index

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-storage/troupe/objects/errs"
)

// errNotFound is the answer of Get for a key that is not there. It names no
// key, so that asking for absent keys allocates nothing.
var errNotFound = errs.E("index.Get", errs.NotFound)

// Value is what Get found. Bytes is not a copy: it is valid, and must not be
// changed, until Close.
type Value struct {
	Bytes  []byte
	index  *Index
	closer io.Closer
}

// Close lets the bytes go. It may be called again, on the same variable.
func (v *Value) Close() error {
	if v.closer == nil {
		return nil
	}
	err := v.closer.Close()
	v.index.leave()
	v.Bytes, v.closer, v.index = nil, nil, nil
	if err != nil {
		return readError("index.Get", err)
	}
	return nil
}

// Get returns the value of key, or NotFound. What it returns may not be on
// stable storage yet: ask Settled before using it. The caller closes the value.
//
// A read that the disk failed is tried once more: Pebble's file cache answers
// everybody who wants a table with the error of the one who was opening it, which
// may have been a compaction, a moment ago.
func (x *Index) Get(key []byte) (Value, error) {
	value, err := x.get(key)
	if errs.Is(errs.IO, err) {
		value, err = x.get(key)
	}
	return value, err
}

func (x *Index) get(key []byte) (Value, error) {
	const op errs.Op = "index.Get"
	if err := x.enter(op); err != nil {
		return Value{}, err
	}
	bytes, closer, err := x.db.Get(key)
	if err != nil {
		x.leave()
		if err == pebble.ErrNotFound {
			return Value{}, errNotFound
		}
		return Value{}, readError(op, err)
	}
	// A value that lies in a blob is fetched on the way out of db.Get, which
	// loses the error of that: without this it would pass for an empty value.
	if iter, ok := closer.(*pebble.Iterator); ok {
		if err := iter.Error(); err != nil {
			_ = closer.Close() // returns the same error
			x.leave()
			return Value{}, x.blobError(op, err)
		}
	}
	return Value{Bytes: bytes, index: x, closer: closer}, nil
}

// readError gives an error of Pebble's its kind.
func readError(op errs.Op, err error) error {
	switch {
	case isCorrupt(err):
		return errs.E(op, errs.Corrupt, err)
	case errors.Is(err, errClosed): // the instance died, and was let go
		return errs.E(op, errs.Offline, err)
	}
	return errs.E(op, errs.IO, err)
}

// isCorrupt reports whether Pebble, or a check on its way to the disk, found damage.
func isCorrupt(err error) bool { return pebble.IsCorruptionError(err) || errs.Is(errs.Corrupt, err) }

// blobError is readError for a value fetched from a blob: Pebble sends no event
// of its damage.
func (x *Index) blobError(op errs.Op, err error) error {
	if isCorrupt(err) {
		x.damages.tell(x.options.OnEvent, "", err)
	}
	return readError(op, err)
}

// Scan walks the keys of a range, in order, over one consistent view in which
// everything is on stable storage. It belongs to one goroutine and is closed.
type Scan struct {
	index   *Index
	iter    *pebble.Iterator
	started bool
	err     error
}

// Scan begins a walk over the keys from lower up to and without upper; nil is
// no bound. It waits until every commit that the view may show is synced.
//
// Errors: Busy when that takes longer than the deadline; Busy around
// objects.ErrOutcomeUnknown on a dead index some of whose commits never
// returned, because the view shows them.
func (x *Index) Scan(lower, upper []byte) (*Scan, error) {
	const op errs.Op = "index.Scan"
	if err := x.enter(op); err != nil {
		return nil, err
	}
	iter, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		x.leave()
		return nil, readError(op, err)
	}
	s := &Scan{index: x, iter: iter}
	if !x.barrier.wait(x.instance.dead, x.options.Deadline) {
		closeErr := s.Close()
		if x.instance.isDead() {
			return nil, x.outcomeUnknown(op)
		}
		if closeErr != nil {
			return nil, closeErr
		}
		return nil, errs.E(op, errs.Busy, errStillInFlight)
	}
	return s, nil
}

// Next moves to the next key, at first to the first one. False: there is none,
// or Err says why.
func (s *Scan) Next() bool {
	if !s.started {
		s.started = true
		return s.iter.First()
	}
	return s.iter.Next()
}

// SeekGE moves to the first key at or after key, forward or backward within the
// range. False: there is none, or Err says why.
func (s *Scan) SeekGE(key []byte) bool {
	s.started = true
	return s.iter.SeekGE(key)
}

// Key returns the key, valid until the next move.
func (s *Scan) Key() []byte { return s.iter.Key() }

// Value returns the key's value, which is read only now, valid until the next move.
func (s *Scan) Value() ([]byte, error) {
	value, err := s.iter.ValueAndErr()
	if err != nil {
		return nil, s.index.blobError("index.Scan", err)
	}
	return value, nil
}

// Err returns why the walk ended early, nil if it did not.
func (s *Scan) Err() error {
	if s.err != nil {
		return s.err
	}
	if s.iter != nil {
		if err := s.iter.Error(); err != nil {
			return readError("index.Scan", err)
		}
	}
	return nil
}

// Close ends the walk and returns what Err would. It may be called again.
func (s *Scan) Close() error {
	if s.iter == nil {
		return s.err
	}
	s.err = s.Err()
	err := s.iter.Close()
	s.iter = nil
	s.index.leave()
	if s.err == nil && err != nil {
		s.err = readError("index.Scan", err)
	}
	return s.err
}
