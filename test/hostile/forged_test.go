package hostile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// Requests that the owner did not sign, or not like this, or not now, are
// refused and change nothing.
func TestForgedRequests(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	now := time.Now()
	put := s3client.Request{Method: "PUT", Bucket: bucket, Key: "before"}
	whole := a.head(put, "Content-Length: 6") + "forged"
	turn := func(old, next string) string {
		changed := strings.Replace(whole, old, next, 1)
		if changed == whole {
			t.Fatalf("nothing to change: %q in %q", old, whole)
		}
		return changed
	}
	with := func(c *s3client.Client, r s3client.Request) string {
		head, _, err := c.Head(r)
		if err != nil {
			t.Fatal(err)
		}
		return head + "Content-Length: 6\r\n\r\nforged"
	}
	stranger := s3client.New(a.node.S3, sigv4.Credentials{AccessKey: "stranger", SecretKey: "some-secret"})
	wrong := s3client.New(a.node.S3, sigv4.Credentials{AccessKey: process.Keys().AccessKey, SecretKey: "not-the-secret"})
	at := func(when time.Time) s3client.Request {
		r := put
		r.At = when
		return r
	}
	elsewhere := a.head(s3client.Request{Method: "PUT", Bucket: bucket, Key: "elsewhere"}, "Content-Length: 6") + "forged"
	host := "Host: " + a.node.S3 + "\r\n"
	line := func(target string) string {
		return "PUT " + target + " HTTP/1.1\r\n" + host + "Content-Length: 6\r\n\r\nforged"
	}
	presigned := func(r s3client.Request, expires time.Duration) string {
		target, err := a.client.Presign(r, expires)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	valid := presigned(put, time.Minute)
	cases := map[string]string{
		"unsigned":               line("/arena/before"),
		"unsigned bucket":        "PUT /forged-bucket HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
		"a stranger":             with(stranger, put),
		"a wrong secret":         with(wrong, put),
		"an old date":            with(a.client, at(now.Add(-16*time.Minute))),
		"a date to come":         with(a.client, at(now.Add(16*time.Minute))),
		"a replay of yesterday":  with(a.client, at(now.Add(-24*time.Hour))),
		"another method":         turn("PUT ", "POST "),
		"another key":            strings.Replace(elsewhere, "/arena/elsewhere", "/arena/before", 1),
		"another query":          turn("/arena/before ", "/arena/before?acl= "),
		"another host":           turn("Host: "+a.node.S3, "Host: 127.0.0.1:1"),
		"another payload mode":   turn("UNSIGNED-PAYLOAD", strings.Repeat("0", 64)),
		"another date":           turn("x-amz-date: 2", "x-amz-date: 3"),
		"one more x-amz header":  turn("\r\nContent-Length", "\r\nx-amz-acl: public-read-write\r\nContent-Length"),
		"a signature cut":        turn("Signature=", "Signature=\r\nX-Rest: "),
		"no signed headers":      turn("SignedHeaders=host;x-amz-content-sha256;x-amz-date", "SignedHeaders="),
		"host not signed":        turn("SignedHeaders=host;", "SignedHeaders="),
		"another region":         turn("/us-east-1/", "/eu-west-1/"),
		"another service":        turn("/s3/", "/ec2/"),
		"basic authentication":   turn("AWS4-HMAC-SHA256 ", "Basic "),
		"two authorizations":     turn("authorization: ", "authorization: AWS4-HMAC-SHA256 Credential=x\r\nauthorization: "),
		"signature in both":      strings.Replace(whole, "PUT /arena/before ", "PUT "+valid+" ", 1),
		"presigned, expired":     line(presigned(at(now.Add(-2*time.Minute)), time.Minute)),
		"presigned, to come":     line(presigned(at(now.Add(20*time.Minute)), time.Hour)),
		"presigned, longer":      line(strings.Replace(valid, "X-Amz-Expires=60", "X-Amz-Expires=600", 1)),
		"presigned, for a GET":   line(presigned(s3client.Request{Method: "GET", Bucket: bucket, Key: "before"}, time.Minute)),
		"presigned, another key": line(strings.Replace(presigned(s3client.Request{Method: "PUT", Bucket: bucket, Key: "elsewhere"}, time.Minute), "elsewhere", "before", 1)),
		"presigned, cut":         line(valid[:len(valid)-1]),
		"presigned, twice":       line(valid + "&X-Amz-Signature=" + strings.Repeat("0", 64)),
		"presigned, more":        line(valid + "&versionId=null"),
	}
	for name, text := range cases {
		answer := a.exchange(text)
		if answer == nil {
			t.Errorf("%s: no answer", name)
			continue
		}
		a.refused(name, answer)
		if got := a.get("before"); string(got.Body) != "before" {
			t.Fatalf("%s was accepted: %q", name, got.Body)
		}
	}
	a.holds()
	// Negative controls: the same requests, not forged, do what they say.
	if answer := a.exchange(line(valid)); answer == nil || !answer.OK() || string(a.get("before").Body) != "forged" {
		t.Errorf("negative control: a valid presigned request: %v", answer)
	}
	if answer := a.exchange(with(a.client, put)); answer == nil || !answer.OK() {
		t.Errorf("negative control: a valid request: %v", answer)
	}
	a.ok("put", "before", a.put("before", []byte("before"), objects.Pair{Name: "x-amz-acl", Value: "private"}))
	a.end()
}
