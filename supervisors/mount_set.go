package supervisors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// set is how the node's set of mountpaths changes while it runs.
func (o *opener) set() mountpath.Set {
	transition := func(node embedded.Node, err error) (*messages.Transition, error) {
		return transitionOf(node.Transition), err
	}
	return mountpath.Set{
		Resolve: fromHere(),

		Join:   o.join,
		Leave:  func(id string) (*messages.Transition, error) { return transition(o.documents.Leave(id)) },
		Turn:   func() (*messages.Transition, error) { return transition(o.documents.Turn()) },
		Began:  func(to []string, job string) error { _, err := o.documents.SetTransitionJob(to, job); return err },
		Finish: func(to []string) error { _, err := o.documents.FinishTransition(to); return err },
		Retire: o.retire,
		GiveUp: func(id string) (*messages.Transition, []messages.LostMountpath, error) {
			node, err := o.documents.GiveUp(id, (o.config.Cluster.enabled() || o.config.Road != nil) && (isCopied(o.documents.Buckets()) || o.isGivenKeys()))
			return transitionOf(node.Transition), lostOf(node.Lost), err
		},
		Found: func(ids []string) ([]messages.LostMountpath, error) {
			node, err := o.documents.Found(ids)
			return lostOf(node.Lost), err
		},
		Mounts: o.mountState, PutMounts: o.documents.PutMounts,
		Drop: o.drop,
		Buckets: func() []objects.Bucket {
			var buckets []objects.Bucket
			for _, doc := range o.documents.Buckets() {
				if doc.State == objects.BucketLive {
					buckets = append(buckets, doc.Bucket)
				}
			}
			return buckets
		},
	}
}

// mountState is what the documents know of the mount map.
func (o *opener) mountState() (state mountpath.MountState, err error) {
	err = o.documents.ClaimMounts()
	state.Latest, state.Served = o.documents.Mounts()
	state.Kept = o.documents.Kept()
	return state, err
}

// transitionOf is the document's transition for those who serve.
func transitionOf(t *embedded.Transition) *messages.Transition {
	if t == nil {
		return nil
	}
	return &messages.Transition{From: t.From, To: t.To, Job: t.Job, Turned: t.Turned}
}

// lostOf is what the document says is lost, for those who serve.
func lostOf(list []embedded.Lost) (lost []messages.LostMountpath) {
	for _, l := range list {
		lost = append(lost, messages.NewLostMountpath(l.ID, l.Among))
	}
	return lost
}

// isCopied reports whether several nodes keep what a bucket has: then what a node lacks of
// it need not be absent.
func isCopied(buckets []*objects.BucketDoc) bool {
	return slices.ContainsFunc(buckets, func(doc *objects.BucketDoc) bool {
		return doc.State != objects.BucketDestroyed && doc.MostCopies() > 1
	})
}

// isGivenKeys reports whether a plan of the cluster gives keys to this node: others have
// what was copied here, also of buckets with one copy, until their slots go over. Where it
// cannot be told they may.
func (o *opener) isGivenKeys() bool {
	adopted, err := archive{o.documents}.Load()
	if err != nil || len(adopted.Map) == 0 {
		return err != nil
	}
	m, err := smap.Parse(adopted.Map)
	if err != nil {
		return true
	}
	next, _ := m.Next()
	return slices.Contains(next.Placement, smap.NodeID(o.documents.Node().NodeID))
}

// directory is where a mountpath is to be.
type directory struct {
	given string // absolute
	path  string // symbolic links resolved
	made  error  // why it could not be made; then it shows itself when it is looked at
}

// resolve makes a directory if there is none, and returns its paths.
func resolve(dir string) (d directory, err error) {
	if d.given, err = filepath.Abs(dir); err != nil {
		return d, err
	}
	d.path, d.made = d.given, os.MkdirAll(d.given, 0o755)
	if resolved, err := filepath.EvalSymlinks(d.given); err == nil {
		d.path = resolved
	}
	return d, nil
}

// fromHere returns what makes paths absolute that are relative to where the node was
// started, as resolve does and with no disk asked.
func fromHere() func(path string) string {
	here, err := os.Getwd()
	return func(path string) string {
		if filepath.IsAbs(path) || err != nil { // nobody can say then what a relative one means
			return filepath.Clean(path)
		}
		return filepath.Join(here, path)
	}
}

// join makes a directory a mountpath of the running node: checked as at a start,
// formatted, opened, and named by the documents, which begin the transition.
func (o *opener) join(dir string) (_ mountpath.Mount, _ *messages.Transition, err error) {
	const op errs.Op = "supervisors.join"
	at, err := resolve(dir)
	if err != nil {
		return mountpath.Mount{}, nil, errs.E(op, dir, errs.Invalid, err)
	}
	m, path := newMount(at, &o.shared), at.path
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if err := m.look(o.config, o.mounts.all()); err != nil {
		return mountpath.Mount{}, nil, errs.E(op, err)
	}
	if m.trouble != nil {
		return mountpath.Mount{}, nil, errs.E(op, path, errs.Offline, m.trouble, at.made)
	}
	mountpaths := len(o.documents.Node().Mountpaths) + 1
	if err := o.checkDescriptors(path, mountpaths); err != nil {
		return mountpath.Mount{}, nil, errs.E(op, path, err)
	}
	if err := o.format(m, o.options.Now()); err != nil {
		return mountpath.Mount{}, nil, errs.E(op, err)
	}
	id := m.format.MountpathID
	options := o.options
	options.MemTableBytes = o.memTableBytes(mountpaths)
	s, err := m.openStore(options)
	if err != nil {
		return mountpath.Mount{}, nil, errs.E(op, path, err)
	}
	node, err := o.documents.Join(m.shelf(), path)
	if err != nil {
		return mountpath.Mount{}, nil, errs.E(op, path, err)
	}
	o.mounts.add(m)
	o.divide()
	mount := o.describe(m, embedded.Mountpath{ID: id, Path: path})
	mount.Store = s
	return mount, transitionOf(node.Transition), nil
}

