package supervisors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors/bucket"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/cluster/consul"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// resolveTime is how long a start waits for the provider: an election of Consul's
// servers takes seconds.
const resolveTime = 20 * time.Second

// membership is what a node has that belongs to a cluster.
type membership struct {
	provider   cluster.Provider
	closes     bool // the provider is this node's own
	secret     []byte
	socket     net.Listener // of the intra listener
	identity   *authority.Identity
	peers      *member.HTTPPeers
	membership *member.Membership
	view       atomic.Pointer[messages.ClusterView]
	nodes      atomic.Pointer[messages.NodeSet]  // the same, for requests
	lanes      messages.LaneMap                  // the same, for write lanes: never older
	walked     atomic.Pointer[messages.PlanWalk] // what the node did for the plan under way
	swept      atomic.Uint64                     // since which placement nothing is left over
	events     *member.Events
	buckets    *member.Buckets
	accounts   *member.Accounts
}

// openCluster makes what the disks are opened with: the way to the provider. Nil: the
// node is alone.
func (n *Node) openCluster() error {
	c := n.config.Cluster
	if !c.enabled() {
		return nil
	}
	n.cluster = &membership{provider: c.Provider, events: member.NewEvents(n.log)}
	n.cluster.view.Store(&messages.ClusterView{Name: c.Name})
	var err error
	if n.cluster.secret, err = c.secret(); err != nil {
		return err
	}
	if n.cluster.socket, err = n.bind(n.config.Intra); err != nil {
		return err
	}
	if c.Provider == nil {
		p, err := consul.New(c.consul())
		if err != nil {
			return err
		}
		n.cluster.provider, n.cluster.closes = p, true
	}
	return nil
}

// clusterOf returns the id of the cluster that the node is to belong to. Own is the one
// that its directories name; empty: they are new. Been says whether the node has been in
// a cluster: then nobody is asked.
func (n *Node) clusterOf(own string, been bool) (string, error) {
	const op errs.Op = "supervisors.clusterOf"
	if n.cluster == nil {
		if been {
			return "", errs.E(op, own, errs.Invalid, errors.New("the node belongs to a cluster of several nodes: start it with consul and cluster, as before"))
		}
		return own, nil
	}
	if been {
		return own, nil
	}
	proposed := own
	if own == "" {
		id, err := embedded.NewID()
		if err != nil {
			return "", err
		}
		proposed = id
	}
	ctx, done := cluster.Within(context.Background(), n.clock, resolveTime)
	defer done()
	name := n.config.Cluster.Name
	id, err := member.Resolve(ctx, n.cluster.provider, cluster.Pace{Clock: n.clock}, name, proposed)
	if err != nil {
		return "", errs.E(op, name, err, fmt.Errorf("a node that was never in the cluster cannot join without Consul at %s: %w", n.config.Cluster.Consul, err))
	}
	if own != "" && id != own {
		return "", errs.E(op, name, errs.Invalid, fmt.Errorf("the directories belong to cluster %s, and %s is cluster %s: a node joins an existing cluster with empty directories only", own, name, id))
	}
	return id, nil
}

// archive keeps what the node knows of its cluster on its mountpaths.
type archive struct{ documents *embedded.Documents }

// Load implements member.Archive.
func (a archive) Load() (member.Adopted, error) {
	var adopted member.Adopted
	text := a.documents.Cluster()
	if text == nil {
		return adopted, nil
	}
	if err := json.Unmarshal(text, &adopted); err != nil {
		return adopted, errs.E("supervisors.archive", errs.Corrupt, err)
	}
	return adopted, nil
}

// Save implements member.Archive.
func (a archive) Save(adopted member.Adopted) error {
	text, err := json.Marshal(adopted)
	if err != nil {
		return err
	}
	return a.documents.PutCluster(text)
}

