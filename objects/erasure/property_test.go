package erasure

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// A failing property prints its seed: go test ./objects/erasure -run TestX -rapid.seed=N.

// drawForm draws a form: mostly small ones with cells of a few bytes, so that payloads
// of a few kilobytes have many stripes.
func drawForm(t *rapid.T) Form {
	most := rapid.SampledFrom([]int{3, 6, MaxData}).Draw(t, "most")
	return Form{
		Data: rapid.IntRange(1, most).Draw(t, "data"), Parity: rapid.IntRange(1, most).Draw(t, "parity"),
		CellBytes: rapid.SampledFrom([]int{MinCellBytes, MinCellBytes + 1, 64, 200, 1031}).Draw(t, "cell"),
	}
}

// drawSize draws the size of a payload: nothing, a byte, near the edges of blocks and
// stripes, or any.
func drawSize(t *rapid.T, form Form) int64 {
	block := int64(form.CellBytes - sumBytes)
	edge := rapid.SampledFrom([]int64{0, 1, block, form.stripeBytes(), 2 * form.stripeBytes(), 5 * form.stripeBytes()}).Draw(t, "edge")
	if rapid.Bool().Draw(t, "near") {
		return max(0, edge+rapid.Int64Range(-2, 2).Draw(t, "beside"))
	}
	return rapid.Int64Range(0, 4*form.stripeBytes()).Draw(t, "size")
}

func drawSliced(t *rapid.T) *sliced {
	form := drawForm(t)
	payload := payloadOf(rapid.Uint64().Draw(t, "payload"), drawSize(t, form))
	return encode(t, codecOf(t, form), 1, payload)
}

func drawRange(t *rapid.T, size int64) (offset, length int64) {
	offset = rapid.Int64Range(0, size).Draw(t, "offset")
	return offset, rapid.Int64Range(0, size-offset).Draw(t, "length")
}

// drawLost draws at most p slices.
func drawLost(t *rapid.T, form Form) []int {
	return rapid.Permutation(indices(form.Slices())).Draw(t, "order")[:rapid.IntRange(0, form.Parity).Draw(t, "lost")]
}

// The layout says where each byte of a payload lies: its bytes come once each, in
// order, in the slices of data; ranges find their cells, no more and no fewer.
func TestLayoutIsWhereTheBytesLie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		l := s.Layout
		if l.Size != int64(len(s.payload)) || l.Form != s.codec.form {
			t.Fatalf("%+v of a payload of %d bytes", l, len(s.payload))
		}
		for i, slice := range s.slices {
			if int64(len(slice)) != l.SliceBytes() {
				t.Fatalf("slice %d has %d bytes, the layout says %d", i, len(slice), l.SliceBytes())
			}
		}
		over := l.SliceBytes()*int64(l.Data) - l.Size - l.Stripes()*int64(l.Data)*sumBytes
		if over < 0 || over >= int64(l.Data) {
			t.Fatalf("%d bytes of the slices of data are neither payload nor checksums", over)
		}
		offset, length := drawRange(t, l.Size)
		touched := make([]map[int64]bool, l.Data)
		for i := range touched {
			touched[i] = map[int64]bool{}
		}
		for at := offset; at < offset+length; at++ {
			p := l.At(at)
			if got := s.slices[p.Slice][l.CellOffset(p.Stripe)+int64(p.Offset)]; got != s.payload[at] {
				t.Fatalf("byte %d is at %+v, and is %02x instead of %02x", at, p, got, s.payload[at])
			}
			touched[p.Slice][p.Stripe] = true
		}
		for i, stripes := range touched {
			first, end := l.Cells(i, offset, length)
			if int64(len(stripes)) != end-first {
				t.Fatalf("cells %d to %d of slice %d, %d hold bytes", first, end, i, len(stripes))
			}
			for stripe := range stripes {
				if stripe < first || stripe >= end {
					t.Fatalf("the cells of slice %d are %d to %d, but there are bytes in %d", i, first, end, stripe)
				}
			}
		}
	})
}

// However a payload comes in, declared or not, in whatever pieces, its slices are the
// same.
func TestSlicesDoNotDependOnHowThePayloadComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		declared := int64(Unknown)
		if rapid.Bool().Draw(t, "declared") {
			declared = int64(len(s.payload))
		}
		body := &pieces{s.payload, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "pieces"), 0))}
		again := &sliced{codec: s.codec, gen: s.gen}
		again.take(t, s.codec.NewEncoder(s.gen, declared), body)
		if again.Layout != s.Layout || !slices.Equal(again.Sums, s.Sums) {
			t.Fatalf("%+v, want %+v", again.Slices, s.Slices)
		}
		for i := range s.slices {
			if !bytes.Equal(again.slices[i], s.slices[i]) {
				t.Fatalf("slice %d differs", i)
			}
		}
	})
}

