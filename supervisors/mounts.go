package supervisors

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// findMounts opens the directories given: each exists or is made, is no other's,
// and none lies in another. One that is refused is the cause why the node does not
// start; one that is in trouble is judged by identify.
func findMounts(config Config, shared *sharedStores) (mounts []*mount, err error) {
	const op errs.Op = "supervisors.findMounts"
	defer func() {
		if err != nil {
			err = errors.Join(err, closeMounts(mounts))
			mounts = nil
		}
	}()
	for _, dir := range config.Data {
		at, err := resolve(dir)
		if err != nil {
			return mounts, errs.E(op, dir, errs.IO, err)
		}
		m := newMount(at, shared)
		if err := m.look(config, mounts); err != nil {
			return append(mounts, m), errs.E(op, dir, err)
		}
		if m.trouble != nil && at.made != nil {
			m.trouble = errs.E(op, dir, errs.IO, at.made)
		}
		mounts = append(mounts, m)
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

// isDisabled reports whether an operator has disabled the mountpath of an id.
func isDisabled(mountpaths []embedded.Mountpath, id string) bool {
	for _, m := range mountpaths {
		if m.ID == id {
			return m.Disabled != ""
		}
	}
	return false
}

// whyNone says why no mountpath of those found can be used.
func whyNone(mounts []*mount) error {
	var reasons []error
	for _, m := range mounts {
		switch {
		case m.trouble != nil:
			reasons = append(reasons, m.trouble)
		case m.format == nil:
			reasons = append(reasons, fmt.Errorf("%s: %w", m.path, errMissing))
		default:
			reasons = append(reasons, fmt.Errorf("%s: an operator disabled it", m.path))
		}
	}
	return fmt.Errorf("no mountpath can be used: %w", errors.Join(reasons...))
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

// identify reads the node's documents from the mountpaths that have them, and
// makes the others the node's own. It returns the documents and the mountpaths
// in the order of the document, those that are missing included. An empty
// directory where the documents name a mountpath is one that is missing: its disk
// is not mounted; it is left alone, and its format stays nil. A directory that is
// new to a node with buckets joins it, by a transition that begins with this start, or
// with a later one if another transition is under way.
func identify(mounts []*mount, now time.Time, clusterOf func(own string, been bool) (string, error)) (*embedded.Documents, []embedded.Mountpath, error) {
	const op errs.Op = "supervisors.identify"
	var old []embedded.Shelf
	for _, m := range mounts {
		if m.format != nil && m.trouble == nil {
			old = append(old, m.shelf())
		}
	}
	documents, err := embedded.Open(old)
	if err != nil {
		return nil, nil, errs.E(op, err)
	}
	if err := adopt(documents, mounts); err != nil {
		return nil, nil, errs.E(op, err)
	}
	own := documents.Node().ClusterID
	if len(old) == 0 {
		own = ""
	}
	id, err := clusterOf(own, documents.Cluster() != nil)
	if err != nil {
		return nil, nil, errs.E(op, err)
	}
	if own == "" && id != "" {
		documents.Adopt(id, documents.Node().NodeID)
	}
	node := documents.Node()
	known := make(map[string]int) // mountpath id → position in the document
	all := append([]embedded.Mountpath(nil), node.Mountpaths...)
	for i, m := range all {
		known[m.ID] = i
	}
	paths := make(map[string]string) // mountpath id → directory given
	var joining []string             // ids
	moves := len(old) > 0 && hasBuckets(documents)
	for _, m := range mounts {
		if m.format == nil {
			continue
		}
		if twin := paths[m.format.MountpathID]; twin != "" {
			return nil, nil, errs.E(op, m.path, errs.Invalid, fmt.Errorf("it and %s are the same mountpath %s: one is a copy of the other", twin, m.format.MountpathID))
		}
		paths[m.format.MountpathID] = m.path
		if m.format.NodeID != node.NodeID || m.format.ClusterID != node.ClusterID {
			return nil, nil, errs.E(op, m.path, errs.Invalid, foreign(m.format, node))
		}
		if slices.Contains(node.Removed, m.format.MountpathID) {
			m.left, m.givenUp = true, slices.Contains(node.GivenUp, m.format.MountpathID)
			continue
		}
		if i, ok := known[m.format.MountpathID]; ok {
			all[i].Path = m.path
		} else if node.Transition != nil {
			m.waits = true
		} else {
			if moves { // a kill kept it from being named
				joining = append(joining, m.format.MountpathID)
			}
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
		if m.trouble != nil {
			return nil, nil, m.trouble
		}
		if node.Transition != nil {
			m.waits = true
			continue
		}
		id, err := embedded.NewID()
		if err != nil {
			return nil, nil, errs.E(op, err)
		}
		if moves {
			joining = append(joining, id)
		}
		m.format = newFormat(node, id, now)
		if err := store.Format(m.fs, *m.format); err != nil {
			return nil, nil, errs.E(op, m.path, err)
		}
		all = append(all, embedded.Mountpath{ID: id, Path: m.path})
	}
	if len(joining) > 0 {
		if err := documents.WillJoin(joining); err != nil {
			return nil, nil, errs.E(op, err)
		}
	}
	return documents, all, nil
}

// adopt has a node that no document names go by the formats of its mountpaths.
func adopt(documents *embedded.Documents, mounts []*mount) error {
	if documents.Node().Version > 0 {
		return nil
	}
	var first *mount
	for _, m := range mounts {
		switch {
		case m.format == nil:
		case first == nil:
			first = m
			documents.Adopt(m.format.ClusterID, m.format.NodeID)
		case m.format.NodeID != first.format.NodeID || m.format.ClusterID != first.format.ClusterID:
			return errs.E("supervisors.adopt", m.path, errs.Invalid, foreign(m.format, documents.Node()))
		}
	}
	return nil
}

// openStores opens every mountpath's store, side by side: to be read only where the
// filesystem takes no writes. One that cannot be opened is offline with the reason; only when none can the node does not start.
func (o *opener) openStores(all []embedded.Mountpath) ([]mountpath.Mount, error) {
	result := make([]mountpath.Mount, len(all))
	var group sync.WaitGroup
	for i, named := range all {
		m := o.mountOf(named)
		r := &result[i]
		*r = o.describe(m, named)
		switch {
		case r.Disabled:
			r.Why = named.Disabled
		case m.trouble != nil && !m.isReadOnly():
			r.Why = m.trouble.Error()
		case m.linux == nil:
			r.Why = "it is missing: no directory that was given holds it; is its disk mounted?"
		case m.format == nil:
			r.Why = "it is missing: " + errMissing.Error()
			if err := m.closeFiles(); err != nil {
				return nil, err
			}
		default:
			group.Go(func() {
				var err error
				if r.Store, err = m.openStore(o.options); err == nil {
					return
				}
				if r.Why = err.Error(); m.isReadOnly() {
					r.ReadOnly, r.Why = true, errors.Join(m.trouble, err, m.closeFiles()).Error()
				}
			})
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

// describe is what the supervisor of mountpaths gets of a mount.
func (o *opener) describe(m *mount, named embedded.Mountpath) mountpath.Mount {
	return mountpath.Mount{
		ID: named.ID, Path: named.Path, Given: m.given, Events: m.events, Disabled: named.Disabled != "",
		Open:  func() (*store.Store, error) { return o.open(m, named.ID) },
		Close: m.closeStore,
		Away:  func(reason string, byOperator bool) error { return o.documents.SetAway(named.ID, reason, byOperator) },
	}
}

// mountOf returns the mount of a mountpath that the documents name: the directory
// that holds it, the one at its path, or one that was not given.
func (o *opener) mountOf(named embedded.Mountpath) *mount {
	for _, m := range o.mounts.all() {
		if m.format != nil && m.format.MountpathID == named.ID {
			return m
		}
	}
	for _, m := range o.mounts.all() {
		if m.format == nil && m.path == named.Path {
			return m
		}
	}
	m := newMount(directory{given: named.Path, path: named.Path}, &o.shared)
	o.mounts.add(m)
	return m
}

// dropDestroyed removes what mountpaths still have of buckets that are destroyed.
func dropDestroyed(documents *embedded.Documents, mounts []mountpath.Mount) error {
	for _, doc := range documents.Buckets() {
		if doc.State != objects.BucketDestroyed {
			continue
		}
		everywhere := true
		for _, m := range mounts {
			if m.Store == nil || m.Store.ReadOnly() {
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
		failures = append(failures, m.close())
	}
	return errors.Join(failures...)
}
