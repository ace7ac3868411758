package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What was found damaged is noted by the generation of its payload, which names bytes that
// never change. From then on nothing of it is given out: in memory at once, and on the disk
// before anything else is done about it. Its file is put aside in the key's turn. It ends
// when nothing names the payload any more.

const (
	// leastDamage and damagePart bound what is put aside: when more payloads are damaged,
	// and more than one in so many, it is the disk, and everything stays where it is.
	leastDamage = 8
	damagePart  = 100
)

// damages are the payloads of a store that are damaged. Safe for concurrent use.
type damages struct {
	number atomic.Int64 // of them, so that nobody looks further while there are none

	mu   sync.Mutex
	list map[objects.Generation]*damage
}

// damage is one of them.
type damage struct {
	layout.Damage
	noted bool         // the index has it
	meta  objects.Meta // for its entry in the history; zero: there is none
	tries int          // to put it aside
}

// foundDamages are those that could not be noted yet: should the index die of it, the next
// store knows them. Safe for concurrent use; the zero value is ready.
type foundDamages struct {
	mu   sync.Mutex
	list map[objects.Generation]*damage
}

func (f *foundDamages) add(d *damage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list == nil {
		f.list = make(map[objects.Generation]*damage)
	}
	f.list[d.Payload] = d
}

func (f *foundDamages) remove(payload objects.Generation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.list, payload)
}

// into adds what was found and not noted to a list.
func (f *foundDamages) into(list map[objects.Generation]*damage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for payload, d := range f.list {
		if list[payload] == nil {
			list[payload] = &damage{Damage: d.Damage, meta: d.meta}
		}
	}
}

// openDamage reads what was found in earlier lives. An entry that is damaged itself is told.
func (s *Store) openDamage() error {
	s.damages.list = make(map[objects.Generation]*damage)
	lower, upper := layout.DamageBounds()
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return errs.E("store.openDamage", err)
	}
	for scan.Next() {
		value, err := scan.Value()
		var d *layout.Damage
		if err == nil {
			d, err = layout.DecodeDamage(value)
		}
		if err != nil {
			s.log.WithError(err).Error("what is known of a damaged payload is damaged itself; it is found anew")
			continue
		}
		s.damages.list[d.Payload] = &damage{Damage: *d, noted: true}
	}
	s.lifetime.found.into(s.damages.list)
	s.damages.number.Store(int64(len(s.damages.list)))
	err = errors.Join(scan.Err(), scan.Close())
	if errs.Is(errs.Corrupt, err) {
		s.log.WithError(err).Error("what is known of damaged payloads is damaged itself; it is found anew")
		return nil
	}
	return errs.Wrap("store.openDamage", err)
}

// intact fails if a payload is known to be damaged: errs.Corrupt.
func (s *Store) intact(key objects.Key, payload objects.Generation) error {
	if s.damages.number.Load() == 0 {
		return nil
	}
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	d := s.damages.list[payload]
	if d == nil {
		return nil
	}
	what := "its payload"
	if d.Part > 0 {
		what = fmt.Sprintf("part %d of its payload", d.Part)
	}
	return errs.E("store.intact", key, errs.Corrupt, fmt.Errorf("%s was found damaged at %s and is not given out: %s", what, d.Found.UTC().Format("2006-01-02T15:04:05Z"), d.Reason))
}

// intactWhole fails if a record's payload, or one of its parts, is known to be damaged.
func (s *Store) intactWhole(key objects.Key, meta *objects.Meta) error {
	if s.damages.number.Load() == 0 || meta.Deleted {
		return nil
	}
	if err := s.intact(key, meta.Payload); err != nil || meta.Where != objects.Chunks {
		return err
	}
	parts, err := s.partTable(key, meta)
	if err != nil {
		return err
	}
	return s.intactParts(key, parts)
}

func (s *Store) intactParts(key objects.Key, parts []objects.Part) error {
	if s.damages.number.Load() == 0 {
		return nil
	}
	for i := range parts {
		if err := s.intact(key, parts[i].Payload); err != nil {
			return err
		}
	}
	return nil
}

// isDamaged reports whether a payload is known to be damaged.
func (s *Store) isDamaged(payload objects.Generation) bool {
	return s.intact(objects.Key{}, payload) != nil
}

