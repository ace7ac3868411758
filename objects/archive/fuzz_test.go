package archive

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Shards come from clients, who may send anything, and indexes from disks.

// scratch is what a reader of a format takes for the smallest input: for LZ4 a block, of
// whatever size the frame announces, and what it refers to.
func scratch(f Format) int {
	if f == TarLZ4 {
		return 6 << 20
	}
	return 512 << 10
}

// What is detected is what was said or found, and what is not is Invalid.
func FuzzDetect(f *testing.F) {
	f.Add("a.tar", "", tarHead())
	f.Add("a", "application/zip", []byte("PK\x03\x04"))
	f.Add("a.tgz", "", []byte{4, 0x22, 0x4d, 0x18})
	f.Fuzz(func(t *testing.T, name, mime string, head []byte) {
		var format Format
		var err error
		allocation.Check(t, len(name)+len(mime)+len(head), 4<<10, func() { format, err = Detect(Hint{Name: name, MIME: mime, Head: head}) })
		if err != nil {
			if format != Unknown || !errs.Is(errs.Invalid, err) {
				t.Fatalf("%s, %v", format, err)
			}
			return
		}
		if found := Sniff(head); format == Unknown || found != Unknown && found != format {
			t.Fatalf("%s, and it begins as a %s", format, found)
		}
		if written, err := ForWriting(name, mime); err == nil && mime == "" && written != format {
			t.Fatalf("a %s is written as a %s", format, written)
		}
	})
}

// Whatever a shard is: listing and reading it ends, in the members or in an error of kind
// Invalid; costs memory in proportion; and what is read of it is read by its index, too. Of a
// zip that the standard library reads we read the same, unless we refuse it.
func FuzzList(f *testing.F) {
	small := []sample{{"a/1", text(1, 600), 0o644, 1}, {"a/2", noise(1, 30), 0o600, 2}, {"b", nil, 0o644, 3}, {"a/1", []byte("again"), 0o644, 1}}
	for _, format := range formats() {
		shard, _ := shardOf(f, format, small)
		f.Add(uint8(format), shard)
		f.Add(uint8(format), shard[:len(shard)/2])
	}
	f.Fuzz(func(t *testing.T, kind uint8, shard []byte) {
		format := Tar + Format(kind)%4
		limits := Limits{Unpacked: 4 << 20}
		input := len(shard) + unpacked(format, shard, limits)
		var members []Member
		var err error
		allocation.Check(t, input, scratch(format), func() { members, err = all(format, shard, limits) })
		if err != nil && !errs.Is(errs.Invalid, err) {
			t.Fatalf("%v, want invalid", err)
		}
		if format == Zip && err == nil {
			compareZip(t, shard, members)
		}
		allocation.Check(t, input, scratch(format), func() {
			// An index has no members that cannot be read, so it may fail where reading does.
			r, fault := Open(format, bytes.NewReader(shard), int64(len(shard)), limits)
			var index []byte
			if fault == nil {
				index, fault = BuildIndex(r, stampOf(shard))
			}
			if fault != nil {
				if err == nil || !errs.Is(errs.Invalid, fault) {
					t.Fatalf("it is read, %v, and not indexed: %v", err, fault)
				}
				return
			}
			if _, fault = ParseIndex(index, stampOf(shard)); fault != nil {
				t.Fatalf("an index was built that is refused: %v", fault)
			}
		})
		if err != nil {
			return
		}
		ix := parse(t, build(t, format, shard), shard)
		for i, m := range slices.Collect(ix.Files()) {
			if i == 8 {
				break
			}
			from, err := ix.Open(bytes.NewReader(shard), m, limits)
			if err != nil {
				t.Fatalf("%+v: %v", m, err)
			}
			if n, err := io.Copy(io.Discard, from); err != nil || n != m.Size {
				t.Fatalf("%+v: %d bytes, %v", m, n, err)
			}
		}
		// What is written anew has the same members and more, or is refused.
		var out bytes.Buffer
		w, _ := NewWriter(&out, format, WriterOptions{})
		r := open(t, format, shard)
		if err := errors.Join(w.Take(r), w.Add(small[0].input()), w.Close()); err != nil {
			if !errs.Is(errs.Invalid, err) && w.err == nil {
				t.Fatal(err)
			}
			return
		}
		grown, err := all(format, out.Bytes(), Limits{})
		if err != nil || len(grown) != len(members)+1 {
			t.Fatalf("of %d members and another one %d came, %v", len(members), len(grown), err)
		}
		for i, m := range members {
			if m.Offset, grown[i].Offset = 0, 0; m != grown[i] {
				t.Fatalf("%+v became %+v", m, grown[i])
			}
		}
	})
}

// unpacked is how much comes out of a compressed tar: what reading it costs goes by that,
// since a header that is like the last one takes a few bytes.
func unpacked(f Format, shard []byte, limits Limits) int {
	if !f.packed() {
		return 0
	}
	tape, err := openTape(f, sourceOf(bytes.NewReader(shard), 0, int64(len(shard)), new(fault)), point{}, newMeter(limits), new(points))
	if err != nil {
		return 0
	}
	n, _ := io.Copy(io.Discard, tape) // until it ends, or is at its limit
	return int(n)
}

