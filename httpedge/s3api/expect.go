package s3api

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// Expect judges an upload whose client waits for "100 Continue" before it sends
// the body; it fits fasthttp.Server.ExpectHandler. It answers the status to
// refuse with, or 100, after looks that cost no disk: is anyone named as the
// sender, is the length allowed, does the bucket exist. A refusal is a full
// answer, XML and all: fasthttp sends what the response holds, and then closes
// the connection. It never panics and does not block.
func (h *Handler) Expect(ctx *fasthttp.RequestCtx) (status int) {
	defer func() {
		if p := recover(); p != nil {
			h.config.Log.WithField("panic", p).Error("s3api: a look at Expect panicked")
			status = fasthttp.StatusInternalServerError
		}
	}()
	at, err := h.expect(ctx)
	if err == nil {
		var refused bool
		if refused, err = h.judge(ctx, at); refused {
			return ctx.Response.StatusCode()
		}
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	r := h.begin(ctx)
	r.target = at
	if r.record != nil {
		r.method = string(ctx.Method())
		subresource := ""
		if ctx.QueryArgs().Has("uploadId") {
			subresource = "uploadId"
		}
		r.record.SetOperation(r.operationName(subresource), at.bucket, at.key)
	}
	r.answer(errorOf(err, at))
	r.recycle()
	return ctx.Response.StatusCode()
}

func (h *Handler) expect(ctx *fasthttp.RequestCtx) (target, error) {
	at, _, err := h.addressing.parse(string(ctx.Request.Header.RequestURI()), string(ctx.Request.Header.Host()))
	if err != nil {
		return at, err
	}
	arguments := ctx.URI().QueryArgs()
	if len(ctx.Request.Header.Peek("Authorization")) == 0 && !arguments.Has("X-Amz-Signature") && !arguments.Has("Signature") {
		return at, refuse(codeAccessDenied, "")
	}
	length := int64(ctx.Request.Header.ContentLength())
	if decoded := ctx.Request.Header.Peek("X-Amz-Decoded-Content-Length"); len(decoded) > 0 {
		if n, err := strconv.ParseInt(string(decoded), 10, 64); err == nil {
			length = n
		}
	}
	if length > h.config.Limits.ObjectBytes {
		return at, refuse(codeEntityTooLarge, "")
	}
	if at.level() == levelObject {
		_, err = h.config.Gateway.Bucket(at.bucket)
	}
	return at, err
}
