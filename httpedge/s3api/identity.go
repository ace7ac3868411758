package s3api

import (
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/objects"
)

// Authenticator says who sent a request and hands out its payload as it was
// signed. Safe for concurrent use.
type Authenticator interface {
	// Authenticate judges the head of a request and reads nothing of its body. A
	// request without credentials is not an error: the identity is Anonymous.
	// Refusals are *sigv4.Error.
	Authenticate(ctx *fasthttp.RequestCtx) (sigv4.Identity, error)
	// Body prepares to read a payload of at most limit bytes.
	Body(ctx *fasthttp.RequestCtx, identity sigv4.Identity, limit int64) (Body, error)
}

// Body is a payload as the client meant it: chunk framing of aws-chunked
// removed, its signatures verified as it is read. It reports a body that ends
// before its declared length, that grows beyond its limit, and that stalls. The
// SHA-256 of a signed payload is its reader's to check. Valid until the handler
// returns; one reader.
type Body interface {
	io.Reader
	// Size is the declared length in bytes, -1 if the client did not say.
	Size() int64
	// Trailers are those that x-amz-trailer announced, names in lower case, once
	// Read has returned io.EOF. HTTP's own trailers are never among them.
	Trailers() []objects.Pair
}

// Signatures makes the node's authenticator usable by this edge.
func Signatures(a *auth.Authenticator) Authenticator { return nodeAuthenticator{a} }

// nodeAuthenticator differs from *auth.Authenticator in returning an interface.
type nodeAuthenticator struct{ *auth.Authenticator }

// Body implements Authenticator.
func (a nodeAuthenticator) Body(ctx *fasthttp.RequestCtx, identity sigv4.Identity, limit int64) (Body, error) {
	body, err := a.NewBodyUpTo(ctx, identity, limit)
	if err != nil {
		return nil, err
	}
	return body, nil
}
