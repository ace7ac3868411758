package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// tarOf makes a tar of headers; a member of n bytes has n times an x.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// all reads everything of a shard, and says how it ended.
func all(f Format, shard []byte, limits Limits) (members []Member, err error) {
	r, err := Open(f, bytes.NewReader(shard), int64(len(shard)), limits)
	if err != nil {
		return nil, err
	}
	for {
		m, err := r.Next()
		if err == io.EOF {
			return members, nil
		} else if err != nil {
			return members, err
		}
		members = append(members, m)
		if m.Kind == File {
			if n, err := io.Copy(io.Discard, r); err != nil {
				return members, err
			} else if n != m.Size {
				return members, fmt.Errorf("%d bytes of %d", n, m.Size)
			}
		}
	}
}

// Names that lead out, links, devices and headers of others are members as any other: listed,
// told apart, and opened only if they are files.
func TestOddMembers(t *testing.T) {
	long := strings.Repeat("d/", 500) + "x"
	shard := tarOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "../../etc/passwd", Size: 3},
		tar.Header{Typeflag: tar.TypeReg, Name: "/absolute", Size: 3},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "symlink", Linkname: "/etc/passwd"},
		tar.Header{Typeflag: tar.TypeLink, Name: "hardlink", Linkname: "/absolute", Size: 0},
		tar.Header{Typeflag: tar.TypeDir, Name: "dir/"},
		tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"},
		tar.Header{Typeflag: tar.TypeChar, Name: "device"},
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "global", PAXRecords: map[string]string{"comment": "of all"}},
		tar.Header{Typeflag: tar.TypeReg, Name: long, Size: 3, PAXRecords: map[string]string{"TROUPE.test": "x"}},
		tar.Header{Typeflag: tar.TypeReg, Name: long + "/gnu", Size: 3, Format: tar.FormatGNU},
	)
	want := []struct {
		name    string
		kind    Kind
		escapes bool
	}{
		{"../../etc/passwd", File, true}, {"/absolute", File, true}, {"symlink", Link, false}, {"hardlink", Link, false}, {"dir/", Directory, false},
		{"fifo", Other, false}, {"device", Other, false}, {long, File, false}, {long + "/gnu", File, false},
	}
	members, err := all(Tar, shard, Limits{})
	if err != nil || len(members) != len(want) {
		t.Fatalf("%d members, %v", len(members), err)
	}
	for i, w := range want {
		if m := members[i]; m.Name != w.name || m.Kind != w.kind || m.Escapes() != w.escapes {
			t.Errorf("%+v, want %+v", m, w)
		}
	}
	if _, err := open(t, Tar, shard).Find("absolute"); err != nil {
		t.Error(err)
	}
	for name, why := range map[string]string{"symlink": "only a link", "dir/": "only a directory", "nothing": "no such member"} {
		if _, err := open(t, Tar, shard).Find(name); !errs.Is(errs.NotFound, err) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := parse(t, build(t, Tar, shard), shard).Len(); n != 4 {
		t.Errorf("%d files are indexed", n)
	}
	grown, _ := grow(t, Tar, shard, samples()[:1])
	if members, err := all(Tar, grown, Limits{}); err != nil || len(members) != len(want)+1 {
		t.Errorf("grown, it has %d members, %v", len(members), err)
	}
}

// A tar that ends in headers which are no member is appended to behind their padding.
func TestHeadersOfAllAtTheEnd(t *testing.T) {
	shard := tarOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 3},
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "global", PAXRecords: map[string]string{"comment": "of all"}},
	)
	extra := []sample{{"b", []byte("b"), 0o644, 1}}
	grown, _ := grow(t, Tar, shard, extra)
	in, index := growInPlace(t, shard, parse(t, build(t, Tar, shard), shard), extra)
	if !bytes.Equal(in, grown) || !bytes.Equal(index, build(t, Tar, grown)) {
		t.Error("written anew, it is not as appended to in place")
	}
	if members, err := all(Tar, grown, Limits{}); err != nil || len(members) != 2 || members[1].Name != "b" {
		t.Errorf("%+v, %v", members, err)
	}
}

