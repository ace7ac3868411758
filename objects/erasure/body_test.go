package erasure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// breaking is a body that breaks at one of its reads, or cancels there.
type breaking struct {
	rest []byte
	at   int
	do   func() error
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.at--; b.at == 0 {
		if err := b.do(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), 50)], b.rest)
	if b.rest = b.rest[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A body that breaks at any read ends the encoding with its error, for good, and what was
// made is nothing.
func TestBodiesBreakAtEachRead(t *testing.T) {
	codec := codecOf(t, Form{3, 2, 64})
	payload := payloadOf(1, 700)
	for _, declared := range []int64{Unknown, 700} {
		for at := 1; ; at++ {
			body := &breaking{payload, at, func() error { return errBroken }}
			e := codec.NewEncoder(generation(1), declared)
			_, err := e.Copy(t.Context(), stripeOf(t, codec), body, &Sinks{Writers: make([]io.Writer, 5)})
			if body.at > 0 {
				if err != nil || at < 15 {
					t.Errorf("after %d reads: %v", at, err)
				}
				break
			}
			if !errors.Is(err, errBroken) {
				t.Errorf("read %d: %v", at, err)
			}
			if again := e.Next(t.Context(), stripeOf(t, codec), strings.NewReader("more")); !errors.Is(again, errBroken) {
				t.Errorf("read %d: afterwards %v", at, again)
			}
			if _, err := e.Finish(); !errs.Is(errs.Internal, err) {
				t.Errorf("read %d: finished: %v", at, err)
			}
		}
	}
	for at := 1; at <= 15; at++ {
		ctx, cancel := context.WithCancel(t.Context())
		body := &breaking{payload, at, func() error { cancel(); return nil }}
		_, err := codec.NewEncoder(generation(1), Unknown).Copy(ctx, stripeOf(t, codec), body, &Sinks{Writers: make([]io.Writer, 5)})
		if !errs.Is(errs.Canceled, err) || !errors.Is(err, context.Canceled) {
			t.Errorf("canceled at read %d: %v", at, err)
		}
	}
}

// A body that is not as long as was declared is told so; and it is no slice of anything.
func TestBodiesOfAnotherLength(t *testing.T) {
	codec := codecOf(t, Form{3, 2, 64})
	encode := func(declared int64, body io.Reader) error {
		_, err := codec.NewEncoder(generation(1), declared).Copy(t.Context(), stripeOf(t, codec), body, &Sinks{Writers: make([]io.Writer, 5)})
		return err
	}
	for _, size := range []int64{0, 1, 167, 168, 169, 500} {
		payload := payloadOf(1, size)
		for _, body := range []func() io.Reader{
			func() io.Reader { return bytes.NewReader(payload) },
			func() io.Reader { return iotest.DataErrReader(bytes.NewReader(payload)) }, // its end comes with its last bytes
			func() io.Reader { return iotest.OneByteReader(bytes.NewReader(payload)) },
		} {
			if err := encode(size, body()); err != nil {
				t.Errorf("%d bytes, as declared: %v", size, err)
			}
			if err := encode(size+1, body()); !errors.Is(err, objects.ErrIncompleteBody) || !errs.Is(errs.Invalid, err) {
				t.Errorf("%d bytes, one more declared: %v", size, err)
			}
			if size > 0 {
				if err := encode(size-1, body()); !errs.Is(errs.Invalid, err) {
					t.Errorf("%d bytes, one less declared: %v", size, err)
				}
			}
		}
	}
	if err := encode(10, lazy{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a body of nothing: %v", err)
	}
}

// sink breaks at a write, or takes less than it was given.
type sink struct {
	bytes.Buffer
	at    int
	short bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.at--; s.at == 0 {
		if s.short {
			return s.Buffer.Write(p[:len(p)-1])
		}
		return 0, errBroken
	}
	return s.Buffer.Write(p)
}

// A sink that fails at any write is left out, and told of; the others get their slices whole,
// as long as enough are left.
func TestSinksBreakAtEachWrite(t *testing.T) {
	s := small(t, 1)
	for at := 1; at <= 3; at++ {
		for broken := range 3 {
			sinks := &Sinks{Writers: make([]io.Writer, 5), Need: 4}
			all := make([]*sink, 5)
			for i := range all {
				all[i] = &sink{}
				if i < broken {
					all[i] = &sink{at: at, short: i == 0}
				}
				sinks.Writers[i] = all[i]
			}
			made, err := s.codec.NewEncoder(s.gen, Unknown).Copy(t.Context(), stripeOf(t, s.codec), bytes.NewReader(s.payload), sinks)
			if broken > 1 {
				if !errors.Is(err, ErrTooFew) || !errors.Is(err, errBroken) || !errors.Is(err, io.ErrShortWrite) || !errs.Is(errs.Offline, err) {
					t.Errorf("%d sinks break at write %d: %v", broken, at, err)
				}
				continue
			}
			if err != nil || made.Sums[4] != s.Sums[4] {
				t.Errorf("%d sinks break at write %d: %v", broken, at, err)
			}
			for i := range all {
				if i < broken {
					if sinks.Writers[i] != nil || !errors.Is(sinks.Failed[i], io.ErrShortWrite) {
						t.Errorf("the sink that broke is not told of: %v", sinks.Failed)
					}
				} else if !bytes.Equal(all[i].Bytes(), s.slices[i]) {
					t.Errorf("slice %d is not whole", i)
				}
			}
		}
	}
	sinks := &Sinks{Writers: []io.Writer{&sink{}, &sink{}, nil, nil, nil}, Need: 1}
	r, err := NewRepairer(s.read(s.sources(), nil), []int{0}, s.Sums)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Copy(t.Context(), stripeOf(t, s.codec), sinks); !errs.Is(errs.Internal, err) {
		t.Errorf("a sink of a slice that is not repaired: %v", err)
	}
}
