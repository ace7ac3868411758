package intra

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// call is a client's request on its way to another node. Not safe for concurrent use.
type call struct {
	road   *Road
	ctx    *fasthttp.RequestCtx
	window *slab.Window // of the request's body; nil: it has none
	size   int64        // of the body, in bytes; -1: not known before its end
	body   io.Reader    // nil: there is none; it ends with io.EOF only where the client ended it
	watch  *watch       // of the answer while a large body is sent; nil: there is none yet
	small  []byte       // the whole body, if it fits a slab; in window
	// consumed: some of the body was read, so that nobody else can.
	consumed bool
}

// newCall prepares to pass a request on. A body that fits a slab is read, so that it
// can be sent again.
func (e *Edge) newCall(ctx *fasthttp.RequestCtx) (*call, error) {
	c := &call{road: e.road, ctx: ctx, size: int64(ctx.Request.Header.ContentLength())}
	if c.size == 0 || c.size < -1 {
		c.size = 0
		return c, nil
	}
	body, err := auth.NewRawBody(ctx, c)
	if err != nil {
		return nil, err
	}
	c.body = body
	if c.window, err = e.road.Slabs.Lease(1); err != nil {
		return nil, err
	}
	if room := c.window.Slab(0); c.size > 0 && c.size <= int64(len(room)) {
		c.consumed = true
		if _, err := io.ReadFull(body, room[:c.size]); err != nil {
			c.release()
			return nil, err
		}
		c.small = room[:c.size]
	}
	return c, nil
}

// SetReadDeadline implements auth.Deadliner: a body whose request has been answered
// meanwhile is not read any more.
func (c *call) SetReadDeadline(t time.Time) error {
	if err := c.ctx.SetReadDeadline(t); err != nil {
		return err
	}
	if c.watch != nil {
		return c.watch.answered() // after the deadline: see newWatch
	}
	return nil
}

func (c *call) release() {
	if c.window != nil {
		c.window.Release()
		c.window = nil
	}
}

