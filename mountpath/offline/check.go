package offline

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CheckOptions say how to check. Buckets is needed.
type CheckOptions struct {
	Buckets Buckets
	// Verify reads every payload and compares its xxhash64.
	Verify bool
	// Repair moves orphans to quarantine/, with the reason beside them; nothing
	// else is changed. The mount was opened to be written. Nothing is moved if the
	// index cannot be read in full: what looks like an orphan may be an object.
	Repair bool
	Now    time.Time     // for the reasons in quarantine
	Log    *logrus.Entry // of the index; nil: discarded
	Found  func(Finding) // nil: nobody is told
}

// Checked is what a check saw.
type Checked struct {
	Mountpath string `json:"mountpath"`
	Objects   int    `json:"objects"`
	Inline    int    `json:"inline_objects"`
	Files     int    `json:"file_objects"`
	Chunked   int    `json:"multipart_objects"`
	Sliced    int    `json:"sliced_objects,omitempty"`
	Uploads   int    `json:"uploads_under_way"`
	Bytes     int64  `json:"payload_bytes"`
	Verified  int64  `json:"verified_bytes"`
	Pending   int    `json:"pending"`
	Orphans   int    `json:"orphans"`
	Faults    int    `json:"faults"`
	Moved     int    `json:"moved_to_quarantine"`
	// Start is the greatest start counter of this node that was seen in a generation.
	Start uint64 `json:"-"`
}

// checking is one check under way.
type checking struct {
	CheckOptions
	mount   *Mount
	catalog *catalog
	result  Checked
	broken  bool // the index cannot be read in full
	orphans []orphan
	// expected are the directories of parts that intents and reclaim entries speak of:
	// of some there may be no more than the directory.
	expected map[string]bool
	told     map[string]bool // files of slices that a record names and that are not as it says
}

// Check compares the index of a mountpath with its files, both ways. Findings are
// told; the error is of kind Corrupt if the index does not open.
func Check(m *Mount, o CheckOptions) (_ *Checked, err error) {
	const op errs.Op = "offline.Check"
	if o.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(quiet)
	}
	c := &checking{CheckOptions: o, mount: m, expected: make(map[string]bool), told: make(map[string]bool)}
	c.result.Mountpath = m.Name
	dir, _, err := m.unfinished()
	if err != nil {
		return nil, errs.E(op, m.Name, errs.IO, err)
	}
	if dir != layout.IndexDir {
		return nil, errs.E(op, m.Name, errs.Corrupt, errors.New("a rebuild of the index was interrupted; run troupe storage rebuild again"))
	}
	look := &Mount{FS: m.FS, Name: m.Name}
	c.catalog, err = look.openCatalog(dir, o.Log, func(lower, upper []byte, err error) {
		c.broken = true
		c.found(Finding{Level: Fault, Kind: "index damaged", Path: layout.Text(dir), Detail: fmt.Sprintf("keys from %.80q to %.80q: %v", lower, upper, err)})
	})
	if err != nil {
		return nil, errs.E(op, m.Name, err)
	}
	defer func() {
		if closing := c.catalog.close(); err == nil && closing != nil && !c.broken {
			err = errs.E(op, m.Name, closing)
		}
	}()
	for _, step := range []func() error{c.entries, c.files, c.uploads, c.slices, c.versions, c.sidecars, c.trash, c.work} {
		if err := step(); err != nil {
			return nil, errs.E(op, m.Name, errs.IO, err)
		}
	}
	if o.Repair {
		if err := c.quarantine(); err != nil {
			return &c.result, errs.E(op, m.Name, errs.IO, err)
		}
	}
	return &c.result, nil
}

func (c *checking) found(f Finding) {
	f.Mountpath = c.mount.Name
	switch f.Level {
	case Pending:
		c.result.Pending++
	case Orphan:
		c.result.Orphans++
	default:
		c.result.Faults++
	}
	if c.Found != nil {
		c.Found(f)
	}
}

func (c *checking) unreadable(name string, err error) {
	c.found(Finding{Level: Fault, Kind: "unreadable", Path: layout.Text(name), Detail: err.Error()})
}

func (c *checking) sees(g objects.Generation) {
	c.result.Start = max(c.result.Start, c.mount.startOf(g))
}

