package supervisors

import (
	"time"

	"github.com/troupe-storage/troupe/httpedge/native"
)

// scrubWithin is in what time every payload is verified once; 0: never.
func (n *Node) scrubWithin() time.Duration {
	return time.Duration(max(n.config.ScrubDays, 0)) * 24 * time.Hour
}

// scrubs tells what the scrubbers have done. It asks no actor and no disk.
func (n *Node) scrubs() native.Scrubs {
	all := native.Scrubs{Days: max(n.config.ScrubDays, 0)}
	if buckets := n.buckets.Load(); buckets != nil {
		for _, view := range buckets.All() {
			all.Buckets = append(all.Buckets, view.Doc.Bucket)
		}
	}
	for _, m := range n.mounts.all() {
		if s := m.current.Load(); s != nil {
			all.Mountpaths = append(all.Mountpaths, native.MountpathScrub{ID: s.Format().MountpathID, Path: m.path, Status: s.Scrub().Status()})
		}
	}
	return all
}
