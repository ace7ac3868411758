package native

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

var errSuspended = errors.New("the listener is suspended")

// HandleSuspended answers a request while the listener is suspended: control, so
// that it can be resumed, and nothing else.
func (h *Handler) HandleSuspended(ctx *fasthttp.RequestCtx) {
	r := &Request{h: h, ctx: ctx, method: string(ctx.Method())}
	route, err := r.route()
	switch {
	case isS3(ctx), err == nil && route.Guard != Control:
		err = errs.E("native", r.path, errs.Busy, errSuspended)
	case err == nil:
		err = route.Handle(r)
	}
	if err != nil {
		r.fail(err)
	}
}