// A shard that is cut anywhere is malformed, or has fewer members if it ends between two; it
// never gives a member that is not whole. With a flipped bit, zips and gzips say so.
func TestCutShards(t *testing.T) {
	members := []sample{{"a", text(1, 2000), 0o644, 1}, {"b", noise(2, 700), 0o644, 1}, {"c", nil, 0o644, 1}}
	for _, f := range formats() {
		shard, index := shardOf(t, f, members)
		between := []int{0} // where a tar may end: behind a member, with its padding or without some
		for m := range parse(t, index, shard).Files() {
			for end := m.Offset + m.Size; f == Tar; end++ {
				if between = append(between, int(end)); end%tarBlock == 0 {
					break
				}
			}
		}
		for n := len(shard) - trailerBytes; n < len(shard); n += tarBlock {
			between = append(between, n) // of the trailer one block, or none, will do
		}
		for n := range shard {
			got, err := all(f, shard[:n], Limits{})
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: %d of %d bytes: %v", f, n, len(shard), err)
			}
			// An empty object is an empty tar, and so is one cut before its first member.
			if f != Tar && err == nil && (f == Zip || n > 0 && n < len(shard)-64) {
				t.Fatalf("%s: %d of %d bytes: %d members and no error", f, n, len(shard), len(got))
			}
			if f == Tar && err == nil && !slices.Contains(between, n) {
				t.Fatalf("%s: %d of %d bytes: %d members and no error", f, n, len(shard), len(got))
			}
		}
	}
	shard, _ := shardOf(t, Zip, members)
	directory := bytes.Index(shard, []byte("PK\x01\x02"))
	flips := 0
	const step = 7 // coprime to 8, so that every bit of a byte has its turn
	for bit := 0; bit < 8*directory; bit += step {
		b := bytes.Clone(shard)
		b[bit/8] ^= 1 << (bit % 8)
		r := open(t, Zip, b)
		for _, s := range members {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				flips++
				break
			}
			if !bytes.Equal(content, s.content) {
				t.Fatalf("bit %d: %s has other bytes", bit, s.name)
			}
		}
	}
	if flips < 8*1000/step { // what the members are compressed to
		t.Errorf("of %d bits that were flipped %d were noticed", 8*directory/step, flips)
	}
}

// A failure of the caller's reader is the caller's, and stays; it is no fault of the archive.
func TestReadersThatFail(t *testing.T) {
	gone := errs.E("disk.Read", errs.IO, errors.New("the disk is gone"))
	for _, f := range formats() {
		shard, index := shardOf(t, f, samples())
		for _, from := range []int64{0, 300, 80_000, int64(len(shard)) - 30} {
			at := failingAt{bytes.NewReader(shard), from, gone}
			var err error
			r, err := Open(f, at, int64(len(shard)), Limits{})
			for err == nil {
				if _, err = r.Next(); err == nil {
					_, err = io.Copy(io.Discard, r)
				}
			}
			// A tar's reader has no business behind the trailer's beginning.
			if !errors.Is(err, gone) || !errs.Is(errs.IO, err) {
				if from < int64(len(shard))-100 || err != io.EOF {
					t.Errorf("%s: failing at %d: %v", f, from, err)
				}
			}
		}
		ix := parse(t, index, shard)
		m, err := ix.Find("0003.jpg")
		if err != nil {
			t.Fatal(err)
		}
		from, err := ix.Open(failingAt{bytes.NewReader(shard), 0, gone}, m, Limits{})
		if err == nil {
			_, err = io.ReadAll(from)
		}
		if !errors.Is(err, gone) {
			t.Errorf("%s: by its index: %v", f, err)
		}
	}
}

type failingAt struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failingAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, offset)
}

