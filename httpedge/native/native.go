// Package native speaks AIStore's native REST, as far as a single node has it
// now: health, metrics, and the properties of buckets; and S3 under /s3.
//
// Start with Handler.
package native

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Gateway is what this edge needs of httpedge/gateway.
type Gateway interface {
	Bucket(name string) (*objects.BucketDoc, error)
	SetBucketProps(ctx context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error)
}

// Config is what the handler needs. Every field is required.
type Config struct {
	Gateway Gateway
	Roster  func() *messages.Roster
	Metrics prometheus.Gatherer
	S3      fasthttp.RequestHandler // answers below /s3
	// ExpectS3 judges the head of a request below /s3 that waits for 100 Continue.
	ExpectS3 func(*fasthttp.RequestCtx) int
	NodeID   string
	Started  time.Time
	Now      func() time.Time
	// Context is given to the gateway with every request; it ends with the node.
	Context context.Context
}

// Handler serves the native listener.
type Handler struct {
	Config
	metrics fasthttp.RequestHandler
}

// New makes a handler.
func New(c Config) *Handler {
	return &Handler{Config: c, metrics: fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))}
}

// Handle answers one request.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.URI().PathOriginal())
	for strings.HasPrefix(path, "//") {
		path = path[1:] // AIStore's clients double the first slash
	}
	switch {
	case path == "/s3" || strings.HasPrefix(path, "/s3/"):
		h.S3(ctx)
	case path == "/metrics":
		h.metrics(ctx)
	case path == "/v1/health":
		h.health(ctx)
	case strings.HasPrefix(path, "/v1/buckets/"):
		h.bucket(ctx, strings.TrimPrefix(path, "/v1/buckets/"))
	default:
		h.fail(ctx, errs.E("native", path, errs.Invalid, errors.New("no such path in the native API")))
	}
}

// Expect judges the head of a request that waits for 100 Continue.
func (h *Handler) Expect(ctx *fasthttp.RequestCtx) int {
	if path := string(ctx.URI().PathOriginal()); path == "/s3" || strings.HasPrefix(path, "/s3/") {
		return h.ExpectS3(ctx)
	}
	return fasthttp.StatusContinue
}

// health answers liveness, and with ?readiness=true whether the node may serve
// now, and if not, why.
func (h *Handler) health(ctx *fasthttp.RequestCtx) {
	if !h.allow(ctx, fasthttp.MethodGet, fasthttp.MethodHead) {
		return
	}
	ctx.Response.Header.Set("Ais-Node-Uptime", formatNanoseconds(h.Now().Sub(h.Started)))
	if !isTrue(string(ctx.QueryArgs().Peek("readiness"))) {
		return
	}
	roster := h.Roster()
	usable := 0
	var away []string
	for _, m := range roster.Mountpaths {
		if m.Offline == "" {
			usable++
		} else {
			away = append(away, m.Path+": "+m.Offline)
		}
	}
	if usable == 0 {
		h.fail(ctx, errs.E("native.health", h.NodeID, errs.Offline, errors.New("no mountpath can be used: "+strings.Join(away, "; "))))
	}
}

// action is AIStore's action message.
type action struct {
	Action string          `json:"action"`
	Value  json.RawMessage `json:"value"`
}

// props is the value of the action set-bprops, as far as it is known here.
type props struct {
	Troupe *struct {
		Durability      *objects.Durability `json:"durability"`
		ETag            *objects.ETagKind   `json:"etag"`
		ValidateWarmGet *bool               `json:"validate_warm_get"`
	} `json:"troupe"`
}

// bucket changes the properties of a bucket.
func (h *Handler) bucket(ctx *fasthttp.RequestCtx, name string) {
	const op errs.Op = "native.SetBucketProps"
	if !h.allow(ctx, fasthttp.MethodPatch) {
		return
	}
	body := ctx.Request.Body()
	var message action
	var value props
	if err := json.Unmarshal(body, &message); err != nil {
		h.fail(ctx, errs.E(op, name, errs.Invalid, err))
		return
	}
	if message.Action != "set-bprops" {
		h.fail(ctx, errs.E(op, name, errs.Invalid, errors.New("invalid action "+message.Action)))
		return
	}
	if err := json.Unmarshal(message.Value, &value); err != nil {
		h.fail(ctx, errs.E(op, name, errs.Invalid, err))
		return
	}
	doc, err := h.Gateway.Bucket(name)
	if err != nil {
		h.fail(ctx, err)
		return
	}
	next := doc.Props
	if t := value.Troupe; t != nil {
		if t.Durability != nil {
			next.Durability = *t.Durability
		}
		if t.ETag != nil {
			next.ETag = *t.ETag
		}
		if t.ValidateWarmGet != nil {
			next.ValidateWarmGet = *t.ValidateWarmGet
		}
	}
	if err := next.Check(); err != nil {
		h.fail(ctx, errs.E(op, name, errs.Invalid, err))
		return
	}
	if _, err := h.Gateway.SetBucketProps(h.Context, name, next); err != nil {
		h.fail(ctx, err)
	}
}

// allow answers 405 to every method but those given.
func (h *Handler) allow(ctx *fasthttp.RequestCtx, methods ...string) bool {
	for _, m := range methods {
		if string(ctx.Method()) == m {
			return true
		}
	}
	ctx.Response.Header.Set("Allow", strings.Join(methods, ", "))
	ctx.Error("method not allowed", fasthttp.StatusMethodNotAllowed)
	return false
}
