package s3api

import (
	"crypto/md5" //nolint:gosec // S3's
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/checksum"
)

func md5Hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) } //nolint:gosec // S3's

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// sumOf is the value of a checksum header.
func sumOf(a checksum.Algorithm, s string) string {
	h := a.New()
	h.Write([]byte(s))
	return checksum.Of(a, h).String()
}

// A put object comes back byte for byte, with the headers that it was put with.
func TestPutGetHeadDelete(t *testing.T) {
	e := newEdge(t)
	e.put("photos/cat.jpg", "meow", "Content-Type: image/jpeg", "x-amz-meta-Owner: Ann", "x-amz-meta-empty:", "Cache-Control: no-cache",
		"Content-Disposition: inline", "Content-Language: en", "Content-Encoding: gzip", "Expires: soon").
		wantHeader("ETag", `"`+md5Hex("meow")+`"`)
	for _, method := range []string{get, head} {
		r := e.do(method, "/b/photos/cat.jpg", "").want(200).
			wantHeader("ETag", `"`+md5Hex("meow")+`"`).wantHeader("Content-Length", "4").wantHeader("Content-Type", "image/jpeg").
			wantHeader("Cache-Control", "no-cache").wantHeader("Content-Disposition", "inline").wantHeader("Content-Language", "en").
			wantHeader("Content-Encoding", "gzip").wantHeader("Expires", "soon").wantHeader("Accept-Ranges", "bytes").
			wantHeader("Last-Modified", "Wed, 04 Mar 2026 05:06:07 GMT").wantHeader("x-amz-meta-owner", "Ann").
			wantHeader("x-amz-request-id", "0123456789ABCDEF").wantHeader("x-amz-id-2", "host").
			wantHeader("x-amz-version-id", "").wantHeader("x-amz-checksum-crc64nvme", "")
		if v, ok := r.header["X-Amz-Meta-Empty"]; !ok || v[0] != "" {
			t.Errorf("%s: empty metadata came back as %q", method, v)
		}
		if method == get {
			r.wantBody("meow")
		} else {
			r.wantBody("")
		}
		for _, spelled := range []string{"\r\nETag: ", "\r\nx-amz-meta-owner: ", "\r\nx-amz-request-id: ", "\r\nLast-Modified: "} {
			if !strings.Contains(r.raw, spelled) {
				t.Errorf("%s: no header spelled %q in\n%s", method, spelled, r.raw)
			}
		}
	}
	e.do(remove, "/b/photos/cat.jpg", "").want(204).wantBody("")
	e.do(remove, "/b/photos/cat.jpg", "").want(204)
	if d := e.do(get, "/b/photos/cat.jpg", "").wantError(404, "NoSuchKey"); d.Key != "photos/cat.jpg" || d.Resource != "/b/photos/cat.jpg" {
		t.Errorf("the error is about %q, %q", d.Key, d.Resource)
	}
	e.do(head, "/b/photos/cat.jpg", "").want(404).wantBody("")
}

// The receipt of a write says what it reached, out of the gateway's answer.
func TestReceipt(t *testing.T) {
	e := newEdge(t)
	receipt := e.put("k", "meow").header.Get("X-Troupe-Receipt")
	o := e.model.buckets["b"].objects["k"].meta
	if want := fmt.Sprintf("class=synced; disks=1; nodes=1; generation=%s; xxhash=%016x", o.Generation, o.XXHash); receipt != want {
		t.Errorf("receipt %q, want %q", receipt, want)
	}
}

// object_bad_contenttype_none, _empty: no type is S3's own, not a guess.
func TestContentType(t *testing.T) {
	e := newEdge(t)
	e.put("none", "<html>")
	e.put("empty", "<html>", "Content-Type:")
	for _, name := range []string{"none", "empty"} {
		e.do(get, "/b/"+name, "").want(200).wantHeader("Content-Type", "binary/octet-stream")
	}
}

