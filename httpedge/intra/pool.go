package intra

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/httpedge/bulk"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
)

// Times and sizes of connections to other nodes.
const (
	dialTime  = 3 * time.Second  // a node that is up answers within a millisecond
	waitTime  = 2 * time.Second  // for one of the connections to a node, while all are in use
	idleTime  = 45 * time.Second // a connection is kept unused; the listener keeps it longer
	maxIdle   = 64               // connections kept unused to a node
	readBytes = 32 << 10         // of a connection: the longest head of an answer
)

// link is one connection to a node. Whoever took it from its peer uses it alone and
// gives it back, or closes it.
type link struct {
	*bulk.Conn
	raw    net.Conn // below TLS
	reader *bufio.Reader
	peer   *peer
	reused bool
	since  time.Duration // unused since, on the road's clock
}

// peer is a node at one address, with the connections to it. Safe for concurrent use.
type peer struct {
	node, address string
	config        *tls.Config
	buffers       *bulk.Buffers
	dialer        func(ctx context.Context, network, address string) (net.Conn, error)
	clock         clock.Clock
	slots         chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*link // the longest unused first
	inUse  map[*link]struct{}
	closed bool
}

var errFull = errors.New("all connections to it are in use")

// take returns a connection: an unused one, or a new one. A fresh one is new.
func (p *peer) take(fresh bool) (*link, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		late, timer := p.clock.NewTimer(waitTime)
		defer timer.Stop()
		select {
		case p.slots <- struct{}{}:
		case <-late:
			return nil, errFull
		}
	}
	l, err := p.takeOne(fresh)
	if err != nil {
		<-p.slots
	}
	return l, err
}

func (p *peer) takeOne(fresh bool) (*link, error) {
	for !fresh {
		l := p.pop()
		if l == nil {
			break
		}
		if l.quiet() {
			l.reused = true
			return l, p.register(l)
		}
		_ = l.Close() // nobody uses it
	}
	l, err := p.dial()
	if err != nil {
		return nil, err
	}
	return l, p.register(l)
}

func (p *peer) pop() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	l := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return l
}

func (p *peer) register(l *link) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = l.Close() // the road has ended
		return net.ErrClosed
	}
	p.inUse[l] = struct{}{}
	return nil
}

func (p *peer) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	raw, err := p.dialer(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	secured := bulk.Client(raw, p.config, p.buffers)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &link{Conn: secured, raw: raw, reader: bufio.NewReaderSize(secured, readBytes), peer: p}, nil
}

// keep gives a connection back whose last answer was read to its end.
func (l *link) keep() {
	p := l.peer
	p.mu.Lock()
	delete(p.inUse, l)
	var old []*link
	now := p.clock.Elapsed()
	if p.closed || l.reader.Buffered() > 0 { // it said more than it was asked
		old = append(old, l)
	} else {
		l.since = now
		p.idle = append(p.idle, l)
		for len(p.idle) > maxIdle || now-p.idle[0].since > idleTime {
			old, p.idle = append(old, p.idle[0]), p.idle[1:]
		}
	}
	p.mu.Unlock()
	for _, l := range old {
		_ = l.Close() // nobody uses it
	}
	<-p.slots
}

// drop closes a connection in use.
func (l *link) drop() {
	_ = l.Abort() // without a word: what was under way there is to end
	p := l.peer
	p.mu.Lock()
	delete(p.inUse, l)
	p.mu.Unlock()
	<-p.slots
}

// quiet reports whether an unused connection is still one: nothing has come, not even
// its end.
func (l *link) quiet() bool {
	if l.peer.clock.Elapsed()-l.since > idleTime {
		return false
	}
	socket, ok := l.raw.(syscall.Conn)
	if !ok {
		return true
	}
	control, err := socket.SyscallConn()
	if errors.Is(err, errors.ErrUnsupported) {
		return true // a test's
	}
	if err != nil {
		return false
	}
	quiet := false
	err = control.Control(func(fd uintptr) {
		var b [1]byte
		_, _, e := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = errors.Is(e, unix.EAGAIN)
	})
	return quiet && err == nil
}

// close closes all connections; of requests under way the outcome is unknown then.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle = nil
	for l := range p.inUse {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		_ = l.Abort() // who uses it notices
	}
}

// peers are the nodes that were asked for something. Safe for concurrent use.
type peers struct {
	mu     sync.Mutex
	byNode map[string]*peer
	closed bool
}

// of returns a node's peer. One whose address has changed is begun anew.
func (r *Road) of(node *messages.NodeView) (*peer, error) {
	ps := &r.peers
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return nil, fmt.Errorf("this node stops: %w", net.ErrClosed)
	}
	p := ps.byNode[node.ID]
	if p == nil || p.address != node.Intra {
		if p != nil {
			go p.close()
		}
		p = &peer{
			node: node.ID, address: node.Intra, config: r.TLS(node.ID), buffers: r.buffers, dialer: r.Dial, clock: r.Clock,
			slots: make(chan struct{}, r.MaxConnections), inUse: make(map[*link]struct{}),
		}
		ps.byNode[node.ID] = p
	}
	return p, nil
}

// Cut ends what is under way at a node, which does not answer any more as far as the
// cluster knows: who waits for it need not wait for the deadline.
func (r *Road) Cut(node string) {
	r.peers.mu.Lock()
	p := r.peers.byNode[node]
	delete(r.peers.byNode, node)
	r.peers.mu.Unlock()
	if p != nil {
		p.close()
	}
}

// Close ends the road. Requests under way are cut.
func (r *Road) Close() {
	r.peers.mu.Lock()
	all := r.peers.byNode
	r.peers.byNode, r.peers.closed = nil, true
	r.peers.mu.Unlock()
	for _, p := range all {
		p.close()
	}
}
