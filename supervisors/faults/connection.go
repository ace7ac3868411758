package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Network is what a desk must know of the nodes that its own is connected with.
type Network struct {
	At    func(address string) (node string) // the node whose intra listener it is; empty: nobody knows
	Peers func() []string                    // the ids of all others that are known
}

// links are the faults of links at work. It is replaced, never changed.
type links []*Injected

// connection is a connection with another node that can be broken.
type connection struct {
	net.Conn
	desk   *Desk
	made   bool                   // this node made it
	remote string                 // the address at the other end, of one that others made
	peer   atomic.Pointer[string] // nil: nobody knows yet
	closed chan struct{}
	once   sync.Once

	reads, writes deadline
	kept          kept // the reader's alone

	// The fault because of which what is written, or what comes, is lost, as all that
	// follows; nil: there is none.
	mute, deaf atomic.Pointer[Injected]
}

// outcome is what becomes of one piece of bytes.
type outcome uint8

const (
	passes outcome = iota
	lost
	cut
	tooLate // its deadline came while it was delayed
)

var errCut = fmt.Errorf("%w: %w", ErrInjected, syscall.ECONNRESET)

// Dialer puts the desk before connections that the node makes to others.
func (d *Desk) Dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c := d.newConnection(true)
		if at := d.network.Load(); at != nil {
			if peer := at.At(address); peer != "" {
				c.peer.Store(&peer)
			}
		}
		for _, i := range d.linksAt(c) {
			if !i.hit(func() string { return c.what("a connection") }) {
				continue
			}
			switch i.fault.Link.Do {
			case LinkCut:
				return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%w: %w", ErrInjected, syscall.ECONNREFUSED)}
			case LinkDelay:
				i.wait(ctx.Done(), i.fault.Link.Delay, i.fault.Link.Jitter)
			default: // nobody answers, until the fault is lifted
				select {
				case <-i.lifted:
				case <-ctx.Done():
					return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
				}
			}
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return d.open(c, conn), nil
	}
}

// Listener puts the desk behind connections that others make to the node.
func (d *Desk) Listener(socket net.Listener) net.Listener { return &accepting{socket, d} }

// accepting is a listener whose connections can be broken.
type accepting struct {
	net.Listener
	desk *Desk
}

// Accept implements net.Listener.
func (l *accepting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.desk.open(l.desk.newConnection(false), conn), nil
}

// Server returns how a listener speaks TLS whose sockets are Listener's: as config
// says, and so that the desk knows who is at the other end, whom peer names.
func (d *Desk) Server(config *tls.Config, peer func(tls.ConnectionState) (node string, err error)) *tls.Config {
	named := config.Clone()
	named.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := d.from(hello.Conn.RemoteAddr())
		if c == nil {
			return nil, nil // as config says
		}
		own := config.Clone()
		own.VerifyConnection = func(state tls.ConnectionState) error {
			if config.VerifyConnection != nil {
				if err := config.VerifyConnection(state); err != nil {
					return err
				}
			}
			if node, err := peer(state); err == nil {
				c.peer.Store(&node)
			}
			return nil
		}
		return own, nil
	}
	return named
}

func (d *Desk) newConnection(made bool) *connection {
	return &connection{desk: d, made: made, closed: make(chan struct{})}
}

