package native

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"
)

// AIStore's Python SDK sends the head of an upload over HTTPS with its length and
// no body, and looks at the answer: it sends the body only to where it is
// redirected, and takes anything else for the end. A node that is gateway and
// target at once redirects such a client to itself, with the parameters that a
// gateway adds.
const (
	parameterGateway = "pid" // id of the gateway that redirects
	parameterTime    = "utm" // when, in nanoseconds since 1970
)

// WaitsForRedirect reports, by the head alone, whether a request may be an upload
// that sends its body only once it has been redirected. It fits
// httpedge.Listener.Early, of a listener that speaks HTTPS.
func WaitsForRedirect(h *fasthttp.RequestHeader) bool {
	if !h.IsPut() || !h.ConnectionClose() || h.ContentLength() <= 0 {
		return false
	}
	path, query, _ := bytes.Cut(h.RequestURI(), []byte{'?'})
	if !bytes.HasPrefix(bytes.TrimLeft(path, "/"), []byte("v1/objects/")) {
		return false
	}
	gateway, at := false, false
	for parameter := range bytes.SplitSeq(query, []byte{'&'}) {
		name, _, _ := bytes.Cut(parameter, []byte{'='})
		gateway = gateway || string(name) == parameterGateway
		at = at || string(name) == parameterTime
	}
	return !gateway || !at
}

// redirect sends an upload that waits for it to this very node. It reports whether
// the request was one.
func (r *Request) redirect() bool {
	if !r.ctx.IsTLS() || !WaitsForRedirect(&r.ctx.Request.Header) {
		return false
	}
	r.set("Location", "https://"+string(r.ctx.Request.Header.Host())+r.redirectTarget())
	r.ctx.SetStatusCode(fasthttp.StatusTemporaryRedirect)
	return true
}

// redirectTarget is the request's target as a client is sent on with it: with the
// parameters that a gateway adds.
func (r *Request) redirectTarget() string {
	target := r.ctx.Request.Header.RequestURI()
	for bytes.HasPrefix(target, []byte("//")) {
		target = target[1:]
	}
	separator := "?"
	if bytes.IndexByte(target, '?') >= 0 {
		separator = "&"
	}
	return string(target) + separator + parameterGateway + "=" + r.h.NodeID + "&" + parameterTime + "=" + strconv.FormatInt(r.h.Now().UnixNano(), 10)
}
