package sigv4

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// Options configure a Verifier.
type Options struct {
	// Secret returns the secret of an access key; false (or an empty secret) if
	// there is no such key. Called for every signed request, concurrently: it
	// answers from memory. A changed secret counts from the next request on.
	Secret func(accessKey string) (secret string, ok bool)
	// Token judges the session token of a request whose signature is right; nil
	// accepts none. An *Error (InvalidToken, ExpiredToken) is answered as it is.
	Token func(accessKey, token string) error
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Regions are the accepted regions; empty: any. The first one is the one
	// that a client with another is told.
	Regions []string
	// MaxSkew is how far the clocks of client and node may differ; default 15 minutes.
	MaxSkew time.Duration
}

// Verifier checks signatures. Safe for concurrent use.
type Verifier struct {
	options Options
	keys    keyCache
	scratch sync.Pool // of *scratch
}

// NewVerifier returns a Verifier. Options.Secret is required: without it every
// access key is unknown.
func NewVerifier(options Options) *Verifier {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxSkew <= 0 {
		options.MaxSkew = 15 * time.Minute
	}
	options.Regions = slices.Clone(options.Regions)
	return &Verifier{options: options, scratch: sync.Pool{New: func() any { return newScratch() }}}
}

// scratch is the memory of one verification. Between two it holds nothing of a
// request but its own, overwritten buffers.
type scratch struct {
	headers   []header
	names     []byte
	pairs     []pair
	query     []byte // canonical names and values, in the order sent
	plain     []byte // decoded values of the signature's parameters
	canonical []byte
	toSign    []byte
	digest    digest
	signature [64]byte
	claim     claim
	visit     func(name, value []byte) // addHeader, bound once
}

func newScratch() *scratch {
	s := &scratch{
		headers: make([]header, 0, 32), names: make([]byte, 0, 512),
		canonical: make([]byte, 0, 1024), toSign: make([]byte, 0, 256), digest: newDigest(),
	}
	s.visit = s.addHeader
	return s
}

// maxScratchBytes is the largest buffer that is kept for the next request: what
// a request's 32 KiB of headers may grow to.
const maxScratchBytes = 128 << 10

func (v *Verifier) put(s *scratch) {
	if cap(s.canonical) > maxScratchBytes || cap(s.query) > maxScratchBytes {
		return
	}
	clear(s.headers)
	s.headers, s.names, s.pairs = s.headers[:0], s.names[:0], s.pairs[:0]
	s.query, s.plain = s.query[:0], s.plain[:0]
	s.claim = claim{}
	v.scratch.Put(s)
}

// Verify checks the signature of a request and says whose it is. A request that
// carries none is Anonymous, which is no error here. Every error is an *Error.
//
// The payload is not looked at: a Signed one's hash is compared by whoever reads
// it, a Chunked one is read through a ChunkReader.
func (v *Verifier) Verify(r *Request) (Identity, error) {
	s := v.scratch.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	defer v.put(s)
	s.collect(r.Headers)
	if !s.parseQuery(r.Query) {
		return Identity{}, invalidURI()
	}

	parameters := s.findParameters()
	authorization, count := s.one("authorization")
	c := &s.claim
	switch {
	case count > 1, count == 1 && (parameters.signed() || parameters.old):
		return Identity{}, severalMechanisms(authorization)
	case count == 1 && len(bytes.TrimSpace(authorization)) == 0: // as if it were not there
		return s.anonymous()
	case count == 1:
		if err := c.fromHeader(s, authorization); err != nil {
			return Identity{}, err
		}
	case parameters.signed():
		if err := c.fromQuery(s, &parameters); err != nil {
			return Identity{}, err
		}
	case parameters.old:
		return Identity{}, otherMechanism()
	default:
		return s.anonymous()
	}
	return v.verify(r, s, c)
}

// verify checks a claim: its form, its time, its key, its signature, its token.
func (v *Verifier) verify(r *Request, s *scratch, c *claim) (Identity, error) {
	var id Identity
	if err := c.splitCredential(); err != nil {
		return Identity{}, err
	}
	if err := v.checkScope(c); err != nil {
		return Identity{}, err
	}
	if err := id.setPayload(c.payload); err != nil {
		return Identity{}, err
	}
	if err := c.checkSignedHeaders(s); err != nil {
		return Identity{}, err
	}
	if err := v.checkTime(c); err != nil {
		return Identity{}, err
	}
	key, cached, err := v.key(c)
	if err != nil {
		return Identity{}, err
	}

	complete, err := s.canonicalize(r, c.signedHeaders, c.payload, c.except)
	if err != nil {
		return Identity{}, err
	}
	s.stringToSign(c.timestamp[:], key.scope)
	s.digest.hmac(&key.key, s.toSign)
	appendHex(s.signature[:0], s.digest.sum[:])
	if subtle.ConstantTimeCompare(s.signature[:], c.signature) != 1 || !complete {
		return Identity{}, s.mismatch(c)
	}
	if !cached {
		v.keys.put(key)
	}
	if err := v.checkToken(key, c); err != nil {
		return Identity{}, err
	}

	id.AccessKey, id.Region, id.Date = key.accessKey, key.region, key.date
	id.Time, id.Presigned = c.time, c.presigned
	id.timestamp, id.signature, id.key, id.secret = c.timestamp, s.signature, key, &key.secret
	return id, nil
}

