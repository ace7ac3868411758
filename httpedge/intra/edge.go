package intra

import (
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Edge is the road as one of the node's edges uses it. Safe for concurrent use.
type Edge struct {
	road    *Road
	gateway *gateway.Gateway
	name    string
}

// NewEdge makes the road of an edge, which has the same name on every node: one of
// Server's.
func NewEdge(road *Road, g *gateway.Gateway, name string) *Edge {
	return &Edge{road: road, gateway: g, name: name}
}

// errReserved refuses clients that speak as nodes do.
var errReserved = errors.New("header fields " + space + "… are the nodes' own")

// RequestID returns the id that a relayed request has at the node that its client
// asked; empty for a client's own.
func (e *Edge) RequestID(ctx *fasthttp.RequestCtx) string {
	if relayed := Of(ctx); relayed != nil {
		return relayed.Request
	}
	return ""
}

// Judge looks at a request before its body is sent. It answers a relayed one that this
// node must refuse, and reports whether it did: it is not in charge of the key under
// the epoch that the request carries. The error is why a client's own request need not
// send its body: the node in charge cannot be asked. It reads nothing of the body and
// does not block.
func (e *Edge) Judge(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, name string) (refused bool, err error) {
	relayed := Of(ctx)
	if relayed == nil {
		at, err := e.charge(ctx, bucket, name)
		if err == nil && !at.Ours() && at.Node.Away != "" {
			err = errs.E("intra.Judge", errs.Offline, &messages.NodeAway{Node: at.Node.ID, Reason: at.Node.Away})
		}
		return false, err
	}
	c, err := e.gateway.Charge(bucket, name)
	if err != nil {
		return false, err
	}
	if c.Set != nil && c.Ours() && c.Epoch == relayed.Epoch {
		return false, nil
	}
	if newer := e.gateway.Newer; newer != nil && c.Set != nil && relayed.Map > c.Set.Version() {
		newer(relayed.By) // it will ask again
	}
	refuse(ctx, c.Set)
	return true, nil
}

// refuse says that nothing was done, because nodes have different maps.
func refuse(ctx *fasthttp.RequestCtx, set *messages.NodeSet) {
	version := uint64(0)
	if set != nil {
		version = set.Version()
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(statusRefused)
	ctx.Response.Header.Set(fieldRefused, strconv.FormatUint(version, 10))
}

// charge returns who is in charge of the key of a client's request; one that speaks
// as nodes do is refused.
func (e *Edge) charge(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, name string) (gateway.Charge, error) {
	c, err := e.gateway.Charge(bucket, name)
	if err == nil && c.Set != nil && usesSpace(&ctx.Request.Header) {
		err = errs.E("intra.Relay", errs.Invalid, errReserved)
	}
	return c, err
}

// maxMaps bounds how often a request is passed on under a newer map.
const maxMaps = 4

// Relay has a client's request answered by the node in charge of the key, and reports
// whether it is answered; if not, this node is in charge. A relayed request is
// answered only if it must be refused. Id is the request's, as the client will know
// it. An error has applied nothing, unless it is objects.ErrOutcomeUnknown.
//
// It leases a slab for a body, in each direction, and releases it; that of the answer
// is released when the answer has been written.
func (e *Edge) Relay(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, name, id string) (answered bool, err error) {
	const op errs.Op = "intra.Relay"
	if Of(ctx) != nil {
		return e.Judge(ctx, bucket, name)
	}
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	var c *call
	for look := 1; ; look++ {
		at, err := e.charge(ctx, bucket, name)
		if err != nil {
			return false, err
		}
		if at.Ours() {
			if c != nil && c.consumed {
				return false, errs.E(op, key, errs.Busy, errors.New("the map changed while the request was on its way; nothing was changed"))
			}
			return false, nil
		}
		if c == nil {
			if c, err = e.newCall(ctx); err != nil {
				return false, errs.E(op, key, err)
			}
			defer c.release()
		}
		err = c.to(at, e.name, id)
		var differs *messages.MapDiffers
		if !errors.As(err, &differs) {
			if err != nil {
				return false, told(op, key, err)
			}
			return true, nil
		}
		if look == maxMaps || c.consumed && c.small == nil {
			return false, errs.E(op, key, errs.Busy, err)
		}
		e.gateway.AwaitMap(at.Set, differs)
	}
}

// told gives an error its kind: a node that is away is errs.Offline.
func told(op errs.Op, key objects.Key, err error) error {
	var away *messages.NodeAway
	if errors.As(err, &away) {
		return errs.E(op, key, errs.Offline, err)
	}
	return errs.E(op, key, err)
}

// Redirect sends a client to the node in charge of the key, and reports whether it
// did; if not, this node is in charge, or clients cannot be sent there. Target is the
// request's, perhaps with parameters added.
func (e *Edge) Redirect(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, name, target string) (redirected bool, err error) {
	if Of(ctx) != nil {
		return false, nil
	}
	at, err := e.charge(ctx, bucket, name)
	if err != nil || at.Ours() {
		return false, err
	}
	base := at.Node.S3
	if e.name == NativeEdge {
		base = at.Node.Native
	}
	if base == "" {
		return false, nil
	}
	ctx.Response.Header.Set("Location", base+target)
	ctx.SetStatusCode(fasthttp.StatusTemporaryRedirect)
	if ctx.IsGet() {
		ctx.SetStatusCode(fasthttp.StatusMovedPermanently)
		// The key may be another node's tomorrow.
		ctx.Response.Header.Set("Cache-Control", "no-store")
	}
	return true, nil
}

// The edges of a node.
const (
	S3Edge     = "s3"
	NativeEdge = "native"
)
