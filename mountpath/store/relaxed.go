package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A write in the relaxed class is acknowledged when its record is durable and
// the operating system has its payload: it survives a kill, and a crash of the
// system only once a checkpoint synced it. Until then its key is in a journal,
// and what it replaced is kept with the record that named it, so that after such
// a crash the old object can be put back.

// addRelaxed adds to the batch of a relaxed write its entry in the journal.
func (s *Store) addRelaxed(batch *index.Batch, key objects.Key, meta *objects.Meta) {
	batch.Set(layout.RelaxedKey(meta.Generation, key.Bucket.ID, key.Name), layout.AppendIntent(nil, &layout.Intent{
		Kind: layout.IntentObject, Key: key, Payload: meta.Payload,
	}))
	s.relaxed.Store(true)
}

// Checkpoint makes every relaxed write so far durable, if there were any since
// the last one. What they replaced may be reclaimed afterwards. Blocks as long as
// the filesystem takes to sync.
func (s *Store) Checkpoint() error {
	const op errs.Op = "store.Checkpoint"
	if !s.relaxed.Swap(false) {
		return nil
	}
	// A write takes its generation after its rename: whatever came before this
	// one is in the filesystem now.
	generation := s.generations.Next()
	if err := s.syncAll(); err != nil {
		s.relaxed.Store(true)
		s.diskError(objects.Key{}, err)
		return errs.E(op, kindOf(err), err)
	}
	batch := s.index.NewBatch()
	batch.Set(layout.CheckpointKey(), generation.AppendTo(nil))
	lower, upper := layout.RelaxedBounds(generation)
	batch.DeleteRange(lower, upper)
	if err := s.index.Commit(batch); err != nil {
		return errs.E(op, err)
	}
	s.checkpoint.Store(&generation)
	return nil
}

// syncAll makes what relaxed writes left with the system durable. Of a sync that
// failed Linux says so once: what it could not write it calls written, and the next
// sync succeeds without it. So after a failure every payload in the journal is
// written again, with the bytes that are there, before a sync counts.
func (s *Store) syncAll() error {
	if s.dropped.Load() && !s.readOnly {
		writes, err := s.relaxedWrites()
		if err != nil {
			return err
		}
		for _, w := range writes {
			if err := s.writeAgain(w.Key); err != nil {
				return err
			}
		}
	}
	if err := s.fs.SyncAll(); err != nil {
		s.dropped.Store(true)
		return err
	}
	s.dropped.Store(false)
	return nil
}

// writeAgain writes the payload of a relaxed write over itself, and syncs it. A key
// that has been written or deleted meanwhile has another entry, or needs none.
func (s *Store) writeAgain(key objects.Key) error {
	for range maxOvertaken {
		meta, err := s.record(objectKey(key))
		if errs.Is(errs.NotFound, err) {
			return nil
		}
		if err != nil {
			return err
		}
		if meta.Deleted || meta.Class != objects.Relaxed || meta.Where != objects.File {
			return nil
		}
		if done, err := s.writeOver(key, meta); done || err != nil {
			return err
		}
	}
	return nil // each time another write of it: the last has an entry of its own
}

// maxOvertaken bounds how often a payload is looked for that writes overtake.
const maxOvertaken = 4

// writeOver writes a payload file over itself, its attribute too, and syncs it and its
// name. Not done: the name holds another payload by now.
func (s *Store) writeOver(key objects.Key, meta *objects.Meta) (done bool, err error) {
	const op errs.Op = "store.writeOver"
	name := payloadPath(key, meta)
	file, err := s.fs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	raw, err := file.GetAttr(layout.AttributeName)
	if errors.Is(err, syscall.ENODATA) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if attribute, err := layout.DecodeAttribute(raw); err != nil || attribute.Payload != meta.Payload {
		return false, nil // whatever it is, it is not this payload
	}
	room, hash := make([]byte, min(rewriteBytes, meta.Size)), xxhash.New64()
	for at := int64(0); at < meta.Size; {
		n, err := file.ReadAt(room[:min(int64(len(room)), meta.Size-at)], at)
		if n == 0 && err == io.EOF {
			break // it is shorter than its record says
		}
		if n == 0 {
			return false, err
		}
		hash.Write(room[:n]) //nolint:errcheck // a hash takes everything
		if _, err := file.WriteAt(room[:n], at); err != nil {
			return false, err
		}
		at += int64(n)
	}
	if got := hash.Sum64(); got != meta.XXHash {
		// Nothing makes it whole again, and the others are not to wait for it.
		s.onEvent(Event{Kind: Damaged, Key: key, Err: errs.E(op, key, errs.Corrupt, fmt.Errorf("its bytes have xxhash %016x, the record says %016x", got, meta.XXHash))})
		return true, nil
	}
	if err := file.SetAttr(layout.AttributeName, raw); err != nil {
		return false, err
	}
	if err := file.Sync(); err != nil {
		return false, err
	}
	return true, s.names.syncPath(name)
}

