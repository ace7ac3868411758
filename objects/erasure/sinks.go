package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Sinks are where slices are written, for who writes all of them on one goroutine. A
// sink that fails is left out from then on, and its slice is to be made anew or
// repaired; what was written to it is worth nothing.
type Sinks struct {
	Writers []io.Writer // by slice; nil: nowhere. Those that failed become nil
	Need    int         // with fewer left there is no point in going on
	Failed  []error     // by slice, nil before the first: why its sink failed
}

// write writes the stripe's cells to the sinks that are left.
func (k *Sinks) write(ctx context.Context, op errs.Op, s *Stripe) error {
	left := 0
	for i, w := range k.Writers {
		if w == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return errs.E(op, errs.Canceled, err)
		}
		cell := s.Cell(i)
		n, err := w.Write(cell)
		if err == nil && n < len(cell) {
			err = io.ErrShortWrite
		}
		if err == nil {
			left++
			continue
		}
		k.Writers[i] = nil
		if k.Failed == nil {
			k.Failed = make([]error, len(k.Writers))
		}
		k.Failed[i] = errs.E(op, name(i, s.number), err)
	}
	if left >= k.Need {
		return nil
	}
	kind := errs.Offline
	if err := ctx.Err(); err != nil {
		kind = errs.Canceled
	}
	why := fmt.Errorf("%w: %d sinks are left, %d are needed", ErrTooFew, left, k.Need)
	for _, err := range k.Failed {
		if err != nil {
			why = fmt.Errorf("%w; %w", why, err)
		}
	}
	return errs.E(op, kind, why)
}

// Copy encodes the rest of the body to the sinks, a stripe at a time.
func (e *Encoder) Copy(ctx context.Context, s *Stripe, body io.Reader, sinks *Sinks) (Slices, error) {
	for {
		switch err := e.Next(ctx, s, body); err {
		case nil:
		case io.EOF:
			return e.Finish()
		default:
			return Slices{}, err
		}
		if err := sinks.write(ctx, "erasure.Encode", s); err != nil {
			return Slices{}, err
		}
	}
}

// Copy makes the rest of the lost slices to the sinks, a stripe at a time. Only lost
// slices may have one: what is in the stripe of others is not all of them.
func (r *Repairer) Copy(ctx context.Context, s *Stripe, sinks *Sinks) error {
	for i, w := range sinks.Writers {
		if w != nil && !slices.Contains(r.lost, i) {
			return errs.E("erasure.Repair", fmt.Sprintf("slice %d", i), errs.Internal, errors.New("a sink of a slice that is not repaired"))
		}
	}
	for {
		switch err := r.Next(ctx, s); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := sinks.write(ctx, "erasure.Repair", s); err != nil {
			return err
		}
	}
}
