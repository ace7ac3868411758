package erasure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// What tests of this package have in common: payloads, slices in memory, and sources
// and sinks that count what is asked of them and break where they are told to.

// tester is a *testing.T, a *testing.B or a *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// generation is the payload generation of test payloads.
func generation(seq uint64) objects.Generation { return objects.Generation{Map: 1, Start: 7, Seq: seq} }

// payloadOf returns n bytes that a seed makes.
func payloadOf(seed uint64, n int64) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = random.Read(b) // never fails
	return b
}

// codecOf returns the codec of a form that can be.
func codecOf(t tester, form Form) *Codec {
	t.Helper()
	var codecs Codecs
	codec, err := codecs.For(form)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// stripeOf returns a stripe in memory of its own, with something in it.
func stripeOf(t tester, codec *Codec) *Stripe {
	t.Helper()
	slabs := make([][]byte, codec.form.Slabs(1))
	for i := range slabs {
		slabs[i] = bytes.Repeat([]byte{0xdb}, min(slab.Bytes, codec.form.Slices()*codec.form.CellBytes))
	}
	stripes, err := codec.NewStripes(1, slabs...)
	if err != nil {
		t.Fatal(err)
	}
	return stripes[0]
}

// sliced is a payload and its slices.
type sliced struct {
	codec   *Codec
	payload []byte
	gen     objects.Generation
	Slices
	slices [][]byte
}

// encode makes the slices of a payload, whose size is declared.
func encode(t tester, codec *Codec, seq uint64, payload []byte) *sliced {
	t.Helper()
	s := &sliced{codec: codec, payload: payload, gen: generation(seq)}
	s.take(t, codec.NewEncoder(s.gen, int64(len(payload))), bytes.NewReader(payload))
	return s
}

func (s *sliced) take(t tester, e *Encoder, body io.Reader) {
	t.Helper()
	rooms := make([]bytes.Buffer, s.codec.form.Slices())
	sinks := &Sinks{Writers: make([]io.Writer, len(rooms)), Need: len(rooms)}
	for i := range rooms {
		sinks.Writers[i] = &rooms[i]
	}
	var err error
	if s.Slices, err = e.Copy(context.Background(), stripeOf(t, s.codec), body, sinks); err != nil {
		t.Fatal(err)
	}
	s.slices = make([][]byte, len(rooms))
	for i := range rooms {
		s.slices[i] = bytes.Clone(rooms[i].Bytes())
	}
}

// sources returns a source for each slice.
func (s *sliced) sources() []*memory {
	all := make([]*memory, len(s.slices))
	for i, b := range s.slices {
		all[i] = &memory{bytes: b, failAt: -1}
	}
	return all
}

// read returns what a decoder or a repairer is made with.
func (s *sliced) read(sources []*memory, failed func(Failure)) Read {
	read := Read{Layout: s.Layout, Payload: s.gen, Sources: make([]Source, len(sources)), Failed: failed}
	for i, source := range sources {
		if source != nil {
			read.Sources[i] = source
		}
	}
	return read
}

// get reads a range of the payload.
func (s *sliced) get(t tester, sources []*memory, offset, length int64, failed func(Failure)) ([]byte, error) {
	t.Helper()
	d, err := NewDecoder(context.Background(), s.read(sources, failed), stripeOf(t, s.codec), offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	got.Grow(int(length))
	_, err = d.WriteTo(&got)
	return got.Bytes(), err
}

// repaired returns the slices that a repairer makes anew.
func (s *sliced) repaired(t tester, sources []*memory, failed func(Failure), lost ...int) (map[int][]byte, error) {
	t.Helper()
	r, err := NewRepairer(s.read(sources, failed), lost, s.Sums)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rooms := map[int][]byte{}
	sinks := &Sinks{Writers: make([]io.Writer, len(s.slices)), Need: len(lost)}
	buffers := make([]bytes.Buffer, len(s.slices))
	for _, i := range lost {
		buffers[i].Grow(int(s.Layout.SliceBytes()))
		sinks.Writers[i] = &buffers[i]
	}
	err = r.Copy(context.Background(), stripeOf(t, s.codec), sinks)
	for _, i := range lost {
		rooms[i] = buffers[i].Bytes()
	}
	return rooms, err
}

// errBroken is what a source or sink returns that was told to break.
var errBroken = errors.New("broken on purpose")

// memory is a slice in memory. It counts its calls, and the one of number failAt, and
// all after it, fail.
type memory struct {
	bytes  []byte
	failAt int // -1: never
	once   bool
	giveUp int // bytes that each Read gives at most; 0: all

	calls  int
	opened []extent // what was asked for
	given  int64    // bytes
	open   int      // readers that are not closed
}

// extent is a piece of a slice.
type extent struct{ offset, length int64 }

func (m *memory) call() error {
	m.calls++
	if m.failAt >= 0 && m.calls > m.failAt && (!m.once || m.calls == m.failAt+1) {
		return errBroken
	}
	return nil
}

// Open implements Source.
func (m *memory) Open(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	m.opened = append(m.opened, extent{offset, length})
	m.open++
	from := min(offset, int64(len(m.bytes)))
	return &memoryReader{m, m.bytes[from:min(from+length, int64(len(m.bytes)))]}, nil
}

type memoryReader struct {
	memory *memory
	rest   []byte
}

func (r *memoryReader) Read(p []byte) (int, error) {
	if err := r.memory.call(); err != nil {
		return 0, err
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	if give := r.memory.giveUp; give > 0 && len(p) > give {
		p = p[:give]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.memory.given += int64(n)
	return n, nil
}

func (r *memoryReader) Close() error {
	r.memory.open--
	return errBroken // nobody may care
}

// pieces is a body that comes in pieces of random length, now and then in none, and
// whose end comes with its last bytes or after them.
type pieces struct {
	rest   []byte
	random *rand.Rand
}

func (p *pieces) Read(room []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(room[:p.random.IntN(len(room)+1)], p.rest)
	p.rest = p.rest[n:]
	if len(p.rest) == 0 && p.random.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// flip returns a copy of b with one bit changed.
func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// wantClosed fails a test if something is still open.
func wantClosed(t *testing.T, sources []*memory) {
	t.Helper()
	for i, source := range sources {
		if source != nil && source.open != 0 {
			t.Errorf("%d readers of slice %d are open", source.open, i)
		}
	}
}
