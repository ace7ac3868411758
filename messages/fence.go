package messages

import (
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects/smap"
)

// Fence is under what a command about a key was admitted. A lane compares it, in its
// turn, with the map that it acts on: where that says something else about the key,
// nothing is done. The zero value is a node's that is alone.
type Fence struct {
	Set    *NodeSet // by which it was admitted; only to spare looking where it still is the lane's
	Epoch  smap.Epoch
	Owners int // of a key of the bucket
	// Unsettled has the record marked so: other nodes must have it, too.
	Unsettled bool
}

// LaneMap is the map that the lanes of a node act on: at least as new as the one that
// requests see. A nil LaneMap, and one that holds nil, is of a node that is alone.
type LaneMap = atomic.Pointer[NodeSet]

// Admits reports whether a command under the fence may be done under the lanes' map
// now, and returns that map's version for its generation; 0: the node is alone. A
// *MapDiffers says that it may not.
func (f *Fence) Admits(lanes *LaneMap, digest uint64) (version uint64, err error) {
	if f.Owners == 0 || lanes == nil {
		return 0, nil
	}
	now := lanes.Load()
	if now == nil || now.Map == nil {
		return 0, &MapDiffers{}
	}
	if now != f.Set {
		view := now.Map.View(smap.Key{Digest: digest, Owners: f.Owners, Document: f.Epoch.Document})
		if view.Epoch != f.Epoch {
			return 0, &MapDiffers{Node: now.Self, Version: now.Version()}
		}
	}
	return now.Version(), nil
}
