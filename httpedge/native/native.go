// Package native speaks AIStore's native REST as unmodified AIStore clients
// expect it: health, the cluster map, buckets, objects and listings; with S3
// under /s3, metrics, and the routes that others add.
//
//	Handler ──▶ route ──▶ guard ──▶ a file per noun ──▶ gateway
//
// A single node is gateway and target at once, as far as clients can see: it
// answers every request itself, so nothing is redirected.
//
// Names are decoded once and never cleaned; what they may be is in path.go. An
// error becomes an answer in errors.go and nowhere else.
//
// Start with Handler, then route.go.
package native

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/httpedge/browser"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Config is what the handler needs. Every field is required, but Unready, Access, Pages,
// Routes, Relay, and those of a cluster.
type Config struct {
	Gateway *gateway.Gateway
	Roster  func() *messages.Roster
	// Unready says why the node's cluster does not count on it now; empty: it does. nil: it
	// is in none.
	Unready func() string
	// Alone fails while the node must answer no request about objects and buckets: it cannot
	// tell whether others have taken its place. nil: it always can.
	Alone   func() error
	Metrics prometheus.Gatherer
	S3      fasthttp.RequestHandler // answers below /s3
	// ExpectS3 judges the head of a request below /s3 that waits for 100 Continue.
	ExpectS3 func(*fasthttp.RequestCtx) int
	// Relay leads to the nodes that are in charge of other keys; nil: the node is alone.
	Relay *intra.Edge
	// Auth judges signatures of the root pair and hands out bodies.
	Auth   *auth.Authenticator
	Access Access
	// Pages, if not nil, judges requests that need no token: web pages can send them.
	Pages *browser.Guard
	// Routes are added to the handler's own.
	Routes []Route
	NodeID string
	// ClusterID is the uuid of the cluster map.
	ClusterID string
	// Cluster returns the cluster as the node sees it; nil, or nothing: it is alone.
	Cluster func() *messages.ClusterView
	// Peers has another node answer a PeerTarget. Needed where Cluster is.
	Peers func(node, target string) (PeerAnswer, error)
	// Log is what clients may read of the node's log.
	Log KeptLog
	// Scheme is how URLs of native listeners begin, all nodes' alike: http://
	Scheme string
	// System and Capacity tell of the machine and of the mountpaths; they may look
	// at the system and must not block for long.
	System   func() ais.SystemInfo
	Capacity func() ais.Capacity
	Started  time.Time
	Now      func() time.Time
	// Context is given to the gateway with every request; it ends with the node.
	Context context.Context
}

// Handler serves the native listener. Safe for concurrent use.
type Handler struct {
	Config
	routes routes
}

// New makes a handler; it starts nothing.
func New(c Config) *Handler {
	h := &Handler{Config: c}
	metrics := fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	own := []Route{
		{Path: "/metrics", Guard: Data, Handle: func(r *Request) error { metrics(r.ctx); return nil }},
		{Path: "/v1/health", Guard: Open, Handle: Verbs{get: health, head: health}.Handle},
		{Path: "/v1/buckets", Guard: Data, Handle: buckets},
		{Path: objectsPath, Guard: Data, Handle: objectRoutes, Expect: expectPut},
		{Path: batchPath, Guard: Data, Handle: Verbs{get: getBatch}.Handle},
		{Path: "/v1/daemon", Guard: Data, Handle: daemon},
		{Path: "/v1/reverse/daemon", Guard: Data, Handle: reverse},
		{Path: "/v1/cluster", Guard: Data, Handle: clusterRoute},
	}
	h.routes = newRoutes(slices.Concat(own, absentRoutes(), c.Routes)...)
	return h
}

// Handle answers one request.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	if isS3(ctx) {
		h.S3(ctx)
		return
	}
	r := &Request{h: h, ctx: ctx, method: string(ctx.Method())}
	if err := r.serve(); err != nil {
		r.fail(err)
	}
}

// alone says why nothing may be answered about what is stored; nil: it may.
func (r *Request) alone(route *Route) error {
	if r.h.Alone == nil || route.Path != objectsPath && route.Path != batchPath && route.Path != "/v1/buckets" {
		return nil
	}
	return r.h.Alone()
}

// serve finds the route and follows it.
func (r *Request) serve() error {
	route, err := r.route()
	if err != nil {
		return err
	}
	if err := r.alone(route); err != nil {
		return err
	}
	err = route.Handle(r)
	if alone := r.alone(route); alone != nil { // since it was begun
		return errs.E("native", errs.Offline, objects.ErrOutcomeUnknown, alone)
	}
	return err
}

// route finds the request's route and judges whether it may use it.
func (r *Request) route() (*Route, error) {
	r.name()
	target, err := auth.ParseTarget(&r.ctx.Request.Header)
	if err != nil {
		return nil, err
	}
	r.path = string(target.Path)
	for strings.HasPrefix(r.path, "//") {
		r.path = r.path[1:] // AIStore's clients double the first slash
	}
	route, rest := r.h.routes.find(r.path)
	if route == nil {
		return nil, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: no such path in the native API", r.path)
	}
	r.rest = rest
	err = r.admit(route.Guard)
	r.by.Origin.Principal = r.caller.AccessKey
	return route, err
}

// requestHeader tells the id of a request.
const requestHeader = "X-Amz-Request-Id"

// name gives the request its id: that which it has at the node that its client asked.
func (r *Request) name() {
	asked := ""
	if relayed := intra.Of(r.ctx); relayed != nil {
		r.id, asked = relayed.Request, relayed.By
	}
	if r.id == "" {
		r.id = access.NewID()
	}
	access.Of(r.ctx).SetRequest(r.id, r.h.NodeID)
	r.set(requestHeader, r.id)
	r.by = gateway.Caller{Context: r.h.Context, Origin: objects.Origin{Cause: objects.CauseRequest, Request: r.id, Asked: asked}}
}

func isS3(ctx *fasthttp.RequestCtx) bool {
	path := string(ctx.URI().PathOriginal())
	return path == "/s3" || strings.HasPrefix(path, "/s3/")
}

// Expect judges the head of a request that waits for 100 Continue, by looks that
// cost no disk. A refusal is a full answer, after which the connection is closed.
func (h *Handler) Expect(ctx *fasthttp.RequestCtx) (status int) {
	if isS3(ctx) {
		return h.ExpectS3(ctx)
	}
	r := &Request{h: h, ctx: ctx, method: string(ctx.Method())}
	defer func() {
		if p := recover(); p != nil { // the connection's goroutine has no guard
			status = fasthttp.StatusInternalServerError
		}
	}()
	route, err := r.route()
	if err == nil && route.Expect != nil {
		err = route.Expect(r)
	}
	if err == nil && route.Path == objectsPath {
		var answered bool
		if answered, err = r.judgeElsewhere(); answered {
			return ctx.Response.StatusCode()
		}
	}
	if err == nil && r.redirect() {
		return fasthttp.StatusTemporaryRedirect
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	r.fail(err)
	return ctx.Response.StatusCode()
}
