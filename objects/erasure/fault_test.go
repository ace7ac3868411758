package erasure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// A source that breaks at any of its calls, once or from then on, costs nobody a byte, is
// told of, and is replaced in the middle of the stream.
func TestSourcesBreakAtEachCall(t *testing.T) {
	s := small(t, 1)
	for _, once := range []bool{false, true} {
		for i := range s.Layout.Data {
			for call := 0; ; call++ {
				sources := s.sources()
				sources[i].failAt, sources[i].once = call, once
				told := 0
				got, err := s.get(t, sources, 0, s.Layout.Size, func(f Failure) {
					if told++; f.Slice != i || f.Wrong || !errors.Is(f.Err, errBroken) || errs.Is(errs.Corrupt, f.Err) {
						t.Errorf("%+v", f)
					}
				})
				if err != nil || !bytes.Equal(got, s.payload) {
					t.Fatalf("slice %d, call %d: %d bytes, %v", i, call, len(got), err)
				}
				wantClosed(t, sources)
				if sources[i].calls <= call {
					if told != 0 {
						t.Errorf("slice %d: told of %d failures where nothing broke", i, told)
					}
					break
				}
				if told != 1 {
					t.Errorf("slice %d, call %d: told of %d failures: one that broke is not asked again while there are others", i, call, told)
				}
			}
		}
	}
}

// Likewise of a repair, where any slice may be read.
func TestRepairsOutliveSources(t *testing.T) {
	s := small(t, 1)
	for i := 1; i < len(s.slices); i++ {
		for call := 0; ; call++ {
			sources := s.sources()
			sources[0] = nil
			sources[i].failAt = call
			made, err := s.repaired(t, sources, nil, 0)
			if err != nil || !bytes.Equal(made[0], s.slices[0]) {
				t.Fatalf("slice %d, call %d: %v", i, call, err)
			}
			wantClosed(t, sources[1:])
			if sources[i].calls <= call {
				break
			}
		}
	}
}

// Slices with a bad spot each, in other stripes, are all that is needed: one that broke is
// asked again, at another stripe, when nothing else is left.
func TestSourcesWithABadSpotEach(t *testing.T) {
	s := encode(t, codecOf(t, Form{3, 1, 64}), 1, payloadOf(1, 4*3*56))
	sources := s.sources()
	for i, source := range sources {
		source.failAt, source.once = i+1, true // the open, then a read for each stripe: slice i breaks at stripe i
	}
	var told []Failure
	got, err := s.get(t, sources, 0, s.Layout.Size, func(f Failure) { told = append(told, f) })
	if err != nil || !bytes.Equal(got, s.payload) {
		t.Fatalf("%d bytes, %v, told of %+v", len(got), err, told)
	}
	if len(told) < 3 {
		t.Errorf("told of %+v, want a failure of each slice of data", told)
	}
}

// A source that gives less, or nothing, or its bytes one by one, is taken for what it gives.
func TestSourcesThatEndEarly(t *testing.T) {
	s := small(t, 1)
	for n := range len(s.slices[1]) {
		sources := s.sources()
		sources[1].bytes = s.slices[1][:n]
		sources[0].giveUp, sources[2].giveUp = 1, 7
		var told []Failure
		got, err := s.get(t, sources, 0, s.Layout.Size, func(f Failure) { told = append(told, f) })
		if err != nil || !bytes.Equal(got, s.payload) {
			t.Fatalf("%d bytes of a slice: %d bytes, %v", n, len(got), err)
		}
		if len(told) != 1 || !errors.Is(told[0].Err, io.ErrUnexpectedEOF) || told[0].Stripe != int64(n/64) {
			t.Fatalf("%d bytes of a slice: told of %+v", n, told)
		}
		wantClosed(t, sources)
	}
}

// lazy gives neither bytes nor an end.
type lazy struct{}

func (lazy) Open(context.Context, int64, int64) (io.ReadCloser, error) { return lazy{}, nil }
func (lazy) Read([]byte) (int, error)                                  { return 0, nil }
func (lazy) Close() error                                              { return nil }