// Any range is read from any d slices, and what is read is the payload. Of whole slices
// only those of data are asked, for the cells that hold the range, once.
func TestAnyRangeFromAnySlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		lost := drawLost(t, s.Layout.Form)
		offset, length := drawRange(t, s.Layout.Size)
		sources := s.sources()
		for _, i := range lost {
			sources[i] = nil
		}
		got, err := s.get(t, sources, offset, length, func(f Failure) { t.Fatalf("%+v", f) })
		if err != nil || !bytes.Equal(got, s.payload[offset:offset+length]) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, length)
		}
		degraded := false
		for _, i := range lost {
			if i < s.Layout.Data {
				first, end := s.Layout.Cells(i, offset, length)
				degraded = degraded || first < end
			}
		}
		for i, source := range sources {
			if source == nil {
				continue
			}
			if source.open != 0 {
				t.Fatalf("%d readers of slice %d are open", source.open, i)
			}
			if degraded {
				continue
			}
			var want []extent
			if first, end := s.Layout.Cells(i, offset, length); i < s.Layout.Data && first < end {
				want = []extent{{s.Layout.CellOffset(first), s.Layout.CellOffset(end) - s.Layout.CellOffset(first)}}
			}
			if !slices.Equal(source.opened, want) {
				t.Fatalf("of slice %d, %v was asked for, want %v", i, source.opened, want)
			}
		}
	})
}

// In each stripe other slices are damaged, up to p of them: what is read is the payload,
// and each damaged cell that was looked at is told of, as corrupt, and nothing else is.
func TestDamageCostsACellAndNotItsSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		sources := s.sources()
		damaged := map[Failure]bool{}
		for stripe := range s.Layout.Stripes() {
			for _, i := range drawLost(t, s.Layout.Form) {
				from, to := s.Layout.CellOffset(stripe), s.Layout.CellOffset(stripe+1)
				bit := rapid.Int64Range(8*from, 8*to-1).Draw(t, "bit")
				sources[i].bytes = flip(sources[i].bytes, int(bit))
				damaged[Failure{Slice: i, Stripe: stripe}] = true
			}
		}
		told := func(f Failure) {
			if !errs.Is(errs.Corrupt, f.Err) || !damaged[Failure{Slice: f.Slice, Stripe: f.Stripe}] {
				t.Fatalf("%+v", f)
			}
		}
		got, err := s.get(t, sources, 0, s.Layout.Size, told)
		if err != nil || !bytes.Equal(got, s.payload) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, s.Layout.Size)
		}
		healed, err := s.repaired(t, sources, told, indices(len(s.slices))...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.slices {
			if !bytes.Equal(healed[i], s.slices[i]) {
				t.Fatalf("slice %d came out otherwise", i)
			}
		}
	})
}

// Lost slices are made anew, byte for byte, from d of the others.
func TestLostSlicesAreMadeAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		lost := drawLost(t, s.Layout.Form)
		sources := s.sources()
		for _, i := range lost {
			sources[i] = nil
		}
		made, err := s.repaired(t, sources, func(f Failure) { t.Fatalf("%+v", f) }, lost...)
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for i, source := range sources {
			if source == nil {
				if !bytes.Equal(made[i], s.slices[i]) {
					t.Fatalf("slice %d came out otherwise", i)
				}
			} else if source.given > 0 {
				read++
			}
		}
		if len(lost) > 0 && s.Layout.Size > 0 && read != s.Layout.Data {
			t.Fatalf("%d slices were read, want %d", read, s.Layout.Data)
		}
	})
}

// With p+1 slices gone nothing is served that is not there, the error says which are, and
// as soon as one comes back the read goes on where it was.
func TestReadsWaitForTooFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		sources := s.sources()
		lost := rapid.Permutation(indices(len(s.slices))).Draw(t, "order")[:s.Layout.Parity+1]
		for _, i := range lost {
			sources[i].failAt = rapid.IntRange(0, 2*int(s.Layout.Stripes())+2).Draw(t, "call")
		}
		back := rapid.SampledFrom(lost).Draw(t, "back")
		offset, length := drawRange(t, s.Layout.Size)
		d, err := NewDecoder(t.Context(), s.read(sources, nil), stripeOf(t, s.codec), offset, length)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var got bytes.Buffer
		_, err = d.WriteTo(&got)
		if err != nil {
			if !errors.Is(err, ErrTooFew) || !errors.Is(err, errBroken) || !errs.Is(errs.Offline, err) {
				t.Fatal(err)
			}
			d.Supply(back, &memory{bytes: s.slices[back], failAt: -1})
			_, err = io.Copy(&got, d)
		}
		if err != nil || !bytes.Equal(got.Bytes(), s.payload[offset:offset+length]) {
			t.Fatalf("%d bytes, %v; want %d", got.Len(), err, length)
		}
	})
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// What Read gives is what WriteTo gives, in any pieces.
func TestReadGivesWhatWriteToGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		d, err := NewDecoder(t.Context(), s.read(s.sources(), nil), stripeOf(t, s.codec), 0, s.Layout.Size)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var got []byte
		for {
			room := make([]byte, rapid.IntRange(1, 2*s.Layout.CellBytes).Draw(t, "room"))
			n, err := d.Read(room)
			got = append(got, room[:n]...)
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, s.payload) {
			t.Fatalf("%d bytes, want %d", len(got), len(s.payload))
		}
	})
}

