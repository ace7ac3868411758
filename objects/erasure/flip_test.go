package erasure

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/OneOfOne/xxhash"
	"github.com/zeebo/xxh3"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

var (
	flips    = flag.Int("erasure.flips", 2000, "how many random flips TestRandomFlips makes")
	flipSeed = flag.Uint64("erasure.seed", 1, "seed of the random flips")
)

// small is a payload of three stripes in 3+2, the last of them short.
func small(t tester, seq uint64) *sliced {
	t.Helper()
	return encode(t, codecOf(t, Form{3, 2, 64}), seq, payloadOf(seq, 2*3*56+20))
}

// wantFound reads the payload while one cell is wrong: it is found, told of as corrupt, and
// what is served is right; and it is healed. A cell of parity is read because there is no
// other way: then what is served ends before its stripe.
func wantFound(t *testing.T, s *sliced, sources []*memory, slice int, stripe int64) {
	t.Helper()
	var told []Failure
	tell := func(f Failure) { told = append(told, f) }
	want := s.payload
	reading := slices.Clone(sources)
	if d := s.Layout.Data; slice >= d {
		want = s.payload[:stripe*s.Layout.stripeBytes()]
		for i := range reading {
			if i == 0 || i >= d && i != slice {
				reading[i] = nil
			}
		}
	}
	got, err := s.get(t, reading, 0, s.Layout.Size, tell)
	if !bytes.Equal(got, want) || (err == nil) != (len(want) == len(s.payload)) || err != nil && !errors.Is(err, ErrTooFew) {
		t.Fatalf("slice %d, stripe %d: %d bytes, %v", slice, stripe, len(got), err)
	}
	if len(told) != 1 || told[0].Slice != slice || told[0].Stripe != stripe || !told[0].Wrong || !errs.Is(errs.Corrupt, told[0].Err) {
		t.Fatalf("slice %d, stripe %d: told of %+v", slice, stripe, told)
	}
	told = nil
	made, err := s.repaired(t, sources, tell, slice)
	if err != nil || !bytes.Equal(made[slice], s.slices[slice]) || len(told) != 1 {
		t.Fatalf("slice %d, stripe %d: repair: %v, told of %+v", slice, stripe, err, told)
	}
}

// Every single bit of every slice, flipped: found, not served, healed.
func TestEveryBit(t *testing.T) {
	s := small(t, 1)
	for i, slice := range s.slices {
		for bit := range 8 * len(slice) {
			sources := s.sources()
			sources[i].bytes = flip(slice, bit)
			wantFound(t, s, sources, i, int64(bit/8/s.Layout.CellBytes))
		}
	}
}

// Negative control: where the checksum is made right again behind a flip, nobody finds
// it, and wrong bytes are served. It is the checksum that finds flips, and the comparison
// above would see what gets through.
func TestNothingButTheChecksumFindsFlips(t *testing.T) {
	s := small(t, 1)
	seals := newSeals(s.gen, s.Layout.Form)
	sources := s.sources()
	sources[1].bytes = flip(s.slices[1], 100)
	seals.put(1, 0, sources[1].bytes[:s.Layout.CellBytes])
	got, err := s.get(t, sources, 0, s.Layout.Size, func(f Failure) { t.Errorf("%+v", f) })
	if err != nil || bytes.Equal(got, s.payload) {
		t.Fatalf("%v; a flip that nothing covers was not served", err)
	}
	// A repair takes it into what it makes; there the sums of the label find it.
	sources[3] = nil
	if _, err := s.repaired(t, sources, nil, 3); !errs.Is(errs.Corrupt, err) {
		t.Fatalf("repair from a slice that lies: %v, want corrupt", err)
	}
}

