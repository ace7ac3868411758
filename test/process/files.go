package process

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// FileKind is which files of a node's mountpaths are looked for.
type FileKind int

const (
	// WorkFiles are objects on their way in.
	WorkFiles FileKind = iota
	// PayloadFiles are all that hold bytes of clients: objects, parts, what is in
	// the trash or the quarantine, work files. (Small payloads are in the index.)
	PayloadFiles
)

// Files returns the files of a kind on all mountpaths.
func (n *Node) Files(kind FileKind) ([]string, error) {
	var files []string
	for _, mountpath := range n.Mountpaths {
		root := mountpath
		if kind == WorkFiles {
			root = filepath.Join(mountpath, ".troupe", "work")
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if inside, _ := filepath.Rel(mountpath, path); isOwn(inside) {
					return filepath.SkipDir
				}
				return nil
			}
			if inside, _ := filepath.Rel(mountpath, path); !isOwn(inside) {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("process.Files: %w", err)
		}
	}
	return files, nil
}

// isOwn says whether a path below a mountpath is Troupe's own: the index, the
// documents, the format and the lock.
func isOwn(path string) bool {
	inside, ok := strings.CutPrefix(path, ".troupe/")
	if !ok {
		return path == "lost+found"
	}
	top, _, _ := strings.Cut(inside, "/")
	switch top {
	case "work", "parts", "versions", "trash", "quarantine", "buckets":
		return false
	}
	return true
}
