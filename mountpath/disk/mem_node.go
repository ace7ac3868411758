package disk

import (
	"syscall"
	"time"
)

// node is an inode of Mem: a directory or a file. The Mem's lock guards it.
type node struct {
	number   uint64
	birth    int64 // ns since 1970, different for every node
	modified int64 // ns since 1970

	directory *directory // nil for a file
	file      *fileData  // nil for a directory

	links    int    // names of a file
	opens    int    // open files; a node without names lives as long as it has any
	reserved int64  // bytes that Preallocate set aside, from the file's start
	charged  uint64 // bytes that this node takes of the Mem's space
	locked   bool   // held by a Lock
}

// directory is the part of a node that has names.
type directory struct {
	names   map[string]*node // as they are now
	durable map[string]*node // as a power cut leaves them, if no unsynced operation happened
	parent  *node            // nil for the root, and once removed
	removed bool
	subs    int // directories among the names

	pending []*nameOperation          // that touch this directory, in order; some may be durable by now
	waiting int                       // of these, how many are not
	last    map[string]*nameOperation // the last one that touches the name, if it is not durable
	made    *nameOperation            // the Mkdir of this directory, if it is not durable
}

func newDirectory(parent *node) *directory {
	return &directory{
		names:   make(map[string]*node),
		durable: make(map[string]*node),
		parent:  parent,
		last:    make(map[string]*nameOperation),
	}
}

// info is what Stat tells of the node.
func (n *node) info() Info {
	info := Info{
		Inode:    n.number,
		Links:    uint64(n.links),
		Birth:    n.birth,
		Modified: time.Unix(0, n.modified),
		Blocks:   int64(n.charged),
	}
	if n.directory != nil {
		info.Dir, info.Size, info.Links = true, blockBytes, uint64(2+n.directory.subs)
	} else {
		info.Regular, info.Size = true, n.file.now.size
	}
	return info
}

// under reports whether the node is the ancestor or in the tree below it.
func (n *node) under(ancestor *node) bool {
	for n != nil {
		if n == ancestor {
			return true
		}
		n = n.directory.parent
	}
	return false
}

// attribute returns a copy of the attribute, or the error that Linux gives.
func (n *node) attribute(name string) ([]byte, error) {
	if err := checkAttributeName(name); err != nil {
		return nil, err
	}
	if n.file != nil {
		if value, ok := n.file.attributes[name]; ok {
			return append(make([]byte, 0, len(value)), value...), nil
		}
	}
	return nil, syscall.ENODATA
}

// memAttributeBytes is the sum of names and values that a file of Mem can hold:
// like ext4, a block of 4 KiB less its headers.
const memAttributeBytes = 4000

// setAttribute replaces the attribute, or returns the error that Linux gives.
func (n *node) setAttribute(name string, value []byte) error {
	switch err := checkAttributeName(name); {
	case name != "" && err != nil:
		return err
	case len(value) > maxAttributeBytes: // Linux looks at an empty name last
		return syscall.E2BIG
	case err != nil:
		return err
	}
	total := len(name) + len(value)
	attributes := make(map[string][]byte, len(n.file.attributes)+1)
	for other, held := range n.file.attributes {
		if other != name {
			attributes[other] = held
			total += len(other) + len(held)
		}
	}
	if total > memAttributeBytes {
		return syscall.ENOSPC
	}
	attributes[name] = append(make([]byte, 0, len(value)), value...)
	n.file.attributes = attributes
	return nil
}

// checkAttributeName refuses what Linux refuses.
func checkAttributeName(name string) error {
	for i := 0; i < len(name); i++ {
		if name[i] == 0 {
			return syscall.EINVAL
		}
	}
	switch {
	case name == "":
		return syscall.EINVAL
	case len(attributePrefix)+len(name) > maxNameBytes:
		return syscall.ERANGE
	}
	return nil
}
