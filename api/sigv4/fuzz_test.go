package sigv4

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
)

// memoryBase bounds what the smallest input costs: the scratch of a request, an error.
const memoryBase = 64 << 10

// Whatever a stranger sends, Verify neither panics nor believes it: the fuzzer
// does not know the secret.
func FuzzVerify(f *testing.F) {
	w, _ := signed(f, getObject())
	f.Add(w.method, w.path, w.query, w.host, w.header("authorization"), w.header("x-amz-date"), w.header("x-amz-content-sha256"), "range")
	out := getObject()
	out.Payload = Unsigned
	p := presigned(f, out)
	f.Add(p.method, p.path, p.query, p.host, "", "", "", "range")
	f.Add("GET", "/%zz", "X-Amz-Signature=%41&x-amz-signature", "", "AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;;,Signature=", "x", "", "x-amz-")
	valid := []string{canonicalOf(w), canonicalOf(p)}
	v := verifierAt(testTime, testAccess, testSecret)
	f.Fuzz(func(t *testing.T, method, path, query, host, authorization, date, payload, name string) {
		headers := fields{{Name: name, Value: "bytes=0-9"}}
		for _, h := range []objects.Pair{{Name: "Authorization", Value: authorization}, {Name: "x-amz-date", Value: date}, {Name: "x-amz-content-sha256", Value: payload}} {
			if h.Value != "" {
				headers = append(headers, h)
			}
		}
		got := wire{method: method, path: path, query: query, host: host, headers: headers}
		var id Identity
		var err error
		input := len(method) + len(path) + len(query) + len(host) + len(authorization) + len(date) + len(payload) + len(name)
		allocation.Check(t, input, memoryBase, func() { id, err = v.Verify(got.request()) })
		var refusal *Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("an error of type %T", err)
		}
		if err == nil && !id.Anonymous && canonicalOf(got) != valid[0] && canonicalOf(got) != valid[1] {
			t.Fatalf("accepted: %+v", got)
		}
	})
}

// canonicalOf is a second, slow opinion of what two requests have in common.
func canonicalOf(w wire) string {
	path, err := url.PathUnescape(strings.ReplaceAll(w.path, "%2", "%252"))
	if err != nil {
		path = w.path
	}
	values, err := url.ParseQuery(strings.ReplaceAll(w.query, ";", "%3B"))
	query := w.query
	if err == nil {
		query = values.Encode()
	}
	return strings.Join([]string{w.method, path, query, strings.Join(strings.Fields(w.host), " "), w.header("range"), w.header("x-amz-content-sha256")}, "\n")
}

// Whatever comes as a body, the reader ends, gives no more than was declared, and
// says io.EOF only if all of it came.
func FuzzChunkReader(f *testing.F) {
	signedBody, id := chunked(f, ChunkedSignedTrailer, 9000, 20)
	f.Add(signedBody.body, int64(9020), true, 4096)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), int64(5), false, 3)
	f.Add([]byte("ffffffffffffffff;"), int64(5), false, 1)
	payload := append(bytes.Repeat([]byte("a"), 9000), bytes.Repeat([]byte("b"), 20)...)
	f.Fuzz(func(t *testing.T, body []byte, size int64, isSigned bool, memory int) {
		identity := unsignedTrailer
		if isSigned {
			identity = id
		}
		options := ChunkOptions{DecodedLength: size, Trailers: []string{"x-amz-checksum-crc32"}}
		buffer := make([]byte, 1+memory&0xffff)
		allocation.Check(t, len(body), memoryBase, func() {
			r := NewChunkReader(bytes.NewReader(body), identity, options)
			for calls := 0; calls <= 2*len(body)+10; calls++ {
				if _, err := r.Read(buffer); err != nil {
					return
				}
			}
		})
		r := NewChunkReader(bytes.NewReader(body), identity, options)
		var got []byte
		for calls := 0; ; calls++ {
			n, err := r.Read(buffer)
			got = append(got, buffer[:n]...)
			if int64(len(got)) > max(size, 0) {
				t.Fatalf("%d bytes of %d", len(got), size)
			}
			if calls > 2*len(body)+10 {
				t.Fatal("the reader does not end")
			}
			if err == nil {
				continue
			}
			if errors.Is(err, io.EOF) && (int64(len(got)) != size || len(r.Trailers()) != 1 || isSigned && !bytes.Equal(got, payload)) {
				t.Fatalf("%d bytes of %d, trailers %v", len(got), size, r.Trailers())
			}
			return
		}
	})
}

// The canonical query is canonical: its own canonical form, and the same pairs
// that a form parser reads.
func FuzzQuery(f *testing.F) {
	f.Add("a=1&b&c=%20+&&=x")
	f.Add("X-Amz-Signature=1&x-amz-signature=2")
	f.Fuzz(func(t *testing.T, raw string) {
		ok, once := false, ""
		allocation.Check(t, len(raw), memoryBase, func() {
			s := newScratch()
			if ok = s.parseQuery([]byte(raw)); ok {
				s.findParameters()
				once = string(s.appendCanonicalQuery(nil, -1))
			}
		})
		if !ok {
			return
		}
		if len(once) > 4*len(raw)+1 {
			t.Fatalf("%d bytes from %d", len(once), len(raw))
		}
		again := newScratch()
		if !again.parseQuery([]byte(once)) {
			t.Fatalf("%q: its canonical form %q is refused", raw, once)
		}
		if twice := string(again.appendCanonicalQuery(nil, -1)); twice != once {
			t.Fatalf("%q: %q, again %q", raw, once, twice)
		}
		want, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
		got, err2 := url.ParseQuery(once)
		if err == nil && err2 == nil && want.Encode() != sortedValues(want, got) {
			t.Fatalf("%q: %q differs from %q", raw, got.Encode(), want.Encode())
		}
	})
}

// sortedValues returns got encoded with each name's values in want's order, if
// they are the same values: the canonical order differs from the order sent.
func sortedValues(want, got url.Values) string {
	for name, values := range got {
		count := map[string]int{}
		for _, v := range values {
			count[v]++
		}
		for _, v := range want[name] {
			count[v]--
		}
		for _, n := range count {
			if n != 0 {
				return got.Encode()
			}
		}
		got[name] = want[name]
	}
	return got.Encode()
}
