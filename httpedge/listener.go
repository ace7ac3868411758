// Package httpedge has the listeners of a node. Each is an actor of its own, so
// that they fail separately; what they speak is in the rooms below: s3api and
// native over gateway, with auth in front.
//
// Start with listener.go.
package httpedge

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/httpedge/access"
)

// The time that clients have, and the room that connections get. Long bodies
// extend their deadlines as they go, so these bound heads and silence.
const (
	headTime        = 30 * time.Second
	writeTime       = 60 * time.Second
	idleTime        = 75 * time.Second
	readBufferBytes = 16 << 10 // request line and headers: 8 KiB of S3's headers, and cookies
	writeBuffer     = 8 << 10
	relayedBytes    = 1 << 10 // what nodes add to the head of a request that they relay
	// tlsWriteBuffer holds a record of TLS, so that a head and a small body are
	// sealed and sent as one.
	tlsWriteBuffer = 16 << 10
)

// Listener describes one listener.
type Listener struct {
	Name    string // of the actor: "s3", "native"
	Address string // host:port
	// Socket is the socket bound at start, so that a port in use is found out
	// then; after a restart of the actor it is bound again.
	Socket  net.Listener
	Handler fasthttp.RequestHandler
	// Expect judges the head of a request that waits for 100 Continue; nil: go on.
	Expect func(*fasthttp.RequestCtx) int
	// Suspended answers requests while the listener's actor is suspended; nil: 503 in
	// plain words.
	Suspended fasthttp.RequestHandler
	// Failed answers what cannot be parsed as HTTP; nil: in plain words.
	Failed func(ctx *fasthttp.RequestCtx, err error)
	// Certificate, if not nil, makes the listener speak HTTPS.
	Certificate *Certificate
	// TLS, if not nil, makes the listener speak TLS as it says: the road between nodes.
	// Not with Certificate.
	TLS *tls.Config
	// Below, if not nil, makes what connections pass through below TLS: the hook of the
	// fault desk.
	Below func(net.Listener) net.Listener
	// Early names the requests that Expect judges before their body is sent though
	// the client waits for no 100 Continue: it sends a head and looks whether it is
	// answered first. Given the head alone; nil: none.
	Early func(*fasthttp.RequestHeader) bool
	// Access, if not nil, gets a line for every request.
	Access *access.Log
	// Proxies are believed about whom they speak for.
	Proxies        Proxies
	MaxConnections int // at a time
	// HeadTime is how long a request's head may take, and IdleTime how long a
	// connection may rest between two requests; default 30 s and 75 s.
	HeadTime, IdleTime time.Duration
	// Grace is how long requests under way may take once the node stops. Connections
	// of a listener that ends for another reason are cut, as by a failure: it is to
	// be back soon.
	Grace time.Duration
	// Stops reports whether the node stops; nil: the listener ends only then.
	Stops func() bool
}

// Spec describes the listener's actor.
func Spec(system *actors.System, l Listener) actors.Spec {
	bound := make(chan net.Listener, 1)
	if l.Socket != nil {
		bound <- l.Socket
	}
	suspended := new(atomic.Bool)
	return actors.Spec{
		Name: l.Name, Kind: "listener", Suspended: suspended,
		New: func() actor.Actor { return &edge{system: system, listener: l, bound: bound, suspended: suspended} },
	}
}

// edge is the actor of one listener. A goroutine of its own serves; it ends with
// the actor.
type edge struct {
	system   *actors.System
	listener Listener
	bound    <-chan net.Listener // the socket bound at start; the first incarnation takes it, later ones bind anew

	suspended *atomic.Bool // kept by the kit

	server      *fasthttp.Server
	socket      net.Listener
	connections *connections
	ending      *atomic.Bool  // the serving goroutine is to end: that it does is no news
	served      chan struct{} // closed when it has ended
}

// stopped says that the serving goroutine ended by itself.
type stopped struct{ err error }

// Receive implements actor.Actor.
func (e *edge) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		e.onStarted(ctx)
	case *actor.Restarting:
		e.shutdown(0)
	case *actor.Stopping:
		if stops := e.listener.Stops; stops != nil && !stops() {
			e.shutdown(0)
			return
		}
		e.shutdown(e.listener.Grace)
	case *stopped:
		panic(fmt.Errorf("listener %s ended: %w", e.listener.Name, m.err)) // the supervisor starts it again
	default:
		actors.Unexpected(ctx, e.system.Log())
	}
}