// newSequencer hands out the generations of this start. In a cluster no other node takes
// the same ones, and none of an earlier map than the one that the node acted on last.
func (n *Node) newSequencer(documents *embedded.Documents, node embedded.Node) (*objects.Sequencer, error) {
	if n.cluster == nil && n.config.Road == nil {
		return objects.NewSequencer(1, node.Start), nil
	}
	version := uint64(1)
	adopted, err := archive{documents}.Load()
	if err != nil {
		return nil, err
	}
	if len(adopted.Map) > 0 {
		m, err := smap.Parse(adopted.Map)
		if err != nil {
			return nil, errs.E("supervisors.newSequencer", errs.Corrupt, fmt.Errorf("the map that the node acted on: %w", err))
		}
		version = m.Version()
	}
	return objects.NewSequencer(version, objects.NodeStart(node.Start, objects.NodeDigest(node.NodeID))), nil
}

// agreedBuckets are the documents of buckets that the node's actors change: the
// cluster's, or its own.
func (n *Node) agreedBuckets(documents *embedded.Documents) (bucket.Documents, error) {
	if n.cluster == nil {
		return documents, nil
	}
	buckets, err := member.NewBuckets(member.BucketsConfig{
		Provider: n.cluster.provider, ClusterID: documents.Node().ClusterID, Shelf: documents, View: n.cluster.view.Load, Clock: n.clock, Log: n.log,
		Adopted: func(docs []*objects.BucketDoc) error {
			m := &messages.AdoptBuckets{Docs: docs, Reply: messages.NewReply[struct{}]()}
			n.system.Root().Send(n.system.PID(nodeName+"/"+bucket.Name), m)
			_, err := m.Reply.WaitOn(n.clock, "supervisors.adopt", startTime)
			return err
		},
	})
	n.cluster.buckets = buckets
	return buckets, err
}

// joinRoad makes the road of a node that belongs to a cluster: its certificate, and
// what it knows of others.
func (n *Node) joinRoad(node embedded.Node) error {
	if n.cluster == nil {
		return nil
	}
	c := n.cluster
	authorized, err := authority.New(node.ClusterID, c.secret)
	if err != nil {
		return err
	}
	if c.identity, err = authorized.Identity(node.NodeID, n.clock); err != nil {
		return err
	}
	c.nodes.Store(&messages.NodeSet{Self: node.NodeID})
	c.lanes.Store(c.nodes.Load())
	n.config.Road = &Road{
		Address: n.config.Intra, Socket: c.socket, Dial: n.config.Cluster.Dial, Peers: n.config.Cluster.Peers, Nodes: &c.nodes, Lanes: &c.lanes,
		Server: c.identity.Server(), Client: c.identity.Client, Peer: authority.PeerOf,
		Questions: map[string]func(*fasthttp.RequestCtx, string){
			member.ProbePath: n.answerProbe, member.RequestPath: n.answerRequest, EstimatePath: n.answerEstimate,
			FaultsQuestion:  n.answerFaults,
			native.PeerPath: func(ctx *fasthttp.RequestCtx, _ string) { n.api.AnswerPeer(ctx) },
		},
	}
	return nil
}

// spawnCluster spawns the actor of membership, if the node belongs to a cluster.
func (n *Node) spawnCluster(documents *embedded.Documents) error {
	if n.cluster == nil {
		return nil
	}
	c, node := n.cluster, documents.Node()
	c.peers = member.NewHTTPPeers(c.identity.Client, n.dial(n.config.Cluster.Dial))
	registration, err := n.registration()
	if err != nil {
		return err
	}
	record := member.Record{
		ID: smap.NodeID(node.NodeID), Digest: smap.Digest(objects.NodeDigest(node.NodeID)),
		Addresses: messages.NodeAddresses{Intra: n.config.advertised(n.intra), Native: n.config.advertised(n.native), S3: n.config.advertised(n.s3)},
	}
	for _, m := range node.Mountpaths {
		record.Mountpaths = append(record.Mountpaths, m.ID)
	}
	c.membership, err = member.New(member.Config{
		System: n.system, Provider: c.provider, ClusterID: node.ClusterID, Name: n.config.Cluster.Name,
		Record: record, Registration: registration, Peers: c.peers, Archive: archive{documents},
		Buckets:    c.buckets,
		Accounts:   c.accounts,
		HasBuckets: func() bool { return len(n.buckets.Load().All()) > 0 },
		NewLineage: embedded.NewID, Publish: n.publishView, Events: c.events,
		Policy: n.tuning.policy, Settings: func(s member.Settings) { n.tuning.share(s.Values) }, Trouble: n.trouble,
		Walked: c.walked.Load, CatchUp: n.catchUp, Lacks: n.lacks, Awake: n.config.Cluster.awake(), Follow: n.followPlans, Rule: n.planRule,
	})
	if err != nil {
		return err
	}
	return n.spawn(c.membership.Spec())
}