// foundDamage notes a finding: from now on nothing of the payload is given out, whether it
// can be made durable at once or not.
func (s *Store) foundDamage(d layout.Damage, meta *objects.Meta) {
	one := &damage{Damage: d}
	if meta != nil {
		one.meta = *meta
	}
	s.lifetime.found.add(one)
	s.forgetMembers(d.Payload) // it may have been made of what is damaged
	s.damages.mu.Lock()
	if s.damages.list[d.Payload] == nil {
		s.damages.list[d.Payload] = one
		s.damages.number.Add(1)
	}
	s.damages.mu.Unlock()
	if err := s.noteDamage(); err != nil {
		s.log.WithError(err).WithField("key", d.Key.String()).Error("a damaged payload cannot be noted now; nothing of it is given out, and it is tried again")
	}
}

// noteDamage makes durable what was found and is not yet. What cannot be stays as it is.
func (s *Store) noteDamage() error {
	s.damages.mu.Lock()
	var open []*damage
	for _, d := range s.damages.list {
		if !d.noted {
			open = append(open, d)
		}
	}
	s.damages.mu.Unlock()
	if len(open) == 0 {
		return nil
	}
	batch := s.index.NewBatch()
	for _, d := range open {
		batch.Set(layout.DamageKey(d.Payload), layout.AppendDamage(nil, &d.Damage))
		if !d.meta.Generation.IsZero() {
			s.recordOther(batch, objects.MutationDamaged, d.Key, &d.meta, &objects.Origin{Cause: objects.CauseDamage})
		}
	}
	if err := s.index.Commit(batch); err != nil {
		return errs.E("store.noteDamage", err)
	}
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	for _, d := range open {
		d.noted = true
		s.lifetime.found.remove(d.Payload)
	}
	return nil
}

// Overrun says why nothing is put aside any more: too much is damaged; empty: it is not.
func (s *Store) Overrun() string {
	number := s.damages.number.Load()
	if number <= leastDamage {
		return ""
	}
	payloads := s.scrub.payloads()
	if number <= payloads/damagePart {
		return ""
	}
	return fmt.Sprintf("%d of some %d payloads were found damaged: they stay where they are and are not given out, and no more are looked for", number, max(payloads, number))
}

// ToPutAside returns the key and the payload of a file that is to be put aside; false:
// there is none, or nothing is put aside any more.
func (s *Store) ToPutAside() (key objects.Key, payload objects.Generation, ok bool) {
	if s.damages.number.Load() == 0 || s.Overrun() != "" {
		return key, payload, false
	}
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	var next *damage
	for _, d := range s.damages.list {
		if d.noted && d.Path == "" && (next == nil || d.tries < next.tries) {
			next = d
		}
	}
	if next == nil || next.tries >= scrubTries {
		return key, payload, false
	}
	next.tries++
	return next.Key, next.Payload, true
}

// reasonGone is why a payload is damaged of which there is no file. Whoever looked was not in
// the key's turn, where one may be found after all.
const reasonGone = "the payload that the record names is not there"

// PutAside moves the file of a damaged payload to the quarantine, if the key still has it.
// In the key's turn.
func (s *Store) PutAside(key objects.Key, payload objects.Generation) error {
	const op errs.Op = "store.PutAside"
	s.damages.mu.Lock()
	d := s.damages.list[payload]
	s.damages.mu.Unlock()
	if d == nil || !d.noted || d.Path != "" || s.Overrun() != "" {
		return nil
	}
	named, path, err := s.namesDamaged(&d.Damage)
	switch {
	case err != nil:
		return failed(op, key, err)
	case !named:
		return s.endDamage(payload)
	case path != "" && d.Reason == reasonGone:
		if _, err := s.fs.Stat(path); err == nil { // a write was taken back that hung over its name
			return s.endDamage(payload)
		}
	case path == "":
		return nil // it lies in the index, which has no file of its own for it
	}
	if err := s.quarantine(key, payload, path, errors.New(d.Reason)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return s.notePath(d, path) // it was put aside, and the node stopped; or it has gone otherwise
		}
		s.diskError(key, err)
		return failed(op, key, err)
	}
	return s.notePath(d, path)
}

// notePath notes where the file of a damaged payload was.
func (s *Store) notePath(d *damage, path string) error {
	s.damages.mu.Lock()
	next := d.Damage
	s.damages.mu.Unlock()
	next.Path = path
	batch := s.index.NewBatch()
	batch.Set(layout.DamageKey(d.Payload), layout.AppendDamage(nil, &next))
	if err := s.index.Commit(batch); err != nil {
		return failed("store.PutAside", d.Key, err) // it is tried again: there is no file by then
	}
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	d.Path = path
	return nil
}

