package native

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api"
)

// maxRequestBody bounds the body of a request about the cluster, in bytes.
const maxRequestBody = 4 << 10

// Decide has the node that leads the cluster decide on a request. It blocks for half a
// minute at most.
type Decide func(ctx context.Context, r api.ClusterRequest) (api.ClusterOutcome, error)

// ClusterRequestsRoute is the route at api.ClusterRequestsPath; nil: the node is alone.
func ClusterRequestsRoute(decide Decide) Route {
	return Route{Path: api.ClusterRequestsPath, Guard: Control, Handle: Verbs{post: func(r *Request) error {
		if decide == nil {
			return Refuse(fasthttp.StatusNotFound, typeNotFound, "the node is alone, and belongs to no cluster that could be changed")
		}
		var request api.ClusterRequest
		if err := r.Decode(maxRequestBody, &request); err != nil {
			return err
		}
		outcome, err := decide(r.Context(), request)
		if err != nil {
			return err
		}
		return r.JSON(outcome)
	}}.Handle}
}

// tellSmap answers with the map that the node acts on.
func tellSmap(r *Request) error {
	view := r.h.view()
	if view == nil {
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "the node has no map of a cluster: it is alone, or has not joined yet")
	}
	return r.JSON(view.Map)
}
