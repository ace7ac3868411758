package store

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ChangeDraft changes an object's user metadata or tags: a new record over the
// same payload, whose generation it keeps. In the key's turn.
func (s *Store) ChangeDraft(m *messages.ChangeDraft) (*objects.Meta, error) {
	const op errs.Op = "store.ChangeDraft"
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
	if most := m.Change.MaxUserBytes; most > 0 {
		meta.User = changeUser(old.User, m.Change.User, m.Change.ReplaceUser)
		size := 0
		for _, p := range meta.User {
			size += len(p.Name) + len(p.Value)
		}
		if size > most {
			return nil, errs.E(op, key, errs.Invalid, fmt.Errorf("%w: %d bytes, at most %d", objects.ErrUserTooLarge, size, most))
		}
	}
	if m.Change.ReplaceTags {
		meta.Tags = slices.Clone(m.Change.Tags)
	}
	// The journal and the reclaim entries of a relaxed write find it by its
	// generation: until it is as durable as its record, it keeps it.
	if m.Fence.Unsettled && !s.isCheckpointed(relaxedGeneration(old)) {
		return nil, errs.E(op, key, errs.Busy, errors.New("its payload is not on stable storage yet, and other nodes are to have it: ask again in some seconds"))
	}
	batch := s.index.NewBatch()
	if meta.Class != objects.Relaxed || m.Fence.Unsettled {
		meta.Generation = s.generations.Under(m.Map)
		s.recordWrite(batch, objects.MutationChanged, key, &meta, &m.Fence.For)
	} else {
		s.recordOther(batch, objects.MutationChanged, key, &meta, &m.Fence.For)
	}
	meta.Unsettled = m.Fence.Unsettled
	if old.Slicing != nil && meta.Generation != old.Generation {
		meta.Follows = follows(old)
	}
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	if err := s.index.Commit(batch, indexKey); err != nil {
		return nil, failed(op, key, err)
	}
	if err := s.renewPayload(key, old, &meta); err != nil {
		s.diskError(key, err)
		s.log.WithError(err).WithField("key", key.String()).Warn("an object's new metadata is not beside its payload, where a rebuild of the index would look; the record has it")
	}
	return &meta, nil
}

// relaxedGeneration is the generation of a relaxed write, which may not be on stable
// storage; of another write, zero.
func relaxedGeneration(meta *objects.Meta) objects.Generation {
	if meta.Class != objects.Relaxed || meta.Where != objects.File {
		return objects.Generation{}
	}
	return meta.Generation
}

// renewPayload renews what is kept beside the payload for a rebuild of the index:
// the attribute or sidecar of a file, the manifest of a chunked object. The record
// says it already: a crash in between costs a rebuild the change, and nothing else.
func (s *Store) renewPayload(key objects.Key, old, meta *objects.Meta) error {
	switch meta.Where {
	case objects.File:
		return s.renewAttribute(key, old, meta)
	case objects.Chunks:
		return s.renewManifest(key, meta)
	}
	return nil
}

// renewAttribute puts the draft of a record into the attribute of its file, or,
// where it does not fit, into a sidecar.
func (s *Store) renewAttribute(key objects.Key, old, meta *objects.Meta) (err error) {
	file, err := s.fs.OpenFile(payloadPath(key, meta), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	raw, err := file.GetAttr(layout.AttributeName)
	if err != nil {
		return err
	}
	attribute, err := layout.DecodeAttribute(raw)
	if err != nil {
		return err
	}
	if attribute.Payload != meta.Payload {
		return errs.E("store.renewAttribute", key, errs.Corrupt, errors.New("the file at the object's name is another payload"))
	}
	attribute.CarryDraft(&meta.Draft)
	if attribute.Sidecar {
		if err := s.writeSidecar(layout.SidecarPath(meta.Payload), &layout.Sidecar{Key: key, Payload: meta.Payload, Draft: meta.Draft}); err != nil {
			return err
		}
	}
	if err := file.SetAttr(layout.AttributeName, layout.AppendAttribute(nil, attribute)); err != nil {
		return err
	}
	if meta.Class != objects.Relaxed {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	if !attribute.Sidecar && !layout.DraftFits(&old.Draft) {
		return s.removeSidecar(meta.Payload)
	}
	return nil
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
	parts, err := s.partTable(key, meta)
	if err != nil {
		return err
	}
	return s.writeManifest(key, meta.Path, meta, parts)
}

// partTable reads the parts of a chunked object. In the key's turn.
func (s *Store) partTable(key objects.Key, meta *objects.Meta) ([]objects.Part, error) {
	value, err := s.index.Get(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload))
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return layout.DecodeParts(value.Bytes)
}
