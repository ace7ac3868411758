package store

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ChangeUser changes an object's user metadata: a new record over the same
// payload, whose generation it keeps. The attribute of a payload file has no user
// metadata; the manifest of a chunked object has, and is written anew. In the
// key's turn.
func (s *Store) ChangeUser(m *messages.ChangeUser) (*objects.Meta, error) {
	const op errs.Op = "store.ChangeUser"
	key, indexKey := m.Key, objectKey(m.Key)
	if err := s.admitWrite(op, key, claim{}); err != nil {
		return nil, err
	}
	old, err := s.current(op, key, indexKey)
	if err != nil {
		return nil, err
	}
	if old == nil || old.Deleted {
		return nil, noSuchKey(op, key)
	}
	meta := *old
	meta.User = changeUser(old.User, m.Set, m.Replace)
	size := 0
	for _, p := range meta.User {
		size += len(p.Name) + len(p.Value)
	}
	if size > m.MaxBytes {
		return nil, errs.E(op, key, errs.Invalid, fmt.Errorf("%w: %d bytes, at most %d", objects.ErrUserTooLarge, size, m.MaxBytes))
	}
	// The journal and the reclaim entries of a relaxed write find it by its
	// generation: until it is as durable as its record, it keeps it.
	if meta.Class != objects.Relaxed {
		meta.Generation = s.generations.Next()
	}
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	if err := s.index.Commit(batch, indexKey); err != nil {
		return nil, failed(op, key, err)
	}
	if meta.Where == objects.Chunks {
		if err := s.renewManifest(key, &meta); err != nil {
			s.log.WithError(err).WithField("key", key.String()).Warn("the manifest of an object does not have its new user metadata; the record has it")
		}
	}
	return &meta, nil
}

// changeUser returns the pairs of old with those of set added or in place of
// theirs; without old if replace is set. It changes neither.
func changeUser(old, set []objects.Pair, replace bool) []objects.Pair {
	if replace {
		return slices.Clone(set)
	}
	pairs := slices.Clone(old)
	for _, p := range set {
		at := slices.IndexFunc(pairs, func(o objects.Pair) bool { return o.Name == p.Name })
		if at < 0 {
			pairs = append(pairs, p)
		} else {
			pairs[at] = p
		}
	}
	return pairs
}

// renewManifest writes the manifest of a chunked object anew.
func (s *Store) renewManifest(key objects.Key, meta *objects.Meta) error {
	value, err := s.index.Get(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload))
	if err != nil {
		return err
	}
	defer value.Close()
	parts, err := layout.DecodeParts(value.Bytes)
	if err != nil {
		return err
	}
	return s.writeManifest(key, meta.Path, meta, parts)
}
