package access

import (
	"crypto/tls"
	"math/rand/v2"
	"time"

	"github.com/valyala/fasthttp"
)

// Record is what is known of one request. Methods of a nil Record do nothing:
// without a log there is none, and nobody needs to ask. It belongs to the
// connection's goroutine, like the request; it ends when the answer has been
// written.
type Record struct {
	log *Log
	ctx *fasthttp.RequestCtx

	listener  string
	began     time.Time
	start     time.Duration // when it began, and the two below: what had elapsed on the log's clock
	handled   time.Duration // when the handler returned
	bodyEnd   time.Duration // when the last of the request's body was read
	received  int64         // bytes of the request's body; -1: nobody said
	sent      int64         // bytes of the answer's body, where a stream says so; else -1
	status    int
	forwarded string // protocol that a trusted proxy was asked in

	requestID, hostID        string
	requester                string
	signature, authenticated string
	bucket, key, operation   string
	code                     string
	versionID                string
	objectSize               int64 // -1: there is none, or it is not known
}

// recordKey finds the record in a request's context.
type recordKey struct{}

// Of returns the record of a request; nil if there is none.
func Of(ctx *fasthttp.RequestCtx) *Record {
	r, _ := ctx.UserValue(recordKey{}).(*Record)
	return r
}

// NewID names a request: 16 hexadecimal digits, unique enough to find it in a log. It is
// no secret: a fast generator will do.
func NewID() string {
	const digits = "0123456789ABCDEF"
	var id [16]byte
	n := rand.Uint64()
	for i := range id {
		id[i] = digits[n&15]
		n >>= 4
	}
	return string(id[:])
}

// SetRequest says what the request and the node that answers are called.
func (r *Record) SetRequest(id, hostID string) {
	if r != nil {
		r.requestID, r.hostID = id, hostID
	}
}

// SetOperation says what is asked, for example REST.GET.OBJECT, and of what.
func (r *Record) SetOperation(operation, bucket, key string) {
	if r != nil {
		r.operation, r.bucket, r.key = operation, bucket, key
	}
}

// Signed is how a request was signed, in the words of S3's access logs.
type Signed struct {
	Version string // "SigV4", "SigV2"
	Place   string // "AuthHeader", "QueryString"
}

// SetRequester says who asks, by access key, and how that was shown.
func (r *Record) SetRequester(accessKey string, by Signed) {
	if r != nil {
		r.requester, r.signature, r.authenticated = accessKey, by.Version, by.Place
	}
}

// SetCode says with which error the request is answered.
func (r *Record) SetCode(code string) {
	if r != nil {
		r.code = code
	}
}

// SetObject says how large the object is that was read or written, in bytes, and
// which version of it.
func (r *Record) SetObject(size int64, versionID string) {
	if r != nil {
		r.objectSize, r.versionID = size, versionID
	}
}

// Received says that so many more bytes of the request's body were read; the last
// call is the end of the body.
func (r *Record) Received(n int64) {
	if r != nil {
		r.received, r.bodyEnd = max(r.received, 0)+n, r.log.clock.Elapsed()
	}
}

// Sent says how many bytes of a streamed answer were sent.
func (r *Record) Sent(n int64) {
	if r != nil {
		r.sent = n
	}
}

// Handled says that the handler has returned: the answer is decided and is about
// to be sent.
func (r *Record) Handled() {
	if r == nil {
		return
	}
	r.handled = r.log.clock.Elapsed()
	response := &r.ctx.Response
	r.status = response.StatusCode()
	switch {
	case r.ctx.IsHead(), r.status == fasthttp.StatusNoContent, r.status == fasthttp.StatusNotModified:
		r.sent = 0
	case !response.IsBodyStream():
		r.sent = int64(len(response.Body()))
	}
	if r.received < 0 {
		if body := r.ctx.Request.Header.ContentLength(); body > 0 && !r.ctx.Request.IsBodyStream() {
			r.received = int64(body)
		}
	}
}

// Close implements io.Closer: fasthttp calls it once the answer has been written,
// or could not be. The line goes to the log and the record is used again.
func (r *Record) Close() error {
	log := r.log
	if log == nil {
		return nil
	}
	line := log.room()
	if log.format == JSON {
		line = r.appendJSON(line, log.clock.Elapsed()-r.start)
	} else {
		line = r.appendS3(line, log.clock.Elapsed()-r.start)
	}
	*r = Record{}
	log.records.Put(r)
	log.enqueue(line)
	return nil
}

// secured returns the TLS version and cipher of the connection; empty without.
func (r *Record) secured() (version, cipher string) {
	state := r.ctx.TLSConnectionState()
	if state == nil {
		return "", ""
	}
	switch state.Version {
	case tls.VersionTLS12:
		version = "TLSv1.2"
	case tls.VersionTLS13:
		version = "TLSv1.3"
	default:
		version = tls.VersionName(state.Version)
	}
	return version, tls.CipherSuiteName(state.CipherSuite)
}

// bytesSent is how many bytes of the answer's body went out.
func (r *Record) bytesSent() int64 { return max(r.sent, 0) }

// turnaround is how long the node took from the last byte of the request to the
// first of the answer.
func (r *Record) turnaround() time.Duration {
	return max(0, r.handled-max(r.start, r.bodyEnd))
}