func (e *edge) onStarted(ctx actor.Context) {
	var socket net.Listener
	select {
	case socket = <-e.bound:
	default:
		var err error
		if socket, err = Bind(e.listener.Address); err != nil {
			panic(err)
		}
	}
	e.connections = &connections{open: make(map[net.Conn]struct{})}
	e.server, e.socket = e.newServer(), socket
	e.ending, e.served = new(atomic.Bool), make(chan struct{})
	self, root := ctx.Self(), e.system.Root()
	server, ending, served := e.server, e.ending, e.served
	if below := e.listener.Below; below != nil {
		socket = below(socket)
	}
	if c := e.listener.Certificate; c != nil {
		socket = secure(socket, c.config()) // handshakes run on the connections' goroutines
	} else if c := e.listener.TLS; c != nil {
		socket = secure(socket, c)
	}
	go func() {
		defer close(served)
		if err := server.Serve(socket); err != nil && !ending.Load() {
			root.Send(self, &stopped{err})
		}
	}()
}

func (e *edge) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      e.guarded(e.listener.Handler),
		ExpectHandler:                e.expect(),
		HeaderReceived:               e.early(),
		ErrorHandler:                 e.failed,
		Name:                         "Troupe",
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               e.readBuffer(),
		WriteBufferSize:              e.writeBuffer(),
		ReadTimeout:                  cmp.Or(e.listener.HeadTime, headTime),
		WriteTimeout:                 writeTime,
		IdleTimeout:                  cmp.Or(e.listener.IdleTime, idleTime),
		Concurrency:                  e.listener.MaxConnections,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		TCPKeepalive:                 true,
		TCPKeepalivePeriod:           time.Minute,
		ConnState:                    e.connections.onState,
		Logger:                       quiet{e.system.Log()},
	}
}

// guarded keeps a panic in a handler from ending the process: fasthttp does not.
func (e *edge) guarded(handler fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		record := e.begin(ctx)
		defer record.Handled() // also of what the next line answers
		defer func() {
			if reason := recover(); reason != nil {
				e.system.Log().WithFields(logrus.Fields{"listener": e.listener.Name, "cause": fmt.Sprint(reason), "stack": string(debug.Stack())}).Error("a request handler panicked")
				ctx.Response.Reset()
				ctx.SetConnectionClose()
				ctx.Error("internal error; the request may be repeated", fasthttp.StatusInternalServerError)
			}
		}()
		if e.suspended.Load() {
			e.refuse(ctx)
			return
		}
		handler(ctx)
	}
}

// refuse answers a request while the listener is suspended.
func (e *edge) refuse(ctx *fasthttp.RequestCtx) {
	if e.listener.Suspended != nil {
		e.listener.Suspended(ctx)
		return
	}
	ctx.SetConnectionClose()
	ctx.Error("the listener is suspended", fasthttp.StatusServiceUnavailable)
	ctx.Response.Header.Set("Retry-After", "1")
}

func (e *edge) readBuffer() int {
	if e.listener.TLS != nil {
		return readBufferBytes + relayedBytes
	}
	return readBufferBytes
}

func (e *edge) writeBuffer() int {
	if e.listener.Certificate != nil || e.listener.TLS != nil {
		return tlsWriteBuffer
	}
	return writeBuffer
}

// begin finds out whom a request is from and begins its record.
func (e *edge) begin(ctx *fasthttp.RequestCtx) *access.Record {
	client, proto, ok := e.listener.Proxies.client(ctx)
	ctx.SetRemoteAddr(client) // nil: the connection's own, also after a request of another client's
	record := e.listener.Access.Begin(ctx, e.listener.Name)
	if ok {
		record.SetForwarded(proto)
	}
	return record
}

// expect wraps the listener's look at heads whose clients wait: those that are
// refused are requests too.
func (e *edge) expect() func(*fasthttp.RequestCtx) int {
	judge := e.listener.Expect
	if judge == nil {
		return nil
	}
	return func(ctx *fasthttp.RequestCtx) int {
		record := e.begin(ctx)
		status := judge(ctx)
		if status != fasthttp.StatusContinue {
			ctx.SetStatusCode(status)
			record.Received(0)
			record.Handled()
		}
		return status
	}
}

