package native

import (
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects"
)

// A single node is gateway and target at once. In the cluster map these are two
// nodes with one address, since clients key it by id.

func (h *Handler) proxyID() string { return "p" + h.NodeID }

func (h *Handler) targetID() string { return "t" + h.NodeID }

// smapVersion is the version of a single node's map: it never changes.
const smapVersion = 1

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

// node describes this node in one of its roles.
func (r *Request) node(kind string) ais.Node {
	id := r.h.proxyID()
	if kind == ais.TypeTarget {
		id = r.h.targetID()
	}
	at := r.net()
	return ais.Node{PublicNet: at, IntraControlNet: at, IntraDataNet: at, Type: kind, ID: id, Digest: objects.DigestID(id)}
}

// smap is the cluster map.
func (r *Request) smap() *ais.Smap {
	proxy, target := r.node(ais.TypeProxy), r.node(ais.TypeTarget)
	return &ais.Smap{
		Proxies: map[string]ais.Node{proxy.ID: proxy}, Primary: proxy, Targets: map[string]ais.Node{target.ID: target},
		UUID: r.h.ClusterID, Created: r.h.Started.UTC().Format(time.DateTime), Version: smapVersion,
	}
}

// bmd is the metadata of all buckets.
func (r *Request) bmd() *ais.BMD {
	all := make(map[string]ais.BucketProps)
	for _, doc := range r.h.Gateway.Buckets() {
		all[doc.Name] = propsOf(doc)
	}
	return &ais.BMD{
		Providers: map[string]map[string]map[string]ais.BucketProps{ais.ProviderAIS: {"@#": all}},
		UUID:      r.h.ClusterID, Version: int64(len(all)) + 1,
	}
}

// role finds which of this node's roles an id names.
func (h *Handler) role(id string) (kind string, err error) {
	switch id {
	case h.proxyID():
		return ais.TypeProxy, nil
	case h.targetID():
		return ais.TypeTarget, nil
	}
	return "", Refuse(fasthttp.StatusNotFound, "", "node %q does not exist", id)
}
