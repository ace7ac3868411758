package erasure

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// opCheck is what checking is called in errors.
const opCheck errs.Op = "erasure.Check"

// Checker checks one slice as it passes, in pieces of any size and without memory for
// any of it: for who receives one, whose last cell comes unannounced, and for who
// scrubs. One goroutine's at a time.
type Checker struct {
	payload objects.Generation
	form    Form
	slice   int
	seals   seals
	sum     sum

	stripe int64
	cell   int            // bytes of this stripe's cell that have come
	hash   xxh3.Hasher    // of its bytes but the last held
	held   [sumBytes]byte // the last bytes, which are the checksum if the cell ends here
	err    error          // the first wrong checksum
}

// NewChecker begins to check a slice of a payload. The form must be one that can be.
func NewChecker(payload objects.Generation, form Form, slice int) *Checker {
	return &Checker{payload: payload, form: form, slice: slice, seals: newSeals(payload, form), sum: newSum()}
}

// Write takes the next bytes of the slice. It takes all, and returns the first wrong
// checksum, an error of kind errs.Corrupt, from the write on in which it shows.
func (c *Checker) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), c.form.CellBytes-c.cell)
		if n == c.form.CellBytes { // a cell in one piece
			c.end(c.seals.check(opCheck, c.slice, c.stripe, p[:n]))
		} else if c.take(p[:n]); c.cell == c.form.CellBytes {
			c.end(c.held64())
		}
		p = p[n:]
	}
	return total, c.err
}

// take takes bytes of one cell, of which it holds the last back.
func (c *Checker) take(p []byte) {
	held := min(c.cell, sumBytes)
	c.cell += len(p)
	var room [2 * sumBytes]byte
	last := append(room[:0], c.held[:held]...)
	if len(p) >= sumBytes {
		c.hash.Write(last)
		c.hash.Write(p[:len(p)-sumBytes])
		last = append(last[:0], p[len(p)-sumBytes:]...)
	} else {
		last = append(last, p...)
		over := max(0, len(last)-sumBytes)
		c.hash.Write(last[:over])
		last = last[over:]
	}
	copy(c.held[:], last)
}

// held64 returns the checksum that is held, and says that it is wrong, or nil.
func (c *Checker) held64() (uint64, error) {
	stored := binary.BigEndian.Uint64(c.held[:])
	return stored, differ(opCheck, c.slice, c.stripe, c.hash.Sum64()^c.seals.whose(c.slice, c.stripe), stored)
}

// end ends a cell that has this checksum, right or not.
func (c *Checker) end(stored uint64, err error) {
	if c.err == nil {
		c.err = err
	}
	c.sum.add(stored)
	c.stripe++
	c.cell = 0
	c.hash.Reset()
}

// Finish says that the slice has ended, and returns what is wrong with it: a checksum,
// its length, or that it is not the one that the label tells of. The error is of kind
// errs.Corrupt.
func (c *Checker) Finish(label *Label) error {
	if label.Payload != c.payload || label.Layout.Form != c.form || label.Slice != c.slice || len(label.Sums) != c.form.Slices() {
		return errs.E(opCheck, fmt.Sprintf("slice %d", c.slice), errs.Corrupt, fmt.Errorf("the label is of slice %d of %v in %v, with %d sums", label.Slice, label.Payload, label.Layout.Form, len(label.Sums)))
	}
	length := c.stripe*int64(c.form.CellBytes) + int64(c.cell)
	if want := label.Layout.SliceBytes(); length != want {
		return errs.E(opCheck, fmt.Sprintf("slice %d", c.slice), errs.Corrupt, fmt.Errorf("%d bytes, want %d", length, want))
	}
	if c.cell > 0 {
		c.end(c.held64())
	}
	if c.err != nil {
		return c.err
	}
	if got, want := c.sum.hash.Sum64(), label.Sums[c.slice]; got != want {
		return errs.E(opCheck, fmt.Sprintf("slice %d", c.slice), errs.Corrupt, fmt.Errorf("xxhash %016x, want %016x", got, want))
	}
	return nil
}
