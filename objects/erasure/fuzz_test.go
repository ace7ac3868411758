package erasure

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Labels and slices come from disks and from other nodes, and both invent.

// What ParseLabel takes has one spelling; and what it says can be worked with, however
// large it says that it is: a read through it fails for want of slices, without memory in
// proportion to what it claims.
func FuzzParseLabel(f *testing.F) {
	f.Add(goldenLabel().Append(nil))
	for seed := range 8 {
		f.Add(labels().Example(seed).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tries := [][]byte{b}
		if len(b) >= labelBase { // most damage stops at the CRC: what is behind it must hold by itself
			tries = append(tries, reseal(b))
		}
		for _, b := range tries {
			var l *Label
			var err error
			allocation.Check(t, len(b), 4<<10, func() { l, err = ParseLabel(b) })
			if err != nil {
				if !errs.Is(errs.Corrupt, err) && !errors.Is(err, ErrNewer) {
					t.Fatalf("%v, want corrupt or newer", err)
				}
				continue
			}
			if again := l.Append(nil); !bytes.Equal(again, b) {
				t.Fatalf("% x reads as %+v, which is written % x", b, l, again)
			}
			checkLayout(t, l)
		}
	})
}

// checkLayout reads the last byte of what a label claims.
func checkLayout(t *testing.T, l *Label) {
	if l.Layout.Size == 0 || l.Layout.Slices()*l.Layout.CellBytes > 64<<10 {
		return
	}
	stripe := stripeOf(t, codecOf(t, l.Layout.Form))
	sources := make([]Source, l.Layout.Slices())
	for i := range sources {
		sources[i] = &memory{bytes: []byte("not much"), failAt: -1}
	}
	allocation.Check(t, 0, 256<<10, func() {
		d, err := NewDecoder(t.Context(), Read{Layout: l.Layout, Payload: l.Payload, Sources: sources}, stripe, l.Layout.Size-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if piece, err := d.Next(); !errors.Is(err, ErrTooFew) {
			t.Fatalf("%q, %v, of slices with next to nothing in them", piece, err)
		}
	})
}

// Slices that were changed in any way give the payload or an error, never other bytes; what
// a repair gives is what was there; a Checker takes what is as it was and nothing else.
// The changes are a program: each step takes eight bytes.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(3), uint8(2), uint16(356), []byte{})
	f.Add(uint8(3), uint8(2), uint16(356), []byte{0, 1, 0, 70, 0, 1, 0, 8})                            // one bit of slice 1
	f.Add(uint8(1), uint8(1), uint16(1), []byte{1, 0, 0, 0, 0, 0, 0, 0})                               // slice 0 cut to nothing
	f.Add(uint8(4), uint8(2), uint16(900), []byte{2, 1, 0, 0, 0, 64, 0, 64, 3, 2, 0, 0, 0, 64, 0, 64}) // cells moved
	f.Add(uint8(2), uint8(3), uint16(500), []byte{4, 0, 0, 3, 0, 9, 0, 2, 5, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data, parity uint8, size uint16, program []byte) {
		form := Form{1 + int(data)%8, 1 + int(parity)%8, 64}
		s := encode(t, codecOf(t, form), 1, payloadOf(uint64(size), int64(size)%2000))
		changed := s.sources()
		total := 0
		for ; len(program) >= 8; program = program[8:] {
			change(s, changed, program)
		}
		for _, source := range changed {
			if source != nil {
				total += len(source.bytes)
			}
		}
		stripe := stripeOf(t, s.codec)
		var got bytes.Buffer
		got.Grow(len(s.payload))
		var err error
		// 4 KiB for each cell that is told of, and the 96 bytes of each sum.
		base := 4<<10 + int(s.Layout.Stripes()+1)*form.Slices()*(4<<10)
		allocation.Check(t, total, base, func() {
			got.Reset()
			var d *Decoder
			d, err = NewDecoder(t.Context(), s.read(changed, nil), stripe, 0, s.Layout.Size)
			if err == nil {
				_, err = d.WriteTo(&got)
				d.Close()
			}
		})
		if !bytes.HasPrefix(s.payload, got.Bytes()) || (err == nil) != (got.Len() == len(s.payload)) || err != nil && !errors.Is(err, ErrTooFew) {
			t.Fatalf("%d of %d bytes, %v", got.Len(), len(s.payload), err)
		}
		right := 0
		for i, source := range changed {
			if source == nil {
				continue
			}
			made, repairErr := s.repaired(t, changed, nil, i)
			if !bytes.HasPrefix(s.slices[i], made[i]) || (repairErr == nil) != (len(made[i]) == len(s.slices[i])) {
				t.Fatalf("slice %d: %d of %d bytes, %v", i, len(made[i]), len(s.slices[i]), repairErr)
			}
			checker := NewChecker(s.gen, form, i)
			_, _ = checker.Write(source.bytes) // Finish says what is wrong
			same := bytes.Equal(source.bytes, s.slices[i])
			if checkErr := checker.Finish(&Label{Payload: s.gen, Slice: i, Layout: s.Layout, Sums: s.Sums}); (checkErr == nil) != same {
				t.Fatalf("slice %d, the same: %v: %v", i, same, checkErr)
			}
			if same && source.failAt < 0 {
				right++
			}
		}
		if right >= form.Data && err != nil {
			t.Fatalf("%d slices are right: %v", right, err)
		}
	})
}

