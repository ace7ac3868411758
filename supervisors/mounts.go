package supervisors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// mount is one directory on its way to being a mountpath of the node.
type mount struct {
	path   string // absolute, symbolic links resolved
	linux  *disk.Linux
	fs     disk.FS        // linux, or what the fault desk put around it
	format *layout.Format // nil: it is new
	events chan store.Event
	store  *store.Store
}

// eventRoom is how many events of a disk wait for its coordinator; a disk that
// fails faster is judged by those.
const eventRoom = 64

// findMounts opens the directories given: each exists or is made, is no other's,
// and none lies in another.
func findMounts(config Config) (mounts []*mount, err error) {
	const op errs.Op = "supervisors.findMounts"
	defer func() {
		if err != nil {
			closeMounts(mounts)
			mounts = nil
		}
	}()
	for _, dir := range config.Data {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return mounts, errs.E(op, dir, errs.IO, err)
		}
		path, err := filepath.Abs(dir)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return mounts, errs.E(op, dir, errs.IO, err)
		}
		for _, m := range mounts {
			if m.path == path {
				return mounts, errs.E(op, dir, errs.Invalid, errors.New("the directory is given twice"))
			}
			if isBelow(path, m.path) || isBelow(m.path, path) {
				return mounts, errs.E(op, dir, errs.Invalid, fmt.Errorf("it and %s lie one in the other", m.path))
			}
		}
		m := &mount{path: path, events: make(chan store.Event, eventRoom)}
		if m.linux, err = disk.NewLinux(path); err != nil {
			return mounts, errs.E(op, dir, err)
		}
		m.fs = m.linux
		mounts = append(mounts, m)
		if config.Faults != nil {
			if m.fs, err = config.Faults.Disk(path, m.linux); err != nil {
				return mounts, errs.E(op, dir, err)
			}
		}
		if err := m.linux.CheckAttributes(); err != nil {
			return mounts, errs.E(op, dir, errs.Invalid, err)
		}
		m.format, err = store.ReadFormat(m.fs)
		if err != nil && !errs.Is(errs.NotFound, err) {
			return mounts, errs.E(op, dir, err)
		}
		if m.format == nil {
			if err := isFresh(path); err != nil {
				return mounts, errs.E(op, dir, errs.Invalid, err)
			}
		}
	}
	return mounts, nil
}

// isNamed reports whether a mountpath of the documents was at the path.
func isNamed(mountpaths []embedded.Mountpath, path string) bool {
	for _, m := range mountpaths {
		if m.Path == path {
			return true
		}
	}
	return false
}

// hasBuckets reports whether there may be objects that a change of placement hides.
func hasBuckets(documents *embedded.Documents) bool {
	for _, doc := range documents.Buckets() {
		if doc.State != objects.BucketDestroyed {
			return true
		}
	}
	return false
}

func isBelow(path, other string) bool {
	return strings.HasPrefix(path, other+string(filepath.Separator))
}

// isFresh reports, as an error, why a directory that is no mountpath yet must not
// become one: someone else's files are in it. What a crash left of an earlier
// attempt to format it is nobody's.
func isFresh(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != layout.Private && e.Name() != "lost+found" {
			return fmt.Errorf("it is neither empty nor a mountpath: it holds %q", e.Name())
		}
	}
	return nil
}

