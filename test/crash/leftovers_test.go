package crash

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// drain reclaims until nothing is left to reclaim.
func drain(s *store.Store) error {
	if err := s.Checkpoint(); err != nil {
		return err
	}
	for {
		n, err := s.Reclaim(100)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if n, bytes := s.Reclaimable(); n != 0 || bytes != 0 {
		return fmt.Errorf("%d payloads, %d bytes are still to be reclaimed", n, bytes)
	}
	return nil
}

// leftovers looks at every file and every entry of the index of a store that was
// drained. Everything must have an owner: a record, an upload, or Troupe itself.
func leftovers(fs disk.FS, s *store.Store, buckets []objects.Bucket) error {
	owned := make(map[string]bool)   // payload files
	uploads := make(map[string]bool) // directories below parts
	entries := make(map[string]bool) // index keys of payloads
	for _, b := range buckets {
		page, err := s.List(store.ListRequest{Bucket: b, Limit: 50})
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			key := objects.Key{Bucket: b, Name: e.Name}
			meta, err := s.Head(key)
			if err != nil {
				return err
			}
			switch meta.Where {
			case objects.File:
				name := meta.Path
				if name == "" {
					name, _ = layout.NaturalPath(b, e.Name)
				}
				owned[name] = true
				if !layout.DraftFits(&meta.Draft) {
					owned[layout.SidecarPath(meta.Payload)] = true
				}
			case objects.Chunks:
				uploads[layout.UploadDir(meta.Path)] = true
				owned[layout.ManifestPath(meta.Path)] = true
				entries[string(layout.PayloadKey(nil, b.ID, e.Name, meta.Payload))] = true
				opened, err := s.Open(key, nil)
				if err != nil {
					return err
				}
				for _, p := range opened.Parts.Parts {
					owned[layout.PartPath(meta.Path, p.Number, p.Payload)] = true
				}
				opened.Close()
			case objects.Inline:
				entries[string(layout.PayloadKey(nil, b.ID, e.Name, meta.Payload))] = true
			}
		}
		under, err := s.Uploads(b, "", "", "", 1000)
		if err != nil {
			return err
		}
		for _, u := range under.Uploads {
			uploads[layout.UploadDir(u.ID)] = true
			parts, err := s.Parts(objects.Key{Bucket: b, Name: u.Name}, u.ID, 0, 1000)
			if err != nil {
				return err
			}
			for _, p := range parts.Parts {
				owned[layout.PartPath(u.ID, p.Number, p.Payload)] = true
			}
		}
	}
	if err := entriesLeft(s, buckets, entries); err != nil {
		return err
	}
	return filesLeft(fs, owned, uploads)
}

// entriesLeft walks the index.
func entriesLeft(s *store.Store, buckets []objects.Bucket, payloads map[string]bool) error {
	live := make(map[objects.BucketID]bool)
	for _, b := range buckets {
		live[b.ID] = true
	}
	scan, err := s.Index().Scan(nil, nil)
	if err != nil {
		return err
	}
	var wrong []string
	for scan.Next() {
		key := scan.Key()
		var bucket objects.BucketID
		switch key[0] {
		case layout.KindObject:
			bucket, _, err = layout.ParseObjectKey(key)
		case layout.KindUpload:
			bucket, _, _, _, err = layout.ParseUploadKey(key)
		case layout.KindPayload:
			bucket, _, _, err = layout.ParsePayloadKey(key)
			if !payloads[string(key)] {
				wrong = append(wrong, fmt.Sprintf("the payload %q has no record", key))
			}
		case layout.KindJournal:
			_, segment := layout.SegmentOf(key)
			_, destroyed := layout.ParseDestroyedKey(key)
			if k := string(key); k != string(layout.BootKey()) && k != string(layout.CheckpointKey()) && segment != nil && destroyed != nil {
				wrong = append(wrong, fmt.Sprintf("the entry %q is left in a journal", key))
			}
			continue
		default:
			wrong = append(wrong, fmt.Sprintf("the entry %q is left", key))
			continue
		}
		if err != nil || !live[bucket] {
			wrong = append(wrong, fmt.Sprintf("the entry %q is no live bucket's (%v)", key, err))
		}
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("left in the index: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// recorded checks that the history has an entry of every record that is there, delete
// markers too: what was acknowledged is in it, and so is what a recovery made of the rest.
func recorded(s *store.Store, buckets []objects.Bucket) error {
	type write struct {
		bucket     objects.BucketID
		name       string
		generation objects.Generation
	}
	writes := make(map[write]bool)
	scan, err := s.Index().Scan(layout.HistoryBounds())
	if err != nil {
		return err
	}
	for scan.Next() {
		place, err := layout.ParseMutationKey(scan.Key())
		if err != nil {
			continue // a segment
		}
		value, err := scan.Value()
		var m *objects.Mutation
		if err == nil {
			m, err = layout.DecodeMutation(value)
		}
		if err != nil {
			return errors.Join(err, scan.Close())
		}
		if m.Generation.IsZero() {
			m.Generation = place.Arrival
		}
		writes[write{place.Bucket, place.Name, m.Generation}] = true
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return err
	}
	var failures []error
	for _, b := range buckets {
		page, err := s.List(store.ListRequest{Bucket: b, Limit: 1000, Whole: true, Markers: messages.AllMarkers})
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if !writes[write{b.ID, e.Name, e.Meta.Generation}] {
				failures = append(failures, fmt.Errorf("%s is of generation %s, of which its history has no entry", e.Name, e.Meta.Generation))
			}
		}
	}
	return errors.Join(failures...)
}

// filesLeft walks the filesystem.
func filesLeft(fs disk.FS, owned, uploads map[string]bool) error {
	var wrong []string
	seen := make(map[string]bool)
	ours := []string{layout.FormatFile, layout.LockFile, layout.IndexMadeFile}
	var walk func(dir string) error
	walk = func(dir string) error {
		var entries []disk.Entry
		if err := fs.ReadDir(dir, func(e disk.Entry) bool { entries = append(entries, e); return true }); err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name)
			switch {
			case name == layout.IndexDir:
			case e.Dir:
				if path.Dir(name) == layout.PartsDir && !uploads[name] {
					wrong = append(wrong, "the directory "+name+" belongs to no upload")
				}
				if path.Dir(name) == layout.TrashDir || path.Dir(name) == layout.WorkDir {
					wrong = append(wrong, "the directory "+name)
				}
				if err := walk(name); err != nil {
					return err
				}
			case name == dir+"/manifest.json" && uploads[dir]: // perhaps of a completion that was interrupted
				seen[name] = true
			case owned[name]:
				seen[name] = true
			case slices.Contains(ours, name):
			case uploads[path.Dir(name)] && strings.HasSuffix(name, ".json"): // sidecars of parts, and manifests of completions that failed
			default:
				wrong = append(wrong, "the file "+name)
			}
		}
		return nil
	}
	if err := walk("."); err != nil {
		return err
	}
	for name := range owned {
		if !seen[name] {
			wrong = append(wrong, "missing: "+name)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("left on the disk: %s", strings.Join(wrong, "; "))
	}
	return nil
}
