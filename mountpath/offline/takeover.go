package offline

import (
	"errors"
	"fmt"
	"io"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// takeOver copies what the old index yields and the files agree with.
func (r *rebuilding) takeOver(old string) error {
	there, err := r.mount.exists(old)
	switch {
	case err != nil:
		return err
	case !there:
		r.result.Old = OldAbsent
		return nil
	case r.IgnoreOld:
		r.result.Old = OldIgnored
		return nil
	}
	look := &Mount{FS: disk.View(r.mount.FS), Name: r.mount.Name}
	damaged := false
	catalog, err := look.openCatalog(old, r.Log, func(lower, upper []byte, err error) {
		damaged = true
		r.result.Ranges++
		r.found(Finding{Level: Fault, Kind: "index damaged", Path: layout.Text(old), Detail: fmt.Sprintf("keys from %.80q to %.80q: %v", lower, upper, err)})
	})
	if errs.Is(errs.NotFound, err) {
		r.result.Old = OldAbsent
		return nil
	}
	if err != nil {
		r.result.Old, r.result.OldReason = OldUnreadable, err.Error()
		return nil
	}
	t := &takingOver{rebuilding: r, catalog: catalog}
	// Reclaim entries and intents first: they say what files are not.
	for _, kind := range []byte{layout.KindReclaim, layout.KindIntent, layout.KindJournal, layout.KindObject, layout.KindVersion, layout.KindUpload} {
		if err := catalog.each([]byte{kind}, []byte{kind + 1}, t.entry); err != nil {
			return errors.Join(err, catalog.close())
		}
	}
	r.result.Old = OldWhole
	if damaged || t.broken > 0 {
		r.result.Old = OldDamaged
	}
	if err := catalog.close(); err != nil && r.result.Old == OldWhole {
		return err
	}
	return nil
}

// takingOver is the reading of the old index.
type takingOver struct {
	*rebuilding
	catalog *catalog
	broken  int // entries that cannot be read
}

// entry takes over one entry.
func (t *takingOver) entry(key, value []byte, err error) error {
	if err == nil {
		err = t.take(key, value)
	}
	var refused *refusal
	if errors.As(err, &refused) {
		t.broken++
		t.found(Finding{Level: Fault, Kind: "index entry damaged", Detail: fmt.Sprintf("%.120q: %v", key, refused.err)})
		return nil
	}
	if err != nil && value == nil {
		t.broken++
		t.found(Finding{Level: Fault, Kind: "index entry damaged", Detail: fmt.Sprintf("%.120q: %v", key, err)})
		return nil
	}
	return err
}

// refusal is an entry that cannot be used, as against a new index that cannot be
// written.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (t *takingOver) take(key, value []byte) error {
	switch key[0] {
	case layout.KindReclaim:
		reclaim, err := layout.DecodeReclaim(value)
		if err != nil {
			return &refusal{err}
		}
		if reclaim.UploadID != "" {
			t.expected[layout.UploadDir(reclaim.UploadID)] = true
		}
		if reclaim.Kind == layout.ReclaimUpload {
			t.retired[layout.UploadDir(reclaim.UploadID)] = true
		}
		if reclaim.Previous != nil { // what a relaxed write replaced, and may have to give back
			payloadKey := layout.PayloadKey(nil, reclaim.Bucket, reclaim.Name, reclaim.Payload)
			if payload, err := t.catalog.get(payloadKey); err == nil && payload != nil {
				if err := t.builder.put(payloadKey, payload); err != nil {
					return err
				}
			}
		}
	case layout.KindIntent:
		intent, err := layout.DecodeIntent(value)
		if err != nil {
			return &refusal{err}
		}
		t.unsettled[intent.Payload] = true
		if intent.UploadID != "" {
			dir := layout.UploadDir(intent.UploadID)
			t.expected[dir] = true
			t.imports[dir] = t.imports[dir] || intent.Kind == layout.IntentImportPart
		}
	case layout.KindObject:
		return t.object(key, value)
	case layout.KindVersion:
		return t.version(key, value)
	case layout.KindUpload:
		return t.upload(key, value)
	}
	return t.builder.put(key, value)
}

