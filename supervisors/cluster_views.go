package supervisors

import (
	"errors"
	"strings"

	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What a node tells clients and Consul of its cluster.

// askPeer has another node answer what is asked of it.
func (n *Node) askPeer(node, kind, what string) (native.PeerAnswer, error) {
	const op errs.Op = "supervisors.askPeer"
	view := n.cluster.nodes.Load().Find(node)
	if view == nil {
		return native.PeerAnswer{}, errs.E(op, node, errs.NotFound, errors.New("it is no node of the cluster"))
	}
	fetched, err := n.road.Fetch(view, native.PeerTarget(kind, what))
	if err != nil {
		return native.PeerAnswer{}, errs.E(op, node, errs.Offline, err)
	}
	return native.PeerAnswer(fetched), nil
}

// listen is how clients listen to what happens in the cluster; nil: the node is alone.
func (n *Node) listen() native.Listen {
	if n.cluster == nil {
		return nil
	}
	return func() (<-chan messages.ClusterEvent, func()) {
		l := n.cluster.events.Listen()
		return l.C, l.Close
	}
}

// trouble says what is wrong with the node itself: mountpaths that it cannot use.
func (n *Node) trouble() string {
	var away []string
	for _, m := range n.roster.Load().Mountpaths {
		if m.Offline != "" {
			away = append(away, "mountpath "+m.Path+": "+m.Offline)
		}
	}
	return strings.Join(away, "; ")
}
