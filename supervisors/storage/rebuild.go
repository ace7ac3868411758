package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// RebuildOptions say which index to rebuild.
type RebuildOptions struct {
	Data      string   // the mountpath
	With      []string // other mountpaths of the node, read for their documents only
	Verify    bool
	IgnoreOld bool
	// DespiteCopies rebuilds an index of a node of a cluster although other nodes have
	// copies of its objects, and know of deletions and generations that files do not tell.
	DespiteCopies bool
	Now           time.Time
	Found         func(line string) // nil: nobody is told
}

// Rebuilt is what a rebuild did.
type Rebuilt = offline.Rebuilt

// Rebuild makes a new index for a mountpath that no node has open.
func Rebuild(o RebuildOptions) (result *Rebuilt, err error) {
	const op errs.Op = "storage.Rebuild"
	s, err := openSet(append([]string{o.Data}, o.With...), func(dir string) bool { return dir == o.Data })
	if err != nil {
		return nil, errs.E(op, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if len(s.buckets) == 0 {
		return nil, errs.E(op, o.Data, errs.NotFound, errors.New("no document speaks of any bucket, and without them no object is any bucket's; give the other mountpaths of the node with --with"))
	}
	if !o.DespiteCopies {
		if err := s.isAlone(o.Data); err != nil {
			return nil, errs.E(op, err)
		}
	}
	m := s.mounts[0]
	result, err = offline.Rebuild(m, offline.RebuildOptions{
		Buckets: s.buckets, Now: o.Now, Verify: o.Verify, IgnoreOld: o.IgnoreOld, Log: s.log,
		Found: func(f offline.Finding) {
			if o.Found != nil {
				o.Found(f.String())
			}
		},
	})
	if err != nil {
		return result, errs.E(op, err)
	}
	return result, errs.Wrap(op, raiseStart(s, m, result.Start))
}

// isAlone fails if other nodes keep copies of what the node has: what files alone tell
// would contradict theirs. errs.Conflict.
func (s *set) isAlone(dir string) error {
	if s.documents.Cluster() == nil {
		return nil
	}
	var several []string
	for _, doc := range s.buckets {
		if doc.State != objects.BucketDestroyed && doc.MostCopies() > 1 {
			several = append(several, doc.Name)
		}
	}
	if len(several) == 0 {
		return nil
	}
	slices.Sort(several)
	return errs.E("storage.isAlone", dir, errs.Conflict, fmt.Errorf("its node belongs to a cluster, and the bucket %q keeps copies on several nodes (%d buckets do): files do not tell what was deleted, and give older generations, so that a rebuilt index could bring back what the cluster has deleted or replaced; take the node out (troupe cluster remove) and let it join again with empty directories: it gets its objects from the others; rebuild with --despite-copies only if they are lost there", several[0], len(several)))
}

// raiseStart makes sure that the node's start counter, from which all generations
// come, is not below what was found on the mountpath: the node's document may have
// been lost, or be another's copy.
func raiseStart(s *set, m *offline.Mount, seen uint64) error {
	node := s.documents.Node()
	if node.Version > 0 && node.Start >= seen {
		return nil
	}
	if node.Version == 0 {
		node = embedded.Node{
			ClusterID: m.Format.ClusterID, NodeID: m.Format.NodeID,
			Mountpaths: []embedded.Mountpath{{ID: m.Format.MountpathID, Path: m.Name}},
			Blank:      []string{m.Format.MountpathID},
		}
	}
	node.Version++
	node.Start = seen
	content, err := json.MarshalIndent(&node, "", "  ")
	if err != nil {
		return errs.E("storage.raiseStart", errs.Internal, err)
	}
	return store.Shelf{FS: m.FS, Name: m.Name}.Write("node.json", append(content, '\n'))
}
