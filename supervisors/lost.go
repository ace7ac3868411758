package supervisors

import (
	"fmt"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
)

// lacks is what the node cannot answer for, of buckets that other nodes keep, too: what was
// on mountpaths that are lost, or is on those that are disabled or missing. One that is
// being opened again, or failing, is not away yet. Keys that a plan gives to the node are
// kept by others until they have gone over.
func (n *Node) lacks() member.Lack {
	roster := n.roster.Load()
	if roster == nil {
		return member.Lack{}
	}
	var lack member.Lack
	for i := range roster.Mountpaths {
		m := &roster.Mountpaths[i]
		if m.State == messages.MountpathDisabled || m.State == messages.MountpathMissing {
			lack.Unfit = fmt.Sprintf("its mountpath %s is %s", m.Path, m.State)
		}
	}
	if count := len(roster.Lost); count > 0 {
		lack.Lost, lack.Why = true, fmt.Sprintf("it lost a mountpath (%s), and fetches what others have of it", roster.Lost[count-1].ID)
		return lack
	}
	for _, doc := range n.gateway.Buckets() {
		if doc.MostCopies() > 1 {
			lack.Why = lack.Unfit
		}
	}
	return lack
}

// noteFound has the documents say that the node has caught up with mountpaths that were
// lost.
func (n *Node) noteFound(ids []string) error {
	m := &messages.FoundMountpaths{IDs: ids, Reply: messages.NewReply[struct{}]()}
	n.system.Root().Send(n.system.PID(nodeName+"/"+mountpath.Name), m)
	_, err := m.Reply.WaitOn(n.clock, "supervisors.noteFound", startTime)
	return err
}
