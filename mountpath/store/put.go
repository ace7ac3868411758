package store

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// PutInline stores an object whose payload goes into the index: one synced batch
// of payload and record. Meta comes with everything but Generation, Payload and
// Where; of Generation there may be the version of the map that the turn is under.
// Payload is only read, until PutInline returns. By is for the history. In the key's turn.
func (s *Store) PutInline(key objects.Key, meta objects.Meta, payload []byte, conditions objects.Conditions, by objects.Origin) (objects.Receipt, error) {
	const op errs.Op = "store.PutInline"
	if err := s.admitWrite(op, key, claim{bytes: 2 * int64(len(payload))}); err != nil { // the log's and the table's
		return objects.Receipt{}, err
	}
	indexKey := objectKey(key)
	old, err := s.judge(op, key, indexKey, conditions)
	if err != nil {
		return objects.Receipt{}, err
	}
	meta.Generation = s.generations.Under(meta.Generation.Map)
	meta.Payload = meta.Generation
	meta.Where, meta.Path, meta.Inode, meta.Birth = objects.Inline, "", 0, 0
	if meta.Slicing != nil {
		meta.Follows = follows(old)
	}
	meta.CountAfter(old)

	batch := s.index.NewBatch()
	batch.Set(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload), payload)
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	s.recordWrite(batch, objects.MutationPut, key, &meta, &by)
	entry := s.retire(batch, key, old, &meta)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return objects.Receipt{}, failed(op, key, err)
	}
	s.retired(entry)
	return receipt(&meta), nil
}

// judge reads the current record of a key and judges the conditions of a write
// against it. It returns nil for a key that has no object.
func (s *Store) judge(op errs.Op, key objects.Key, indexKey []byte, conditions objects.Conditions) (*objects.Meta, error) {
	old, err := s.current(op, key, indexKey)
	if err != nil {
		return nil, err
	}
	visible := old
	if old != nil && old.Deleted {
		visible = nil
	}
	if err := conditions.ForWrite(visible); err != nil {
		kind := errs.Conflict
		if errors.Is(err, objects.ErrNoSuchKey) {
			kind = errs.NotFound
		}
		return nil, errs.E(op, key, kind, err)
	}
	return old, nil
}

// retire adds to a batch what becomes of the payload that the batch replaces
// (by the object, or the delete marker, by) or deletes (by nil), and returns the reclaim
// entry, if there is one, for retired.
func (s *Store) retire(batch *index.Batch, key objects.Key, old, by *objects.Meta) *reclaimEntry {
	if old == nil || old.Deleted {
		return nil
	}
	var reclaim layout.Reclaim
	keep := by != nil && by.Class == objects.Relaxed && by.Where == objects.File
	if keep { // what it replaces may have to come back
		reclaim.By = by.Generation
	}
	// While an erasure-coded write is not settled, what it replaced may be what counts.
	reclaim.Settles = by != nil && by.Unsettled && (old.Slicing != nil || by.Slicing != nil)
	if keep = keep || reclaim.Settles; keep {
		reclaim.Previous = layout.AppendRecord(nil, old)
	}
	switch old.Where {
	case objects.Inline:
		if !keep && old.Slicing != nil && len(s.indicesOf(old)) == 0 {
			return nil // others hold it
		}
		if !keep {
			batch.DeleteSized(layout.PayloadKey(nil, key.Bucket.ID, key.Name, old.Payload), int(old.Size))
			s.deletedBytes.Add(old.Size)
			return nil
		}
		reclaim.Kind, reclaim.Bytes = layout.ReclaimInline, old.Size
	case objects.File:
		reclaim.Kind, reclaim.Path, reclaim.Bytes = layout.ReclaimFile, payloadPath(key, old), old.Size
		reclaim.Sidecar = !layout.DraftFits(&old.Draft)
	case objects.Chunks:
		same := by != nil && by.Where == objects.Chunks && by.Path == old.Path
		if !keep || same {
			batch.Delete(layout.PayloadKey(nil, key.Bucket.ID, key.Name, old.Payload)) // the part table
		}
		if same {
			return nil // it is made of parts of the same upload: endUpload reclaims the others
		}
		reclaim.Kind, reclaim.UploadID, reclaim.Bytes = layout.ReclaimUpload, old.Path, old.Size
	case objects.Slices:
		reclaim.Kind = layout.ReclaimSlices
		reclaim.Indices = append(s.indicesOf(old), objects.WholeIndex) // who wrote may have kept it beside
		slices.Sort(reclaim.Indices)
		reclaim.Indices = slices.Compact(reclaim.Indices)
		reclaim.Bytes = sliceBytes(old, reclaim.Indices)
		reclaim.Sidecar = true // how much of a draft an attribute carries beside sums, only that says
	default:
		return nil
	}
	reclaim.Bucket, reclaim.Name, reclaim.Payload = key.Bucket.ID, key.Name, old.Payload
	return addReclaim(batch, reclaim)
}

