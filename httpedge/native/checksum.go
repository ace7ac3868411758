package native

import (
	"crypto/md5" //nolint:gosec // a client may declare its MD5; nothing of ours relies on it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/OneOfOne/xxhash"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// checksumOf is the type and value that an object shows; empty for one of several
// parts whose uploader gave no checksum of the whole.
func checksumOf(meta *objects.Meta) (kind, value string) {
	if meta.Where != objects.Chunks {
		return checksumType, fmt.Sprintf("%016x", meta.XXHash)
	}
	if v, ok := checksum.Find(meta.Checksums, checksum.CRC32C); ok && v.Type == checksum.FullObject {
		return "crc32c", hex.EncodeToString([]byte(v.Sum))
	}
	return "", ""
}

// declared is what a client says its payload's checksum is.
type declared struct {
	kind, value string // value in lower case; empty: nothing is declared
}

// declaredChecksum reads Ais-Checksum-Type and Ais-Checksum-Value.
func (r *Request) declaredChecksum() (declared, error) {
	d := declared{kind: r.Header("Ais-Checksum-Type"), value: strings.ToLower(r.Header("Ais-Checksum-Value"))}
	switch {
	case d.kind == "" && d.value != "":
		return d, Refuse(fasthttp.StatusBadRequest, "", "header Ais-Checksum-Value is given without Ais-Checksum-Type")
	case d.kind == "" || d.kind == "none" || d.value == "":
		return declared{}, nil
	case newChecksum(d.kind) == nil:
		return d, Refuse(fasthttp.StatusBadRequest, "", "invalid checksum type %q: it is one of %s", d.kind, checksumTypes)
	}
	return d, nil
}

// is reports whether an object is known to have the declared checksum.
func (d declared) is(meta *objects.Meta) bool {
	kind, value := checksumOf(meta)
	return kind == checksumType && (d.kind == checksumType || d.kind == "xxhash") && d.value == value
}

// checksumTypes are AIStore's, for people.
const checksumTypes = "none, xxhash, xxhash2, md5, crc32c, sha256, sha512"

// newChecksum begins a checksum of AIStore's name; nil if there is none of it.
func newChecksum(kind string) hash.Hash {
	switch kind {
	case "xxhash", checksumType:
		return xxhash.New64()
	case "md5":
		return md5.New() //nolint:gosec // see the import
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// checkedBody ends with a refusal instead of io.EOF if what was read does not have
// the declared checksum: then nothing is stored.
type checkedBody struct {
	body     io.Reader
	declared declared
	hash     hash.Hash
	target   target
}

// checked wraps a body whose checksum was declared.
func (d declared) checked(body io.Reader, t target) io.Reader {
	if d.value == "" {
		return body
	}
	return &checkedBody{body: body, declared: d, hash: newChecksum(d.kind), target: t}
}

// Read implements io.Reader.
func (c *checkedBody) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.hash.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	if got := hex.EncodeToString(c.hash.Sum(nil)); got != c.declared.value {
		return n, Refuse(fasthttp.StatusBadRequest, "ErrBadCksum", "%s: BAD DATA CHECKSUM: %s(%s != %s)", c.target, c.declared.kind, c.declared.value, got)
	}
	return n, io.EOF
}