// rewriteBytes is how much of a payload is written over at a time.
const rewriteBytes = 1 << 20

// isCheckpointed reports whether a relaxed write of that generation is durable.
// The zero generation stands for a write that was never relaxed.
func (s *Store) isCheckpointed(generation objects.Generation) bool {
	if generation.IsZero() {
		return true
	}
	checkpoint := s.checkpoint.Load()
	return checkpoint != nil && generation.Compare(*checkpoint) < 0
}

// recoverRelaxed reads the last checkpoint. If the operating system crashed since
// the last start (its boot id is another one), it reads the payload of every write
// in the journal; one that did not survive gives way to what it had replaced.
// Reading is in proportion to a few seconds of relaxed writes.
func (s *Store) recoverRelaxed(bootID string) error {
	const op errs.Op = "store.recoverRelaxed"
	if raw, err := s.journal(layout.CheckpointKey()); err != nil {
		return errs.E(op, err)
	} else if raw != nil {
		generation, err := objects.GenerationOf(raw)
		if err != nil {
			return errs.E(op, errs.Corrupt, err)
		}
		s.checkpoint.Store(&generation)
	}
	lastBoot, err := s.journal(layout.BootKey())
	if err != nil {
		return errs.E(op, err)
	}
	writes, err := s.relaxedWrites()
	if err != nil {
		return errs.E(op, err)
	}
	s.relaxed.Store(len(writes) > 0)
	s.dropped.Store(len(writes) > 0) // a sync may have failed before the process that wrote them ended
	if string(lastBoot) != bootID {
		for _, w := range writes {
			if err := s.verifyRelaxed(w); err != nil {
				return errs.E(op, w.Key, err)
			}
		}
		batch := s.index.NewBatch()
		batch.Set(layout.BootKey(), []byte(bootID))
		if err := s.index.Commit(batch); err != nil {
			return errs.E(op, err)
		}
	}
	return nil
}

// journal reads one value; nil if there is none.
func (s *Store) journal(key []byte) ([]byte, error) {
	value, err := s.index.Get(key)
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return append([]byte(nil), value.Bytes...), nil
}

// relaxedWrites returns what is in the journal.
func (s *Store) relaxedWrites() ([]*layout.Intent, error) {
	return s.journaled(layout.RelaxedBounds(objects.Generation{}))
}

// verifyRelaxed makes sure that the object of a relaxed write is whole; else the
// one before it comes back, which may have been relaxed itself.
func (s *Store) verifyRelaxed(write *layout.Intent) error {
	key, indexKey := write.Key, objectKey(write.Key)
	for {
		meta, err := s.record(indexKey)
		if errs.Is(errs.NotFound, err) {
			return nil
		}
		if err != nil {
			return err
		}
		if meta.Class != objects.Relaxed || meta.Where != objects.File {
			return nil // a later write, which is durable
		}
		whole, err := s.isWhole(key, meta)
		if err != nil {
			return err
		}
		if whole {
			return s.names.syncPath(payloadPath(key, meta))
		}
		s.log.WithField("key", key.String()).Warn("a relaxed write did not survive the crash of the operating system; the object before it comes back")
		if err := s.takeBack(key, meta, indexKey); err != nil {
			return err
		}
	}
}

