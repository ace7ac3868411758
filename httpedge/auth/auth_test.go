package auth

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	testAccess = "AKIDTEST"
	testSecret = "test/secret+key"
	testRegion = "us-east-1"
)

var testTime = time.Date(2024, 12, 31, 23, 59, 30, 0, time.UTC)

// outcome is what a handler saw of one request.
type outcome struct {
	identity sigv4.Identity
	payload  []byte
	size     int64
	trailers []objects.Pair
	err      error
}

// edge is a listener that authenticates, reads bodies and reports both.
type edge struct {
	addr     string
	outcomes chan outcome
}

func newEdge(t *testing.T, o Options) *edge {
	t.Helper()
	a := New(o)
	e := &edge{outcomes: make(chan outcome, 1)}
	server := &fasthttp.Server{
		StreamRequestBody: true, DisablePreParseMultipartForm: true, ReadBufferSize: 32 << 10, NoDefaultContentType: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			var got outcome
			if got.identity, got.err = a.Authenticate(ctx); got.err == nil {
				var body *Body
				if body, got.err = a.NewBody(ctx, got.identity); got.err == nil {
					got.size = body.Size()
					got.payload, got.err = io.ReadAll(body)
					got.trailers = body.Trailers()
				}
			}
			e.outcomes <- got
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = listener.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return e
}

func testOptions() Options {
	return Options{Credentials: Root{AccessKey: testAccess, SecretKey: testSecret}, Now: func() time.Time { return testTime }}
}

// dial connects for one request. The connection is closed when the test ends.
func (e *edge) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn) //nolint:forcetypeassert // dialled as tcp
}

// send writes a request as text and waits for what the handler saw of it.
func (e *edge) send(t *testing.T, text []byte) outcome {
	t.Helper()
	conn := e.dial(t)
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	return e.wait(t)
}

func (e *edge) wait(t *testing.T) outcome {
	t.Helper()
	select {
	case got := <-e.outcomes:
		return got
	case <-t.Context().Done():
		t.Fatal("the request never reached the handler")
	case <-time.After(30 * time.Second):
		t.Fatal("the request did not reach the handler within 30 s")
	}
	return outcome{}
}

// request is a request line and headers as text.
func request(method, target, host string, headers []objects.Pair, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host)
	length := true
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
		if strings.EqualFold(h.Name, "content-length") || strings.EqualFold(h.Name, "transfer-encoding") {
			length = false
		}
	}
	if length {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func sign(t *testing.T, out sigv4.Outgoing) ([]objects.Pair, sigv4.Identity) {
	t.Helper()
	signer := sigv4.NewSigner(sigv4.Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion)
	signature, err := signer.Sign(&out, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]objects.Pair{}, out.Headers...), signature.Headers...), signature.Identity
}

