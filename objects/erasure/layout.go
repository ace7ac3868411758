package erasure

import "fmt"

// MaxSize is the largest payload in bytes, 2^60: what slices are long and where
// cells begin stays inside 63 bits for every form.
const MaxSize = 1 << 60

// Layout says where the bytes of a payload lie in its slices. All slices of a
// payload are equally long. Comparable.
type Layout struct {
	Form
	Size int64 // of the payload in bytes, 0 to MaxSize
}

// Check says why the layout cannot be, or nil. The other methods want one that can.
func (l Layout) Check() error {
	if l.Size < 0 || l.Size > MaxSize {
		return fmt.Errorf("a payload of %d bytes, 0 to %d can be", l.Size, int64(MaxSize))
	}
	return l.Form.Check()
}

// stripeBytes is how much of a payload a whole stripe holds.
func (f Form) stripeBytes() int64 { return int64(f.Data) * int64(f.CellBytes-sumBytes) }

// Stripes returns how many stripes there are, and thus cells in each slice. An
// empty payload has none.
func (l Layout) Stripes() int64 {
	whole := l.Size / l.stripeBytes()
	if l.Size%l.stripeBytes() > 0 {
		whole++
	}
	return whole
}

// blockBytes returns how long the blocks of a stripe are: in the last one all of
// them the d-th part of what is left, rounded up. The last blocks of data may be
// filled up with zeros, and consist of nothing else.
func (l Layout) blockBytes(stripe int64) int {
	left := l.Size - stripe*l.stripeBytes()
	return l.blockFor(left)
}

// blockFor returns how long the blocks of a stripe are that so much of the payload
// is left for, 1 or more.
func (f Form) blockFor(left int64) int {
	if left >= f.stripeBytes() {
		return f.CellBytes - sumBytes
	}
	return int((left + int64(f.Data) - 1) / int64(f.Data))
}

// SliceBytes returns how long each slice is.
func (l Layout) SliceBytes() int64 { return l.CellOffset(l.Stripes()) }

// CellOffset returns where in each slice the cell of a stripe begins; that of the
// stripe after the last is the slice's end.
func (l Layout) CellOffset(stripe int64) int64 {
	if stripe < l.Stripes() || l.Size%l.stripeBytes() == 0 {
		return stripe * int64(l.CellBytes)
	}
	last := stripe - 1
	return last*int64(l.CellBytes) + int64(l.blockBytes(last)+sumBytes)
}

// Place is where a byte of a payload lies.
type Place struct {
	Stripe int64
	Slice  int // 0 to Data-1
	Offset int // in the block
}

// At returns where the byte at an offset of the payload lies, 0 to Size-1.
func (l Layout) At(offset int64) Place {
	stripe := offset / l.stripeBytes()
	within, block := offset%l.stripeBytes(), int64(l.blockBytes(stripe))
	return Place{stripe, int(within / block), int(within % block)}
}

// Cells returns which cells of a slice of data hold bytes of a range of the
// payload: those of stripes from first, below end; none if they are equal. The
// range is length bytes from offset, inside the payload.
func (l Layout) Cells(slice int, offset, length int64) (first, end int64) {
	if length == 0 {
		return 0, 0
	}
	from, to := l.At(offset), l.At(offset+length-1)
	first, end = from.Stripe, to.Stripe+1
	if slice < from.Slice {
		first++
	}
	if slice > to.Slice {
		end--
	}
	return first, end
}
