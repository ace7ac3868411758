package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

func formats() []Format { return []Format{Tar, TarGzip, TarLZ4, Zip} }

// sample is a member with its content.
type sample struct {
	name    string
	content []byte
	mode    uint32
	seconds int64
}

func (s sample) input() Input {
	return Input{Name: s.name, Size: int64(len(s.content)), Mode: s.mode, Modified: time.Unix(s.seconds, 0), Body: bytes.NewReader(s.content)}
}

// text is content that compresses, noise such that does not.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "%d little words ", r.IntN(1000))
	}
	return b[:n]
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func samples() []sample {
	return []sample{
		{"train/0001.jpg", noise(1, 70_000), 0o644, 1_700_000_000},
		{"train/0001.cls", []byte("7"), 0o600, 1_700_000_001},
		{"train/empty", nil, 0o644, 0},
		{"train/0002.seg.png", text(2, 1_300_000), 0o755, 1_700_000_003},
		{"väl/ünïcode", text(3, 513), 0o644, 1},
		{"twice", []byte("the first"), 0o644, 1},
		{"twice", []byte("the second"), 0o644, 1},
		{"0003.jpg", noise(4, 2_400_000), 0o644, 1_700_000_004},
		{"long/" + string(bytes.Repeat([]byte("name/"), 60)) + "end", text(5, 512), 0o644, 1},
	}
}

