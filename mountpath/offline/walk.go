package offline

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
)

// list returns the entries of a directory by name, with their kinds known; none
// if there is no such directory.
func (m *Mount) list(dir string) ([]disk.Entry, error) {
	var entries []disk.Entry
	err := m.FS.ReadDir(dir, func(e disk.Entry) bool {
		entries = append(entries, e)
		return true
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if !e.Dir && !e.Regular {
			info, err := m.FS.Stat(path.Join(dir, e.Name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			entries[i].Dir, entries[i].Regular = info.Dir, info.Regular
		}
	}
	slices.SortFunc(entries, func(a, b disk.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// files calls visit for every file below a directory that is not Troupe's own. A
// directory that cannot be read is told to failed, and passed over.
func (m *Mount) files(dir string, visit func(name string) error, failed func(name string, err error)) error {
	entries, err := m.list(dir)
	if err != nil {
		failed(dir, err)
		return nil
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		switch {
		case name == layout.Private, name == "lost+found":
		case e.Dir:
			if err := m.files(name, visit, failed); err != nil {
				return err
			}
		default:
			if err := visit(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// payloadFiles is files for everything that may hold the payload of a current
// object put in one request.
func (m *Mount) payloadFiles(visit func(name string) error, failed func(name string, err error)) error {
	if err := m.files(".", visit, failed); err != nil {
		return err
	}
	return m.files(layout.BucketsDir, visit, failed)
}
