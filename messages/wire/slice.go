package wire

import (
	"fmt"
	"math"

	"github.com/troupe-storage/troupe/objects"
)

// SealingOf is a sealing as it goes between nodes; nil for nil.
func SealingOf(s *objects.Sealing) *Sealing {
	if s == nil {
		return nil
	}
	return &Sealing{
		Size: s.Size, Xxhash: s.XXHash, Etag: text(s.ETag), Checksums: checksumsOf(s.Checksums), Sums: s.Sums, Modified: nanos(s.Modified), Draft: draftOf(&s.Draft),
	}
}

// Value returns the sealing; nil for nil.
func (s *Sealing) Value() (*objects.Sealing, error) {
	if s == nil {
		return nil, nil
	}
	if s.Size < 0 {
		return nil, fmt.Errorf("a payload of %d bytes", s.Size)
	}
	if most := objects.MaxDataSlices + objects.MaxParitySlices; len(s.Sums) > most {
		return nil, fmt.Errorf("sums of %d slices, at most %d can be", len(s.Sums), most)
	}
	sums, err := valuesOf(s.Checksums)
	if err != nil {
		return nil, err
	}
	return &objects.Sealing{
		Size: s.Size, XXHash: s.Xxhash, ETag: string(s.Etag), Checksums: sums, Sums: s.Sums, Modified: ofNanos(s.Modified), Draft: s.Draft.value(),
	}, nil
}

// IndexOf returns the index of a slice that came from a node. In a form of width slices, or in
// any where width is 0, it is one of those, or objects.WholeIndex.
func IndexOf(index uint32, width int) (uint8, error) {
	if width == 0 {
		width = objects.MaxDataSlices + objects.MaxParitySlices
	}
	if index > math.MaxUint8 || index != objects.WholeIndex && int(index) >= width {
		return 0, fmt.Errorf("slice %d of %d", index, width)
	}
	return uint8(index), nil
}

// PartOf returns the number of a part that came from a node; 0: an object's. It belongs to an
// upload, and only it does.
func PartOf(uploadID []byte, part int64) (int, error) {
	if part < 0 || part > math.MaxInt32 || (len(uploadID) == 0) != (part == 0) {
		return 0, fmt.Errorf("part %d of upload %q", part, uploadID)
	}
	return int(part), nil
}
