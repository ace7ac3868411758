package s3api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The node's gateway and authenticator are what this edge asks for.
var (
	_ Gateway       = nodeGateway{}
	_ Gateway       = (*model)(nil)
	_ Payload       = (*gateway.Object)(nil)
	_ Authenticator = nodeAuthenticator{}
)

// Everything that can go wrong below has one S3 code and status, and only those
// that a client should repeat say when.
func TestErrorTable(t *testing.T) {
	e := newEdge(t)
	var fault error
	e.model.fault = func(string, string) error { return fault }
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errs.E("x", errs.NotFound, objects.ErrNoSuchBucket), 404, "NoSuchBucket"},
		{errs.E("x", errs.NotFound, objects.ErrNoSuchKey), 404, "NoSuchKey"},
		{errs.E("x", errs.NotFound, objects.ErrNoSuchVersion), 404, "NoSuchVersion"},
		{errs.E("x", errs.NotFound, objects.ErrNoSuchUpload), 404, "NoSuchUpload"},
		{errs.E("x", errs.Exists, objects.ErrBucketExists), 409, "BucketAlreadyOwnedByYou"},
		{errs.E("x", errs.Conflict, objects.ErrBucketNotEmpty), 409, "BucketNotEmpty"},
		{errs.E("x", errs.Invalid, objects.ErrBucketName), 400, "InvalidBucketName"},
		{errs.E("x", errs.Invalid, objects.ErrObjectName), 400, "InvalidURI"},
		{errs.E("x", errs.Invalid, objects.ErrNameTooLong), 400, "KeyTooLongError"},
		{errs.E("x", errs.Conflict, objects.ErrPreconditionFailed), 412, "PreconditionFailed"},
		{errs.E("x", errs.Invalid, objects.ErrInvalidPart), 400, "InvalidPart"},
		{errs.E("x", errs.Invalid, objects.ErrInvalidPartOrder), 400, "InvalidPartOrder"},
		{errs.E("x", errs.Invalid, objects.ErrPartTooSmall), 400, "EntityTooSmall"},
		{errs.E("x", errs.Invalid, objects.ErrBadDigest), 400, "BadDigest"},
		{errs.E("x", errs.Invalid, errors.Join(objects.ErrBadDigest, &checksum.Mismatch{What: "CRC32"})), 400, "BadDigest"},
		{errs.E("x", errs.Invalid, errors.Join(objects.ErrBadDigest, &checksum.Mismatch{What: "Content-MD5"})), 400, "BadDigest"},
		{errs.E("x", errs.Invalid, errors.Join(objects.ErrBadDigest, &checksum.Mismatch{What: "size"})), 400, "IncompleteBody"},
		{errs.E("x", errs.Invalid, errors.Join(objects.ErrBadDigest, &checksum.Mismatch{What: "x-amz-content-sha256"})), 400, "XAmzContentSHA256Mismatch"},
		{errs.E("x", errs.Invalid, objects.ErrIncompleteBody), 400, "IncompleteBody"},
		{errs.E("x", errs.Invalid, objects.ErrTooLarge), 400, "EntityTooLarge"},
		{errs.E("x", errs.Invalid, objects.ErrInvalidRange), 416, "InvalidRange"},
		{errs.E("x", errs.Busy, objects.ErrOutcomeUnknown), 503, "ServiceUnavailable"},
		{errs.E("x", errs.Busy, messages.ErrNoAnswer), 503, "ServiceUnavailable"},
		// Consul's silence is not the client's.
		{errs.E("x", errs.Offline, &messages.AgreementAway{Cause: context.DeadlineExceeded}), 503, "ServiceUnavailable"},
		{errs.E("x", errs.Offline, &messages.OwnersAway{Owners: []messages.OwnerState{{Node: "n", State: "down"}}}), 503, "ServiceUnavailable"},
		{errs.E("x", errs.Offline, context.DeadlineExceeded), 503, "ServiceUnavailable"},
		{errs.E("x", errs.NotFound), 404, "NoSuchKey"},
		{errs.E("x", errs.Exists), 409, "BucketAlreadyExists"},
		{errs.E("x", errs.Denied), 403, "AccessDenied"},
		{errs.E("x", errs.Invalid, errors.New("why")), 400, "InvalidRequest"},
		{errs.E("x", errs.Busy), 503, "SlowDown"},
		{errs.E("x", errs.NoSpace), 507, "InsufficientStorage"},
		{errs.E("x", errs.Offline), 503, "ServiceUnavailable"},
		{errs.E("x", errs.Corrupt), 500, "InternalError"},
		{errs.E("x", errs.Canceled), 503, "ServiceUnavailable"},
		{errs.E("x", errs.Conflict), 412, "PreconditionFailed"},
		{errs.E("x", errs.IO), 500, "InternalError"},
		{errs.E("x", errs.Internal), 500, "InternalError"},
		{context.DeadlineExceeded, 400, "RequestTimeout"},
		{errors.New("the secret is out"), 500, "InternalError"},
	} {
		fault = c.err
		r := e.do(get, "/b/k", "")
		d := r.wantError(c.status, c.code)
		if (r.header.Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, r.header.Get("Retry-After"))
		}
		if strings.Contains(r.body, "secret") {
			t.Errorf("%v is told to the client: %s", c.err, r.body)
		}
		if c.code == "InvalidRequest" && d.Message != "why" {
			t.Errorf("message %q", d.Message)
		}
		e.do(head, "/b/k", "").want(c.status).wantBody("")
		e.do(put, "/b/k", "body").wantError(c.status, c.code)
	}
}