// identify reads the node's documents from the mountpaths that have them, and
// makes the others the node's own. It returns the documents and the mountpaths
// in the order of the document, those that are missing included. An empty
// directory where the documents name a mountpath is one that is missing: its disk
// is not mounted; it is left alone, and its format stays nil.
func identify(mounts []*mount, now time.Time) (*embedded.Documents, []embedded.Mountpath, error) {
	const op errs.Op = "supervisors.identify"
	var old []embedded.Shelf
	for _, m := range mounts {
		if m.format != nil {
			old = append(old, store.Shelf{FS: m.fs, Name: m.path})
		}
	}
	documents, err := embedded.Open(old)
	if err != nil {
		return nil, nil, errs.E(op, err)
	}
	node := documents.Node()
	known := make(map[string]int) // mountpath id → position in the document
	all := append([]embedded.Mountpath(nil), node.Mountpaths...)
	for i, m := range all {
		known[m.ID] = i
	}
	for _, m := range mounts {
		if m.format == nil {
			continue
		}
		if node.Version > 0 && (m.format.NodeID != node.NodeID || m.format.ClusterID != node.ClusterID) {
			return nil, nil, errs.E(op, m.path, errs.Invalid, fmt.Errorf("it belongs to node %s of cluster %s; the others belong to node %s of cluster %s", m.format.NodeID, m.format.ClusterID, node.NodeID, node.ClusterID))
		}
		if i, ok := known[m.format.MountpathID]; ok {
			all[i].Path = m.path
		} else {
			known[m.format.MountpathID] = len(all)
			all = append(all, embedded.Mountpath{ID: m.format.MountpathID, Path: m.path})
		}
	}
	for _, m := range mounts {
		if m.format != nil {
			continue
		}
		if isNamed(all, m.path) {
			continue
		}
		if len(old) > 0 && hasBuckets(documents) {
			return nil, nil, errs.E(op, m.path, errs.Invalid, errors.New("a mountpath cannot be added to a node that has buckets: objects would have to move to it first, which no job does yet; leave the directory out"))
		}
		id, err := embedded.NewID()
		if err != nil {
			return nil, nil, errs.E(op, err)
		}
		m.format = &layout.Format{
			Version: layout.FormatVersion, ClusterID: node.ClusterID, NodeID: node.NodeID, MountpathID: id,
			IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: now.UTC().Truncate(time.Second),
		}
		if err := store.Format(m.fs, *m.format); err != nil {
			return nil, nil, errs.E(op, m.path, err)
		}
		all = append(all, embedded.Mountpath{ID: id, Path: m.path})
	}
	return documents, all, nil
}

// openStores opens every mountpath's store, side by side. One that cannot be
// opened is offline with the reason; only when none can the node does not start.
func openStores(mounts []*mount, all []embedded.Mountpath, o store.Options) ([]mountpath.Mount, error) {
	result := make([]mountpath.Mount, len(all))
	var group sync.WaitGroup
	for i, m := range all {
		result[i] = mountpath.Mount{ID: m.ID, Path: m.Path, Why: "it is missing: no directory that was given holds it; is its disk mounted?"}
		for _, candidate := range mounts {
			if candidate.format == nil || candidate.format.MountpathID != m.ID {
				continue
			}
			group.Add(1)
			go func() {
				defer group.Done()
				options := o
				options.FS = candidate.fs
				options.Log = o.Log.WithField("mountpath", candidate.path)
				options.OnEvent = func(e store.Event) {
					select {
					case candidate.events <- e:
					default: // the disk is judged by those that wait
					}
				}
				result[i].Events = candidate.events
				var err error
				if candidate.store, err = store.Open(options); err != nil {
					result[i].Why = err.Error()
					return
				}
				result[i].Store, result[i].Why = candidate.store, ""
			}()
		}
	}
	group.Wait()
	var reasons []error
	for _, m := range result {
		if m.Store != nil {
			return result, nil
		}
		reasons = append(reasons, errs.E("supervisors.openStores", m.Path, errs.Offline, errors.New(m.Why)))
	}
	return result, errors.Join(reasons...)
}

// dropDestroyed removes what mountpaths still have of buckets that are destroyed.
func dropDestroyed(documents *embedded.Documents, mounts []mountpath.Mount) error {
	for _, doc := range documents.Buckets() {
		if doc.State != objects.BucketDestroyed {
			continue
		}
		everywhere := true
		for _, m := range mounts {
			if m.Store == nil {
				everywhere = false
				continue
			}
			if err := m.Store.DropBucket(doc.Bucket); err != nil {
				return errs.E("supervisors.dropDestroyed", doc.Bucket, err)
			}
		}
		if everywhere {
			if err := documents.Forget(doc.ID); err != nil {
				return errs.E("supervisors.dropDestroyed", doc.Bucket, err)
			}
		}
	}
	return nil
}

// closeMounts closes stores and filesystems, and returns what failed.
func closeMounts(mounts []*mount) error {
	var failures []error
	for _, m := range mounts {
		if m.store != nil {
			failures = append(failures, m.store.Close())
		}
		failures = append(failures, m.linux.Close())
	}
	return errors.Join(failures...)
}