// A source that gives nothing for ever is given up.
func TestSourcesThatGiveNothing(t *testing.T) {
	s := small(t, 1)
	read := s.read(s.sources(), nil)
	read.Sources[2] = lazy{}
	var told []Failure
	read.Failed = func(f Failure) { told = append(told, f) }
	d, err := NewDecoder(t.Context(), read, stripeOf(t, s.codec), 0, s.Layout.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, s.payload) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if len(told) != 1 || !errors.Is(told[0].Err, io.ErrNoProgress) {
		t.Errorf("told of %+v", told)
	}
}

// slow is a source whose patience ends: it answers late, and with an error, when the test
// says so.
type slow struct {
	memory
	waited chan struct{} // closed by the test
	asked  chan struct{} // closed by the source
}

func (s *slow) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	reader, err := s.memory.Open(ctx, offset, length)
	return &slowReader{reader, s}, err
}

type slowReader struct {
	io.ReadCloser
	slow *slow
}

func (r *slowReader) Read(p []byte) (int, error) {
	if len(r.slow.opened) > 0 && r.slow.given > 0 {
		close(r.slow.asked)
		<-r.slow.waited
		return 0, context.DeadlineExceeded // its own: the read's context has time
	}
	return r.ReadCloser.Read(p)
}

// A source that loses patience in the middle of a stream is replaced, though its error is
// that of a context: only the read's own context ends the read.
func TestASlowSourceIsReplaced(t *testing.T) {
	s := small(t, 1)
	read := s.read(s.sources(), nil)
	source := &slow{memory: memory{bytes: s.slices[1], failAt: -1}, waited: make(chan struct{}), asked: make(chan struct{})}
	read.Sources[1] = source
	var told []Failure
	read.Failed = func(f Failure) { told = append(told, f) }
	d, err := NewDecoder(t.Context(), read, stripeOf(t, s.codec), 0, s.Layout.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	go func() {
		<-source.asked
		close(source.waited)
	}()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, s.payload) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if len(told) != 1 || told[0].Stripe != 1 || !errors.Is(told[0].Err, context.DeadlineExceeded) {
		t.Errorf("told of %+v", told)
	}
}

// A source that is supplied by who is told of a failure is tried at once: with all other
// slices gone, the read goes on.
func TestFailedMaySupply(t *testing.T) {
	s := small(t, 1)
	sources := s.sources()
	sources[3], sources[4] = nil, nil
	sources[1].failAt = 2
	var d *Decoder
	read := s.read(sources, func(f Failure) { d.Supply(f.Slice, &memory{bytes: s.slices[f.Slice], failAt: -1}) })
	d, err := NewDecoder(t.Context(), read, stripeOf(t, s.codec), 0, s.Layout.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, s.payload) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	wantClosed(t, sources)
}

// A slice that stands in for an absent one is opened once, for the rest of the range, and is
// kept though another comes back; what has been read is closed without being told.
func TestStandInsStayOpen(t *testing.T) {
	s := encode(t, codecOf(t, Form{3, 2, 64}), 1, payloadOf(1, 6*3*56))
	sources := s.sources()
	back := sources[3]
	sources[1], sources[3] = nil, nil
	d, err := NewDecoder(t.Context(), s.read(sources, func(f Failure) { t.Errorf("%+v", f) }), stripeOf(t, s.codec), 0, s.Layout.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.Next()
	if err != nil {
		t.Fatal(err)
	}
	got = bytes.Clone(got)
	rest := s.Layout.Size - int64(len(got))
	for ; rest > 0; rest = s.Layout.Size - int64(len(got)) {
		if rest == s.Layout.Size/2 { // at a stripe's end
			d.Supply(3, back)
		}
		piece, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece...)
	}
	if !bytes.Equal(got, s.payload) {
		t.Fatal("another payload")
	}
	for i, source := range sources {
		if source != nil && (len(source.opened) != 1 || source.opened[0] != extent{0, s.Layout.SliceBytes()}) {
			t.Errorf("of slice %d, %v was asked for", i, source.opened)
		}
	}
	if len(back.opened) > 0 {
		t.Errorf("of the slice that came back %v was asked for, and nothing was needed", back.opened)
	}
	wantClosed(t, sources)
}