// shardOf makes a shard, and its index as the writer gathers it.
func shardOf(t testing.TB, f Format, members []sample) (shard, index []byte) {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, f, WriterOptions{Index: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range members {
		if err := w.Add(s.input()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Written() != int64(out.Len()) {
		t.Fatalf("%d bytes written, it says %d", out.Len(), w.Written())
	}
	index, err = w.Index(stampOf(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), index
}

func stampOf(shard []byte) Stamp {
	return Stamp{Payload: objects.Generation{Map: 1, Start: 7, Seq: 4711}, Size: int64(len(shard))}
}

func open(t testing.TB, f Format, shard []byte) *Reader {
	t.Helper()
	r, err := Open(f, bytes.NewReader(shard), int64(len(shard)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantMembers compares everything that a reader gives with what was written.
func wantMembers(t testing.TB, r *Reader, members []sample) {
	t.Helper()
	for _, s := range members {
		m, err := r.Next()
		if err != nil {
			t.Fatalf("before %s: %v", s.name, err)
		}
		if m.Name != s.name || m.Size != int64(len(s.content)) || m.Mode != s.mode || m.Modified.Unix() != s.seconds || m.Kind != File {
			t.Fatalf("%+v, want %s of %d bytes, mode %o, modified %d", m, s.name, len(s.content), s.mode, s.seconds)
		}
		content, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(content, s.content) {
			t.Fatalf("%s: %d bytes, %v, want %d", s.name, len(content), err, len(s.content))
		}
	}
	if m, err := r.Next(); err != io.EOF {
		t.Fatalf("%+v, %v behind the last", m, err)
	}
}

// wantIndexed compares everything that an index gives with what was written.
func wantIndexed(t testing.TB, ix *Index, shard []byte, members []sample) {
	t.Helper()
	files := slices.Collect(ix.Files())
	if len(files) != len(members) || ix.Len() != len(members) {
		t.Fatalf("%d files, %d, want %d", len(files), ix.Len(), len(members))
	}
	for i, s := range members {
		m := files[i]
		if m.Name != s.name || m.Size != int64(len(s.content)) || m.Mode != s.mode || m.Modified.Unix() != s.seconds {
			t.Fatalf("%+v, want %s of %d bytes", m, s.name, len(s.content))
		}
		from, err := ix.Open(bytes.NewReader(shard), m, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if content, err := io.ReadAll(from); err != nil || !bytes.Equal(content, s.content) {
			t.Fatalf("%s: %d bytes, %v, want %d", s.name, len(content), err, len(s.content))
		}
		if offset, length, ok := ix.Range(m); ok && !bytes.Equal(shard[offset:offset+length], s.content) {
			t.Fatalf("%s: %d bytes at %d are not it", s.name, length, offset)
		} else if ix.Format() == Tar && !ok {
			t.Fatalf("%s of a tar is not one range", s.name)
		}
		first := slices.IndexFunc(members, func(other sample) bool { return Same(other.name, s.name) })
		for _, name := range []string{s.name, "/" + s.name} {
			if found, err := ix.Find(name); err != nil || found != files[first] {
				t.Fatalf("%s: %+v, %v, want %+v", name, found, err, files[first])
			}
		}
	}
}

func parse(t testing.TB, index, shard []byte) *Index {
	t.Helper()
	ix, err := ParseIndex(index, stampOf(shard))
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func build(t testing.TB, f Format, shard []byte) []byte {
	t.Helper()
	index, err := BuildIndex(open(t, f, shard), stampOf(shard))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// What was written is listed and opened: from ranges, from a stream, by its index.
func TestShardsComeBack(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.String(), func(t *testing.T) {
			shard, index := shardOf(t, f, samples())
			if Sniff(shard) != f {
				t.Errorf("it begins as a %s", Sniff(shard))
			}
			wantMembers(t, open(t, f, shard), samples())
			if f != Zip {
				for _, from := range []io.Reader{bytes.NewReader(shard), iotest.HalfReader(bytes.NewReader(shard)), iotest.DataErrReader(bytes.NewReader(shard))} {
					r, err := OpenStream(f, from, Limits{})
					if err != nil {
						t.Fatal(err)
					}
					wantMembers(t, r, samples())
				}
			}
			wantIndexed(t, parse(t, index, shard), shard, samples())
			built := build(t, f, shard)
			wantIndexed(t, parse(t, built, shard), shard, samples())
			if f != TarGzip && !bytes.Equal(built, index) { // nobody sees where deflate began anew
				t.Error("the index that the writer gathered is not the one that is built")
			}
		})
	}
}

// The same members make the same bytes.
func TestWritingIsDeterministic(t *testing.T) {
	for _, f := range formats() {
		one, oneIndex := shardOf(t, f, samples())
		other, otherIndex := shardOf(t, f, samples())
		if !bytes.Equal(one, other) || !bytes.Equal(oneIndex, otherIndex) {
			t.Errorf("%s: the second shard is another", f)
		}
	}
}

// Whatever is created is listed and opened, whole and by its index, in every format; and so
// it is when some of it is appended later, anew or in place.
func TestRandomShards(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(formats()).Draw(rt, "format")
		name := rapid.StringMatching(`[a-c]{1,3}(/[a-zé.]{1,40}){0,4}x`)
		members := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) sample {
			s := sample{
				name: name.Draw(rt, "name"), mode: rapid.Uint32Range(1, 0o777).Draw(rt, "mode"),
				seconds: rapid.Int64Range(0, 1<<33).Draw(rt, "seconds"),
			}
			size := rapid.OneOf(rapid.IntRange(0, 2000), rapid.IntRange(0, 2000), rapid.IntRange(0, 700_000)).Draw(rt, "size")
			if s.content = text(uint64(size), size); rapid.Bool().Draw(rt, "noise") {
				s.content = noise(uint64(size), size)
			}
			if f == Zip { // its times end in 2106, and 2038 for those who read them signed
				s.seconds %= 1 << 31
			}
			return s
		}), 0, 8).Draw(rt, "members")
		for _, s := range members {
			if escapes(s.name) {
				return
			}
		}
		shard, index := shardOf(t, f, members)
		wantMembers(t, open(t, f, shard), members)
		wantIndexed(t, parse(t, index, shard), shard, members)
		wantIndexed(t, parse(t, build(t, f, shard), shard), shard, members)

		split := rapid.IntRange(0, len(members)).Draw(rt, "split")
		before, beforeIndex := shardOf(t, f, members[:split])
		grown, grownIndex := grow(t, f, before, members[split:])
		wantMembers(t, open(t, f, grown), members)
		wantIndexed(t, parse(t, grownIndex, grown), grown, members)
		if f == Tar {
			if !bytes.Equal(grown, shard) {
				t.Error("appended to anew, it is not as if written at once")
			}
			in, inIndex := growInPlace(t, before, parse(t, beforeIndex, before), members[split:])
			if !bytes.Equal(in, shard) || !bytes.Equal(inIndex, index) {
				t.Error("appended to in place, it is not as if written at once")
			}
		}
	})
}

// grow appends by writing anew.
func grow(t testing.TB, f Format, shard []byte, members []sample) (grown, index []byte) {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, f, WriterOptions{Index: true})
	if err == nil {
		err = w.Take(open(t, f, shard))
	}
	for _, s := range members {
		if err == nil {
			err = w.Add(s.input())
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		index, err = w.Index(stampOf(out.Bytes()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), index
}

// growInPlace appends to a tar over its trailer.
func growInPlace(t testing.TB, shard []byte, old *Index, members []sample) (grown, index []byte) {
	t.Helper()
	tail, err := Tail(bytes.NewReader(shard), int64(len(shard)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if known, err := old.Tail(); err != nil || known != tail {
		t.Fatalf("the index says that the trailer is at %d, %v, it is at %d", known, err, tail)
	}
	var out bytes.Buffer
	w, err := AppendTail(&out, tail, old)
	for _, s := range members {
		if err == nil {
			err = w.Add(s.input())
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	grown = append(bytes.Clone(shard[:tail]), out.Bytes()...)
	if index, err = w.Index(stampOf(grown)); err != nil {
		t.Fatal(err)
	}
	return grown, index
}

// A tar of one format becomes another one, and a zip none.
func TestTakeChangesThePacking(t *testing.T) {
	shard, _ := shardOf(t, Tar, samples())
	for _, f := range []Format{TarGzip, TarLZ4, Tar} {
		var out bytes.Buffer
		w, _ := NewWriter(&out, f, WriterOptions{})
		if err := errors.Join(w.Take(open(t, Tar, shard)), w.Close()); err != nil {
			t.Fatal(err)
		}
		wantMembers(t, open(t, f, out.Bytes()), samples())
	}
	w, _ := NewWriter(io.Discard, Zip, WriterOptions{})
	if err := w.Take(open(t, Tar, shard)); !errs.Is(errs.Invalid, err) {
		t.Errorf("a tar became a zip: %v", err)
	}
}

// A body that is too short, a name that leads out, an unknown format: each is said, and a
// shard that broke stays broken.
func TestWhatIsNotWritten(t *testing.T) {
	if _, err := NewWriter(io.Discard, Unknown, WriterOptions{}); !errs.Is(errs.Invalid, err) {
		t.Errorf("an unknown format: %v", err)
	}
	for _, f := range formats() {
		w, err := NewWriter(io.Discard, f, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "/", "a/", "a\x00b", "../a", "a/../../b", `a\..\b`, "//a", string(bytes.Repeat([]byte("x"), MaxNameBytes+1))} {
			if err := w.Add(Input{Name: name, Body: bytes.NewReader(nil)}); !errs.Is(errs.Invalid, err) {
				t.Errorf("%s: %.20q was written: %v", f, name, err)
			}
		}
		if err := w.Add(Input{Name: "/a..b/..c", Size: 1, Body: bytes.NewReader([]byte("x"))}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if err := w.Add(Input{Name: "short", Size: 5, Body: bytes.NewReader([]byte("four"))}); !errs.Is(errs.Invalid, err) {
			t.Errorf("%s: a short body: %v", f, err)
		}
		if err := w.Close(); !errs.Is(errs.Invalid, err) {
			t.Errorf("%s: closed behind a short body: %v", f, err)
		}
		broken := errors.New("the disk is gone")
		if w, err = NewWriter(failing{broken}, f, WriterOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Add(samples()[0].input()), w.Add(samples()[3].input()), w.Close()); !errors.Is(err, broken) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
