package native

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Request is one request on the native listener. It is valid until its handler
// returns, and for that goroutine only.
type Request struct {
	h      *Handler
	ctx    *fasthttp.RequestCtx
	method string
	path   string         // as sent, without a doubled first slash
	rest   string         // of the path below the route, as sent
	caller sigv4.Identity // Control: who signed; else anonymous, which says that the body is plain
	id     string         // as the client and the log know it
	by     gateway.Caller
}

// Context ends with the node, not with the client: fasthttp does not tell. It says who
// asks.
func (r *Request) Context() context.Context { return &r.by }

// HTTP returns the request as fasthttp has it, for what has no method here.
// Paths and names must come from Path, Rest and Segments: fasthttp cleans its own.
func (r *Request) HTTP() *fasthttp.RequestCtx { return r.ctx }

// Method returns the HTTP method.
func (r *Request) Method() string { return r.method }

// Path returns the path as it was sent.
func (r *Request) Path() string { return r.path }

// Rest returns the part of the path below the route, as it was sent: without the
// slash between, still percent-encoded. Empty at the route itself.
func (r *Request) Rest() string { return r.rest }

// Segments returns the part of the path below the route, cut at slashes and then
// decoded, once. A slash at the end adds nothing; an empty segment, a broken
// escape, NUL and what is not UTF-8 are refused.
func (r *Request) Segments() ([]string, error) {
	rest := strings.TrimSuffix(r.rest, "/")
	if rest == "" {
		return nil, nil
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		decoded, err := decode(s)
		if err != nil || decoded == "" {
			return nil, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: an item is empty or not well encoded", r.path)
		}
		segments[i] = decoded
	}
	return segments, nil
}

// Query returns a parameter of the query, decoded; empty if it was not given. Of
// several with one name the first counts.
func (r *Request) Query(name string) string { return string(r.ctx.QueryArgs().Peek(name)) }

// Flag reads a boolean parameter; absent is false.
func (r *Request) Flag(name string) (bool, error) {
	value := r.Query(name)
	truth, err := parseBool(value)
	if err != nil {
		return false, Refuse(fasthttp.StatusBadRequest, "", "query parameter %s=%q is not a boolean (true or false)", name, value)
	}
	return truth, nil
}

// parseBool reads a boolean as AIStore's clients write it.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "t", "true", "y", "yes", "on":
		return true, nil
	case "", "0", "f", "false", "n", "no", "off":
		return false, nil
	}
	return false, errors.New("not a boolean")
}

// Header returns a header of the request; empty if it was not given.
func (r *Request) Header(name string) string { return string(r.ctx.Request.Header.Peek(name)) }

// Body reads the whole body, at most limit bytes. That of a signed request is
// what was signed, or an error.
func (r *Request) Body(limit int64) ([]byte, error) {
	body, err := r.stream(limit)
	if err != nil {
		return nil, err
	}
	room := make([]byte, 0, min(max(body.Size(), 512)+bytes.MinRead, limit+bytes.MinRead))
	buffer := bytes.NewBuffer(room)
	if _, err := buffer.ReadFrom(body); err != nil {
		return nil, err
	}
	if r.caller.Payload == sigv4.Signed && sha256.Sum256(buffer.Bytes()) != r.caller.PayloadSHA256 {
		return nil, &sigv4.Error{Code: sigv4.XAmzContentSHA256Mismatch, Message: "the body is not the one that was signed",
			Err: errs.E("native.Body", errs.Invalid)}
	}
	return buffer.Bytes(), nil
}

// stream returns the body for reading, of at most limit bytes.
func (r *Request) stream(limit int64) (*auth.Body, error) {
	return r.h.Auth.NewBodyUpTo(r.ctx, r.caller, limit)
}

// Decode reads the body, of at most limit bytes, as one JSON value. Unknown
// fields are ignored, as AIStore ignores them.
func (r *Request) Decode(limit int64, value any) error {
	body, err := r.Body(limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the body of %s %s is not the JSON that is expected: %v", r.method, r.path, err)
	}
	return nil
}

// JSON answers 200 with a value as JSON.
func (r *Request) JSON(value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return errs.E("native.JSON", r.path, errs.Internal, err)
	}
	r.ctx.SetContentType("application/json; charset=utf-8")
	r.ctx.SetBody(body)
	return nil
}

// Text answers 200 with plain text.
func (r *Request) Text(text string) error {
	r.ctx.SetContentType("text/plain; charset=utf-8")
	r.ctx.SetBodyString(text)
	return nil
}

// set sets a header of the answer, spelled as given.
func (r *Request) set(name, value string) { r.ctx.Response.Header.Set(name, value) }

// How much of a refused body is read and dropped, so that the client reads the
// answer instead of a reset.
const (
	drainBytes = 4 << 20
	drainTime  = 2 * time.Second
)

func (r *Request) drain() {
	body := r.ctx.RequestBodyStream()
	if body == nil || r.ctx.Request.Header.ContentLength() == 0 || r.ctx.SetReadDeadline(within(drainTime)) != nil {
		return
	}
	n, _ := io.CopyN(io.Discard, body, drainBytes) // whatever ends it, the answer is the same
	access.Of(r.ctx).Received(n)
}

// within is the deadline of a socket: the kernel's, which takes its time.
func within(d time.Duration) time.Time { return time.Now().Add(d) }