// publishView has the node act on what it knows of its cluster. Called by the actor of
// membership alone, and once before it is spawned.
func (n *Node) publishView(view *messages.ClusterView) {
	c := n.cluster
	c.view.Store(view)
	before := c.lanes.Load()
	set := n.nodeSet(view)
	if set.Map == before.Map && slices.Equal(set.Nodes, before.Nodes) {
		return
	}
	n.AdoptNodes(set)
}

// nodeSet is what a view of the cluster says to requests.
func (n *Node) nodeSet(view *messages.ClusterView) *messages.NodeSet {
	set := &messages.NodeSet{Self: string(view.Self), Map: view.Map}
	if view.Map == nil {
		return set
	}
	owners := view.Map.Placement()
	if next, ok := view.Map.Next(); ok {
		owners = append(owners, next.Placement...)
	}
	for _, entry := range view.Map.Nodes() {
		addresses := view.Nodes[entry.ID]
		node := messages.NodeView{ID: string(entry.ID), Intra: addresses.Intra, Owns: slices.Contains(owners, entry.ID)}
		if addresses.S3 != "" {
			node.S3 = n.scheme("s3") + addresses.S3
		}
		if addresses.Native != "" {
			node.Native = n.scheme("native") + addresses.Native
		}
		switch {
		case entry.ID == view.Self:
		case entry.State.Away():
			node.Away = fmt.Sprintf("it is in state %s since version %d of the cluster map", entry.State, entry.Since)
		case slices.Contains(view.Silent, entry.ID):
			node.Away = "it has not answered for three seconds"
		case addresses.Intra == "":
			node.Away = "it has not told where it is"
		}
		set.Nodes = append(set.Nodes, node)
	}
	return set
}

// scheme is how URLs of a listener begin: all nodes of a cluster have the same settings
// of HTTPS.
func (n *Node) scheme(listener string) string {
	if n.config.Edge.TLS(listener) {
		return "https://"
	}
	return "http://"
}

// healthInterval is between two questions of Consul's for the node's health.
const healthInterval = 5 * time.Second

// registration is what the catalogue is told of the node.
func (n *Node) registration() (cluster.Registration, error) {
	native := n.config.advertised(n.native)
	host, portText, err := net.SplitHostPort(n.config.advertised(n.s3))
	if err != nil {
		return cluster.Registration{}, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return cluster.Registration{}, err
	}
	return cluster.Registration{
		Address: host, Port: port, Roles: []string{"gateway", "target"},
		Listeners: map[string]string{"native": native, "s3": n.config.advertised(n.s3), "intra": n.config.advertised(n.intra)},
		HealthURL: n.scheme("native") + native + "/v1/health", HealthInterval: healthInterval,
	}, nil
}

