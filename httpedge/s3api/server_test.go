package s3api

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files instead of comparing with them")

// believer is an Authenticator that believes what an Authorization header says,
// so that a test need not sign: "test" is the owner, "bad" is a wrong signature.
// Bodies are the real ones.
type believer struct{ Authenticator }

func newBeliever() believer {
	return believer{Signatures(auth.New(auth.Options{Credentials: auth.Root{AccessKey: "test", SecretKey: "secret"}}))}
}

// Authenticate implements Authenticator.
func (believer) Authenticate(ctx *fasthttp.RequestCtx) (sigv4.Identity, error) {
	switch who := string(ctx.Request.Header.Peek("Authorization")); who {
	case "":
		return sigv4.Identity{Anonymous: true}, nil
	case "bad":
		return sigv4.Identity{}, &sigv4.Error{
			Code: sigv4.SignatureDoesNotMatch, Message: "no", Details: []objects.Pair{{Name: "StringToSign", Value: "x"}}, Err: errs.E("believer", errs.Denied),
		}
	}
	identity := sigv4.Identity{AccessKey: "test"}
	switch hash := string(ctx.Request.Header.Peek("X-Amz-Content-Sha256")); {
	case hash == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		identity.Payload = sigv4.ChunkedUnsignedTrailer
	case len(hash) == 64:
		identity.Payload = sigv4.Signed
		if _, err := hex.Decode(identity.PayloadSHA256[:], []byte(hash)); err != nil {
			return sigv4.Identity{}, err
		}
	}
	return identity, nil
}

// edge is a Handler behind a real server, over a model.
type edge struct {
	t       *testing.T
	model   *model
	handler *Handler
	server  *fasthttp.Server
	dial    func() (net.Conn, error)
	log     *logtest.Hook
	now     time.Time
}

// newEdge starts a server with the bucket "b".
func newEdge(t *testing.T, change ...func(*Config)) *edge {
	t.Helper()
	e := &edge{t: t, now: time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)}
	e.model = newModel(func() time.Time { return e.now })
	logger, hook := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	e.log = hook
	config := Config{
		Gateway: e.model, Auth: newBeliever(), Log: logger,
		RequestID: func() string { return "0123456789ABCDEF" }, HostID: "host",
		Owner: Owner{ID: "owner", DisplayName: "Owner"},
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if e.handler, err = New(config); err != nil {
		t.Fatal(err)
	}
	e.server = &fasthttp.Server{
		Handler: e.handler.Handle, ErrorHandler: e.handler.ServeError, ExpectHandler: e.handler.Expect,
		StreamRequestBody: true, DisablePreParseMultipartForm: true, NoDefaultContentType: true,
		ReadBufferSize: 32 << 10, Logger: logger, CloseOnShutdown: true, NoDefaultDate: true, NoDefaultServerHeader: true,
	}
	listener := fasthttputil.NewInmemoryListener()
	e.dial = listener.Dial
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(listener) }()
	t.Cleanup(func() {
		if err := e.server.Shutdown(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		e.model.mu.Lock()
		defer e.model.mu.Unlock()
		if e.model.open != 0 {
			t.Errorf("%d payloads were opened and never closed", e.model.open)
		}
	})
	if _, err := e.model.CreateBucket(t.Context(), "b", objects.BucketProps{}); err != nil {
		t.Fatal(err)
	}
	return e
}

// reply is an answer as a client sees it.
type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
	raw    string // status line and headers as sent
}

// raw sends bytes and reads one answer.
func (e *edge) raw(request string) *reply {
	e.t.Helper()
	conn, err := e.dial()
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, request)
		sent <- err
	}()
	what, _, _ := strings.Cut(request, "\r\n")
	method, _, _ := strings.Cut(what, " ")
	return e.read(conn, what, method)
}

func (e *edge) read(conn net.Conn, what, method string) *reply {
	e.t.Helper()
	var seen bytes.Buffer
	response, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &seen)), &http.Request{Method: method})
	if err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatalf("%s: body: %v", what, err)
	}
	head, _, _ := strings.Cut(seen.String(), "\r\n\r\n")
	return &reply{e.t, what, response.StatusCode, response.Header, string(body), head}
}

