package auth

import (
	"bytes"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv2"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const opAuthenticate errs.Op = "auth.Authenticate"

// Credentials knows who has which access key. Root, RootKeys and NodeCredentials are some.
// Its methods are called for every signed request, concurrently, and answer from memory.
type Credentials interface {
	// Secret returns the secret of an access key; false if nobody may sign with it.
	Secret(accessKey string) (secret string, ok bool)
	// Principal returns who has an access key, and its secret; nil: nobody may sign with it.
	Principal(accessKey string) (*Principal, string)
	// Unknown says why it cannot be told now whether there is an access key that has no
	// secret; nil: there is none. errs.Offline.
	Unknown(accessKey string) error
}

// Root is the pair of keys that may do everything.
type Root struct{ AccessKey, SecretKey string }

// Secret implements Credentials.
func (r Root) Secret(accessKey string) (string, bool) {
	return r.SecretKey, r.SecretKey != "" && accessKey == r.AccessKey
}

// Principal implements Credentials.
func (r Root) Principal(accessKey string) (*Principal, string) {
	if r.SecretKey == "" || accessKey != r.AccessKey {
		return nil, ""
	}
	return &Principal{Root: true}, r.SecretKey
}

// Unknown implements Credentials.
func (r Root) Unknown(string) error { return nil }

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
	current  signers
	previous *signers // nil: none
	body     BodyOptions
}

// New returns an Authenticator.
func New(o Options) *Authenticator {
	by := func(c Credentials) signers {
		s := signers{credentials: c, version4: sigv4.NewVerifier(sigv4.Options{Secret: c.Secret, Regions: o.Regions, MaxSkew: o.MaxSkew, Now: o.Now})}
		if o.Version2 {
			s.version2 = sigv2.NewVerifier(sigv2.Options{Secret: c.Secret, Domains: o.Domains, MaxSkew: o.MaxSkew, Now: o.Now})
		}
		return s
	}
	a := &Authenticator{current: by(o.Credentials), body: o.Body.withDefaults()}
	if o.Previous != nil {
		previous := by(o.Previous)
		a.previous = &previous
	}
	return a
}

// Authenticate verifies the signature of a request whose body has not been read, and lets
// nobody in but the root pair: users are AccessDenied, until what they may do is judged.
// It may run in the handler and in an ExpectHandler: it only reads the headers.
// A request without signature is Anonymous, which is no error. The errors are
// *sigv4.Error, or errs.Offline: see Credentials.Unknown.
func (a *Authenticator) Authenticate(ctx *fasthttp.RequestCtx) (sigv4.Identity, error) {
	return a.AuthenticateHeader(&ctx.Request.Header)
}

// AuthenticateHeader is Authenticate for fasthttp's HeaderReceived hook, which
// sees the header alone.
func (a *Authenticator) AuthenticateHeader(h *fasthttp.RequestHeader) (sigv4.Identity, error) {
	identity, principal, err := a.Identify(h)
	if err == nil && !identity.Anonymous && !principal.Root {
		return sigv4.Identity{}, &sigv4.Error{
			Code: sigv4.AccessDenied, Message: "Access Denied: what users may do is not judged by this release; only the root pair is let in.",
			Err: &errs.Error{Op: opAuthenticate, Kind: errs.Denied},
		}
	}
	return identity, err
}

// Identify verifies the signature of a request by its header, and says whose it is, without
// judging what that may do. The principal is nil where the request is Anonymous. Errors: as
// of Authenticate.
func (a *Authenticator) Identify(h *fasthttp.RequestHeader) (sigv4.Identity, *Principal, error) {
	target, err := ParseTarget(h)
	if err != nil {
		return sigv4.Identity{}, nil, err
	}
	request := sigv4.Request{
		Method: h.Method(), Path: target.Path, Query: target.Query, Host: h.Host(), Headers: (*headers)(h),
	}
	identity, principal, err := a.current.verify(&request)
	if err == nil || a.previous == nil || !mayBePrevious(err) {
		return identity, principal, err
	}
	if before, principal, previousErr := a.previous.verify(&request); previousErr == nil {
		return before, principal, nil
	}
	return identity, nil, err // which names what is wrong with the pair in force
}

// signers are credentials, and what verifies by them.
type signers struct {
	credentials Credentials
	version4    *sigv4.Verifier
	version2    *sigv2.Verifier // nil: refused
}

// signature checks a signature of either version.
func (s *signers) signature(r *sigv4.Request) (sigv4.Identity, error) {
	identity, err := s.version4.Verify(r)
	if err == nil || s.version2 == nil {
		return identity, err
	}
	return s.signature2(*r, identity, err) // a copy: r stays on the stack of who asks
}

// signature2 checks a signature of version 2, if the request has one; otherwise it returns
// what version 4 came to.
func (s *signers) signature2(r sigv4.Request, identity sigv4.Identity, err error) (sigv4.Identity, error) {
	var refused *sigv4.Error
	if !errors.As(err, &refused) || refused.Code != sigv4.InvalidRequest || !sigv2.Claims(&r) {
		return identity, err
	}
	return s.version2.Verify(&r)
}

// verify verifies a signature, and says whose it is.
func (s *signers) verify(request *sigv4.Request) (sigv4.Identity, *Principal, error) {
	identity, err := s.signature(request)
	if err != nil {
		var refused *sigv4.Error
		if errors.As(err, &refused) && refused.Code == sigv4.InvalidAccessKeyID {
			if why := s.credentials.Unknown(refused.Detail("AWSAccessKeyId")); why != nil {
				err = why
			}
		}
		return identity, nil, err
	}
	if identity.Anonymous {
		return identity, nil, nil
	}
	principal, secret := s.credentials.Principal(identity.AccessKey)
	if principal == nil || !identity.SignedWith(secret) { // changed since: the key is another one's, or nobody's
		return sigv4.Identity{}, nil, &sigv4.Error{
			Code: sigv4.InvalidAccessKeyID, Message: "The AWS Access Key Id you provided does not exist in our records.",
			Details: []objects.Pair{{Name: "AWSAccessKeyId", Value: identity.AccessKey}}, Err: &errs.Error{Op: opAuthenticate, Kind: errs.Denied},
		}
	}
	return identity, principal, nil
}

// mayBePrevious reports whether another pair of keys could have made a signature
// that was refused.
func mayBePrevious(err error) bool {
	var refused *sigv4.Error
	if errs.Is(errs.Offline, err) { // see Credentials.Unknown
		return true
	}
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