// Random damage of real size: bits, bytes, runs of bytes and of zeros, in any cells, at
// most p of a stripe. Nothing wrong is served, and all is healed.
func TestRandomFlips(t *testing.T) {
	random := rand.New(rand.NewPCG(*flipSeed, 0))
	s := encode(t, codecOf(t, FormOf(4, 2)), 1, payloadOf(*flipSeed, 1<<20+12345))
	defer func() {
		if t.Failed() {
			t.Logf("replay: go test ./objects/erasure -run %s -erasure.flips=%d -erasure.seed=%d", t.Name(), *flips, *flipSeed)
		}
	}()
	rooms := make([][]byte, len(s.slices)) // for the damaged slices
	for done := 0; done < *flips; {
		sources := s.sources()
		for i, slice := range s.slices {
			rooms[i] = append(rooms[i][:0], slice...)
			sources[i].bytes = rooms[i]
		}
		damaged := map[Failure]bool{}
		for stripe := range s.Layout.Stripes() {
			from, to := s.Layout.CellOffset(stripe), s.Layout.CellOffset(stripe+1)
			for _, i := range random.Perm(len(sources))[:random.IntN(s.Layout.Parity+1)] {
				if damage(random, sources[i].bytes[from:to]) {
					damaged[Failure{Slice: i, Stripe: stripe}] = true
					done++
				}
			}
		}
		found := map[Failure]bool{}
		tell := func(f Failure) {
			at := Failure{Slice: f.Slice, Stripe: f.Stripe}
			if found[at] = true; !damaged[at] || !f.Wrong || !errs.Is(errs.Corrupt, f.Err) {
				t.Fatalf("%+v", f)
			}
		}
		if got, err := s.get(t, sources, 0, s.Layout.Size, tell); err != nil || !bytes.Equal(got, s.payload) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		made, err := s.repaired(t, sources, tell, indices(len(s.slices))...)
		for i := range s.slices {
			if err != nil || !bytes.Equal(made[i], s.slices[i]) {
				t.Fatalf("slice %d: %v", i, err)
			}
		}
		for i := range s.slices { // and each by itself, which looks at all of its cells
			if _, err := s.repaired(t, sources, tell, i); err != nil {
				t.Fatalf("slice %d: %v", i, err)
			}
		}
		if len(found) != len(damaged) {
			t.Fatalf("%d of %d damaged cells were found", len(found), len(damaged))
		}
	}
}