// early has the heads judged that are named by the listener: marked as if the
// client waited for 100 Continue, they are shown to Expect before any of the body
// is read, where the handler is called only once some of it is there.
func (e *edge) early() func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	isEarly := e.listener.Early
	if isEarly == nil {
		return nil
	}
	return func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
		if isEarly(h) {
			h.Set("Expect", "100-continue")
		}
		return fasthttp.RequestConfig{}
	}
}

// failed answers what came in place of a request. A connection on which nothing
// was sent is closed without a word: fasthttp would answer 400 to a question that
// nobody asked, and a client that takes the connection out of its pool would take
// that for the answer to its next request.
func (e *edge) failed(ctx *fasthttp.RequestCtx, err error) {
	if plainOnTLS(err, plainAnswer) {
		return
	}
	// Failures before a request's first byte come as they are; those within a head
	// are wrapped in words about the head. (fasthttp v1.77, serveConnCounted)
	if _, silent := err.(net.Error); silent { //nolint:errorlint // wrapped ones are another thing
		_ = ctx.Conn().Close() // what fasthttp goes on to write goes nowhere
		return
	}
	if t, ok := ctx.Conn().(*secured); ok && !t.ConnectionState().HandshakeComplete {
		e.system.Log().WithFields(logrus.Fields{"listener": e.listener.Name, "remote": ctx.RemoteAddr().String()}).WithError(err).Debug("a TLS handshake failed")
		_ = t.Close() // likewise
		return
	}
	record := e.begin(ctx)
	defer record.Handled()
	if e.listener.Failed != nil {
		e.listener.Failed(ctx, err)
		return
	}
	status := fasthttp.StatusBadRequest
	var small *fasthttp.ErrSmallBuffer
	var late net.Error
	switch {
	case errors.As(err, &small):
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &late) && late.Timeout():
		status = fasthttp.StatusRequestTimeout
	}
	ctx.Error("the request could not be read", status)
}

// plainAnswer is what plain HTTP is told by a listener of HTTPS.
const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This port speaks HTTPS and was sent plain HTTP. Use https:// in the endpoint.\n"

// shutdown stops taking connections, lets requests under way finish within the
// grace given, and then cuts what is left.
func (e *edge) shutdown(grace time.Duration) {
	if e.server == nil {
		return
	}
	e.ending.Store(true)
	server := e.server
	e.server = nil
	// A server that has not begun to serve knows no socket that it could close, and
	// would begin afterwards.
	defer func() {
		_ = e.socket.Close() // closed already, as a rule
		<-e.served
	}()
	done := make(chan error, 1)
	go func() { done <- server.Shutdown() }()
	if grace > 0 {
		late, timer := e.system.Clock().NewTimer(grace)
		defer timer.Stop()
		select {
		case <-done:
			return
		case <-late:
		}
	}
	if n := e.connections.closeAll(); n > 0 && grace > 0 {
		e.system.Log().WithFields(logrus.Fields{"listener": e.listener.Name, "connections": n}).Warn("connections were cut at stop")
	}
	if grace == 0 {
		return // a restart: handlers that wait for an answer end with it, on connections that are gone
	}
	late, timer := e.system.Clock().NewTimer(cutTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-late:
	}
}

// cutTime is how long handlers whose connections were cut may take to notice.
const cutTime = 2 * time.Second

// connections is the set of open connections, so that they can be cut at stop.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
	cut  bool // those that come now are cut at once
}

func (c *connections) onState(conn net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		c.mu.Lock()
		c.open[conn] = struct{}{}
		if c.cut {
			_ = conn.Close() // cutting it is all that is wanted
		}
		c.mu.Unlock()
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
	}
}

func (c *connections) closeAll() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.open {
		_ = conn.Close() // cutting it is all that is wanted
	}
	return len(c.open)
}

// quiet is fasthttp's logger: what clients do wrong is for those who debug.
type quiet struct{ log *logrus.Entry }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) { q.log.Debugf(format, args...) }
