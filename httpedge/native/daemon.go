package native

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects/smap"
)

// aisVersion is what clients compare themselves with: the AIStore whose API is
// spoken, then what answers.
const aisVersion = "5.0.troupe"

// daemon answers queries to this node itself, which is a gateway to clients.
func daemon(r *Request) error {
	if r.Rest() != "" {
		return notImplemented("control of a node (" + r.path + ")")
	}
	return Verbs{get: func(r *Request) error { return r.tellNode(ais.TypeProxy, r.Query("what")) }, put: noControl}.Handle(r)
}

// reverse answers queries to the node that a header names.
func reverse(r *Request) error {
	kind, node, err := r.h.role(r.Header("Ais-Node-Id"))
	if err != nil {
		return err
	}
	if r.Rest() != "" {
		return notImplemented("control of a node (" + r.path + ")")
	}
	return Verbs{get: func(r *Request) error { return r.askNode(node, kind, r.Query("what")) }, put: noControl}.Handle(r)
}

func noControl(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	return notImplemented("control action \"" + message.Action + "\"")
}

// askNode answers GET with ?what= about a node that may be another one. Of one that is
// not asked it tells what the map says.
func (r *Request) askNode(node, kind, what string) error {
	if node == r.h.NodeID {
		return r.tellNode(kind, what)
	}
	view := r.h.view()
	entry, ok := view.Map.Node(smap.NodeID(node))
	if ok && entry.State.Away() {
		switch what {
		case "node_status", "status":
			s := ais.NodeStatus{
				NodeStats: ais.NodeStats{Node: r.nodeOf(view, kind, node), Tracker: map[string]int64{}, Capacity: ais.Capacity{Mountpaths: map[string]ais.MountpathCapacity{}}},
				Status:    string(entry.State), Version: aisVersion, SmapVersion: r.h.smapVersion(),
			}
			r.describeCluster(&s.Cluster)
			return r.JSON(s)
		case "snode":
			return r.JSON(r.nodeOf(view, kind, node))
		}
		return Refuse(fasthttp.StatusServiceUnavailable, "", "node %q is %s since version %d of the cluster map", node, entry.State, entry.Since)
	}
	answer, err := r.h.Peers(node, PeerTarget(kind, what, r.ctx.QueryArgs()))
	if err != nil {
		return err
	}
	r.ctx.SetStatusCode(answer.Status)
	r.ctx.SetContentType(answer.ContentType)
	r.ctx.SetBody(answer.Body)
	return nil
}

// tellNode answers GET with ?what= about this node.
func (r *Request) tellNode(kind, what string) error {
	switch what {
	case "smap":
		return r.JSON(r.smap())
	case "bmd":
		return r.JSON(r.bmd())
	case "snode":
		return r.JSON(r.node(kind))
	case "sysinfo":
		return r.JSON(r.h.System())
	case "node_status", "status":
		return r.JSON(r.nodeStatus(kind))
	case "node_stats", "stats":
		return r.JSON(r.nodeStats(kind))
	case "mountpaths":
		return r.JSON(r.h.mountpaths())
	case "software_version":
		return r.Text(aisVersion)
	case "log":
		return r.tellLog()
	case "config", "disk", "metrics", "tls_certificate", "remote":
		return notImplemented("query \"what=" + what + "\" of a node")
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid query: what=%q", what)
	}
}

// nodeStats are the counters of one role of this node.
func (r *Request) nodeStats(kind string) ais.NodeStats {
	stats := ais.NodeStats{
		Node:     r.node(kind),
		Tracker:  map[string]int64{"up.ns.time": int64(r.h.Now().Sub(r.h.Started))},
		Capacity: ais.Capacity{Mountpaths: map[string]ais.MountpathCapacity{}},
	}
	if kind == ais.TypeTarget {
		stats.Capacity = r.h.Capacity()
	}
	return stats
}

// nodeStatus is what one role of this node tells of itself.
func (r *Request) nodeStatus(kind string) ais.NodeStatus {
	s := ais.NodeStatus{
		NodeStats: r.nodeStats(kind), Status: "online", Deployment: "linux", Version: aisVersion,
		BuildTime: r.h.Started.UTC().Format(time.DateTime), System: r.h.System(), SmapVersion: r.h.smapVersion(),
	}
	if view := r.h.view(); view != nil && view.Unready() != "" {
		if entry, ok := view.Map.Node(view.Self); ok {
			s.Status = string(entry.State)
		}
	}
	r.describeCluster(&s.Cluster)
	return s
}

// describeCluster fills in the cluster as this node sees it.
func (r *Request) describeCluster(c *ais.ClusterInfo) {
	primary := r.primary(r.h.view())
	c.Smap.Primary = ais.SmapPrimary{PublicURL: primary.PublicNet.URL, ControlURL: primary.IntraControlNet.URL, ID: primary.ID}
	c.Smap.UUID, c.Smap.Version = r.h.ClusterID, r.h.smapVersion()
	c.BMD = ais.Version{UUID: r.h.ClusterID, Version: r.h.bmdVersion(0)}
	c.Flags = ais.FlagsStarted
}

// mountpaths are this node's by state.
func (h *Handler) mountpaths() ais.Mountpaths {
	m := ais.Mountpaths{Available: []string{}, WaitingDD: []string{}, Disabled: []string{}}
	for _, view := range h.Roster().Mountpaths {
		if view.Offline == "" {
			m.Available = append(m.Available, view.Path)
		} else {
			m.Disabled = append(m.Disabled, view.Path)
		}
	}
	return m
}

// PeerPath is where the intra listener answers what other nodes pass on of queries
// about this one: GET, with the role and what is asked as kind and what.
const PeerPath = "/v1/cluster/node"

// peerArguments are what goes along of a query that is passed on, of its log.
var peerArguments = [...]string{"severity", "offset", "all"}

// PeerTarget is what a node is asked at the intra listener for; arguments are the client's.
func PeerTarget(kind, what string, arguments *fasthttp.Args) string {
	target := append([]byte(PeerPath+"?kind="), fasthttp.AppendQuotedArg(nil, []byte(kind))...)
	target = append(append(target, "&what="...), fasthttp.AppendQuotedArg(nil, []byte(what))...)
	for _, name := range peerArguments {
		if value := arguments.Peek(name); len(value) > 0 {
			target = fasthttp.AppendQuotedArg(append(append(append(target, '&'), name...), '='), value)
		}
	}
	return string(target)
}

// AnswerPeer answers a query that another node passes on.
func (h *Handler) AnswerPeer(ctx *fasthttp.RequestCtx) {
	r := &Request{h: h, ctx: ctx, method: get, path: PeerPath}
	kind := r.Query("kind")
	err := error(Refuse(fasthttp.StatusBadRequest, "", "invalid query: kind=%q", kind))
	if kind == ais.TypeProxy || kind == ais.TypeTarget {
		err = r.tellNode(kind, r.Query("what"))
	}
	if err != nil {
		r.fail(err)
	}
}

// PeerAnswer is what another node answered.
type PeerAnswer struct {
	Status      int
	ContentType string
	Body        []byte
}