// A cell that stands in for a damaged one is asked for alone.
func TestADamagedCellCostsOneCell(t *testing.T) {
	s := encode(t, codecOf(t, Form{3, 2, 64}), 1, payloadOf(1, 6*3*56))
	sources := s.sources()
	sources[1].bytes = flip(s.slices[1], 8*2*64)
	if got, err := s.get(t, sources, 0, s.Layout.Size, nil); err != nil || !bytes.Equal(got, s.payload) {
		t.Fatal(err)
	}
	if want := []extent{{2 * 64, 64}}; !slices.Equal(sources[3].opened, want) || len(sources[4].opened) > 0 || len(sources[1].opened) != 1 {
		t.Errorf("%v and %v of the slices of parity were asked for, %v of the damaged one", sources[3].opened, sources[4].opened, sources[1].opened)
	}
}

// Of a damaged slice that is mended what is right is taken as it is: others are read for the
// stripe of the wrong cell alone.
func TestRepairsTakeWhatIsRight(t *testing.T) {
	s := encode(t, codecOf(t, Form{3, 2, 64}), 1, payloadOf(1, 6*3*56))
	sources := s.sources()
	sources[1].bytes = flip(s.slices[1], 8*2*64)
	made, err := s.repaired(t, sources, nil, 1)
	if err != nil || !bytes.Equal(made[1], s.slices[1]) {
		t.Fatal(err)
	}
	for i, source := range sources {
		want := []extent{{2 * 64, 64}}
		switch {
		case i == 1:
			want = []extent{{0, 6 * 64}}
		case i == 4: // three others are enough
			want = nil
		}
		if !slices.Equal(source.opened, want) {
			t.Errorf("of slice %d, %v was asked for, want %v", i, source.opened, want)
		}
	}
}

// Only blocks of the range are computed: what is absent beside it stays what the memory was.
func TestOnlyWhatIsNeededIsComputed(t *testing.T) {
	s := encode(t, codecOf(t, Form{4, 3, 64}), 1, payloadOf(1, 4*56))
	sources := s.sources()
	sources[0], sources[1], sources[3] = nil, nil, nil
	stripe := stripeOf(t, s.codec)
	d, err := NewDecoder(t.Context(), s.read(sources, nil), stripe, 56+10, 56+10)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, s.payload[56+10:2*56+20]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	untouched := bytes.Repeat([]byte{0xdb}, 64)
	if !bytes.Equal(stripe.cells[0], untouched) || !bytes.Equal(stripe.cells[3], untouched) {
		t.Error("blocks beside the range were computed")
	}
	if bytes.Equal(stripe.cells[1][:56], untouched[:56]) {
		t.Error("control: the block that is needed was not")
	}
}

// A read that too much damage ended goes on with another source, from the cell on that it
// was at, though others of that stripe have been read already.
func TestReadsOutliveTooMuchDamage(t *testing.T) {
	s := small(t, 1)
	sources := s.sources()
	for i := range 3 {
		sources[i].bytes = flip(s.slices[i], 8*s.Layout.CellBytes)
	}
	told := 0
	d, err := NewDecoder(t.Context(), s.read(sources, func(Failure) { told++ }), stripeOf(t, s.codec), 0, s.Layout.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	for range 3 {
		if _, err := d.WriteTo(&got); !errors.Is(err, ErrTooFew) || told != 3 {
			t.Fatalf("%v, told of %d failures: what was tried is not tried again", err, told)
		}
	}
	d.Supply(0, &memory{bytes: s.slices[0], failAt: -1})
	if _, err := d.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), s.payload) || told != 3 {
		t.Fatalf("%d bytes, %v, told of %d failures", got.Len(), err, told)
	}
}

