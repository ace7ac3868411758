package index

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// openAt opens an index on fsys the way the tests like it: small, impatient.
func openAt(t testing.TB, fsys disk.FS, change ...func(*Options)) (*Index, error) {
	t.Helper()
	shared := NewShared(8<<20, 1)
	t.Cleanup(shared.Close)
	options := Options{
		FS:            fsys,
		Dir:           ".troupe/index",
		Node:          shared,
		MemTableBytes: MinMemTableBytes,
		Deadline:      20 * time.Second,
		Retreat:       time.Millisecond,
	}
	for _, c := range change {
		c(&options)
	}
	return Open(options)
}

func mustOpen(t testing.TB, fsys disk.FS, change ...func(*Options)) *Index {
	t.Helper()
	x, err := openAt(t, fsys, change...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func linux(t testing.TB) disk.FS {
	t.Helper()
	fsys, err := disk.NewLinux(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// What was committed is read back, by key and in order, and after reopening.
func TestCommitAndRead(t *testing.T) {
	noLeaks(t)
	fsys := linux(t)
	x := mustOpen(t, fsys)
	for i := range 1000 {
		b := x.NewBatch()
		key := fmt.Appendf(nil, "o/%06d", i)
		b.Set(key, fmt.Appendf(nil, "record %d", i))
		b.SetParts(fmt.Appendf(nil, "d/%06d", i), make([]byte, 2000), []byte("end"))
		if err := x.Commit(b, key); err != nil {
			t.Fatal(err)
		}
	}
	check := func(x *Index) {
		t.Helper()
		value, err := x.Get([]byte("o/000500"))
		if err != nil || string(value.Bytes) != "record 500" {
			t.Fatalf("got %q, %v", value.Bytes, err)
		}
		if err := value.Close(); err != nil {
			t.Fatal(err)
		}
		if waited, err := x.Settled([]byte("o/000500"), time.Second); waited || err != nil {
			t.Fatal(waited, err)
		}
		if _, err := x.Get([]byte("nowhere")); !errs.Is(errs.NotFound, err) {
			t.Fatal(err)
		}
		scan, err := x.Scan([]byte("o/"), []byte("o0"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for scan.Next() {
			if want := fmt.Sprintf("o/%06d", n); string(scan.Key()) != want {
				t.Fatalf("key %q, want %q", scan.Key(), want)
			}
			if v, err := scan.Value(); err != nil || string(v) != fmt.Sprintf("record %d", n) {
				t.Fatal(string(v), err)
			}
			n++
		}
		if err := scan.Close(); err != nil || n != 1000 {
			t.Fatal(n, err)
		}
	}
	check(x)
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := x.Compact([]byte("a"), []byte("z")); err != nil {
		t.Fatal(err)
	}
	check(x)
	m, err := x.Metrics()
	if err != nil || m.Commits != 1000 || m.Blobs == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Get([]byte("o/000500")); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	x = mustOpen(t, fsys)
	check(x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func isUnknown(err error) bool { return errors.Is(err, objects.ErrOutcomeUnknown) }
