package offline

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// RebuildOptions say how to rebuild. Buckets and Now are needed.
type RebuildOptions struct {
	Buckets Buckets
	Now     time.Time
	// Verify reads every payload file; one that is not what its attribute says
	// makes no object. Without it, only files of the relaxed class are read, which
	// a crash of the system may have torn.
	Verify bool
	// IgnoreOld leaves the old index unread: everything comes from the files.
	IgnoreOld bool
	Log       *logrus.Entry // of the indexes; nil: discarded
	// Found is told of everything that does not come back, or not whole; nil: nobody.
	Found func(Finding)
}

// OldIndex says how much of the old index could be read.
type OldIndex string

const (
	// OldAbsent: there was none.
	OldAbsent OldIndex = "absent"
	// OldIgnored: it was not to be read.
	OldIgnored OldIndex = "ignored"
	// OldUnreadable: it does not open.
	OldUnreadable OldIndex = "unreadable"
	// OldDamaged: it opens, and not all of it can be read.
	OldDamaged OldIndex = "damaged"
	// OldWhole: all of it was read.
	OldWhole OldIndex = "whole"
)

// Rebuilt is what a rebuild did.
type Rebuilt struct {
	Mountpath string   `json:"mountpath"`
	Old       OldIndex `json:"old_index"`
	OldReason string   `json:"old_index_reason,omitempty"`
	MovedTo   string   `json:"old_index_moved_to,omitempty"` // below the mountpath
	Finished  bool     `json:"finished_an_interrupted_one,omitempty"`

	FromIndex int `json:"objects_from_old_index"` // record and payload as they were
	FromFiles int `json:"objects_from_files"`     // record made anew
	Inline    int `json:"inline_objects"`         // of FromIndex
	Files     int `json:"file_objects"`
	Chunked   int `json:"multipart_objects"`
	Versions  int `json:"noncurrent_versions"`
	Uploads   int `json:"uploads_under_way"`
	Parts     int `json:"parts_of_uploads"`

	InlineLost int   `json:"inline_objects_known_lost"` // their records were there, their payloads were not
	FilesLost  int   `json:"file_objects_known_lost"`
	Ranges     int   `json:"unreadable_ranges_of_old_index"`
	Findings   int   `json:"findings"`
	TrashFiles int   `json:"trash_files"`
	TrashBytes int64 `json:"trash_bytes"`

	// Start is the greatest start counter of this node that was seen in a generation: the
	// one in the node's document must not be lower.
	Start uint64 `json:"-"`
}

// rebuilding is one rebuild under way.
type rebuilding struct {
	RebuildOptions
	mount   *Mount
	builder *builder
	result  Rebuilt
	// retired are the directories of uploads that reclaim entries of the old index
	// speak of, and unsettled the payloads of its intents, which opening the mountpath
	// settles. expected are the directories of parts that its intents and reclaim entries
	// speak of: of some there may be no more than the directory. imports are those whose
	// parts were on their way here as those of an object from elsewhere.
	retired   map[string]bool
	unsettled map[objects.Generation]bool
	expected  map[string]bool
	imports   map[string]bool
}

// Rebuild makes a new index for a mountpath and puts it in the place of the old
// one, which it keeps aside. What the old one still yields is taken over where the
// files agree; everything else comes from attributes, manifests and parts. An
// interrupted rebuild is run again. The mount was opened to be written.
func Rebuild(m *Mount, o RebuildOptions) (*Rebuilt, error) {
	const op errs.Op = "offline.Rebuild"
	if o.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(quiet)
	}
	r := &rebuilding{
		RebuildOptions: o, mount: m, retired: make(map[string]bool), unsettled: make(map[objects.Generation]bool),
		expected: make(map[string]bool), imports: make(map[string]bool),
	}
	r.result.Mountpath = m.Name
	old, done, err := m.unfinished()
	if err != nil {
		return nil, errs.E(op, m.Name, errs.IO, err)
	}
	if done {
		r.result.Finished, r.result.Old = true, OldIgnored
		return &r.result, errs.Wrap(op, m.unmark())
	}
	if r.builder, err = m.newBuilder(o.Log); err != nil {
		return nil, errs.E(op, m.Name, err)
	}
	err = r.build(old)
	if err != nil {
		return nil, errs.E(op, m.Name, errors.Join(err, r.builder.close()))
	}
	if err := r.builder.finish(); err != nil {
		return nil, errs.E(op, m.Name, err)
	}
	// Files that were put in the relaxed class may not be durable, and the journal
	// that says so is the old index's.
	if err := m.FS.SyncAll(); err != nil {
		return nil, errs.E(op, m.Name, errs.IO, err)
	}
	if r.result.MovedTo, err = m.exchange(old, o.Now); err != nil {
		return nil, errs.E(op, m.Name, err)
	}
	return &r.result, nil
}