// Every name that S3 allows is stored, read, listed and deleted as it is.
func TestHostileKeys(t *testing.T) {
	e := newEdge(t)
	keys := []string{
		"..", ".", "../../etc/passwd", "a/../b", "a//b", "/a", "a/", "//", " ", "a b", "+", "a+b", "%", "%2F", "a%00", "&<>'\"", "\x00", "\x01\x1f\x7f",
		"\r\n", "caf\u00e9", "cafe\u0301", "\u65e5\u672c", "\U0001f600", "\ufffe", "\u202e", strings.Repeat("x", 1024), strings.Repeat("\u00e9", 512), ".troupe", "?", "#", "a?acl", "\\", "~", "*",
	}
	stored := map[string]bool{}
	for i, key := range keys {
		at := "/b/" + string(appendURL(nil, key))
		body := fmt.Sprint(i)
		e.do(put, at, body).want(200)
		e.do(get, at, "").want(200).wantBody(body)
		stored[key] = true
	}
	if n := len(e.model.buckets["b"].objects); n != len(stored) {
		t.Errorf("%d keys became %d objects", len(stored), n)
	}
	type listing struct {
		Contents []struct{ Key string }
	}
	listed := document[listing](e.do(get, "/b?encoding-type=url&list-type=2", "").want(200))
	for _, c := range listed.Contents {
		key, err := unescape(c.Key, plusIsSpace)
		if err != nil || !stored[key] {
			t.Errorf("listed %q, which was not stored (%v)", c.Key, err)
		}
		e.do(remove, "/b/"+c.Key, "").want(204)
	}
	if n := len(e.model.buckets["b"].objects); n != 0 || len(listed.Contents) != len(stored) {
		t.Errorf("%d of %d were listed, %d are left after deleting those", len(listed.Contents), len(stored), n)
	}
	e.do(put, "/b/%ff", "x").wantError(400, "InvalidURI")
	e.do(put, "/b/"+strings.Repeat("x", 1025), "x").wantError(400, "KeyTooLongError")
}

