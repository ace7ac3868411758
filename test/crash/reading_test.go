package crash

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/test/model"
)

// namesKey reports whether an error tells which key it is about.
func namesKey(err error, name string) bool { return strings.Contains(err.Error(), name) }

// readObject reads an object as the gateway would: nil if there is none.
func readObject(s *store.Store, key objects.Key) (*model.Value, error) {
	room := make([]byte, s.InlineLimit())
	opened, err := s.Open(key, room)
	if messages.Overtaken(err) {
		opened, err = s.OpenInTurn(key, room)
	}
	if errors.Is(err, objects.ErrNoSuchKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var bytes []byte
	switch {
	case opened.File != nil:
		bytes, err = readAll(opened.File, opened.Meta.Size)
	case opened.Parts != nil:
		for i, part := range opened.Parts.Parts {
			file, err := opened.Parts.Open(i)
			if err != nil {
				return nil, err
			}
			b, err := readAll(file, part.Size)
			if err = errors.Join(err, file.Close()); err != nil {
				return nil, fmt.Errorf("part %d of %s: %w", part.Number, key, err)
			}
			if digest(b) != part.XXHash {
				return nil, fmt.Errorf("part %d of %s does not have its checksum", part.Number, key)
			}
			bytes = append(bytes, b...)
		}
	default:
		bytes = room[:opened.Inline]
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	m := opened.Meta
	if int64(len(bytes)) != m.Size {
		return nil, fmt.Errorf("%s has %d bytes, its record says %d", key, len(bytes), m.Size)
	}
	if m.Where != objects.Chunks && digest(bytes) != m.XXHash {
		return nil, fmt.Errorf("%s does not have its checksum", key)
	}
	return &model.Value{Size: m.Size, Digest: digest(bytes), ETag: m.ETag, Draft: m.Draft}, nil
}

func readAll(file io.ReaderAt, size int64) ([]byte, error) {
	b := make([]byte, size+1) // one more: a file that is too long is noticed
	n, err := file.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// readEverything reads every cell of the live buckets, and checks that lists say
// what reads say.
func readEverything(fs disk.FS, s *store.Store, buckets []objects.Bucket) (map[model.Cell]*model.Value, error) {
	found := make(map[model.Cell]*model.Value)
	for _, b := range buckets {
		there := make(map[string]*model.Value)
		for _, name := range names() {
			key := objects.Key{Bucket: b, Name: name}
			value, err := readObject(s, key)
			if err != nil {
				return nil, err
			}
			meta, err := s.Head(key)
			switch {
			case value == nil && !errors.Is(err, objects.ErrNoSuchKey):
				return nil, fmt.Errorf("%s: reads find nothing, and HEAD says %v, %v", key, meta, err)
			case value != nil && (err != nil || meta.ETag != value.ETag || meta.Size != value.Size):
				return nil, fmt.Errorf("%s: reads find %s, and HEAD says %v, %v", key, value, meta, err)
			}
			if value != nil {
				there[name] = value
				found[model.Object(key)] = value
			}
		}
		if err := checkLists(s, b, there); err != nil {
			return nil, err
		}
		if err := readUploads(fs, s, b, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checkLists compares pages of a bucket with what reads found.
func checkLists(s *store.Store, b objects.Bucket, there map[string]*model.Value) error {
	for _, r := range []store.ListRequest{{Limit: 50}, {Limit: 3, Delimiter: "/"}, {Limit: 7, Prefix: "a"}} {
		var want []string
		for name := range there {
			if !strings.HasPrefix(name, r.Prefix) {
				continue
			}
			if at := strings.Index(name, "/"); r.Delimiter != "" && at >= 0 {
				name = name[:at+1]
			}
			if !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		var got []string
		r.Bucket = b
		for more := true; more; {
			page, err := s.List(r)
			if err != nil {
				return err
			}
			for _, e := range page.Entries {
				if value := there[e.Name]; e.Meta != nil && (value == nil || e.Meta.Size != value.Size || e.Meta.ETag != value.ETag) {
					return fmt.Errorf("the list has %q with %d bytes, etag %s; reads find %s", e.Name, e.Meta.Size, e.Meta.ETag, value)
				}
				got = append(got, e.Name)
				r.After = e.Name
			}
			more = page.More
			if more && len(page.Entries) == 0 {
				return fmt.Errorf("an empty page says that there is more")
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("the list of bucket %s, %+v, is %q; reads find %q", b.ID, r, got, want)
		}
	}
	return nil
}

// readUploads reads the uploads under way and the files of their parts.
func readUploads(fs disk.FS, s *store.Store, b objects.Bucket, found map[model.Cell]*model.Value) error {
	uploads, err := s.Uploads(b, "", "", "", 1000)
	if err != nil {
		return err
	}
	for _, u := range uploads.Uploads {
		key := objects.Key{Bucket: b, Name: u.Name}
		found[model.Upload(key, u.ID)] = &model.Value{Draft: u.Draft}
		page, err := s.Parts(key, u.ID, 0, 1000)
		if err != nil {
			return err
		}
		for _, p := range page.Parts {
			file, err := fs.OpenFile(layout.PartPath(u.ID, p.Number, p.Payload), disk.ReadOnly, 0)
			if err != nil {
				return fmt.Errorf("part %d of upload %s: %w", p.Number, u.ID, err)
			}
			bytes, err := readAll(file, p.Size)
			if err = errors.Join(err, file.Close()); err != nil {
				return err
			}
			if int64(len(bytes)) != p.Size || digest(bytes) != p.XXHash {
				return errs.E("readUploads", key, errs.Corrupt, fmt.Errorf("the file of part %d of upload %s has other bytes", p.Number, u.ID))
			}
			found[model.Part(key, u.ID, p.Number)] = &model.Value{Size: p.Size, Digest: p.XXHash, ETag: p.ETag}
		}
	}
	return nil
}
