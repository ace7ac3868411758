package store

import (
	"errors"
	"fmt"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Store takes over a record of another node, if it is greater than what is here: with
// its generation and all, but for where the payload lies. Payload is that of an inline
// object; nil: none came, and the record counts only where its payload is here, or it
// needs none; one with a Slicing where all that it names here is here, staged or in place. It is only read, until Store returns. By is for the history. In the key's turn.
func (s *Store) Store(key objects.Key, record *objects.Meta, payload []byte, sent messages.Sending, by objects.Origin) (messages.Stored, error) {
	return s.take("store.Store", key, record, nil, payload, sent, &by)
}

// take does Store; parts are those of an object that is made of some, and are here.
func (s *Store) take(op errs.Op, key objects.Key, record *objects.Meta, parts []objects.Part, payload []byte, sent messages.Sending, by *objects.Origin) (messages.Stored, error) {
	if record.Generation.IsZero() {
		return messages.Stored{}, errs.E(op, key, errs.Invalid, errors.New("the record has no generation"))
	}
	if err := s.admitWrite(op, key, claim{bytes: 2 * int64(len(payload))}); err != nil {
		return messages.Stored{}, err
	}
	indexKey := objectKey(key)
	old, err := s.current(op, key, indexKey)
	if err != nil {
		return messages.Stored{}, err
	}
	if done, stored, err := s.isHere(op, key, indexKey, old, record, sent); done || err != nil {
		return stored, err
	}
	meta := *record
	meta.Inode, meta.Birth = 0, 0
	if meta.Slicing != nil && !meta.Deleted {
		return s.takeSliced(op, key, old, &meta, payload, by)
	}
	switch {
	case meta.Deleted:
	case old != nil && !old.Deleted && old.Payload == meta.Payload:
		if err := s.intactWhole(key, old); err != nil {
			return messages.Stored{}, errs.E(op, err)
		}
		i := &Import{key: key, store: s, meta: &meta, here: true, ended: true, kind: objects.MutationStored, by: *by} // nothing is copied: the key is not taken
		if _, err := s.commitRecord(op, i); err != nil {
			return messages.Stored{}, err
		}
		return messages.Stored{Has: true}, nil
	case len(parts) > 0:
		i := &Import{key: key, store: s, meta: &meta, parts: parts, ended: true, kind: objects.MutationStored, by: *by} // likewise
		if _, err := s.commitInIndex(op, i, old); err != nil {
			return messages.Stored{}, err
		}
		return messages.Stored{Has: true}, nil
	case meta.Where == objects.Inline && (payload != nil || meta.Size == 0):
		if got := xxhash.Checksum64(payload); got != meta.XXHash || int64(len(payload)) != meta.Size {
			return messages.Stored{}, errs.E(op, key, errs.Corrupt, fmt.Errorf("%d bytes with xxhash %016x came, the record says %d with %016x", len(payload), got, meta.Size, meta.XXHash))
		}
	default:
		return messages.Stored{NeedsPayload: true}, nil
	}
	if err := s.forgetFormer(op, key, &Import{meta: &meta}); err != nil {
		return messages.Stored{}, err
	}
	batch := s.index.NewBatch()
	if meta.Deleted {
		s.noteTombstone(batch, key, meta.Generation)
	} else {
		batch.Set(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload), payload)
	}
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	s.recordOther(batch, storedKind(&meta), key, &meta, by)
	written := meta
	written.Class = objects.Synced // as every payload is that comes from elsewhere
	entry := s.retire(batch, key, old, &written)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return messages.Stored{}, outcomeUnknown(op, key, err)
	}
	s.retired(entry)
	return messages.Stored{Has: true}, nil
}

// isHere reports whether what is here is as new as a record of another node, or a marker
// that was dropped may have been, and what the answer is then. An equal one that is settled
// there is settled here, too.
func (s *Store) isHere(op errs.Op, key objects.Key, indexKey []byte, old, record *objects.Meta, sent messages.Sending) (bool, messages.Stored, error) {
	if old == nil {
		if sent != messages.ToEqual {
			if by := s.bounds().covering(key.Bucket.ID, record.Generation); by != 0 {
				return true, messages.Stored{Covered: by}, nil
			}
		}
		return false, messages.Stored{}, nil
	}
	switch order := old.Generation.Compare(record.Generation); {
	case order > 0:
		return true, messages.Stored{Here: old}, nil
	case order < 0:
		return false, messages.Stored{}, nil
	}
	if old.Slicing == nil { // a slice that is damaged keeps nobody from the others
		if err := s.intactWhole(key, old); err != nil {
			return true, messages.Stored{}, errs.E(op, err)
		}
	}
	if old.Unsettled && !record.Unsettled {
		meta := *old
		meta.Unsettled = false
		batch := s.index.NewBatch()
		batch.Set(indexKey, layout.AppendRecord(nil, &meta))
		if err := s.index.Commit(batch, indexKey); err != nil {
			return true, messages.Stored{}, failed(op, key, err)
		}
	}
	return true, messages.Stored{Has: true, Indices: s.durableOf(old)}, nil
}