func codeOf(err error) sigv4.Code {
	var e *sigv4.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Everything that botocore signs, over a real connection: fasthttp must not
// stand between what was signed and what is verified, nor between what was sent
// and what is read.
func TestBotocoreOverTheWire(t *testing.T) {
	data, err := os.ReadFile("../../api/sigv4/testdata/botocore.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Time      string `json:"time"`
		Region    string `json:"region"`
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
		Vectors   []struct {
			Name    string      `json:"name"`
			Method  string      `json:"method"`
			Path    string      `json:"path"`
			Query   string      `json:"query"`
			Host    string      `json:"host"`
			Headers [][2]string `json:"headers"`
			Body    string      `json:"body"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	now, err := time.Parse("20060102T150405Z", file.Time)
	if err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, Options{
		Credentials: Root{AccessKey: file.AccessKey, SecretKey: file.SecretKey}, Regions: []string{file.Region},
		Now: func() time.Time { return now },
	})
	decoded := 0
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			body, err := base64.StdEncoding.DecodeString(v.Body)
			if err != nil {
				t.Fatal(err)
			}
			target := v.Path
			if v.Query != "" {
				target += "?" + v.Query
			}
			var headers []objects.Pair
			size := int64(len(body))
			for _, h := range v.Headers {
				switch strings.ToLower(h[0]) {
				case "expect":
					continue // it asks for an answer that this client does not read
				case "transfer-encoding":
					body = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				case "x-amz-decoded-content-length":
					if size, err = strconv.ParseInt(h[1], 10, 64); err != nil {
						t.Fatal(err)
					}
					decoded++
				}
				headers = append(headers, objects.Pair{Name: h[0], Value: h[1]})
			}
			got := e.send(t, request(v.Method, target, v.Host, headers, body))
			if got.err != nil {
				t.Fatalf("%v", got.err)
			}
			if got.identity.AccessKey != file.AccessKey || int64(len(got.payload)) != size || got.size != size {
				t.Errorf("%+v: %d bytes, declared %d, want %d", got.identity, len(got.payload), got.size, size)
			}
			if got.identity.Payload == sigv4.Signed && sha256.Sum256(got.payload) != got.identity.PayloadSHA256 {
				t.Error("the payload is not the one that was signed")
			}
			if got.identity.Payload.Chunked() != (len(got.trailers) == 1) {
				t.Errorf("trailers %v", got.trailers)
			}
		})
	}
	if decoded == 0 {
		t.Error("no vector was aws-chunked")
	}
}

// What fasthttp keeps apart or rewrites is verified as it was sent.
func TestHeadersAsSent(t *testing.T) {
	e := newEdge(t, testOptions())
	headers, _ := sign(t, sigv4.Outgoing{
		Method: "PUT", Path: "/b/k", Host: "Node.Example:9000", Headers: []objects.Pair{
			{Name: "Cookie", Value: "b=2;a=1; b=3"}, {Name: "cookie", Value: "c"}, {Name: "Connection", Value: "keep-alive, close"},
			{Name: "Content-Type", Value: "text/plain"}, {Name: "User-Agent", Value: "x"}, {Name: "Trailer", Value: "x-one,X-TWO"},
			{Name: "content-length", Value: "5"}, {Name: "x-amz-meta-a", Value: "1"}, {Name: "X-AMZ-META-A", Value: "2   3"},
		},
	})
	got := e.send(t, request("PUT", "/b/k", "Node.Example:9000", headers, []byte("hello")))
	if got.err != nil || string(got.payload) != "hello" {
		t.Fatalf("%q, %v", got.payload, got.err)
	}
	changed := request("PUT", "/b/k", "Node.Example:9000", headers, []byte("hello"))
	changed = bytes.Replace(changed, []byte("c\r\nConnection"), []byte("d\r\nConnection"), 1)
	if got := e.send(t, changed); codeOf(got.err) != sigv4.SignatureDoesNotMatch {
		t.Fatalf("control, another cookie: %v", got.err)
	}
}

// A target other than a path is refused before anyone can act on another one.
func TestTargets(t *testing.T) {
	for raw, want := range map[string]sigv4.Code{
		"/b/k?a#b": sigv4.InvalidURI, "/b/k#f": sigv4.InvalidURI, "http://other/b/k": sigv4.InvalidURI, "*": sigv4.InvalidURI,
		"b/k": sigv4.InvalidURI, "/b/\x01": sigv4.InvalidURI, "/b k": sigv4.InvalidURI, "": "", "/": "", "//other/b?x?y": "",
	} {
		var h fasthttp.RequestHeader
		h.SetRequestURI(raw)
		target, err := ParseTarget(&h)
		if codeOf(err) != want {
			t.Errorf("%q: %v, want %q", raw, err, want)
		}
		if raw == "//other/b?x?y" && (string(target.Path) != "//other/b" || string(target.Query) != "x?y") {
			t.Errorf("%q: %q, %q", raw, target.Path, target.Query)
		}
	}
	e := newEdge(t, testOptions())
	headers, _ := sign(t, sigv4.Outgoing{Method: "GET", Path: "/b/k", Host: "other"})
	if got := e.send(t, request("GET", "http://other/b/k", "other", headers, nil)); codeOf(got.err) != sigv4.InvalidURI {
		t.Errorf("absolute form: %v", got.err)
	}
	if got := e.send(t, request("GET", "/b/k", "other", headers, nil)); got.err != nil {
		t.Errorf("control: %v", got.err)
	}
}

// A client that dies in the middle of an upload leaves an error, never a short
// object: in every coding, wherever it is cut.
func TestTruncatedUploads(t *testing.T) {
	e := newEdge(t, testOptions())
	payload := bytes.Repeat([]byte("payload "), 4000)
	for _, mode := range []sigv4.PayloadMode{sigv4.Unsigned, sigv4.ChunkedSigned, sigv4.ChunkedSignedTrailer, sigv4.ChunkedUnsignedTrailer} {
		for _, transfer := range []string{"length", "chunked"} {
			out := sigv4.Outgoing{Method: "PUT", Path: "/b/k", Host: "h", Payload: mode}
			var trailers []objects.Pair
			if mode.Chunked() {
				out.Headers = append(out.Headers, objects.Pair{Name: "x-amz-decoded-content-length", Value: strconv.Itoa(len(payload))})
			}
			if mode == sigv4.ChunkedSignedTrailer || mode == sigv4.ChunkedUnsignedTrailer {
				out.Headers = append(out.Headers, objects.Pair{Name: "x-amz-trailer", Value: "x-amz-checksum-crc32"})
				trailers = []objects.Pair{{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}}
			}
			if transfer == "chunked" {
				out.Headers = append(out.Headers, objects.Pair{Name: "Transfer-Encoding", Value: "chunked"})
			}
			headers, id := sign(t, out)
			body := payload
			if mode.Chunked() {
				body = encode(t, id, payload, trailers)
			}
			if transfer == "chunked" {
				body = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
			text := request("PUT", "/b/k", "h", headers, body)
			if got := e.send(t, text); got.err != nil || !bytes.Equal(got.payload, payload) || len(got.trailers) != len(trailers) {
				t.Fatalf("control, %v %s: %d bytes, %v", mode, transfer, len(got.payload), got.err)
			}
			head := len(text) - len(body)
			for _, missing := range []int{1, 2, 3, 70, 200, 10_000, len(body) - 9_000} {
				conn := e.dial(t)
				if _, err := conn.Write(text[:head+len(body)-missing]); err != nil {
					t.Fatal(err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				got := e.wait(t)
				if transfer == "chunked" && missing <= 2 {
					// The chunk of no bytes has come: nothing of the payload is missing.
					if got.err == nil && !bytes.Equal(got.payload, payload) {
						t.Errorf("%v %s, %d bytes missing: %d bytes", mode, transfer, missing, len(got.payload))
					}
					continue
				}
				if got.err == nil || !errors.Is(got.err, objects.ErrIncompleteBody) && errs.KindOf(got.err) != errs.Canceled {
					t.Errorf("%v %s, %d bytes missing: %d bytes, %v", mode, transfer, missing, len(got.payload), got.err)
				}
				if got.trailers != nil {
					t.Errorf("%v %s, %d bytes missing: trailers %v", mode, transfer, missing, got.trailers)
				}
			}
		}
	}
}

func encode(t *testing.T, id sigv4.Identity, payload []byte, trailers []objects.Pair) []byte {
	t.Helper()
	var b bytes.Buffer
	w := sigv4.NewChunkWriter(&b, id)
	for rest := payload; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 10_000)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(trailers...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A client that stops sending is let go after the window, and the next request is
// not hurried by the deadline of the one before.
func TestStalledUpload(t *testing.T) {
	o := testOptions()
	o.Body.Stall.Window = 100 * time.Millisecond
	e := newEdge(t, o)
	headers, _ := sign(t, sigv4.Outgoing{Method: "PUT", Path: "/b/k", Host: "h"})
	text := request("PUT", "/b/k", "h", headers, make([]byte, 100_000))
	conn := e.dial(t)
	if _, err := conn.Write(text[:50_000]); err != nil {
		t.Fatal(err)
	}
	got := e.wait(t)
	if codeOf(got.err) != sigv4.RequestTimeout || !errs.Is(errs.Canceled, got.err) {
		t.Fatalf("%v", got.err)
	}

	conn = e.dial(t)
	answers := bufio.NewReader(conn)
	for i := range 2 {
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		if got := e.wait(t); got.err != nil || len(got.payload) != 100_000 {
			t.Fatalf("request %d: %d bytes, %v", i, len(got.payload), got.err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Lengths are judged before a byte is read where they are declared, and while
// reading where they are not.
func TestLimits(t *testing.T) {
	o := testOptions()
	o.Body.MaxBytes = 1000
	e := newEdge(t, o)
	number := func(n string) []objects.Pair { return []objects.Pair{{Name: "x-amz-decoded-content-length", Value: n}} }
	transfer := []objects.Pair{{Name: "Transfer-Encoding", Value: "chunked"}}
	for name, c := range map[string]struct {
		mode    sigv4.PayloadMode
		headers []objects.Pair
		body    string
		want    sigv4.Code
	}{
		"at the limit":               {sigv4.Unsigned, nil, strings.Repeat("x", 1000), ""},
		"over the limit":             {sigv4.Unsigned, nil, strings.Repeat("x", 1001), sigv4.EntityTooLarge},
		"at the limit, unknown":      {sigv4.Unsigned, transfer, "3e8\r\n" + strings.Repeat("x", 1000) + "\r\n0\r\n\r\n", ""},
		"over the limit, unknown":    {sigv4.Unsigned, transfer, "3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", sigv4.EntityTooLarge},
		"decoded length missing":     {sigv4.ChunkedUnsignedTrailer, nil, "0\r\n\r\n", sigv4.MissingContentLength},
		"decoded length not one":     {sigv4.ChunkedUnsignedTrailer, number("-1"), "0\r\n\r\n", sigv4.InvalidArgument},
		"decoded length overflows":   {sigv4.ChunkedUnsignedTrailer, number("99999999999999999999"), "0\r\n\r\n", sigv4.InvalidArgument},
		"decoded length too large":   {sigv4.ChunkedUnsignedTrailer, number("1001"), "0\r\n\r\n", sigv4.EntityTooLarge},
		"decoded length of nothing":  {sigv4.ChunkedUnsignedTrailer, number("0"), "0\r\n\r\n", ""},
		"extensions without an end":  {sigv4.ChunkedUnsignedTrailer, number("100"), strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 100) + "0\r\n\r\n", sigv4.EntityTooLarge},
		"trailers without an end":    {sigv4.ChunkedUnsignedTrailer, append(number("0"), objects.Pair{Name: "x-amz-trailer", Value: "a,b,c,d,e,f,g,h,i"}), "0\r\n\r\n", sigv4.MalformedTrailerError},
		"one coding ends early":      {sigv4.ChunkedUnsignedTrailer, append(number("1"), transfer...), "8\r\n1\r\nx\r\n0\r\r\n0\r\n\r\n", sigv4.IncompleteBody},
		"HTTP trailers do not count": {sigv4.ChunkedUnsignedTrailer, append(append(number("1"), transfer...), objects.Pair{Name: "x-amz-trailer", Value: "x-amz-checksum-crc32"}), "9\r\n1\r\nx\r\n0\r\n\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n", sigv4.MalformedTrailerError},
	} {
		t.Run(name, func(t *testing.T) {
			headers, _ := sign(t, sigv4.Outgoing{Method: "PUT", Path: "/b/k", Host: "h", Headers: c.headers, Payload: c.mode})
			got := e.send(t, request("PUT", "/b/k", "h", headers, []byte(c.body)))
			if codeOf(got.err) != c.want {
				t.Errorf("%v, want %q", got.err, c.want)
			}
			if c.want == sigv4.EntityTooLarge && !errors.Is(got.err, objects.ErrTooLarge) {
				t.Errorf("%v is not ErrTooLarge", got.err)
			}
		})
	}
}

// Root knows one pair, and an empty secret is no secret.
func TestRoot(t *testing.T) {
	if _, ok := (Root{AccessKey: "a"}).Secret("a"); ok {
		t.Error("an empty secret was accepted")
	}
	if _, ok := (Root{AccessKey: "a", SecretKey: "s"}).Secret("b"); ok {
		t.Error("another key was accepted")
	}
	if secret, ok := (Root{AccessKey: "a", SecretKey: "s"}).Secret("a"); !ok || secret != "s" {
		t.Error("the pair was refused")
	}
}

// Verification of a parsed request costs a few microseconds and no memory.
func BenchmarkAuthenticate(b *testing.B) {
	signer := sigv4.NewSigner(sigv4.Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion)
	signature, err := signer.Sign(&sigv4.Outgoing{Method: "PUT", Path: "/bucket/photos/2024/cat.jpg", Query: "x-id=PutObject", Host: "127.0.0.1:9000",
		Headers: []objects.Pair{{Name: "Content-Type", Value: "image/jpeg"}, {Name: "x-amz-meta-camera", Value: "a b"}}}, testTime)
	if err != nil {
		b.Fatal(err)
	}
	headers := append(signature.Headers, objects.Pair{Name: "Content-Type", Value: "image/jpeg"}, objects.Pair{Name: "x-amz-meta-camera", Value: "a b"},
		objects.Pair{Name: "User-Agent", Value: "aws-sdk-go-v2/1.30"}, objects.Pair{Name: "Accept-Encoding", Value: "identity"})
	var h fasthttp.RequestHeader
	text := request("PUT", "/bucket/photos/2024/cat.jpg?x-id=PutObject", "127.0.0.1:9000", headers, nil)
	if err := h.Read(bufio.NewReader(bytes.NewReader(text))); err != nil {
		b.Fatal(err)
	}
	a := New(testOptions())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.AuthenticateHeader(&h); err != nil {
			b.Fatal(err)
		}
	}
}
