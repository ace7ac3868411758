package store

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CommitFile makes a sealed payload the object: what it replaces is linked to
// the trash, the work file is renamed over the object's name, the names are made
// durable, and one synced batch commits the record. Meta comes with everything
// but Generation (but for the version of the map that the turn is under), Payload,
// Where, Path, Inode and Birth; by is for the history. CommitFile ends the
// incoming payload whatever happens. In the key's turn.
func (s *Store) CommitFile(in *Incoming, meta objects.Meta, conditions objects.Conditions, by objects.Origin) (objects.Receipt, error) {
	ended := false
	defer func() {
		if !ended { // a panic, which ends the lane's turn: nothing may follow before it is settled
			s.unsettle(in, errInterrupted)
			in.release()
		}
	}()
	receipt, err := s.commitFile(in, meta, conditions, &by)
	ended = true
	return receipt, err
}

var errInterrupted = errors.New("a write of the key was interrupted")

func (s *Store) commitFile(in *Incoming, meta objects.Meta, conditions objects.Conditions, by *objects.Origin) (objects.Receipt, error) {
	const op errs.Op = "store.CommitFile"
	if !in.sealed {
		return objects.Receipt{}, s.abandonAfter(in, errs.E(op, in.Key, errs.Internal, errors.New("the payload was not sealed")))
	}
	old, err := s.judge(op, in.Key, objectKey(in.Key), conditions)
	if err != nil {
		return objects.Receipt{}, s.abandonAfter(in, err)
	}
	return s.replaceBy(op, in, meta, old, objects.MutationPut, by)
}

// replaceBy makes a sealed payload the object in place of old (nil: there is none).
// A record that does not come with its payload from elsewhere gets a generation.
func (s *Store) replaceBy(op errs.Op, in *Incoming, meta objects.Meta, old *objects.Meta, kind objects.MutationKind, by *objects.Origin) (objects.Receipt, error) {
	indexKey := objectKey(in.Key)
	path, linked, renamed, err := s.takeName(in, old)
	if err != nil && !renamed {
		s.diskError(in.Key, err)
		if linked {
			err = errors.Join(err, s.unlink(in, old))
		}
		return objects.Receipt{}, s.abandonAfter(in, failed(op, in.Key, err))
	}
	if err != nil { // the rename happened, and it cannot be said whether it will last
		s.diskError(in.Key, err)
		s.unsettle(in, err)
		in.release()
		return objects.Receipt{}, outcomeUnknown(op, in.Key, err)
	}
	in.release()

	if in.record == nil {
		meta.Generation = s.generations.Under(meta.Generation.Map)
		meta.CountAfter(old)
	}
	meta.Payload, meta.Where = in.Payload, objects.File
	meta.Inode, meta.Birth = in.info.Inode, in.info.Birth
	meta.Path = path
	if natural, ok := layout.NaturalPath(in.Key.Bucket, in.Key.Name); ok && natural == path {
		meta.Path = ""
	}
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, &meta))
	if in.record == nil {
		s.recordWrite(batch, kind, in.Key, &meta, by)
	} else {
		s.recordOther(batch, kind, in.Key, &meta, by)
	}
	written := meta
	written.Class = in.Class()
	entry := s.retire(batch, in.Key, old, &written)
	if in.Class() == objects.Relaxed {
		s.addRelaxed(batch, in.Key, &meta)
	}
	batch.Delete(in.intentKey())
	if err := s.index.Commit(batch, indexKey); err != nil {
		// Even if the index took nothing: the name is the new payload's, and
		// settling goes forward.
		s.unsettle(in, err)
		return objects.Receipt{}, outcomeUnknown(op, in.Key, err)
	}
	if entry != nil && linked {
		entry.left = true // its name is the new payload's; the trash has its link
		s.reclaim.add(entry)
	} else {
		s.retired(entry)
	}
	return receipt(&meta), nil
}

