package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// recover brings the disk to the state that the index and the intents say:
// every intent is settled, the work directory is empty, deleted payloads have
// left their names. Nothing else is looked at.
func (s *Store) recover(bootID string) error {
	if err := s.settleIntents(); err != nil {
		return err
	}
	if err := s.recoverRelaxed(bootID); err != nil {
		return err
	}
	if err := s.emptyWork(); err != nil {
		return err
	}
	return s.loadReclaims()
}

func (s *Store) settleIntents() error {
	const op errs.Op = "store.settleIntents"
	intents, err := s.journaled([]byte{layout.KindIntent}, []byte{layout.KindIntent + 1})
	if err != nil {
		return errs.E(op, err)
	}
	for _, intent := range intents {
		err := s.apart(intent.Key, messages.SettleAccess, func() error {
			_, err := s.settle(intent) // loadReclaims finds the entry
			return err
		})
		if isPanic(err) {
			// Its key is busy until its lane has settled it. A work file that goes meanwhile
			// was of a write that is undone.
			s.log.WithError(err).WithField("key", intent.Key.String()).Error("an interrupted write cannot be settled; its key is busy, and the others are served")
			s.unsettled.add(&openIntent{key: intent.Key, payload: intent.Payload, cause: err})
			continue
		}
		if err != nil {
			return errs.E(op, intent.Key, err)
		}
	}
	s.staging.keepNamed(intents)
	return nil
}

// journaled returns the intents that are written between two keys of the index.
func (s *Store) journaled(lower, upper []byte) ([]*layout.Intent, error) {
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, err
	}
	var intents []*layout.Intent
	for scan.Next() {
		value, err := scan.Value()
		var intent *layout.Intent
		if err == nil {
			intent, err = layout.DecodeIntent(value)
		}
		if err != nil {
			return nil, errors.Join(err, scan.Close())
		}
		intents = append(intents, intent)
	}
	return intents, errors.Join(scan.Err(), scan.Close())
}

// settle decides what became of one large write that a crash interrupted. m is
// its payload; n is what the record names now; P is the file under the object's
// natural or escaped path.
//
//	n is m               done: drop the intent
//	P holds m            forward: make the name durable, commit the record
//	P holds anything else back: unlink the work file, undo the link in the trash
//
// Writes of one key take turns, and a write holds its turn from its rename to its
// commit. So where P holds m and the record does not name m, the rename came after
// whatever the record names, even if that has the greater payload generation
// (payload generations are taken when a transfer starts, not in the turn).
//
// The reclaim entry of what an object replaced that went forward is returned, for
// retired. In the key's turn, or before the store serves.
func (s *Store) settle(intent *layout.Intent) (*reclaimEntry, error) {
	switch intent.Kind {
	case layout.IntentPart:
		return nil, s.settlePart(intent)
	case layout.IntentImportPart:
		return nil, s.settleImportPart(intent)
	case layout.IntentSlice:
		return nil, s.settleSlices(intent)
	}
	key, indexKey := intent.Key, objectKey(intent.Key)
	intentKey := layout.IntentKey(nil, key.Bucket.ID, key.Name, intent.Payload)
	old, err := s.record(indexKey)
	if err != nil && !errs.Is(errs.NotFound, err) {
		return nil, err
	}
	path, attribute, err := s.findPayload(intent, old)
	if err != nil {
		return nil, err
	}
	committed := old != nil && !old.Deleted && old.Payload == intent.Payload
	switch {
	case committed && attribute == nil:
		err := errs.E("store.settle", key, errs.Corrupt, errors.New("the record names a payload that is at none of its paths"))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		s.log.WithError(err).Error("recovery found damage; the record stays")
		return nil, s.dropIntent(intentKey)
	case committed:
		return nil, s.dropIntent(intentKey)
	case attribute != nil:
		return s.forward(intent, attribute, path, old, indexKey, intentKey)
	default:
		return nil, s.back(intent, old, intentKey)
	}
}

// findPayload looks for the intent's payload at the paths where its rename can
// have put it; attribute is nil if it is at none of them.
func (s *Store) findPayload(intent *layout.Intent, old *objects.Meta) (path string, attribute *layout.Attribute, err error) {
	for _, p := range s.candidates(intent, old) {
		attribute, err := s.attribute(p)
		if err != nil {
			return "", nil, err
		}
		if attribute != nil && attribute.Payload == intent.Payload {
			return p, attribute, nil
		}
	}
	return "", nil, nil
}

// candidates are the paths where an intent's rename can have put its payload.
func (s *Store) candidates(intent *layout.Intent, old *objects.Meta) []string {
	var paths []string
	if natural, ok := layout.NaturalPath(intent.Key.Bucket, intent.Key.Name); ok {
		paths = append(paths, natural)
	}
	paths = append(paths, layout.EscapedPath(intent.Key.Bucket, intent.Key.Name))
	if old != nil && old.Where == objects.File && old.Path != "" {
		paths = append(paths, old.Path)
	}
	return paths
}

