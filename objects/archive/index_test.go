package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// goldenIndex is an index in which everything is, by hand and not from a shard, so that no
// library's compression has a part in it.
func goldenIndex(t testing.TB, f Format) (index []byte, stamp Stamp) {
	t.Helper()
	w := indexWriter{format: f}
	members := []Member{
		{Name: "b/2.jpg", Size: 3000, Offset: 512, Stored: 3000, Mode: 0o644, Modified: at(1_700_000_000)},
		{Name: "/a", Size: 0, Offset: 4096, Stored: 0, Mode: 0o7777, Modified: at(-1)},
		{Name: "b/2.jpg", Size: 1, Offset: 4608, Stored: 1, Mode: 0, Modified: at(0)},
	}
	if f == Zip {
		members[0].Method, members[0].Stored, members[0].CRC = MethodDeflated, 200, 0x01020304
	}
	for _, m := range members {
		if err := w.add(m); err != nil {
			t.Fatal(err)
		}
	}
	tail := int64(5632)
	switch f {
	case TarGzip:
		w.points = []point{{100, 1 << 20, pointDeflate}, {300, 3 << 20, pointBegins}}
	case TarLZ4:
		w.points = []point{{100, 1 << 20, lz4PackerFrame}, {300, 3 << 20, pointBegins}}
	case Zip:
		tail = -1
	}
	stamp = Stamp{objects.Generation{Map: 1, Start: 7, Seq: 4711}, 10240}
	return w.seal(stamp, tail), stamp
}

// The bytes of an index stay what they are.
func TestGoldenIndex(t *testing.T) {
	var all strings.Builder
	for _, f := range formats() {
		index, stamp := goldenIndex(t, f)
		fmt.Fprintf(&all, "%s\n%s", f, hex.Dump(index))
		if _, err := ParseIndex(index, stamp); err != nil {
			t.Error(err)
		}
	}
	wantGolden(t, "index.txt", all.String())
}

// An index with any bit flipped, or cut anywhere, is refused, and so is one of another stamp.
func TestDamagedIndexes(t *testing.T) {
	for _, f := range formats() {
		index, stamp := goldenIndex(t, f)
		for bit := range 8 * len(index) {
			b := bytes.Clone(index)
			b[bit/8] ^= 1 << (bit % 8)
			if _, err := ParseIndex(b, stamp); !errs.Is(errs.Corrupt, err) {
				t.Errorf("%s: bit %d: %v", f, bit, err)
			}
		}
		for n := range index {
			if _, err := ParseIndex(index[:n], stamp); !errs.Is(errs.Corrupt, err) {
				t.Errorf("%s: %d bytes: %v", f, n, err)
			}
		}
		for _, other := range []Stamp{{}, {stamp.Payload, stamp.Size + 1}, {objects.Generation{Map: 1, Start: 7, Seq: 4712}, stamp.Size}} {
			if _, err := ParseIndex(index, other); !errs.Is(errs.Conflict, err) || !errors.Is(err, ErrOtherStamp) {
				t.Errorf("%s: of %+v: %v", f, other, err)
			}
		}
		newer := bytes.Clone(index)
		newer[0]++
		if _, err := ParseIndex(reseal(newer), stamp); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: of a newer version: %v", f, err)
		}
	}
}

// reseal makes the CRC of an index right.
func reseal(b []byte) []byte {
	end := len(b) - crc32.Size
	return binary.BigEndian.AppendUint32(bytes.Clone(b[:end]), crc32.Checksum(b[:end], castagnoli))
}

// What cannot be so is refused even where the checksum is right: each of these says something
// else that no shard has.
func TestImpossibleIndexes(t *testing.T) {
	index, stamp := goldenIndex(t, Tar)
	const entries = indexBase - crc32.Size
	replace := func(at int, with ...byte) []byte {
		b := bytes.Clone(index)
		copy(b[at:], with)
		return reseal(b)
	}
	order := bytes.Index(index, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2})
	if order < 0 {
		t.Fatal("there is no order")
	}
	for why, b := range map[string][]byte{
		"no format":                replace(1, 0),
		"an unknown format":        replace(1, 5),
		"a tar with methods":       replace(1, byte(Zip)),
		"a shard without end":      replace(26, 0xff),
		"a trailer outside":        replace(34, 0, 0, 0, 0, 0, 0, 0x30, 0),
		"a trailer between blocks": replace(41, 1),
		"more members":             replace(45, 4),
		"fewer members":            replace(45, 2),
		"four billion members":     replace(42, 0xff, 0xff, 0xff, 0xff),
		"four billion bytes":       replace(46, 0xff, 0xff, 0xff, 0xff),
		"restart points in a tar":  replace(53, 1),
		"an empty name":            replace(entries, 0),
		"a long name":              replace(entries, 0xff),
		"an offset between blocks": replace(entries+8, 0x81),
		"a number with two forms":  replace(entries+8, 0x80, 0x00),
		"twice the same":           replace(order, 0, 0, 0, 0),
		"a member that is not":     replace(order, 0, 0, 0, 3),
		"out of order":             replace(order, 0, 0, 0, 0, 0, 0, 0, 1),
		"the later first":          replace(order+4, 0, 0, 0, 2, 0, 0, 0, 0),
	} {
		if ix, err := ParseIndex(b, Stamp{stamp.Payload, int64(binary.BigEndian.Uint64(b[26:]))}); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %+v, %v", why, ix, err)
		}
	}
	// The control: what was replaced by itself is taken.
	if _, err := ParseIndex(replace(order, 0, 0, 0, 1), stamp); err != nil {
		t.Error(err)
	}
}