func (r *rebuilding) build(old string) error {
	if err := r.takeOver(old); err != nil {
		return err
	}
	if err := r.fromFiles(); err != nil {
		return err
	}
	if err := r.fromUploads(); err != nil {
		return err
	}
	if err := r.fromVersions(); err != nil {
		return err
	}
	return r.countTrash()
}

func (r *rebuilding) found(f Finding) {
	r.result.Findings++
	if r.Found != nil {
		f.Mountpath = r.mount.Name
		r.Found(f)
	}
}

func (r *rebuilding) sees(g objects.Generation) {
	r.result.Start = max(r.result.Start, r.mount.startOf(g))
}

// unreadable is told of files and directories that cannot be looked at.
func (r *rebuilding) unreadable(name string, err error) {
	r.found(Finding{Level: Fault, Kind: "unreadable", Path: layout.Text(name), Detail: err.Error()})
}

// fromFiles makes the objects that plain files say they are.
func (r *rebuilding) fromFiles() error {
	return r.mount.payloadFiles(func(name string) error {
		o, finding := r.mount.candidate(name, r.Buckets)
		if finding != nil {
			r.found(*finding)
		}
		if o == nil {
			if finding.Level == Fault {
				r.result.FilesLost++
			}
			return nil
		}
		return r.restore(o, nil)
	}, r.unreadable)
}

// restore puts an object into the new index unless it has a newer one of the key,
// or knows that this one was deleted.
func (r *rebuilding) restore(o *Object, extra func() error) error {
	r.sees(o.Meta.Payload)
	if r.unsettled[o.Meta.Payload] {
		return nil // its intent is taken over: opening the mountpath goes forward with it
	}
	recordKey := layout.ObjectKey(nil, o.Key.Bucket.ID, o.Key.Name)
	value, err := r.builder.get(recordKey)
	if err != nil {
		return err
	}
	var have *objects.Meta
	if value != nil {
		if have, err = layout.DecodeRecord(value); err != nil {
			return err // we wrote it
		}
		if have.Payload == o.Meta.Payload {
			return nil // the old index had it
		}
	}
	retired, err := r.isRetired(o)
	if err != nil || retired {
		return err
	}
	if have != nil && have.Generation.Compare(o.Meta.Generation) > 0 {
		r.found(Finding{Level: Orphan, Kind: "superseded", Path: layout.Text(o.Meta.Path), Detail: fmt.Sprintf("payload %s; the object has the newer %s", o.Meta.Payload, have.Payload)}.of(o.Key))
		return nil
	}
	if r.Verify || o.Meta.Class == objects.Relaxed {
		if _, err := o.WriteTo(io.Discard); err != nil {
			r.result.FilesLost++
			r.found(Finding{Level: Fault, Kind: "damaged payload", Path: layout.Text(o.path), Detail: err.Error()}.of(o.Key))
			return nil
		}
	}
	if have != nil {
		if err := r.forget(o.Key, have); err != nil {
			return err
		}
	}
	if err := r.builder.put(recordKey, layout.AppendRecord(nil, &o.Meta)); err != nil {
		return err
	}
	if o.Meta.Where == objects.Chunks {
		r.result.Chunked++
		key := layout.PayloadKey(nil, o.Key.Bucket.ID, o.Key.Name, o.Meta.Payload)
		if err := r.builder.put(key, layout.AppendParts(nil, o.parts)); err != nil {
			return err
		}
	} else {
		r.result.Files++
	}
	r.result.FromFiles++
	if extra != nil {
		return extra()
	}
	return nil
}

// forget takes back an object that a newer one replaces.
func (r *rebuilding) forget(key objects.Key, have *objects.Meta) error {
	switch have.Where {
	case objects.Inline:
		r.result.Inline--
	case objects.Chunks:
		r.result.Chunked--
	default:
		r.result.Files--
	}
	if have.Generation == have.Payload && have.Where == objects.File {
		r.result.FromFiles--
	} else {
		r.result.FromIndex--
	}
	return r.builder.drop(layout.PayloadKey(nil, key.Bucket.ID, key.Name, have.Payload))
}