// entries walks the index.
func (c *checking) entries() error {
	return c.catalog.each([]byte{0}, nil, func(key, value []byte, err error) error {
		var what string
		if err == nil {
			what, err = c.entry(key, value)
		}
		if err != nil {
			c.broken = c.broken || what == ""
			if what == "" {
				what = "index entry damaged"
			}
			c.found(Finding{Level: Fault, Kind: what, Detail: fmt.Sprintf("%.120q: %v", key, err)})
		}
		return nil
	})
}

// entry looks at one entry of the index; what names a fault that is not the
// entry's own.
func (c *checking) entry(key, value []byte) (what string, err error) {
	switch key[0] {
	case layout.KindObject:
		return c.record(key, value)
	case layout.KindVersion:
		id, name, _, err := layout.ParseVersionKey(key)
		if err != nil {
			return "", err
		}
		meta, err := layout.DecodeRecord(value)
		if err == nil {
			c.sees(meta.Generation)
			c.bucketOf(objects.Key{Bucket: objects.Bucket{ID: id}, Name: name})
		}
		return "", err
	case layout.KindPayload:
		id, name, payload, err := layout.ParsePayloadKey(key)
		if err != nil {
			return "", err
		}
		return c.payloadEntry(objects.Key{Bucket: objects.Bucket{ID: id}, Name: name}, payload)
	case layout.KindUpload:
		return c.uploadEntry(key, value)
	case layout.KindIntent:
		intent, err := layout.DecodeIntent(value)
		if err == nil {
			if intent.UploadID != "" {
				c.expected[layout.UploadDir(intent.UploadID)] = true
			}
			c.found(Finding{Level: Pending, Kind: "intent", Detail: "a write was interrupted; the next start settles it"}.of(intent.Key))
		}
		return "", err
	case layout.KindReclaim:
		reclaim, err := layout.DecodeReclaim(value)
		if err == nil {
			c.sees(reclaim.Payload)
			if reclaim.UploadID != "" {
				c.expected[layout.UploadDir(reclaim.UploadID)] = true
			}
			c.found(Finding{Level: Pending, Kind: "reclaim", Detail: fmt.Sprintf("%d bytes were deleted and still take space", reclaim.Bytes)}.of(objects.Key{Bucket: objects.Bucket{ID: reclaim.Bucket}, Name: reclaim.Name}))
		}
		return "", err
	case layout.KindJournal:
		return "", errors.Join(layout.CheckTombstones(key, value), layout.CheckHistory(key, value), layout.CheckScrub(key, value), layout.CheckDamage(key, value))
	default:
		return "", fmt.Errorf("an entry of unknown kind %q", key[0])
	}
}

// bucketOf tells of an entry whose bucket no document speaks of.
func (c *checking) bucketOf(key objects.Key) objects.Key {
	if b, live := c.Buckets.live(key.Bucket.ID); live {
		key.Bucket = b
		return key
	}
	if doc := c.Buckets[key.Bucket.ID]; doc != nil {
		c.found(Finding{Level: Pending, Kind: "destroyed bucket", Detail: "the next start drops what is left of it"}.of(key))
	} else {
		c.found(Finding{Level: Fault, Kind: "unknown bucket", Detail: "no document speaks of it"}.of(key))
	}
	return key
}

