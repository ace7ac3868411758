package erasure

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// rewrite makes the golden files anew. A change of one is a change of the format on the
// disks of everyone: it needs a version, not this flag.
var rewrite = flag.Bool("rewrite", false, "rewrite the golden files in testdata")

// wantGolden compares with a golden file.
func wantGolden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the format has changed:\n%s\nwant\n%s", file, got, want)
	}
}

func goldenLabel() *Label {
	l := &Label{
		Bucket: objects.BucketID{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7}, Name: "2026/cat.jpg", Payload: generation(4710),
		Slice: 5, Layout: Layout{FormOf(4, 2), 15 << 20},
	}
	for i := range uint64(6) {
		l.Sums = append(l.Sums, 0x0102030405060708+i)
	}
	return l
}

// The bytes of a label stay what they are.
func TestGoldenLabel(t *testing.T) {
	wantGolden(t, "label.hex", hex.Dump(goldenLabel().Append(nil)))
}

func labels() *rapid.Generator[*Label] {
	return rapid.Custom(func(t *rapid.T) *Label {
		l := &Label{
			Name:    string(rapid.SliceOfN(rapid.Byte(), 0, objects.MaxNameBytes).Draw(t, "name")),
			Payload: objects.Generation{Map: rapid.Uint64().Draw(t, "map"), Start: rapid.Uint64().Draw(t, "start"), Seq: rapid.Uint64().Draw(t, "seq")},
			Layout:  Layout{drawForm(t), rapid.Int64Range(0, MaxSize).Draw(t, "size")},
		}
		copy(l.Bucket[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "bucket"))
		n := l.Layout.Slices()
		l.Slice = rapid.IntRange(0, n-1).Draw(t, "slice")
		l.Sums = rapid.SliceOfN(rapid.Uint64(), n, n).Draw(t, "sums")
		return l
	})
}

// What was written is read, whole; and behind what was there before.
func TestLabelsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := labels().Draw(t, "label")
		written := l.Append([]byte("before"))
		read, err := ParseLabel(bytes.TrimPrefix(written, []byte("before")))
		if err != nil || !reflect.DeepEqual(read, l) {
			t.Fatalf("%v\nread    %+v\nwritten %+v", err, read, l)
		}
		if !read.Sibling(l) {
			t.Fatal("a label is not its own sibling")
		}
	})
}

// The largest label stays below what an attribute carries beside the rest of it.
func TestTheLargestLabel(t *testing.T) {
	l := &Label{Name: strings.Repeat("x", objects.MaxNameBytes), Layout: Layout{FormOf(MaxData, MaxParity), MaxSize}, Sums: make([]uint64, MaxSlices)}
	if n := len(l.Append(nil)); n != labelBase+512+1024 || n > 1600 {
		t.Errorf("%d bytes", n)
	}
}

