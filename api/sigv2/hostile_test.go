package sigv2

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"testing"
)

const signedDate = "Thu, 29 Feb 2024 12:34:56 GMT"

// signedAs signs a string with a secret.
func signedAs(secret, toSign string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(toSign))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// A request whose string to sign is that of another one is not that one: a stranger who
// has a link, or saw a request, may send what reads the same and means something else.
func TestTwofold(t *testing.T) {
	_, v, _ := vectors(t)
	secret, _ := v.options.Secret("AKIDTROUPE")
	v = NewVerifier(Options{Secret: v.options.Secret, Now: v.options.Now, Domains: []string{"s3.example", "example.com.", "s3.example.com"}})
	header := func(toSign string) [2]string {
		return [2]string{"Authorization", "AWS AKIDTROUPE:" + signedAs(secret, toSign)}
	}
	link := func(toSign string) string {
		return "AWSAccessKeyId=AKIDTROUPE&Expires=1709210097&Signature=" + url.QueryEscape(signedAs(secret, toSign))
	}
	date := [2]string{"Date", signedDate}
	const (
		copies   = "PUT\n\n\n" + signedDate + "\nx-amz-copy-source:/b/source\n/b/k"
		copyLink = "PUT\n\n\n1709210097\nx-amz-copy-source:/b/source\n/b/k"
		both     = "PUT\n\n\n1709210097\nx-amz-acl:private\nx-amz-copy-source:/b/source\n/b/k"
		summed   = "PUT\n1B2M2Y8AsgTpgAmY7PhCfg==\n\n" + signedDate + "\n/b/k"
		sumLink  = "PUT\n1B2M2Y8AsgTpgAmY7PhCfg==\n\n1709210097\n/b/k"
		commas   = "PUT\n\n\n" + signedDate + "\nx-amz-copy-source:/b/a,/b/c\n/b/k"
		read     = "GET\n\n\n" + signedDate + "\n/b/k"
		version  = "GET\n\n\n" + signedDate + "\n/b/k?response-content-type=a&versionId=old"
		inHost   = "GET\n\n\n" + signedDate + "\n/bucket/k"
	)
	for _, c := range []struct {
		name   string
		signed wire // is accepted
		forged wire // has the same signature
	}{
		{
			"a copy as an upload",
			wire{Method: "PUT", Path: "/b/k", Headers: [][2]string{{"x-amz-copy-source", "/b/source"}, date, header(copies)}},
			wire{Method: "PUT", Path: "/b/k", Query: "x-amz-copy-source=/b/source", Headers: [][2]string{date, header(copies)}},
		}, {
			"a link to copy as one to upload",
			wire{Method: "PUT", Path: "/b/k", Query: link(copyLink), Headers: [][2]string{{"x-amz-copy-source", "/b/source"}}},
			wire{Method: "PUT", Path: "/b/k", Query: "x-amz-copy-source=/b/source&" + link(copyLink)},
		}, {
			"two headers in one parameter",
			wire{Method: "PUT", Path: "/b/k", Query: link(both), Headers: [][2]string{{"x-amz-acl", "private"}, {"x-amz-copy-source", "/b/source"}}},
			wire{Method: "PUT", Path: "/b/k", Query: "x-amz-acl=private%0Ax-amz-copy-source:/b/source&" + link(both)},
		}, {
			"a checksum that nobody compares",
			wire{Method: "PUT", Path: "/b/k", Headers: [][2]string{{"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}, date, header(summed)}},
			wire{Method: "PUT", Path: "/b/k", Query: "content-md5=1B2M2Y8AsgTpgAmY7PhCfg%3D%3D", Headers: [][2]string{date, header(summed)}},
		}, {
			"a checksum of a link that nobody compares",
			wire{Method: "PUT", Path: "/b/k", Query: link(sumLink), Headers: [][2]string{{"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}}},
			wire{Method: "PUT", Path: "/b/k", Query: "content-md5=1B2M2Y8AsgTpgAmY7PhCfg%3D%3D&" + link(sumLink)},
		}, {
			"one header as two",
			wire{Method: "PUT", Path: "/b/k", Headers: [][2]string{{"x-amz-copy-source", "/b/a,/b/c"}, date, header(commas)}},
			wire{Method: "PUT", Path: "/b/k", Headers: [][2]string{{"x-amz-copy-source", "/b/a"}, {"x-amz-copy-source", "/b/c"}, date, header(commas)}},
		}, {
			"a version as a part of another value",
			wire{Method: "GET", Path: "/b/k", Query: "versionId=old&response-content-type=a", Headers: [][2]string{date, header(version)}},
			wire{Method: "GET", Path: "/b/k", Query: "response-content-type=a%26versionId=old", Headers: [][2]string{date, header(version)}},
		}, {
			"a path as a key of another bucket",
			wire{Method: "GET", Path: "/b/k", Host: "s3.example", Headers: [][2]string{date, header(read)}},
			wire{Method: "GET", Path: "/b/k", Host: "victim.s3.example.", Headers: [][2]string{date, header(read)}},
		}, {
			"a path below a domain with a dot",
			wire{Method: "GET", Path: "/b/k", Host: "s3.example.com:9000", Headers: [][2]string{date, header(read)}},
			wire{Method: "GET", Path: "/b/k", Host: "victim.example.com", Headers: [][2]string{date, header(read)}},
		}, {
			"a bucket of the longest domain",
			wire{Method: "GET", Path: "/k", Host: "bucket.s3.example.com.:9000", Headers: [][2]string{date, header(inHost)}},
			wire{Method: "GET", Path: "/bucket/k", Host: "bucket.s3.example.com.:9000", Headers: [][2]string{date, header(inHost)}},
		},
	} {
		if _, err := v.Verify(c.signed.request()); err != nil {
			t.Errorf("%s: what was signed is refused: %v", c.name, err)
		}
		if id, err := v.Verify(c.forged.request()); err == nil || id.AccessKey != "" {
			t.Errorf("%s: accepted", c.name)
		}
	}
	for value, several := range map[string]bool{`attachment; filename="a&b"`: false, "versionId": false, "a&acl": true, "a&b&versionId=1": true, "&": false} {
		if isSeveral(value) != several {
			t.Errorf("%q", value)
		}
	}
	plain := wire{Method: "GET", Path: "/b/k", Headers: [][2]string{date, header(read)}}
	if id, err := v.Verify(plain.request()); err != nil || !id.Version2 {
		t.Errorf("%+v, %v", id, err)
	}
}