// abandonAfter abandons the payload because of err, which it returns.
func (s *Store) abandonAfter(in *Incoming, err error) error {
	if abandonErr := in.Abandon(); abandonErr != nil {
		s.log.WithError(abandonErr).WithField("key", in.Key.String()).Warn("the work file of a refused write stays until it is settled")
	}
	return err
}

// unlink takes back the link in the trash of a file that was not replaced after
// all. It must last before the intent goes: with a link in the trash that nobody
// speaks of, the file could not be moved there later. If it cannot be made to
// last, the intent stays until it is settled.
func (s *Store) unlink(in *Incoming, old *objects.Meta) error {
	err := absent(s.fs.Remove(layout.TrashPath(old.Payload)))
	if err == nil {
		err = s.fs.SyncDir(layout.TrashDir)
	}
	if err != nil {
		in.begun = false
		s.leaveOpen(in)
	}
	return err
}

// takeName renames the work file to the object's name: its natural one, or, if
// another object's name is in the way or no filesystem can hold it, the escaped
// one. An object whose payload is a file keeps its path. linked says whether the
// replaced file has a link in the trash, or, with an error, may have one.
func (s *Store) takeName(in *Incoming, old *objects.Meta) (path string, linked, renamed bool, err error) {
	sync := in.Class() == objects.Synced
	if old != nil && old.Where == objects.File && !old.Deleted {
		path = payloadPath(in.Key, old)
		err = s.fs.Link(path, layout.TrashPath(old.Payload))
		linked = err == nil || errors.Is(err, syscall.EEXIST)
		if !linked && !errors.Is(err, fs.ErrNotExist) {
			return path, true, false, err
		}
		if linked && !sync { // the rename may last and the payload not: the link must last too
			if err := s.fs.SyncDir(layout.TrashDir); err != nil {
				return path, true, false, err
			}
		}
		renamed, err = s.names.receive(in.path, path, sync)
		return path, linked, renamed, err
	}
	natural, ok := layout.NaturalPath(in.Key.Bucket, in.Key.Name)
	if ok {
		renamed, err = s.names.receive(in.path, natural, sync)
		if err != nil && !renamed && isDirectoryInTheWay(err) && s.names.clearEmpty(natural) {
			renamed, err = s.names.receive(in.path, natural, sync)
		}
		if err == nil || renamed || !isNameConflict(err) {
			return natural, false, renamed, err
		}
	}
	escaped := layout.EscapedPath(in.Key.Bucket, in.Key.Name)
	renamed, err = s.names.receive(in.path, escaped, sync)
	return escaped, false, renamed, err
}

// Delete removes an object: the record goes, synced; then its payload leaves its
// name. It reports whether there was an object. By is for the history. In the key's turn.
func (s *Store) Delete(key objects.Key, conditions objects.Conditions, by objects.Origin) (existed bool, generation objects.Generation, err error) {
	const op errs.Op = "store.Delete"
	if err := s.admitDelete(op, key); err != nil {
		return false, objects.Generation{}, err
	}
	indexKey := objectKey(key)
	old, err := s.judge(op, key, indexKey, conditions)
	if err != nil {
		return false, objects.Generation{}, err
	}
	if old == nil {
		return false, objects.Generation{}, nil
	}
	batch := s.index.NewBatch()
	batch.Delete(indexKey)
	generation = s.generations.Next()
	if by.Cause == objects.CauseMove { // nobody deleted it: a newer one is another mountpath's
		s.recordOther(batch, objects.MutationLeft, key, old, &by)
	} else {
		s.recordWrite(batch, objects.MutationDeleted, key, &objects.Meta{Generation: generation}, &by)
	}
	entry := s.retire(batch, key, old, nil)
	if err := s.index.Commit(batch, indexKey); err != nil {
		return false, objects.Generation{}, failed(op, key, err)
	}
	s.retired(entry)
	return !old.Deleted, generation, nil
}
