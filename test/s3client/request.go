package s3client

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

// Request is one S3 request. Bucket and Key are decoded; they are escaped as
// SigV4 wants it. Headers of S3 (x-amz-…) are signed, all others too.
type Request struct {
	Method string
	Bucket string // empty: the service
	Key    string // empty: the bucket
	Path   string // if not empty: the path as it is sent, escaped, instead of Bucket and Key
	Query  string // as it is sent, escaped, without "?"
	Header []objects.Pair

	Body   []byte
	Stream io.Reader // instead of Body: Length bytes
	Length int64     // of Stream
	// Payload says how the body is bound to the signature; by default not at all.
	Payload sigv4.PayloadMode
	SHA256  [32]byte  // of the body; with Payload Signed only
	At      time.Time // when it is signed; zero: now
}

// path returns the path as it is sent.
func (r *Request) path() string {
	if r.Path != "" {
		return r.Path
	}
	path := []byte("/")
	if r.Bucket != "" {
		path = sigv4.AppendPath(path, r.Bucket)
	}
	if r.Key != "" {
		path = sigv4.AppendPath(append(path, '/'), r.Key)
	}
	return string(path)
}

// target returns path and query as they are sent.
func (r *Request) target() string {
	if r.Query == "" {
		return r.path()
	}
	return r.path() + "?" + r.Query
}

// outgoing describes the request to the signer.
func (c *Client) outgoing(r *Request) *sigv4.Outgoing {
	return &sigv4.Outgoing{
		Method: r.Method, Path: r.path(), Query: r.Query, Host: c.Address, Headers: r.Header,
		Payload: r.Payload, PayloadSHA256: r.SHA256,
	}
}

// sign returns the headers that sign the request.
func (c *Client) sign(r *Request) (sigv4.Signature, error) {
	at := r.At
	if at.IsZero() {
		at = time.Now()
	}
	return c.signer.Sign(c.outgoing(r), at)
}

// Head returns the request line and the signed headers as they go over the wire,
// without the empty line that ends them and without any Content-Length: whoever
// writes to a connection of his own adds what he likes. Identity is what chunks
// are signed with.
func (c *Client) Head(r Request) (head string, identity sigv4.Identity, err error) {
	signature, err := c.sign(&r)
	if err != nil {
		return "", sigv4.Identity{}, err
	}
	var b strings.Builder
	b.WriteString(r.Method + " " + r.target() + " HTTP/1.1\r\nHost: " + c.Address + "\r\n")
	for _, h := range append(signature.Headers, r.Header...) {
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	return b.String(), signature.Identity, nil
}

// Presign returns path and query of a request that anybody may send until it expires.
func (c *Client) Presign(r Request, expires time.Duration) (target string, err error) {
	at := r.At
	if at.IsZero() {
		at = time.Now()
	}
	query, err := c.signer.Presign(c.outgoing(&r), at, expires)
	if err != nil {
		return "", err
	}
	return r.path() + "?" + query, nil
}

// Query escapes names and values, in turns, to a query. An empty value stands
// alone: "uploads".
func Query(pairs ...string) string {
	var b []byte
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, '&')
		}
		b = sigv4.AppendQuery(b, pairs[i])
		if pairs[i+1] != "" {
			b = sigv4.AppendQuery(append(b, '='), pairs[i+1])
		}
	}
	return string(b)
}

// length returns the Content-Length of the request's body.
func (r *Request) length() int64 {
	if r.Stream != nil {
		return r.Length
	}
	return int64(len(r.Body))
}

// number writes a number for a query.
func number(n int) string { return strconv.Itoa(n) }