// Every code that this package can answer with is in the table.
func TestCodesHaveAnswers(t *testing.T) {
	for _, code := range []string{
		codeAccessDenied, codeAccessForbidden, codeBadDigest, codeBadRequest, codeBucketAlreadyExists, codeBucketAlreadyOwned, codeBucketNotEmpty,
		codeEntityTooLarge, codeEntityTooSmall, codeIncompleteBody, codeInsufficientStorage, codeInternalError, codeInvalidArgument, codeInvalidBucketName,
		codeInvalidDigest, codeInvalidLocation, codeInvalidPart, codeInvalidPartOrder, codeInvalidRange, codeInvalidRedirect, codeInvalidRequest,
		codeInvalidStorageClass, codeInvalidTag, codeInvalidURI, codeKeyTooLong, codeMalformedTrailer, codeMalformedXML, codeMessageTooLong,
		codeMetadataTooLarge, codeMethodNotAllowed, codeMissingContentLength, codeNoSuchBucket, codeNoSuchBucketPolicy, codeNoSuchConfiguration,
		codeNoSuchCORS, codeNoSuchKey, codeNoSuchLifecycle, codeNoSuchTagSet, codeNoSuchUpload, codeNoSuchVersion, codeNoSuchWebsite, codeNotImplemented,
		codeNoObjectLock, codeNoReplication, codeNoEncryption, codePreconditionFailed, codeRequestHeaderTooLarge, codeRequestTimeout,
		codeServiceUnavailable, codeSlowDown, codeXAmzContentSHA256Differ,
	} {
		if a, ok := answerOf(code); !ok || a.status < 400 || a.message == "" {
			t.Errorf("%s: %+v", code, a)
		}
	}
	if got := refuse("Unheard", "of").Status(); got != 400 {
		t.Errorf("an unknown code is %d", got)
	}
}

// An operation that panics is answered and logged with its stack; the process,
// the connection's next request and everyone else go on.
func TestPanic(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	e.model.fault = func(operation, name string) error {
		if name == "poison" {
			panic("boom")
		}
		return nil
	}
	e.do(get, "/b/poison", "").wantError(500, "InternalError")
	e.do(put, "/b/poison", strings.Repeat("x", 100_000)).wantError(500, "InternalError")
	e.do(get, "/b/k", "").want(200)
	found := false
	for _, entry := range e.log.AllEntries() {
		if stack, ok := entry.Data["stack"].(string); ok && entry.Level == logrus.ErrorLevel && entry.Data["key"] == "poison" && strings.Contains(stack, "object_get.go") {
			found = true
		}
	}
	if !found {
		t.Error("the panic and its stack were not logged")
	}
	if n := len(e.log.AllEntries()); n == 0 {
		t.Error("nothing was logged")
	}
}