// isRetired reports whether a reclaim entry says that the object was deleted or
// replaced.
func (r *rebuilding) isRetired(o *Object) (bool, error) {
	if o.Meta.Where == objects.Chunks && r.retired[layout.UploadDir(o.Meta.Path)] {
		return true, nil
	}
	entry, err := r.builder.get(layout.ReclaimKey(nil, o.Key.Bucket.ID, o.Key.Name, o.Meta.Payload))
	return entry != nil, err
}

// fromUploads makes the objects that manifests speak of, and the uploads under
// way that parts speak of.
func (r *rebuilding) fromUploads() error {
	dirs, err := r.mount.list(layout.PartsDir)
	if err != nil {
		return err
	}
	for _, e := range dirs {
		dir := layout.PartsDir + "/" + e.Name
		if !e.Dir || r.retired[dir] {
			continue
		}
		if r.imports[dir] && r.result.Old == OldWhole {
			continue // an object that was on its way here is where it came from; opening the mountpath removes what came of it
		}
		retired, err := r.mount.exists(dir + "/" + layout.RetiredName)
		if err != nil {
			return err
		}
		if retired {
			continue
		}
		o, manifest, finding := r.mount.completed(dir, r.Buckets)
		if finding != nil {
			r.found(*finding)
		}
		if o != nil {
			underWay, err := r.builder.get(layout.UploadKey(nil, o.Key.Bucket.ID, o.Key.Name, o.Meta.Path))
			if err != nil {
				return err
			}
			if underWay != nil {
				continue // the old index says that it was not completed: the manifest is of a try that failed
			}
			if err := r.restore(o, nil); err != nil {
				return err
			}
		} else if manifest == nil {
			if err := r.uploadUnderWay(dir, finding != nil); err != nil {
				return err
			}
		} else {
			r.result.FilesLost++
		}
	}
	return nil
}

// fromVersions makes records of noncurrent versions; none of them becomes current.
func (r *rebuilding) fromVersions() error {
	return r.mount.files(layout.VersionsDir, func(name string) error {
		attribute, err := r.mount.readAttribute(name)
		info, statErr := r.mount.FS.Stat(name)
		if err = errors.Join(err, statErr); err != nil || attribute == nil || layout.VersionPath(attribute.Payload) != name || info.Size != attribute.Size {
			r.found(Finding{Level: Fault, Kind: "damaged version", Path: layout.Text(name), Detail: fmt.Sprint(err)})
			return nil
		}
		if _, live := r.Buckets.live(attribute.Key.Bucket.ID); !live {
			r.found(Finding{Level: Orphan, Kind: "of no bucket", Path: layout.Text(name)}.of(attribute.Key))
			return nil
		}
		o := r.mount.fileObject(name, attribute, info)
		r.sees(o.Meta.Payload)
		lower, upper := layout.NameBounds(layout.KindVersion, o.Key.Bucket.ID, o.Key.Name)
		known, err := r.hasVersion(lower, upper, o.Meta.Payload)
		if err != nil || known {
			return err
		}
		r.result.Versions++
		r.result.FromFiles++
		return r.builder.put(layout.VersionKey(nil, o.Key.Bucket.ID, o.Key.Name, o.Meta.Generation), layout.AppendRecord(nil, &o.Meta))
	}, r.unreadable)
}

// hasVersion reports whether a noncurrent version with that payload is in the new
// index.
func (r *rebuilding) hasVersion(lower, upper []byte, payload objects.Generation) (bool, error) {
	if err := r.builder.flush(0); err != nil {
		return false, err
	}
	scan, err := r.builder.index.Scan(lower, upper)
	if err != nil {
		return false, err
	}
	for scan.Next() {
		value, err := scan.Value()
		if err != nil {
			return false, errors.Join(err, scan.Close())
		}
		if meta, err := layout.DecodeRecord(value); err == nil && meta.Payload == payload {
			return true, scan.Close()
		}
	}
	return false, errors.Join(scan.Err(), scan.Close())
}

// countTrash says what the trash holds; rebuild takes nothing from it.
func (r *rebuilding) countTrash() error {
	return r.mount.files(layout.TrashDir, func(name string) error {
		info, err := r.mount.FS.Stat(name)
		if err != nil {
			r.unreadable(name, err)
			return nil
		}
		r.result.TrashFiles++
		r.result.TrashBytes += info.Size
		return nil
	}, r.unreadable)
}
