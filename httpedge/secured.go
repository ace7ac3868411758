package httpedge

import (
	"crypto/tls"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/httpedge/bulk"
)

// secure makes a listener speak TLS.
func secure(socket net.Listener, config *tls.Config) net.Listener {
	return &securedListener{socket, config, bulk.NewBuffers()}
}

type securedListener struct {
	net.Listener
	config  *tls.Config
	buffers *bulk.Buffers
}

// Accept implements net.Listener. The handshake runs with the first read.
func (l *securedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secured{Conn: bulk.Server(conn, l.config, l.buffers)}, nil
}

// secured is a connection that looks at its deadline before it reads, as the kernel's
// do. TLS remembers that its peer has closed, and says io.EOF whatever the deadline;
// who sets one in the past to find out whether a body in chunks was cut off between two
// of them (auth.Body) would take it for whole.
type secured struct {
	*bulk.Conn
	past atomic.Bool // the deadline of reads had passed when it was set
}

// SetReadDeadline implements net.Conn.
func (c *secured) SetReadDeadline(t time.Time) error {
	c.past.Store(!t.IsZero() && time.Until(t) <= 0)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *secured) SetDeadline(t time.Time) error {
	c.past.Store(!t.IsZero() && time.Until(t) <= 0)
	return c.Conn.SetDeadline(t)
}

// Read implements net.Conn.
func (c *secured) Read(p []byte) (int, error) {
	if c.past.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(p)
}
