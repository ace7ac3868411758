package native

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Every node is gateway and target at once. In AIStore's cluster map these are two
// nodes with one address, since clients key it by id: the id of the role is a letter
// and the node's.
const (
	proxyPrefix  = "p"
	targetPrefix = "t"
)

func (h *Handler) proxyID() string { return proxyPrefix + h.NodeID }

func (h *Handler) targetID() string { return targetPrefix + h.NodeID }

// aloneVersion is the version of a single node's map: it never changes.
const aloneVersion = 1

// flagMaintenance is the flag of a node on which clients place no names.
const flagMaintenance = 4

// view returns the cluster as the node sees it; nil: it is alone, or has no map yet.
func (h *Handler) view() *messages.ClusterView {
	if h.Cluster == nil {
		return nil
	}
	if view := h.Cluster(); view != nil && view.Map != nil {
		return view
	}
	return nil
}

// smapVersion is the version of the cluster map.
func (h *Handler) smapVersion() int64 {
	if view := h.view(); view != nil {
		return int64(view.Map.Version())
	}
	return aloneVersion
}

// net is the address of the listener as the client knows it: the one that it
// called, which also holds behind a forwarded port; else the connection's own.
func (r *Request) net() ais.Net {
	address := string(r.ctx.Request.Header.Host())
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsFunc(address, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.ContainsRune("-._:[]", c))
	}) {
		address = r.ctx.LocalAddr().String()
		if host, port, err = net.SplitHostPort(address); err != nil {
			host, port = address, ""
		}
	}
	scheme := "http://"
	if r.ctx.IsTLS() {
		scheme = "https://"
	}
	return ais.Net{Host: host, Port: port, URL: scheme + address}
}

// netOf is the address of a node of the cluster: the one that it told, since what a
// client called may be a name of several nodes.
func (h *Handler) netOf(address string) ais.Net {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ais.Net{} // it has not told
	}
	return ais.Net{Host: host, Port: port, URL: h.Scheme + address}
}

// digestOf is what clients place names with: of a target that is in the map what the
// cluster places them with, so that both find the same owner.
func digestOf(view *messages.ClusterView, role, node string) uint64 {
	if role == targetPrefix && view != nil {
		if entry, ok := view.Map.Node(smap.NodeID(node)); ok {
			return uint64(entry.Digest)
		}
	}
	return objects.DigestID(role + node)
}

// node describes this node in one of its roles.
func (r *Request) node(kind string) ais.Node { return r.nodeOf(r.h.view(), kind, r.h.NodeID) }

// nodeOf describes a node of the cluster in one of its roles. One that does not serve
// or owns no keys has the flag by which clients look elsewhere: whom their placement
// leads to then is the node in charge.
func (r *Request) nodeOf(view *messages.ClusterView, kind, node string) ais.Node {
	role := proxyPrefix
	if kind == ais.TypeTarget {
		role = targetPrefix
	}
	n := ais.Node{Type: kind, ID: role + node, Digest: digestOf(view, role, node)}
	if view == nil {
		n.PublicNet = r.net()
	} else {
		n.PublicNet = r.h.netOf(view.Nodes[smap.NodeID(node)].Native)
		entry, ok := view.Map.Node(smap.NodeID(node))
		owns := kind == ais.TypeProxy || slices.Contains(view.Map.Placement(), entry.ID)
		if !ok || !entry.State.Serves() || !owns {
			n.Flags = flagMaintenance
		}
	}
	n.IntraControlNet, n.IntraDataNet = n.PublicNet, n.PublicNet
	return n
}

// smap is the cluster map.
func (r *Request) smap() *ais.Smap {
	view := r.h.view()
	s := &ais.Smap{
		Proxies: make(map[string]ais.Node), Primary: r.primary(view), Targets: make(map[string]ais.Node),
		UUID: r.h.ClusterID, Created: r.h.Started.UTC().Format(time.DateTime), Version: r.h.smapVersion(),
	}
	for _, id := range r.h.nodeIDs(view) {
		proxy, target := r.nodeOf(view, ais.TypeProxy, id), r.nodeOf(view, ais.TypeTarget, id)
		s.Proxies[proxy.ID], s.Targets[target.ID] = proxy, target
	}
	return s
}

// nodeIDs are the nodes of the cluster, by id.
func (h *Handler) nodeIDs(view *messages.ClusterView) []string {
	if view == nil {
		return []string{h.NodeID}
	}
	var ids []string
	for _, entry := range view.Map.Nodes() {
		ids = append(ids, string(entry.ID))
	}
	return ids
}

// primary is the node that clients turn to: who leads, if it can be asked; else this
// one, since every node answers all that a primary is asked.
func (r *Request) primary(view *messages.ClusterView) ais.Node {
	if view == nil {
		return r.node(ais.TypeProxy)
	}
	leader, ok := view.Map.Node(view.Leader)
	if ok && leader.State.Serves() && !slices.Contains(view.Silent, leader.ID) && view.Nodes[leader.ID].Native != "" {
		return r.nodeOf(view, ais.TypeProxy, string(leader.ID))
	}
	return r.node(ais.TypeProxy)
}

// bmd is the metadata of all buckets.
func (r *Request) bmd() *ais.BMD {
	all := make(map[string]ais.BucketProps)
	for _, doc := range r.h.Gateway.Buckets() {
		all[doc.Name] = propsOf(doc)
	}
	return &ais.BMD{
		Providers: map[string]map[string]map[string]ais.BucketProps{ais.ProviderAIS: {"@#": all}},
		UUID:      r.h.ClusterID, Version: r.h.bmdVersion(len(all)),
	}
}

// bmdVersion is the version of the buckets' metadata, of which there are so many.
func (h *Handler) bmdVersion(buckets int) int64 {
	if view := h.view(); view != nil {
		return int64(cmp.Or(view.Buckets, 1))
	}
	return int64(buckets) + 1
}

// role finds the node, and which of its roles, that an id names.
func (h *Handler) role(id string) (kind, node string, err error) {
	kinds := map[string]string{proxyPrefix: ais.TypeProxy, targetPrefix: ais.TypeTarget}
	if id != "" && kinds[id[:1]] != "" && slices.Contains(h.nodeIDs(h.view()), id[1:]) {
		return kinds[id[:1]], id[1:], nil
	}
	return "", "", Refuse(fasthttp.StatusNotFound, "", "node %q does not exist", id)
}
