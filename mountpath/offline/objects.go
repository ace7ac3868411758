package offline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Reading says how objects are found.
type Reading struct {
	Buckets Buckets
	// WithoutIndex leaves indexes unread: objects are found by attributes and
	// manifests. Small objects, which are in the index only, are not found.
	WithoutIndex bool
	// Bucket and Prefix, if not empty, are of the objects wanted.
	Bucket string
	Prefix string
	Log    *logrus.Entry // of the indexes; needed
	// Found is told of what cannot be read. Needed.
	Found func(Finding)
}

// wants reports whether objects of a bucket are wanted.
func (r *Reading) wants(b objects.Bucket) bool { return r.Bucket == "" || r.Bucket == b.Name }

// Objects yields the objects of several mountpaths, by bucket name, then id, then
// name. Where two mountpaths have one, the newer is yielded. A mountpath whose
// index does not open is read without. An object is valid until the next.
func Objects(mounts []*Mount, r Reading) iter.Seq2[*Object, error] {
	return func(yield func(*Object, error) bool) {
		var live []objects.Bucket
		for id := range r.Buckets {
			if b, ok := r.Buckets.live(id); ok && r.wants(b) {
				live = append(live, b)
			}
		}
		slices.SortFunc(live, func(a, b objects.Bucket) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.ID[:]), string(b.ID[:])))
		})
		sources := make([]source, 0, len(mounts))
		defer func() {
			for _, s := range sources {
				s.close()
			}
		}()
		for _, m := range mounts {
			s, err := m.source(&r)
			if err != nil {
				yield(nil, err)
				return
			}
			sources = append(sources, s)
		}
		for _, b := range live {
			if !merge(b, sources, &r, yield) {
				return
			}
		}
	}
}

// source is where objects of one mountpath come from.
type source interface {
	// bucket yields the objects of a bucket by name.
	bucket(b objects.Bucket, prefix string) iter.Seq2[*Object, error]
	close()
}

// merge yields the objects of one bucket from all sources by name.
func merge(b objects.Bucket, sources []source, r *Reading, yield func(*Object, error) bool) bool {
	type head struct {
		next func() (*Object, error, bool)
		o    *Object
	}
	var heads []*head
	for _, s := range sources {
		next, stop := iter.Pull2(s.bucket(b, r.Prefix))
		defer stop()
		heads = append(heads, &head{next: next})
	}
	step := func(h *head) error {
		o, err, ok := h.next()
		h.o = nil
		if ok {
			h.o = o
		}
		return err
	}
	for _, h := range heads {
		if err := step(h); err != nil {
			return yield(nil, err)
		}
	}
	for {
		var least *Object
		for _, h := range heads {
			if h.o != nil && (least == nil || h.o.Key.Name < least.Key.Name || h.o.Key.Name == least.Key.Name && h.o.Meta.Generation.Compare(least.Meta.Generation) > 0) {
				least = h.o
			}
		}
		if least == nil {
			return true
		}
		name := least.Key.Name
		if !yield(least, nil) {
			return false
		}
		for _, h := range heads {
			for h.o != nil && h.o.Key.Name == name {
				if err := step(h); err != nil {
					return yield(nil, err)
				}
			}
		}
	}
}

// source opens the index, or reads the files if it is not to be read or cannot be.
func (m *Mount) source(r *Reading) (source, error) {
	if r.WithoutIndex {
		return m.readFiles(r)
	}
	dir, _, err := m.unfinished()
	if err != nil {
		return nil, errs.E("offline.Objects", m.Name, errs.IO, err)
	}
	c, err := m.openCatalog(dir, r.Log, func([]byte, []byte, error) {}) // set for each bucket
	if err != nil {
		r.Found(Finding{Level: Fault, Kind: "index unreadable", Mountpath: m.Name, Path: layout.Text(dir),
			Detail: fmt.Sprintf("objects are found by their files; small ones, which are in the index only, are missing: %v", err)})
		return m.readFiles(r)
	}
	return &indexSource{mount: m, catalog: c, reading: r}, nil
}

// indexSource finds objects by the index.
type indexSource struct {
	mount   *Mount
	catalog *catalog
	reading *Reading
	files   *fileSource // for what the index cannot tell; nil: not read yet
}

func (s *indexSource) close() {
	// It was only read: nothing is lost if it cannot be closed.
	_ = s.catalog.close()
}

var errStop = errors.New("no more are wanted")

