package sigv4

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// Credentials are what a client signs with.
type Credentials struct {
	AccessKey    string
	SecretKey    string
	SessionToken string // empty: none
}

// Outgoing is a request to be signed, as it will be sent.
type Outgoing struct {
	Method string
	Path   string // percent-encoded as it will be sent (AppendPath), without query
	Query  string // encoded as it will be sent, without "?"
	Host   string // the Host header as it will be sent
	// Headers are signed with the request, every one of them; x-amz-* headers of
	// the request must be among them. Names in any case. x-amz-date,
	// x-amz-content-sha256, x-amz-security-token and authorization do not belong
	// here: signing adds them.
	Headers []objects.Pair
	Payload PayloadMode
	// PayloadSHA256 is the payload's hash; of Signed payloads only. An empty
	// payload has one too: EmptySHA256.
	PayloadSHA256 [32]byte
}

// EmptySHA256 returns the SHA-256 of an empty payload.
func EmptySHA256() (sum [32]byte) {
	parseSHA256(&sum, []byte(emptySHA256))
	return sum
}

// Signer signs requests with one pair of keys for one region. It derives the
// day's signing key once. Safe for concurrent use.
type Signer struct {
	credentials Credentials
	region      string
	key         atomic.Pointer[signingKey]
	scratch     sync.Pool // of *scratch
}

// NewSigner returns a Signer.
func NewSigner(credentials Credentials, region string) *Signer {
	return &Signer{credentials: credentials, region: region, scratch: sync.Pool{New: func() any { return newScratch() }}}
}

// day returns the signing key of a day.
func (g *Signer) day(date string) *signingKey {
	key := g.key.Load()
	if key == nil || key.date != date {
		key = newSigningKey(g.credentials.AccessKey, g.credentials.SecretKey, date, g.region, serviceS3)
		g.key.Store(key)
	}
	return key
}

// Signature is what signing adds to a request.
type Signature struct {
	// Headers are to be set on the request: authorization, x-amz-date,
	// x-amz-content-sha256, and x-amz-security-token where there is one.
	Headers []objects.Pair
	// Identity is what a Verifier will find; a ChunkWriter needs it.
	Identity Identity
}

// Sign signs a request with an Authorization header, as of now. It fails, with an
// *Error, if path or query have a bad escape.
func (g *Signer) Sign(r *Outgoing, now time.Time) (Signature, error) {
	now = now.UTC().Truncate(time.Second)
	timestamp := now.Format(timeFormat)
	key := g.day(timestamp[:len(dateFormat)])
	payload := r.payload()
	added := []objects.Pair{
		{Name: "x-amz-content-sha256", Value: payload},
		{Name: "x-amz-date", Value: timestamp},
	}
	if g.credentials.SessionToken != "" {
		added = append(added, objects.Pair{Name: "x-amz-security-token", Value: g.credentials.SessionToken})
	}
	id := Identity{
		AccessKey: key.accessKey, Region: key.region, Date: key.date, Time: now,
		Payload: r.Payload, PayloadSHA256: r.PayloadSHA256, key: key,
	}
	list, err := g.sign(r, added, &id, timestamp, payload)
	if err != nil {
		return Signature{}, err
	}
	added = append(added, objects.Pair{Name: "authorization", Value: algorithm + " Credential=" + key.credential +
		", SignedHeaders=" + list + ", Signature=" + string(id.signature[:])})
	return Signature{Headers: added, Identity: id}, nil
}

// Presign returns the query with which a request is accepted without further
// headers but those in r.Headers, from now until it expires: 1 second to 7 days.
// The payload is Unsigned unless r says otherwise, which then is part of the
// query.
func (g *Signer) Presign(r *Outgoing, now time.Time, expires time.Duration) (query string, err error) {
	seconds := int64(expires / time.Second)
	if seconds < 1 || seconds > maxExpiresSeconds {
		return "", invalid(AuthorizationQueryParametersError, "X-Amz-Expires must be 1 to 604800 seconds")
	}
	now = now.UTC().Truncate(time.Second)
	timestamp := now.Format(timeFormat)
	key := g.day(timestamp[:len(dateFormat)])
	id := Identity{Time: now, key: key}

	_, list := signedNames(r.Headers)
	b := []byte(r.Query)
	add := func(name, value string) {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(append(b, name...), '=')
		b = AppendQuery(b, value)
	}
	add("X-Amz-Algorithm", algorithm)
	add("X-Amz-Credential", key.credential)
	add("X-Amz-Date", timestamp)
	add("X-Amz-Expires", strconv.FormatInt(seconds, 10))
	add("X-Amz-SignedHeaders", list)
	if g.credentials.SessionToken != "" {
		add("X-Amz-Security-Token", g.credentials.SessionToken)
	}
	payload := r.payload()
	if payload != unsignedPayload {
		add("X-Amz-Content-Sha256", payload)
	}
	presigned := *r
	presigned.Query = string(b)
	if _, err := g.sign(&presigned, nil, &id, timestamp, payload); err != nil {
		return "", err
	}
	return presigned.Query + "&X-Amz-Signature=" + string(id.signature[:]), nil
}

func (r *Outgoing) payload() string {
	if r.Payload == Signed {
		return hex.EncodeToString(r.PayloadSHA256[:])
	}
	return r.Payload.String()
}

// signedNames returns the lower-case names of the headers in the order sent, and
// the list of signed headers: sorted, each once, with the host.
func signedNames(headers []objects.Pair) (names []string, list string) {
	names = make([]string, 0, len(headers)+1)
	for _, h := range headers {
		names = append(names, strings.ToLower(h.Name))
	}
	sorted := append(slices.Clone(names), "host")
	slices.Sort(sorted)
	return names, strings.Join(slices.Compact(sorted), ";")
}

// sign leaves the signature in id and returns the list of signed headers.
func (g *Signer) sign(r *Outgoing, added []objects.Pair, id *Identity, timestamp, payload string) (list string, err error) {
	s := g.scratch.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	defer func() {
		clear(s.headers)
		s.headers, s.names, s.pairs = s.headers[:0], s.names[:0], s.pairs[:0]
		s.query = s.query[:0]
		g.scratch.Put(s)
	}()
	headers := slices.Concat(r.Headers, added)
	names, list := signedNames(headers)
	for i, h := range headers {
		s.addHeader([]byte(names[i]), []byte(h.Value))
	}
	if !s.parseQuery([]byte(r.Query)) {
		return "", invalidURI()
	}
	request := Request{Method: []byte(r.Method), Path: []byte(r.Path), Host: []byte(r.Host)}
	if _, err := s.canonicalize(&request, []byte(list), []byte(payload), -1); err != nil {
		return "", err
	}
	copy(id.timestamp[:], timestamp)
	s.stringToSign(id.timestamp[:], id.key.scope)
	s.digest.hmac(&id.key.key, s.toSign)
	appendHex(id.signature[:0], s.digest.sum[:])
	return list, nil
}
