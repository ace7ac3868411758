package cli

import (
	"net"
	"sync"
	"sync/atomic"
)

// Gate forwards connections to a node until so many bytes have passed in either
// direction; from then on it holds them until Open. Safe for concurrent use.
type Gate struct {
	// Address is where it listens, 127.0.0.1:PORT.
	Address string
	// Reached is closed when the gate closed.
	Reached chan struct{}
	// Flip, if not 0, changes one bit of the byte at that place of what the node
	// sends, counted over all connections. Set before the first connection.
	Flip int64

	listener net.Listener
	node     string
	left     atomic.Int64
	sent     atomic.Int64
	once     sync.Once
	open     chan struct{}
	opened   sync.Once
}

// NewGate makes a gate in front of a node's address.
func NewGate(node string, bytes int64) (*Gate, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &Gate{Address: listener.Addr().String(), Reached: make(chan struct{}), listener: listener, node: node, open: make(chan struct{})}
	g.left.Store(bytes)
	go g.accept()
	return g, nil
}

// Open lets everything pass from now on.
func (g *Gate) Open() { g.opened.Do(func() { close(g.open) }) }

// Close stops listening, and opens the gate so that nothing waits for it.
func (g *Gate) Close() error {
	g.Open()
	return g.listener.Close()
}

func (g *Gate) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return // closed
		}
		node, err := net.Dial("tcp", g.node)
		if err != nil {
			client.Close() //nolint:errcheck // as a node that is not there does
			continue
		}
		go g.forward(node, client, false)
		go g.forward(client, node, true)
	}
}

// forward copies one direction; when it ends, so does the connection.
func (g *Gate) forward(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if answers && g.Flip != 0 {
			end := g.sent.Add(int64(n))
			if at := g.Flip - (end - int64(n)); at >= 0 && at < int64(n) {
				buffer[at] ^= 1
			}
		}
		if n > 0 && g.left.Add(-int64(n)) < 0 {
			g.once.Do(func() { close(g.Reached) })
			<-g.open
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