// open has a connection known to the desk until it is closed.
func (d *Desk) open(c *connection, inner net.Conn) *connection {
	c.Conn = inner
	if !c.made {
		c.remote = inner.RemoteAddr().String()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connections[c] = struct{}{}; !c.made {
		d.accepted[c.remote] = c
	}
	return c
}

// from returns the connection that was accepted from an address; nil: it is gone.
func (d *Desk) from(remote net.Addr) *connection {
	address := remote.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted[address]
}

// linksAt returns the faults that are about a connection.
func (d *Desk) linksAt(c *connection) links {
	all := d.links.Load()
	if all == nil {
		return nil
	}
	var about links
	for _, i := range *all {
		if c.matches(i.fault.Link) {
			about = append(about, i)
		}
	}
	return about
}

func (c *connection) matches(l *Link) bool { return l.way(c.made) && l.about(c.node()) }

// node returns the id of the node at the other end; empty: nobody knows yet.
func (c *connection) node() string {
	if peer := c.peer.Load(); peer != nil {
		return *peer
	}
	return ""
}

// what says what is hit, for people.
func (c *connection) what(piece string) string {
	way := "from"
	if c.made {
		way = "to"
	}
	node := c.node()
	if node == "" {
		node = "an unknown node"
	}
	return piece + " " + way + " " + node
}

// piece decides what becomes of bytes that are written, or have come, after waiting if
// a fault says so.
func (c *connection) piece(written bool) outcome {
	sticky := &c.deaf
	what := "an answer"
	if written {
		sticky = &c.mute
	}
	if written == c.made {
		what = "a request"
	}
	if sticky.Load() != nil {
		return lost
	}
	for _, i := range c.desk.linksAt(c) {
		l := i.fault.Link
		if l.Do == LinkDropReply && written == c.made || !i.hit(func() string { return c.what(what) }) {
			continue
		}
		switch l.Do {
		case LinkDelay:
			by, due := &c.writes, c.desk.base.Elapsed()+i.draw(l.Delay, l.Jitter)
			if !written {
				by, c.kept.due, c.kept.lifted = &c.reads, due, i.lifted
			}
			if !by.await(c.desk.base, due, i.lifted, c.closed) {
				return tooLate
			}
		case LinkCut:
			return cut
		case LinkDropReply:
			return c.lose(i, sticky)
		case LinkDrop:
			c.lose(i, &c.mute)
			return c.lose(i, &c.deaf)
		}
	}
	return passes
}

// lose has all be lost that follows, in one direction. A fault that has been lifted
// meanwhile loses nothing more, but the connection must end.
func (c *connection) lose(i *Injected, sticky *atomic.Pointer[Injected]) outcome {
	if !i.silences(c) {
		return cut
	}
	sticky.Store(i)
	select {
	case <-c.closed: // before it was noted
		i.forget(c)
	default:
	}
	return lost
}

// Write implements net.Conn.
func (c *connection) Write(p []byte) (int, error) {
	if c.desk.links.Load() == nil && c.mute.Load() == nil {
		return c.Conn.Write(p)
	}
	switch c.piece(true) {
	case lost:
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		default:
			return len(p), nil
		}
	case cut:
		return 0, c.abort()
	case tooLate:
		return 0, late("write")
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn. What is lost is read and forgotten, so that deadlines hold
// and the other side sees a node that takes everything.
func (c *connection) Read(p []byte) (int, error) {
	if c.kept.bytes != nil && c.deaf.Load() == nil {
		if !c.reads.await(c.desk.base, c.kept.due, c.kept.lifted, c.closed) {
			return 0, late("read")
		}
		n := copy(p, c.kept.bytes)
		if c.kept.bytes = c.kept.bytes[n:]; len(c.kept.bytes) == 0 {
			c.kept.bytes = nil
		}
		return n, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if n == 0 || c.desk.links.Load() == nil && c.deaf.Load() == nil {
			return n, err
		}
		switch c.piece(false) {
		case passes:
			return n, err
		case cut:
			return 0, c.abort()
		case tooLate:
			c.kept.bytes = bytes.Clone(p[:n])
			return 0, late("read")
		}
		if err != nil {
			return 0, err
		}
	}
}

// abort ends the connection in the midst of what it does.
func (c *connection) abort() error { return errors.Join(errCut, c.Close()) }

// Close implements net.Conn.
func (c *connection) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.desk.mu.Lock()
		delete(c.desk.connections, c)
		if c.desk.accepted[c.remote] == c {
			delete(c.desk.accepted, c.remote)
		}
		c.desk.mu.Unlock()
		for _, i := range []*Injected{c.mute.Load(), c.deaf.Load()} {
			if i != nil {
				i.forget(c)
			}
		}
	})
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn, where the connection below does.
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	if inner, ok := c.Conn.(syscall.Conn); ok {
		return inner.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// sever ends the connections that a cut is about, which need not wait for their next
// bytes to know.
func (d *Desk) sever(i *Injected) {
	d.mu.Lock()
	var about []*connection
	for c := range d.connections {
		if c.matches(i.fault.Link) {
			about = append(about, c)
		}
	}
	d.mu.Unlock()
	for _, c := range about {
		if i.hit(func() string { return c.what("a connection") }) {
			_ = c.Close() // that it ends is what is wanted
		}
	}
}

// silences notes that a connection has lost bytes because of the fault; false: it has
// been lifted.
func (i *Injected) silences(c *connection) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return false
	}
	if i.silent == nil {
		i.silent = make(map[*connection]struct{})
	}
	i.silent[c] = struct{}{}
	return true
}

func (i *Injected) forget(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.silent, c)
}
