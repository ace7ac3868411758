package conformance

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// answerWithin bounds the wait for an answer on a connection of a test's own.
const answerWithin = time.Minute

// wire is a connection on which a test writes every byte itself.
type wire struct {
	*client
	conn   net.Conn
	reader *bufio.Reader
}

// dial connects to the node that is asked next, which speak is about.
func (c *client) dial(speak func(w *wire, raw *s3client.Client)) {
	c.Helper()
	raw := c.raw[c.next()]
	conn, err := net.Dial("tcp", raw.Address)
	c.must(err)
	defer conn.Close()
	c.must(conn.SetDeadline(time.Now().Add(answerWithin)))
	speak(&wire{c, conn, bufio.NewReader(conn)}, raw)
}

// write writes as it is.
func (w *wire) write(text string) {
	w.Helper()
	_, err := io.WriteString(w.conn, text)
	w.must(err)
}

// read reads an answer, of a request with a method.
func (w *wire) read(method string) *s3client.Answer {
	w.Helper()
	response, err := http.ReadResponse(w.reader, &http.Request{Method: method})
	w.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	w.must(err)
	return &s3client.Answer{Status: response.StatusCode, Header: response.Header, Body: body, Code: s3client.ErrorCode(body)}
}

// sent sends a signed request with further lines of its head, which are not signed, and a
// body, and returns the answer.
func (c *client) sent(r s3client.Request, lines, body string) (answer *s3client.Answer) {
	c.Helper()
	c.dial(func(w *wire, raw *s3client.Client) {
		head, _, err := raw.Head(r)
		c.must(err)
		w.write(head + lines + "\r\n" + body)
		answer = w.read(r.Method)
	})
	return answer
}

// unsigned sends a request as it is; HOST is where it goes to.
func (c *client) unsigned(request string) (answer *s3client.Answer) {
	c.Helper()
	c.dial(func(w *wire, raw *s3client.Client) {
		w.write(strings.ReplaceAll(request, "HOST", raw.Address))
		method, _, _ := strings.Cut(request, " ")
		answer = w.read(method)
	})
	return answer
}

// presign signs a request that anybody may send, and does whatever it is for.
func (c *client) presigned(method, target string, body string) *s3client.Answer {
	c.Helper()
	request, err := http.NewRequestWithContext(c.ctx, method, target, strings.NewReader(body))
	c.must(err)
	response, err := http.DefaultClient.Do(request)
	c.must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	c.must(err)
	return &s3client.Answer{Status: response.StatusCode, Header: response.Header, Body: text, Code: s3client.ErrorCode(text)}
}

// readable is the URL that reads an object for a time.
func (c *client) readable(in *s3.GetObjectInput, expires time.Duration) string {
	c.Helper()
	out, err := s3.NewPresignClient(c.sdk()).PresignGetObject(c.ctx, in, s3.WithPresignExpires(expires))
	c.must(err)
	return out.URL
}

// writable is the URL that writes an object for a time.
func (c *client) writable(bucket, key string, expires time.Duration) *v4.PresignedHTTPRequest {
	c.Helper()
	out, err := s3.NewPresignClient(c.sdk()).PresignPutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key}, s3.WithPresignExpires(expires))
	c.must(err)
	return out
}

// credentials that are none, wrong or of another kind, on a request that is otherwise right.
func (c *client) refusesStrangers(method, path string) {
	c.Helper()
	for _, stranger := range []struct {
		line, code string
		status     int
	}{
		{"", "AccessDenied", http.StatusForbidden},
		{"Authorization: \r\n", "AccessDenied", http.StatusForbidden},
		{"Authorization: AWS4-HMAC-SHA256 nonsense\r\n", "AuthorizationHeaderMalformed", http.StatusBadRequest},
		{"Authorization: Basic dHJvdXBlOnRyb3VwZS1zZWNyZXQ=\r\n", "InvalidArgument", http.StatusBadRequest},
	} {
		a := c.unsigned(method + " " + path + " HTTP/1.1\r\nHost: HOST\r\n" + stranger.line + "Content-Length: 0\r\n\r\n")
		c.answers(fmt.Sprintf("%s %q", method, stranger.line), a, stranger.status, stranger.code)
	}
}