// object takes over a record if its payload is there.
func (t *takingOver) object(recordKey, value []byte) error {
	id, name, err := layout.ParseObjectKey(recordKey)
	if err != nil {
		return &refusal{err}
	}
	meta, err := layout.DecodeRecord(value)
	if err != nil {
		return &refusal{err}
	}
	t.sees(meta.Generation)
	bucket, live := t.Buckets.live(id)
	key := objects.Key{Bucket: bucket, Name: name}
	if !live {
		key.Bucket.ID = id
		t.found(Finding{Level: Orphan, Kind: "of no bucket", Detail: "a record of a bucket that is gone"}.of(key))
		return nil
	}
	payloadKey := layout.PayloadKey(nil, id, name, meta.Payload)
	switch {
	case meta.Deleted:
		return t.builder.put(recordKey, value)
	case meta.Where == objects.Inline:
		payload, err := t.catalog.get(payloadKey)
		if err == nil && (payload == nil || int64(len(payload)) != meta.Size || xxhash.Checksum64(payload) != meta.XXHash) {
			err = errors.New("the payload is not what the record says")
		}
		if err != nil {
			t.broken++
			t.result.InlineLost++
			t.found(Finding{Level: Fault, Kind: "inline object lost", Detail: err.Error()}.of(key))
			return nil
		}
		if err := t.builder.put(payloadKey, payload); err != nil {
			return err
		}
		t.result.Inline++
	case meta.Where == objects.File:
		holds, err := t.holds(recordPath(key, meta), meta)
		if err != nil {
			t.found(Finding{Level: Fault, Kind: "file object lost", Detail: err.Error()}.of(key))
			return nil // counted with the files
		}
		if !holds {
			opened, err := t.isForOpening(key, meta)
			if err != nil {
				return err
			}
			if opened {
				return t.builder.put(recordKey, value)
			}
			t.result.FilesLost++
			t.found(Finding{Level: Fault, Kind: "file object lost", Path: layout.Text(recordPath(key, meta)), Detail: "the file is not there, or another's"}.of(key))
			return nil
		}
		if reclaimed, err := t.isReclaimed(key, meta); err != nil || reclaimed {
			return err
		}
		t.result.Files++
	case meta.Where == objects.Chunks:
		parts, err := t.parts(key, meta, payloadKey)
		if err != nil {
			t.broken++
			t.found(Finding{Level: Fault, Kind: "part table lost", Detail: err.Error()}.of(key))
			return nil // the manifest may still make it
		}
		if reclaimed, err := t.isReclaimed(key, meta); err != nil || reclaimed {
			return err
		}
		if err := t.builder.put(payloadKey, layout.AppendParts(nil, parts)); err != nil {
			return err
		}
		t.result.Chunked++
	default:
		return &refusal{fmt.Errorf("the payload is at %d", meta.Where)}
	}
	t.result.FromIndex++
	return t.builder.put(recordKey, value)
}

// isReclaimed reports whether an object whose payload is whole where it belongs was
// deleted all the same. A record and a reclaim entry of one payload contradict each
// other: damage has lost that one of them was taken back. Payloads that were moved away
// and came back have both; only where a mark says that the entry is the later does it
// stay, and take the payload when the mountpath is opened.
func (t *takingOver) isReclaimed(key objects.Key, meta *objects.Meta) (bool, error) {
	reclaimKey := layout.ReclaimKey(nil, key.Bucket.ID, key.Name, meta.Payload)
	if entry, err := t.builder.get(reclaimKey); err != nil || entry == nil {
		return false, err
	}
	t.broken++
	if meta.Where == objects.Chunks {
		if marked, err := t.mount.exists(layout.RetiredPath(meta.Path)); err != nil || marked {
			t.found(Finding{Level: Fault, Kind: "record of a deleted object", Detail: fmt.Sprintf("payload %s is to be reclaimed", meta.Payload)}.of(key))
			return true, err
		}
		delete(t.retired, layout.UploadDir(meta.Path))
	}
	t.found(Finding{Level: Fault, Kind: "reclaim entry of an object", Detail: fmt.Sprintf("payload %s is where the object has it", meta.Payload)}.of(key))
	return false, t.builder.drop(reclaimKey)
}

// recordPath is the path of the payload file of a record.
func recordPath(key objects.Key, meta *objects.Meta) string {
	if meta.Path != "" {
		return meta.Path
	}
	natural, _ := layout.NaturalPath(key.Bucket, key.Name)
	return natural
}

