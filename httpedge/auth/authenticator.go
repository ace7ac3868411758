package auth

import (
	"bytes"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv2"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
)

const opAuthenticate errs.Op = "auth.Authenticate"

// Credentials knows the secrets of access keys. Root is one; users with keys of
// their own will be another.
type Credentials interface {
	// Secret returns the secret of an access key; false if there is no such key.
	// It is called for every signed request, concurrently, and answers from
	// memory.
	Secret(accessKey string) (secret string, ok bool)
}

// Root is the pair of keys that may do everything.
type Root struct{ AccessKey, SecretKey string }

// Secret implements Credentials.
func (r Root) Secret(accessKey string) (string, bool) {
	return r.SecretKey, r.SecretKey != "" && accessKey == r.AccessKey
}

// Options configure an Authenticator.
type Options struct {
	Credentials Credentials
	// Previous, if not nil, are credentials that are asked when a signature is not
	// that of Credentials: a pair that was changed and is good for some time still.
	Previous Credentials
	Regions  []string         // accepted; empty: any
	MaxSkew  time.Duration    // between the clocks of client and node; default 15 minutes
	Now      func() time.Time // default time.Now
	// Version2 takes requests that are signed with Signature Version 2, too.
	Version2 bool
	Domains  []string // under which a host names a bucket; asked by Version2 alone
	Body     BodyOptions
}

// Authenticator finds out who sent a request. Safe for concurrent use.
type Authenticator struct {
	verifier verifier
	previous *verifier // nil: none
	body     BodyOptions
}

// verifier checks the signatures of one set of credentials.
type verifier struct {
	version4 *sigv4.Verifier
	version2 *sigv2.Verifier // nil: refused
}

// Verify checks a signature of either version.
func (v *verifier) Verify(r *sigv4.Request) (sigv4.Identity, error) {
	identity, err := v.version4.Verify(r)
	var refused *sigv4.Error
	if v.version2 == nil || !errors.As(err, &refused) || refused.Code != sigv4.InvalidRequest || !sigv2.Claims(r) {
		return identity, err
	}
	return v.version2.Verify(r)
}

// New returns an Authenticator.
func New(o Options) *Authenticator {
	of := func(c Credentials) *verifier {
		v := &verifier{version4: sigv4.NewVerifier(sigv4.Options{Secret: c.Secret, Regions: o.Regions, MaxSkew: o.MaxSkew, Now: o.Now})}
		if o.Version2 {
			v.version2 = sigv2.NewVerifier(sigv2.Options{Secret: c.Secret, Domains: o.Domains, MaxSkew: o.MaxSkew, Now: o.Now})
		}
		return v
	}
	a := &Authenticator{verifier: *of(o.Credentials), body: o.Body.withDefaults()}
	if o.Previous != nil {
		a.previous = of(o.Previous)
	}
	return a
}

// Authenticate verifies the signature of a request whose body has not been read.
// It may run in the handler and in an ExpectHandler: it only reads the headers.
// A request without signature is Anonymous, which is no error. The errors are
// *sigv4.Error.
func (a *Authenticator) Authenticate(ctx *fasthttp.RequestCtx) (sigv4.Identity, error) {
	return a.AuthenticateHeader(&ctx.Request.Header)
}

// AuthenticateHeader is Authenticate for fasthttp's HeaderReceived hook, which
// sees the header alone.
func (a *Authenticator) AuthenticateHeader(h *fasthttp.RequestHeader) (sigv4.Identity, error) {
	target, err := ParseTarget(h)
	if err != nil {
		return sigv4.Identity{}, err
	}
	request := sigv4.Request{
		Method: h.Method(), Path: target.Path, Query: target.Query, Host: h.Host(), Headers: (*headers)(h),
	}
	identity, err := a.verifier.Verify(&request)
	if err == nil || a.previous == nil || !mayBePrevious(err) {
		return identity, err
	}
	if before, previousErr := a.previous.Verify(&request); previousErr == nil {
		return before, nil
	}
	return identity, err // which names what is wrong with the pair in force
}

// mayBePrevious reports whether another pair of keys could have made a signature
// that was refused.
func mayBePrevious(err error) bool {
	var refused *sigv4.Error
	return errors.As(err, &refused) && (refused.Code == sigv4.SignatureDoesNotMatch || refused.Code == sigv4.InvalidAccessKeyID)
}

// Target is a request's target as sent. It is valid as long as the header is.
type Target struct {
	Path  []byte // percent-encoded, begins with "/"
	Query []byte // without "?"
}

// ParseTarget splits the target at the first "?". It refuses, with InvalidURI,
// what would let the node act on another target than the one that was signed:
// the absolute form (fasthttp takes host and path from it), "*", fragments,
// control bytes and spaces.
func ParseTarget(h *fasthttp.RequestHeader) (Target, error) {
	raw := h.RequestURI()
	if len(raw) == 0 || raw[0] != '/' {
		return Target{}, invalidURI()
	}
	for _, c := range raw {
		if c <= ' ' || c == 0x7f || c == '#' {
			return Target{}, invalidURI()
		}
	}
	path, query, _ := bytes.Cut(raw, []byte{'?'})
	return Target{Path: path, Query: query}, nil
}

func invalidURI() *sigv4.Error {
	return &sigv4.Error{
		Code: sigv4.InvalidURI, Message: "Couldn't parse the specified URI.",
		Err: &errs.Error{Op: opAuthenticate, Kind: errs.Invalid},
	}
}

// headers shows fasthttp's header block as the client sent it.
type headers fasthttp.RequestHeader

// All implements sigv4.Headers.
func (h *headers) All(visit func(name, value []byte)) {
	for name, value := range (*fasthttp.RequestHeader)(h).AllInOrder() {
		visit(name, value)
	}
}