// do sends a signed request. Headers are "Name: value".
func (e *edge) do(method, target, body string, headers ...string) *reply {
	e.t.Helper()
	return e.anonymous(method, target, body, append([]string{"Authorization: test"}, headers...)...)
}

// anonymous sends a request without credentials.
func (e *edge) anonymous(method, target, body string, headers ...string) *reply {
	e.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	host, length := "Host: localhost", true
	for _, h := range headers {
		if strings.HasPrefix(h, "Host:") {
			host = h
			continue
		}
		if strings.HasPrefix(h, "Content-Length:") || strings.HasPrefix(h, "Transfer-Encoding:") {
			length = false
		}
		b.WriteString(h + "\r\n")
	}
	b.WriteString(host + "\r\n")
	if length && (body != "" || method == put || method == post) {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return e.raw(b.String())
}

// want checks the status and returns the reply.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: status %d, want %d\n%s\n%s", r.what, r.status, status, r.raw, r.body)
	}
	return r
}

// errorDocument is S3's error as clients read it.
type errorDocument struct {
	XMLName       xml.Name `xml:"Error"`
	Code          string
	Message       string
	Resource      string
	RequestID     string `xml:"RequestId"`
	HostID        string `xml:"HostId"`
	Key           string
	BucketName    string
	ArgumentName  string
	ArgumentValue string
	Condition     string
}

// wantError checks the status and S3's code, and that the error is whole.
func (r *reply) wantError(status int, code string) errorDocument {
	r.t.Helper()
	r.want(status)
	var document errorDocument
	if err := xml.Unmarshal([]byte(r.body), &document); err != nil {
		r.t.Fatalf("%s: the error is no XML: %v\n%s", r.what, err, r.body)
	}
	if document.Code != code {
		r.t.Fatalf("%s: code %s, want %s: %s", r.what, document.Code, code, r.body)
	}
	if document.Message == "" {
		r.t.Errorf("%s: %s has no message", r.what, code)
	}
	if id := r.header.Get("X-Amz-Request-Id"); id == "" || document.RequestID != id {
		r.t.Errorf("%s: the document names request %q, the header %q", r.what, document.RequestID, id)
	}
	if id := r.header.Get("X-Amz-Id-2"); id == "" || document.HostID != id {
		r.t.Errorf("%s: the document names host %q, the header %q", r.what, document.HostID, id)
	}
	if got := r.header.Get("Content-Type"); got != "application/xml" {
		r.t.Errorf("%s: the error is %q", r.what, got)
	}
	return document
}

// wantHeader checks one header; an empty value: it must not be there.
func (r *reply) wantHeader(name, value string) *reply {
	r.t.Helper()
	got, present := r.header[http.CanonicalHeaderKey(name)]
	switch {
	case value == "" && present:
		r.t.Errorf("%s: %s is %q, want none", r.what, name, got)
	case value != "" && (len(got) != 1 || got[0] != value):
		r.t.Errorf("%s: %s is %q, want %q", r.what, name, got, value)
	}
	return r
}

// wantBody checks the body.
func (r *reply) wantBody(body string) *reply {
	r.t.Helper()
	if r.body != body {
		r.t.Errorf("%s: body %.300q, want %.300q", r.what, r.body, body)
	}
	return r
}

// golden compares the body with a file, or writes the file with -rewrite.
func (r *reply) golden(name string) *reply {
	r.t.Helper()
	file := filepath.Join("testdata", name+".xml")
	got := strings.ReplaceAll(r.body, "><", ">\n<") + "\n"
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			r.t.Fatal(err)
		}
		return r
	}
	want, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatalf("%v; write it with: go test ./httpedge/s3api -rewrite", err)
	}
	if got != string(want) {
		r.t.Errorf("%s: not %s:\n%s", r.what, file, got)
	}
	return r
}

// put stores an object and fails the test if it cannot.
func (e *edge) put(name, body string, headers ...string) *reply {
	e.t.Helper()
	return e.do(put, "/b/"+name, body, headers...).want(200)
}

// document reads an XML body.
func document[T any](r *reply) T {
	r.t.Helper()
	var v T
	if err := xml.Unmarshal([]byte(r.body), &v); err != nil {
		r.t.Fatalf("%s: %v\n%s", r.what, err, r.body)
	}
	return v
}

// identityOf is sigv4.Identity, as the tests' authenticators say it.
type identityOf = sigv4.Identity
