package gateway

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// counted is a payload file in memory that counts what is read of it.
type counted struct {
	content []byte
	bytes   int64
	calls   int
}

// ReadAt implements messages.PayloadFile.
func (f *counted) ReadAt(room []byte, offset int64) (int, error) {
	n := copy(room, f.content[min(offset, int64(len(f.content))):])
	f.bytes, f.calls = f.bytes+int64(n), f.calls+1
	if n < len(room) {
		return n, io.EOF
	}
	return n, nil
}
func (f *counted) Close() error { return nil }
func (f *counted) Sent(int64)   {}
func (f *counted) OS() *os.File { return nil }

// largeShard is a shard of many members of which each is as large, and where they are.
func largeShard(t *testing.T, f archive.Format, members, size int) (*counted, *archive.Index) {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, f, archive.WriterOptions{Index: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range members {
		if err := w.Add(archive.Input{Name: fmt.Sprint("m", n), Size: int64(size), Body: strings.NewReader(contentOf(n, size))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stamp := archive.Stamp{Payload: objects.Generation{Seq: 7}, Size: int64(b.Len())}
	raw, err := w.Index(stamp)
	if err != nil {
		t.Fatal(err)
	}
	index, err := archive.ParseIndex(raw, stamp)
	if err != nil {
		t.Fatal(err)
	}
	return &counted{content: b.Bytes()}, index
}

// contentOf is some content of a member that cannot be compressed much.
func contentOf(n, size int) string {
	b := make([]byte, size)
	x := uint32(n)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return string(b)
}

func shardAt(t *testing.T, g *Gateway, file *counted, f archive.Format) *Shard {
	t.Helper()
	slabs, err := slab.NewPool(1)
	if err != nil {
		t.Fatal(err)
	}
	meta := &objects.Meta{Where: objects.File, Size: int64(len(file.content)), Payload: objects.Generation{Seq: 7}}
	o := &Object{Meta: meta, slabs: slabs, opened: &messages.ObjectOpened{Meta: meta, File: file}}
	s := &Shard{Object: o, gateway: g, limits: archive.Limits{Unpacked: shardUnpacks}}
	if err := s.open("shard"+f.String(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		s.Close() // idempotent
		if used := slabs.InUse(); used != 0 {
			t.Errorf("%d slabs are leased", used)
		}
	})
	return s
}

// A member of a large tar costs the headers before it where there is no index, and itself
// alone where there is one; of a tar.gz from the last restart point, and not what is before.
func TestBytesReadForAMember(t *testing.T) {
	const members, size = 200, 64 << 10
	for _, f := range []archive.Format{archive.Tar, archive.TarGzip, archive.TarLZ4, archive.Zip} {
		file, index := largeShard(t, f, members, size)
		read := func(g *Gateway, number int) int64 {
			t.Helper()
			file.bytes = 0
			s := shardAt(t, g, file, f)
			m, err := s.Member(fmt.Sprint("m", number))
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(io.LimitReader(s.Content(), m.Size))
			if err != nil || string(content) != contentOf(number, size) {
				t.Fatalf("%s: %d bytes: %v", f, len(content), err)
			}
			return file.bytes
		}
		none := new(Gateway)
		none.members.put(memberIndex{stamp: index.Stamp()}, 1<<20) // it is known that there can be none
		without := read(none, members-2)
		with := new(Gateway)
		with.members.put(memberIndex{stamp: index.Stamp(), index: index, bytes: 1}, 1<<20)
		indexed := read(with, members-2)
		t.Logf("%s of %d bytes: a member of %d near the end reads %d bytes, with its index %d", f, len(file.content), size, without, indexed)
		most := map[archive.Format]int64{archive.Tar: size, archive.Zip: 2 * size, archive.TarGzip: 3 << 20, archive.TarLZ4: 3 << 20}[f]
		if indexed > most {
			t.Errorf("%s: %d bytes were read with an index, at most %d", f, indexed, most)
		}
		switch f {
		case archive.Tar, archive.Zip:
			if most := int64(size + members*(8<<10)); without > most {
				t.Errorf("%s: %d bytes were read, at most %d", f, without, most)
			}
		default: // control: without, everything before is unpacked
			if without < int64(len(file.content))*9/10 {
				t.Errorf("%s: %d of %d bytes were read: the test says nothing", f, without, len(file.content))
			}
		}
	}
}

// What goes out of memory for a new index is the one that nobody asked for for longest, and
// one that is larger than the room is not kept.
func TestMemberIndexesAreBounded(t *testing.T) {
	var m memberIndexes
	stamp := func(n uint64) archive.Stamp { return archive.Stamp{Payload: objects.Generation{Seq: n}, Size: 1} }
	const most = 10 * (1000 + entryBytes)
	for n := range uint64(100) {
		m.put(memberIndex{stamp: stamp(n), index: new(archive.Index), bytes: 1000}, most)
		if _, known := m.find(stamp(0)); !known {
			t.Fatalf("the one that is asked for went when there were %d", n)
		}
		if m.bytes > most || len(m.by) != m.order.Len() {
			t.Fatalf("%d bytes in %d and %d", m.bytes, len(m.by), m.order.Len())
		}
	}
	if len(m.by) != 10 {
		t.Errorf("%d are there, want 10", len(m.by))
	}
	if index, known := m.find(archive.Stamp{Payload: objects.Generation{Seq: 99}, Size: 2}); known || index != nil {
		t.Error("one of another size was given")
	}
	m.put(memberIndex{stamp: stamp(99), bytes: 1}, most) // in its place
	if index, known := m.find(stamp(99)); !known || index != nil {
		t.Error("it was not exchanged")
	}
	m.put(memberIndex{stamp: stamp(200), bytes: most}, most)
	if _, known := m.find(stamp(200)); known || m.bytes != 0 || len(m.by) != 0 {
		t.Errorf("%d bytes in %d", m.bytes, len(m.by))
	}
	m.forget(objects.Generation{Seq: 5}) // which is not there
}

// An archive that has more members, or unpacks to more, than a request may look at is not
// read to its end.
func TestShardLimits(t *testing.T) {
	file, _ := largeShard(t, archive.TarGzip, 40, 100<<10)
	s := shardAt(t, new(Gateway), file, archive.TarGzip)
	s.limits = archive.Limits{Unpacked: 1 << 20}
	if _, err := s.Member("m2"); err != nil {
		t.Errorf("what is within: %v", err)
	}
	if _, err := s.Member("none"); !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v", err)
	}
}
