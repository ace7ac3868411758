package auth

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const opBody errs.Op = "auth.Body"

// BodyOptions bound a request's body.
type BodyOptions struct {
	MaxBytes int64 // of the payload, decoded; default 5 GiB, the largest S3 takes in one request
	Stall    StallPolicy
	Chunks   sigv4.ChunkLimits
}

func (o BodyOptions) withDefaults() BodyOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 5 << 30
	}
	o.MaxBytes = min(o.MaxBytes, math.MaxInt64-1) // limited reads one byte beyond
	if o.Stall.Window <= 0 {
		o.Stall.Window = 10 * time.Second
	}
	if o.Stall.MinBytes <= 0 {
		o.Stall.MinBytes = 64 << 10
	}
	return o
}

// Body is a request's payload, decoded. It is valid inside the handler only; one
// reader at a time. Its errors are objects.ErrIncompleteBody, objects.ErrTooLarge
// and *sigv4.Error, or that the client went away (errs.Canceled). Any error is
// final; io.EOF means that the payload is whole and is what was signed (but for
// the SHA-256 of a Signed payload, which its reader compares).
type Body struct {
	wire    wire
	limited limited
	chunks  *sigv4.ChunkReader
	size    int64
}

// NewBody prepares to read the body of a request that Authenticate let pass. It
// reads the headers that it needs and no byte of the body. It fails at once if
// the declared length is too large, bad, or missing where S3 wants it.
func (a *Authenticator) NewBody(ctx *fasthttp.RequestCtx, identity sigv4.Identity) (*Body, error) {
	return newBody(ctx, identity, a.body)
}

// NewBodyUpTo is NewBody with a limit of its own, in bytes: for the XML bodies
// that are held in memory.
func (a *Authenticator) NewBodyUpTo(ctx *fasthttp.RequestCtx, identity sigv4.Identity, maxBytes int64) (*Body, error) {
	o := a.body
	o.MaxBytes = min(max(maxBytes, 0), math.MaxInt64-1)
	return newBody(ctx, identity, o)
}

// Deadliner sets the deadline of reads from a client.
type Deadliner interface{ SetReadDeadline(t time.Time) error }

// NewRawBody prepares to read a body as it comes over the wire, with the framing of
// aws-chunked if it has that, of any length, for who passes it on. Before every read a
// deadline is set by way of conn, whose error ends the body.
func NewRawBody(ctx *fasthttp.RequestCtx, conn Deadliner) (*Body, error) {
	b, err := newBody(ctx, sigv4.Identity{}, BodyOptions{MaxBytes: math.MaxInt64}.withDefaults())
	if err == nil {
		b.wire.conn = conn
	}
	return b, err
}

func newBody(ctx *fasthttp.RequestCtx, identity sigv4.Identity, o BodyOptions) (*Body, error) {
	h := &ctx.Request.Header
	declared := int64(h.ContentLength())
	stream := ctx.RequestBodyStream()
	if stream == nil { // no body, or a server that does not stream
		whole := ctx.Request.Body()
		declared, stream = int64(len(whole)), bytes.NewReader(whole)
	}
	b := &Body{wire: wire{conn: ctx, from: stream, declared: declared, policy: o.Stall, record: access.Of(ctx)}}
	if !identity.Payload.Chunked() {
		if declared > o.MaxBytes {
			return nil, tooLarge(o.MaxBytes)
		}
		b.limited = limited{from: &b.wire, left: o.MaxBytes, limit: o.MaxBytes}
		b.size = max(declared, -1)
		return b, nil
	}
	size, err := decodedLength(h)
	if err != nil {
		return nil, err
	}
	if size > o.MaxBytes {
		return nil, tooLarge(o.MaxBytes)
	}
	trailers, err := announcedTrailers(h)
	if err != nil {
		return nil, err
	}
	// Framing may not make an endless body of a small payload.
	b.limited = limited{from: &b.wire, left: maxEncoded(size), limit: o.MaxBytes}
	b.size = size
	b.chunks = sigv4.NewChunkReader(&b.limited, identity,
		sigv4.ChunkOptions{DecodedLength: size, Trailers: trailers, Limits: o.Chunks})
	return b, nil
}

// maxEncoded is how long the aws-chunked form of a payload may be: chunks of one
// byte without signature, the worst that is any use, need six bytes each; chunk
// extensions that say nothing may not go beyond that. Signed chunks have 8 KiB.
func maxEncoded(size int64) int64 {
	if size > math.MaxInt64/16 {
		return math.MaxInt64 - 1
	}
	return 8*size + 16<<10
}

// Size returns the payload's declared length in bytes, -1 if the client did not
// say (chunked transfer encoding).
func (b *Body) Size() int64 { return b.size }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.chunks != nil {
		return b.chunks.Read(p)
	}
	return b.limited.Read(p)
}

// Trailers returns the trailers of an aws-chunked body that x-amz-trailer
// announced, names in lower case; nil before Read returned io.EOF. HTTP's own
// trailers never appear here.
func (b *Body) Trailers() []objects.Pair {
	if b.chunks == nil {
		return nil
	}
	return b.chunks.Trailers()
}

// decodedLength reads x-amz-decoded-content-length.
func decodedLength(h *fasthttp.RequestHeader) (int64, error) {
	text := h.Peek("X-Amz-Decoded-Content-Length")
	if len(text) == 0 {
		return 0, refuse(sigv4.MissingContentLength, "You must provide the Content-Length HTTP header.")
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' || n > math.MaxInt64/10-1 {
			return 0, refuse(sigv4.InvalidArgument, "x-amz-decoded-content-length must be a number of bytes.",
				objects.Pair{Name: "ArgumentName", Value: "x-amz-decoded-content-length"},
				objects.Pair{Name: "ArgumentValue", Value: string(text)})
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// maxAnnounced bounds the names in x-amz-trailer.
const maxAnnounced = 8

// announcedTrailers reads x-amz-trailer: names separated by commas, each once.
func announcedTrailers(h *fasthttp.RequestHeader) ([]string, error) {
	var names []string
	for _, value := range h.PeekAll("X-Amz-Trailer") {
		for name := range strings.SplitSeq(string(value), ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" || slices.Contains(names, name) {
				continue
			}
			if names = append(names, name); len(names) > maxAnnounced {
				return nil, refuse(sigv4.MalformedTrailerError, "x-amz-trailer names too many trailers.")
			}
		}
	}
	return names, nil
}

func refuse(code sigv4.Code, message string, details ...objects.Pair) *sigv4.Error {
	return &sigv4.Error{Code: code, Message: message, Details: details, Err: &errs.Error{Op: opBody, Kind: errs.Invalid}}
}

func tooLarge(limit int64) *sigv4.Error {
	e := refuse(sigv4.EntityTooLarge, "Your proposed upload exceeds the maximum allowed object size.",
		objects.Pair{Name: "MaxSizeAllowed", Value: fmt.Sprint(limit)})
	e.Err = errs.E(opBody, errs.Invalid, objects.ErrTooLarge)
	return e
}
