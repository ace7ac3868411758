package erasure

import (
	"sync"

	"github.com/klauspost/reedsolomon"

	"github.com/troupe-storage/troupe/objects/errs"
)

// codeVandermonde is how parity is computed: over GF(2^8) with polynomial 0x11d, by
// a Vandermonde matrix whose upper square was made the identity. It is the
// library's default, and part of the on-disk format: another option of the library
// makes other parity. Golden slices in testdata hold it still.
const codeVandermonde = 1

// maxCached is how many inverted matrices the library may keep for one form. It
// never forgets one; 8+4 has 794 and 16+4 has 6,196. Beyond, each stripe that is
// decoded inverts its own: d³ steps, beside d blocks.
const maxCached = 10_000

// Codec computes parity, and lost blocks from others, in one form. Immutable, safe
// for concurrent use. All the work is done on the caller's goroutine: one encodes
// faster than a network brings, and requests are many.
type Codec struct {
	form  Form
	coder reedsolomon.Encoder
}

// Codecs makes codecs and keeps what is costly in them: 15 µs for each d and p, of
// which there are at most 1,024. The zero value is ready. Safe for concurrent use;
// a node has one.
type Codecs struct {
	mu     sync.Mutex
	coders map[[2]int]reedsolomon.Encoder
}

// For returns the codec of a form; the error is of kind errs.Invalid.
func (c *Codecs) For(form Form) (*Codec, error) {
	const op errs.Op = "erasure.For"
	if err := form.Check(); err != nil {
		return nil, errs.E(op, errs.Invalid, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]int{form.Data, form.Parity}
	coder := c.coders[key]
	if coder == nil {
		var err error
		coder, err = reedsolomon.New(form.Data, form.Parity,
			reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(losses(form) <= maxCached))
		if err != nil {
			return nil, errs.E(op, errs.Internal, err)
		}
		if c.coders == nil {
			c.coders = map[[2]int]reedsolomon.Encoder{}
		}
		c.coders[key] = coder
	}
	return &Codec{form: form, coder: coder}, nil
}

// Form returns the codec's form.
func (c *Codec) Form() Form { return c.form }

// losses returns how many sets of at most p slices there are, or maxCached+1 if
// there are more.
func losses(f Form) int {
	sum, sets := 1, 1
	for lost := 1; lost <= f.Parity && sum <= maxCached; lost++ {
		sets = sets * (f.Slices() - lost + 1) / lost
		sum += sets
	}
	return min(sum, maxCached+1)
}
