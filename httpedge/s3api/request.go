package s3api

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
)

// request is one S3 request on its way through an operation: what was asked,
// copied out of fasthttp's memory, and where the answer goes. It ends with the
// handler; nothing keeps it. Not safe for concurrent use.
type request struct {
	h       *Handler
	ctx     *fasthttp.RequestCtx
	context context.Context // for the gateway: by, once it is known who asks
	by      gateway.Caller
	id      string
	method  string
	target  target
	query   query
	header  header
	caller  sigv4.Identity
	body    Body // of caller, once it was asked for
	record  *access.Record
}

// bucket finds the bucket of the request and checks who the client thinks owns it.
func (r *request) bucket() (*objects.BucketDoc, error) {
	return r.bucketNamed(r.target.bucket, r.header.expectedOwner)
}

func (r *request) bucketNamed(name, expectedOwner string) (*objects.BucketDoc, error) {
	doc, err := r.h.config.Gateway.Bucket(name)
	if err != nil {
		return nil, errorOf(err, target{bucket: name})
	}
	if expectedOwner != "" && expectedOwner != r.h.config.Owner.ID {
		return nil, refuse(codeAccessDenied, "")
	}
	return doc, nil
}

// version reads versionId. Only the null version exists while versioning is
// not implemented; it is the object itself.
func (r *request) version() (string, error) {
	v, ok := r.query.get("versionId")
	return versionOf(v, ok)
}

func versionOf(id string, given bool) (string, error) {
	switch {
	case !given, id == "null":
		return "", nil
	case id == "":
		return "", refuse(codeInvalidArgument, "Version id cannot be the empty string").argument("versionId", "")
	}
	return "", refuse(codeNotImplemented, "Object versions other than null are not implemented.").argument("versionId", id)
}

// size returns the length of the payload in bytes as declared; -1 if it is
// known at its end only (chunked transfer encoding). S3 asks for a length
// otherwise: MissingContentLength.
func (r *request) size() (int64, error) {
	if r.caller.Payload.Chunked() {
		if !r.header.decodedLength.ok {
			return 0, refuse(codeMissingContentLength, "You must provide the x-amz-decoded-content-length HTTP header.")
		}
		n, err := strconv.ParseUint(r.header.decodedLength.value, 10, 63)
		if err != nil {
			return 0, refuse(codeInvalidArgument, "x-amz-decoded-content-length must be a number of bytes").argument("x-amz-decoded-content-length", r.header.decodedLength.value)
		}
		return int64(n), nil
	}
	n := r.ctx.Request.Header.ContentLength()
	if n == 0 && !hasContentLength(r.ctx.Request.Header.RawHeaders()) {
		return 0, refuse(codeMissingContentLength, "")
	}
	return int64(max(n, -1)), nil
}

// open prepares to read the payload, of at most limit bytes.
func (r *request) open(limit int64) (err error) {
	r.body, err = r.h.config.Auth.Body(r.ctx, r.caller, limit)
	return err
}

// hasContentLength looks for the header in the bytes received: fasthttp reports
// a request without one as an empty body.
func hasContentLength(raw []byte) bool {
	const name = "content-length"
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return true
		}
	}
	return false
}

// drain reads and drops what a refused upload still sends, so that the client
// reads the answer instead of a reset. Bounded in bytes and time; what is left
// after that closes the connection.
func (r *request) drain() {
	body := r.ctx.RequestBodyStream()
	if body == nil {
		return
	}
	limits := r.h.config.Limits
	if r.ctx.Request.Header.ContentLength() == 0 || r.ctx.SetReadDeadline(time.Now().Add(limits.DrainTime)) != nil {
		return
	}
	n, _ := io.CopyN(io.Discard, body, limits.DrainBytes) // whatever ends it, the answer is the same
	r.record.Received(n)
}

// set sets a header of the answer, spelled as given.
func (r *request) set(name, value string) { r.ctx.Response.Header.Set(name, value) }

// setNonEmpty sets a header unless its value is empty.
func (r *request) setNonEmpty(name, value string) {
	if value != "" {
		r.set(name, value)
	}
}

// send makes a document the body of the answer. The buffer goes back when the
// response has been written.
func (r *request) send(m *markup) {
	r.ctx.SetContentType("application/xml")
	r.ctx.Response.SetBodyRaw(m.b)
	r.ctx.SetUserValue(documentKey{}, m)
}

// documentKey finds the buffer of a document in the context, which closes it
// after the response.
type documentKey struct{}

// empty answers with a status and no body.
func (r *request) empty(status int) error {
	r.ctx.SetStatusCode(status)
	return nil
}

// log begins a line about this request.
func (r *request) log() *logrus.Entry {
	return r.h.config.Log.WithFields(logrus.Fields{"request": r.id, "method": r.method, "bucket": r.target.bucket, "key": r.target.key})
}
