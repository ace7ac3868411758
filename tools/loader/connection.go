package loader

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

const (
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 5 * time.Second
	// dialAttempts and dialPause: a server that restarts is waited for, at most
	// 50+100+200+400+800 ms between attempts.
	dialAttempts = 6
	dialPause    = 50 * time.Millisecond
	// copyBytes is up to which size a body is copied behind the request's head
	// and written with it. Beyond, a vector saves more than it costs.
	copyBytes = 32 << 10
	// writePieces is how many pieces of the arena (4 MiB each) one write takes
	// before the deadline is moved on.
	writePieces = 16
)

// connection is one keep-alive connection. Not safe for concurrent use.
type connection struct {
	address string
	stall   time.Duration
	tls     *tls.Config // nil: plain HTTP
	tcp     net.Conn    // nil: not connected; with TLS, a *tls.Conn
	reader  *reader
	moved   time.Time // when the deadline was last moved
}

// connect dials if there is no connection, several times.
func (c *connection) connect(ctx context.Context) error {
	if c.tcp != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	pause := dialPause
	for attempt := 1; ; attempt++ {
		tcp, err := c.dial(ctx, &dialer)
		if err == nil {
			c.tcp, c.moved = tcp, time.Time{}
			c.reader.reset(c)
			return nil
		}
		var untrusted *tls.CertificateVerificationError
		if attempt == dialAttempts || errors.As(err, &untrusted) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// dial connects once. A handshake has as long as a connection.
func (c *connection) dial(ctx context.Context, dialer *net.Dialer) (net.Conn, error) {
	if c.tls == nil {
		return dialer.DialContext(ctx, "tcp", c.address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, "tcp", c.address)
}

// drop closes the connection. What close says is of no use: the connection is
// given up because something else failed, or because all is done.
func (c *connection) drop() {
	if c.tcp != nil {
		_ = c.tcp.Close()
		c.tcp = nil
	}
}

// progress moves the deadline on, unless that was done a moment ago.
func (c *connection) progress(now time.Time) error {
	if now.Sub(c.moved) < c.stall/8 {
		return nil
	}
	c.moved = now
	return c.tcp.SetDeadline(now.Add(c.stall + c.stall/8))
}

// Read implements io.Reader for the connection's reader: every read is progress.
func (c *connection) Read(p []byte) (int, error) {
	if err := c.progress(time.Now()); err != nil {
		return 0, err
	}
	return c.tcp.Read(p)
}

// send writes the pieces of a request, the head first. The slice is used up.
func (c *connection) send(pieces [][]byte, now time.Time) error {
	for len(pieces) > 0 {
		if err := c.progress(now); err != nil {
			return err
		}
		if len(pieces) == 1 {
			_, err := c.tcp.Write(pieces[0])
			return err
		}
		n := min(len(pieces), writePieces)
		vector := net.Buffers(pieces[:n])
		if _, err := vector.WriteTo(c.tcp); err != nil {
			return err
		}
		if pieces = pieces[n:]; len(pieces) > 0 {
			now = time.Now()
		}
	}
	return nil
}

// hurry leaves a peer that has refused our bytes one second for its answer.
func (c *connection) hurry(now time.Time) {
	c.moved = now // Read does not move the deadline on
	// If the deadline cannot be set, the read that follows fails at once.
	_ = c.tcp.SetDeadline(now.Add(time.Second))
}
