package native

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
)

// clusterRoute answers queries about the cluster.
func clusterRoute(r *Request) error {
	if r.Rest() == "smap" {
		return Verbs{get: tellSmap}.Handle(r)
	}
	if r.Rest() != "" {
		return notImplemented("control of the cluster (" + r.path + ")")
	}
	return Verbs{get: tellCluster, put: noControl, post: noControl}.Handle(r)
}

// tellCluster answers GET about the cluster: in Troupe's words, or with ?what= in
// AIStore's.
func tellCluster(r *Request) error {
	switch what := r.Query("what"); what {
	case "":
		return r.JSON(r.h.cluster())
	case "smap":
		return r.JSON(r.smap())
	case "bmd":
		return r.JSON(r.bmd())
	case "snode":
		return r.JSON(r.node(ais.TypeProxy))
	case "sysinfo", "node_stats", "mountpaths":
		return r.gather(what)
	case "backends":
		return r.JSON([]string{})
	case "target_ips":
		return r.Text(r.targetIPs())
	case "remote":
		return r.JSON(map[string]any{"a": nil, "ver": 0})
	case "cluster_config", "status", "status_all", "running_all", "qryxstats":
		return notImplemented("query \"what=" + what + "\" of the cluster")
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid query: what=%q", what)
	}
}

// targetIPs are the hosts of all nodes, with commas between.
func (r *Request) targetIPs() string {
	view, text := r.h.view(), ""
	for _, id := range r.h.nodeIDs(view) {
		if host := r.nodeOf(view, ais.TypeTarget, id).PublicNet.Host; text == "" {
			text = host
		} else {
			text += "," + host
		}
	}
	return text
}

// gather answers with what every node says of itself. Those that are away are left
// out; one that cannot be asked fails the request, which would be incomplete.
func (r *Request) gather(what string) error {
	targets, err := r.each(ais.TypeTarget, what)
	if err != nil {
		return err
	}
	switch what {
	case "mountpaths":
		return r.JSON(map[string]any{"targets": targets})
	case "node_stats":
		return r.JSON(map[string]any{"proxy": r.nodeStats(ais.TypeProxy), "target": targets})
	}
	proxies := make(map[string]json.RawMessage, len(targets)) // the machines are the same
	for id, info := range targets {
		proxies[proxyPrefix+id[len(targetPrefix):]] = info
	}
	return r.JSON(map[string]any{"proxy": proxies, "target": targets})
}

// each asks all nodes that are not away the same, at once.
func (r *Request) each(kind, what string) (map[string]json.RawMessage, error) {
	view := r.h.view()
	answers := make(map[string]json.RawMessage)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for _, id := range r.h.nodeIDs(view) {
		if id == r.h.NodeID {
			own, err := json.Marshal(r.own(kind, what))
			if err != nil {
				return nil, err
			}
			mu.Lock()
			answers[targetPrefix+id] = own
			mu.Unlock()
			continue
		}
		if entry, _ := view.Map.Node(smap.NodeID(id)); entry.State.Away() {
			continue
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			answer, err := r.h.Peers(id, PeerTarget(kind, what, new(fasthttp.Args)))
			if err == nil && answer.Status != fasthttp.StatusOK {
				err = Refuse(fasthttp.StatusServiceUnavailable, "", "node %q answered with status %d", id, answer.Status)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = err
				return
			}
			answers[targetPrefix+id] = answer.Body
		}()
	}
	wait.Wait()
	return answers, failure
}

// own is what this node says of itself when all are asked.
func (r *Request) own(kind, what string) any {
	switch what {
	case "mountpaths":
		return r.h.mountpaths()
	case "node_stats":
		return r.nodeStats(kind)
	default:
		return r.h.System()
	}
}

// cluster is the cluster as this node sees it.
func (h *Handler) cluster() api.Cluster {
	c := api.Cluster{ID: h.ClusterID, Self: h.NodeID, Nodes: []api.ClusterNode{}}
	if h.Cluster == nil || h.Cluster() == nil {
		return c
	}
	view := h.Cluster()
	c.Name, c.Leader, c.Unready, c.Unconfirmed, c.Refused = view.Name, string(view.Leader), view.Unready(), view.Unconfirmed, view.Refused
	c.Plan, c.Held = planOf(view.Plan), view.Held
	var ids []smap.NodeID
	for id := range view.Nodes {
		ids = append(ids, id)
	}
	var placement []smap.NodeID
	if m := view.Map; m != nil {
		c.Version, c.Lineage, placement = m.Version(), m.Lineage(), m.Placement()
		for _, entry := range m.Nodes() {
			ids = append(ids, entry.ID)
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		addresses, health := view.Nodes[id], view.Health[id]
		node := api.ClusterNode{
			ID: string(id), State: api.NodeAbsent, Owns: slices.Contains(placement, id), Silent: slices.Contains(view.Silent, id),
			Native: addresses.Native, S3: addresses.S3, Intra: addresses.Intra, Health: health.Status, Reason: health.Reason,
		}
		if view.Map != nil {
			if entry, ok := view.Map.Node(id); ok {
				node.State, node.Since, node.Left = string(entry.State), entry.Since, entry.Left
			}
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c
}

func planOf(p *messages.ClusterPlan) *api.ClusterPlan {
	if p == nil {
		return nil
	}
	plan := &api.ClusterPlan{
		Since: p.Since, From: texts(p.From), To: texts(p.To), Switched: p.Switched, Slots: smap.Slots, Paused: p.Paused, Rate: api.JobRate(p.Rate), Waits: p.Waits,
	}
	for _, c := range p.Copies {
		plan.Copies = append(plan.Copies, api.PlanCopies(c))
	}
	for _, n := range p.Nodes {
		plan.Nodes = append(plan.Nodes, api.PlanProgress{Node: string(n.Node), Slots: n.Slots, Objects: n.Objects, Bytes: n.Bytes, Failure: n.Failure})
	}
	return plan
}

func texts(ids []smap.NodeID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	return list
}
