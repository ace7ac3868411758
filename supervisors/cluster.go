package supervisors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
	"github.com/troupe-storage/troupe/httpedge"
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
	intra      string       // its address as bound
	identity   *authority.Identity
	peers      *member.HTTPPeers
	membership *member.Membership
	view       atomic.Pointer[messages.ClusterView]
	events     *member.Events
	buckets    *member.Buckets
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
	n.cluster.intra = n.cluster.socket.Addr().String()
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

// lasting says why buckets of the node cannot be destroyed; empty: they can.
func (n *Node) lasting() string {
	if n.cluster == nil {
		return ""
	}
	return "buckets of a cluster of several nodes cannot be destroyed yet; delete what is in it"
}

// spawnCluster spawns the actor of membership, and returns the intra listener. None: the
// node is alone.
func (n *Node) spawnCluster(documents *embedded.Documents) ([]httpedge.Listener, error) {
	if n.cluster == nil {
		return nil, nil
	}
	c, node := n.cluster, documents.Node()
	authorized, err := authority.New(node.ClusterID, c.secret)
	if err != nil {
		return nil, err
	}
	if c.identity, err = authorized.Identity(node.NodeID, n.clock); err != nil {
		return nil, err
	}
	c.peers = member.NewHTTPPeers(c.identity.Client)
	registration, err := n.registration()
	if err != nil {
		return nil, err
	}
	record := member.Record{
		ID: smap.NodeID(node.NodeID), Digest: smap.Digest(objects.DigestID("t" + node.NodeID)),
		Addresses: messages.NodeAddresses{Intra: n.config.advertised(c.intra), Native: n.config.advertised(n.native), S3: n.config.advertised(n.s3)},
	}
	for _, m := range node.Mountpaths {
		record.Mountpaths = append(record.Mountpaths, m.ID)
	}
	c.membership, err = member.New(member.Config{
		System: n.system, Provider: c.provider, ClusterID: node.ClusterID, Name: n.config.Cluster.Name,
		Record: record, Registration: registration, Peers: c.peers, Archive: archive{documents},
		Buckets:    c.buckets,
		HasBuckets: func() bool { return len(n.buckets.Load().All()) > 0 },
		NewLineage: embedded.NewID, Published: &c.view, Events: c.events,
	})
	if err != nil {
		return nil, err
	}
	if err := n.spawn(c.membership.Spec()); err != nil {
		return nil, err
	}
	return []httpedge.Listener{{
		Name: "intra", Address: c.intra, Socket: c.socket, TLS: c.identity.Server(),
		Handler: n.answerNodes, MaxConnections: n.config.MaxConnections, Grace: stopGrace, Stops: n.stopping.Load,
	}}, nil
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
	scheme := "http://"
	if n.config.Edge.TLS("native") {
		scheme = "https://"
	}
	return cluster.Registration{
		Address: host, Port: port, Roles: []string{"gateway", "target"},
		Listeners: map[string]string{"native": native, "s3": n.config.advertised(n.s3), "intra": n.config.advertised(n.cluster.intra)},
		HealthURL: scheme + native + "/v1/health", HealthInterval: healthInterval,
	}, nil
}

// answerNodes answers what other nodes ask of membership: their certificates say who
// they are.
func (n *Node) answerNodes(ctx *fasthttp.RequestCtx) {
	state := ctx.TLSConnectionState()
	if state == nil {
		ctx.Error("", fasthttp.StatusForbidden)
		return
	}
	from, err := authority.PeerOf(*state)
	if err != nil {
		ctx.Error("", fasthttp.StatusForbidden)
		return
	}
	if string(ctx.Path()) != member.ProbePath || !ctx.IsPost() {
		ctx.Error("there is no such question", fasthttp.StatusNotFound)
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

// Intra returns the address of the intra listener as bound; empty: there is none.
func (n *Node) Intra() string {
	if n.cluster == nil {
		return ""
	}
	return n.cluster.intra
}

// unready says why a node of a cluster cannot serve now; empty: it can, or it is alone.
func (n *Node) unready() string {
	if n.cluster == nil {
		return ""
	}
	return n.cluster.view.Load().Unready()
}
