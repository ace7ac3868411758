package store

import (
	"errors"
	"io/fs"
	"path"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Shelf keeps the node's documents on one mountpath, below its documents
// directory. It needs no open store: documents are read before the index is.
type Shelf struct {
	FS   disk.FS
	Name string // of the mountpath, for people

	MountpathID string
}

// ID returns the mountpath's id.
func (s Shelf) ID() string { return s.MountpathID }

// String returns the mountpath's name.
func (s Shelf) String() string { return s.Name }

// Read returns a document; errs.NotFound if there is none.
func (s Shelf) Read(name string) ([]byte, error) {
	return ReadFile(s.FS, layout.DocumentsDir+"/"+name)
}

// Write replaces a document, durably and whole.
func (s Shelf) Write(name string, content []byte) error {
	const op errs.Op = "store.Shelf.Write"
	dir := path.Dir(layout.DocumentsDir + "/" + name)
	switch err := s.FS.Mkdir(dir, 0o755); {
	case err == nil:
		if err := s.FS.SyncDir(path.Dir(dir)); err != nil {
			return errs.E(op, name, kindOf(err), err)
		}
	case !errors.Is(err, fs.ErrExist):
		return errs.E(op, name, kindOf(err), err)
	}
	return WriteFile(s.FS, layout.DocumentsDir+"/"+name, content)
}

// List returns the names below a directory of documents.
func (s Shelf) List(dir string) ([]string, error) {
	var names []string
	err := s.FS.ReadDir(layout.DocumentsDir+"/"+dir, func(e disk.Entry) bool {
		names = append(names, e.Name)
		return true
	})
	if err != nil {
		return nil, errs.E("store.Shelf.List", dir, kindOf(err), err)
	}
	return names, nil
}

// Remove removes a document durably; one that is not there is no failure.
func (s Shelf) Remove(name string) error {
	full := layout.DocumentsDir + "/" + name
	if err := absent(s.FS.Remove(full)); err != nil {
		return errs.E("store.Shelf.Remove", name, kindOf(err), err)
	}
	if err := absent(s.FS.SyncDir(path.Dir(full))); err != nil {
		return errs.E("store.Shelf.Remove", name, kindOf(err), err)
	}
	return nil
}
