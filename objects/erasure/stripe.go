package erasure

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Stripe is the memory that stripes of one form pass through, one after the other:
// a cell for each slice. It uses slabs and owns none: who leased them gives them
// back after the stripe's last use. What a stripe holds is good until it is given to
// an encoder, a decoder or a repairer again. One goroutine's at a time.
type Stripe struct {
	codec  *Codec
	cells  [][]byte // by slice, CellBytes each, of the caller's slabs
	slots  []slotOf // by slice: where its cell lies
	shards [][]byte // room for what the library is given
	wanted []bool   // room for what is asked of it

	number  int64 // which stripe this is
	block   int   // bytes of each block of it, 0 before there is one
	payload int   // bytes of the payload in it
}

// slotOf is a place in slabs.
type slotOf struct{ slot, offset int }

// NewStripes makes so many stripes of slabs, of which form.Slabs(n) are needed. It keeps
// them. Too few are an error of kind errs.Internal. Each stripe may be used by another
// goroutine.
func (c *Codec) NewStripes(n int, slabs ...[]byte) ([]*Stripe, error) {
	all := make([]*Stripe, n)
	slot, offset := 0, 0
	for i := range all {
		s := &Stripe{codec: c}
		for range c.form.Slices() {
			for slot < len(slabs) && offset+c.form.CellBytes > len(slabs[slot]) {
				slot, offset = slot+1, 0
			}
			if slot == len(slabs) {
				return nil, errs.E("erasure.NewStripes", c.form, errs.Internal, fmt.Errorf("%d slabs are too few for %d stripes, %d are needed", len(slabs), n, c.form.Slabs(n)))
			}
			end := offset + c.form.CellBytes
			s.cells = append(s.cells, slabs[slot][offset:end:end])
			s.slots = append(s.slots, slotOf{slot, offset})
			offset = end
		}
		s.shards, s.wanted = make([][]byte, len(s.cells)), make([]bool, len(s.cells))
		all[i] = s
	}
	return all, nil
}

// Number returns which stripe this is, from 0.
func (s *Stripe) Number() int64 { return s.number }

// Cell returns what slice i has of this stripe: the block and its checksum, as they
// are written to it. Only to be read.
func (s *Stripe) Cell(i int) []byte { return s.cells[i][:s.block+sumBytes] }

// Slot returns in which of the slabs that the stripes were made of the cell of slice i lies,
// and where in it: for messages that carry a window.
func (s *Stripe) Slot(i int) (slot, offset int) { return s.slots[i].slot, s.slots[i].offset }

// Payload returns what of the payload slice i has in this stripe, 0 to d-1, without
// what fills the block up. In order they are the payload. Only to be read.
func (s *Stripe) Payload(i int) []byte {
	return s.cells[i][:max(0, min(s.block, s.payload-i*s.block))]
}

// begin makes the stripe one with blocks of this length.
func (s *Stripe) begin(number int64, block, payload int) {
	s.number, s.block, s.payload = number, block, payload
}

// encode fills up the blocks of data with zeros and computes those of parity.
func (s *Stripe) encode() error {
	for i := range s.codec.form.Data {
		clear(s.cells[i][len(s.Payload(i)):s.block])
	}
	for i, cell := range s.cells {
		s.shards[i] = cell[:s.block]
	}
	if err := s.codec.coder.Encode(s.shards); err != nil {
		return errs.E("erasure.encode", errs.Internal, err)
	}
	return nil
}

// reconstruct computes the blocks that are wanted and not present from those that
// are, which must be d.
func (s *Stripe) reconstruct(present, wanted []bool) error {
	for i, cell := range s.cells {
		s.shards[i] = cell[:0]
		if present[i] {
			s.shards[i] = cell[:s.block]
		}
		s.wanted[i] = wanted[i] && !present[i]
	}
	if err := s.codec.coder.ReconstructSome(s.shards, s.wanted); err != nil {
		return errs.E("erasure.reconstruct", errs.Internal, err)
	}
	return nil
}
