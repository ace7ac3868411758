package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects/errs"
)

// localFile is a file that a walk found.
type localFile struct {
	name      string // relative to the root, with slashes; of a directory with one at its end
	path      string
	size      int64
	modified  time.Time
	directory bool // an empty one
}

// linkPolicy says what a walk does with symbolic links below its root. A path
// that was named on the command line is followed in any case.
type linkPolicy string

const (
	linksSkip   linkPolicy = "skip"
	linksFollow linkPolicy = "follow"
)

// localWalk lists the files below a directory in the order of their names as
// keys: a directory counts as its name with a slash, so that the order is that
// of a listing by S3.
type localWalk struct {
	root  string
	links linkPolicy
	// skipped is told of what is no file: links, devices, sockets; may be nil.
	skipped func(path, why string)
}

// files yields every file, and every directory that has no entry. After an
// error of one directory the walk goes on with the next; the caller decides.
func (w *localWalk) files() iter.Seq2[localFile, error] {
	return func(yield func(localFile, error) bool) {
		w.walk(w.root, "", nil, yield)
	}
}

// walk lists one directory; above are the directories that it lies in, for
// links that lead back. It says whether to go on.
func (w *localWalk) walk(directory, prefix string, above []fs.FileInfo, yield func(localFile, error) bool) bool {
	self, err := os.Stat(directory)
	if err != nil {
		return yield(localFile{}, localError(directory, err))
	}
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, self) }) {
		w.skip(directory, "a link that leads back to a directory above it")
		return true
	}
	above = append(slices.Clip(above), self)
	entries, err := os.ReadDir(directory)
	if err != nil && !yield(localFile{}, localError(directory, err)) {
		return false
	}
	if len(entries) == 0 && err == nil && prefix != "" {
		return yield(localFile{name: prefix, path: directory, modified: self.ModTime(), directory: true}, nil)
	}
	type found struct {
		name string
		info fs.FileInfo
	}
	var sorted []found
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		if isPartial(entry.Name()) {
			continue
		}
		info, err := w.look(path, entry)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !yield(localFile{}, localError(path, err)) { // what was deleted meanwhile is not there
				return false
			}
			continue
		}
		if info == nil {
			continue
		}
		name := entry.Name()
		if info.IsDir() {
			name += "/"
		}
		sorted = append(sorted, found{name, info})
	}
	slices.SortFunc(sorted, func(a, b found) int { return strings.Compare(a.name, b.name) })
	for _, f := range sorted {
		path := filepath.Join(directory, f.name)
		name := prefix + f.name
		if !utf8.ValidString(f.name) {
			err := errs.E("read", path, errs.Invalid, errors.New("the name is not UTF-8, which keys are"))
			if !yield(localFile{}, Advise(err, "rename it; S3 has no key for it")) {
				return false
			}
			continue
		}
		if f.info.IsDir() {
			if !w.walk(path, name, above, yield) {
				return false
			}
			continue
		}
		if !yield(localFile{name: name, path: path, size: f.info.Size(), modified: f.info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// look returns what an entry is, through a link if they are followed; nil: it is left out.
func (w *localWalk) look(path string, entry fs.DirEntry) (fs.FileInfo, error) {
	info, err := entry.Info()
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if w.links == linksSkip {
			w.skip(path, "a symbolic link (--links follow takes what it points at)")
			return nil, nil
		}
		if info, err = os.Stat(path); err != nil {
			return nil, fmt.Errorf("a symbolic link that leads nowhere: %w", err)
		}
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		w.skip(path, "no regular file")
		return nil, nil
	}
	return info, nil
}

func (w *localWalk) skip(path, why string) {
	if w.skipped != nil {
		w.skipped(path, why)
	}
}

// localError gives an error of the system its kind.
func localError(path string, err error) error {
	kind := errs.IO
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = errs.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = errs.Denied
	}
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return Advise(errs.E("local file", path, kind, err), "%s", localAdvice(err))
}

// localAdvice says what to do about an error of the system.
func localAdvice(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "check the path"
	}
	return advice(err, nil)
}