// checkScope checks service and region.
func (v *Verifier) checkScope(c *claim) error {
	if string(c.service) != serviceS3 {
		return c.malformed(fmt.Sprintf("incorrect service %q. This endpoint belongs to %q.", c.service, serviceS3))
	}
	if len(v.options.Regions) == 0 {
		if len(c.region) == 0 {
			return c.malformed("a non-empty region must be provided in the credential.")
		}
		return nil
	}
	for _, region := range v.options.Regions {
		if string(c.region) == region {
			return nil
		}
	}
	text := fmt.Sprintf("the region '%s' is wrong; expecting '%s'", c.region, v.options.Regions[0])
	if c.presigned {
		text = "Error parsing the X-Amz-Credential parameter; " + text
	}
	return c.malformed(text, objects.Pair{Name: "Region", Value: v.options.Regions[0]})
}

// checkTime checks that the request is of now: within the skew or, presigned,
// not past its end.
func (v *Verifier) checkTime(c *claim) error {
	now := v.options.Now()
	if !c.presigned {
		if skew := now.Sub(c.time); skew > v.options.MaxSkew || skew < -v.options.MaxSkew {
			return skewed(string(c.timestamp[:]), now, v.options.MaxSkew)
		}
		return nil
	}
	if c.time.Sub(now) > v.options.MaxSkew {
		return denied(AccessDenied, "Request is not valid yet",
			objects.Pair{Name: "RequestTime", Value: string(c.timestamp[:])},
			objects.Pair{Name: "ServerTime", Value: now.UTC().Format(time.RFC3339)})
	}
	if end := c.time.Add(c.expires); now.After(end) {
		return denied(AccessDenied, "Request has expired",
			objects.Pair{Name: "X-Amz-Expires", Value: fmt.Sprint(int64(c.expires / time.Second))},
			objects.Pair{Name: "Expires", Value: end.UTC().Format(time.RFC3339)},
			objects.Pair{Name: "ServerTime", Value: now.UTC().Format(time.RFC3339)})
	}
	return nil
}

// key returns the signing key of a claim, and whether the cache has it already.
func (v *Verifier) key(c *claim) (key *signingKey, cached bool, err error) {
	key = v.keys.get(c.credential)
	var accessKey string
	if key != nil {
		accessKey = key.accessKey
	} else {
		accessKey = string(c.accessKey)
	}
	var secret string
	ok := false
	if v.options.Secret != nil {
		secret, ok = v.options.Secret(accessKey)
	}
	if !ok || secret == "" {
		return nil, false, denied(InvalidAccessKeyID, "The AWS Access Key Id you provided does not exist in our records.",
			objects.Pair{Name: "AWSAccessKeyId", Value: accessKey})
	}
	if key != nil && key.secret == secret {
		return key, true, nil
	}
	return newSigningKey(accessKey, secret, string(c.date), string(c.region), serviceS3), false, nil
}

func (v *Verifier) checkToken(key *signingKey, c *claim) error {
	if c.token == nil {
		return nil
	}
	if v.options.Token == nil {
		return invalid(InvalidToken, "The provided token is malformed or otherwise invalid.")
	}
	return v.options.Token(key.accessKey, string(c.token))
}

// anonymous is the identity of a request without a signature. What it says of
// its payload still counts, where no signing key is needed for it.
func (s *scratch) anonymous() (Identity, error) {
	id := Identity{Anonymous: true}
	payload, count := s.one("x-amz-content-sha256")
	if count == 0 {
		return id, nil
	}
	if count > 1 {
		return Identity{}, invalidPayload(nil)
	}
	if err := id.setPayload(payload); err != nil {
		return Identity{}, err
	}
	if id.Payload.chunksSigned() {
		return Identity{}, invalidPayload(payload)
	}
	return id, nil
}

// setPayload reads the value of x-amz-content-sha256.
func (id *Identity) setPayload(value []byte) error {
	switch string(value) {
	case unsignedPayload:
		id.Payload = Unsigned
	case chunkedSigned:
		id.Payload = ChunkedSigned
	case chunkedSignedTrailer:
		id.Payload = ChunkedSignedTrailer
	case chunkedUnsignedTrailer:
		id.Payload = ChunkedUnsignedTrailer
	case ecdsaPrefix, ecdsaPrefix + "-TRAILER":
		return invalid(NotImplemented, "A header you provided implies functionality that is not implemented: "+
			"Signature Version 4A (ECDSA) is not supported; use "+algorithm+".",
			objects.Pair{Name: "Header", Value: "x-amz-content-sha256"})
	default:
		id.Payload = Signed
		if !parseSHA256(&id.PayloadSHA256, value) {
			return invalidPayload(value)
		}
	}
	return nil
}

func invalidPayload(value []byte) *Error {
	return invalidArgument("x-amz-content-sha256 must be "+unsignedPayload+", "+chunkedUnsignedTrailer+", "+chunkedSigned+", "+
		chunkedSignedTrailer+", or a valid sha256 value.", "x-amz-content-sha256", value)
}
