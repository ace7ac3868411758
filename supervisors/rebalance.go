package supervisors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/rebalance"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// rebalanceKind is the job that does the node's part of plans; nil: the node is alone.
func (n *Node) rebalanceKind() []xaction.Kind {
	if n.cluster == nil {
		return nil
	}
	return []xaction.Kind{rebalance.Kind(rebalance.Config{View: n.cluster.view.Load, Keys: clusterKeys{n}, Report: &n.cluster.walked, Swept: &n.cluster.swept})}
}

// clusterKeys are the node's keys, for that job.
type clusterKeys struct{ node *Node }

var _ rebalance.Keys = clusterKeys{}

// Buckets implements rebalance.Keys.
func (k clusterKeys) Buckets() []*objects.BucketDoc { return k.node.gateway.Buckets() }

// Owed implements rebalance.Keys.
func (k clusterKeys) Owed(_ context.Context, r messages.OwedRequest) (*messages.OwedPage, error) {
	return k.node.gateway.Owed(r)
}

// CopyOut implements rebalance.Keys.
func (k clusterKeys) CopyOut(ctx context.Context, bucket *objects.BucketDoc, name string) (int64, error) {
	return k.node.gateway.CopyOut(ctx, bucket, name)
}

// OwedUploads implements rebalance.Keys.
func (k clusterKeys) OwedUploads(_ context.Context, r messages.OwedRequest) ([]messages.UploadName, error) {
	return k.node.gateway.OwedUploads(r)
}

// CopyOutUpload implements rebalance.Keys.
func (k clusterKeys) CopyOutUpload(ctx context.Context, bucket *objects.BucketDoc, u messages.UploadName) (int64, error) {
	return k.node.gateway.CopyOutUpload(ctx, bucket, u)
}

// Leftovers implements rebalance.Keys.
func (k clusterKeys) Leftovers(_ context.Context, bucket *objects.BucketDoc, after string) (*messages.LeftoverPage, error) {
	return k.node.gateway.Leftovers(bucket, after)
}

// RemoveLeftover implements rebalance.Keys.
func (k clusterKeys) RemoveLeftover(_ context.Context, bucket *objects.BucketDoc, l messages.Leftover) error {
	return k.node.gateway.RemoveLeftover(bucket, l)
}

// RemoveLeftoverUploads implements rebalance.Keys.
func (k clusterKeys) RemoveLeftoverUploads(_ context.Context, bucket *objects.BucketDoc) error {
	_, err := k.node.gateway.RemoveLeftoverUploads(bucket)
	return err
}

// Tally implements rebalance.Keys.
func (k clusterKeys) Tally(_ context.Context, bucket *objects.BucketDoc, after string) (*messages.PlanTally, error) {
	m := k.node.cluster.view.Load().Map
	if m == nil {
		return nil, nil
	}
	if _, planned := m.Next(); !planned {
		return nil, nil
	}
	return k.node.gateway.Tally(bucket, m, after)
}

const (
	// planLook is between two looks whether the job of a plan is there.
	planLook = time.Second
	// planAgain is between two tries to start it.
	planAgain = 5 * time.Second
)

// followPlans sees that the job of the plan under way is there, and after each plan, and
// after a start, that what is left over is removed: also of one that began and ended
// between two looks. In a worker of the actor of membership, until the context ends.
func (n *Node) followPlans(ctx context.Context) {
	for pause := planLook; cluster.Pause(ctx, n.clock, pause); {
		pause = planLook
		view := n.cluster.view.Load()
		if view.Map == nil {
			continue
		}
		node, in := view.Map.Node(view.Self)
		var parameters rebalance.Parameters
		switch {
		case view.Plan != nil:
			parameters.Plan = view.Plan.Since
		case n.cluster.swept.Load() == view.Map.PlacementSince() || in && !node.State.Serves():
			continue
		}
		if err := n.startRebalance(parameters); err != nil {
			n.log.WithError(err).Warn("the job of the cluster's plan cannot be started now; it is tried again")
			pause = planAgain
		}
	}
}

