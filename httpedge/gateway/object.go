package gateway

import (
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// Object is an object opened for reading. Its owner closes it exactly once, or
// hands it to Send. Not safe for concurrent use.
type Object struct {
	Meta *objects.Meta
}

// Send makes length bytes from offset the body of the response and takes over
// the object: it is closed when the response has been written or has failed.
// The status and headers (but Content-Length) are the caller's to set.
func (o *Object) Send(ctx *fasthttp.RequestCtx, offset, length int64) {}

// Reader returns length bytes from offset, verified where they are the whole
// object; the object must stay open until they are read.
func (o *Object) Reader(offset, length int64) io.Reader { return nil }

// Part returns the offset and length of part n (from 1) of a chunked object; ok
// is false if there is no such part. An object that is not chunked is its own part 1.
func (o *Object) Part(n int) (offset, length int64, ok bool) { return 0, 0, false }

// Close gives back what the object holds. Idempotent.
func (o *Object) Close() {}
