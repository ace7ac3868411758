package messages

import (
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
)

// LostMountpath is a mountpath that was taken from the node with what was on it. Other
// nodes have copies of what was on it, and this one has not caught up with them. Immutable.
type LostMountpath struct {
	ID     string
	Among  [][]string // ids of the sets that keys were placed on when it was lost; it is in each
	places []candidateIDs
}

// candidateIDs are the digests of a set, and which of them is the lost one's.
type candidateIDs struct {
	digests []uint64
	lost    int
}

// NewLostMountpath makes one. Among is not changed afterwards.
func NewLostMountpath(id string, among [][]string) LostMountpath {
	l := LostMountpath{ID: id, Among: among}
	for _, set := range among {
		at := candidateIDs{lost: slices.Index(set, id)}
		for _, other := range set {
			at.digests = append(at.digests, objects.DigestID(other))
		}
		l.places = append(l.places, at)
	}
	return l
}

// held reports whether a key was on it, by its digest.
func (l *LostMountpath) held(digest uint64) bool {
	return slices.ContainsFunc(l.places, func(at candidateIDs) bool {
		return at.lost >= 0 && placement.Highest(at.digests, digest) == at.lost
	})
}

// FoundMountpaths says that the node has caught up with what was on mountpaths that were
// lost: of a key that was on them, what the node lacks is absent. Sent by the gateway to
// the supervisor of mountpaths; answered when the documents say so.
type FoundMountpaths struct {
	IDs   []string
	Reply Reply[struct{}]
}

// Fail implements Failer.
func (m *FoundMountpaths) Fail(err error) { m.Reply.Fail(err) }
