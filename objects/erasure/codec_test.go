package erasure

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// What cannot be is refused by name.
func TestWhatIsRefused(t *testing.T) {
	var codecs Codecs
	for _, form := range []Form{{0, 1, 64}, {MaxData + 1, 1, 64}, {1, 0, 64}, {1, MaxParity + 1, 64}, {1, 1, MinCellBytes - 1}, {1, 1, slab.Bytes + 1}} {
		if _, err := codecs.For(form); !errs.Is(errs.Invalid, err) {
			t.Errorf("%+v: %v", form, err)
		}
	}
	s := small(t, 1)
	whole, other := stripeOf(t, s.codec), stripeOf(t, codecOf(t, Form{3, 2, 72}))
	read := s.read(s.sources(), nil)
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, s.Layout.Size + 1}, {s.Layout.Size + 1, 0}, {1, s.Layout.Size}} {
		if _, err := NewDecoder(t.Context(), read, whole, r[0], r[1]); !errors.Is(err, objects.ErrInvalidRange) {
			t.Errorf("range %v: %v", r, err)
		}
	}
	if _, err := NewDecoder(t.Context(), read, other, 0, 1); !errs.Is(errs.Internal, err) {
		t.Errorf("a stripe of another form: %v", err)
	}
	if err := s.codec.NewEncoder(s.gen, 1).Next(t.Context(), other, strings.NewReader("x")); !errs.Is(errs.Internal, err) {
		t.Errorf("a stripe of another form: %v", err)
	}
	if _, err := NewRepairer(read, []int{5}, s.Sums); !errs.Is(errs.Invalid, err) {
		t.Errorf("repair of slice 5 of 5: %v", err)
	}
	if _, err := NewRepairer(read, []int{4, 4}, s.Sums); !errs.Is(errs.Invalid, err) {
		t.Errorf("repair of slice 4, twice: %v", err)
	}
	if _, err := NewRepairer(read, []int{1}, s.Sums[1:]); !errs.Is(errs.Invalid, err) {
		t.Errorf("too few sums: %v", err)
	}
	read.Layout.Size = -1
	if _, err := NewDecoder(t.Context(), read, whole, 0, 0); !errs.Is(errs.Invalid, err) {
		t.Errorf("a payload of -1 bytes: %v", err)
	}
	read = s.read(append(s.sources(), nil), nil)
	if _, err := NewRepairer(read, nil, nil); !errs.Is(errs.Internal, err) {
		t.Errorf("six sources of five slices: %v", err)
	}
	if _, err := s.codec.NewStripes(2, make([]byte, 9*64), make([]byte, 63)); !errs.Is(errs.Internal, err) {
		t.Errorf("memory of nine cells: %v", err)
	}
	if _, err := s.codec.NewEncoder(s.gen, 1).Finish(); !errs.Is(errs.Internal, err) {
		t.Errorf("finished before the end: %v", err)
	}
}

// Encoders, decoders and repairs of one codec run side by side. The race detector is what
// this is for.
func TestOneCodecForMany(t *testing.T) {
	var codecs Codecs
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			codec, err := codecs.For(Form{2 + g%3, 2, 64})
			if err != nil {
				t.Error(err)
				return
			}
			for seq := range uint64(20) {
				s := &sliced{codec: codec, payload: payloadOf(seq, 1000), gen: generation(seq)}
				e := codec.NewEncoder(s.gen, Unknown)
				buffers, sinks := make([]bytes.Buffer, codec.Form().Slices()), &Sinks{}
				for i := range buffers {
					sinks.Writers = append(sinks.Writers, &buffers[i])
				}
				stripes, err := codec.NewStripes(1, make([]byte, 64*codec.Form().Slices()))
				if err != nil {
					t.Error(err)
					return
				}
				stripe := stripes[0]
				if err == nil {
					s.Slices, err = e.Copy(t.Context(), stripe, bytes.NewReader(s.payload), sinks)
				}
				sources := make([]Source, len(buffers))
				for i := range sources {
					if i != int(seq)%2 && i != 2 {
						sources[i] = &memory{bytes: buffers[i].Bytes(), failAt: -1}
					}
				}
				var d *Decoder
				if err == nil {
					d, err = NewDecoder(t.Context(), Read{Layout: s.Layout, Payload: s.gen, Sources: sources}, stripe, 0, s.Layout.Size)
				}
				var got []byte
				if err == nil {
					got, err = io.ReadAll(d)
				}
				if err != nil || !bytes.Equal(got, s.payload) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	all.Wait()
}

// Stripes live in the slabs of a window, in no other memory, one behind the other, and say
// where each cell is.
func TestStripesLiveInSlabs(t *testing.T) {
	codec := codecOf(t, FormOf(3, 2))
	pool, err := slab.NewPool(10)
	if err != nil {
		t.Fatal(err)
	}
	const n = 3
	window, err := pool.Lease(codec.Form().Slabs(n))
	if err != nil {
		t.Fatal(err)
	}
	slabs := make([][]byte, window.Len())
	for i := range slabs {
		slabs[i] = window.Slab(i)
	}
	stripes, err := codec.NewStripes(n, slabs...)
	if err != nil {
		t.Fatal(err)
	}
	const block = CellBytes - sumBytes
	payload := payloadOf(1, n*3*block)
	e, body := codec.NewEncoder(generation(1), Unknown), bytes.NewReader(payload)
	used := map[[2]int]bool{}
	for number, stripe := range stripes {
		if err := e.Next(t.Context(), stripe, body); err != nil || stripe.Number() != int64(number) {
			t.Fatalf("stripe %d: %v", stripe.Number(), err)
		}
		for i := range 5 {
			slot, offset := stripe.Slot(i)
			used[[2]int{slot, offset}] = true
			cell := window.Slab(slot)[offset : offset+CellBytes]
			if &cell[0] != &stripe.Cell(i)[0] || len(stripe.Cell(i)) != CellBytes {
				t.Errorf("the cell of slice %d is not at %d of slab %d", i, offset, slot)
			}
			if i < 3 && !bytes.Equal(stripe.Payload(i), payload[(3*number+i)*block:][:block]) {
				t.Errorf("the payload of slice %d in stripe %d is another", i, number)
			}
		}
	}
	if len(used) != n*5 || window.Len() != 8 {
		t.Errorf("%d places in %d slabs of %d cells", len(used), window.Len(), n*5)
	}
	window.Release()
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}

// The library may keep a bounded number of matrices.
func TestLosses(t *testing.T) {
	for want, form := range map[int]Form{3: FormOf(1, 1) /* none, either */, 22: FormOf(4, 2), 794: FormOf(8, 4), 6196: FormOf(16, 4), maxCached + 1: FormOf(32, 32)} {
		if got := losses(form); got != want {
			t.Errorf("%v: %d sets, want %d", form, got, want)
		}
	}
}