// attribute reads the attribute of the file at a path; nil if there is no file,
// or none of ours.
func (s *Store) attribute(path string) (*layout.Attribute, error) {
	raw, err := s.fs.GetAttr(path, layout.AttributeName)
	if err != nil {
		if isNoPayload(err) {
			return nil, nil
		}
		return nil, err
	}
	attribute, err := layout.DecodeAttribute(raw)
	if errors.Is(err, layout.ErrNewer) {
		return nil, err // whole, and not ours to judge
	}
	if err != nil {
		return nil, nil // not a payload that anything of ours can trust
	}
	return attribute, nil
}

// forward finishes a write whose rename happened. A file that is not as long as
// it was when it was synced comes from a disk that said it had synced and had not:
// it goes to quarantine, and the write, which was never acknowledged, back.
func (s *Store) forward(intent *layout.Intent, attribute *layout.Attribute, path string, old *objects.Meta, indexKey, intentKey []byte) (*reclaimEntry, error) {
	info, err := s.fs.Stat(path)
	if err != nil {
		return nil, err
	}
	if intent.Draft.Class != objects.Relaxed { // a relaxed one is verified next
		if info.Size != attribute.Size {
			torn := errs.E("store.forward", intent.Key, errs.Corrupt, fmt.Errorf("the file has %d bytes, its attribute says %d", info.Size, attribute.Size))
			if err := s.quarantine(intent.Key, intent.Payload, path, torn); err != nil {
				return nil, err
			}
			return nil, s.back(intent, old, intentKey)
		}
		if err := s.names.syncPath(path); err != nil {
			return nil, err
		}
	}
	meta := &objects.Meta{
		Generation: s.generations.Next(), Payload: intent.Payload, Where: objects.File,
		Size: attribute.Size, XXHash: attribute.XXHash, ETag: attribute.ETag, Checksums: attribute.Checksums,
		Modified: attribute.Modified, Draft: intent.Draft, Unsettled: s.shares,
	}
	if meta.Modified.IsZero() { // an attribute of an older release
		meta.Modified = info.Modified
	}
	meta.CountAfter(old)
	if intent.Kind == layout.IntentImport {
		if meta, err = layout.DecodeRecord(intent.Record); err != nil {
			return nil, err
		}
		meta.Path = ""
	}
	meta.Inode, meta.Birth = info.Inode, info.Birth
	if natural, ok := layout.NaturalPath(intent.Key.Bucket, intent.Key.Name); !ok || natural != path {
		meta.Path = path
	}
	batch := s.index.NewBatch()
	batch.Set(indexKey, layout.AppendRecord(nil, meta))
	s.recordOther(batch, objects.MutationRecovered, intent.Key, meta, &objects.Origin{Cause: objects.CauseCrash})
	if intent.Draft.Class == objects.Relaxed {
		s.addRelaxed(batch, intent.Key, meta)
	}
	written := *meta
	written.Class = intent.Draft.Class // of an import: synced, whatever it was before
	entry := s.retire(batch, intent.Key, old, &written)
	batch.Delete(intentKey)
	return entry, s.index.Commit(batch, indexKey)
}

// settlePart undoes a part that was on its way: its commit drops its intent, so
// no upload has it.
func (s *Store) settlePart(intent *layout.Intent) error {
	if err := absent(s.fs.Remove(layout.WorkPath(intent.Payload))); err != nil {
		return err
	}
	if err := s.undoPart(intent.Key, intent.UploadID, intent.Part, intent.Payload); err != nil {
		return err
	}
	return s.dropIntent(layout.IntentKey(nil, intent.Key.Bucket.ID, intent.Key.Name, intent.Payload))
}

// undoPart removes the file of a part that did not become one, durably: then its intent
// may go. Payloads that are moved keep their generation and so the names of their files;
// should an upload or the object here name that very file, as a rebuild around damage
// can leave it, it stays.
func (s *Store) undoPart(key objects.Key, uploadID string, number int, payload objects.Generation) error {
	named, err := s.namesPart(key, uploadID, number, payload)
	if err != nil || named {
		return err
	}
	return s.removePart(layout.PartPath(uploadID, number, payload))
}