// reads records what is read of a shard.
type reads struct {
	*bytes.Reader
	calls int
	bytes int64
	from  int64
}

func (r *reads) ReadAt(p []byte, offset int64) (int, error) {
	r.calls++
	r.bytes += int64(len(p))
	r.from = min(r.from, offset)
	return r.Reader.ReadAt(p, offset)
}

func watched(shard []byte) *reads { return &reads{Reader: bytes.NewReader(shard), from: 1 << 62} }

// Nothing is read that is not needed: a listing skips contents, a member by its index is its
// own bytes, and a compressed tar is entered within two MiB.
func TestWhatIsRead(t *testing.T) {
	var members []sample
	for i := range 40 {
		members = append(members, sample{fmt.Sprintf("%03d", i), noise(uint64(i), 300_000), 0o644, 1})
	}
	const late = 33
	for _, f := range formats() {
		shard, index := shardOf(t, f, members)
		ix := parse(t, index, shard)
		at := watched(shard)
		m, err := ix.Find(members[late].name)
		if err != nil {
			t.Fatal(err)
		}
		from, err := ix.Open(at, m, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, from); err != nil || n != 300_000 {
			t.Fatal(n, err)
		}
		limit := int64(300_000)
		switch f {
		case Zip:
			limit += 200 // deflate of noise is a little more
		case TarGzip, TarLZ4:
			limit += 1_200_000 + unpackRoom
		}
		if at.bytes > limit {
			t.Errorf("%s: %d bytes were read for a member of 300,000", f, at.bytes)
		}
		if f.packed() && at.from == 0 {
			t.Errorf("%s: it was read from the beginning", f)
		}
		if f.packed() {
			continue
		}
		at = watched(shard)
		r, err := Open(f, at, int64(len(shard)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for count := 0; ; count++ {
			if _, err := r.Next(); err == io.EOF && count == len(members) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if at.bytes > int64(len(members)+2)*sourceRoom*2 {
			t.Errorf("%s: %d bytes were read to list %d members", f, at.bytes, len(members))
		}
	}
	// Negative control: without restart points a compressed tar is read from the beginning.
	shard, _ := shardOf(t, TarGzip, members)
	ix := parse(t, build(t, TarGzip, shard), shard)
	m, err := ix.Find(members[late].name)
	if err != nil {
		t.Fatal(err)
	}
	at := watched(shard)
	if _, err := ix.Open(at, m, Limits{}); err != nil || at.from != 0 {
		t.Errorf("%v, read from %d", err, at.from)
	}
}

// An index is built of a shard of which nothing was read, and of the stamp's size.
func TestIndexesAreOfWholeShards(t *testing.T) {
	shard, _ := shardOf(t, Tar, samples())
	r := open(t, Tar, shard)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := BuildIndex(r, stampOf(shard)); err == nil {
		t.Error("half of a shard was indexed")
	}
	if _, err := BuildIndex(open(t, Tar, shard), Stamp{Size: 1}); !errors.Is(err, ErrOtherStamp) {
		t.Errorf("a shard of another size: %v", err)
	}
	if _, err := BuildIndex(open(t, Tar, shard[:len(shard)/2]), stampOf(shard[:len(shard)/2])); !errors.Is(err, ErrMalformed) {
		t.Errorf("half of a shard: %v", err)
	}
	w, _ := NewWriter(io.Discard, Tar, WriterOptions{})
	if _, err := w.Index(stampOf(nil)); err == nil {
		t.Error("a writer that is not closed, and was not asked to, gave an index")
	}
}

// Tails that an index does not know, or knows otherwise, are refused.
func TestTailsOfIndexes(t *testing.T) {
	shard, index := shardOf(t, Tar, samples())
	ix := parse(t, index, shard)
	tail, err := ix.Tail()
	if err != nil || tail != int64(len(shard))-trailerBytes {
		t.Errorf("%d, %v", tail, err)
	}
	if _, err := AppendTail(io.Discard, tail-512, ix); !errors.Is(err, ErrOtherStamp) {
		t.Error(err)
	}
	if _, err := AppendTail(io.Discard, tail-1, nil); !errs.Is(errs.Invalid, err) {
		t.Error(err)
	}
	zip, index := shardOf(t, Zip, samples())
	if _, err := parse(t, index, zip).Tail(); !errs.Is(errs.Invalid, err) {
		t.Error(err)
	}
}
