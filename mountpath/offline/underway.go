package offline

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// standing says what the old index knows of the file of a part, the better the greater.
type standing int

const (
	// partGone: opening the mountpath removes the file.
	partGone standing = iota
	// partOnItsWay: an intent speaks of it, but the index is damaged, and may have lost
	// that it arrived.
	partOnItsWay
	// partThere: nothing speaks against it.
	partThere
)

// underWay is an upload that was never completed, as its files tell of it.
type underWay struct {
	key    objects.Key
	upload objects.Upload
	parts  []objects.Part // of one number there may be several
	// moving says that its parts were not sent by a client: they are those of an object
	// that was on its way here from another mountpath or node.
	moving bool
}

var (
	// errNoParts says that an upload's directory holds no part to tell it by.
	errNoParts = errors.New("it holds no part that says whose it is")
	// errMoving says that parts without a manifest were never an upload.
	errMoving = errors.New("they are parts of an object that was on its way here when the node ended; it is where it came from")
)

// underWay reads an upload that was never completed from the attributes of its
// parts. Initiated and the rest come from the first.
func (m *Mount) underWay(dir string, buckets Buckets) (*underWay, error) {
	entries, err := m.list(dir)
	if err != nil {
		return nil, err
	}
	var u *underWay
	for _, e := range entries {
		number, payload, err := layout.ParsePartName(e.Name)
		if err != nil || !e.Regular {
			continue
		}
		name := dir + "/" + e.Name
		attribute, err := m.readAttribute(name)
		if err != nil || attribute == nil || attribute.Payload != payload || attribute.PartNumber != number || layout.UploadDir(attribute.UploadID) != dir {
			continue // damaged, or on its way when the power went
		}
		info, err := m.FS.Stat(name)
		if err != nil || info.Size != attribute.Size {
			continue
		}
		if _, live := buckets.live(attribute.Key.Bucket.ID); !live {
			return nil, fmt.Errorf("bucket %s with id %s is gone", attribute.Key.Bucket.Name, attribute.Key.Bucket.ID)
		}
		if u == nil {
			draft, _ := m.draftOf(attribute)
			// An attribute that has no time at all is of an older release.
			u = &underWay{key: attribute.Key, moving: attribute.Initiated.IsZero() && !attribute.Modified.IsZero()}
			u.upload = objects.Upload{ID: attribute.UploadID, Name: u.key.Name, Initiated: attribute.Initiated, Checksum: attribute.Wanted, Draft: draft}
			if u.upload.Initiated.IsZero() {
				u.upload.Initiated = info.Modified.UTC()
			}
		}
		part := objects.Part{
			Number: number, Payload: payload, Size: attribute.Size, XXHash: attribute.XXHash, ETag: attribute.ETag,
			Checksums: attribute.Checksums, Modified: attribute.Modified,
		}
		if part.Modified.IsZero() {
			part.Modified = info.Modified.UTC()
		}
		u.parts = append(u.parts, part)
	}
	if u == nil {
		return nil, errNoParts
	}
	return u, nil
}

// standing says what opening the mountpath will do with the file of a part.
func (r *rebuilding) standing(key objects.Key, payload objects.Generation) (standing, error) {
	reclaim, err := r.builder.get(layout.ReclaimKey(nil, key.Bucket.ID, key.Name, payload))
	switch {
	case err != nil || reclaim != nil:
		return partGone, err
	case !r.unsettled[payload]:
		return partThere, nil
	case r.result.Old == OldDamaged:
		return partOnItsWay, nil
	default:
		return partGone, nil
	}
}

// choose returns the parts of an upload: of each number, that of the best standing, and
// of those the newest.
func (r *rebuilding) choose(u *underWay) ([]objects.Part, error) {
	type choice struct {
		objects.Part
		standing
	}
	best := make(map[int]choice)
	for _, p := range u.parts {
		stands, err := r.standing(u.key, p.Payload)
		if err != nil {
			return nil, err
		}
		have := best[p.Number]
		if stands > have.standing || stands == have.standing && stands > partGone && have.Payload.Compare(p.Payload) < 0 {
			best[p.Number] = choice{p, stands}
		}
	}
	parts := make([]objects.Part, 0, len(best))
	for _, c := range best {
		parts = append(parts, c.Part)
	}
	return parts, nil
}

// uploadUnderWay restores an upload that was not completed, or those of its parts
// that a damaged index has lost. Files that opening the mountpath removes are none of
// its parts: they were on their way when the node ended, or replaced by others.
func (r *rebuilding) uploadUnderWay(dir string, manifested bool) error {
	if r.imports[dir] {
		return nil // an object is here when its manifest is; opening the mountpath removes what came of it
	}
	u, err := r.mount.underWay(dir, r.Buckets)
	if errors.Is(err, errNoParts) && r.expected[dir] {
		return nil
	}
	if err == nil && u.moving && !manifested {
		err = errMoving
	}
	if err != nil {
		f := Finding{Level: Orphan, Kind: "upload not restored", Path: layout.Text(dir), Detail: err.Error()}
		if u != nil {
			f = f.of(u.key)
		}
		r.found(f)
		return nil
	}
	parts, err := r.choose(u)
	if err != nil || len(parts) == 0 {
		return err
	}
	id, name := u.key.Bucket.ID, u.key.Name
	uploadKey := layout.UploadKey(nil, id, name, u.upload.ID)
	have, err := r.builder.get(uploadKey)
	if err != nil || have != nil && r.result.Old == OldWhole {
		return err // the old index had it, with its parts
	}
	if completed, err := r.isCompleted(id, name, u.upload.ID); err != nil || completed {
		return err // its manifest is damaged, and the old index has the record
	}
	if have == nil {
		if err := r.builder.put(uploadKey, layout.AppendUpload(nil, &u.upload)); err != nil {
			return err
		}
		r.result.Uploads++
	}
	for i := range parts {
		r.sees(parts[i].Payload)
		partKey := layout.PartKey(nil, id, name, u.upload.ID, parts[i].Number)
		if have, err := r.builder.get(partKey); err != nil {
			return err
		} else if have != nil {
			continue
		}
		if err := r.builder.put(partKey, layout.AppendPart(nil, &parts[i])); err != nil {
			return err
		}
		r.result.Parts++
	}
	return nil
}

// isCompleted reports whether the object in the new index is what an upload became.
func (r *rebuilding) isCompleted(id objects.BucketID, name, uploadID string) (bool, error) {
	value, err := r.builder.get(layout.ObjectKey(nil, id, name))
	if err != nil || value == nil {
		return false, err
	}
	meta, err := layout.DecodeRecord(value)
	return err == nil && !meta.Deleted && meta.Where == objects.Chunks && meta.Path == uploadID, err
}
