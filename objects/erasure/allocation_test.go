package erasure

import (
	"context"
	"io"
	"testing"

	"github.com/troupe-storage/troupe/objects/allocation"
)

// endless is a body or a slice that is read without a copy: what is in the room is what
// has come.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), e.left))
	if e.left -= int64(n); n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// reread is a source whose readers are made once, so that what a decoder allocates is its
// own.
type reread struct {
	bytes []byte
	rest  []byte
}

func (r *reread) Open(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	r.rest = r.bytes[offset : offset+length]
	return r, nil
}

func (r *reread) Read(p []byte) (int, error) {
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (*reread) Close() error { return nil }

// Of a stream in full flow nothing is allocated for its bytes: what the library allocates
// for a call (1 KiB, and to decode 2 KiB) is all that a stripe of 256 KiB costs, and a
// healthy read costs nothing.
func TestTheSteadyStateAllocatesNothing(t *testing.T) {
	const stripes = 64
	codec := codecOf(t, FormOf(4, 2))
	stripe := stripeOf(t, codec)
	s := encode(t, codec, 1, payloadOf(1, stripes*codec.form.stripeBytes()))

	e := codec.NewEncoder(s.gen, Unknown)
	body := &endless{1 << 40}
	allocation.Check(t, 0, stripes<<10, func() {
		for range stripes {
			if err := e.Next(t.Context(), stripe, body); err != nil {
				t.Fatal(err)
			}
		}
	})

	sources := make([]Source, 6)
	for i := range sources {
		sources[i] = &reread{bytes: s.slices[i]}
	}
	decode := func(base int, sources []Source) {
		t.Helper()
		var d *Decoder
		begin := func() (err error) {
			d, err = NewDecoder(t.Context(), Read{Layout: s.Layout, Payload: s.gen, Sources: sources}, stripe, 0, s.Layout.Size)
			return err
		}
		if err := begin(); err != nil {
			t.Fatal(err)
		}
		allocation.Check(t, 0, base, func() {
			for {
				if _, err := d.Next(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			d.offset, d.intake.number = 0, -1 // once more
		})
	}
	decode(256, sources) // a goroutine of the test's own may allocate a little
	decode(stripes*2<<10, append([]Source{nil, nil}, sources[2:]...))

	repair := func(base int, lost ...int) {
		t.Helper()
		r, err := NewRepairer(Read{Layout: s.Layout, Payload: s.gen, Sources: append([]Source{nil, nil}, sources[2:]...)}, lost, s.Sums)
		if err != nil {
			t.Fatal(err)
		}
		allocation.Check(t, 0, base, func() {
			for r.next = 0; r.next < r.intake.layout.Stripes(); {
				if err := r.Next(t.Context(), stripe); err != nil {
					t.Fatal(err)
				}
			}
			r.intake.number = -1
		})
	}
	repair(stripes*2<<10, 0, 1)
}

// A decoder, and an encoder, of the widest form cost little by themselves.
func TestWhatAStreamCosts(t *testing.T) {
	codec := codecOf(t, FormOf(MaxData, MaxParity))
	allocation.Check(t, 0, 16<<10, func() { codec.NewEncoder(generation(1), Unknown) })
}
