package erasure

import (
	"context"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Decoder gives a payload, or a range of it, from any d of its slices, in order, a
// block at a time. It reads the slices of data that hold the range, and others only
// while one of those cannot be read. Its memory is the stripe that it was given. One
// goroutine's at a time.
type Decoder struct {
	intake *intake
	ctx    context.Context // of Read and WriteTo, which are not given one
	offset int64           // of the payload: what comes next
	end    int64
	rest   []byte // of the last piece, for Read
}

// NewDecoder begins to read length bytes of the payload from an offset, in a stripe of
// the layout's form, which is the decoder's until Close. A range that leaves the
// payload is objects.ErrInvalidRange. The context is for the whole read: when it is
// done, so is the decoder.
func NewDecoder(ctx context.Context, read Read, stripe *Stripe, offset, length int64) (*Decoder, error) {
	const op errs.Op = "erasure.NewDecoder"
	t, err := newIntake(op, &read)
	if err != nil {
		return nil, err
	}
	if err := t.into(op, stripe); err != nil {
		return nil, err
	}
	size := read.Layout.Size
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%w: %d bytes from %d of %d", objects.ErrInvalidRange, length, offset, size))
	}
	for i := range read.Layout.Data {
		_, t.until[i] = read.Layout.Cells(i, offset, length)
	}
	return &Decoder{intake: t, ctx: ctx, offset: offset, end: offset + length}, nil
}

// Next returns the next bytes of the payload, at most a block: verified, or computed
// from verified ones; good until the next call, and not to be changed. io.EOF: that
// was all. After ErrTooFew the decoder is as it was: once a source has been supplied,
// Next goes on, and no byte is lost or given twice.
func (d *Decoder) Next() ([]byte, error) {
	if d.offset == d.end {
		return nil, io.EOF
	}
	t := d.intake
	at, err := d.enter()
	if err != nil {
		return nil, err
	}
	if !t.present[at.Slice] && t.supply[at.Slice].broken < 0 {
		if err := t.read(d.ctx, at.Slice, t.until[at.Slice]); err != nil {
			return nil, err
		}
	}
	if !t.present[at.Slice] {
		if err := t.recover(d.ctx); err != nil {
			return nil, err
		}
	}
	piece := t.stripe.Payload(at.Slice)[at.Offset:]
	piece = piece[:min(int64(len(piece)), d.end-d.offset)]
	d.offset += int64(len(piece))
	return piece, nil
}

// Fill has all that the range needs of the stripe that Next goes on in, so that Next gives it
// without asking anybody: who is to answer for the payload knows then that there is one.
// After ErrTooFew the decoder is as it was, as after Next.
func (d *Decoder) Fill() error {
	if d.offset == d.end {
		return nil
	}
	if _, err := d.enter(); err != nil {
		return err
	}
	t := d.intake
	for i, wanted := range t.wanted {
		if wanted && !t.present[i] && t.supply[i].broken < 0 {
			if err := t.read(d.ctx, i, t.until[i]); err != nil {
				return err
			}
		}
	}
	return t.recover(d.ctx)
}

// enter goes to the stripe of the next byte, and returns where that lies.
func (d *Decoder) enter() (Place, error) {
	t := d.intake
	at := t.layout.At(d.offset)
	if at.Stripe == t.number {
		return at, nil
	}
	t.begin(at.Stripe)
	d.want(at)
	return at, t.openWanted(d.ctx)
}

// want wants the blocks of the stripe that hold the rest of the range.
func (d *Decoder) want(from Place) {
	last := d.intake.layout.At(d.end - 1)
	for i := range d.intake.layout.Data {
		d.intake.wanted[i] = i >= from.Slice && (last.Stripe > from.Stripe || i <= last.Slice)
	}
}

// Supply gives the decoder a source of a slice, in place of one it had: one that was
// absent, or an old one's successor. It may be called between calls of others, and by
// Failed.
func (d *Decoder) Supply(slice int, source Source) { d.intake.give(slice, source) }

// Read implements io.Reader, with a copy that Next and WriteTo do without.
func (d *Decoder) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		piece, err := d.Next()
		if err != nil {
			return 0, err
		}
		d.rest = piece
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo. After an error of w, what it has of the last
// block is not known to the decoder.
func (d *Decoder) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if len(d.rest) == 0 {
			if d.rest, err = d.Next(); err == io.EOF {
				return total, nil
			} else if err != nil {
				return total, err
			}
		}
		n, err := w.Write(d.rest)
		total += int64(n)
		if err == nil && n < len(d.rest) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
		d.rest = nil
	}
}

// Close closes what the decoder has open. It must be called, also after an error.
func (d *Decoder) Close() error {
	d.intake.close()
	return nil
}
