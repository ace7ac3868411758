package storage

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/errs"
)

// set is mountpaths of one node, locked, and the node's documents.
type set struct {
	mounts    []*offline.Mount
	disks     []*disk.Linux
	shelves   []embedded.Shelf
	documents *embedded.Documents
	buckets   offline.Buckets
	// missing are the mountpaths that the node has and that were not given.
	missing []embedded.Mountpath
	log     *logrus.Entry
}

// openSet opens the mountpaths in the directories. Write says which of them are to
// be changed; the others are only looked at.
func openSet(dirs []string, write func(dir string) bool) (s *set, err error) {
	const op errs.Op = "storage.openSet"
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	s = &set{buckets: make(offline.Buckets), log: logrus.NewEntry(quiet)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			s = nil
		}
	}()
	if len(dirs) == 0 {
		return s, errs.E(op, errs.Invalid, errors.New("no mountpath is given: --data DIR"))
	}
	given := make(map[string]bool)
	for _, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return s, errs.E(op, dir, errs.NotFound, err)
		}
		if given[path] {
			return s, errs.E(op, dir, errs.Invalid, errors.New("the directory is given twice"))
		}
		given[path] = true
		linux, err := disk.NewLinux(path)
		if err != nil {
			return s, errs.E(op, dir, errs.IO, err)
		}
		s.disks = append(s.disks, linux)
		mount, err := offline.OpenMount(linux, path, write(dir))
		if errors.Is(err, disk.ErrLocked) {
			if pid, known := linux.LockHolder(layout.LockFile); known {
				err = errs.E(op, path, errs.Busy, fmt.Errorf("process %d has it open: stop the node first: %w", pid, disk.ErrLocked))
			}
		}
		if err != nil {
			return s, err
		}
		s.mounts = append(s.mounts, mount)
		s.shelves = append(s.shelves, store.Shelf{FS: mount.FS, Name: path})
	}
	if s.documents, err = embedded.Open(s.shelves); err != nil {
		return s, errs.E(op, err)
	}
	for _, doc := range s.documents.Buckets() {
		s.buckets[doc.ID] = doc
	}
	node := s.documents.Node()
	present := make(map[string]bool)
	for _, m := range s.mounts {
		if node.Version > 0 && m.Format.NodeID != node.NodeID {
			return s, errs.E(op, m.Name, errs.Invalid, fmt.Errorf("it belongs to node %s; the others belong to node %s", m.Format.NodeID, node.NodeID))
		}
		present[m.Format.MountpathID] = true
	}
	for _, m := range node.Mountpaths {
		if !present[m.ID] {
			s.missing = append(s.missing, m)
		}
	}
	return s, nil
}

// Missing is a mountpath of the node that was not given.
type Missing struct {
	ID   string `json:"id"`
	Path string `json:"path"` // where it was last
}

func (s *set) missed() []Missing {
	missing := []Missing{}
	for _, m := range s.missing {
		missing = append(missing, Missing{m.ID, m.Path})
	}
	return missing
}

func (s *set) close() error {
	var failures []error
	for _, m := range s.mounts {
		failures = append(failures, m.Close())
	}
	for _, d := range s.disks {
		failures = append(failures, d.Close())
	}
	return errors.Join(failures...)
}
