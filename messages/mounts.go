package messages

import "github.com/troupe-storage/troupe/objects/smap"

// MountSet is the mount map of a node as it is served: which of its mountpaths hold what
// they are to hold. Its nodes are mountpath ids, their digests those that HRW places keys
// by. Nothing is placed by it yet. Immutable.
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
