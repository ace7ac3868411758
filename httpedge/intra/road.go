package intra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/bulk"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/slab"
)

// How long a node may take.
const (
	// stallTime is how long a node may take or give no byte of a body.
	stallTime = 60 * time.Second
	// expectTime is how long a node may look at a head before it takes the body.
	expectTime = 10 * time.Second
	// answerTime bounds the wait for an answer. It is longer than what a node itself
	// waits for its disks; that a node has fallen silent, the cluster knows much
	// earlier, and says with Cut.
	answerTime = 40 * time.Second
	// writeAnswerTime is answerTime of writes: five minutes for the end of a large
	// upload, and hours for a copy, which is made before the answer begins.
	writeAnswerTime = 6 * time.Hour
)

// maxInterim bounds the answers of status 1xx before one that counts.
const maxInterim = 8

// Config is what a road needs. Every field is required, but Dial and MaxConnections.
type Config struct {
	// Dial makes connections to other nodes, below TLS; nil: a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS returns how a connection to a node is made, so that it is that node and no
	// other, and knows who asks.
	TLS   func(node string) *tls.Config
	Clock clock.Clock
	// Slabs is the node's memory for payloads: a slab for each body on its way.
	Slabs *slab.Pool
	// MaxConnections bounds the connections in use to one node; default 512.
	MaxConnections int
}

// defaultConnections bounds connections to one node: as many requests may be under
// way there for clients of this one.
const defaultConnections = 512

// Road leads to the other nodes. Safe for concurrent use.
type Road struct {
	Config
	peers   peers
	buffers *bulk.Buffers
}

// NewRoad makes a road; it starts nothing. Its owner closes it.
func NewRoad(c Config) *Road {
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultConnections
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return &Road{Config: c, peers: peers{byNode: make(map[string]*peer)}, buffers: bulk.NewBuffers()}
}

// exchange is one request to a node, and its answer. Not safe for concurrent use.
type exchange struct {
	*link
	head     fasthttp.ResponseHeader
	bodiless bool // the request is HEAD: whatever the answer, it has no body
}

// begin takes a connection to a node.
func (r *Road) begin(node *messages.NodeView, fresh bool) (*exchange, error) {
	if node.Away != "" {
		return nil, &messages.NodeAway{Node: node.ID, Reason: node.Away}
	}
	p, err := r.of(node)
	if err != nil {
		return nil, &messages.NodeAway{Node: node.ID, Reason: err.Error()}
	}
	l, err := p.take(fresh)
	if err != nil {
		return nil, &messages.NodeAway{Node: node.ID, Reason: err.Error()}
	}
	return &exchange{link: l}, nil
}

// send writes bytes within the time that a node may take none.
func (x *exchange) send(b []byte) error {
	if err := x.SetWriteDeadline(within(stallTime)); err != nil {
		return err
	}
	_, err := x.Write(b)
	return err
}

// read reads the head of the next answer, perhaps an interim one. The deadline is the
// caller's.
func (x *exchange) read() error {
	x.head.Reset()
	x.head.DisableNormalizing()
	x.head.SetNoDefaultContentType(true)
	return x.head.Read(x.reader)
}

// errInterim is a node that never comes to its answer.
var errInterim = errors.New("it sent interim answers only")

// answer reads the head of the answer that counts.
func (x *exchange) answer() error {
	for range maxInterim {
		if err := x.read(); err != nil {
			return err
		}
		if x.head.StatusCode() >= fasthttp.StatusOK {
			return x.check()
		}
	}
	return errInterim
}

// check refuses answers of a form that no node gives.
func (x *exchange) check() error {
	if n := x.head.ContentLength(); n < -1 && !x.noBody() {
		return errors.New("its answer has no length")
	}
	return nil
}

// noBody reports whether the answer has no body, whatever it says of its length.
func (x *exchange) noBody() bool {
	status := x.head.StatusCode()
	return x.bodiless || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

// refused returns the refusal of a node that has another map; nil if the answer is none.
func (x *exchange) refused() *messages.MapDiffers {
	value := x.head.Peek(fieldRefused)
	if x.head.StatusCode() != statusRefused || len(value) == 0 {
		return nil
	}
	version, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return nil
	}
	return &messages.MapDiffers{Node: x.peer.node, Version: version}
}

// body returns the answer's body. It gives the connection back when it is closed, so
// it must be, also where there is none.
func (x *exchange) body() *answerBody {
	b := &answerBody{exchange: x, size: int64(x.head.ContentLength()), stall: stallTime}
	switch {
	case x.noBody():
		b.size = 0
	case b.size < 0:
		b.size, b.chunked = -1, httputil.NewChunkedReader(x.reader)
	}
	b.left = b.size
	return b
}

// answerBody is the body of an answer. Not safe for concurrent use.
type answerBody struct {
	*exchange
	size    int64 // bytes; -1: not known
	left    int64
	chunked io.Reader     // nil: size is known
	ended   bool          // of chunked
	stall   time.Duration // how long no byte may come
}

// Read implements io.Reader. A body that ends early is io.ErrUnexpectedEOF.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.left == 0 || b.ended {
		return 0, io.EOF
	}
	if err := b.SetReadDeadline(within(b.stall)); err != nil {
		return 0, err
	}
	if b.chunked != nil {
		n, err := b.chunked.Read(p)
		if err == io.EOF {
			b.ended = b.endChunked() == nil
			if !b.ended {
				err = io.ErrUnexpectedEOF
			}
		}
		return n, err
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// Cut has a read that waits return soon; it may be called while one does.
func (b *answerBody) Cut() { _ = b.SetReadDeadline(time.Unix(1, 0)) } // a connection that is gone ends the read, too

// endChunked reads what follows the last chunk: trailers, which no node sends, and
// an empty line.
func (b *answerBody) endChunked() error {
	line, err := b.reader.ReadSlice('\n')
	if err == nil && len(line) > len("\r\n") {
		err = fmt.Errorf("it sent a trailer: %q", line)
	}
	return err
}

// Close gives the connection back if the answer was read to its end, and closes it
// otherwise. Idempotent.
func (b *answerBody) Close() error {
	x := b.exchange
	if x == nil || x.link == nil {
		return nil
	}
	l := x.link
	x.link = nil
	if (b.left == 0 || b.ended) && !x.head.ConnectionClose() {
		l.keep()
	} else {
		l.drop()
	}
	return nil
}