// startRebalance starts the job, unless there is one: that of another plan comes to its end
// by itself.
func (n *Node) startRebalance(wanted rebalance.Parameters) error {
	const op errs.Op = "supervisors.startRebalance"
	jobs := n.system.PID(nodeName + "/" + xaction.Name)
	list := &messages.ListJobs{Kind: rebalance.Name, Active: true, Reply: messages.NewReply[[]*messages.Job]()}
	n.system.Root().Send(jobs, list)
	active, err := list.Reply.WaitOn(n.clock, op, startTime)
	if err != nil || len(active) > 0 {
		return err
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	start := &messages.StartJob{Kind: rebalance.Name, Parameters: text, Reply: messages.NewReply[*messages.Job]()}
	n.system.Root().Send(jobs, start)
	_, err = start.Reply.WaitOn(n.clock, op, startTime)
	return err
}

// EstimatePath is where nodes ask each other what a plan would have them copy.
const EstimatePath = "/v1/cluster/estimate"

// estimateQuestion asks for one page of it.
type estimateQuestion struct {
	Map       uint64        `json:"map"` // version that the plan would follow
	Placement []smap.NodeID `json:"placement"`
	Bucket    string        `json:"bucket"`
	After     string        `json:"after"`
}

// Estimate is what a plan would copy, before it is begun.
type Estimate struct {
	Placement []smap.NodeID
	Nodes     []NodeEstimate
	Objects   int64
	Bytes     int64
	// Time is how long it takes at the limit that is set, or by assumedObjects and assumedBytes without one, at
	// the node that has the most to do.
	Time time.Duration
}

// NodeEstimate is what one node would copy.
type NodeEstimate struct {
	Node    smap.NodeID
	Objects int64
	Bytes   int64
}

// What a node is assumed to copy in a second where no limit is set: objects that wait for
// a sync each, and bytes of a spinning disk.
const (
	assumedObjects = 200
	assumedBytes   = 60 << 20
)

// estimateTries is how often nodes are asked again that act on another map for now.
const estimateTries = 10

// Estimate asks all nodes what a plan to a placement would have them copy; see
// member.Outcome.Placement. It blocks until the context ends at most: a second for a
// million keys.
func (n *Node) Estimate(ctx context.Context, placement []smap.NodeID, rate messages.JobRate) (*Estimate, error) {
	const op errs.Op = "supervisors.Estimate"
	if n.cluster == nil || n.cluster.view.Load().Map == nil {
		return nil, errs.E(op, errs.Invalid, errors.New("the node belongs to no cluster of several nodes"))
	}
	for try := 1; ; try++ {
		nodes, err := n.estimateAll(ctx, placement)
		if err == nil {
			return estimated(placement, nodes, rate), nil
		}
		again := errs.Is(errs.Busy, err) || errs.Is(errs.Conflict, err)
		if !again || try == estimateTries || !cluster.Pause(ctx, n.clock, planLook) {
			return nil, errs.E(op, err)
		}
	}
}

// estimateAll asks all nodes that own keys, under one map.
func (n *Node) estimateAll(ctx context.Context, placement []smap.NodeID) ([]NodeEstimate, error) {
	view := n.cluster.view.Load()
	if _, err := planned(view.Map, placement); err != nil {
		return nil, err
	}
	var nodes []NodeEstimate
	for _, id := range view.Map.Placement() {
		nodes = append(nodes, NodeEstimate{Node: id})
	}
	failures := make([]error, len(nodes))
	var asking sync.WaitGroup
	for i := range nodes {
		asking.Go(func() { failures[i] = n.estimateOf(ctx, &nodes[i], view, placement) })
	}
	asking.Wait()
	for i, err := range failures {
		if err != nil {
			return nil, errs.E("supervisors.estimateAll", string(nodes[i].Node), err)
		}
	}
	return nodes, nil
}

// estimated sums up what nodes counted.
func estimated(placement []smap.NodeID, nodes []NodeEstimate, rate messages.JobRate) *Estimate {
	e := &Estimate{Placement: placement, Nodes: nodes}
	if rate.Objects == 0 {
		rate.Objects = assumedObjects
	}
	if rate.Bytes == 0 {
		rate.Bytes = assumedBytes
	}
	for _, node := range nodes {
		e.Objects += node.Objects
		e.Bytes += node.Bytes
		seconds := max(float64(node.Objects)/float64(rate.Objects), float64(node.Bytes)/float64(rate.Bytes))
		e.Time = max(e.Time, time.Duration(seconds*float64(time.Second)))
	}
	return e
}

// planned is a map with a plan to a placement, as it would be.
func planned(m *smap.Smap, placement []smap.NodeID) (*smap.Smap, error) {
	if next, is := m.Next(); is {
		if fmt.Sprint(next.Placement) == fmt.Sprint(placement) {
			return m, nil
		}
		return nil, errs.E("supervisors.planned", errs.Conflict, fmt.Errorf("a plan is under way since version %d of the map", next.Since))
	}
	return m.Change().Begin(placement).Done()
}

// estimateOf asks one node, page by page.
func (n *Node) estimateOf(ctx context.Context, of *NodeEstimate, view *messages.ClusterView, placement []smap.NodeID) error {
	for _, bucket := range n.gateway.Buckets() {
		q := estimateQuestion{Map: view.Map.Version(), Placement: placement, Bucket: bucket.Name}
		for more := true; more; {
			tally, err := n.askEstimate(ctx, of.Node, view, q)
			if err != nil {
				return err
			}
			of.Objects += tally.Objects
			of.Bytes += tally.Bytes
			q.After, more = tally.Upto, tally.Upto != ""
		}
	}
	return nil
}

func (n *Node) askEstimate(ctx context.Context, id smap.NodeID, view *messages.ClusterView, q estimateQuestion) (*messages.PlanTally, error) {
	if id == view.Self {
		return n.estimate(q)
	}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	limited, done := cluster.Within(ctx, n.clock, startTime)
	defer done()
	answer, err := n.cluster.peers.Question(limited, member.Record{ID: id, Addresses: view.Nodes[id]}, EstimatePath, text)
	if err != nil {
		return nil, err
	}
	tally := new(messages.PlanTally)
	return tally, json.Unmarshal(answer, tally)
}

// estimate is this node's answer.
func (n *Node) estimate(q estimateQuestion) (*messages.PlanTally, error) {
	const op errs.Op = "supervisors.estimate"
	view := n.cluster.view.Load()
	if view.Map == nil || view.Map.Version() != q.Map {
		return nil, errs.E(op, errs.Busy, fmt.Errorf("version %d of the map is asked about, and another one is in force: ask again", q.Map))
	}
	m, err := planned(view.Map, q.Placement)
	if err != nil {
		return nil, err
	}
	bucket, err := n.gateway.Bucket(q.Bucket)
	if err != nil {
		return nil, err
	}
	return n.gateway.Tally(bucket, m, q.After)
}

// answerEstimate answers another node.
func (n *Node) answerEstimate(ctx *fasthttp.RequestCtx, from string) {
	var q estimateQuestion
	err := json.Unmarshal(ctx.Request.Body(), &q)
	var tally *messages.PlanTally
	if err == nil {
		tally, err = n.estimate(q)
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(tally)
	}
	if err != nil {
		n.log.WithError(err).WithField("node", from).Warn("what a plan would copy cannot be counted")
		ctx.Error(err.Error(), fasthttp.StatusConflict)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(text)
}
