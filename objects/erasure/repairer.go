package erasure

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Repairer makes slices anew that were lost or are damaged, from any d cells of each
// stripe, in the caller's stripes. Nothing of the payload is put together for it. What
// a damaged slice still has right is taken as it is, if it is among the sources. What
// comes out is, byte for byte, what was lost. One goroutine's at a time.
type Repairer struct {
	intake *intake
	lost   []int
	sums   []sum    // by slice; of those that are not lost, unused
	want   []uint64 // by slice, nil: unknown
	next   int64    // stripe
}

// NewRepairer begins to make the lost slices, named by their numbers. Sums are those of
// a Label, by slice, of which some sources have told; nil if nobody knows them: then
// what comes out is compared with nothing.
func NewRepairer(read Read, lost []int, sums []uint64) (*Repairer, error) {
	const op errs.Op = "erasure.NewRepairer"
	t, err := newIntake(op, &read)
	if err != nil {
		return nil, err
	}
	n := read.Layout.Slices()
	if sums != nil && len(sums) != n {
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%d sums of %d slices", len(sums), n))
	}
	for at, i := range lost {
		if i < 0 || i >= n || slices.Contains(lost[:at], i) {
			return nil, errs.E(op, errs.Invalid, fmt.Errorf("slice %d of %d, or named twice", i, n))
		}
		t.until[i] = read.Layout.Stripes()
	}
	return &Repairer{intake: t, lost: lost, sums: newSums(n), want: sums}, nil
}

// Next fills the Cell of every lost slice in the stripe, which are then to be written to
// them; what the other cells hold means nothing. io.EOF: there are no more, and all that
// came out is as it should be; errs.Corrupt in its place says which slice is not, and
// none may be kept then. After ErrTooFew it may be called again, once a source has been
// supplied.
func (r *Repairer) Next(ctx context.Context, s *Stripe) error {
	const op errs.Op = "erasure.Repair"
	t := r.intake
	if r.next == t.layout.Stripes() {
		return r.compare(op)
	}
	if t.number != r.next || t.stripe != s {
		if err := t.into(op, s); err != nil {
			return err
		}
		t.begin(r.next)
		for _, i := range r.lost {
			t.wanted[i] = true
		}
	}
	if err := t.recover(ctx); err != nil {
		return err
	}
	for _, i := range r.lost {
		r.sums[i].add(t.seals.put(i, r.next, s.Cell(i)))
	}
	r.next++
	return nil
}

// compare says that all is well with io.EOF.
func (r *Repairer) compare(op errs.Op) error {
	if r.want == nil {
		return io.EOF
	}
	for _, i := range r.lost {
		if got := r.sums[i].hash.Sum64(); got != r.want[i] {
			return errs.E(op, fmt.Sprintf("slice %d", i), errs.Corrupt, fmt.Errorf("xxhash %016x, want %016x", got, r.want[i]))
		}
	}
	return io.EOF
}

// Sum returns the sum of a lost slice, when Next has returned io.EOF.
func (r *Repairer) Sum(slice int) uint64 { return r.sums[slice].hash.Sum64() }

// Supply gives the repairer a source of a slice, as Decoder.Supply does.
func (r *Repairer) Supply(slice int, source Source) { r.intake.give(slice, source) }

// Close closes what the repairer has open. It must be called, also after an error.
func (r *Repairer) Close() error {
	r.intake.close()
	return nil
}