// Receive takes a payload that another node sends into files of its own, verified
// against the record and synced, for StoreImport: read from its beginning, by room,
// which is memory through which it passes. Parts are those of an object that is made of
// some. Blocks on the disk and on the payload; never in a lane.
func (s *Store) Receive(key objects.Key, record *objects.Meta, parts []objects.Part, payload messages.PayloadFile, room [][]byte) (*Import, error) {
	meta := *record
	opened := &messages.ObjectOpened{Meta: &meta}
	switch meta.Where {
	case objects.File:
		meta.Path = ""
		opened.File = payload
	case objects.Chunks:
		if err := checkParts("store.Receive", key, &meta, parts); err != nil {
			return nil, err
		}
		at := int64(0)
		starts := make([]int64, len(parts))
		for n := range parts {
			starts[n] = at
			at += parts[n].Size
		}
		opened.Parts = &messages.PartReader{Parts: parts, Open: func(n int) (messages.PayloadFile, error) {
			return &shifted{payload, starts[n]}, nil
		}}
	default:
		return nil, errs.E("store.Receive", key, errs.Invalid, fmt.Errorf("a payload of kind %d does not come in files", meta.Where))
	}
	return s.Copy(key, opened, nil, room)
}

// shifted is the rest of a payload from an offset, as a file of its own.
type shifted struct {
	messages.PayloadFile
	by int64
}

// ReadAt implements io.ReaderAt.
func (f *shifted) ReadAt(room []byte, offset int64) (int, error) {
	return f.PayloadFile.ReadAt(room, f.by+offset)
}

// Close implements io.Closer: the payload is its owner's.
func (*shifted) Close() error { return nil }

// StoreImport is Store for a payload, or a part of an upload, that was received. It ends the import whatever
// happens. In the key's turn.
func (s *Store) StoreImport(i *Import, sent messages.Sending, by objects.Origin) (messages.Stored, error) {
	const op errs.Op = "store.StoreImport"
	i.kind, i.by = objects.MutationStored, by
	if i.upload != nil {
		_, err := s.endImport(i)
		return messages.Stored{Has: err == nil}, err
	}
	indexKey := objectKey(i.key)
	old, err := s.current(op, i.key, indexKey)
	if err != nil {
		return messages.Stored{}, errors.Join(err, i.Abandon())
	}
	if done, stored, err := s.isHere(op, i.key, indexKey, old, i.meta, sent); done || err != nil {
		return stored, errors.Join(err, i.Abandon())
	}
	done, err := s.endImport(i)
	if err != nil {
		return messages.Stored{}, err
	}
	return messages.Stored{Has: done.Generation == i.meta.Generation}, nil
}

// Bury deletes an object by a record that says so, which takes its place, also where
// there is none: other nodes may have what this one lacks. Map is the version of the map
// that the turn is under. It reports whether there was an object. By is for the history.
// In the key's turn.
func (s *Store) Bury(key objects.Key, conditions objects.Conditions, mapVersion uint64, by objects.Origin) (existed bool, marker *objects.Meta, err error) {
	const op errs.Op = "store.Bury"
	if err := s.admitDelete(op, key); err != nil {
		return false, nil, err
	}
	indexKey := objectKey(key)
	old, err := s.judge(op, key, indexKey, conditions)
	if err != nil {
		return false, nil, err
	}
	marker = &objects.Meta{Generation: s.generations.Under(mapVersion), Deleted: true, Unsettled: true, Modified: s.now()}
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, marker))
	s.noteTombstone(batch, key, marker.Generation)
	s.recordWrite(batch, objects.MutationDeleted, key, marker, &by)
	entry := s.retire(batch, key, old, marker)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return false, nil, failed(op, key, err)
	}
	s.retired(entry)
	return old != nil && !old.Deleted, marker, nil
}

// NoteSettled notes that records are settled, those that are here with the generation
// given. It does not wait until that lasts. In the keys' turn.
func (s *Store) NoteSettled(list []messages.Settlement) error {
	const op errs.Op = "store.NoteSettled"
	batch := s.index.NewBatch()
	noted := 0
	for _, l := range list {
		indexKey := objectKey(l.Key)
		have, err := s.current(op, l.Key, indexKey)
		if err != nil {
			batch.Close()
			return err
		}
		if have == nil || have.Generation != l.Generation || !have.Unsettled {
			continue
		}
		meta := *have
		meta.Unsettled = false
		batch.Set(indexKey, layout.AppendRecord(nil, &meta))
		noted++
	}
	if noted == 0 {
		batch.Close()
		return nil
	}
	return failed(op, objects.Key{}, s.index.Commit(batch))
}