// namesDamaged reports whether anything names a damaged payload still, and where its file
// is, if it is in one that holds it.
func (s *Store) namesDamaged(d *layout.Damage) (named bool, path string, err error) {
	meta, err := s.current("store.namesDamaged", d.Key, objectKey(d.Key))
	if err != nil {
		return false, "", err
	}
	if meta != nil && !meta.Deleted {
		if meta.Payload == d.Payload {
			if meta.Where != objects.File {
				return true, "", nil
			}
			path = payloadPath(d.Key, meta)
			info, err := s.fs.Stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				return true, path, nil
			}
			if err != nil {
				return true, "", err
			}
			holds := info.Inode == meta.Inode && info.Birth == meta.Birth
			if !holds {
				holds, err = s.holds(path, d.Payload)
			}
			if !holds { // another file is there: it is not touched
				path = ""
			}
			return true, path, err
		}
		if meta.Where == objects.Chunks && d.Part > 0 {
			parts, err := s.partTable(d.Key, meta)
			if err != nil {
				return true, "", err
			}
			if slices.ContainsFunc(parts, func(p objects.Part) bool { return p.Payload == d.Payload }) {
				return true, layout.PartPath(meta.Path, d.Part, d.Payload), nil
			}
		}
	}
	if d.UploadID == "" {
		return false, "", nil
	}
	value, err := s.index.Get(layout.PartKey(nil, d.Key.Bucket.ID, d.Key.Name, d.UploadID, d.Part))
	if errs.Is(errs.NotFound, err) {
		return false, "", nil
	}
	if err != nil {
		return true, "", err
	}
	defer value.Close()
	part, err := layout.DecodePart(value.Bytes)
	if err != nil {
		return true, "", err
	}
	return part.Payload == d.Payload, layout.PartPath(d.UploadID, d.Part, d.Payload), nil
}

// endDamage forgets a payload that nothing names any more, and what was put aside of it.
func (s *Store) endDamage(payload objects.Generation) error {
	batch := s.index.NewBatch()
	batch.Delete(layout.DamageKey(payload))
	if err := s.index.Commit(batch); err != nil {
		return errs.E("store.endDamage", err)
	}
	return s.damageEnded(payload)
}

// damageEnded is endDamage once the index has it.
func (s *Store) damageEnded(payload objects.Generation) error {
	s.damages.mu.Lock()
	if s.damages.list[payload] != nil {
		delete(s.damages.list, payload)
		s.damages.number.Add(-1)
	}
	s.damages.mu.Unlock()
	s.lifetime.found.remove(payload)
	return errors.Join(s.fsAbsent(layout.QuarantinePath(payload)), s.fsAbsent(layout.ReasonPath(payload)))
}

// forgetFormer forgets that an earlier copy of what an import brings was found damaged here,
// unless something names it still.
func (s *Store) forgetFormer(op errs.Op, key objects.Key, i *Import) error {
	if s.damages.number.Load() == 0 {
		return nil
	}
	var payloads []objects.Generation
	if i.meta != nil {
		payloads = append(payloads, i.meta.Payload)
	}
	for n := range i.parts {
		payloads = append(payloads, i.parts[n].Payload)
	}
	for _, payload := range payloads {
		s.damages.mu.Lock()
		var former layout.Damage
		d := s.damages.list[payload]
		if d != nil {
			former = d.Damage
		}
		s.damages.mu.Unlock()
		if d == nil {
			continue
		}
		named, _, err := s.namesDamaged(&former)
		if err == nil && !named {
			err = s.endDamage(payload)
		}
		if err != nil {
			return failed(op, key, err)
		}
	}
	return nil
}

// KeepDamage makes durable what was found, and forgets what nothing names any more. Blocks
// on the disk.
func (s *Store) KeepDamage() error {
	if s.readOnly || s.damages.number.Load() == 0 {
		return nil
	}
	if err := s.noteDamage(); err != nil {
		return err
	}
	var failures []error
	for _, d := range s.damages.all() {
		named, _, err := s.namesDamaged(&d)
		if err == nil && !named {
			err = s.endDamage(d.Payload)
		}
		if err != nil && !errs.Is(errs.Busy, err) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func (d *damages) all() []layout.Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]layout.Damage, 0, len(d.list))
	for _, one := range d.list {
		list = append(list, one.Damage)
	}
	return list
}

// Damaged returns how many payloads are damaged now, and limit of them at most, those found
// first.
func (s *Store) Damaged(limit int) (number int64, list []messages.ScrubFinding) {
	all := s.damages.all()
	slices.SortFunc(all, func(a, b layout.Damage) int { return a.Found.Compare(b.Found) })
	for _, d := range all[:min(limit, len(all))] {
		list = append(list, messages.ScrubFinding{
			Key: d.Key, UploadID: d.UploadID, Part: d.Part, Payload: d.Payload, Reason: d.Reason, At: d.Found, Path: d.Path,
		})
	}
	return int64(len(all)), list
}