// damage changes some of b, and reports whether it did.
func damage(random *rand.Rand, b []byte) bool {
	before := bytes.Clone(b)
	at := random.IntN(len(b))
	run := b[at:min(len(b), at+1+random.IntN(5000))]
	switch random.IntN(5) {
	case 0:
		b[at] ^= 1 << random.IntN(8)
	case 1:
		for range 1 + random.IntN(8) {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
	case 2:
		for i := range run {
			run[i] = byte(random.Uint32())
		}
	case 3:
		clear(run)
	case 4:
		clear(b)
	}
	return !bytes.Equal(before, b)
}

// A cell that is whole but not the one that belongs there is as wrong as a flipped bit: of
// another stripe, slice, payload or form; and so is one of zeros, as a disk gives that lost
// a write.
func TestCellsInTheWrongPlace(t *testing.T) {
	s, other := small(t, 1), small(t, 2)
	l := s.Layout
	cell := func(s *sliced, slice int, stripe int64) []byte {
		return s.slices[slice][s.Layout.CellOffset(stripe):s.Layout.CellOffset(stripe+1)]
	}
	// The same generation and the same payload in two more forms, as a change of protection
	// makes them: with other parity, and with other cells of which one is as long.
	form := encode(t, codecOf(t, Form{3, 1, 64}), 1, s.payload)
	wider := encode(t, codecOf(t, Form{3, 2, 72}), 1, s.payload[:3*56])
	for what, wrong := range map[string][]byte{
		"another stripe":     cell(s, 1, 1),
		"another slice":      cell(s, 2, 0),
		"another payload":    cell(other, 1, 0),
		"another form":       cell(form, 1, 0),
		"another cell size":  cell(wider, 1, 0),
		"zeros":              make([]byte, l.CellBytes),
		"ones":               bytes.Repeat([]byte{0xff}, l.CellBytes),
		"its own, by a byte": append(cell(s, 1, 0)[1:l.CellBytes:l.CellBytes], 0),
	} {
		t.Run(what, func(t *testing.T) {
			if len(wrong) != l.CellBytes {
				t.Fatalf("a cell of %d bytes does not try anything", len(wrong))
			}
			sources := s.sources()
			sources[1].bytes = bytes.Clone(s.slices[1])
			copy(sources[1].bytes, wrong)
			wantFound(t, s, sources, 1, 0)
		})
	}
	// Negative control: moved to where it belongs, a cell is right.
	sources := s.sources()
	sources[1].bytes = append(bytes.Clone(cell(s, 1, 0)), s.slices[1][l.CellBytes:]...)
	if got, err := s.get(t, sources, 0, l.Size, func(f Failure) { t.Errorf("%+v", f) }); err != nil || !bytes.Equal(got, s.payload) {
		t.Fatal(err)
	}
}

// More than p damaged cells of one stripe are more than can be healed: the error is
// corrupt, names them, and nothing wrong was served before it.
func TestTooManyFlips(t *testing.T) {
	s := small(t, 1)
	sources := s.sources()
	for i := range 3 {
		sources[i].bytes = flip(s.slices[i], 8*s.Layout.CellBytes+5) // stripe 1
	}
	got, err := s.get(t, sources, 0, s.Layout.Size, nil)
	if !errors.Is(err, ErrTooFew) || !errs.Is(errs.Corrupt, err) || !bytes.Equal(got, s.payload[:s.Layout.stripeBytes()]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := s.repaired(t, sources, nil, 0); !errors.Is(err, ErrTooFew) || !errs.Is(errs.Corrupt, err) {
		t.Fatalf("repair: %v", err)
	}
	// Where too many are absent besides, they may come back: that is not for quarantine.
	sources[0], sources[3], sources[4] = nil, nil, nil
	if _, err := s.get(t, sources, 0, s.Layout.Size, nil); !errors.Is(err, ErrTooFew) || !errs.Is(errs.Offline, err) {
		t.Fatalf("with three absent: %v", err)
	}
}

// The checksum of a block is of what the format says, byte by byte.
func TestWhatAChecksumCovers(t *testing.T) {
	s := small(t, 1)
	const slice, stripe = 4, 1
	cell := s.slices[slice][s.Layout.CellOffset(stripe):s.Layout.CellOffset(stripe+1)]
	covered := []byte{
		0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, // payload generation 1-7-1
		4, 3, 2, 1, // slice, d, p, code
		0, 0, 0, 64, // bytes of a cell
		0, 0, 0, 0, 0, 0, 0, 1, // stripe
	}
	block := cell[:len(cell)-sumBytes]
	want := xxh3.Hash(block) ^ xxhash.Checksum64(covered)
	if got := binary.BigEndian.Uint64(cell[len(cell)-sumBytes:]); got != want {
		t.Errorf("%016x, want %016x", got, want)
	}
	// The hashes of nothing, by their specifications.
	if a, b := xxh3.Hash(nil), xxhash.Checksum64(nil); a != 0x2d06800538d394c2 || b != 0xef46db3751d8e999 {
		t.Errorf("XXH3 of nothing is %016x, xxhash64 of nothing %016x", a, b)
	}
}

// A generation of another cluster map, start or sequence is another payload.
func TestSealsTellGenerationsApart(t *testing.T) {
	form := Form{2, 1, 64}
	seen := map[uint64]objects.Generation{}
	for _, g := range []objects.Generation{{}, {Map: 1}, {Start: 1}, {Seq: 1}, {Map: 1, Start: 1, Seq: 1}} {
		seals := newSeals(g, form)
		sum := seals.of(0, 0, []byte("block"))
		if other, ok := seen[sum]; ok {
			t.Errorf("%v and %v have one checksum", g, other)
		}
		seen[sum] = g
	}
}