// A slice passes a Checker in any pieces; one that is a bit different, shorter or longer
// does not.
func TestCheckerKnowsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSliced(t)
		if rapid.Bool().Draw(t, "of real size") {
			payload := payloadOf(rapid.Uint64().Draw(t, "payload"), rapid.Int64Range(0, 3*CellBytes).Draw(t, "size"))
			s = encode(t, codecOf(t, FormOf(1, 1)), 1, payload)
		}
		i := rapid.IntRange(0, len(s.slices)-1).Draw(t, "slice")
		label := &Label{Payload: s.gen, Slice: i, Layout: s.Layout, Sums: s.Sums}
		check := func(slice []byte) error {
			c := NewChecker(s.gen, s.Layout.Form, i)
			for rest := slice; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
				if n, err := c.Write(rest[:n]); n == 0 || err != nil && !errs.Is(errs.Corrupt, err) {
					t.Fatalf("%d, %v", n, err)
				}
				rest = rest[n:]
			}
			return c.Finish(label)
		}
		if err := check(s.slices[i]); err != nil {
			t.Fatal(err)
		}
		other := *label
		other.Sums = slices.Clone(label.Sums)
		other.Sums[i]++
		if label = &other; !errs.Is(errs.Corrupt, check(s.slices[i])) {
			t.Fatal("a label with another sum is believed")
		}
		label = &Label{Payload: s.gen, Slice: i, Layout: s.Layout, Sums: s.Sums}
		longer := append(bytes.Clone(s.slices[i]), make([]byte, rapid.IntRange(1, 20).Draw(t, "longer"))...)
		wrong := [][]byte{longer}
		if n := len(s.slices[i]); n > 0 {
			wrong = append(wrong, s.slices[i][:rapid.IntRange(0, n-1).Draw(t, "shorter")], flip(s.slices[i], rapid.IntRange(0, 8*n-1).Draw(t, "bit")))
		}
		for _, slice := range wrong {
			if err := check(slice); !errs.Is(errs.Corrupt, err) {
				t.Fatalf("%d bytes: %v, want corrupt", len(slice), err)
			}
		}
	})
}

// A label of another slice, payload or form, or with too few sums, is not that of the slice.
func TestCheckerKnowsItsLabel(t *testing.T) {
	s := small(t, 1)
	for what, change := range map[string]func(*Label){
		"": func(*Label) {}, "slice": func(l *Label) { l.Slice = 2 }, "payload": func(l *Label) { l.Payload.Seq++ },
		"form": func(l *Label) { l.Layout.Parity++ }, "sums": func(l *Label) { l.Sums = l.Sums[:1] },
		"size": func(l *Label) { l.Layout.Size += 3 },
	} {
		c := NewChecker(s.gen, s.Layout.Form, 1)
		if _, err := c.Write(s.slices[1]); err != nil {
			t.Fatal(err)
		}
		label := &Label{Payload: s.gen, Slice: 1, Layout: s.Layout, Sums: s.Sums}
		change(label)
		if err := c.Finish(label); (err == nil) != (what == "") || err != nil && !errs.Is(errs.Corrupt, err) {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

// Layouts of payloads as large as they may be stay in their numbers.
func TestTheLargestLayouts(t *testing.T) {
	for _, form := range []Form{{1, 1, MinCellBytes}, FormOf(1, 1), FormOf(MaxData, MaxParity), {MaxData, 1, slab.Bytes}, {3, 2, MinCellBytes + 1}} {
		for _, size := range []int64{MaxSize, MaxSize - 1, 5 << 40} {
			l := Layout{form, size}
			if err := l.Check(); err != nil {
				t.Fatal(err)
			}
			last := l.At(size - 1)
			if last.Stripe != l.Stripes()-1 || last.Slice >= l.Data || last.Offset >= l.blockBytes(last.Stripe) {
				t.Errorf("%v: the last byte is at %+v of %d stripes", l, last, l.Stripes())
			}
			if n := l.SliceBytes(); n < size/int64(l.Data) || n > 2*(size/int64(l.Data)+2*sumBytes) {
				t.Errorf("%v: slices of %d bytes", l, n)
			}
		}
	}
	if err := (Layout{FormOf(4, 2), MaxSize + 1}).Check(); err == nil {
		t.Error("a payload beyond MaxSize can be")
	}
}
