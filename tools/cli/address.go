package cli

import (
	"strings"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects"
)

// scheme begins the address of everything remote.
const scheme = "troupe://"

// address is one end of a transfer: an object or prefix of a bucket, a local
// path, or a stream.
type address struct {
	remote bool
	bucket string
	key    string // or the prefix
	local  string // "-": standard input or output
}

// String returns the address as it is written.
func (a address) String() string {
	if a.remote {
		return s3.Address(a.bucket, a.key)
	}
	return a.local
}

// stream says whether the address is standard input or output.
func (a address) stream() bool { return !a.remote && a.local == "-" }

// directory says whether a remote address is a bucket or a prefix that ends with "/".
func (a address) directory() bool { return a.remote && (a.key == "" || strings.HasSuffix(a.key, "/")) }

// parseAddress reads an address: troupe://BUCKET/KEY, a local path, or "-".
func parseAddress(text string) (address, error) {
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		if strings.HasPrefix(text, "s3://") {
			return address{}, Usage("%s: remote addresses begin with %s: %s%s", text, scheme, scheme, text[len("s3://"):])
		}
		if text == "" {
			return address{}, Usage("an address is empty")
		}
		return address{local: text}, nil
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" && key != "" {
		return address{}, Usage("%s has no bucket: %sBUCKET/KEY", text, scheme)
	}
	if len(key) > objects.MaxNameBytes {
		return address{}, Usage("the key has %d bytes; at most %d are possible", len(key), objects.MaxNameBytes)
	}
	return address{remote: true, bucket: bucket, key: key}, nil
}

// parseRemote reads an address that must be remote and have a bucket.
func parseRemote(text string) (address, error) {
	a, err := parseAddress(text)
	switch {
	case err != nil:
		return address{}, err
	case !a.remote:
		return address{}, Usage("%q is no remote address: %sBUCKET/KEY", text, scheme)
	case a.bucket == "":
		return address{}, Usage("%s has no bucket: %sBUCKET/KEY", text, scheme)
	}
	return a, nil
}

// parseObject reads an address that must name an object.
func parseObject(text string) (address, error) {
	a, err := parseRemote(text)
	if err == nil && a.key == "" {
		err = Usage("%s names a bucket, and an object is needed: %sBUCKET/KEY", text, scheme)
	}
	return a, err
}

// parseBucket reads an address that must name a bucket; the scheme may be left out.
func parseBucket(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = scheme + text
	}
	a, err := parseRemote(text)
	if err == nil && a.key != "" {
		err = Usage("%s names an object, and a bucket is needed: %sBUCKET", text, scheme)
	}
	return a.bucket, err
}

// below returns the prefix of everything below an address: the key as a directory.
func (a address) below() string {
	if a.key == "" || strings.HasSuffix(a.key, "/") {
		return a.key
	}
	return a.key + "/"
}