// namesPart reports whether an upload under way or the object names the file of a part.
func (s *Store) namesPart(key objects.Key, uploadID string, number int, payload objects.Generation) (bool, error) {
	value, err := s.journal(layout.PartKey(nil, key.Bucket.ID, key.Name, uploadID, number))
	if err != nil {
		return false, err
	}
	if value != nil {
		if part, err := layout.DecodePart(value); err != nil || part.Payload == payload {
			return true, nil // of a damaged entry nobody knows: nothing is removed for it
		}
	}
	object, err := s.madeOf(key, uploadID)
	if err != nil || object == nil {
		return false, err
	}
	value, err = s.journal(layout.PayloadKey(nil, key.Bucket.ID, key.Name, object.Payload))
	if err != nil || value == nil {
		return value == nil, err
	}
	parts, err := layout.DecodeParts(value)
	return err != nil || slices.ContainsFunc(parts, func(p objects.Part) bool { return p.Number == number && p.Payload == payload }), nil
}

// removePart removes the file of a part that nothing names, and its directory if
// that leaves it empty, durably: then its intent may go.
func (s *Store) removePart(name string) error {
	for _, file := range []string{name, name + ".json"} { // its sidecar, if it has one
		if err := absent(s.fs.Remove(file)); err != nil {
			return err
		}
	}
	if err := absent(s.fs.SyncDir(path.Dir(name))); err != nil {
		return err
	}
	s.names.sweep(path.Dir(name), layout.PartsDir)
	return s.fs.SyncDir(layout.PartsDir)
}

// back undoes a write whose rename did not happen: the work file goes, and the
// link that the replaced file got in the trash goes too. Should the replaced
// file's own name have gone, it comes back from that link.
func (s *Store) back(intent *layout.Intent, old *objects.Meta, intentKey []byte) error {
	if err := absent(s.fs.Remove(layout.WorkPath(intent.Payload))); err != nil {
		return err
	}
	if !layout.DraftFits(&intent.Draft) {
		if err := s.removeSidecar(intent.Payload); err != nil {
			return err
		}
	}
	if intent.Draft.Class == objects.Relaxed {
		if err := s.clearTorn(intent, old); err != nil {
			return err
		}
	}
	if old != nil && !old.Deleted && old.Where == objects.File {
		if err := s.restore(payloadPath(intent.Key, old), layout.TrashPath(old.Payload)); err != nil {
			return err
		}
	}
	return s.dropIntent(intentKey)
}

// clearTorn removes what a relaxed write may have left under the object's names:
// its rename lasted, and its attribute did not. Whatever else is there has one.
func (s *Store) clearTorn(intent *layout.Intent, old *objects.Meta) error {
	for _, name := range s.candidates(intent, old) {
		torn, err := s.isTorn(name)
		if err != nil {
			return err
		}
		if !torn {
			continue
		}
		info, err := s.fs.Stat(name)
		if err != nil {
			return err
		}
		if old != nil && old.Where == objects.File && info.Inode == old.Inode && info.Birth == old.Birth {
			continue // the object's own file: damaged, and not this write's
		}
		if err := s.fs.Remove(name); err != nil {
			return err
		}
		if err := s.fs.SyncDir(path.Dir(name)); err != nil {
			return err
		}
	}
	return nil
}

// isTorn reports whether a file without our attribute is at a path.
func (s *Store) isTorn(name string) (bool, error) {
	attribute, err := s.attribute(name)
	if err != nil || attribute != nil {
		return false, err
	}
	info, err := s.fs.Stat(name)
	if err != nil {
		if isNoPayload(err) {
			return false, nil
		}
		return false, err
	}
	return info.Regular, nil
}

// restore makes sure that a payload is under its name, and not also in the trash.
func (s *Store) restore(name, trash string) error {
	kept, err := s.fs.Stat(trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	current, err := s.fs.Stat(name)
	switch {
	case err == nil && current.Inode == kept.Inode:
		if err := absent(s.fs.Remove(trash)); err != nil {
			return err
		}
		return s.fs.SyncDir(layout.TrashDir) // before the intent goes, which alone speaks of it
	case errors.Is(err, fs.ErrNotExist):
		renamed, err := s.names.receive(trash, name, true)
		if err != nil && renamed {
			return fmt.Errorf("%s was put back, but its directory cannot be synced: %w", name, err)
		}
		return err
	default:
		return err // nil: another payload has the name; the trash entry is some reclaim's
	}
}

func (s *Store) dropIntent(intentKey []byte) error {
	batch := s.index.NewBatch()
	batch.Delete(intentKey)
	return s.index.Commit(batch)
}

// emptyWork unlinks what is left in the work directory: with every intent
// settled, nothing names it.
func (s *Store) emptyWork() error {
	var names []string
	err := s.fs.ReadDir(layout.WorkDir, func(e disk.Entry) bool {
		names = append(names, e.Name)
		return true
	})
	if err != nil {
		return errs.E("store.emptyWork", kindOf(err), err)
	}
	for _, name := range names {
		if err := absent(s.fs.Remove(layout.WorkDir + "/" + name)); err != nil {
			return errs.E("store.emptyWork", kindOf(err), err)
		}
	}
	return nil
}
