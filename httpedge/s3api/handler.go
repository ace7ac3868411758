package s3api

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Handler answers S3 requests. Safe for concurrent use.
type Handler struct {
	config     Config
	addressing addressing
	routes     routes
	requests   sync.Pool // of *request
	markups    sync.Pool // of *markup: buffers of documents
}

// New makes a handler out of a valid configuration; it starts nothing. The
// server that it is given to must stream request bodies (StreamRequestBody) and
// normalise header names, which is fasthttp's default.
func New(config Config) (*Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	return &Handler{
		config:     config,
		addressing: newAddressing(config.Prefix, config.Domains),
		routes:     newRoutes(),
		requests:   sync.Pool{New: func() any { return new(request) }},
	}, nil
}

// Handle answers one request. It never panics: what an operation panics with is
// logged with its stack and answered InternalError, which clients retry.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	r := h.begin(ctx)
	defer func() {
		if p := recover(); p != nil {
			r.onPanic(p) // the request is not reused: who knows who holds it
			return
		}
		r.recycle()
	}()
	if err := r.serve(); err != nil {
		r.fail(err)
	}
}

// alone says why nothing may be answered now; nil: it may.
func (h *Handler) alone() error {
	if h.config.Alone == nil {
		return nil
	}
	return h.config.Alone()
}

// begin makes the request and sets what every answer has.
func (h *Handler) begin(ctx *fasthttp.RequestCtx) *request {
	r := h.requests.Get().(*request)
	r.h, r.ctx, r.context = h, ctx, h.config.Context
	if h.config.Relay != nil {
		r.id = h.config.Relay.RequestID(ctx)
	}
	if r.id == "" {
		r.id = h.config.RequestID()
	}
	if r.record = access.Of(ctx); r.record != nil {
		r.record.SetRequest(r.id, h.config.HostID)
	}
	ctx.Response.Header.DisableNormalizing() // S3 writes ETag and x-amz-…
	r.set("x-amz-request-id", r.id)
	r.set("x-amz-id-2", h.config.HostID)
	return r
}

// recycle forgets the request and lets another use its memory. User metadata
// was handed to the gateway and may be shared with a record: it is not reused.
func (r *request) recycle() {
	h, sums, query := r.h, r.header.sums, r.query
	clear(sums)
	clear(query)
	*r = request{query: query[:0], header: header{sums: sums[:0]}}
	h.requests.Put(r)
}

// serve finds out what is asked and by whom, and does it.
func (r *request) serve() error {
	r.method = string(r.ctx.Method())
	var err error
	head := &r.ctx.Request.Header
	r.header.read(head)
	var query string
	if r.target, query, err = r.h.addressing.parse(string(head.RequestURI()), string(head.Host())); err != nil {
		return err
	}
	if r.query, err = parseQuery(query, r.query); err != nil {
		return err
	}
	if r.target.bucket == probe {
		if r.record != nil {
			r.record.SetOperation("REST."+r.method+".HEALTH", "", "")
		}
		return r.health()
	}
	if r.method == fasthttp.MethodOptions {
		return r.preflight()
	}
	if r.isForm() {
		return refuse(codeNotImplemented, "Uploads by HTML forms are not implemented.")
	}
	operation, subresource, err := r.h.routes.find(r)
	if r.record != nil {
		r.record.SetOperation(r.operationName(subresource), r.target.bucket, r.target.key)
	}
	if err != nil {
		return err
	}
	if r.caller, err = r.h.config.Auth.Authenticate(r.ctx); err != nil {
		return err
	}
	if r.caller.Anonymous {
		return refuse(codeAccessDenied, "")
	}
	if r.record != nil {
		r.record.SetRequester(r.caller.AccessKey, signedBy(r.caller))
	}
	r.introduce()
	if err := r.h.alone(); err != nil {
		return err
	}
	answered, err := r.relay()
	if !answered && err == nil {
		err = operation(r)
	}
	if alone := r.h.alone(); alone != nil { // since it was begun
		r.reset()
		return errs.E("s3api", errs.Offline, objects.ErrOutcomeUnknown, alone)
	}
	return err
}

// introduce tells the gateway who asks.
func (r *request) introduce() {
	r.by = gateway.Caller{Context: r.context, Origin: objects.Origin{Cause: objects.CauseRequest, Principal: r.caller.AccessKey, Request: r.id}}
	if relayed := intra.Of(r.ctx); relayed != nil {
		r.by.Origin.Asked = relayed.By
	}
	r.context = &r.by
}

// reset forgets an answer that was made and not sent.
func (r *request) reset() {
	r.ctx.Response.Reset()
	r.ctx.Response.Header.DisableNormalizing()
	r.set("x-amz-request-id", r.id)
	r.set("x-amz-id-2", r.h.config.HostID)
}

// isForm reports whether a browser posts an HTML form, which is signed inside
// its body and not in its head.
func (r *request) isForm() bool {
	return r.method == fasthttp.MethodPost && r.target.level() == levelBucket && strings.HasPrefix(r.header.contentType, "multipart/form-data")
}

// onPanic answers a request whose operation panicked.
func (r *request) onPanic(p any) {
	cause := fmt.Errorf("panic: %v", p)
	r.log().WithError(cause).WithField("stack", string(debug.Stack())).Error("s3api: an operation panicked")
	r.reset()
	r.ctx.SetConnectionClose() // what was read of the body is unknown
	r.fail(refuse(codeInternalError, "").because(cause))
}

// ServeSuspended answers a request while the listener is suspended.
func (h *Handler) ServeSuspended(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose() // its body is not read
	h.begin(ctx).fail(errs.E("s3api", errs.Busy, errors.New("the listener is suspended")))
}

// ServeError answers a request that fasthttp could not parse; it fits
// fasthttp.Server.ErrorHandler. The connection is closed afterwards.
func (h *Handler) ServeError(ctx *fasthttp.RequestCtx, err error) {
	r := h.begin(ctx)
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		r.fail(refuse(codeRequestHeaderTooLarge, "").because(err))
	case isTimeout(err):
		r.fail(refuse(codeRequestTimeout, "").because(err))
	default:
		r.fail(refuse(codeBadRequest, "").because(err))
	}
}