// compareZip compares with the standard library, which must read what we do.
func compareZip(t *testing.T, shard []byte, members []Member) {
	theirs, err := zip.NewReader(bytes.NewReader(shard), int64(len(shard)))
	if err != nil {
		return // it refuses more
	}
	if len(theirs.File) != len(members) {
		return // it looks for the directory elsewhere if there is something before the zip
	}
	for i, m := range members {
		h := theirs.File[i]
		if h.Name != m.Name || h.UncompressedSize64 != uint64(m.Size) || h.CRC32 != m.CRC {
			t.Fatalf("%+v, the standard library sees %+v", m, h.FileHeader)
		}
	}
}

// Frames of LZ4 are what the library takes them for, or refused; and entered at any restart
// point they go on as they do from the beginning.
func FuzzLZ4(f *testing.F) {
	for _, size := range []int{0, 100, 70_000, 2_200_000} {
		for _, options := range [][]lz4.Option{
			{lz4.BlockSizeOption(lz4.Block64Kb)},
			{lz4.BlockSizeOption(lz4.Block256Kb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(false)},
		} {
			var out bytes.Buffer
			w := lz4.NewWriter(&out)
			if err := w.Apply(options...); err != nil {
				f.Fatal(err)
			}
			if _, err := w.Write(text(uint64(size), size)); err != nil {
				f.Fatal(err)
			}
			if err := w.Close(); err != nil {
				f.Fatal(err)
			}
			f.Add(out.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 4 << 20
		unpack := func(at point, p *points) ([]byte, error) {
			s := sourceOf(bytes.NewReader(b), at.packed, int64(len(b)), new(fault))
			tape, err := openTape(TarLZ4, s, at, newMeter(Limits{}), p)
			if err != nil {
				t.Fatal(err)
			}
			return io.ReadAll(io.LimitReader(tape, most))
		}
		passed := &points{wanted: true}
		ours, err := unpack(point{}, passed)
		if err != nil {
			return
		}
		theirs, err := io.ReadAll(io.LimitReader(lz4.NewReader(bytes.NewReader(b)), most))
		if err == nil && len(theirs) > 0 && !bytes.HasPrefix(ours, theirs) { // it stops behind some frames
			t.Fatalf("%d bytes, the library reads %d others", len(ours), len(theirs))
		}
		for _, p := range passed.all {
			if rest, err := unpack(p, new(points)); err != nil || len(ours) < most && !bytes.Equal(rest, ours[p.unpacked:]) {
				t.Fatalf("from %+v: %d bytes, %v", p, len(rest), err)
			}
		}
	})
}

// What ParseIndex takes has one spelling, and what it says can be worked with.
func FuzzParseIndex(f *testing.F) {
	for _, format := range formats() {
		index, _ := goldenIndex(f, format)
		f.Add(index)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tries := [][]byte{b}
		if len(b) >= indexBase { // most damage stops at the CRC: what is behind it must hold by itself
			tries = append(tries, reseal(b))
		}
		for _, b := range tries {
			stamp := Stamp{Payload: objects.Generation{Map: 1, Start: 7, Seq: 4711}, Size: 10240}
			var ix *Index
			var err error
			allocation.Check(t, len(b), 4<<10, func() { ix, err = ParseIndex(b, stamp) })
			if err != nil {
				if !errs.Is(errs.Corrupt, err) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrOtherStamp) {
					t.Fatalf("%v, want corrupt, newer or of another stamp", err)
				}
				continue
			}
			again := indexWriter{format: ix.format}
			for m := range ix.Files() {
				if err := again.add(m); err != nil {
					t.Fatal(err)
				}
				if found, err := ix.Find(m.Name); err != nil || !Same(found.Name, m.Name) {
					t.Fatalf("%+v: found is %+v, %v", m, found, err)
				}
				if from, err := ix.Open(bytes.NewReader([]byte("not much")), m, Limits{Unpacked: 1 << 10}); err == nil {
					if n, err := io.Copy(io.Discard, from); err == nil && n != m.Size {
						t.Fatalf("%+v: %d bytes and no error", m, n)
					}
				}
			}
			for rest, last := (spelled{b: ix.points}), (point{}); len(rest.b) > 0; {
				last, _ = last.next(&rest)
				again.points = append(again.points, last)
			}
			if b2 := again.seal(stamp, ix.tail); !bytes.Equal(b, b2) {
				t.Fatalf("% x reads as what is written % x", b, b2)
			}
		}
	})
}

// A time that no calendar has is a time as any other.
func TestTimesOfIndexes(t *testing.T) {
	for _, seconds := range []int64{-1 << 62, -1, 0, 1 << 33, 1 << 62} {
		w := indexWriter{format: Tar}
		m := Member{Name: "a", Offset: 512, Modified: time.Unix(seconds, 0).UTC()}
		if err := w.add(m); err != nil {
			t.Fatal(err)
		}
		stamp := Stamp{Size: 1024}
		ix, err := ParseIndex(w.seal(stamp, 512), stamp)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ix.Find("a"); err != nil || got.Modified.Unix() != seconds {
			t.Errorf("%d: %+v, %v", seconds, got, err)
		}
	}
}