func protocolTests() map[string]test {
	return map[string]test{
		"object_create_bad_md5_none": func(c *client) {
			bucket := c.bucket()
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("bar")}))
			c.is("foo", c.get(bucket, "foo"), "bar")
			for value, code := range map[string]string{"": "InvalidDigest", "AWS HAHAHA": "InvalidDigest", "YWJyYWNhZGFicmE=": "InvalidDigest", "rL0Y20zC+Fzt72VPzMSk2A==": "BadDigest"} {
				a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("soup"), Header: keyed("Content-MD5", value)})
				c.answers("Content-MD5: "+value, a, http.StatusBadRequest, code)
			}
			c.is("foo", c.get(bucket, "foo"), "bar")
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("bar"), Header: keyed("Content-MD5", "N7UdGUp1E+RbVvZSTy1R8g==")}))
		},
		"object_create_bad_contentlength_negative": func(c *client) {
			bucket := c.bucket()
			for _, length := range []string{"-1", "1e3", "99999999999999999999999", "x"} {
				a := c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"}, "Content-Length: "+length+"\r\n", "")
				c.is("Content-Length: "+length, a.Status, http.StatusBadRequest)
			}
			c.missing(bucket, "foo")
		},
		"object_create_bad_contentlength_none": func(c *client) {
			bucket := c.bucket()
			a := c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"}, "", "")
			c.answers("no Content-Length", a, http.StatusLengthRequired, "MissingContentLength")
			c.missing(bucket, "foo")
		},
		"object_create_bad_contenttype_empty": func(c *client) {
			bucket := c.bucket()
			c.ok(c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"}, "Content-Type: \r\nContent-Length: 3\r\n", "bar"))
			c.is("foo", c.get(bucket, "foo"), "bar")
			c.is("ContentType", aws.ToString(c.head(bucket, "foo").ContentType), "binary/octet-stream")
		},
		"object_create_bad_contenttype_none": func(c *client) {
			bucket := c.bucket()
			c.ok(c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"}, "Content-Length: 3\r\n", "bar"))
			c.is("foo", c.get(bucket, "foo"), "bar")
			c.is("ContentType", aws.ToString(c.head(bucket, "foo").ContentType), "binary/octet-stream")
		},
		"object_create_bad_authorization_empty": func(c *client) {
			bucket := c.bucket()
			c.refusesStrangers("PUT", "/"+bucket+"/foo")
			c.missing(bucket, "foo")
		},
		"object_create_date_and_amz_date": func(c *client) {
			bucket := c.bucket()
			// x-amz-date counts, whatever Date says; s3client signs with it.
			for _, date := range []string{time.Now().UTC().Format(http.TimeFormat), "Sat, 29 Oct 1994 19:43:31 GMT", "no date", ""} {
				c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("bar"), Header: keyed("Date", date)}))
			}
			for _, at := range []time.Duration{-16 * time.Minute, 16 * time.Minute} {
				a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", At: time.Now().Add(at)})
				c.answers("signed "+at.String()+" from now", a, http.StatusForbidden, "RequestTimeTooSkewed")
			}
			c.missing(bucket, "bad")
		},
		"object_create_amz_date_and_no_date": func(c *client) {
			bucket := c.bucket()
			a := c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("bar")}))
			c.is("Date of the answer", a.Header.Get("Date") != "", true)
			c.is("foo", c.get(bucket, "foo"), "bar")
		},
		"bucket_create_contentlength_none":     bucketWithLines(""),
		"bucket_create_bad_contentlength_none": bucketWithLines("X-Nothing: \r\n"),
		"bucket_create_bad_expect_mismatch":    bucketWithLines("Expect: 200\r\nContent-Length: 0\r\n"),
		"bucket_create_bad_expect_empty":       bucketWithLines("Expect: \r\nContent-Length: 0\r\n"),
		"object_acl_create_contentlength_none": func(c *client) {
			bucket := c.filled("foo")
			a := c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Query: "acl", Header: keyed("x-amz-acl", "private")}, "", "")
			c.answers("PutObjectAcl", a, http.StatusOK, "")
			a = c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "gone", Query: "acl", Header: keyed("x-amz-acl", "private")}, "", "")
			c.answers("PutObjectAcl of what is not there", a, http.StatusNotFound, "NoSuchKey")
		},
		"bucket_put_bad_canned_acl": func(c *client) {
			bucket := c.filled("foo")
			a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Query: "acl", Header: keyed("x-amz-acl", "public-ready")})
			c.answers("of a bucket", a, http.StatusBadRequest, "InvalidArgument")
			a = c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Query: "acl", Header: keyed("x-amz-acl", "public-ready")})
			c.answers("of an object", a, http.StatusBadRequest, "InvalidArgument")
			gone := c.bucketName()
			a = c.do(s3client.Request{Method: "PUT", Bucket: gone, Header: keyed("x-amz-acl", "public-ready")})
			c.answers("of a new bucket", a, http.StatusBadRequest, "InvalidArgument")
			c.is("exists", c.bucketExists(gone), false)
			a = c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bar", Header: keyed("x-amz-acl", "public-ready")})
			c.answers("of a new object", a, http.StatusBadRequest, "InvalidArgument")
			c.missing(bucket, "bar")
		},
		"bucket_create_bad_authorization_empty": func(c *client) {
			bucket := c.bucketName()
			c.refusesStrangers("PUT", "/"+bucket)
			c.is("exists", c.bucketExists(bucket), false)
		},
		"bucket_create_bad_authorization_none": func(c *client) {
			bucket := c.bucketName()
			a := c.unsigned("PUT /" + bucket + " HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n")
			c.answers("unsigned", a, http.StatusForbidden, "AccessDenied")
			c.is("exists", c.bucketExists(bucket), false)
			c.refusesStrangers("DELETE", "/"+c.bucket())
			c.refusesStrangers("GET", "/")
		},

		"object_write_with_chunked_transfer_encoding": func(c *client) {
			bucket := c.bucket()
			a := c.sent(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"}, "Transfer-Encoding: chunked\r\n", "1\r\nb\r\n2\r\nar\r\n0\r\n\r\n")
			c.answers("chunked", a, http.StatusOK, "")
			c.is("ETag", a.Header.Get("ETag"), etagOf([]byte("bar")))
			c.is("foo", c.get(bucket, "foo"), "bar")
			c.is("ContentLength", aws.ToInt64(c.head(bucket, "foo").ContentLength), int64(3))
			c.is("ContentEncoding", c.head(bucket, "foo").ContentEncoding, (*string)(nil))
		},
		"object_requestid_matches_header_on_error": func(c *client) {
			bucket := c.bucket()
			seen := map[string]bool{}
			for _, r := range []s3client.Request{{Method: "GET", Bucket: bucket, Key: "bar"}, {Method: "GET", Bucket: c.bucketName()}, {Method: "PUT", Bucket: bucket, Query: "acl", Header: keyed("x-amz-acl", "x")}} {
				a := c.do(r)
				var e struct{ Code, Message, RequestId, HostId string } //nolint:revive // S3's spelling
				c.must(xml.Unmarshal(a.Body, &e))
				c.is("RequestId", e.RequestId, a.Header.Get("x-amz-request-id"))
				c.is("HostId", e.HostId, a.Header.Get("x-amz-id-2"))
				c.is("RequestId is new", e.RequestId != "" && !seen[e.RequestId], true)
				c.is("Message is there", e.Message != "", true)
				seen[e.RequestId] = true
			}
			a := c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: "bar"})
			c.is("x-amz-request-id of HEAD", a.Header.Get("x-amz-request-id") != "", true)
			c.is("body of HEAD", len(a.Body), 0)
		},
		"object_content_encoding_aws_chunked": func(c *client) {
			bucket := c.bucket()
			for _, coding := range [][2]string{{"aws-chunked", ""}, {"gzip, aws-chunked", "gzip"}, {"aws-chunked,gzip", "gzip"}, {"aws-chunked, aws-chunked", ""}, {"AWS-Chunked, br, gzip", "br, gzip"}, {"gzip", "gzip"}} {
				c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Body: []byte("bar"), Header: keyed("Content-Encoding", coding[0])}))
				for _, method := range []string{"GET", "HEAD"} {
					c.is(coding[0], c.do(s3client.Request{Method: method, Bucket: bucket, Key: "foo"}).Header.Get("Content-Encoding"), coding[1])
				}
				// The same of an upload in parts.
				a := c.ok(c.do(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: "uploads", Header: keyed("Content-Encoding", coding[0])}))
				id, err := s3client.UploadID(a)
				c.must(err)
				part := c.part(bucket, "parts", id, 1, []byte("x"))
				_, err = c.complete(bucket, "parts", id, []types.CompletedPart{part})
				c.must(err)
				c.is(coding[0]+", in parts", c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: "parts"}).Header.Get("Content-Encoding"), coding[1])
			}
		},
		"100_continue_error_retry": func(c *client) {
			const lines = "Expect: 100-continue\r\nContent-Length: 3\r\n"
			bucket, gone := c.bucket(), c.bucketName()
			// What is refused is refused before the body is sent, and may be sent again.
			for range 2 {
				a := c.sent(s3client.Request{Method: "PUT", Bucket: gone, Key: "foo"}, lines, "")
				c.answers("no bucket", a, http.StatusNotFound, "NoSuchBucket")
				a = c.unsigned("PUT /" + bucket + "/foo HTTP/1.1\r\nHost: HOST\r\n" + lines + "\r\n")
				c.answers("unsigned", a, http.StatusForbidden, "AccessDenied")
			}
			c.missing(bucket, "foo")
			c.dial(func(w *wire, raw *s3client.Client) {
				head, _, err := raw.Head(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo"})
				c.must(err)
				w.write(head + lines + "\r\n")
				c.is("before the body", w.read("PUT").Status, http.StatusContinue)
				w.write("bar")
				c.answers("after the body", w.read("PUT"), http.StatusOK, "")
			})
			c.is("foo", c.get(bucket, "foo"), "bar")
			// A body that came all the same is no request.
			c.dial(func(w *wire, raw *s3client.Client) {
				head, _, err := raw.Head(s3client.Request{Method: "PUT", Bucket: gone, Key: "foo"})
				c.must(err)
				w.write(head + lines + "\r\nbar")
				c.answers("no bucket, and a body", w.read("PUT"), http.StatusNotFound, "NoSuchBucket")
			})
		},

		"object_raw_response_headers": func(c *client) {
			bucket := c.filled("foo")
			want := map[string]string{"Cache-Control": "no-cache", "Content-Disposition": "bla", "Content-Encoding": "aaa", "Content-Language": "esperanto", "Content-Type": "foo/bar", "Expires": "123"}
			target := c.readable(&s3.GetObjectInput{Bucket: &bucket, Key: some("foo"), ResponseCacheControl: some("no-cache"), ResponseContentDisposition: some("bla"), ResponseContentEncoding: some("aaa"),
				ResponseContentLanguage: some("esperanto"), ResponseContentType: some("foo/bar")}, time.Minute)
			delete(want, "Expires")
			a := c.presigned("GET", target, "")
			c.answers("presigned", a, http.StatusOK, "")
			for name, value := range want {
				c.is(name, a.Header.Get(name), value)
			}
			raw := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "foo", Query: "response-content-type=a%2Fb&response-expires=123"})
			c.is("Expires", raw.Header.Get("Expires"), "123")
			c.is("Content-Type", raw.Header.Get("Content-Type"), "a/b")
			raw = c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "foo", Query: "response-content-type=a%0D%0AX-Injected:%201"})
			c.answers("a line end", raw, http.StatusBadRequest, "InvalidArgument")
			c.is("ContentType as it is stored", c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "foo"}).Header.Get("Cache-Control"), "")
		},
		"object_raw_authenticated_object_gone": func(c *client) {
			bucket := c.filled("foo")
			target := c.readable(&s3.GetObjectInput{Bucket: &bucket, Key: some("foo")}, time.Minute)
			c.is("foo", string(c.presigned("GET", target, "").Body), "foo")
			c.deletesAll(bucket, keys("foo"))
			c.answers("deleted", c.presigned("GET", target, ""), http.StatusNotFound, "NoSuchKey")
		},
		"object_raw_get_x_amz_expires_not_expired": func(c *client) {
			bucket := c.filled("foo")
			for _, expires := range []time.Duration{100 * time.Second, 100000 * time.Second, 604800 * time.Second} {
				a := c.presigned("GET", c.readable(&s3.GetObjectInput{Bucket: &bucket, Key: some("foo")}, expires), "")
				c.answers(expires.String(), a, http.StatusOK, "")
				c.is("foo", string(a.Body), "foo")
			}
			// What has expired, and what was tampered with.
			expired, err := c.raw[0].Presign(s3client.Request{Method: "GET", Bucket: bucket, Key: "foo", At: time.Now().Add(-time.Hour)}, time.Minute)
			c.must(err)
			c.answers("expired", c.presigned("GET", "http://"+c.raw[0].Address+expired, ""), http.StatusForbidden, "AccessDenied")
			target := c.readable(&s3.GetObjectInput{Bucket: &bucket, Key: some("foo")}, time.Minute)
			c.answers("for longer", c.presigned("GET", strings.Replace(target, "X-Amz-Expires=60", "X-Amz-Expires=6000", 1), ""), http.StatusForbidden, "SignatureDoesNotMatch")
			c.answers("another method", c.presigned("DELETE", target, ""), http.StatusForbidden, "SignatureDoesNotMatch")
			c.answers("another key", c.presigned("GET", strings.Replace(target, "/foo?", "/bar?", 1), ""), http.StatusForbidden, "SignatureDoesNotMatch")
			c.is("foo", c.get(bucket, "foo"), "foo")
		},
		"object_raw_get_x_amz_expires_out_positive_range": func(c *client) {
			bucket := c.filled("foo")
			target := c.readable(&s3.GetObjectInput{Bucket: &bucket, Key: some("foo")}, 604801*time.Second)
			c.answers("more than a week", c.presigned("GET", target, ""), http.StatusBadRequest, "AuthorizationQueryParametersError")
			parsed, err := url.Parse(target)
			c.must(err)
			for _, expires := range []string{"0", "-7", "x", "", "99999999999999999999"} {
				query := parsed.Query()
				query.Set("X-Amz-Expires", expires)
				c.answers("X-Amz-Expires="+expires, c.presigned("GET", parsed.Scheme+"://"+parsed.Host+parsed.Path+"?"+query.Encode(), ""), http.StatusBadRequest, "AuthorizationQueryParametersError")
			}
		},
		"object_put_authenticated": func(c *client) {
			bucket := c.bucket()
			target := c.writable(bucket, "foo", time.Minute).URL
			a := c.presigned("PUT", target, "bar")
			c.answers("PUT", a, http.StatusOK, "")
			c.is("ETag", a.Header.Get("ETag"), etagOf([]byte("bar")))
			c.is("foo", c.get(bucket, "foo"), "bar")
			c.answers("GET by what is for PUT", c.presigned("GET", target, ""), http.StatusForbidden, "SignatureDoesNotMatch")
			c.answers("unsigned", c.presigned("PUT", strings.Split(target, "?")[0], "baz"), http.StatusForbidden, "AccessDenied")
			c.is("foo", c.get(bucket, "foo"), "bar")
		},
	}
}

// bucketWithLines: a bucket is made by a request with these lines of its head.
func bucketWithLines(lines string) test {
	return func(c *client) {
		bucket := c.bucketName()
		c.answers(fmt.Sprintf("%q", lines), c.sent(s3client.Request{Method: "PUT", Bucket: bucket}, lines, ""), http.StatusOK, "")
		c.is("exists", c.bucketExists(bucket), true)
	}
}
