package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// settleTime is how long Commit tries to find out whether a write happened whose
// answer was lost: an election of Consul's servers takes seconds.
const settleTime = 30 * time.Second

// Store changes documents, and finds out what became of changes whose answer was
// lost. Safe for concurrent use.
type Store struct {
	documents Documents
	pace      Pace
}

// NewStore makes one.
func NewStore(d Documents, pace Pace) *Store { return &Store{documents: d, pace: pace.filled()} }

// Get returns a document by a consistent read; one that is not there has the Index 0.
func (s *Store) Get(ctx context.Context, key string) (Document, error) {
	doc, _, err := s.documents.Read(ctx, key, Query{})
	return doc, errs.Wrap("cluster.Get", err)
}

// List returns the documents whose keys begin so, by a consistent read, in the order
// of their keys.
func (s *Store) List(ctx context.Context, prefix string) ([]Document, error) {
	docs, _, err := s.documents.List(ctx, prefix, Query{})
	return docs, errs.Wrap("cluster.List", err)
}

// Commit carries out all writes, at once, or none.
//
// Conflict: a document was not at its index; nothing has happened. When an answer is
// lost, Commit reads and repeats until it knows, for half a minute at most. An error
// that wraps objects.ErrOutcomeUnknown remains when that is not enough, and (as
// Conflict) when somebody else has changed the document since: whether that came
// after this change or instead of it, only the content can tell.
func (s *Store) Commit(ctx context.Context, writes ...Write) error {
	const op errs.Op = "cluster.Commit"
	if err := CheckWrites(op, writes); err != nil {
		return err
	}
	stamp := rand.Uint64() | 1 // 0 is what documents have that others wrote
	witness, ok := witnessOf(writes)
	err := s.documents.Commit(ctx, stamp, writes)
	if !ok || !errors.Is(err, objects.ErrOutcomeUnknown) {
		return errs.Wrap(op, err)
	}
	ctx, cancel := Within(ctx, s.pace.Clock, settleTime)
	defer cancel()
	retry := s.pace.patience()
	for {
		verdict, final := s.look(ctx, witness, stamp)
		if final {
			return errs.Wrap(op, verdict)
		}
		if verdict == nil { // nothing has happened yet: it may still, and may be asked for again
			again := s.documents.Commit(ctx, stamp, writes)
			switch {
			case again == nil:
				return nil
			case errs.Is(errs.Conflict, again):
				verdict, final := s.look(ctx, witness, stamp)
				if final {
					return errs.Wrap(op, verdict)
				}
				if verdict == nil { // another document of the same change is the obstacle
					return errs.Wrap(op, again)
				}
			}
		}
		if !Pause(ctx, s.pace.Clock, retry.after()) {
			return errs.E(op, witness.Key, err)
		}
	}
}

// witnessOf returns the write whose document tells whether all of them happened.
func witnessOf(writes []Write) (Write, bool) {
	for _, change := range []Change{Replace, Remove} {
		if at := slices.IndexFunc(writes, func(w Write) bool { return w.Change == change }); at >= 0 {
			return writes[at], true
		}
	}
	return Write{}, false // nothing was to change
}

// look reads the witness. Final: the verdict is that of the whole change. Otherwise
// the verdict is nil if the change has not happened so far, or why that is not known.
func (s *Store) look(ctx context.Context, witness Write, stamp uint64) (verdict error, final bool) {
	doc, _, err := s.documents.Read(ctx, witness.Key, Query{})
	switch {
	case err != nil:
		return err, false
	case witness.Change == Remove && !doc.Exists():
		return nil, true
	case witness.Change == Replace && doc.Exists() && doc.Stamp == stamp:
		return nil, true
	case doc.Index == witness.Index:
		return nil, false
	}
	return errs.E("cluster.look", witness.Key, errs.Conflict, errors.Join(objects.ErrOutcomeUnknown, errors.New("somebody else changed the document since; read it again"))), true
}

// Put replaces a document, as it was read, by a value. See Commit.
func (s *Store) Put(ctx context.Context, was Document, value []byte) error {
	return s.Commit(ctx, was.Put(value))
}

// Remove removes a document as it was read; one that is not there is no failure. See
// Commit.
func (s *Store) Remove(ctx context.Context, was Document) error {
	if !was.Exists() {
		return nil
	}
	return s.Commit(ctx, was.Remove())
}

// Update changes a document by a function of what it is, and does so again with what
// it has become as long as others are faster. An error of change ends it, and is
// returned. Outcomes that remain unknown are not repeated: see Commit.
func (s *Store) Update(ctx context.Context, key string, change func(was Document) ([]byte, error)) error {
	const op errs.Op = "cluster.Update"
	retry := patience{first: 5 * time.Millisecond, longest: time.Second}
	for {
		was, err := s.Get(ctx, key)
		if err != nil {
			return errs.Wrap(op, err)
		}
		value, err := change(was)
		if err != nil {
			return errs.Wrap(op, err)
		}
		err = s.Put(ctx, was, value)
		if !errs.Is(errs.Conflict, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			return errs.Wrap(op, err)
		}
		if !Pause(ctx, s.pace.Clock, retry.after()) {
			return errs.E(op, key, errs.Canceled, errors.Join(err, ctx.Err()))
		}
	}
}
