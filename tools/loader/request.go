package loader

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
)

// target is where requests go.
type target struct {
	address string      // host:port to dial
	host    string      // of the Host header
	tls     *tls.Config // nil: plain HTTP
	bucket  string
}

// requestBuilder writes request heads into a buffer of its own. Not safe for
// concurrent use.
type requestBuilder struct {
	target *target
	signer *sigv4.Signer
	head   []byte // valid until the next request
}

// slice is a part of an object: all of it, but for RANGE.
type slice struct{ offset, length int64 }

// object builds the head of a request for an object: of a PUT, the slice's length
// is that of the body that follows; of a RANGE, the slice is what is asked for.
// Name must need no escaping.
func (b *requestBuilder) object(o Operation, name []byte, slice slice, now time.Time) []byte {
	head := b.start(o.method())
	path := len(head)
	head = append(head, '/')
	head = append(head, b.target.bucket...)
	head = append(head, '/')
	head = append(head, name...)
	head = b.finish(head, o.method(), path, len(head), now)
	switch o {
	case Put:
		head = append(head, "Content-Type: application/octet-stream\r\nContent-Length: "...)
		head = strconv.AppendInt(head, slice.length, 10)
		head = append(head, "\r\n"...)
	case Range: // not signed, which S3 does not ask for
		head = append(head, "Range: bytes="...)
		head = strconv.AppendInt(head, slice.offset, 10)
		head = append(head, '-')
		head = strconv.AppendInt(head, slice.offset+slice.length-1, 10)
		head = append(head, "\r\n"...)
	}
	head = append(head, "\r\n"...)
	b.head = head
	return head
}

// list builds a request for one page of a listing (ListObjectsV2). The query's
// names stand in the order of the canonical request.
func (b *requestBuilder) list(prefix, token string, keys int, now time.Time) []byte {
	head := b.start("GET")
	path := len(head)
	head = append(head, '/')
	head = append(head, b.target.bucket...)
	pathEnd := len(head)
	head = append(head, '?')
	if token != "" {
		head = append(head, "continuation-token="...)
		head = appendEscaped(head, token)
		head = append(head, '&')
	}
	head = append(head, "list-type=2&max-keys="...)
	head = strconv.AppendInt(head, int64(keys), 10)
	if prefix != "" {
		head = append(head, "&prefix="...)
		head = appendEscaped(head, prefix)
	}
	head = b.finish(head, "GET", path, pathEnd, now)
	head = append(head, "\r\n"...)
	b.head = head
	return head
}

// bucket builds a request for the bucket itself: PUT creates it, DELETE removes it.
func (b *requestBuilder) bucket(method string, now time.Time) []byte {
	head := b.start(method)
	path := len(head)
	head = append(head, '/')
	head = append(head, b.target.bucket...)
	head = b.finish(head, method, path, len(head), now)
	head = append(head, "Content-Length: 0\r\n\r\n"...)
	b.head = head
	return head
}

// upload builds a request of a multipart upload: method and query, escaped and in
// canonical order, say which; size is the length of the body that follows.
func (b *requestBuilder) upload(method string, name []byte, query string, size int64, now time.Time) []byte {
	head := b.start(method)
	path := len(head)
	head = append(head, '/')
	head = append(head, b.target.bucket...)
	head = append(head, '/')
	head = append(head, name...)
	pathEnd := len(head)
	head = append(head, '?')
	head = append(head, query...)
	head = b.finish(head, method, path, pathEnd, now)
	head = append(head, "Content-Length: "...)
	head = strconv.AppendInt(head, size, 10)
	head = append(head, "\r\n\r\n"...)
	b.head = head
	return head
}

func (b *requestBuilder) start(method string) []byte {
	head := append(b.head[:0], method...)
	return append(head, ' ')
}

// finish ends the request line, whose target begins at path and whose query, if
// any, begins behind pathEnd, and appends the host and what signs the request.
// The payload is not signed (UNSIGNED-PAYLOAD).
func (b *requestBuilder) finish(head []byte, method string, path, pathEnd int, now time.Time) []byte {
	request := sigv4.Outgoing{
		Method: method, Path: string(head[path:pathEnd]), Host: b.target.host, Payload: sigv4.Unsigned,
	}
	if len(head) > pathEnd {
		request.Query = string(head[pathEnd+1:])
	}
	signature, err := b.signer.Sign(&request, now)
	if err != nil {
		panic(fmt.Sprintf("loader: %s%s, which holds escaped bytes only, cannot be signed: %v", request.Path, request.Query, err))
	}
	head = append(head, " HTTP/1.1\r\nHost: "...)
	head = append(head, b.target.host...)
	head = append(head, "\r\n"...)
	for _, h := range signature.Headers {
		head = append(head, h.Name...)
		head = append(head, ": "...)
		head = append(head, h.Value...)
		head = append(head, "\r\n"...)
	}
	return head
}

// appendEscaped appends s as the canonical query has it: everything but
// unreserved characters as %XX. (AWS Signature Version 4, UriEncode)
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