// What a client says about its payload is compared, whichever way it says it;
// a payload that differs is not stored.
func TestPutDigests(t *testing.T) {
	e := newEdge(t)
	const body, other = "hello", "jello"
	b64 := func(hexadecimal string) string {
		raw, err := hex.DecodeString(hexadecimal)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	refused := func(status int, code string, headers ...string) {
		t.Helper()
		e.do(put, "/b/k", body, headers...).wantError(status, code)
		e.do(head, "/b/k", "").want(404)
	}
	refused(400, "InvalidDigest", "Content-MD5: ")
	refused(400, "InvalidDigest", "Content-MD5: YWJj")
	refused(400, "InvalidDigest", "Content-MD5: !!")
	refused(400, "BadDigest", "Content-MD5: "+b64(md5Hex(other)))
	refused(400, "XAmzContentSHA256Mismatch", "x-amz-content-sha256: "+sha256Hex(other))
	for _, a := range checksum.Algorithms() {
		refused(400, "BadDigest", a.Header()+": "+sumOf(a, other))
		refused(400, "InvalidRequest", a.Header()+": x")
		refused(400, "InvalidRequest", a.Header()+": "+sumOf(a, body)+"-2")
		refused(400, "InvalidRequest", "x-amz-sdk-checksum-algorithm: "+a.String())
	}
	refused(400, "InvalidRequest", "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, body), "x-amz-checksum-sha1: "+sumOf(checksum.SHA1, body))
	refused(400, "InvalidRequest", "x-amz-checksum-crc99: "+sumOf(checksum.CRC32, body))
	refused(400, "InvalidRequest", "x-amz-trailer: x-amz-checksum-crc32")
	refused(400, "InvalidRequest", "x-amz-trailer: x-amz-acl")
	refused(400, "BadDigest", "x-amz-sdk-checksum-algorithm: SHA1", "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, body))

	e.put("k", body, "Content-MD5: "+b64(md5Hex(body)), "x-amz-content-sha256: "+sha256Hex(body)).
		wantHeader("x-amz-checksum-crc64nvme", sumOf(checksum.CRC64NVME, body)).wantHeader("x-amz-checksum-type", "FULL_OBJECT")
	for _, a := range checksum.Algorithms() {
		e.put("k", body, a.Header()+": "+sumOf(a, body), "x-amz-sdk-checksum-algorithm: "+a.String()).wantHeader(a.Header(), sumOf(a, body))
		for _, method := range []string{get, head} {
			e.do(method, "/b/k", "", "x-amz-checksum-mode: ENABLED").want(200).wantHeader(a.Header(), sumOf(a, body)).wantHeader("x-amz-checksum-type", "FULL_OBJECT")
			e.do(method, "/b/k", "").want(200).wantHeader(a.Header(), "")
		}
		e.do(get, "/b/k", "", "x-amz-checksum-mode: ENABLED", "Range: bytes=0-1").want(206).wantHeader(a.Header(), "")
	}
}

// chunked frames a payload as aws-chunked with an unsigned trailer.
func chunked(payload, trailer string) (body string, headers []string) {
	body = fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n\r\n", len(payload), payload, trailer)
	return body, []string{
		"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding: aws-chunked",
		fmt.Sprintf("x-amz-decoded-content-length: %d", len(payload)), "x-amz-trailer: x-amz-checksum-crc32",
	}
}

// object_content_encoding_aws_chunked: framing is removed from body and headers,
// and the trailing checksum is compared.
func TestPutAWSChunked(t *testing.T) {
	e := newEdge(t)
	body, headers := chunked("hello", "x-amz-checksum-crc32:"+sumOf(checksum.CRC32, "hello"))
	e.do(put, "/b/k", body, headers...).want(200).wantHeader("x-amz-checksum-crc32", sumOf(checksum.CRC32, "hello"))
	e.do(get, "/b/k", "").want(200).wantBody("hello").wantHeader("Content-Encoding", "")

	body, headers = chunked("hello", "x-amz-checksum-crc32:"+sumOf(checksum.CRC32, "jello"))
	e.do(put, "/b/bad", body, headers...).wantError(400, "BadDigest")
	body, headers = chunked("hello", "x-amz-checksum-crc32:nonsense")
	e.do(put, "/b/bad", body, headers...).wantError(400, "InvalidRequest")
	body, headers = chunked("hello", "x-amz-checksum-crc32:"+sumOf(checksum.CRC32, "hello"))
	e.do(put, "/b/bad", body, append(headers, "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, "hello"))...).wantError(400, "InvalidRequest")
	e.do(put, "/b/bad", body, headers[0], headers[1], headers[3]).wantError(411, "MissingContentLength")
	e.do(put, "/b/bad", body, headers[0], headers[1], "x-amz-decoded-content-length: 6", headers[3]).want(400)
	e.do(head, "/b/bad", "").want(404)

	for sent, kept := range map[string]string{"aws-chunked": "", "gzip": "gzip", "gzip, aws-chunked": "gzip", "AWS-Chunked,gzip": "gzip", "deflate, gzip, aws-chunked": "deflate, gzip", "gzip,br": "gzip,br"} {
		e.put("coded", "x", "Content-Encoding: "+sent)
		e.do(get, "/b/coded", "").want(200).wantHeader("Content-Encoding", kept)
	}
}

// A trailer must not pass for a header: headers are copied before the body.
func TestHTTPTrailersAreNotHeaders(t *testing.T) {
	e := newEdge(t)
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nTransfer-Encoding: chunked\r\nTrailer: x-amz-meta-evil\r\n\r\n" +
		"5\r\nhello\r\n0\r\nx-amz-meta-evil: yes\r\nx-amz-website-redirect-location: /x\r\n\r\n").want(200)
	e.do(get, "/b/k", "").want(200).wantBody("hello").wantHeader("x-amz-meta-evil", "").wantHeader("x-amz-website-redirect-location", "")
}

// object_write_with_chunked_transfer_encoding, contentlength_none: a length is
// needed unless the transfer coding brings its own.
func TestContentLength(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.ObjectBytes = 10 })
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").want(200)
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\n\r\n").wantError(411, "MissingContentLength")
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\ncontent-length:0\r\n\r\n").want(200)
	e.raw("PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nContent-Length: -1\r\n\r\n").wantError(400, "BadRequest")
	e.raw("PUT /b/big HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nContent-Length: 11\r\n\r\nhello world").wantError(400, "EntityTooLarge")
	e.raw("PUT /b/big HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n").wantError(400, "EntityTooLarge")
	e.do(head, "/b/big", "").want(404)
	e.raw("PUT /b/full HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nContent-Length: 10\r\n\r\nhelloworld").want(200)
}

// A body that ends early is not an object. The client is gone by then, so what
// counts is what is stored.
func TestShortBody(t *testing.T) {
	e := newEdge(t)
	conn, err := e.dial()
	if err != nil {
		t.Fatal(err)
	}
	// More than fasthttp reads ahead, so that the handler is called.
	if _, err := fmt.Fprintf(conn, "PUT /b/k HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 50_000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	e.do(head, "/b/k", "").want(404)
	if err := e.server.Shutdown(); err != nil { // waits for the handler
		t.Fatal(err)
	}
	if n := len(e.model.buckets["b"].objects); n != 0 {
		t.Errorf("%d objects out of half a body", n)
	}
}

// User metadata has S3's limit, and values come back as they were sent.
func TestMetadata(t *testing.T) {
	e := newEdge(t)
	e.put("k", "", "x-amz-meta-a: 1", "X-Amz-Meta-A: 2", "x-amz-meta-B-c: \u00e9 caf\u00e9")
	r := e.do(head, "/b/k", "").want(200).wantHeader("x-amz-meta-a", "1,2").wantHeader("x-amz-meta-b-c", "\u00e9 caf\u00e9")
	if !strings.Contains(r.raw, "\r\nx-amz-meta-b-c: ") {
		t.Errorf("metadata is not spelled in lower case:\n%s", r.raw)
	}
	e.put("k", "", "x-amz-meta-a: "+strings.Repeat("x", 2047))
	e.do(put, "/b/k", "", "x-amz-meta-a: "+strings.Repeat("x", 2048)).wantError(400, "MetadataTooLarge")
}

// Tags are kept in order, counted, and held to S3's limits.
func TestTagging(t *testing.T) {
	e := newEdge(t)
	e.put("k", "", "x-amz-tagging: a=1&b=two+words&c=%C3%A9&d")
	e.do(head, "/b/k", "").want(200).wantHeader("x-amz-tagging-count", "4")
	e.do(get, "/b/k?tagging", "").want(200).golden("tagging")
	e.put("none", "")
	e.do(get, "/b/none", "").want(200).wantHeader("x-amz-tagging-count", "")
	e.do(get, "/b/none?tagging", "").want(200).golden("tagging_empty")
	e.do(get, "/b/missing?tagging", "").wantError(404, "NoSuchKey")
	var ten []string
	for i := range 10 {
		ten = append(ten, fmt.Sprintf("k%d=v", i))
	}
	e.put("k", "", "x-amz-tagging: "+strings.Join(ten, "&"))
	for header, code := range map[string]string{
		strings.Join(ten, "&") + "&x=y": "BadRequest",
		"a=1&a=2":                       "InvalidTag",
		strings.Repeat("k", 129) + "=v": "InvalidTag",
		"k=" + strings.Repeat("v", 257): "InvalidTag",
		"aws:x=1":                       "InvalidTag",
		"a%00=1":                        "InvalidTag",
		"a=%ff":                         "InvalidTag",
		"=1":                            "InvalidArgument",
		"%zz=1":                         "InvalidArgument",
		strings.Repeat("%C3%A9", 128) + "=v&x=%3Cb%3E": "InvalidTag",
	} {
		e.do(put, "/b/bad", "", "x-amz-tagging: "+header).wantError(400, code)
	}
	e.put("k", "", "x-amz-tagging: "+strings.Repeat("%C3%A9", 128)+"="+strings.Repeat("v", 256))
}

// Tags of an object that is there are replaced as a set, and nothing else of it.
func TestTagsChange(t *testing.T) {
	e := newEdge(t)
	e.put("k", "payload", "x-amz-tagging: old=1", "x-amz-meta-kept: yes")
	document := func(tags ...string) string {
		var set strings.Builder
		for _, tag := range tags {
			name, value, _ := strings.Cut(tag, "=")
			set.WriteString("<Tag><Key>" + name + "</Key><Value>" + value + "</Value></Tag>")
		}
		return `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>` + set.String() + "</TagSet></Tagging>"
	}
	e.do(put, "/b/k?tagging", document("a=1", "b=two words", "c=é", "d=")).want(200)
	e.do(get, "/b/k?tagging", "").want(200).golden("tagging")
	e.do(get, "/b/k", "").want(200).wantHeader("x-amz-tagging-count", "4").wantHeader("x-amz-meta-kept", "yes").wantBody("payload")
	e.do(put, "/b/k?tagging", document()).want(200)
	e.do(get, "/b/k?tagging", "").want(200).golden("tagging_empty")
	e.do(put, "/b/k?tagging&versionId=null", document("x=y")).want(200)
	e.do(remove, "/b/k?tagging", "").want(204)
	e.do(get, "/b/k?tagging", "").want(200).golden("tagging_empty")

	e.do(put, "/b/k?tagging", document("kept=1")).want(200)
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf("k%d=v", i))
	}
	for text, code := range map[string]string{
		document(eleven...):                       "BadRequest",
		document("a=1", "a=2"):                    "InvalidTag",
		document("aws:x=1"):                       "InvalidTag",
		document("=1"):                            "InvalidTag",
		document("a=" + strings.Repeat("v", 257)): "InvalidTag",
		"":                                      "MalformedXML",
		"<Tagging/>":                            "MalformedXML",
		"<Other><TagSet/></Other>":              "MalformedXML",
		"<Tagging><TagSet/><TagSet/></Tagging>": "MalformedXML",
		"<Tagging><TagSet><Tag></TagSet></Tagging>": "MalformedXML",
	} {
		e.do(put, "/b/k?tagging", text).wantError(400, code)
	}
	e.do(get, "/b/k", "").want(200).wantHeader("x-amz-tagging-count", "1")
	e.do(put, "/b/missing?tagging", document("a=1")).wantError(404, "NoSuchKey")
	e.do(remove, "/b/missing?tagging", "").wantError(404, "NoSuchKey")
	e.do(put, "/b/k?tagging&versionId=other", document("a=1")).wantError(501, "NotImplemented")
}

// What S3 could do with an object and Troupe cannot is refused by name, before
// anything is stored.
func TestPutRefusals(t *testing.T) {
	e := newEdge(t)
	for header, want := range map[string]string{
		"x-amz-server-side-encryption: AES256":                       "501 NotImplemented",
		"x-amz-server-side-encryption-customer-algorithm: AES256":    "501 NotImplemented",
		"x-amz-object-lock-mode: GOVERNANCE":                         "400 InvalidRequest",
		"x-amz-object-lock-legal-hold: ON":                           "400 InvalidRequest",
		"x-amz-write-offset-bytes: 5":                                "501 NotImplemented",
		"x-amz-storage-class: GLACIER":                               "400 InvalidStorageClass",
		"x-amz-website-redirect-location: ftp://x":                   "400 InvalidRedirectLocation",
		"x-amz-acl: public-read":                                     "501 NotImplemented",
		"x-amz-acl: public-ready":                                    "400 InvalidArgument",
		"x-amz-acl:":                                                 "400 InvalidArgument",
		"x-amz-grant-read: id=x":                                     "501 NotImplemented",
		"x-amz-expected-bucket-owner: someone":                       "403 AccessDenied",
		"x-amz-copy-source: nonsense":                                "400 InvalidArgument",
		"x-amz-copy-source-server-side-encryption-customer-key: abc": "501 NotImplemented",
	} {
		r := e.do(put, "/b/k", "x", header)
		status, code, _ := strings.Cut(want, " ")
		if fmt.Sprint(r.status) != status {
			t.Errorf("%s: %d, want %s: %s", header, r.status, want, r.body)
			continue
		}
		r.wantError(r.status, code)
	}
	e.do(put, "/b/k?versionId=abc", "x").wantError(501, "NotImplemented")
	e.do(put, "/b/k?partNumber=1", "x").wantError(400, "InvalidArgument")
	e.do(put, "/missing/k", "x").wantError(404, "NoSuchBucket")
	if n := len(e.model.buckets["b"].objects); n != 0 {
		t.Fatalf("%d objects were stored all the same", n)
	}
	for _, header := range []string{"x-amz-acl: private", "x-amz-acl: bucket-owner-full-control", "x-amz-storage-class: STANDARD", "x-amz-expected-bucket-owner: owner", "x-amz-request-payer: requester", "x-amz-website-redirect-location: /elsewhere"} {
		e.put("k", "x", header)
	}
	e.do(get, "/b/k", "").want(200).wantHeader("x-amz-website-redirect-location", "/elsewhere")
}

// Ranges answer exactly the bytes that were asked for.
func TestRanges(t *testing.T) {
	e := newEdge(t)
	e.put("k", "0123456789")
	e.put("empty", "")
	for _, c := range []struct{ header, body, contentRange string }{
		{"bytes=0-0", "0", "bytes 0-0/10"},
		{"bytes=2-5", "2345", "bytes 2-5/10"},
		{"bytes=4-", "456789", "bytes 4-9/10"},
		{"bytes=-3", "789", "bytes 7-9/10"},
		{"bytes=5-100", "56789", "bytes 5-9/10"},
		{"bytes=-100", "0123456789", "bytes 0-9/10"},
		{"bytes=0-9", "0123456789", "bytes 0-9/10"},
	} {
		e.do(get, "/b/k", "", "Range: "+c.header).want(206).wantBody(c.body).wantHeader("Content-Range", c.contentRange).wantHeader("Content-Length", fmt.Sprint(len(c.body)))
		e.do(head, "/b/k", "", "Range: "+c.header).want(206).wantHeader("Content-Range", c.contentRange).wantHeader("Content-Length", fmt.Sprint(len(c.body)))
	}
	for _, ignored := range []string{"bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes"} {
		e.do(get, "/b/k", "", "Range: "+ignored).want(200).wantBody("0123456789").wantHeader("Content-Range", "")
	}
	for _, c := range []struct{ name, header, contentRange string }{
		{"k", "bytes=10-", "bytes */10"}, {"k", "bytes=-0", "bytes */10"}, {"empty", "bytes=0-", "bytes */0"}, {"empty", "bytes=-1", "bytes */0"},
	} {
		e.do(get, "/b/"+c.name, "", "Range: "+c.header).wantHeader("Content-Range", c.contentRange).wantError(416, "InvalidRange")
		e.do(head, "/b/"+c.name, "", "Range: "+c.header).want(416)
	}
	etag := `"` + md5Hex("0123456789") + `"`
	e.do(get, "/b/k", "", "Range: bytes=0-1", "If-Range: "+etag).want(206)
	e.do(get, "/b/k", "", "Range: bytes=0-1", `If-Range: "other"`).want(200).wantBody("0123456789")
	e.do(get, "/b/k", "", "Range: bytes=0-1", "If-Range: Wed, 04 Mar 2026 05:06:07 GMT").want(206)
	e.do(get, "/b/k", "", "Range: bytes=0-1", "If-Range: Wed, 04 Mar 2026 05:06:08 GMT").want(200)
}

// get_object_if…: conditional reads, in RFC 9110's order.
func TestConditionalReads(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x", "Cache-Control: max-age=1")
	etag := `"` + md5Hex("x") + `"`
	const before, same, after = "Tue, 03 Mar 2026 05:06:07 GMT", "Wed, 04 Mar 2026 05:06:07 GMT", "Thu, 05 Mar 2026 05:06:07 GMT"
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"If-Match: " + etag}, 200},
		{[]string{"If-Match: *"}, 200},
		{[]string{`If-Match: "a", ` + etag}, 200},
		{[]string{`If-Match: "a"`, "If-Match: " + etag}, 200},
		{[]string{`If-Match: "a"`}, 412},
		{[]string{"If-None-Match: " + etag}, 304},
		{[]string{"If-None-Match: *"}, 304},
		{[]string{`If-None-Match: "a"`}, 200},
		{[]string{"If-Modified-Since: " + before}, 200},
		{[]string{"If-Modified-Since: " + same}, 304},
		{[]string{"If-Modified-Since: " + after}, 304},
		{[]string{"If-Modified-Since: yesterday"}, 200},
		{[]string{"If-Modified-Since: Thursday, 05-Mar-26 05:06:07 GMT"}, 304},
		{[]string{"If-Modified-Since: Thu Mar  5 05:06:07 2026"}, 304},
		{[]string{"If-Unmodified-Since: " + before}, 412},
		{[]string{"If-Unmodified-Since: " + same}, 200},
		{[]string{"If-Match: " + etag, "If-Unmodified-Since: " + before}, 200},
		{[]string{`If-None-Match: "a"`, "If-Modified-Since: " + after}, 200},
		{[]string{"If-Match: " + etag, "If-None-Match: " + etag}, 304},
	} {
		for _, method := range []string{get, head} {
			r := e.do(method, "/b/k", "", c.headers...)
			if r.status != c.status {
				t.Errorf("%s with %q: %d, want %d", method, c.headers, r.status, c.status)
			}
			switch {
			case r.status == 304:
				r.wantBody("").wantHeader("ETag", etag).wantHeader("Cache-Control", "max-age=1").wantHeader("Content-Length", "")
			case r.status == 412 && method == get:
				r.wantError(412, "PreconditionFailed")
			}
		}
	}
	if d := e.do(get, "/b/k", "", "If-Unmodified-Since: "+before).wantError(412, "PreconditionFailed"); d.Condition != "If-Unmodified-Since" {
		t.Errorf("condition %q", d.Condition)
	}
}

