package native

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
)

// aisVersion is what clients compare themselves with: the AIStore whose API is
// spoken, then what answers.
const aisVersion = "5.0.troupe"

// daemon answers queries to this node itself, which is a gateway to clients.
func daemon(r *Request) error {
	if r.Rest() != "" {
		return notImplemented("control of a node (" + r.path + ")")
	}
	return Verbs{get: func(r *Request) error { return r.tellNode(ais.TypeProxy) }, put: noControl}.Handle(r)
}

// reverse answers queries to the node that a header names.
func reverse(r *Request) error {
	kind, err := r.h.role(r.Header("Ais-Node-Id"))
	if err != nil {
		return err
	}
	if r.Rest() != "" {
		return notImplemented("control of a node (" + r.path + ")")
	}
	return Verbs{get: func(r *Request) error { return r.tellNode(kind) }, put: noControl}.Handle(r)
}

func noControl(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	return notImplemented("control action \"" + message.Action + "\"")
}

// tellNode answers GET with ?what= about one node.
func (r *Request) tellNode(kind string) error {
	switch what := r.Query("what"); what {
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
	case "config", "disk", "metrics", "log", "tls_certificate", "remote":
		return notImplemented("query \"what=" + what + "\" of a node")
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid query: what=%q", what)
	}
}

// clusterRoute answers queries about the cluster.
func clusterRoute(r *Request) error {
	if r.Rest() != "" {
		return notImplemented("control of the cluster (" + r.path + ")")
	}
	return Verbs{get: tellCluster, put: noControl, post: noControl}.Handle(r)
}

// tellCluster answers GET with ?what= about the cluster.
func tellCluster(r *Request) error {
	switch what := r.Query("what"); what {
	case "smap":
		return r.JSON(r.smap())
	case "bmd":
		return r.JSON(r.bmd())
	case "snode":
		return r.JSON(r.node(ais.TypeProxy))
	case "sysinfo":
		return r.JSON(map[string]any{
			"proxy":  map[string]any{r.h.proxyID(): r.h.System()},
			"target": map[string]any{r.h.targetID(): r.h.System()},
		})
	case "node_stats":
		return r.JSON(map[string]any{
			"proxy":  r.nodeStats(ais.TypeProxy),
			"target": map[string]any{r.h.targetID(): r.nodeStats(ais.TypeTarget)},
		})
	case "mountpaths":
		return r.JSON(map[string]any{"targets": map[string]any{r.h.targetID(): r.h.mountpaths()}})
	case "backends":
		return r.JSON([]string{})
	case "target_ips":
		return r.Text(r.net().Host)
	case "remote":
		return r.JSON(map[string]any{"a": nil, "ver": 0})
	case "cluster_config", "status", "status_all", "running_all", "qryxstats":
		return notImplemented("query \"what=" + what + "\" of the cluster")
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
	primary := r.node(ais.TypeProxy)
	s := ais.NodeStatus{
		NodeStats: r.nodeStats(kind), Status: "online", Deployment: "linux", Version: aisVersion,
		BuildTime: r.h.Started.UTC().Format(time.DateTime), System: r.h.System(), SmapVersion: smapVersion,
	}
	s.Cluster.Smap.Primary = ais.SmapPrimary{PublicURL: primary.PublicNet.URL, ControlURL: primary.IntraControlNet.URL, ID: primary.ID}
	s.Cluster.Smap.UUID, s.Cluster.Smap.Version = r.h.ClusterID, smapVersion
	s.Cluster.BMD = ais.Version{UUID: r.h.ClusterID, Version: 1}
	s.Cluster.Flags = ais.FlagsStarted
	return s
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