// fill reads the client's body until room is full or it ends, with io.EOF.
func (c *call) fill(room []byte) (int, error) {
	n := 0
	for n < len(room) {
		read, err := c.body.Read(room[n:])
		n += read
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// safe reports whether the request changes nothing, so that it may be asked again.
func (c *call) safe() bool { return c.ctx.IsGet() || c.ctx.IsHead() || c.ctx.IsOptions() }

// to passes the request on to a node and makes its answer the client's.
func (c *call) to(at gateway.Charge, edge, id string) error {
	large := c.size != 0 && c.small == nil
	head := appendHead(make([]byte, 0, 2048), c.ctx, &Relayed{
		Edge: edge, Scheme: schemeOf(c.ctx), Request: id, Client: c.ctx.RemoteAddr(), Map: at.Set.Version(), Epoch: at.Epoch,
	}, large)
	for fresh := false; ; fresh = true {
		x, err := c.road.begin(at.Node, fresh)
		if err != nil {
			return err
		}
		x.bodiless = c.ctx.IsHead()
		reused, begun, err := x.reused, false, error(nil)
		if large {
			begun, err = c.upload(x, head)
		} else {
			begun, err = c.ask(x, head)
		}
		if err == nil {
			return c.deliver(x)
		}
		x.drop()
		var gone *clientGone
		if errors.As(err, &gone) {
			return gone.err
		}
		if !begun && reused && !fresh {
			continue // it had been closed at the other end, without our knowing
		}
		return &messages.NodeAway{Node: at.Node.ID, Reason: err.Error(), Begun: begun}
	}
}

// clientGone is the client's fault, not the node's.
type clientGone struct{ err error }

// Error implements error.
func (g *clientGone) Error() string { return g.err.Error() }

// ask sends a request with a small body or none, and reads the head of the answer.
// Begun says that the node may carry it out, and that this changes something.
func (c *call) ask(x *exchange, head []byte) (begun bool, err error) {
	begun = !c.safe()
	if err := x.send(append(head, c.small...)); err != nil {
		return begun, err
	}
	wait := answerTime
	if begun {
		wait = writeAnswerTime
	}
	if err := x.SetReadDeadline(within(wait)); err != nil {
		return begun, err
	}
	return begun, x.answer()
}

// upload sends a request with a large body: the head, and once the node will take it
// the body. It reads the head of the answer, which may come before all was sent.
func (c *call) upload(x *exchange, head []byte) (begun bool, err error) {
	if err := x.send(head); err != nil {
		return false, err
	}
	if err := x.SetReadDeadline(within(expectTime)); err != nil {
		return false, err
	}
	if err := x.read(); err != nil {
		return false, err
	}
	if x.head.StatusCode() != fasthttp.StatusContinue {
		if x.head.StatusCode() < fasthttp.StatusOK {
			return false, errInterim
		}
		return false, x.check() // it will not have the body
	}
	if err := x.SetReadDeadline(time.Time{}); err != nil {
		return false, err
	}
	c.consumed = true
	watch := c.newWatch(x)
	c.watch = watch
	sent, err := c.sendBody(x, watch)
	watch.sent()
	c.watch = nil
	if err != nil && !errors.Is(err, errAnswered) {
		var gone *clientGone
		if errors.As(err, &gone) {
			_ = x.Abort() // so that the watch ends; the node sees a body that ends early
			<-watch.done
			return true, err
		}
		// It does not take more. It may have said why.
		if deadlineErr := x.SetReadDeadline(within(lastWords)); deadlineErr != nil {
			err = errors.Join(err, deadlineErr)
		}
		<-watch.done
		if watch.err != nil {
			return true, errors.Join(err, watch.err)
		}
	} else {
		if err := x.SetReadDeadline(within(writeAnswerTime)); err != nil {
			_ = x.Abort()
			<-watch.done
			return true, err
		}
		<-watch.done
	}
	if watch.err == nil && !sent {
		x.head.SetConnectionClose() // the rest of the body is not sent any more
		c.drain()
	}
	return true, watch.err
}

// lastWords is how long a node that takes no more of a body may take to say why.
const lastWords = 2 * time.Second

// errAnswered ends a body whose request has been answered.
var errAnswered = errors.New("the node has answered already")

// watch waits for the head of an answer while a body is sent.
type watch struct {
	done chan struct{} // closed when the head has come, or err is set
	err  error

	mu      sync.Mutex
	sending bool // the body is being sent
}

func (w *watch) sent() {
	w.mu.Lock()
	w.sending = false
	w.mu.Unlock()
}

func (w *watch) answered() error {
	select {
	case <-w.done:
		return errAnswered
	default:
		return nil
	}
}

// newWatch begins to wait. An answer that comes early ends a read of the client's body:
// a slow client would keep it otherwise.
func (c *call) newWatch(x *exchange) *watch {
	w := &watch{done: make(chan struct{}), sending: true}
	client := c.ctx.Conn()
	go func() {
		w.err = x.answer()
		close(w.done)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sending {
			_ = client.SetReadDeadline(time.Unix(1, 0)) // a connection that is gone ends the read, too
		}
	}()
	return w
}

// sendBody sends the body, a slab at a time, and reports whether all of it was.
func (c *call) sendBody(x *exchange, w *watch) (all bool, err error) {
	// The frame of a chunk is written around it: "1ffee\r\n" before, "\r\n" after.
	slab := c.window.Slab(0)
	room := slab[frameBytes : len(slab)-2]
	for left := c.size; left != 0; {
		part := room
		if left > 0 {
			part = room[:min(int64(len(room)), left)]
		}
		n, err := c.fill(part)
		ended := err == io.EOF
		if err != nil && !ended {
			if w.answered() != nil {
				return false, errAnswered
			}
			return false, &clientGone{err}
		}
		if c.size >= 0 {
			left -= int64(n) // a body that ends early is an error, not io.EOF
			err = x.send(part[:n])
		} else {
			err = c.sendChunk(x, slab, n)
			if ended {
				left = 0
			}
		}
		if err != nil {
			return false, err
		}
	}
	if c.size < 0 {
		if err := x.send([]byte("0\r\n\r\n")); err != nil {
			return false, err
		}
	}
	return true, nil
}

// frameBytes is the room that a slab has for what comes before a chunk.
const frameBytes = 16

// sendChunk sends n bytes of a slab, from frameBytes on, as a chunk.
func (c *call) sendChunk(x *exchange, slab []byte, n int) error {
	if n == 0 {
		return nil // it would end the body
	}
	var room [frameBytes]byte
	frame := append(strconv.AppendInt(room[:0], int64(n), 16), "\r\n"...)
	begin := frameBytes - len(frame)
	copy(slab[begin:], frame)
	copy(slab[frameBytes+n:], "\r\n")
	return x.send(slab[begin : frameBytes+n+2])
}

// What is read and dropped of a body that the node refused, so that the client reads
// the answer instead of a reset.
const (
	drainBytes = 4 << 20
	drainTime  = 2 * time.Second
)

func (c *call) drain() {
	body := c.ctx.RequestBodyStream() // c.body may have ended with an error, for good
	if body == nil || c.ctx.SetReadDeadline(within(drainTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, body, drainBytes) // whatever ends it, the answer is the same
}

// deliver makes a node's answer the client's. It takes over the connection.
func (c *call) deliver(x *exchange) error {
	isHead := c.ctx.IsHead()
	if differs := x.refused(); differs != nil {
		body := x.body()
		_, _ = io.CopyN(io.Discard, body, drainBytes) // it has none, and one that has is not kept
		_ = body.Close()                              // likewise
		return differs
	}
	if c.size != 0 && c.small == nil && !c.consumed {
		c.drain() // the node refused by the head
	}
	body := x.body()
	answer := &relayedBody{answerBody: body, client: c.ctx.Conn(), record: access.Of(c.ctx)}
	if body.size != 0 {
		var err error
		if answer.window, err = c.road.Slabs.Lease(1); err != nil {
			x.drop()
			if c.safe() {
				return err
			}
			return errors.Join(objects.ErrOutcomeUnknown, err)
		}
	}
	response := &c.ctx.Response
	response.Reset()
	response.Header.DisableNormalizing() // names as the node spells them
	response.SetStatusCode(x.head.StatusCode())
	response.Header.SetNoDefaultContentType(true)
	for name, value := range x.head.All() {
		switch {
		case inSpace(name), ofConnection(name), isField(name, "Content-Length"), isField(name, "Transfer-Encoding"), isField(name, "Date"), isField(name, "Server"):
		default:
			response.Header.AddBytesKV(name, value)
		}
	}
	length := x.head.ContentLength()
	switch {
	case body.size == 0:
		if isHead && length >= 0 {
			response.Header.SetContentLength(length)
		}
		return body.Close()
	default:
		c.ctx.Response.SetBodyStream(answer, int(body.size))
	}
	return nil
}

// relayedBody streams a node's answer to the client, through one slab. It gives back
// slab and connection when it is closed.
type relayedBody struct {
	*answerBody
	window *slab.Window
	client net.Conn
	record *access.Record
	total  int64
	once   sync.Once
}

// Read implements io.Reader, for bodies of no known length.
func (b *relayedBody) Read(p []byte) (int, error) {
	n, err := b.answerBody.Read(p)
	b.total += int64(n)
	if n > 0 {
		if deadlineErr := b.client.SetWriteDeadline(within(stallTime)); deadlineErr != nil {
			return n, deadlineErr
		}
	}
	return n, err
}

// WriteTo implements io.WriterTo.
func (b *relayedBody) WriteTo(w io.Writer) (int64, error) {
	room := b.window.Slab(0)
	var total int64
	for {
		var n int
		var err error
		if b.left > 0 {
			n, err = io.ReadFull(b, room[:min(int64(len(room)), b.left)])
		} else {
			n, err = b.Read(room)
		}
		if n > 0 {
			written, writeErr := w.Write(room[:n])
			total += int64(written)
			if writeErr != nil {
				return total, writeErr
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// Close implements io.Closer. Idempotent.
func (b *relayedBody) Close() (err error) {
	b.once.Do(func() {
		err = b.answerBody.Close()
		b.window.Release()
		b.record.Sent(b.total)
	})
	return err
}
