package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Unknown is the size of a payload whose end is not known before it comes.
const Unknown = -1

// Encoder makes slices of a payload while it comes in, a stripe at a time, in
// stripes of the caller's: with two, one is filled while the other is written. It
// holds no memory but some 120 bytes for each slice, however large the payload is.
// One goroutine's at a time.
type Encoder struct {
	codec    *Codec
	seals    seals
	sums     []sum // by slice
	declared int64 // what was said to come in bytes, or Unknown
	size     int64 // what has come, bytes
	stripes  int64
	ended    bool  // the body has
	err      error // what ended it; io.EOF: the payload has
}

// NewEncoder begins a payload. The generation is the payload's, which no other
// payload has, and of which there is but one in each form. Size is what is declared
// in bytes, or Unknown: if it is declared, not even the last stripe is moved in
// memory.
func (c *Codec) NewEncoder(payload objects.Generation, size int64) *Encoder {
	return &Encoder{codec: c, seals: newSeals(payload, c.form), sums: newSums(c.form.Slices()), declared: size}
}

// Next reads the body until the stripe is full or the body ends, and computes parity
// and checksums: then every Cell of the stripe is to be written to its slice. io.EOF
// says that nothing was left for another stripe; it is told once the payload is
// whole, and by then all stripes are. The body is read into the stripe's memory, and
// no byte is copied but those of a last stripe whose size was not declared.
//
// An error of the body is returned as it is. A body that is not as long as was
// declared is objects.ErrIncompleteBody or errs.Invalid, one above MaxSize
// objects.ErrTooLarge; the context is asked before each read. After an error every
// call returns it.
func (e *Encoder) Next(ctx context.Context, s *Stripe, body io.Reader) error {
	if e.err == nil {
		e.err = e.next(ctx, s, body)
	}
	return e.err
}

func (e *Encoder) next(ctx context.Context, s *Stripe, body io.Reader) error {
	const op errs.Op = "erasure.Encode"
	if s.codec.form != e.codec.form {
		return errs.E(op, errs.Internal, fmt.Errorf("a stripe of %v for a payload in %v", s.codec.form, e.codec.form))
	}
	if e.ended {
		return e.whole(op, 0)
	}
	form := e.codec.form
	block, most := form.CellBytes-sumBytes, form.stripeBytes()
	if e.declared >= 0 {
		if most = min(most, e.declared-e.size); most == 0 {
			return e.atEnd(ctx, body)
		}
		block = form.blockFor(most)
	}
	s.begin(e.stripes, block, 0)
	n, err := e.fill(ctx, s, body, int(most))
	e.ended = err == io.EOF
	switch {
	case err != nil && !e.ended:
		return err
	case n == 0 || e.declared >= 0 && int64(n) < most:
		return e.whole(op, n)
	case e.size > MaxSize-int64(n):
		return errs.E(op, errs.Invalid, fmt.Errorf("%w of %d bytes", objects.ErrTooLarge, int64(MaxSize)))
	}
	s.payload = n
	if short := form.blockFor(int64(n)); short < block {
		s.shorten(short)
	}
	if err := s.encode(); err != nil {
		return err
	}
	for i := range s.cells {
		e.sums[i].add(e.seals.put(i, e.stripes, s.Cell(i)))
	}
	e.size += int64(n)
	e.stripes++
	return nil
}

// whole returns io.EOF if a body that ended after n more bytes is one.
func (e *Encoder) whole(op errs.Op, n int) error {
	if came := e.size + int64(n); e.declared > came {
		return errs.E(op, errs.Invalid, fmt.Errorf("%w: %d of %d bytes", objects.ErrIncompleteBody, came, e.declared))
	}
	return io.EOF
}

// fill reads most bytes into the blocks of data, or fewer and io.EOF.
func (e *Encoder) fill(ctx context.Context, s *Stripe, body io.Reader, most int) (n int, err error) {
	for i := 0; n < most && err == nil; i++ {
		room := s.cells[i][:min(s.block, most-n)]
		var filled int
		filled, err = readFull(ctx, body, room)
		n += filled
	}
	if gone := ctx.Err(); gone != nil {
		return n, errs.E("erasure.Encode", errs.Canceled, gone)
	}
	return n, err
}

// atEnd sees that a body which has given what was declared has ended.
func (e *Encoder) atEnd(ctx context.Context, body io.Reader) error {
	const op errs.Op = "erasure.Encode"
	var more [1]byte
	switch n, err := readFull(ctx, body, more[:]); {
	case n > 0:
		return errs.E(op, errs.Invalid, fmt.Errorf("the body is longer than the %d bytes declared", e.declared))
	case ctx.Err() != nil:
		return errs.E(op, errs.Canceled, ctx.Err())
	default:
		return err // io.EOF, if all is well
	}
}

// shorten divides a payload that fills the blocks of data one after the other anew
// into shorter ones. From the last to the first, nothing is overwritten that is still
// to be moved: what block i gets lies in blocks up to i.
func (s *Stripe) shorten(block int) {
	long := s.block
	s.block = block
	for i := s.codec.form.Data - 1; i > 0; i-- {
		to := s.Payload(i)
		from, at := i*block/long, i*block%long
		if here := min(len(to), long-at); here < len(to) {
			copy(to[here:], s.cells[from+1])
			to = to[:here]
		}
		copy(to, s.cells[from][at:])
	}
}

// Slices is what is known of a payload's slices when all of them are made.
type Slices struct {
	Layout Layout
	Sums   []uint64 // by slice, for its Label
}

// Finish returns it. It must not be called before Next has returned io.EOF, and is an
// error of kind errs.Internal then.
func (e *Encoder) Finish() (Slices, error) {
	if e.err != io.EOF {
		err := e.err
		if err == nil {
			err = errors.New("the payload has not ended")
		}
		return Slices{}, errs.E("erasure.Finish", errs.Internal, err)
	}
	return Slices{Layout{e.codec.form, e.size}, finished(e.sums)}, nil
}

func finished(sums []sum) []uint64 {
	values := make([]uint64, len(sums))
	for i := range sums {
		values[i] = sums[i].hash.Sum64()
	}
	return values
}
