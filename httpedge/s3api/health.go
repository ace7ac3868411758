package s3api

import "github.com/valyala/fasthttp"

// probe is where a load balancer asks, unsigned, whether the service is there:
// GET or HEAD /~health, and with ?readiness=true whether it may serve now. No
// bucket has such a name: neither S3's rules nor AIStore's know the tilde.
const probe = "~health"

// health answers a probe: 200, or 503 where the node may not serve.
func (r *request) health() error {
	if r.target.key != "" || r.method != fasthttp.MethodGet && r.method != fasthttp.MethodHead {
		e := refuse(codeMethodNotAllowed, "").with("Method", r.method).with("ResourceType", "SERVICE")
		e.Header = []Detail{{"Allow", "GET, HEAD"}}
		return e
	}
	if ready := r.h.config.Ready; ready != nil && r.query.value("readiness") == "true" {
		if err := ready(); err != nil {
			return refuse(codeServiceUnavailable, "The node cannot serve now.").because(err)
		}
	}
	return r.empty(fasthttp.StatusOK)
}
