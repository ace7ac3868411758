package supervisors

import (
	"fmt"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
)

// lacks is what the node cannot answer for, of buckets that other nodes keep, too: what was
// on mountpaths that are lost, or is on those that are disabled or missing. One that is
// being opened again, or failing, is not away yet.
func (n *Node) lacks() member.Lack {
	roster := n.roster.Load()
	if roster == nil {
		return member.Lack{}
	}
	if count := len(roster.Lost); count > 0 {
		return member.Lack{Lost: true, Why: fmt.Sprintf("it lost a mountpath (%s), and fetches what others have of it", roster.Lost[count-1].ID)}
	}
	copied := false
	for _, doc := range n.gateway.Buckets() {
		copied = copied || doc.Props.Owners() > 1
	}
	if !copied {
		return member.Lack{}
	}
	for i := range roster.Mountpaths {
		m := &roster.Mountpaths[i]
		if m.State == messages.MountpathDisabled || m.State == messages.MountpathMissing {
			return member.Lack{Why: fmt.Sprintf("its mountpath %s is %s", m.Path, m.State)}
		}
	}
	return member.Lack{}
}

// noteFound has the documents say that the node has caught up with mountpaths that were
// lost.
func (n *Node) noteFound(ids []string) error {
	m := &messages.FoundMountpaths{IDs: ids, Reply: messages.NewReply[struct{}]()}
	n.system.Root().Send(n.system.PID(nodeName+"/"+mountpath.Name), m)
	_, err := m.Reply.WaitOn(n.clock, "supervisors.noteFound", startTime)
	return err
}