func (s *indexSource) bucket(b objects.Bucket, prefix string) iter.Seq2[*Object, error] {
	return func(yield func(*Object, error) bool) {
		lower := layout.ObjectKey(nil, b.ID, prefix)
		stopped := false
		s.catalog.damaged = func(from, to []byte, err error) {
			stopped = stopped || !s.fromFiles(b, from, to, err, yield)
		}
		err := s.catalog.each(lower, layout.PrefixEnd(lower), func(recordKey, value []byte, err error) error {
			if stopped {
				return errStop
			}
			key := objects.Key{Bucket: b, Name: string(layout.ObjectName(recordKey))}
			o, err := s.object(key, value, err)
			if err != nil {
				s.reading.Found(Finding{Level: Fault, Kind: "object lost", Mountpath: s.mount.Name, Detail: err.Error()}.of(key))
				return nil
			}
			if o != nil && !yield(o, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop && !stopped {
			yield(nil, err)
		}
	}
}

// fromFiles yields the objects that files say they are, of the names between two
// keys that the index cannot read. It reports whether more are wanted.
func (s *indexSource) fromFiles(b objects.Bucket, from, to []byte, damage error, yield func(*Object, error) bool) bool {
	s.reading.Found(Finding{Level: Fault, Kind: "index damaged", Mountpath: s.mount.Name, Path: layout.IndexDir, Bucket: b.Name,
		Detail: fmt.Sprintf("small objects with names from %.80q to %.80q are missing, and of large ones the files are taken: %v", layout.ObjectName(from), layout.ObjectName(to), damage)})
	if s.files == nil {
		var err error
		if s.files, err = s.mount.readFiles(s.reading); err != nil {
			return yield(nil, err)
		}
	}
	for o := range s.files.bucket(b, s.reading.Prefix) {
		key := layout.ObjectKey(nil, b.ID, o.Key.Name)
		if bytes.Compare(key, from) >= 0 && (to == nil || bytes.Compare(key, to) < 0) && !yield(o, nil) {
			return false
		}
	}
	return true
}

// object makes the object of a record; nil for a delete marker.
func (s *indexSource) object(key objects.Key, value []byte, err error) (*Object, error) {
	if err != nil {
		return nil, err
	}
	meta, err := layout.DecodeRecord(value)
	if err != nil {
		return nil, err
	}
	if meta.Deleted {
		return nil, nil
	}
	o := &Object{Key: key, Meta: *meta, mount: s.mount}
	switch meta.Where {
	case objects.File:
		o.path, err = s.mount.findPayload(key, meta)
	case objects.Inline:
		if o.payload, err = s.catalog.get(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload)); err == nil && o.payload == nil {
			err = errors.New("its payload is not in the index")
		}
	case objects.Chunks:
		value, err = s.catalog.get(layout.PayloadKey(nil, key.Bucket.ID, key.Name, meta.Payload))
		if err == nil {
			o.parts, err = layout.DecodeParts(value)
		}
		if err != nil { // the manifest has them too
			manifested, _, finding := s.mount.completed(layout.UploadDir(meta.Path), s.reading.Buckets)
			if manifested == nil || finding != nil || manifested.Meta.Payload != meta.Payload {
				return nil, fmt.Errorf("its part table: %w", err)
			}
			o.parts, err = manifested.parts, nil
		}
	}
	return o, err
}

// findPayload returns where the payload file of a record is: under the object's
// name, or, if a write was interrupted after its rename, in the trash.
func (m *Mount) findPayload(key objects.Key, meta *objects.Meta) (string, error) {
	for _, name := range []string{recordPath(key, meta), layout.TrashPath(meta.Payload), layout.VersionPath(meta.Payload)} {
		attribute, err := m.readAttribute(name)
		if err == nil && attribute != nil && attribute.Payload == meta.Payload {
			return name, nil
		}
	}
	name := recordPath(key, meta)
	if info, err := m.FS.Stat(name); err == nil && info.Inode == meta.Inode && info.Birth == meta.Birth {
		return name, nil // its attribute is damaged; its checksum decides
	}
	return "", fmt.Errorf("its payload %s is neither under its name nor in the trash", meta.Payload)
}

// fileSource has the objects that files say they are, by name.
type fileSource struct {
	objects map[objects.BucketID][]*Object
}

func (s *fileSource) close() {}

func (s *fileSource) bucket(b objects.Bucket, prefix string) iter.Seq2[*Object, error] {
	return func(yield func(*Object, error) bool) {
		for _, o := range s.objects[b.ID] {
			if strings.HasPrefix(o.Key.Name, prefix) && !yield(o, nil) {
				return
			}
		}
	}
}

// readFiles finds the objects of a mountpath without its index. It takes memory
// for each: about a kilobyte.
func (m *Mount) readFiles(r *Reading) (*fileSource, error) {
	s := &fileSource{objects: make(map[objects.BucketID][]*Object)}
	add := func(o *Object) {
		if r.wants(o.Key.Bucket) && strings.HasPrefix(o.Key.Name, r.Prefix) {
			s.objects[o.Key.Bucket.ID] = append(s.objects[o.Key.Bucket.ID], o)
		}
	}
	failed := func(name string, err error) {
		r.Found(Finding{Level: Fault, Kind: "unreadable", Mountpath: m.Name, Path: layout.Text(name), Detail: err.Error()})
	}
	tell := func(f *Finding) {
		if f != nil && f.Level == Fault {
			r.Found(*f)
		}
	}
	err := m.payloadFiles(func(name string) error {
		o, finding := m.candidate(name, r.Buckets)
		tell(finding)
		if o != nil {
			add(o)
		}
		return nil
	}, failed)
	if err != nil {
		return nil, err
	}
	dirs, err := m.list(layout.PartsDir)
	if err != nil {
		failed(layout.PartsDir, err)
	}
	for _, e := range dirs {
		dir := layout.PartsDir + "/" + e.Name
		if retired, err := m.exists(dir + "/" + layout.RetiredName); err != nil || retired {
			continue
		}
		o, _, finding := m.completed(dir, r.Buckets)
		tell(finding)
		if o != nil {
			add(o)
		}
	}
	for id, list := range s.objects {
		slices.SortFunc(list, func(a, b *Object) int { // of one name, the newest first
			return cmp.Or(strings.Compare(a.Key.Name, b.Key.Name), b.Meta.Generation.Compare(a.Meta.Generation))
		})
		s.objects[id] = slices.CompactFunc(list, func(a, b *Object) bool { return a.Key.Name == b.Key.Name })
	}
	return s, nil
}