// record compares a record with its payload.
func (c *checking) record(recordKey, value []byte) (what string, err error) {
	id, name, err := layout.ParseObjectKey(recordKey)
	if err != nil {
		return "", err
	}
	meta, err := layout.DecodeRecord(value)
	if err != nil {
		return "", err
	}
	c.sees(meta.Generation)
	key := c.bucketOf(objects.Key{Bucket: objects.Bucket{ID: id}, Name: name})
	if meta.Deleted {
		return "", nil
	}
	c.result.Objects++
	c.result.Bytes += meta.Size
	o := &Object{Key: key, Meta: *meta, mount: c.mount}
	if c.isElsewhere(meta) {
		return "", nil
	}
	switch meta.Where {
	case objects.Inline:
		c.result.Inline++
		if o.payload, err = c.catalog.get(layout.PayloadKey(nil, id, name, meta.Payload)); err != nil {
			return "payload unreadable", err
		}
		if o.payload == nil {
			return "record without payload", fmt.Errorf("payload %s is not in the index", meta.Payload)
		}
	case objects.File:
		c.result.Files++
		if what, err := c.recordFile(o); err != nil || what == pendingFile {
			return what, err
		}
	case objects.Slices:
		if meta.Slicing == nil {
			return "record without payload", errors.New("it does not say what slices there are")
		}
		c.sliced(o)
		return "", nil
	case objects.Chunks:
		c.result.Chunked++
		value, err := c.catalog.get(layout.PayloadKey(nil, id, name, meta.Payload))
		if err == nil && value == nil {
			err = errors.New("its part table is not in the index")
		}
		if err == nil {
			o.parts, err = layout.DecodeParts(value)
		}
		if err != nil {
			return "record without payload", err
		}
		for i := range o.parts {
			if err := c.mount.checkPart(key, meta.Path, &o.parts[i]); err != nil {
				return "part damaged", err
			}
		}
		if whole, _, finding := c.mount.completed(layout.UploadDir(meta.Path), c.Buckets); whole == nil || finding != nil || whole.Meta.Payload != meta.Payload {
			return "manifest differs", fmt.Errorf("that of upload %s does not say what the record says", meta.Path)
		}
	default:
		return "", fmt.Errorf("the payload is at %d", meta.Where)
	}
	if c.Verify || meta.Where == objects.Inline {
		n, err := o.WriteTo(io.Discard)
		c.result.Verified += n
		if err != nil {
			return "checksum differs", err
		}
	}
	return "", nil
}

// pendingFile says that a record's file is where an interrupted write left it.
const pendingFile = "file in the trash"

// recordFile compares a record with its file.
func (c *checking) recordFile(o *Object) (what string, err error) {
	o.path = recordPath(o.Key, &o.Meta)
	info, err := c.mount.FS.Stat(o.path)
	if err != nil {
		if _, elsewhere := c.mount.findPayload(o.Key, &o.Meta); elsewhere == nil && c.hasIntent(o.Key) {
			return pendingFile, nil
		}
		return "record without payload", err
	}
	attribute, err := c.mount.readAttribute(o.path)
	switch {
	case err != nil:
		return "attribute damaged", err
	case attribute == nil:
		return "attribute lost", fmt.Errorf("%s has none", o.path)
	case attribute.Payload != o.Meta.Payload:
		if _, elsewhere := c.mount.findPayload(o.Key, &o.Meta); elsewhere == nil && c.hasIntent(o.Key) {
			return pendingFile, nil
		}
		return "another payload", fmt.Errorf("%s holds payload %s, the record names %s", o.path, attribute.Payload, o.Meta.Payload)
	case info.Size != o.Meta.Size || attribute.Size != o.Meta.Size:
		return "wrong size", fmt.Errorf("the file has %d bytes, its attribute says %d, the record %d", info.Size, attribute.Size, o.Meta.Size)
	case attribute.XXHash != o.Meta.XXHash || attribute.ETag != o.Meta.ETag || attribute.Key.Name != o.Key.Name || attribute.Key.Bucket.ID != o.Key.Bucket.ID:
		return "attribute differs", fmt.Errorf("that of %s is not what the record says", o.path)
	case info.Links > 1 && !c.hasIntent(o.Key):
		trash, err := c.mount.FS.Stat(layout.TrashPath(o.Meta.Payload))
		if err != nil || trash.Inode != info.Inode {
			return "unknown links", fmt.Errorf("%s has %d names; whoever changes it under another changes the object", o.path, info.Links)
		}
	}
	return "", nil
}

func (c *checking) hasIntent(key objects.Key) bool {
	lower, upper := layout.NameBounds(layout.KindIntent, key.Bucket.ID, key.Name)
	has := false
	err := c.catalog.each(lower, upper, func([]byte, []byte, error) error { has = true; return nil })
	return has && err == nil
}

// payloadEntry looks for the record of a payload in the index.
func (c *checking) payloadEntry(key objects.Key, payload objects.Generation) (what string, err error) {
	meta, err := c.catalog.record(key)
	if err != nil {
		return "", err
	}
	if meta != nil && meta.Payload == payload {
		return "", nil
	}
	reclaim, err := c.catalog.get(layout.ReclaimKey(nil, key.Bucket.ID, key.Name, payload))
	if err != nil || reclaim != nil {
		return "", err
	}
	c.found(Finding{Level: Orphan, Kind: "payload without record", Detail: fmt.Sprintf("payload %s in the index", payload)}.of(key))
	return "", nil
}

