package s3api

import (
	"strings"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects"
)

// target is the bucket and key that a request names. Both empty: the service;
// an empty key: the bucket.
type target struct {
	bucket string
	key    string
}

// String returns the target as S3 writes a resource: "/bucket/key".
func (t target) String() string {
	if t.key == "" {
		return "/" + t.bucket
	}
	return "/" + t.bucket + "/" + t.key
}

// level says which kind of resource a request is about.
type level uint8

const (
	levelService level = iota
	levelBucket
	levelObject
)

func (t target) level() level {
	switch {
	case t.bucket == "":
		return levelService
	case t.key == "":
		return levelBucket
	default:
		return levelObject
	}
}

// addressing is how targets are written: below which prefix, and under which
// domains the first labels of a host are a bucket.
type addressing struct {
	prefix  string
	domains []string // lower case, each with a leading dot
}

func newAddressing(prefix string, domains []string) addressing {
	a := addressing{prefix: prefix}
	for _, d := range domains {
		a.domains = append(a.domains, "."+strings.ToLower(strings.TrimSuffix(d, ".")))
	}
	return a
}

// parse reads the target out of the request line's URI as it was sent, and of
// the host, and returns the query string, raw. The path is split before it is decoded and decoded once, so that
// "%2F" is part of a name; it is never cleaned, so that "..", "." and empty
// segments are part of a name too.
func (a addressing) parse(uri, host string) (at target, query string, err error) {
	if !strings.HasPrefix(uri, "/") || strings.Contains(uri, "#") {
		return target{}, "", refuse(codeInvalidURI, "the request target must be an absolute path")
	}
	path, query, _ := strings.Cut(uri, "?")
	at, err = a.parsePath(path, host)
	return at, query, err
}

func (a addressing) parsePath(path, host string) (target, error) {
	path, ok := strings.CutPrefix(path, a.prefix)
	if !ok || path != "" && path[0] != '/' {
		return target{}, refuse(codeInvalidURI, "the path is not below "+a.prefix)
	}
	path = strings.TrimPrefix(path, "/")

	bucket, key := a.bucketOf(host), path
	if bucket == "" {
		var slash bool
		bucket, key, slash = strings.Cut(path, "/")
		if bucket == "" && slash {
			return target{}, refuse(codeInvalidURI, "the bucket name is empty")
		}
		var err error
		if bucket, err = unescape(bucket, plusIsPlus); err != nil {
			return target{}, refuse(codeInvalidURI, "")
		}
	}
	if strings.Contains(bucket, "/") || !utf8.ValidString(bucket) {
		return target{}, refuse(codeInvalidBucketName, "")
	}
	key, err := unescape(key, plusIsPlus)
	if err != nil {
		return target{}, refuse(codeInvalidURI, "")
	}
	if key != "" {
		if err := checkKey(key); err != nil {
			return target{}, err
		}
	}
	return target{bucket: bucket, key: key}, nil
}

// bucketOf returns the bucket of a virtual-host style host, or "".
func (a addressing) bucketOf(host string) string {
	if len(a.domains) == 0 {
		return ""
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	bucket := ""
	for _, d := range a.domains {
		// The longest domain that matches leaves the shortest bucket:
		// of "example.com" and "s3.example.com" the latter.
		if b, ok := strings.CutSuffix(host, d); ok && b != "" && (bucket == "" || len(b) < len(bucket)) {
			bucket = b
		}
		if host == d[1:] {
			return ""
		}
	}
	return bucket
}

// checkKey says why S3 refuses the name of an object, or nil.
func checkKey(key string) error {
	switch {
	case len(key) > objects.MaxNameBytes:
		return refuse(codeKeyTooLong, "").with("Size", itoa(len(key))).with("MaxSizeAllowed", itoa(objects.MaxNameBytes))
	case objects.CheckName(key) != nil:
		return refuse(codeInvalidURI, "the key is not UTF-8")
	}
	return nil
}

// plus says what a plus sign means in percent-encoded text.
type plus bool

const (
	plusIsPlus  plus = false // in a path
	plusIsSpace plus = true  // in a query, as HTML forms write it
)

// errEscape is a percent sign that two hexadecimal digits do not follow.
const errEscape = escapeError("invalid percent-encoding")

type escapeError string

// Error implements error.
func (e escapeError) Error() string { return string(e) }

// unescape decodes percent-encoding once. It does not copy what has none.
func unescape(s string, p plus) (string, error) {
	if strings.IndexByte(s, '%') < 0 && (p == plusIsPlus || strings.IndexByte(s, '+') < 0) {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", errEscape
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 0 || low < 0 {
				return "", errEscape
			}
			out = append(out, byte(high<<4|low))
			i += 2
		case c == '+' && p == plusIsSpace:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