// holds reports whether a file is the payload of a record.
func (t *takingOver) holds(name string, meta *objects.Meta) (bool, error) {
	attribute, err := t.mount.readAttribute(name)
	if err != nil || attribute == nil || attribute.Payload != meta.Payload {
		return false, err
	}
	info, err := t.mount.FS.Stat(name)
	if err != nil {
		return false, err
	}
	if info.Size != meta.Size && meta.Class != objects.Relaxed { // a relaxed one is judged by its journal when the mountpath opens
		return false, fmt.Errorf("the file has %d bytes, the record says %d", info.Size, meta.Size)
	}
	if t.Verify && meta.Class != objects.Relaxed {
		o := &Object{Key: attribute.Key, Meta: *meta, mount: t.mount, path: name}
		if _, err := o.WriteTo(io.Discard); err != nil {
			return false, err
		}
	}
	return true, nil
}

// isForOpening reports whether opening the mountpath will judge a record whose
// file is not there: an intent of the key is open, and the file may be in the
// trash; or the write was relaxed and is in the journal.
func (t *takingOver) isForOpening(key objects.Key, meta *objects.Meta) (bool, error) {
	journal, err := t.builder.get(layout.RelaxedKey(meta.Generation, key.Bucket.ID, key.Name))
	if err != nil || journal != nil {
		return journal != nil, err
	}
	open := false
	lower, upper := layout.NameBounds(layout.KindIntent, key.Bucket.ID, key.Name)
	err = t.catalog.each(lower, upper, func([]byte, []byte, error) error { open = true; return nil })
	return open, err
}

// parts reads the part table of a record and looks at the files.
func (t *takingOver) parts(key objects.Key, meta *objects.Meta, payloadKey []byte) ([]objects.Part, error) {
	value, err := t.catalog.get(payloadKey)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, errors.New("it is not there")
	}
	parts, err := layout.DecodeParts(value)
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if err := t.mount.checkPart(key, meta.Path, &parts[i]); err != nil {
			return nil, err
		}
	}
	if t.Verify {
		o := &Object{Key: key, Meta: *meta, mount: t.mount, parts: parts}
		if _, err := o.WriteTo(io.Discard); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// version takes over the record of a noncurrent version or a delete marker.
func (t *takingOver) version(key, value []byte) error {
	id, name, _, err := layout.ParseVersionKey(key)
	if err != nil {
		return &refusal{err}
	}
	meta, err := layout.DecodeRecord(value)
	if err != nil {
		return &refusal{err}
	}
	bucket, live := t.Buckets.live(id)
	if !live {
		return nil
	}
	t.sees(meta.Generation)
	if !meta.Deleted && meta.Where == objects.File {
		if holds, err := t.holds(recordPath(objects.Key{Bucket: bucket, Name: name}, meta), meta); err != nil || !holds {
			t.found(Finding{Level: Fault, Kind: "version lost", Detail: fmt.Sprint(err)}.of(objects.Key{Bucket: bucket, Name: name}))
			return nil
		}
	}
	payloadKey := layout.PayloadKey(nil, id, name, meta.Payload)
	if payload, err := t.catalog.get(payloadKey); err == nil && payload != nil {
		if err := t.builder.put(payloadKey, payload); err != nil {
			return err
		}
	}
	t.result.Versions++
	t.result.FromIndex++
	return t.builder.put(key, value)
}

// upload takes over an upload under way, and the parts whose files are there.
func (t *takingOver) upload(key, value []byte) error {
	id, name, uploadID, number, err := layout.ParseUploadKey(key)
	if err != nil {
		return &refusal{err}
	}
	bucket, live := t.Buckets.live(id)
	if !live {
		return nil
	}
	if completed, err := t.isCompleted(id, name, uploadID); err != nil || completed {
		return err // damage has lost that it was completed
	}
	if number == 0 {
		if _, err := layout.DecodeUpload(value); err != nil {
			return &refusal{err}
		}
		t.result.Uploads++
		return t.builder.put(key, value)
	}
	part, err := layout.DecodePart(value)
	if err != nil {
		return &refusal{err}
	}
	t.sees(part.Payload)
	if err := t.mount.checkPart(objects.Key{Bucket: bucket, Name: name}, uploadID, part); err != nil {
		t.found(Finding{Level: Fault, Kind: "part lost", Detail: err.Error()}.of(objects.Key{Bucket: bucket, Name: name}))
		return nil
	}
	t.result.Parts++
	return t.builder.put(key, value)
}