// uploadEntry looks at an upload under way, or at a part of it.
func (c *checking) uploadEntry(key, value []byte) (what string, err error) {
	id, name, uploadID, number, err := layout.ParseUploadKey(key)
	if err != nil {
		return "", err
	}
	if number == 0 {
		c.result.Uploads++
		_, err := layout.DecodeUpload(value)
		key := c.bucketOf(objects.Key{Bucket: objects.Bucket{ID: id}, Name: name})
		if meta, failure := c.catalog.record(key); err == nil && failure == nil && meta != nil && meta.Where == objects.Chunks && meta.Path == uploadID {
			return "upload of an object", fmt.Errorf("upload %s is under way, and the object is what it became", uploadID)
		}
		return "", err
	}
	part, err := layout.DecodePart(value)
	if err != nil {
		return "", err
	}
	c.sees(part.Payload)
	b, live := c.Buckets.live(id)
	if !live {
		return "", nil
	}
	o := &Object{Key: objects.Key{Bucket: b, Name: name}, mount: c.mount}
	if err := c.mount.checkPart(o.Key, uploadID, part); err != nil {
		return "part damaged", err
	}
	if c.Verify {
		n, err := o.copy(io.Discard, layout.PartPath(uploadID, number, part.Payload), part.Size, part.XXHash)
		c.result.Verified += n
		if err != nil {
			return "checksum differs", err
		}
	}
	return "", nil
}

// files looks for the record of every payload file.
func (c *checking) files() error {
	return c.mount.payloadFiles(func(name string) error {
		attribute, err := c.mount.readAttribute(name)
		if err != nil || attribute == nil {
			_, finding := c.mount.candidate(name, c.Buckets)
			if finding != nil {
				c.found(*finding)
			}
			return nil
		}
		c.sees(attribute.Payload)
		named, err := c.isNamed(name, attribute)
		if err != nil || named {
			return err
		}
		_, finding := c.mount.candidate(name, c.Buckets)
		if finding == nil {
			finding = &Finding{Level: Orphan, Kind: "file without record", Path: layout.Text(name), Detail: fmt.Sprintf("payload %s", attribute.Payload)}
		}
		f := finding.of(attribute.Key)
		c.found(f)
		if f.Level == Orphan {
			c.orphan(name, attribute.Payload, attribute.Key, f.Kind)
		}
		return nil
	}, c.unreadable)
}

// isNamed reports whether a record, a reclaim entry or an intent names a payload
// file.
func (c *checking) isNamed(name string, attribute *layout.Attribute) (bool, error) {
	key := attribute.Key
	meta, err := c.catalog.record(key)
	if err != nil {
		return true, nil // told as a damaged entry
	}
	if meta != nil && meta.Where == objects.File && meta.Payload == attribute.Payload && (recordPath(key, meta) == name || strings.HasPrefix(name, layout.TrashDir)) {
		return true, nil
	}
	for _, entry := range [][]byte{
		layout.ReclaimKey(nil, key.Bucket.ID, key.Name, attribute.Payload), layout.IntentKey(nil, key.Bucket.ID, key.Name, attribute.Payload),
	} {
		if value, err := c.catalog.get(entry); err != nil || value != nil {
			return true, err
		}
	}
	return false, nil
}

// uploads looks for the upload or the object of every directory of parts.
func (c *checking) uploads() error {
	dirs, err := c.mount.list(layout.PartsDir)
	if err != nil {
		c.unreadable(layout.PartsDir, err)
		return nil
	}
	for _, e := range dirs {
		dir := layout.PartsDir + "/" + e.Name
		if c.expected[dir] {
			continue
		}
		named, key, payload, err := c.uploadIsNamed(dir)
		if err != nil {
			return err
		}
		if !named {
			c.found(Finding{Level: Orphan, Kind: "parts without upload", Path: layout.Text(dir)}.of(key))
			c.orphan(dir, payload, key, "parts without upload")
		}
	}
	return nil
}

