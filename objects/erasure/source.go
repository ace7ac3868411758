package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Source is where a slice is read from: a file here, or a node that has it.
type Source interface {
	// Open returns length bytes of the slice from an offset; they begin and end with
	// cells. What comes is not believed. The reader is closed by who opened it, also
	// before its end; it is read in order, by one goroutine, and may be left alone for
	// as long as whoever takes the payload takes. How long to wait for an answer is the
	// source's to know: one that has lost patience returns an error, as one that broke
	// does, and is replaced by another slice. All slices that a stripe needs are opened
	// before the first is read, so that sources may read ahead side by side. The context is
	// the read's.
	Open(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// Failure is a cell that could not be had.
type Failure struct {
	Slice  int
	Stripe int64
	// Wrong: the cell came, and its checksum is not right, which Err says, of kind
	// errs.Corrupt; the rest of the slice is read on, and the slice is to be repaired.
	// Else Err is the source's own error, or says that it ended early; then the slice is
	// left out for as long as there are others.
	Wrong bool
	Err   error
}

// ErrTooFew says that fewer than d slices gave what they should have, or that fewer sinks
// are left than are needed. The error that wraps it says of each of the others why not.
// Of a read it is of kind errs.Corrupt if d slices would have, were it not for wrong
// checksums, else errs.Offline.
var ErrTooFew = errors.New("too few slices")

// errAbsent is why nothing is had of a slice that has no source.
var errAbsent = errors.New("absent")

// opRead is what reading is called in errors, for decoders and repairers.
const opRead errs.Op = "erasure.Read"

// intake gets cells of slices into a stripe, each verified before it counts, and
// computes those that cannot be had.
type intake struct {
	layout Layout
	seals  seals
	failed func(Failure)
	supply []supply // by slice
	until  []int64  // by slice: the stripe from which on its cells are not asked for by themselves

	stripe  *Stripe
	number  int64  // which stripe it is made for; -1: none yet
	present []bool // by slice: its block is in the stripe, and right
	wanted  []bool // by slice: its block is to be in the stripe
	picked  []int  // room for choose
}

// supply is what comes from one slice.
type supply struct {
	source Source // nil: absent
	reader io.ReadCloser
	next   int64 // the stripe whose cell the reader gives next
	end    int64 // and the one before which it ends
	broken int64 // the stripe at which it last failed by anything but a checksum; -1: never
	tried  bool  // the cell of this stripe was asked for
	err    error // why it could not be had
}

// Read is what a decoder and a repairer are made with.
type Read struct {
	Layout  Layout
	Payload objects.Generation
	// Sources by slice, nil where there is none: more can be supplied later.
	Sources []Source
	// Failed is told of every cell that could not be had, at once and on the goroutine
	// of the reader; nil: nobody is. It may supply another source, which is tried at once.
	Failed func(Failure)
}

func newIntake(op errs.Op, read *Read) (*intake, error) {
	if err := read.Layout.Check(); err != nil {
		return nil, errs.E(op, errs.Invalid, err)
	}
	form := read.Layout.Form
	if len(read.Sources) > form.Slices() {
		return nil, errs.E(op, errs.Internal, fmt.Errorf("%d sources for a payload in %v", len(read.Sources), form))
	}
	n := form.Slices()
	t := &intake{
		layout: read.Layout, seals: newSeals(read.Payload, form), failed: read.Failed,
		supply: make([]supply, n), until: make([]int64, n),
		number: -1, present: make([]bool, n), wanted: make([]bool, n), picked: make([]int, 0, n),
	}
	for i := range t.supply {
		t.supply[i] = supply{broken: -1}
	}
	for i, source := range read.Sources {
		t.supply[i].source = source
	}
	return t, nil
}

// into has what comes put into a stripe from here on.
func (t *intake) into(op errs.Op, s *Stripe) error {
	if s.codec.form != t.layout.Form {
		return errs.E(op, errs.Internal, fmt.Errorf("a stripe of %v for a payload in %v", s.codec.form, t.layout.Form))
	}
	t.stripe = s
	return nil
}

// give replaces a slice's source, and forgets what was wrong with it.
func (t *intake) give(slice int, source Source) {
	t.stop(slice)
	t.supply[slice] = supply{source: source, broken: -1}
}

// begin makes room for another stripe, of which nothing is present or wanted yet, and
// closes what would have to skip to get there.
func (t *intake) begin(stripe int64) {
	t.number = stripe
	before := stripe * t.layout.stripeBytes()
	t.stripe.begin(stripe, t.layout.blockBytes(stripe), int(min(t.layout.stripeBytes(), t.layout.Size-before)))
	clear(t.present)
	clear(t.wanted)
	for i := range t.supply {
		s := &t.supply[i]
		if s.tried = false; s.next != stripe {
			t.stop(i)
		}
	}
}

// open opens a slice at the stripe for those below end, unless it is open there.
func (t *intake) open(ctx context.Context, slice int, end int64) error {
	s := &t.supply[slice]
	if t.present[slice] || s.source == nil || s.tried || s.reader != nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return errs.E(opRead, errs.Canceled, err)
	}
	end = min(max(end, t.number+1), t.layout.Stripes())
	offset := t.layout.CellOffset(t.number)
	reader, err := s.source.Open(ctx, offset, t.layout.CellOffset(end)-offset)
	if err != nil {
		return t.broke(ctx, slice, err)
	}
	s.reader, s.next, s.end = reader, t.number, end
	return nil
}

// read gets one cell, opening the slice as open does; present tells whether it is there
// then. A cell that could not be had is not asked for again. The error is the context's.
func (t *intake) read(ctx context.Context, slice int, end int64) error {
	if err := t.open(ctx, slice, end); err != nil {
		return err
	}
	s := &t.supply[slice]
	if t.present[slice] || s.reader == nil || s.tried {
		return nil
	}
	cell := t.stripe.Cell(slice)
	switch n, err := readFull(ctx, s.reader, cell); {
	case n == len(cell): // an error that came with the last byte will come again if it counts
	case err == io.EOF:
		return t.broke(ctx, slice, fmt.Errorf("%w: %d of %d bytes of a cell", io.ErrUnexpectedEOF, n, len(cell)))
	default:
		return t.broke(ctx, slice, err)
	}
	if s.next++; s.next == s.end {
		t.stop(slice)
	}
	_, err := t.seals.check(opRead, slice, t.number, cell)
	if t.present[slice] = err == nil; err != nil {
		t.lost(Failure{slice, t.number, true, err})
	}
	return nil
}

// broke notes that a slice could not be opened or read. The error is the context's.
func (t *intake) broke(ctx context.Context, slice int, err error) error {
	t.stop(slice)
	if gone := ctx.Err(); gone != nil {
		return errs.E(opRead, errs.Canceled, gone)
	}
	t.supply[slice].broken = t.number
	t.lost(Failure{slice, t.number, false, errs.E(opRead, name(slice, t.number), err)})
	return nil
}

// lost notes that a cell cannot be had, and tells of it.
func (t *intake) lost(f Failure) {
	s := &t.supply[f.Slice]
	s.tried, s.err = true, f.Err
	if t.failed != nil {
		t.failed(f) // may supply another source
	}
}

// openWanted opens the slices that the blocks wanted are read from, so that sources which
// read ahead do so side by side.
func (t *intake) openWanted(ctx context.Context) error {
	for i, wanted := range t.wanted {
		if wanted && t.supply[i].broken < 0 {
			if err := t.open(ctx, i, t.until[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// recover has the blocks that are wanted, computing what cannot be read from d others:
// first those wanted themselves, then those that are open, then those that never broke,
// and at last those that broke at another stripe, for a disk may have one bad spot.
func (t *intake) recover(ctx context.Context) error {
	for {
		have, missing := t.count()
		if missing == 0 {
			return nil
		}
		if have >= t.layout.Data {
			break
		}
		picked := t.choose(t.layout.Data - have)
		if len(picked) == 0 {
			return t.tooFew(have)
		}
		end := t.lostUntil()
		for _, i := range picked {
			if err := t.open(ctx, i, max(t.until[i], end)); err != nil {
				return err
			}
		}
		for _, i := range picked {
			if err := t.read(ctx, i, max(t.until[i], end)); err != nil {
				return err
			}
		}
	}
	if err := t.stripe.reconstruct(t.present, t.wanted); err != nil {
		return err
	}
	for i, wanted := range t.wanted {
		t.present[i] = t.present[i] || wanted
	}
	return nil
}

// count returns how many blocks are present, and how many of those wanted are not.
func (t *intake) count() (have, missing int) {
	for i, present := range t.present {
		switch {
		case present:
			have++
		case t.wanted[i]:
			missing++
		}
	}
	return have, missing
}

// choose returns which slices to try next at this stripe, at most n, the best first. As long
// as all that are wanted may still come by themselves, it is they alone. None: all have been
// tried.
func (t *intake) choose(n int) []int {
	t.picked = t.picked[:0]
	ranks := 1
	if t.gone() {
		ranks = 4
	}
	for rank := range ranks {
		for i := range t.supply {
			s := &t.supply[i]
			if len(t.picked) < n && !t.present[i] && s.source != nil && !s.tried && s.rank(t.wanted[i]) == rank {
				t.picked = append(t.picked, i)
			}
		}
	}
	return t.picked
}

// gone reports whether a block that is wanted will have to be computed.
func (t *intake) gone() bool {
	for i, wanted := range t.wanted {
		if s := &t.supply[i]; wanted && !t.present[i] && (s.source == nil || s.tried || s.broken >= 0) {
			return true
		}
	}
	return false
}

// rank returns how soon a slice is tried, 0 to 3.
func (s *supply) rank(wanted bool) int {
	switch {
	case s.broken >= 0:
		return 3
	case wanted:
		return 0
	case s.reader != nil:
		return 1
	default:
		return 2
	}
}

// lostUntil returns the stripe up to which a slice stands in for others: for as long as
// those are wanted that are absent or broken, and for this one if only a checksum was
// wrong.
func (t *intake) lostUntil() int64 {
	end := t.number + 1
	for i, wanted := range t.wanted {
		if s := &t.supply[i]; wanted && !t.present[i] && (s.source == nil || s.broken >= 0) {
			end = max(end, t.until[i])
		}
	}
	return end
}

// tooFew says why a stripe cannot be had.
func (t *intake) tooFew(have int) error {
	wrong := 0
	why := fmt.Errorf("%w: %d of %d", ErrTooFew, have, t.layout.Data)
	for i := range t.supply {
		s := &t.supply[i]
		switch {
		case t.present[i]:
		case s.source == nil:
			why = fmt.Errorf("%w; slice %d: %w", why, i, errAbsent)
		default:
			why = fmt.Errorf("%w; %w", why, s.err)
			if s.broken != t.number {
				wrong++
			}
		}
	}
	kind := errs.Offline
	if have+wrong >= t.layout.Data {
		kind = errs.Corrupt
	}
	return errs.E(opRead, fmt.Sprintf("stripe %d", t.number), kind, why)
}

// stop closes a slice's reader. What its Close says changes nothing: every cell that
// counts was verified.
func (t *intake) stop(slice int) {
	s := &t.supply[slice]
	if s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// close closes every reader.
func (t *intake) close() {
	for i := range t.supply {
		t.stop(i)
	}
}