// isWhole reads a payload file and syncs it if it is what its record says.
func (s *Store) isWhole(key objects.Key, meta *objects.Meta) (bool, error) {
	name := payloadPath(key, meta)
	if holds, err := s.holds(name, meta.Payload); err != nil || !holds {
		return false, err
	}
	file, err := s.fs.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return false, err
	}
	hash := xxhash.New64()
	n, err := io.Copy(hash, io.NewSectionReader(file, 0, meta.Size+1))
	if err != nil {
		return false, errors.Join(err, file.Close())
	}
	if n != meta.Size || hash.Sum64() != meta.XXHash {
		return false, file.Close()
	}
	return true, errors.Join(file.Sync(), file.Close())
}

// takeBack puts the object back that a lost relaxed write had replaced, or, if
// it had replaced nothing, removes its record.
func (s *Store) takeBack(key objects.Key, lost *objects.Meta, indexKey []byte) error {
	entry, err := s.replacedBy(key, lost.Generation)
	if err != nil {
		return err
	}
	batch := s.index.NewBatch()
	holds, err := s.holds(payloadPath(key, lost), lost.Payload)
	if err == nil && !holds {
		holds, err = s.isTorn(payloadPath(key, lost)) // the attribute was lost with the bytes
	}
	if err != nil {
		batch.Close()
		return err
	}
	// Its name, and not its bytes: what is left of it goes the way of the deleted.
	// An earlier recovery may have moved it to the trash and come no further.
	addReclaim(batch, layout.Reclaim{
		Kind: layout.ReclaimFile, Bucket: key.Bucket.ID, Name: key.Name, Payload: lost.Payload, Path: payloadPath(key, lost), Bytes: lost.Size,
		Sidecar: !layout.DraftFits(&lost.Draft),
	})
	if holds {
		if err := s.fs.Rename(payloadPath(key, lost), layout.TrashPath(lost.Payload)); err != nil {
			batch.Close()
			return err
		}
	}
	previous, err := s.previous(key, entry)
	if err != nil {
		batch.Close()
		return err
	}
	s.recordOther(batch, objects.MutationReverted, key, lost, &objects.Origin{Cause: objects.CauseCrash})
	if previous == nil {
		batch.Delete(indexKey)
		return s.index.Commit(batch, indexKey)
	}
	batch.Delete(entry.key)
	batch.Set(indexKey, entry.Previous)
	return s.index.Commit(batch, indexKey)
}

// previous puts the payload of what a lost write replaced under its name and
// returns its record; nil if there was nothing, or if its payload is not there.
func (s *Store) previous(key objects.Key, entry *reclaimEntry) (*objects.Meta, error) {
	if entry == nil {
		return nil, nil
	}
	previous, err := layout.DecodeRecord(entry.Previous)
	if err != nil || previous.Where != objects.File {
		return previous, err
	}
	if err := s.restore(payloadPath(key, previous), layout.TrashPath(previous.Payload)); err != nil {
		return nil, err
	}
	holds, err := s.holds(payloadPath(key, previous), previous.Payload)
	if err != nil {
		return nil, err
	}
	if !holds && previous.Class != objects.Relaxed { // a relaxed one may be lost, too: it is judged next
		err := errs.E("store.previous", key, errs.Corrupt, fmt.Errorf("payload %s, which the lost write replaced, is neither at its name nor in the trash", previous.Payload))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		s.log.WithError(err).Error("recovery found damage; the object is gone")
		return nil, nil
	}
	return previous, nil
}

// replacedBy finds the reclaim entry of what a relaxed write replaced; nil if it
// replaced nothing.
func (s *Store) replacedBy(key objects.Key, generation objects.Generation) (*reclaimEntry, error) {
	lower, upper := layout.NameBounds(layout.KindReclaim, key.Bucket.ID, key.Name)
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, err
	}
	for scan.Next() {
		value, err := scan.Value()
		var reclaim *layout.Reclaim
		if err == nil {
			reclaim, err = layout.DecodeReclaim(value)
		}
		if err != nil {
			return nil, errors.Join(err, scan.Close())
		}
		if reclaim.By == generation && reclaim.Previous != nil {
			entry := &reclaimEntry{Reclaim: *reclaim, key: append([]byte(nil), scan.Key()...)}
			return entry, scan.Close()
		}
	}
	return nil, errors.Join(scan.Err(), scan.Close())
}
