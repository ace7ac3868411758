package store

import (
	"encoding/binary"
	"fmt"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Verifier compares the bytes of a payload file, as they are read, with what is known of
// them. It belongs to one goroutine.
type Verifier struct {
	hash *xxhash.XXHash64
	read int64
	size int64
	want uint64
}

// NewVerifier returns a verifier of size bytes that hash to want.
func NewVerifier(size int64, want uint64) *Verifier {
	return &Verifier{hash: xxhash.New64(), size: size, want: want}
}

// Write takes the next bytes. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	v.read += int64(len(p))
	return v.hash.Write(p)
}

// Check says what is wrong with the bytes that came; nil: they are those that were stored.
func (v *Verifier) Check() error {
	if got := v.hash.Sum64(); v.read != v.size || got != v.want {
		return fmt.Errorf("%d bytes with xxhash %016x, want %d with %016x", v.read, got, v.size, v.want)
	}
	return nil
}

// CheckInline says what is wrong with a payload from the index; nil: it is what the record
// says.
func CheckInline(payload []byte, record *objects.Meta) error {
	v := NewVerifier(record.Size, record.XXHash)
	_, _ = v.Write(payload) // never fails
	return v.Check()
}

// CheckParts says what is wrong with the parts that a record's payload is made of, by
// their sizes and checksums; nil: they make it.
func CheckParts(parts []objects.Part, record *objects.Meta) error {
	size, sum := int64(0), xxhash.New64()
	for n := range parts {
		size += parts[n].Size
		_, _ = sum.Write(binary.BigEndian.AppendUint64(nil, parts[n].XXHash)) // never fails
	}
	if got := sum.Sum64(); size != record.Size || got != record.XXHash {
		return fmt.Errorf("the parts make %d bytes with xxhash %016x, the record says %d with %016x", size, got, record.Size, record.XXHash)
	}
	return nil
}

// checkParts is CheckParts as an error of kind Corrupt.
func checkParts(op errs.Op, key objects.Key, record *objects.Meta, parts []objects.Part) error {
	if err := CheckParts(parts, record); err != nil {
		return errs.E(op, key, errs.Corrupt, err)
	}
	return nil
}
