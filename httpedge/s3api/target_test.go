package s3api

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
)

// A target names exactly the bytes that the client meant: decoded once, never
// cleaned, never split at an encoded slash.
func TestTarget(t *testing.T) {
	plain := newAddressing("", []string{"localhost", "s3.example.com", "example.com"})
	below := newAddressing("/s3", nil)
	long := strings.Repeat("k", objects.MaxNameBytes)
	for _, c := range []struct {
		name        string
		addressing  addressing
		uri, host   string
		bucket, key string
		code        string
	}{
		{name: "service", addressing: plain, uri: "/", host: "localhost"},
		{name: "service with query", addressing: plain, uri: "/?x-id=ListBuckets", host: "localhost:9000"},
		{name: "bucket", addressing: plain, uri: "/b", host: "localhost", bucket: "b"},
		{name: "bucket with slash", addressing: plain, uri: "/b/", host: "localhost", bucket: "b"},
		{name: "object", addressing: plain, uri: "/b/k?acl", host: "localhost", bucket: "b", key: "k"},
		{name: "slash at the end", addressing: plain, uri: "/b/k/", bucket: "b", key: "k/"},
		{name: "leading slash in the key", addressing: plain, uri: "/b//k", bucket: "b", key: "/k"},
		{name: "double slash", addressing: plain, uri: "/b/a//k", bucket: "b", key: "a//k"},
		{name: "dots", addressing: plain, uri: "/b/../c/./k", bucket: "b", key: "../c/./k"},
		{name: "encoded dots", addressing: plain, uri: "/b/..%2f..%2fetc", bucket: "b", key: "../../etc"},
		{name: "encoded once", addressing: plain, uri: "/b/a%252Fb", bucket: "b", key: "a%2Fb"},
		{name: "plus is plus", addressing: plain, uri: "/b/a+b%2B%20c", bucket: "b", key: "a+b+ c"},
		{name: "control bytes", addressing: plain, uri: "/b/%00%01%7f", bucket: "b", key: "\x00\x01\x7f"},
		{name: "raw UTF-8", addressing: plain, uri: "/b/\u00e9", bucket: "b", key: "\u00e9"},
		{name: "question mark in the key", addressing: plain, uri: "/b/a%3Fb", bucket: "b", key: "a?b"},
		{name: "semicolon and equals", addressing: plain, uri: "/b/a;b=c&d", bucket: "b", key: "a;b=c&d"},
		{name: "longest key", addressing: plain, uri: "/b/" + long, bucket: "b", key: long},
		{name: "longest key, encoded", addressing: plain, uri: "/b/" + strings.Repeat("%6B", objects.MaxNameBytes), bucket: "b", key: long},

		{name: "virtual host", addressing: plain, uri: "/k", host: "b.localhost:9000", bucket: "b", key: "k"},
		{name: "virtual host, bucket", addressing: plain, uri: "/", host: "b.s3.example.com", bucket: "b"},
		{name: "virtual host, upper case", addressing: plain, uri: "/", host: "B.S3.Example.COM", bucket: "b"},
		{name: "virtual host, dotted bucket", addressing: plain, uri: "/k", host: "my.b.localhost", bucket: "my.b", key: "k"},
		{name: "virtual host, leading slash", addressing: plain, uri: "//k", host: "b.localhost", bucket: "b", key: "/k"},
		{name: "the domain itself", addressing: plain, uri: "/b/k", host: "s3.example.com", bucket: "b", key: "k"},
		{name: "a foreign host", addressing: plain, uri: "/b/k", host: "10.0.0.1:9000", bucket: "b", key: "k"},
		{name: "IPv6", addressing: plain, uri: "/b/k", host: "[::1]:9000", bucket: "b", key: "k"},
		{name: "a host that only ends alike", addressing: plain, uri: "/b/k", host: "notlocalhost", bucket: "b", key: "k"},

		{name: "prefix, service", addressing: below, uri: "/s3", host: "h"},
		{name: "prefix, service with slash", addressing: below, uri: "/s3/", host: "h"},
		{name: "prefix, object", addressing: below, uri: "/s3/b/k", host: "h", bucket: "b", key: "k"},

		{name: "prefix that only begins alike", addressing: below, uri: "/s3x/b", code: codeInvalidURI},
		{name: "not below the prefix", addressing: below, uri: "/b/k", code: codeInvalidURI},
		{name: "absolute form", addressing: plain, uri: "http://other/b/k", code: codeInvalidURI},
		{name: "asterisk", addressing: plain, uri: "*", code: codeInvalidURI},
		{name: "fragment", addressing: plain, uri: "/b/k#x", code: codeInvalidURI},
		{name: "bad escape", addressing: plain, uri: "/b/%zz", code: codeInvalidURI},
		{name: "cut escape", addressing: plain, uri: "/b/a%2", code: codeInvalidURI},
		{name: "bad escape in the bucket", addressing: plain, uri: "/%zz/k", code: codeInvalidURI},
		{name: "no bucket", addressing: plain, uri: "//k", code: codeInvalidURI},
		{name: "encoded slash in the bucket", addressing: plain, uri: "/a%2Fb/k", code: codeInvalidBucketName},
		{name: "not UTF-8", addressing: plain, uri: "/b/%ff", code: codeInvalidURI},
		{name: "surrogates", addressing: plain, uri: "/b/%ed%a0%80", code: codeInvalidURI},
		{name: "too long", addressing: plain, uri: "/b/" + long + "k", code: codeKeyTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := c.addressing.parse(c.uri, c.host)
			if c.code != "" {
				var e *Error
				if !errors.As(err, &e) || e.Code != c.code {
					t.Fatalf("%q: %v, want %s", c.uri, err, c.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := (target{c.bucket, c.key}); got != want {
				t.Errorf("%q at %q is %q, want %q", c.uri, c.host, got, want)
			}
		})
	}
}

// Whatever is written as a target is refused or names a key that the object
// store takes, and writing that key in encoded form gives the same target.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "/b", "/b/k", "/b/..%2f..%2fetc", "/b/%00", "//", "/b/%", "/%2f", "/b/\xff", "/b/k?x#y"} {
		f.Add(seed, "b.localhost")
		f.Add(seed, "localhost:1")
	}
	a := newAddressing("", []string{"localhost"})
	f.Fuzz(func(t *testing.T, uri, host string) {
		allocation.Check(t, len(uri)+len(host), memoryBase, func() { _, _, _ = a.parse(uri, host) })
		got, _, err := a.parse(uri, host)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v has no code", uri, err)
			}
			if _, known := answerOf(e.Code); !known {
				t.Fatalf("%q: code %s is not in the table", uri, e.Code)
			}
			return
		}
		if !utf8.ValidString(got.bucket) || strings.Contains(got.bucket, "/") {
			t.Fatalf("%q at %q: bucket %q", uri, host, got.bucket)
		}
		if got.key != "" && objects.CheckName(got.key) != nil {
			t.Fatalf("%q: key %q: %v", uri, got.key, objects.CheckName(got.key))
		}
		if got.bucket == "" && got.key != "" {
			t.Fatalf("%q: a key %q without a bucket", uri, got.key)
		}
		if got.bucket == "" {
			return
		}
		again, _, err := a.parse("/"+string(appendURL(nil, got.bucket))+"/"+string(appendURL(nil, got.key)), "elsewhere")
		if err != nil || again != got {
			t.Fatalf("%q is %q, and written out %q (%v)", uri, got, again, err)
		}
	})
}
