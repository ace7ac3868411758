package storage

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects/errs"
)

// tree is a Sink of files: buckets/<bucket>/<path of the name>, and manifest.jsonl
// with an Entry for each.
type tree struct {
	root     *os.Root
	manifest *os.File
	lines    *bufio.Writer
}

// newTree makes a Sink of files in a directory, which must be empty or not be
// there. Nothing is written outside of it, whatever names objects have.
func newTree(dir string) (offline.Sink, error) {
	const op errs.Op = "storage.newTree"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, errs.E(op, dir, errs.IO, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errs.E(op, dir, errs.IO, err)
	}
	if len(entries) > 0 {
		return nil, errs.E(op, dir, errs.Exists, fmt.Errorf("it is not empty: it holds %q", entries[0].Name()))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errs.E(op, dir, errs.IO, err)
	}
	manifest, err := root.OpenFile(manifestLines, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err == nil {
		err = root.Mkdir(offline.BucketsFolder, 0o755)
	}
	if err != nil {
		return nil, errs.E(op, dir, errs.IO, errors.Join(err, root.Close()))
	}
	return &tree{root: root, manifest: manifest, lines: bufio.NewWriter(manifest)}, nil
}

// manifestLines is the file with an Entry for each object.
const manifestLines = "manifest.jsonl"

// Put implements Sink.
func (t *tree) Put(o *offline.Object) (err error) {
	const op errs.Op = "storage.tree.Put"
	file, name, err := t.create(o)
	if err != nil {
		return errs.E(op, o.Key, errs.IO, err)
	}
	_, err = o.WriteTo(file)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil && !o.Meta.Modified.IsZero() {
		err = t.root.Chtimes(name, o.Meta.Modified, o.Meta.Modified)
	}
	if err != nil { // no file is better than a damaged one
		return errors.Join(err, t.root.Remove(name))
	}
	line, err := json.Marshal(offline.NewEntry(o, name))
	if err == nil {
		_, err = t.lines.Write(append(line, '\n'))
	}
	return errs.Wrap(op, err)
}

// create creates the file of an object. A component that another object's name has
// taken gets a mark at its end.
func (t *tree) create(o *offline.Object) (*os.File, string, error) {
	dir := offline.BucketsFolder
	for _, c := range offline.BucketFolder(o.Key.Bucket) {
		dir += "/" + c
		if err := t.directory(dir); err != nil {
			return nil, "", err
		}
	}
	components := offline.EscapePath(o.Key.Name)
	for _, c := range components[:len(components)-1] {
		next := dir + "/" + c
		err := t.directory(next)
		if errors.Is(err, syscall.ENOTDIR) {
			next += offline.Taken
			err = t.directory(next)
		}
		if err != nil {
			return nil, "", err
		}
		dir = next
	}
	name := dir + "/" + components[len(components)-1]
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	file, err := t.root.OpenFile(name, flags, 0o644)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR) {
		name += offline.Taken
		file, err = t.root.OpenFile(name, flags, 0o644)
	}
	return file, name, err
}

// directory makes a directory; ENOTDIR if a file has the name.
func (t *tree) directory(name string) error {
	err := t.root.Mkdir(name, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := t.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	return err
}

// Close implements Sink.
func (t *tree) Close() error {
	err := t.lines.Flush()
	if err == nil {
		err = t.manifest.Sync()
	}
	if err = errors.Join(err, t.manifest.Close(), t.root.Close()); err != nil {
		return errs.E("storage.tree.Close", errs.IO, err)
	}
	return nil
}
