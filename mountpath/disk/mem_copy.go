package disk

import (
	"errors"
	"maps"
	"os"
	"slices"
)

// CopyTo writes all that is here into another filesystem, which is empty: directories,
// files with their bytes, holes and attributes, and files under all of their names.
// Nothing is synced. Inodes and times are the other's own.
func (m *Mem) CopyTo(to FS) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.root.copyTo(to, "", make(map[*node]string))
}

// copyTo copies what is below a directory; copied are the files that are there already,
// under a name each.
func (n *node) copyTo(to FS, path string, copied map[*node]string) error {
	for _, name := range slices.Sorted(maps.Keys(n.directory.names)) {
		child, below := n.directory.names[name], join(path, name)
		var err error
		switch first, ok := copied[child]; {
		case child.directory != nil:
			if err = to.Mkdir(below, 0o755); err == nil {
				err = child.copyTo(to, below, copied)
			}
		case ok:
			err = to.Link(first, below)
		default:
			copied[child] = below
			err = child.file.copyTo(to, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyTo copies a file.
func (d *fileData) copyTo(to FS, path string) (err error) {
	file, err := to.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var room [chunkBlocks * blockBytes]byte
	for at := int64(0); at < d.now.size; at += int64(len(room)) {
		n := min(int64(len(room)), d.now.size-at)
		if at/int64(len(room)) >= int64(len(d.now.spine)) || d.now.spine[at/int64(len(room))] == nil {
			continue // a hole
		}
		d.now.readAt(room[:n], at)
		if _, err := file.WriteAt(room[:n], at); err != nil {
			return err
		}
	}
	if err := file.Truncate(d.now.size); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.attributes)) {
		if err := file.SetAttr(name, d.attributes[name]); err != nil {
			return err
		}
	}
	return nil
}