// answerProbe answers a probe of another node.
func (n *Node) answerProbe(ctx *fasthttp.RequestCtx, from string) {
	if !ctx.IsPost() {
		ctx.Error("a probe is a POST", fasthttp.StatusMethodNotAllowed)
		return
	}
	answer, err := n.cluster.membership.AnswerProbe(from, ctx.Request.Body())
	if err != nil {
		n.log.WithError(err).WithFields(logrus.Fields{"node": from}).Warn("a probe was refused")
		ctx.Error(err.Error(), fasthttp.StatusConflict)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(answer)
}

// answerRequest answers a request that another node hands to the leader.
func (n *Node) answerRequest(ctx *fasthttp.RequestCtx, from string) {
	if !ctx.IsPost() {
		ctx.Error("a request is a POST", fasthttp.StatusMethodNotAllowed)
		return
	}
	answer, err := n.cluster.membership.AnswerRequest(from, ctx.Request.Body())
	if err != nil {
		n.log.WithError(err).WithFields(logrus.Fields{"node": from}).Warn("a request for the leader cannot be read")
		ctx.Error(err.Error(), fasthttp.StatusConflict)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(answer)
}

// catchUp has the node catch up once it knows all accounts and buckets: of a bucket that was
// made while it was away it would not know that it lacks something.
func (n *Node) catchUp(ctx context.Context, m *smap.Smap) error {
	if err := n.cluster.buckets.Current(); err != nil {
		return err
	}
	if err := n.cluster.accounts.Current(ctx); err != nil { // who was disabled meanwhile is not let in
		return err
	}
	return n.gateway.CatchUp(ctx, m)
}

// planRule is what the buckets ask of plans.
func (n *Node) planRule() member.Rule {
	var rule member.Rule
	set := n.cluster.lanes.Load()
	for i, bucket := range n.gateway.Buckets() {
		now, next := bucket.Props.Owners(), bucket.Props.Owners()
		if set != nil && set.Map != nil {
			now, next = set.Map.Owners(messages.Placing(bucket, 0))
		}
		copies, most := min(now, next), max(now, next, bucket.MostCopies())
		slack := min(now-bucket.LeastOf(now), next-bucket.LeastOf(next))
		if i == 0 {
			rule.Spare, rule.Slack = copies-1, slack
		}
		rule.Buckets = append(rule.Buckets, member.Protection{Doc: bucket, Copies: copies})
		rule.Spare, rule.Slack, rule.Copies = min(rule.Spare, copies-1), min(rule.Slack, slack), max(rule.Copies, most)
	}
	return rule
}

// ClusterRequest asks the leader of the node's cluster; see member.Membership.Request.
// Invalid: the node is alone.
func (n *Node) ClusterRequest(ctx context.Context, r member.Request) (member.Outcome, error) {
	if n.cluster == nil {
		return member.Outcome{}, errs.E("supervisors.ClusterRequest", string(r.Kind), errs.Invalid, errors.New("the node belongs to no cluster of several nodes"))
	}
	return n.cluster.membership.Request(ctx, r)
}

// closeCluster gives back the ways to others, once the actors have ended.
func (n *Node) closeCluster() error {
	if n.cluster == nil {
		return nil
	}
	if n.cluster.peers != nil {
		n.cluster.peers.Close()
	}
	if !n.cluster.closes || n.cluster.provider == nil {
		return nil
	}
	n.cluster.closes = false
	return n.cluster.provider.Close()
}

// Cluster returns the cluster as the node sees it; nil: it is alone.
func (n *Node) Cluster() *messages.ClusterView {
	if n.cluster == nil {
		return nil
	}
	return n.cluster.view.Load()
}

// unready says why a node of a cluster cannot serve now; empty: it can, or it is alone.
func (n *Node) unready() string {
	if n.cluster == nil {
		return ""
	}
	if why := n.cluster.view.Load().Unready(); why != "" {
		return why
	}
	if err := n.alone(); err != nil {
		return err.Error()
	}
	return ""
}

// alone fails while a node of a cluster cannot tell whether it still is what it takes
// itself for, and must answer no request; see member.Membership.Alone.
func (n *Node) alone() error {
	if n.cluster == nil || n.cluster.membership == nil {
		return nil
	}
	return n.cluster.membership.Alone()
}