// addReclaim adds a reclaim entry to a batch.
func addReclaim(batch *index.Batch, reclaim layout.Reclaim) *reclaimEntry {
	entry := &reclaimEntry{
		Reclaim: reclaim,
		key:     layout.ReclaimKey(nil, reclaim.Bucket, reclaim.Name, reclaim.Payload),
	}
	batch.Set(entry.key, layout.AppendReclaim(nil, &reclaim))
	return entry
}

// retired does, after the batch of retire is committed, what must be done before
// the key's next write: a file that is no longer any object's leaves its name.
func (s *Store) retired(entry *reclaimEntry) {
	if entry == nil {
		return
	}
	switch entry.Kind {
	case layout.ReclaimFile:
		if !entry.Settles { // else it may be named again, and keeps its own until it goes
			s.names.shared(func() { s.leaveName(entry) })
		}
	case layout.ReclaimUpload:
		if err := s.markRetired(entry); err != nil {
			s.diskError(entry.objectKey(), err) // tried again when the entry is drained
		}
	}
	s.reclaim.add(entry)
}

// markRetired leaves a mark in the directory of an upload that is neither under
// way nor any object's any more: with the index lost, manifest and parts would say
// otherwise. What a relaxed write replaced, or one that is not settled, may have to come
// back, and is not marked before that.
func (s *Store) markRetired(entry *reclaimEntry) error {
	if !s.isCheckpointed(entry.By) || entry.Settles && !entry.going {
		return nil
	}
	file, err := s.fs.OpenFile(layout.RetiredPath(entry.UploadID), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return absent(err) // an upload without parts has no directory
	}
	return file.Close()
}

// leaveName moves the file of a reclaim entry from its name to the trash, if
// the name still holds that payload. What fails here is tried again when the
// entry is drained: the entry stays until the file is gone. The caller holds the
// lock of names: shared in the key's turn, alone elsewhere, so that no other
// payload takes the name between the look and the rename.
func (s *Store) leaveName(entry *reclaimEntry) {
	holds, err := s.holds(entry.Path, entry.Payload)
	if err == nil && holds {
		err = s.fs.Rename(entry.Path, layout.TrashPath(entry.Payload))
	}
	if err == nil && holds {
		// A rename between two links of one file does nothing, says POSIX: a link
		// that a failed write left in the trash must not keep the name alive.
		if holds, err = s.holds(entry.Path, entry.Payload); err == nil && holds {
			err = s.fs.Remove(entry.Path)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.diskError(entry.objectKey(), err)
		return
	}
	entry.left = true
}

// holds reports whether the file at a path carries the payload generation in
// its attribute. A missing file, or one without our attribute, does not.
func (s *Store) holds(path string, payload objects.Generation) (bool, error) {
	attribute, err := s.attribute(path)
	if err != nil || attribute == nil {
		return false, err
	}
	return attribute.Payload == payload, nil
}

// payloadPath is the path of the file of an object whose payload is a file.
func payloadPath(key objects.Key, meta *objects.Meta) string {
	if meta.Path != "" {
		return meta.Path
	}
	path, _ := layout.NaturalPath(key.Bucket, key.Name)
	return path
}

func receipt(meta *objects.Meta) objects.Receipt {
	class := meta.Class
	if class == "" {
		class = objects.Synced
	}
	return objects.Receipt{Class: class, Disks: 1, Nodes: 1, Generation: meta.Generation, Meta: meta}
}