// What unpacks to more than Limits allow ends, at little cost, whether it is wanted or
// skipped; and so does what has more members.
func TestBombs(t *testing.T) {
	bomb := sample{"bomb", make([]byte, 16<<20), 0o644, 1}
	for _, f := range []Format{TarGzip, TarLZ4, Zip} {
		shard, index := shardOf(t, f, []sample{bomb, {"behind", nil, 0o644, 1}})
		if _, err := all(f, shard, Limits{Unpacked: 1 << 20}); !errors.Is(err, ErrLimit) || !errs.Is(errs.Invalid, err) {
			t.Errorf("%s: %v", f, err)
		}
		if _, err := all(f, shard, Limits{Unpacked: 17 << 20}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		r, err := Open(f, bytes.NewReader(shard), int64(len(shard)), Limits{Unpacked: 1 << 20})
		if err == nil {
			_, err = r.Find("behind")
		}
		if skipped := errors.Is(err, ErrLimit); skipped == (f == Zip) { // which unpacks nothing to skip it
			t.Errorf("%s: skipped: %v", f, err)
		}
		ix := parse(t, index, shard)
		m, _ := ix.Find("bomb")
		from, err := ix.Open(bytes.NewReader(shard), m, Limits{Unpacked: 1 << 20})
		if err == nil {
			_, err = io.Copy(io.Discard, from)
		}
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: by its index: %v", f, err)
		}
		allocation.Check(t, len(shard), 6<<20, func() { _, _ = all(f, shard, Limits{}) })
	}
	for _, f := range formats() {
		shard, _ := shardOf(t, f, samples())
		if _, err := all(f, shard, Limits{Members: int64(len(samples()))}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if got, err := all(f, shard, Limits{Members: 3}); !errors.Is(err, ErrLimit) || len(got) != 3 {
			t.Errorf("%s: %d members, %v", f, len(got), err)
		}
	}
}

// Zips whose directory and whose members tell different stories are refused.
func TestLyingZips(t *testing.T) {
	shard, _ := shardOf(t, Zip, []sample{{"name", text(1, 3000), 0o644, 1}, {"other", text(2, 3000), 0o644, 1}})
	directory := bytes.Index(shard, []byte("PK\x01\x02"))
	end := bytes.LastIndex(shard, []byte("PK\x05\x06"))
	put := func(at int, size int, value uint64) []byte {
		b := bytes.Clone(shard)
		var room [8]byte
		binary.LittleEndian.PutUint64(room[:], value)
		copy(b[at:at+size], room[:])
		return b
	}
	size := uint64(binary.LittleEndian.Uint32(shard[directory+24:]))
	stored := uint64(binary.LittleEndian.Uint32(shard[directory+20:]))
	for why, b := range map[string][]byte{
		"a name that differs":          put(30, 1, 'N'),
		"a longer name":                put(26, 2, 5),
		"no local header":              put(0, 1, 'Q'),
		"fewer bytes than there are":   put(directory+24, 4, size-1),
		"more bytes than there are":    put(directory+24, 4, size+1),
		"another checksum":             put(directory+16, 4, 1),
		"less compressed":              put(directory+20, 4, stored-20),
		"compressed over all":          put(directory+20, 4, uint64(len(shard))),
		"a member outside":             put(directory+42, 4, uint64(directory)),
		"stored but smaller":           put(directory+10, 2, 0),
		"a name with a NUL":            put(directory+46, 1, 0),
		"no name":                      put(directory+28, 2, 0),
		"an entry that is none":        put(directory, 1, 'Q'),
		"an overlong entry":            put(directory+32, 2, 0xffff),
		"fewer entries":                put(end+8, 4, 1|1<<16),
		"more entries":                 put(end+8, 4, 3|3<<16),
		"several volumes":              put(end+4, 2, 1),
		"a directory outside":          put(end+16, 4, uint64(end)),
		"a directory without end":      put(end+12, 4, 0xfffffff0),
		"an end that is not the end":   append(bytes.Clone(shard), 0),
		"no end":                       shard[:end],
		"a directory of another place": put(end+16, 4, uint64(directory-10)),
	} {
		if members, err := all(Zip, b, Limits{}); !errors.Is(err, ErrMalformed) || !errs.Is(errs.Invalid, err) {
			t.Errorf("%s: %d members, %v", why, len(members), err)
		}
	}
	// The control: as it is it is taken, and so it is with zip64 wherever that can be.
	if _, err := all(Zip, shard, Limits{}); err != nil {
		t.Error(err)
	}
}

// A zip of more than 65,535 members, which takes zip64, is listed in little memory.
func TestManyMembers(t *testing.T) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	const count = 70_000
	for i := range count {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, Zip, out.Bytes())
	for i := range count {
		if m, err := r.Next(); err != nil || m.Name != fmt.Sprint(i) || m.Kind != File {
			t.Fatalf("%+v, %v", m, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
	index := build(t, Zip, out.Bytes())
	if perMember := len(index) / count; perMember > 32 {
		t.Errorf("an index takes %d bytes for each member", perMember)
	}
	ix := parse(t, index, out.Bytes())
	if m, err := ix.Find("69999"); err != nil || m.Name != "69999" {
		t.Error(m, err)
	}
	if _, err := ix.Find("70000"); !errs.Is(errs.NotFound, err) {
		t.Error(err)
	}
}

// Members that are tiny cost little each, however many they are: to list, to read, to index.
func TestTinyMembers(t *testing.T) {
	var tiny []sample
	for i := range 3000 {
		tiny = append(tiny, sample{fmt.Sprint(i), []byte("x")[:i%2], 0o644, 1})
	}
	for _, f := range formats() {
		shard, _ := shardOf(t, f, tiny)
		input := len(shard) + unpacked(f, shard, Limits{})
		allocation.Check(t, input, scratch(f), func() {
			if members, err := all(f, shard, Limits{}); err != nil || len(members) != len(tiny) {
				t.Fatalf("%s: %d members, %v", f, len(members), err)
			}
		})
		allocation.Check(t, input, scratch(f), func() { build(t, f, shard) })
	}
}

// A stream of a zip is refused, in words.
func TestZipFromAStream(t *testing.T) {
	if _, err := OpenStream(Zip, strings.NewReader("PK\x03\x04"), Limits{}); !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), "from its end") {
		t.Error(err)
	}
	if _, err := Open(Unknown, strings.NewReader(""), 0, Limits{}); err == nil {
		t.Error("an unknown format was opened")
	}
}

// What comes out of gzip and LZ4 and is no tar is said to be none.
func TestNoTarInIt(t *testing.T) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text(1, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := all(TarGzip, out.Bytes(), Limits{}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	for _, f := range []Format{TarGzip, TarLZ4, Zip} {
		if _, err := all(f, text(1, 5000), Limits{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", f, err)
		}
	}
}
