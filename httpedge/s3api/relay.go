package s3api

import (
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// redirectHeader asks to be sent to the node in charge of a key: "yes".
const redirectHeader = "X-Troupe-Redirect"

// relay has a request about a key answered by the node in charge of it, and reports
// whether it is answered; if not, that is this node. A client may ask to be sent
// there instead, where it writes buckets into the path: it signs anew for another host.
// A bucket that does not exist is the operation's to tell.
func (r *request) relay() (answered bool, err error) {
	road := r.h.config.Relay
	if road == nil || r.target.level() != levelObject {
		return false, nil
	}
	bucket, err := r.h.config.Gateway.Bucket(r.target.bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	head := &r.ctx.Request.Header
	if strings.EqualFold(string(head.Peek(redirectHeader)), "yes") && r.h.addressing.bucketOf(string(head.Host())) == "" {
		if answered, err = road.Redirect(r.ctx, bucket, r.target.key, string(head.RequestURI())); answered || err != nil {
			if answered {
				r.drain() // so that a client that has begun to send its body reads where to
			}
			return answered, err
		}
	}
	return road.Relay(r.ctx, bucket, r.target.key, r.id)
}

// judge looks at the head of a request about a key: see intra.Edge.Judge.
func (h *Handler) judge(ctx *fasthttp.RequestCtx, at target) (refused bool, err error) {
	if h.config.Relay == nil || at.level() != levelObject {
		return false, nil
	}
	bucket, err := h.config.Gateway.Bucket(at.bucket)
	if err != nil {
		return false, err
	}
	return h.config.Relay.Judge(ctx, bucket, at.key)
}