// A repair that has too few goes on in another stripe of memory once there are enough.
func TestRepairsWaitForTooFew(t *testing.T) {
	s := small(t, 1)
	sources := s.sources()
	sources[0], sources[1], sources[2] = nil, nil, nil
	r, err := NewRepairer(s.read(sources, nil), []int{0}, s.Sums)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Next(t.Context(), stripeOf(t, s.codec)); !errors.Is(err, ErrTooFew) {
		t.Fatal(err)
	}
	r.Supply(2, &memory{bytes: s.slices[2], failAt: -1})
	var made bytes.Buffer
	sinks := &Sinks{Writers: []io.Writer{&made, nil, nil, nil, nil}, Need: 1}
	if err := r.Copy(t.Context(), stripeOf(t, s.codec), sinks); err != nil || !bytes.Equal(made.Bytes(), s.slices[0]) {
		t.Fatal(err)
	}
	if r.Sum(0) != s.Sums[0] {
		t.Errorf("sum %x, want %x", r.Sum(0), s.Sums[0])
	}
}

// canceling cancels a context at one of its calls.
type canceling struct {
	*memory
	at     int
	cancel context.CancelFunc
}

func (c *canceling) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	reader, err := c.memory.Open(ctx, offset, length)
	c.count()
	return &cancelingReader{reader, c}, err
}

func (c *canceling) count() {
	if c.at--; c.at == 0 {
		c.cancel()
	}
}

type cancelingReader struct {
	io.ReadCloser
	canceling *canceling
}

func (r *cancelingReader) Read(p []byte) (int, error) {
	r.canceling.count()
	if r.canceling.at <= 0 {
		return 0, errBroken // as a connection does whose request was canceled
	}
	return r.ReadCloser.Read(p)
}

// A read whose context is done ends, as canceled, and nobody is blamed.
func TestCanceledReads(t *testing.T) {
	s := small(t, 1)
	for at := 1; at < 5; at++ {
		ctx, cancel := context.WithCancel(t.Context())
		sources := s.sources()
		read := s.read(sources, func(f Failure) { t.Errorf("%+v", f) })
		read.Sources[0] = &canceling{sources[0], at, cancel}
		d, err := NewDecoder(ctx, read, stripeOf(t, s.codec), 0, s.Layout.Size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		if !errs.Is(errs.Canceled, err) || !errors.Is(err, context.Canceled) || !bytes.HasPrefix(s.payload, got) {
			t.Errorf("canceled at call %d: %d bytes, %v", at, len(got), err)
		}
		if d.Close(); sources[0].open+sources[1].open+sources[2].open != 0 {
			t.Errorf("canceled at call %d: readers are open", at)
		}
	}
}

// All slices that a stripe needs are opened before the first is read: also those that stand
// in for others.
func TestSlicesAreOpenedSideBySide(t *testing.T) {
	s := encode(t, codecOf(t, Form{3, 2, 64}), 1, payloadOf(1, 2*3*56))
	for _, absent := range [][]int{{}, {0}, {0, 2}} {
		sources := s.sources()
		for _, i := range absent {
			sources[i] = nil
		}
		read := s.read(sources, nil)
		for i, source := range sources {
			if source != nil {
				read.Sources[i] = &watched{source, func() {
					open := 0
					for _, other := range sources {
						if other != nil {
							open += other.open
						}
					}
					if open != s.Layout.Data {
						t.Errorf("absent %v: slice %d is read with %d open", absent, i, open)
					}
				}}
			}
		}
		d, err := NewDecoder(t.Context(), read, stripeOf(t, s.codec), 0, s.Layout.stripeBytes())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.intake.until[0]++ // so that no reader ends with the stripe, and all can be counted
		d.intake.until[1]++
		d.intake.until[2]++
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, s.payload[:s.Layout.stripeBytes()]) {
			t.Errorf("absent %v: %d bytes, %v", absent, len(got), err)
		}
	}
}

// watched is a source whose reads are seen.
type watched struct {
	*memory
	seen func()
}

func (w *watched) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	reader, err := w.memory.Open(ctx, offset, length)
	return &watchedReader{reader, w.seen}, err
}

type watchedReader struct {
	io.ReadCloser
	seen func()
}

func (r *watchedReader) Read(p []byte) (int, error) {
	r.seen()
	return r.ReadCloser.Read(p)
}
