package messages

import (
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Fence is under what a command about a key was admitted, and for whom. A lane compares
// it, in its turn, with the map that it acts on: where that says something else about the
// key, nothing is done. Without a Set it is a node's that is alone.
type Fence struct {
	Set   *NodeSet // by which it was admitted; only to spare looking where it still is the lane's
	Epoch smap.Epoch
	Key   smap.Key // by the bucket's document as it was then
	// Unsettled has the record marked so: other nodes must have it, too.
	Unsettled bool
	// Holders is how many mountpaths of the node are to hold the key by the mount map; 0: it
	// has no protection. Mounts is the one that placed it then, and Mount the key's epoch
	// under that; nil: protected keys were placed by the node's document.
	Holders int
	Mounts  *MountSet
	Mount   smap.Epoch
	// For is what the history of the key says of why, and for whom. Its texts are copies.
	For objects.Origin
}

// LaneMap is the map that the lanes of a node act on: at least as new as the one that
// requests see. A nil LaneMap, and one that holds nil, is of a node that is alone.
type LaneMap = atomic.Pointer[NodeSet]

// Admits reports whether a command under the fence may be done under the lanes' map
// now, and returns that map's version for its generation; 0: the node is alone. A
// *MapDiffers says that it may not.
func (f *Fence) Admits(lanes *LaneMap) (version uint64, err error) {
	if f.Key.Owners == 0 || lanes == nil {
		return 0, nil
	}
	now := lanes.Load()
	if now == nil || now.Map == nil {
		return 0, &MapDiffers{}
	}
	if now != f.Set {
		if now.Map.View(f.Key).Epoch != f.Epoch {
			return 0, &MapDiffers{Node: now.Self, Version: now.Version()}
		}
	}
	return now.Version(), nil
}

// AdmitsMount reports whether a command under the fence may be done at the mountpath of an
// id by the roster, for a key of a digest: the mount epoch is what it was, and the mountpath
// is the one that the key is written at. Otherwise the error is an ErrMoved.
func (f *Fence) AdmitsMount(roster *Roster, id string, digest uint64) error {
	if f.Holders > 0 && roster.placing != f.Mounts {
		if roster.placing == nil || f.Mounts == nil || roster.placing.View(f.Holders, digest).Epoch != f.Mount {
			return &MountsDiffer{Version: roster.placing.Version()}
		}
	}
	if holder, _ := roster.Hold(f.Holders, digest); holder == nil || holder.ID != id {
		return ErrMoved
	}
	return nil
}
