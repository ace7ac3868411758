package messages

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects/smap"
)

// MountSet is the mount map of a node as it is served: which of its mountpaths hold what
// they are to hold. Its nodes are mountpath ids, their digests those that HRW places keys
// by. It places the keys that have protection: see Roster.Hold. Immutable.
type MountSet struct {
	Map *smap.Smap // not nil
	// Replaced is closed once a later version has been published.
	Replaced <-chan struct{}
}

// Version returns the map's version; 0: there is none.
func (s *MountSet) Version() uint64 {
	if s == nil {
		return 0
	}
	return s.Map.Version()
}

// State returns what the map says of a mountpath; empty: nothing, or there is no map.
func (s *MountSet) State(id string) smap.State {
	if s == nil {
		return ""
	}
	node, _ := s.Map.Node(smap.NodeID(id))
	return node.State
}

// View returns a key of a digest under the map, by how many mountpaths are to hold it.
func (s *MountSet) View(holders int, digest uint64) smap.View {
	return s.Map.View(smap.Key{Digest: digest, Owners: holders})
}

// Holders returns how many mountpaths of a node are to hold a key by its mount map; 0: the
// key has no protection, and is where the node's document places it. A key is protected
// where several nodes have it, or will: a node that is alone, and nil, has none.
func (s *NodeSet) Holders(placing smap.Key) int {
	if s == nil || s.Map == nil || s.Map.Most(placing) < 2 {
		return 0
	}
	return 1
}

// MountsDiffer says that a lane refused a command that was admitted under another mount
// epoch of its key, or under none. Nothing was done. It is an ErrMoved: by the roster as it
// is now, the command may be repeated.
type MountsDiffer struct {
	Version uint64 // of the mount map that protected keys are placed by now; 0: by none
}

// Error implements error.
func (e *MountsDiffer) Error() string {
	if e.Version == 0 {
		return "the mount map places no keys while the set of mountpaths changes; the command was admitted under it, and nothing was done"
	}
	return fmt.Sprintf("by version %d of the mount map the key is at another mount epoch than the command was admitted under; nothing was done", e.Version)
}

// Is makes it an ErrMoved.
func (e *MountsDiffer) Is(target error) bool { return target == ErrMoved }
