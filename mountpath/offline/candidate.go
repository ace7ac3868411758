package offline

import (
	"fmt"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// candidate looks at a file under a bucket's directory. It returns the object
// that the file says it is, nil if it is none, with what is wrong with it.
func (m *Mount) candidate(name string, buckets Buckets) (*Object, *Finding) {
	wrong := func(level Level, kind, format string, args ...any) *Finding {
		return &Finding{Level: level, Kind: kind, Mountpath: m.Name, Path: layout.Text(name), Detail: fmt.Sprintf(format, args...)}
	}
	attribute, err := m.readAttribute(name)
	switch {
	case err != nil:
		return nil, wrong(Fault, "unreadable attribute", "%v", err)
	case attribute == nil:
		return nil, wrong(Orphan, "not a payload", "it has no attribute: nobody's object")
	}
	key := attribute.Key
	natural, ok := layout.NaturalPath(key.Bucket, key.Name)
	named := func(f *Finding) *Finding { f2 := f.of(key); return &f2 }
	switch {
	case attribute.PartNumber > 0 || !attribute.SupersededBy.IsZero(),
		(!ok || natural != name) && layout.EscapedPath(key.Bucket, key.Name) != name:
		return nil, named(wrong(Fault, "misplaced", "its attribute says that it is another's: it was moved or copied by hand"))
	}
	if _, live := buckets.live(key.Bucket.ID); !live {
		return nil, named(wrong(Orphan, "of no bucket", "bucket %s with id %s is gone", key.Bucket.Name, key.Bucket.ID))
	}
	info, err := m.FS.Stat(name)
	switch {
	case err != nil:
		return nil, named(wrong(Fault, "unreadable", "%v", err))
	case info.Size != attribute.Size:
		return nil, named(wrong(Fault, "wrong size", "%d bytes, its attribute says %d", info.Size, attribute.Size))
	}
	o := m.fileObject(name, attribute, info)
	if natural == name {
		o.Meta.Path = ""
	}
	if _, found := m.draftOf(attribute); !found {
		return o, named(wrong(Fault, "sidecar lost", "its headers, user metadata and tags are gone"))
	}
	return o, nil
}

// fileObject makes the object that a file with that attribute is.
func (m *Mount) fileObject(name string, attribute *layout.Attribute, info disk.Info) *Object {
	o := &Object{Key: attribute.Key, mount: m, path: name}
	o.Meta = objects.Meta{
		Generation: attribute.Payload, Payload: attribute.Payload, Where: objects.File, Path: name, Inode: info.Inode, Birth: info.Birth,
		Size: attribute.Size, XXHash: attribute.XXHash, ETag: attribute.ETag, Checksums: attribute.Checksums, Modified: attribute.Modified,
	}
	if o.Meta.Modified.IsZero() {
		o.Meta.Modified = info.Modified.UTC()
	}
	o.Meta.Draft, _ = m.draftOf(attribute)
	return o
}

// completed looks at the manifest of an upload's directory. It returns the object
// that its parts are; nil if there is no manifest, with a finding if there is one
// that cannot be trusted or whose parts are not all there.
func (m *Mount) completed(dir string, buckets Buckets) (*Object, *layout.Manifest, *Finding) {
	name := dir + "/manifest.json"
	wrong := func(level Level, kind, format string, args ...any) *Finding {
		return &Finding{Level: level, Kind: kind, Mountpath: m.Name, Path: layout.Text(name), Detail: fmt.Sprintf(format, args...)}
	}
	if there, err := m.exists(name); err != nil || !there {
		if err != nil {
			return nil, nil, wrong(Fault, "unreadable", "%v", err)
		}
		return nil, nil, nil
	}
	content, err := m.readFile(name, maxManifestBytes)
	var manifest *layout.Manifest
	if err == nil {
		manifest, err = layout.DecodeManifest(content)
	}
	if err == nil && layout.UploadDir(manifest.UploadID) != dir {
		err = fmt.Errorf("it is that of upload %s", manifest.UploadID)
	}
	if err != nil {
		return nil, nil, wrong(Fault, "manifest damaged", "%v", err)
	}
	named := func(f *Finding) *Finding { f2 := f.of(manifest.Key); return &f2 }
	if _, live := buckets.live(manifest.Key.Bucket.ID); !live {
		return nil, manifest, named(wrong(Orphan, "of no bucket", "bucket %s with id %s is gone", manifest.Key.Bucket.Name, manifest.Key.Bucket.ID))
	}
	for i := range manifest.Parts {
		if err := m.checkPart(manifest.Key, manifest.UploadID, &manifest.Parts[i]); err != nil {
			return nil, manifest, named(wrong(Fault, "part damaged", "%v", err))
		}
	}
	o := &Object{Key: manifest.Key, mount: m, parts: manifest.Parts}
	o.Meta = objects.Meta{
		Generation: manifest.Payload, Payload: manifest.Payload, Where: objects.Chunks, Path: manifest.UploadID, Size: manifest.Size, XXHash: manifest.XXHash,
		ETag: manifest.ETag, Checksums: manifest.Checksums, Modified: manifest.Modified, PartCount: len(manifest.Parts), Draft: manifest.Draft,
	}
	o.Meta.PartSize = partSize(manifest.Parts)
	return o, manifest, nil
}

// maxManifestBytes bounds what is read of a manifest: 10,000 parts with every
// checksum take less than 10 MB.
const maxManifestBytes = 64 << 20

// readFile reads a file of at most so many bytes.
func (m *Mount) readFile(name string, limit int64) ([]byte, error) {
	file, err := m.FS.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size > limit {
		return nil, fmt.Errorf("%d bytes, at most %d", info.Size, limit)
	}
	content := make([]byte, info.Size)
	if n, err := file.ReadAt(content, 0); n < len(content) {
		return nil, err
	}
	return content, nil
}

// partSize is the size of every part but the last, 0 where they differ.
func partSize(parts []objects.Part) int64 {
	for i := range parts[:max(len(parts)-1, 0)] {
		if parts[i].Size != parts[0].Size {
			return 0
		}
	}
	if len(parts) == 0 {
		return 0
	}
	return parts[0].Size
}

// checkPart says why the file of a part is not what is wanted of it.
func (m *Mount) checkPart(key objects.Key, uploadID string, part *objects.Part) error {
	name := layout.PartPath(uploadID, part.Number, part.Payload)
	attribute, err := m.readAttribute(name)
	if err != nil {
		return fmt.Errorf("part %d: %w", part.Number, err)
	}
	info, err := m.FS.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("part %d: %w", part.Number, err)
	case attribute == nil:
		return fmt.Errorf("part %d has no attribute", part.Number)
	case attribute.Payload != part.Payload || attribute.UploadID != uploadID || attribute.PartNumber != part.Number || attribute.Key != key:
		return fmt.Errorf("part %d: its attribute says that it is part %d, payload %s of upload %s", part.Number, attribute.PartNumber, attribute.Payload, attribute.UploadID)
	case info.Size != part.Size:
		return fmt.Errorf("part %d has %d bytes, want %d", part.Number, info.Size, part.Size)
	}
	return nil
}