// change carries out one step of a program: kind, slice, another slice, a byte, and two
// places in slices.
func change(s *sliced, sources []*memory, step []byte) {
	i, j := int(step[1])%len(sources), int(step[2])%len(sources)
	at, other := int(binary.BigEndian.Uint16(step[4:])), int(binary.BigEndian.Uint16(step[6:]))
	source := sources[i]
	if source == nil || len(source.bytes) == 0 {
		return
	}
	source.bytes = bytes.Clone(source.bytes)
	at %= len(source.bytes)
	switch step[0] % 7 {
	case 0: // a byte
		source.bytes[at] ^= step[3]
	case 1: // cut
		source.bytes = source.bytes[:at]
	case 2: // bytes of another slice, or from elsewhere in this one
		copy(source.bytes[at:], s.slices[j][min(other, len(s.slices[j])):])
	case 3: // a cell of another slice
		copy(source.bytes[at/64*64:], s.slices[j][min(other/64*64, len(s.slices[j])):])
	case 4: // inserted
		source.bytes = slices.Insert(source.bytes, at, step...)
	case 5: // absent
		sources[i] = nil
	case 6: // broken
		source.failAt = at % 8
	}
}

// Whatever two slices of raw bytes are said to be, they are not the payload.
func FuzzForeignSlices(f *testing.F) {
	s := encode(f, codecOf(f, Form{1, 1, 64}), 1, []byte("a payload"))
	f.Add(uint16(9), s.slices[0], s.slices[1])
	f.Add(uint16(100), make([]byte, 108), make([]byte, 116))
	f.Fuzz(func(t *testing.T, size uint16, first, second []byte) {
		form := Form{1, 1, 64}
		read := Read{
			Layout: Layout{form, int64(size)}, Payload: generation(1),
			Sources: []Source{&memory{bytes: first, failAt: -1}, &memory{bytes: second, failAt: -1}},
		}
		d, err := NewDecoder(context.Background(), read, stripeOf(t, codecOf(t, form)), 0, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		got, err := io.ReadAll(d)
		// Nobody finds the checksum of a cell of another payload by chance: what is served
		// was encoded here, and is one of the two as it is in the seeds.
		if len(got) > 0 && !reflect.DeepEqual(got, []byte("a payload")) {
			t.Fatalf("%q was served, %v", got, err)
		}
	})
}
