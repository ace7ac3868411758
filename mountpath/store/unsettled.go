package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// openIntent is an intent that nobody is at work on any more: its write failed or
// was interrupted, and so did undoing it. It is settled in its key's turn, as
// opening the mountpath would do.
type openIntent struct {
	key     objects.Key
	payload objects.Generation
	// cause says why the key is busy until then: what the disk holds of it is not
	// known. nil: only leftovers are to be removed, and the key is used meanwhile.
	cause error
	// held says why it is not tried to settle it, while that is so: then that is what those are
	// told who ask for the key. nil: it is tried. Guarded by unsettled.mu.
	held func() error
}

// unsettled is a store's table of open intents. A write under way has an intent
// that is in no table. Safe for concurrent use; the zero value is ready.
type unsettled struct {
	mu      sync.RWMutex
	intents map[objects.Generation]*openIntent
	busy    map[string]*openIntent // by index key, those with a cause
}

func (u *unsettled) add(i *openIntent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.intents == nil {
		u.intents, u.busy = make(map[objects.Generation]*openIntent), make(map[string]*openIntent)
	}
	u.intents[i.payload] = i
	if i.cause != nil {
		u.busy[string(objectKey(i.key))] = i
	}
}

func (u *unsettled) remove(i *openIntent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.intents, i.payload)
	if indexKey := string(objectKey(i.key)); u.busy[indexKey] == i {
		delete(u.busy, indexKey)
	}
}

// refuses says why a key cannot be used now; nil: it can.
func (u *unsettled) refuses(indexKey []byte) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	i := u.busy[string(indexKey)]
	if i == nil {
		return nil
	}
	if i.held != nil {
		if err := i.held(); err != nil {
			return errs.E("store.settled", errs.Offline, err)
		}
	}
	return errBusyUntilSettled(i.cause)
}

// hold notes whether an intent is not to be settled now, and reports it.
func (u *unsettled) hold(i *openIntent, held func() error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	i.held = held
	return held != nil
}

// of returns the open intents of the keys wanted.
func (u *unsettled) of(wanted func(objects.Key) bool) []*openIntent {
	u.mu.RLock()
	defer u.mu.RUnlock()
	var found []*openIntent
	for _, i := range u.intents {
		if wanted(i.key) {
			found = append(found, i)
		}
	}
	return found
}

// unsettle makes a key busy until its intent is settled: its write failed at a
// point from which it cannot be said what the disk holds.
func (s *Store) unsettle(in *Incoming, cause error) {
	s.unsettled.add(&openIntent{key: in.Key, payload: in.Payload, cause: cause})
}

// leaveOpen notes an intent whose write is undone but for leftovers.
func (s *Store) leaveOpen(in *Incoming) {
	s.unsettled.add(&openIntent{key: in.Key, payload: in.Payload})
}

// Unsettled returns how many keys are busy until they are settled, and how many
// intents are to be settled in all.
func (s *Store) Unsettled() (keys, intents int) {
	s.unsettled.mu.RLock()
	defer s.unsettled.mu.RUnlock()
	return len(s.unsettled.busy), len(s.unsettled.intents)
}

// Settle settles the open intents of the keys wanted, as opening the mountpath
// does: goes forward where the rename happened, and back where it did not. In
// these keys' turn. What fails stays and may be tried again; on a dead index
// nothing can be settled: errs.Offline. What a store that is only read has found is
// left to the one that follows it. Held may say of a key that it is not tried now, and
// why, at any time until the next call; it must not block. nil: of none.
func (s *Store) Settle(wanted func(objects.Key) bool, held func(objects.Key) func() error) error {
	const op errs.Op = "store.Settle"
	if s.readOnly {
		return nil
	}
	intents := s.unsettled.of(wanted)
	if len(intents) == 0 {
		return nil
	}
	if err := s.index.Err(); err != nil {
		return errs.E(op, errs.Offline, err)
	}
	var failures []error
	for _, i := range intents {
		if held != nil && s.unsettled.hold(i, held(i.key)) {
			continue
		}
		if err := s.apart(i.key, messages.SettleAccess, func() error { return s.settleOpen(i) }); err != nil {
			if !isPanic(err) {
				s.diskError(i.key, err)
			}
			failures = append(failures, failed(op, i.key, err))
			continue
		}
		s.unsettled.remove(i)
		if i.cause != nil {
			s.log.WithField("key", i.key.String()).WithField("cause", i.cause).Info("an interrupted write is settled; its key is free again")
		}
	}
	return errors.Join(failures...)
}

// settleOpen settles one intent while the store serves.
func (s *Store) settleOpen(i *openIntent) error {
	raw, err := s.journal(layout.IntentKey(nil, i.key.Bucket.ID, i.key.Name, i.payload))
	if err != nil {
		return err
	}
	if p := s.staging.of(i.payload, nil); raw == nil && p != nil {
		return s.settleLeft(p)
	}
	if raw == nil { // it was never written, or has gone with the commit: only a work file may be left
		return absent(s.fs.Remove(layout.WorkPath(i.payload)))
	}
	intent, err := layout.DecodeIntent(raw)
	if err != nil {
		return err
	}
	entry, err := s.settle(intent)
	if err != nil {
		return err
	}
	s.retired(entry)
	return nil
}

// errBusyUntilSettled wraps why a key is busy.
func errBusyUntilSettled(cause error) error {
	return errs.E("store.settled", errs.Busy, fmt.Errorf("%w: %w", objects.ErrOutcomeUnknown, cause))
}
