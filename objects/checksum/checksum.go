// Package checksum has the checksums that S3 clients ask for, beside the
// xxhash64 that every payload has and the MD5 that an ETag may be.
//
// A checksum of a multipart object is either of the full object (the CRCs,
// combined from the parts' without reading a byte) or composite (the checksum of
// the parts' checksums, written with "-" and their number).
//
// Start with Value and Combine.
package checksum

import (
	"crypto/sha1" //nolint:gosec // S3 offers it; nothing of ours relies on it
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"
)

// Algorithm is one of S3's checksum algorithms. Part of the on-disk format.
type Algorithm uint8

const (
	None      Algorithm = 0
	CRC32     Algorithm = 1
	CRC32C    Algorithm = 2
	CRC64NVME Algorithm = 3
	SHA1      Algorithm = 4
	SHA256    Algorithm = 5
)

// Algorithms lists every algorithm, in the order in which S3 documents them.
func Algorithms() []Algorithm { return []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256} }

var names = [...]string{"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}

var sizes = [...]int{0, 4, 4, 8, sha1.Size, sha256.Size}

// String returns S3's name of the algorithm, or "".
func (a Algorithm) String() string {
	if int(a) < len(names) {
		return names[a]
	}
	return ""
}

// Size returns the length of the algorithm's sum in bytes.
func (a Algorithm) Size() int {
	if int(a) < len(sizes) {
		return sizes[a]
	}
	return 0
}

// Header returns the name of the algorithm's S3 header and trailer, in lower
// case: "x-amz-checksum-crc32c".
func (a Algorithm) Header() string { return "x-amz-checksum-" + strings.ToLower(a.String()) }

// Parse finds an algorithm by S3's name, in any case.
func Parse(name string) (Algorithm, bool) {
	for _, a := range Algorithms() {
		if strings.EqualFold(name, names[a]) {
			return a, true
		}
	}
	return None, false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// New returns a fresh hash of the algorithm; nil for None.
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64nvme.New()
	case SHA1:
		return sha1.New() //nolint:gosec // see the import
	case SHA256:
		return sha256.New()
	default:
		return nil
	}
}

// Type says what a checksum of a multipart object is of. Part of the on-disk format.
type Type uint8

const (
	// FullObject: of the whole payload; the only type of an object put in one request.
	FullObject Type = 0
	// Composite: of the parts' checksums.
	Composite Type = 1
)

// String returns S3's name of the type.
func (t Type) String() string {
	if t == Composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// ParseType finds a type by S3's name.
func ParseType(name string) (Type, bool) {
	switch strings.ToUpper(name) {
	case "FULL_OBJECT":
		return FullObject, true
	case "COMPOSITE":
		return Composite, true
	}
	return FullObject, false
}

// Wanted is what a multipart upload announced for the whole object.
type Wanted struct {
	Algorithm Algorithm
	Type      Type
}

// Check says why the combination cannot be, or nil. Source: Amazon S3 user
// guide, "Checking object integrity", table of full object and composite types.
func (w Wanted) Check() error {
	switch {
	case w.Type == FullObject && (w.Algorithm == SHA1 || w.Algorithm == SHA256):
		return fmt.Errorf("the FULL_OBJECT checksum type is not for %s", w.Algorithm)
	case w.Type == Composite && w.Algorithm == CRC64NVME:
		return fmt.Errorf("the COMPOSITE checksum type is not for %s", w.Algorithm)
	}
	return nil
}

// DefaultType is the type of an upload that names an algorithm and no type.
func (a Algorithm) DefaultType() Type {
	if a == CRC64NVME {
		return FullObject
	}
	return Composite
}

// Value is one checksum. Comparable.
type Value struct {
	Algorithm Algorithm
	Type      Type
	Parts     int    // Composite: how many parts
	Sum       string // raw bytes, Algorithm.Size() of them
}

// Of is the value of a finished hash.
func Of(a Algorithm, h hash.Hash) Value { return Value{Algorithm: a, Sum: string(h.Sum(nil))} }

// String returns the value as S3 writes it: base64, and "-N" if it is composite.
func (v Value) String() string {
	s := v.Base64()
	if v.Type == Composite {
		s += "-" + strconv.Itoa(v.Parts)
	}
	return s
}

// Base64 returns the sum alone, without how many parts it is of.
func (v Value) Base64() string { return base64.StdEncoding.EncodeToString([]byte(v.Sum)) }

// ParseValue reads a value as S3 writes it.
func ParseValue(a Algorithm, s string) (Value, error) {
	v := Value{Algorithm: a}
	if base, count, ok := strings.Cut(s, "-"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > 10_000 {
			return Value{}, fmt.Errorf("%s checksum %q: bad number of parts", a, s)
		}
		s, v.Type, v.Parts = base, Composite, n
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(sum) != a.Size() {
		return Value{}, fmt.Errorf("%s checksum %q is not %d bytes in base64", a, s, a.Size())
	}
	v.Sum = string(sum)
	return v, nil
}

// Find returns the value of the algorithm in the list.
func Find(values []Value, a Algorithm) (Value, bool) {
	for _, v := range values {
		if v.Algorithm == a {
			return v, true
		}
	}
	return Value{}, false
}