// A label with any bit flipped, or cut anywhere, is corrupt.
func TestDamagedLabels(t *testing.T) {
	b := goldenLabel().Append(nil)
	for bit := range 8 * len(b) {
		if _, err := ParseLabel(flip(b, bit)); !errs.Is(errs.Corrupt, err) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := range b {
		if _, err := ParseLabel(b[:n]); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// reseal makes the CRC of a label right.
func reseal(b []byte) []byte {
	end := len(b) - crc32.Size
	return binary.BigEndian.AppendUint32(bytes.Clone(b[:end]), crc32.Checksum(b[:end], castagnoli))
}

// What no label can say is refused though its CRC is right; of a newer version it is said so.
func TestLabelsThatCannotBe(t *testing.T) {
	b := goldenLabel().Append(nil)
	set := func(at int, values ...byte) []byte {
		c := bytes.Clone(b)
		copy(c[at:], values)
		return reseal(c)
	}
	if _, err := ParseLabel(set(0, LabelVersion)); err != nil {
		t.Fatalf("control: %v", err)
	}
	name := 49 + 8*6
	for what, wrong := range map[string][]byte{
		"code 0":           set(1, 0),
		"code 2":           set(1, 2),
		"no data":          set(2, 0),
		"33 slices":        set(2, MaxData+1),
		"no parity":        set(3, 0),
		"slice 6 of 6":     set(4, 6),
		"more slices":      set(3, 30),
		"cells of 0 bytes": set(5, 0, 0, 0, 0),
		"cells of 4 GiB":   set(5, 0xff, 0xff, 0xff, 0xff),
		"a negative size":  set(41, 0xff),
		"size above 2^60":  set(41, 0x10, 0, 0, 0, 0, 0, 0, 1),
		"a longer name":    set(name, 0, 13),
		"a shorter name":   set(name, 0, 11),
		"bytes behind":     reseal(append(bytes.Clone(b), 0)),
	} {
		if l, err := ParseLabel(wrong); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %+v, %v", what, l, err)
		}
	}
	long := goldenLabel()
	long.Name = strings.Repeat("x", objects.MaxNameBytes+1)
	if _, err := ParseLabel(long.Append(nil)); !errs.Is(errs.Corrupt, err) {
		t.Errorf("a name of %d bytes: %v", len(long.Name), err)
	}
	if _, err := ParseLabel(set(0, LabelVersion+1)); !errors.Is(err, ErrNewer) || errs.Is(errs.Corrupt, err) {
		t.Errorf("a newer version: %v", err)
	}
}

// Labels of other payloads, other forms or other sums are no siblings.
func TestSiblings(t *testing.T) {
	for what, change := range map[string]func(*Label){
		"bucket": func(l *Label) { l.Bucket[0]++ }, "name": func(l *Label) { l.Name += "x" },
		"payload": func(l *Label) { l.Payload.Seq++ }, "size": func(l *Label) { l.Layout.Size++ },
		"form": func(l *Label) { l.Layout.CellBytes++ }, "sums": func(l *Label) { l.Sums[3]++ },
	} {
		l := goldenLabel()
		if change(l); l.Sibling(goldenLabel()) {
			t.Errorf("labels that differ in %s are siblings", what)
		}
	}
	l := goldenLabel()
	if l.Slice = 0; !l.Sibling(goldenLabel()) {
		t.Error("labels of two slices of a payload are no siblings")
	}
}

// Parity is computed as the format says, by arithmetic of its own: a Vandermonde matrix
// r^c over GF(2^8) modulo 0x11d, times the inverse of its first d rows.
func TestParityIsWhatTheFormatSays(t *testing.T) {
	for _, form := range []Form{{1, 1, 64}, {2, 1, 64}, {4, 2, 64}, {10, 4, 64}, {MaxData, MaxParity, 64}} {
		matrix := matrixOf(form)
		s := encode(t, codecOf(t, form), 1, payloadOf(1, form.stripeBytes()))
		for row := form.Data; row < form.Slices(); row++ {
			for at := range 56 {
				var want byte
				for column := range form.Data {
					want ^= times(matrix[row][column], s.slices[column][at])
				}
				if got := s.slices[row][at]; got != want {
					t.Fatalf("%v: byte %d of slice %d is %02x, want %02x", form, at, row, got, want)
				}
			}
		}
	}
	if got, want := fmt.Sprintf("[% x]", slices.Concat(matrixOf(FormOf(4, 2))[4:]...)), "[1b 1c 12 14 1c 1b 14 12]"; got != want {
		t.Errorf("the parity of 4+2 is %s, docs/on-disk-format.md says %s", got, want)
	}
}

// times multiplies in GF(2^8) modulo x^8+x^4+x^3+x^2+1.
func times(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			product ^= a
		}
		high := a >> 7
		a = a<<1 ^ high*0x1d
	}
	return product
}

// matrixOf returns the rows that slices are made by.
func matrixOf(form Form) [][]byte {
	power := func(base byte, n int) byte {
		result := byte(1)
		for range n {
			result = times(result, base)
		}
		return result
	}
	rows := make([][]byte, form.Slices())
	for r := range rows {
		rows[r] = make([]byte, form.Data)
		for c := range rows[r] {
			rows[r][c] = power(byte(r), c)
		}
	}
	// Operations on columns that make the first d rows the identity multiply by their inverse.
	for c := range form.Data {
		pivot := c
		for rows[c][pivot] == 0 {
			pivot++
		}
		inverse := power(rows[c][pivot], 254)
		for r := range rows {
			rows[r][c], rows[r][pivot] = rows[r][pivot], rows[r][c]
			rows[r][c] = times(rows[r][c], inverse)
		}
		for other := range form.Data {
			if factor := rows[c][other]; other != c && factor != 0 {
				for r := range rows {
					rows[r][other] ^= times(factor, rows[r][c])
				}
			}
		}
	}
	return rows
}

// The slices of a payload stay what they are: blocks, parity, checksums and sums.
func TestGoldenSlices(t *testing.T) {
	var all strings.Builder
	s := encode(t, codecOf(t, Form{2, 1, 32}), 4710, payloadOf(1, 2*24*2-9))
	fmt.Fprintf(&all, "%v of cells of %d bytes, a payload of %d bytes\n", s.Layout.Form, s.Layout.CellBytes, s.Layout.Size)
	for i, slice := range s.slices {
		fmt.Fprintf(&all, "slice %d, sum %016x\n%s", i, s.Sums[i], hex.Dump(slice))
	}
	for _, form := range []Form{FormOf(1, 1), FormOf(4, 2), FormOf(10, 4), FormOf(MaxData, MaxParity)} {
		s := encode(t, codecOf(t, form), 4710, payloadOf(1, form.stripeBytes()+12345))
		fmt.Fprintf(&all, "%v, the sums of %d bytes: %016x\n", form, s.Layout.Size, s.Sums)
	}
	wantGolden(t, "slices.txt", all.String())
}