// Nobody in particular may do nothing, and a wrong signature is explained.
func TestAnonymousAndRefusedSignature(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	for _, c := range []struct{ method, target string }{
		{get, "/"}, {get, "/b"}, {head, "/b"}, {get, "/b/k"}, {put, "/b/k"}, {remove, "/b/k"}, {remove, "/b"}, {post, "/b?delete"}, {get, "/b?acl"}, {get, "/missing/k"}, {get, "/b?policy"},
	} {
		if r := e.anonymous(c.method, c.target, ""); r.status != 403 || c.method != head && !strings.Contains(r.body, "<Code>AccessDenied<") {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.status, r.body)
		}
		if r := e.anonymous(c.method, c.target, "", "Authorization: bad"); r.status != 403 || c.method != head && !strings.Contains(r.body, "<Code>SignatureDoesNotMatch<") {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.status, r.body)
		}
	}
	if r := e.anonymous(get, "/b", "", "Authorization: bad"); !strings.Contains(r.body, "<StringToSign>x</StringToSign>") {
		t.Errorf("the signature is not explained: %s", r.body)
	}
	e.anonymous(post, "/b", "x", "Content-Type: multipart/form-data; boundary=x").wantError(501, "NotImplemented")
	e.do(get, "/b/k", "").want(200).wantBody("x")
}

// What is no HTTP is answered in XML too.
func TestUnparsable(t *testing.T) {
	e := newEdge(t)
	e.raw("GET\r\n\r\n").wantError(400, "BadRequest")
	e.raw("GET / HTTP/1.1\r\nHost: h\r\nBad : x\r\n\r\n").wantError(400, "BadRequest")
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx").wantError(400, "BadRequest")
	e.raw("GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n").wantError(431, "RequestHeaderSectionTooLarge")
	e.raw("GET http://other/b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\n\r\n").wantError(400, "InvalidURI")
	e.do(get, "/b/k?a=%zz", "").wantError(400, "InvalidURI")
	e.do(get, "/b/a%26b", "").want(404).golden("error")
	if r := e.do(get, "/b/%00%01?unknown", ""); !strings.Contains(r.body, "<Resource>/b/\ufffd\ufffd</Resource>") {
		t.Errorf("the error is about: %s", r.body)
	}
}

// A refusal is read by the client although it is still sending, and the
// connection serves the next request where the body was small enough.
func TestRefusedUploadIsDrained(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.DrainBytes = 1 << 20 })
	conn, err := e.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	send := func(target string, size int) *reply {
		done := make(chan error, 1)
		go func() {
			_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nContent-Length: %d\r\n\r\n%s", target, size, strings.Repeat("x", size))
			done <- err
		}()
		r := e.read(conn, "PUT "+target, put)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return r
	}
	send("/missing/k", 1<<20).wantError(404, "NoSuchBucket")
	send("/b/k", 100).want(200)
	send("/b/k?policy", 1<<20).wantError(501, "NotImplemented")
	send("/b/k", 100).want(200)
	e.do(put, "/missing/k", strings.Repeat("x", 1<<20+100_000)).wantError(404, "NoSuchBucket")
}

// bucket_create_bad_expect_…, 100_continue: who asks first is told before the
// body is sent.
func TestExpect(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.ObjectBytes = 100 })
	ask := func(target string, headers ...string) *reply {
		t.Helper()
		conn, err := e.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n%s\r\n\r\n", target, strings.Join(headers, "\r\n")); err != nil {
			t.Fatal(err)
		}
		r := e.read(conn, "Expect "+target, put)
		if r.status != 100 {
			return r
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		return e.read(conn, "after 100", put)
	}
	const signed, five = "Authorization: test", "Content-Length: 5"
	ask("/b/k", signed, five).want(200)
	ask("/b/k?X-Amz-Signature=x", five).wantError(403, "AccessDenied") // the believer sees none; the look does
	ask("/b/k", five).wantError(403, "AccessDenied")
	ask("/missing/k", signed, five).wantError(404, "NoSuchBucket")
	ask("/b/k", signed, "Content-Length: 101").wantError(400, "EntityTooLarge")
	ask("/b/k", signed, five, "x-amz-decoded-content-length: 101").want(400)
	ask("/b/%zz", signed, five).wantError(400, "InvalidURI")
	e.model.fault = func(string, string) error { panic("boom") }
	e.handler.config.Gateway = panicking{e.model}
	ask("/b/k", signed, five).want(500)
	e.handler.config.Gateway = e.model
	e.model.fault = nil
	e.do(put, "/b/k", "x", "Expect: 200").want(200)
	e.do(put, "/b/k", "x", "Expect:").want(200)
}