// uploadIsNamed reports whether the index speaks of a directory of parts.
func (c *checking) uploadIsNamed(dir string) (named bool, key objects.Key, payload objects.Generation, err error) {
	entries, err := c.mount.list(dir)
	if err != nil {
		return false, key, payload, err
	}
	for _, e := range entries {
		if e.Name == layout.RetiredName {
			return true, key, payload, nil // a reclaim entry took it this far
		}
		if _, _, err := layout.ParsePartName(e.Name); err != nil {
			continue
		}
		attribute, err := c.mount.readAttribute(dir + "/" + e.Name)
		if err != nil || attribute == nil {
			continue
		}
		c.sees(attribute.Payload)
		key, payload = attribute.Key, attribute.Payload
		upload, err := c.catalog.get(layout.UploadKey(nil, key.Bucket.ID, key.Name, attribute.UploadID))
		if err != nil || upload != nil {
			return true, key, payload, err
		}
		meta, err := c.catalog.record(key)
		if err != nil || meta != nil && meta.Where == objects.Chunks && meta.Path == attribute.UploadID {
			return true, key, payload, nil
		}
		for _, kind := range []byte{layout.KindReclaim, layout.KindIntent} {
			lower, upper := layout.NameBounds(kind, key.Bucket.ID, key.Name)
			if err := c.catalog.each(lower, upper, func([]byte, []byte, error) error { named = true; return nil }); err != nil || named {
				return true, key, payload, err
			}
		}
	}
	return false, key, payload, nil
}

// versions looks for the record of every noncurrent version.
func (c *checking) versions() error {
	return c.mount.files(layout.VersionsDir, func(name string) error {
		attribute, err := c.mount.readAttribute(name)
		if err != nil || attribute == nil {
			c.unreadable(name, fmt.Errorf("no attribute: %v", err))
			return nil
		}
		named, err := c.isNamed(name, attribute)
		if err != nil || named {
			return err
		}
		lower, upper := layout.NameBounds(layout.KindVersion, attribute.Key.Bucket.ID, attribute.Key.Name)
		err = c.catalog.each(lower, upper, func(_, value []byte, err error) error {
			if meta, decoding := layout.DecodeRecord(value); err == nil && decoding == nil && meta.Payload == attribute.Payload {
				named = true
			}
			return nil
		})
		if err == nil && !named {
			c.found(Finding{Level: Orphan, Kind: "version without record", Path: layout.Text(name)}.of(attribute.Key))
			c.orphan(name, attribute.Payload, attribute.Key, "version without record")
		}
		return err
	}, c.unreadable)
}

// sidecars looks for the payload of every sidecar.
func (c *checking) sidecars() error {
	return c.mount.files(layout.SidecarsDir, func(name string) error {
		content, err := c.mount.readFile(name, maxManifestBytes)
		var sidecar *layout.Sidecar
		if err == nil {
			sidecar, err = layout.DecodeSidecar(content)
		}
		if err != nil {
			c.unreadable(name, err)
			return nil
		}
		attribute := &layout.Attribute{Key: sidecar.Key, Payload: sidecar.Payload}
		meta, err := c.catalog.record(sidecar.Key)
		if err != nil || meta != nil && meta.Payload == sidecar.Payload {
			return nil
		}
		named, err := c.isNamed(name, attribute)
		if err == nil && !named {
			c.found(Finding{Level: Orphan, Kind: "sidecar without payload", Path: layout.Text(name)}.of(sidecar.Key))
		}
		return err
	}, c.unreadable)
}

// trash looks for the reclaim entry of every file in the trash.
func (c *checking) trash() error {
	return c.mount.files(layout.TrashDir, func(name string) error {
		attribute, err := c.mount.readAttribute(name)
		if err == nil && attribute != nil {
			named, err := c.isNamed(name, attribute)
			if err != nil || named || c.hasIntent(attribute.Key) {
				return err
			}
		}
		f := Finding{Level: Orphan, Kind: "trash without reclaim entry", Path: layout.Text(name)}
		var payload objects.Generation
		var key objects.Key
		if attribute != nil {
			payload, key = attribute.Payload, attribute.Key
			f = f.of(key)
		}
		c.found(f)
		c.orphan(name, payload, key, f.Kind)
		return nil
	}, c.unreadable)
}

// work tells of what the next start removes.
func (c *checking) work() error {
	return c.mount.files(layout.WorkDir, func(name string) error {
		c.found(Finding{Level: Pending, Kind: "work file", Path: layout.Text(name), Detail: "an upload was interrupted; the next start removes it"})
		return nil
	}, c.unreadable)
}
