package erasure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Label says what a slice is: whose, which, in what form, and what it and its siblings
// sum up to. It lies beside the slice, and is whole by itself, so that a payload can be
// put together from labels and slices where nothing else is left.
type Label struct {
	Bucket  objects.BucketID
	Name    string // of the object, at most objects.MaxNameBytes
	Payload objects.Generation
	Slice   int // which, from 0
	Layout  Layout
	Sums    []uint64 // of every slice: the xxhash64 of its blocks' checksums
}

// LabelVersion is the version that this binary writes, and the only one that it reads.
const LabelVersion = 1

// ErrNewer says that a label is whole, but of a version that this binary does not know.
// It is not corruption: nothing may be quarantined for it.
var ErrNewer = errors.New("a slice written by a newer version of Troupe")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// labelBase is how long a label is without name and sums.
const labelBase = 1 + 1 + 3 + 4 + 8 + objects.GenerationBytes + 8 + 2 + crc32.Size

// Append appends the label as it is on disk. A label is, numbers big-endian:
//
//	 1  version: 1
//	 1  code: how parity is computed, 1
//	 3  d, p, slice
//	 4  bytes of a cell
//	 8  bucket id
//	24  payload generation
//	 8  size of the payload
//	 8  the sum of slice 0, and so on to d+p
//	 2  length of the name
//	 …  name
//	 4  CRC-32C of all before
func (l *Label) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, LabelVersion, codeVandermonde, byte(l.Layout.Data), byte(l.Layout.Parity), byte(l.Slice))
	dst = binary.BigEndian.AppendUint32(dst, uint32(l.Layout.CellBytes))
	dst = append(dst, l.Bucket[:]...)
	dst = l.Payload.AppendTo(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.Layout.Size))
	for _, sum := range l.Sums {
		dst = binary.BigEndian.AppendUint64(dst, sum)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(l.Name)))
	dst = append(dst, l.Name...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// ParseLabel reads what Append wrote, and nothing else: a label has one spelling. It
// shares nothing with b. The error is of kind errs.Corrupt with the reason, or wraps
// ErrNewer.
func ParseLabel(b []byte) (*Label, error) {
	const op errs.Op = "erasure.ParseLabel"
	damaged := func(format string, args ...any) (*Label, error) {
		return nil, errs.E(op, errs.Corrupt, fmt.Errorf(format, args...))
	}
	if len(b) < labelBase {
		return damaged("%d bytes are too few", len(b))
	}
	fields, check := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if got := crc32.Checksum(fields, castagnoli); got != check {
		return damaged("crc %08x, want %08x", got, check)
	}
	if fields[0] != LabelVersion {
		return nil, errs.E(op, errs.Internal, fmt.Errorf("%w: label version %d, this binary reads %d", ErrNewer, fields[0], LabelVersion))
	}
	if fields[1] != codeVandermonde {
		return damaged("code %d is none", fields[1])
	}
	l := &Label{Slice: int(fields[4])}
	l.Layout.Data, l.Layout.Parity = int(fields[2]), int(fields[3])
	l.Layout.CellBytes = int(binary.BigEndian.Uint32(fields[5:]))
	fields = fields[9:]
	fields = fields[copy(l.Bucket[:], fields):]
	l.Payload, _ = objects.GenerationOf(fields[:objects.GenerationBytes]) // it is as long as that
	fields = fields[objects.GenerationBytes:]
	size := binary.BigEndian.Uint64(fields)
	fields = fields[8:]
	if size > math.MaxInt64 {
		return damaged("a payload of %d bytes", size)
	}
	l.Layout.Size = int64(size)
	if err := l.Layout.Check(); err != nil {
		return damaged("%w", err)
	}
	n := l.Layout.Slices()
	if l.Slice >= n {
		return damaged("slice %d of %d", l.Slice, n)
	}
	if len(fields) < 8*n+2 {
		return damaged("%d bytes of sums and name", len(fields))
	}
	l.Sums = make([]uint64, n)
	for i := range l.Sums {
		l.Sums[i] = binary.BigEndian.Uint64(fields[8*i:])
	}
	fields = fields[8*n:]
	if named := int(binary.BigEndian.Uint16(fields)); named != len(fields)-2 || named > objects.MaxNameBytes {
		return damaged("a name of %d bytes, and %d are there", named, len(fields)-2)
	}
	l.Name = string(fields[2:])
	return l, nil
}

// Sibling reports whether two labels are of slices of one payload in one form.
func (l *Label) Sibling(other *Label) bool {
	return l.Bucket == other.Bucket && l.Name == other.Name && l.Payload == other.Payload &&
		l.Layout == other.Layout && slices.Equal(l.Sums, other.Sums)
}