// put_object_if_match and its kin.
func TestConditionalWrites(t *testing.T) {
	e := newEdge(t)
	e.do(put, "/b/k", "x", "If-Match: *").wantError(404, "NoSuchKey")
	e.put("k", "x", "If-None-Match: *")
	e.do(put, "/b/k", "y", "If-None-Match: *").wantError(412, "PreconditionFailed")
	e.do(put, "/b/k", "y", `If-Match: "other"`).wantError(412, "PreconditionFailed")
	e.put("k", "y", `If-Match: "`+md5Hex("x")+`"`)
	e.do(get, "/b/k", "").want(200).wantBody("y")
	e.do(remove, "/b/k", "", `If-Match: "other"`).wantError(412, "PreconditionFailed")
	e.do(remove, "/b/k", "", "x-amz-if-match-size: 2").wantError(412, "PreconditionFailed")
	e.do(remove, "/b/k", "", "x-amz-if-match-size: two").wantError(400, "InvalidArgument")
	e.do(remove, "/b/k", "", "x-amz-if-match-last-modified-time: once").wantError(400, "InvalidArgument")
	e.do(remove, "/b/k", "", "x-amz-if-match-last-modified-time: Wed, 04 Mar 2026 05:06:08 GMT").wantError(412, "PreconditionFailed")
	e.do(remove, "/b/k", "", `If-Match: "`+md5Hex("y")+`"`, "x-amz-if-match-size: 1", "x-amz-if-match-last-modified-time: Wed, 04 Mar 2026 05:06:07 GMT").want(204)
	e.do(remove, "/b/k", "", "If-Match: *").wantError(404, "NoSuchKey")
}

