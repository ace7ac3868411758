package supervisors

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/messages"
)

// Road is how a node of a cluster gets to the others, and they to it. Every field is
// required, but Socket, Dial, Lanes, Questions, Peers and SweepTime.
type Road struct {
	Address string       // host:port of the intra listener
	Socket  net.Listener // bound to it; nil: it is bound at the start
	// Nodes are the cluster's nodes as this one sees them; nil inside: it is alone for now.
	Nodes *atomic.Pointer[messages.NodeSet]
	// Lanes are the nodes by the map that write lanes act on; nil: Nodes. Node.AdoptNodes
	// stores to both, in the right order.
	Lanes *messages.LaneMap
	// Server is how the intra listener speaks TLS, so that nodes of the cluster get in
	// and nobody else; Peer says which node is at the other end then.
	Server *tls.Config
	Peer   func(tls.ConnectionState) (node string, err error)
	// Client is how a connection to a node is made.
	Client func(node string) *tls.Config
	// Dial makes connections to other nodes, below TLS; nil: a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Questions are further ones that nodes ask, by path.
	Questions map[string]func(ctx *fasthttp.RequestCtx, node string)
	// Peers stands between the node and those that it asks, to break that on purpose; nil:
	// nothing does.
	Peers func(gateway.Peers) gateway.Peers
	// SweepTime is gateway.Config's; zero: its default.
	SweepTime time.Duration
}

// openRoad begins the road to other nodes, if there is one.
func (n *Node) openRoad(c *gateway.Config) error {
	if n.config.Road == nil {
		return nil
	}
	if n.config.Road.Socket == nil {
		socket, err := n.bind(n.config.Road.Address)
		if err != nil {
			return err
		}
		n.config.Road.Socket = socket
	}
	n.intra = n.config.Road.Socket.Addr().String()
	n.road = intra.NewRoad(intra.Config{Dial: n.dial(n.config.Road.Dial), TLS: n.config.Road.Client, Clock: n.clock, Slabs: n.slabs, MaxConnections: n.config.MaxConnections})
	c.Nodes, c.Peers, c.Lanes = n.config.Road.Nodes, n.road, n.lanes()
	if n.config.Road.Peers != nil {
		c.Peers = n.config.Road.Peers(n.road)
	}
	c.SweepTime = n.config.Road.SweepTime
	c.Settler = n.system.PID(nodeName + "/" + gateway.SettlerName)
	return nil
}

// dial is how connections to other nodes are made: as given, behind the fault desk if
// there is one.
func (n *Node) dial(given func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	if desk := n.config.Faults; desk != nil {
		return desk.Dialer(given)
	}
	return given
}

// lanes is the map that write lanes act on; nil: the node is alone.
func (n *Node) lanes() *messages.LaneMap {
	switch {
	case n.config.Road == nil:
		return nil
	case n.config.Road.Lanes != nil:
		return n.config.Road.Lanes
	}
	return n.config.Road.Nodes
}

// edgeRoad is the road as an edge uses it; nil where there is none.
func (n *Node) edgeRoad(name string) *intra.Edge {
	if n.road == nil {
		return nil
	}
	return intra.NewEdge(n.road, n.gateway, name)
}

// roadListener describes the intra listener.
func (n *Node) roadListener(edges map[string]intra.Served) httpedge.Listener {
	server := intra.NewServer(intra.ServerConfig{
		Gateway: n.gateway, Peer: n.config.Road.Peer, Edges: edges, Questions: n.config.Road.Questions, Clock: n.clock, Log: n.log,
	})
	l := httpedge.Listener{
		Name: "intra", Address: n.intra, Socket: n.config.Road.Socket, TLS: n.config.Road.Server,
		Handler: server.Handle, Expect: server.Expect, MaxConnections: n.config.MaxConnections, Grace: stopGrace, Stops: n.stopping.Load,
	}
	if desk := n.config.Faults; desk != nil {
		l.Below, l.TLS = desk.Listener, desk.Server(l.TLS, n.config.Road.Peer)
	}
	return l
}

// Intra returns the address of the intra listener as bound; empty if there is none.
func (n *Node) Intra() string { return n.intra }

// CutNode ends what is under way at another node, which does not answer any more as
// far as the cluster knows: clients that wait for it are told at once.
func (n *Node) CutNode(id string) {
	if n.road != nil {
		n.road.Cut(id)
	}
}
