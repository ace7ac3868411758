package native

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Access says who may use the routes guarded by Data. The zero value lets
// everybody, as on loopback. A value never shows its token.
type Access struct {
	token  [sha256.Size]byte // so that comparing takes one time whatever is sent
	needed bool
}

// Token is the access of who sends "Authorization: Bearer TOKEN".
func Token(token string) Access { return Access{token: sha256.Sum256([]byte(token)), needed: true} }

// allows judges the Authorization header.
func (a Access) allows(header string) error {
	if !a.needed {
		return nil
	}
	kind, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return Refuse(fasthttp.StatusUnauthorized, "", "token required")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
		return Refuse(fasthttp.StatusUnauthorized, "", "invalid token")
	}
	return nil
}

// admit judges whether the request may use a route.
func (r *Request) admit(guard Guard) error {
	r.caller = sigv4.Identity{Anonymous: true}
	switch guard {
	case Data:
		if r.Header("Ais-Caller-Id") != "" {
			return Refuse(fasthttp.StatusForbidden, "", "header Ais-Caller-Id is of requests between nodes, which this listener does not take")
		}
		if pages := r.h.Pages; pages != nil && !r.h.Access.needed {
			return pages.Judge(r.ctx)
		}
		if (r.method == get || r.method == head) && strings.HasPrefix(r.Header("Authorization"), signatureScheme) {
			return r.admitSigned() // who holds the root pair may read what who holds the token may
		}
		return r.h.Access.allows(r.Header("Authorization"))
	case Control:
		return r.admitSigned()
	}
	return nil
}

// signatureScheme begins the Authorization of a request that is signed.
const signatureScheme = "AWS4-"

// admitSigned judges whether the request is signed with the root pair.
func (r *Request) admitSigned() error {
	caller, err := r.h.Auth.Authenticate(r.ctx)
	if err != nil {
		return err
	}
	if caller.Anonymous {
		return Refuse(fasthttp.StatusForbidden, "", "%s %s needs a signature (version 4) of the root key pair", r.method, r.path)
	}
	if caller.Version2 {
		// It covers neither the query nor the body, which say what is asked for here.
		return Refuse(fasthttp.StatusForbidden, "", "%s %s needs a signature of version 4 of the root key pair, and not of version 2", r.method, r.path)
	}
	if caller.Presigned {
		// A link to the object v1/log of a bucket in virtual-host style would do here.
		return Refuse(fasthttp.StatusForbidden, "", "%s %s needs a signature in the Authorization header: a presigned link is for an object", r.method, r.path)
	}
	if caller.Payload.Chunked() {
		return errs.E("native.admit", r.path, errs.Invalid, errChunkedControl)
	}
	r.caller = caller
	access.Of(r.ctx).SetRequester(caller.AccessKey, access.Signed{Version: "SigV4", Place: "AuthHeader"})
	return nil
}

const errChunkedControl = controlError("a control request takes no aws-chunked body; sign it whole or as UNSIGNED-PAYLOAD")

type controlError string

// Error implements error.
func (e controlError) Error() string { return string(e) }
