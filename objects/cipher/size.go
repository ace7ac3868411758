package cipher

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// PackageBytes is how many plain bytes a package holds; the last one fewer.
	PackageBytes  = 64 << 10
	headerBytes   = 16
	packageSealed = headerBytes + PackageBytes + tagBytes
	// MaxBytes is the greatest plain size: packages are counted by 32 bits.
	MaxBytes = PackageBytes << 32
)

// Sealed is the size in bytes of what a payload of a plain size becomes, at most MaxBytes;
// below 0, which is a size that is not known: -1.
func Sealed(plain int64) int64 {
	if plain < 0 {
		return -1
	}
	sealed := plain / PackageBytes * packageSealed
	if rest := plain % PackageBytes; rest > 0 {
		sealed += headerBytes + rest + tagBytes
	}
	return sealed
}

// Plain is the size in bytes of what a payload was before it was sealed. errs.Corrupt: no
// sealed payload has this size.
func Plain(sealed int64) (int64, error) {
	rest := sealed % packageSealed
	if sealed < 0 || rest > 0 && rest <= headerBytes+tagBytes || sealed/packageSealed > 1<<32 {
		return 0, errs.E("cipher.Plain", errs.Corrupt, fmt.Errorf("no sealed payload has %d bytes", sealed))
	}
	plain := sealed / packageSealed * PackageBytes
	if rest > 0 {
		plain += rest - headerBytes - tagBytes
	}
	return plain, nil
}

// Range says which bytes of a sealed payload have to be read for some of the plain one.
type Range struct {
	Offset, Length int64 // in the sealed payload, whole packages

	first, last uint32 // the first package of the range, and the last of the payload
	skip        int64  // plain bytes of the first package that are before the range
	plain       int64  // plain bytes of the range
}

// RangeOf returns the range for length bytes from an offset of a payload of a plain size.
// errs.Invalid: it is not within the payload.
func RangeOf(size, offset, length int64) (Range, error) {
	if size < 0 || size > MaxBytes || offset < 0 || length < 0 || offset > size || length > size-offset {
		return Range{}, errs.E("cipher.RangeOf", errs.Invalid, fmt.Errorf("%d bytes at %d are not within %d", length, offset, size))
	}
	if length == 0 {
		return Range{}, nil
	}
	first, end := offset/PackageBytes, (offset+length-1)/PackageBytes+1 // packages
	r := Range{Offset: first * packageSealed, first: uint32(first), last: uint32((size - 1) / PackageBytes), skip: offset % PackageBytes, plain: length}
	r.Length = min(end*packageSealed, Sealed(size)) - r.Offset
	return r, nil
}