// format makes the directory of a mount a mountpath of the node, unless it is one
// that was on its way to becoming one. One that has left the node begins anew.
func (o *opener) format(m *mount, now time.Time) error {
	const op errs.Op = "supervisors.format"
	node := o.documents.Node()
	if m.format != nil {
		switch {
		case m.format.NodeID != node.NodeID || m.format.ClusterID != node.ClusterID:
			return errs.E(op, m.path, errs.Invalid, foreign(m.format, node))
		case !slices.Contains(node.Removed, m.format.MountpathID):
			return errs.Wrap(op, store.RaiseFormat(m.fs, m.format))
		case slices.Contains(node.GivenUp, m.format.MountpathID):
			if err := isEmptied(m.path); err != nil {
				return errs.E(op, m.path, errs.Invalid, err)
			}
		default:
			if err := m.wipe(bucketNames(o.documents)); err != nil { // it could not be wiped when it left
				return errs.E(op, m.path, err)
			}
		}
		if err := isFresh(m.path); err != nil {
			return errs.E(op, m.path, errs.Invalid, err)
		}
		if err := m.fs.Remove(layout.FormatFile); err != nil {
			return errs.E(op, m.path, errs.IO, err)
		}
	}
	id, err := embedded.NewID()
	if err != nil {
		return errs.E(op, err)
	}
	m.format = newFormat(node, id, now)
	return errs.Wrap(op, store.Format(m.fs, *m.format))
}

// isEmptied reports, as an error, what is left of a mountpath that was removed by
// force.
func isEmptied(path string) error {
	_, err := os.Lstat(filepath.Join(path, layout.IndexDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(errors.New("it was removed by force and still has what was on it: take from it what is wanted (troupe storage export reads it), then empty the directory"), err)
}

func newFormat(node embedded.Node, id string, now time.Time) *layout.Format {
	return &layout.Format{
		Version: layout.FormatVersion, ClusterID: node.ClusterID, NodeID: node.NodeID, MountpathID: id,
		IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: now.UTC().Truncate(time.Second),
	}
}

// retire wipes the directory of a mountpath that has left the node and is closed.
func (o *opener) retire(id string) error {
	const op errs.Op = "supervisors.retire"
	for _, m := range o.mounts.all() {
		if m.format == nil || m.format.MountpathID != id {
			continue
		}
		o.mounts.remove(m)
		err := errors.Join(m.close(), m.wipe(bucketNames(o.documents)))
		o.divide()
		return errs.Wrap(op, err)
	}
	return nil
}

// bucketNames returns the names of all buckets that the documents have.
func bucketNames(documents *embedded.Documents) []string {
	var names []string
	for _, doc := range documents.Buckets() {
		names = append(names, doc.Name)
	}
	return names
}

// drop forgets a mountpath that cannot be used, as it is.
func (o *opener) drop(id string) error {
	defer o.divide()
	for _, m := range o.mounts.all() {
		if m.format != nil && m.format.MountpathID == id {
			o.mounts.remove(m)
			return m.close()
		}
	}
	node := o.documents.Node()
	for _, m := range o.mounts.all() {
		if m.format == nil && !isNamed(node.Mountpaths, m.path) {
			o.mounts.remove(m)
			return m.close()
		}
	}
	return nil
}

// wipe removes what Troupe has in the directory of a mountpath that has left: all
// but its format, by which it is known as one that has left, what is in quarantine,
// and files that are somebody else's.
func (m *mount) wipe(buckets []string) error {
	const op errs.Op = "supervisors.wipe"
	info, err := os.Stat(m.path)
	if err != nil {
		return errs.E(op, m.path, errs.IO, err)
	}
	if m.root == nil || !os.SameFile(m.root, info) {
		return errs.E(op, m.path, errs.Invalid, errors.New("another directory is there now"))
	}
	entries, err := os.ReadDir(filepath.Join(m.path, layout.Private))
	if err != nil {
		return errs.E(op, m.path, errs.IO, err)
	}
	var failures []error
	for _, e := range entries {
		name := filepath.Join(m.path, layout.Private, e.Name())
		switch filepath.Join(layout.Private, e.Name()) {
		case layout.FormatFile:
		case layout.QuarantineDir:
			_ = os.Remove(name) // what is in it stays
		default:
			failures = append(failures, os.RemoveAll(name))
		}
	}
	for _, bucket := range buckets {
		removeEmpty(filepath.Join(m.path, bucket))
	}
	return errs.Wrap(op, errors.Join(failures...))
}

// removeEmpty removes a directory, and those below it, as far as there are no files.
func removeEmpty(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there is none, or it is no directory
	}
	for _, e := range entries {
		if e.IsDir() {
			removeEmpty(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // one with files in it stays
}
