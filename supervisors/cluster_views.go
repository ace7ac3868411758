package supervisors

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/troupe-storage/troupe/actors/bucket"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What a node tells clients and Consul of its cluster.

// askPeer has another node answer a native.PeerTarget.
func (n *Node) askPeer(node, target string) (native.PeerAnswer, error) {
	const op errs.Op = "supervisors.askPeer"
	view := n.cluster.nodes.Load().Find(node)
	if view == nil {
		return native.PeerAnswer{}, errs.E(op, node, errs.NotFound, errors.New("it is no node of the cluster"))
	}
	fetched, err := n.road.Fetch(view, target)
	if err != nil {
		return native.PeerAnswer{}, errs.E(op, node, errs.Offline, err)
	}
	return native.PeerAnswer(fetched), nil
}

// askForMap has the node ask another one for its map.
func (n *Node) askForMap(node string) { n.cluster.membership.AskForMap(smap.NodeID(node)) }

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

// decide is how the leader of the cluster is asked; nil: the node is alone.
func (n *Node) decide() native.Decide {
	if n.cluster == nil {
		return nil
	}
	return func(ctx context.Context, r api.ClusterRequest) (api.ClusterOutcome, error) {
		request := member.Request{Kind: member.RequestKind(r.Kind), Node: smap.NodeID(r.Node), Reason: r.Reason, Force: r.Force, AcceptLoss: r.AcceptLoss, Dry: r.DryRun}
		if r.Rate != nil {
			request.Rate = messages.JobRate(*r.Rate)
		}
		o, err := n.ClusterRequest(ctx, request)
		if err != nil {
			return api.ClusterOutcome{}, err
		}
		outcome := api.ClusterOutcome{Leader: string(o.Leader), Version: o.Version, Text: o.Text}
		for _, id := range o.Placement {
			outcome.Placement = append(outcome.Placement, string(id))
		}
		if moves := r.Kind == api.ClusterJoin || r.Kind == api.ClusterDrain || r.Kind == api.ClusterLeave; !r.DryRun || !moves || len(o.Placement) == 0 {
			return outcome, nil
		}
		e, err := n.Estimate(ctx, o.Placement, request.Rate)
		if err != nil {
			return outcome, err
		}
		outcome.Estimate = &api.ClusterEstimate{Objects: e.Objects, Bytes: e.Bytes, Seconds: int64(math.Ceil(e.Time.Seconds()))}
		return outcome, nil
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

// agreement is what changes of buckets need of other nodes.
type agreement struct{ node *Node }

// agreement returns nil where the node is alone.
func (n *Node) agreement() bucket.Cluster {
	if n.cluster == nil {
		return nil
	}
	return agreement{n}
}

// Empty implements bucket.Cluster: the list of all nodes under one map has nothing.
func (a agreement) Empty(doc *objects.BucketDoc) (bool, error) {
	page, err := a.node.gateway.List(context.Background(), doc, gateway.ListRequest{Limit: 1})
	if err != nil {
		return false, err
	}
	return len(page.Entries) == 0, nil
}
