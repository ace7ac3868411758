package mountpath

import (
	"fmt"
	"strings"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
)

// showSuspended notes in a mountpath's status which of its actors are suspended: a
// disk that is well does not make a mountpath that answers. States are of all actors
// of the node.
func (p *place) showSuspended(status *messages.MountpathStatus, states []actors.State) {
	if p.view.Coordinator == nil || p.phase == away {
		return
	}
	address, all, coordinator := p.view.Coordinator.Id, 0, false
	for _, state := range states {
		self := state.Address == address
		if !self && !strings.HasPrefix(state.Address, address+"/") {
			continue
		}
		all++
		if state.Status == messages.ActorSuspended {
			status.Suspended++
			coordinator = coordinator || self
		}
	}
	if status.Suspended == 0 {
		return
	}
	why := fmt.Sprintf("%d of its %d actors are suspended: troupe actors resume --below %s", status.Suspended, all, address)
	if coordinator && status.Suspended == 1 {
		why = "its coordinator is suspended, and takes no large uploads: troupe actors resume " + address
	}
	switch {
	case status.State == messages.MountpathOK:
		status.State, status.Reason = messages.MountpathSuspended, why
	case status.Reason == "":
		status.Reason = why
	default:
		status.Reason += "; " + why
	}
}