// object_raw_response_headers: a signed request may override content headers,
// and cannot smuggle others in.
func TestResponseOverrides(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x", "Content-Type: a/b", "Cache-Control: no-cache")
	query := "/b/k?response-content-type=foo/bar&response-cache-control=no-store&response-content-disposition=bla%3B+x&response-content-encoding=aaa&response-content-language=esperanto&response-expires=123"
	for _, method := range []string{get, head} {
		e.do(method, query, "").want(200).wantHeader("Content-Type", "foo/bar").wantHeader("Cache-Control", "no-store").wantHeader("Content-Disposition", "bla; x").
			wantHeader("Content-Encoding", "aaa").wantHeader("Content-Language", "esperanto").wantHeader("Expires", "123")
	}
	e.do(get, "/b/k?response-content-type=a%0d%0aEvil:1", "").wantError(400, "InvalidArgument")
	e.anonymous(get, query, "").wantError(403, "AccessDenied")
}

// get_object_attributes: those that were asked for, and no others.
func TestAttributes(t *testing.T) {
	e := newEdge(t)
	e.put("k", "hello")
	e.do(get, "/b/k?attributes", "", "x-amz-object-attributes: ETag,Checksum,ObjectParts,StorageClass,ObjectSize").want(200).
		wantHeader("Last-Modified", "Wed, 04 Mar 2026 05:06:07 GMT").golden("attributes")
	e.do(get, "/b/k?attributes", "", "x-amz-object-attributes: ETag", "x-amz-object-attributes: ObjectSize").want(200).golden("attributes_two")
	e.do(get, "/b/k?attributes", "").wantError(400, "InvalidRequest")
	e.do(get, "/b/k?attributes", "", "x-amz-object-attributes: Colour").wantError(400, "InvalidArgument")
	e.do(get, "/b/missing?attributes", "", "x-amz-object-attributes: ETag").wantError(404, "NoSuchKey")
}

// Versions other than null do not exist yet; the null version is the object.
func TestVersionID(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	e.do(get, "/b/k?versionId=null", "").want(200)
	e.do(head, "/b/k?versionId=null", "").want(200)
	e.do(get, "/b/k?versionId=abc", "").wantError(501, "NotImplemented")
	e.do(get, "/b/k?versionId=", "").wantError(400, "InvalidArgument")
	e.do(remove, "/b/k?versionId=abc", "").wantError(501, "NotImplemented")
	e.do(remove, "/b/k?versionId=null", "").want(204)
	e.do(get, "/b/k", "").wantError(404, "NoSuchKey")
}

// The answer to HEAD never has a body, whatever goes wrong.
func TestHeadErrorsHaveNoBody(t *testing.T) {
	e := newEdge(t)
	for target, status := range map[string]int{"/missing": 404, "/b/missing": 404, "/b/%zz": 400, "/": 405, "/b?policy": 405} {
		r := e.do(head, target, "").want(status).wantBody("")
		if r.header.Get("X-Amz-Request-Id") == "" {
			t.Errorf("HEAD %s names no request", target)
		}
	}
	e.anonymous(head, "/b", "").want(http.StatusForbidden).wantBody("")
}
