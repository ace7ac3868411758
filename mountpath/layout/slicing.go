package layout

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
)

// Fields of message Slicing.
const (
	slicingData      protowire.Number = 1
	slicingParity    protowire.Number = 2
	slicingCellBytes protowire.Number = 3
	slicingWhole     protowire.Number = 4
	slicingMembers   protowire.Number = 5
)

// appendSlicing appends a slicing as a field; nothing for nil.
func appendSlicing(dst []byte, field protowire.Number, s *objects.Slicing) []byte {
	if s == nil {
		return dst
	}
	dst, at := openMessage(dst, field)
	dst = appendInt(dst, slicingData, int64(s.Data))
	dst = appendInt(dst, slicingParity, int64(s.Parity))
	dst = appendInt(dst, slicingCellBytes, int64(s.CellBytes))
	dst = appendBool(dst, slicingWhole, s.Whole)
	if len(s.Members) > 0 {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, slicingMembers, protowire.BytesType), objects.AppendMembers(nil, s.Members))
	}
	return closeMessage(dst, at)
}

// slicing reads a slicing that can be; nil after a fault.
func (c *cursor) slicing(form protowire.Type) *objects.Slicing {
	s := new(objects.Slicing)
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case slicingData:
			s.Data = int(c.small(form))
		case slicingParity:
			s.Parity = int(c.small(form))
		case slicingCellBytes:
			s.CellBytes = int(min(c.uint(form), math.MaxUint32)) // Check has the limit
		case slicingWhole:
			s.Whole = c.bool(form)
		case slicingMembers:
			members, err := objects.ParseMembers(c.bytes(form))
			if err != nil {
				c.fail("%w", err)
			}
			s.Members = members
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
	if err := s.Check(); err != nil {
		c.fail("%w", err)
	}
	if c.fault != nil {
		return nil
	}
	return s
}

// sumBytes is how long the sum of a slice is, big-endian.
const sumBytes = 8

func appendSums(dst []byte, field protowire.Number, sums []uint64) []byte {
	if len(sums) == 0 {
		return dst
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(sumBytes*len(sums)))
	for _, sum := range sums {
		dst = binary.BigEndian.AppendUint64(dst, sum)
	}
	return dst
}

// sums reads the sums of slices; nil for none, and after a fault.
func (c *cursor) sums(form protowire.Type) []uint64 {
	b := c.bytes(form)
	if len(b)%sumBytes != 0 || len(b) > sumBytes*erasure.MaxSlices {
		c.fail("%d bytes of sums: they have %d each, and are at most %d", len(b), sumBytes, erasure.MaxSlices)
	}
	if c.fault != nil || len(b) == 0 {
		return nil
	}
	sums := make([]uint64, 0, len(b)/sumBytes)
	for ; len(b) > 0; b = b[sumBytes:] {
		sums = append(sums, binary.BigEndian.Uint64(b))
	}
	return sums
}