// panicking is a gateway whose every look at a bucket panics.
type panicking struct{ *model }

func (panicking) Bucket(string) (*objects.BucketDoc, error) { panic("boom") }

// A client that stops sending is told so and let go.
func TestStalledBody(t *testing.T) {
	e := newEdge(t)
	e.handler.config.Auth = stalled{e.handler.config.Auth}
	e.do(put, "/b/k", "x").wantError(400, "RequestTimeout")
	if n := len(e.model.buckets["b"].objects); n != 0 {
		t.Errorf("%d objects", n)
	}
}

// stalled hands out bodies whose read times out.
type stalled struct{ Authenticator }

func (s stalled) Body(ctx *fasthttp.RequestCtx, identity identityOf, limit int64) (Body, error) {
	body, err := s.Authenticator.Body(ctx, identity, limit)
	return stalledBody{body}, err
}

type stalledBody struct{ Body }

func (stalledBody) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Err: timeoutError{}}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// virtual-host style and a prefix reach the same objects as path style.
func TestAddressingStyles(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Domains = []string{"s3.test"}; c.Prefix = "/s3" })
	e.do(put, "/s3/b/k", "x").want(200)
	e.do(get, "/s3/k", "", "Host: b.s3.test:9000").want(200).wantBody("x")
	e.do(get, "/s3/", "", "Host: b.s3.test").want(200)
	e.do(get, "/s3", "", "Host: s3.test").want(200)
	e.do(get, "/b/k", "").wantError(400, "InvalidURI")
	e.do(head, "/s3/", "", "Host: b.s3.test").want(200).wantHeader("x-amz-bucket-region", "us-east-1")
}

// Requests of many connections at once do not mix: each reads its own bytes.
func TestConcurrentRequests(t *testing.T) {
	e := newEdge(t)
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			conn, err := e.dial()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			for i := range 50 {
				body := strings.Repeat(fmt.Sprintf("%d.%d ", c, i), 200)
				ask := func(method, target, body, header string) *reply {
					sent := make(chan error, 1)
					go func() {
						_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\n%sContent-Length: %d\r\n\r\n%s", method, target, header, len(body), body)
						sent <- err
					}()
					r := e.read(conn, method+" "+target, method)
					if err := <-sent; err != nil {
						t.Error(err)
					}
					return r
				}
				name := fmt.Sprintf("/b/%d/%d", c, i%7)
				if r := ask(put, name, body, fmt.Sprintf("x-amz-meta-who: %d.%d\r\n", c, i)); r.status != 200 {
					t.Errorf("%s: %d", name, r.status)
				}
				if r := ask(get, name, "", ""); r.status != 200 || r.body != body || r.header.Get("x-amz-meta-who") != fmt.Sprintf("%d.%d", c, i) {
					t.Errorf("%s: %d, %d bytes, by %q", name, r.status, len(r.body), r.header.Get("x-amz-meta-who"))
				}
				if r := ask(get, fmt.Sprintf("/b?prefix=%d/", c), "", ""); strings.Count(r.body, "<Contents>") != min(i+1, 7) {
					t.Errorf("client %d after %d: %s", c, i, r.body)
				}
			}
		})
	}
	clients.Wait()
}

// A configuration that cannot work is refused with every fault at once.
func TestValidate(t *testing.T) {
	_, err := New(Config{Prefix: "s3/", Domains: []string{"a:1", ""}, Limits: Limits{MaxKeys: -1}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"gateway", "authenticator", `"s3/"`, `"a:1"`, `""`, "negative"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	c := Config{}.withDefaults()
	if one, other := c.RequestID(), c.RequestID(); one == other || len(one) != 16 {
		t.Error("bad defaults")
	}
}
