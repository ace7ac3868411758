package intra

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects/clock"
)

// Served is an edge whose requests other nodes relay.
type Served struct {
	Handler fasthttp.RequestHandler
	Expect  func(*fasthttp.RequestCtx) int // judges the head of a request before its body is sent
}

// ServerConfig is what a Server needs. Every field is required, but Questions, Slices and
// StallTime.
type ServerConfig struct {
	Gateway *gateway.Gateway
	// Peer returns the node at the other end of a connection, which its certificate
	// names.
	Peer  func(tls.ConnectionState) (node string, err error)
	Edges map[string]Served // by the names that NewEdge was given
	// Questions are further ones that nodes ask, by path.
	Questions map[string]func(ctx *fasthttp.RequestCtx, node string)
	Clock     clock.Clock
	// Slices is asked for slices; nil: the node knows no questions about them.
	Slices gateway.SliceKeeper
	// StallTime is how long the cells of a stage may stand still; default gateway.Deadline.
	StallTime time.Duration
	Log       *logrus.Entry
}

// Server answers what other nodes relay and ask. It belongs behind a listener that
// lets in nodes of the cluster and nobody else. Safe for concurrent use.
type Server struct {
	ServerConfig
	stages stageTurns
}

// NewServer makes a server; it starts nothing.
func NewServer(c ServerConfig) *Server {
	if c.StallTime == 0 {
		c.StallTime = gateway.Deadline
	}
	return &Server{ServerConfig: c}
}

// Handle answers one request.
func (s *Server) Handle(ctx *fasthttp.RequestCtx) {
	edge, node := s.find(ctx)
	switch {
	case edge != nil:
		edge.Handler(ctx)
	case node != "":
		if answer, ok := s.Questions[string(ctx.Path())]; ok {
			answer(ctx, node)
			return
		}
		s.question(ctx)
	}
}

// Expect judges the head of a request whose node waits for 100 Continue.
func (s *Server) Expect(ctx *fasthttp.RequestCtx) (status int) {
	defer func() {
		if p := recover(); p != nil { // the connection's goroutine has no guard
			s.Log.WithField("panic", p).Error("intra: a look at Expect panicked")
			status = fasthttp.StatusInternalServerError
		}
	}()
	edge, node := s.find(ctx)
	switch {
	case edge != nil:
		return edge.Expect(ctx)
	case node == "":
		return ctx.Response.StatusCode()
	}
	return fasthttp.StatusContinue
}

// find returns the edge that a request was relayed from, and the node that asks. An
// empty node: the request has been refused. No edge: it is the node's own question.
func (s *Server) find(ctx *fasthttp.RequestCtx) (edge *Served, node string) {
	if relayed := Of(ctx); relayed != nil { // Expect has seen it
		served := s.Edges[relayed.Edge]
		return &served, relayed.By
	}
	state := ctx.TLSConnectionState()
	if state == nil {
		s.deny(ctx, fasthttp.StatusForbidden, "", fmt.Errorf("the connection is not encrypted"))
		return nil, ""
	}
	node, err := s.Peer(*state)
	if err != nil || node == "" {
		s.deny(ctx, fasthttp.StatusForbidden, node, err)
		return nil, ""
	}
	if len(ctx.Request.Header.Peek(fieldEdge)) == 0 {
		return nil, node
	}
	relayed, err := readRelayed(&ctx.Request.Header, node)
	if err != nil {
		s.deny(ctx, fasthttp.StatusBadRequest, node, err)
		return nil, ""
	}
	served, ok := s.Edges[relayed.Edge]
	if !ok {
		s.deny(ctx, fasthttp.StatusBadRequest, node, fmt.Errorf("there is no edge %q", relayed.Edge))
		return nil, ""
	}
	ctx.SetUserValue(relayedKey{}, relayed)
	ctx.SetRemoteAddr(relayed.Client)
	return &served, node
}

// deny answers who does not speak as nodes do, without a word about why.
func (s *Server) deny(ctx *fasthttp.RequestCtx, status int, node string, err error) {
	s.Log.WithFields(logrus.Fields{"remote": ctx.RemoteAddr().String(), "node": node}).WithError(err).Warn("intra: a request was refused")
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
	ctx.SetConnectionClose()
}
