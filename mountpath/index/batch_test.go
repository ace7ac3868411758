package index

import (
	"bytes"
	"fmt"
	"path"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// noLeaks checks, after everything else, that no goroutine remains. It is for
// tests in which no instance dies: those of a dead one stay parked, by design, and
// one that an earlier test killed may park only now.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	parked := goleak.IgnoreAnyFunction("github.com/troupe-storage/troupe/mountpath/index.(*instance).park")
	t.Cleanup(func() { goleak.VerifyNone(t, before, parked) })
}

// Every kind of change does what it says, in the order in which it was added,
// and a closed index leaves no goroutine behind.
func TestBatch(t *testing.T) {
	noLeaks(t)
	x := mustOpen(t, disk.NewMem(1))
	b := x.NewBatch()
	for i := range 10 {
		b.Set(fmt.Appendf(nil, "key%d", i), []byte("value"))
	}
	b.Delete([]byte("key1"))
	b.DeleteSized([]byte("key2"), 5)
	b.DeleteRange([]byte("key3"), []byte("key6"))
	b.SetParts([]byte("key4"), []byte("a"), nil, []byte("bc"))
	b.SetParts([]byte("key5"))
	if b.Len() != 15 || b.Bytes() < 100 {
		t.Fatal(b.Len(), b.Bytes())
	}
	if err := x.Commit(b, []byte("key4")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"key0": "value", "key4": "abc", "key5": "", "key6": "value", "key7": "value", "key8": "value", "key9": "value",
	}
	s, err := x.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for s.Next() {
		v, err := s.Value()
		if err != nil || want[string(s.Key())] != string(v) {
			t.Fatalf("%s: %q, %v", s.Key(), v, err)
		}
		delete(want, string(s.Key()))
	}
	if len(want) != 0 || s.Err() != nil {
		t.Fatal(want, s.Err())
	}
	if !s.SeekGE([]byte("key41")) || string(s.Key()) != "key5" || !s.SeekGE([]byte("key")) || string(s.Key()) != "key0" || s.SeekGE([]byte("kez")) {
		t.Fatal("seeks go astray")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Nothing to do, given up, and larger than any memtable.
	if err := x.Commit(x.NewBatch()); err != nil {
		t.Fatal(err)
	}
	if err := x.CommitAsync(x.NewBatch()).Wait(); err != nil {
		t.Fatal(err)
	}
	b = x.NewBatch()
	b.Set([]byte("given up"), nil)
	b.Close()
	b = x.NewBatch()
	large := bytes.Repeat([]byte("large"), 1<<20)
	b.Set([]byte("large"), large)
	if err := x.CommitAsync(b, []byte("large")).Wait(); err != nil {
		t.Fatal(err)
	}
	mustGet(t, x, "large", string(large))
	if _, err := x.Get([]byte("given up")); !errs.Is(errs.NotFound, err) {
		t.Fatal(err)
	}

	b = x.NewBatch()
	b.Set([]byte("late"), nil)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.CommitAsync(b).Wait(); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	if _, err := x.Scan(nil, nil); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	if waited, err := x.Settled([]byte("key0"), time.Hour); waited || err != nil {
		t.Fatal(waited, err)
	}
}

// The road of a small record allocates next to nothing: a pool that is missed
// or a closure that escapes shows here.
func TestAllocations(t *testing.T) {
	x := mustOpen(t, disk.NewMem(1), func(o *Options) { o.MemTableBytes = MaxMemTableBytes })
	mustPut(t, x, "key", "value")
	key, value := []byte("key"), make([]byte, 200)
	get := testing.AllocsPerRun(1000, func() {
		v, err := x.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Settled(key, time.Second); err != nil {
			t.Fatal(err)
		}
		v.Close()
	})
	commit := testing.AllocsPerRun(1000, func() {
		b := x.NewBatch()
		b.Set(key, value)
		if err := x.Commit(b, key); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v for each Get, %v for each commit", get, commit)
	if get > 2 || commit > 12 {
		t.Fatalf("%v for each Get, %v for each commit", get, commit)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// The parts of vfs.FS that Pebble uses seldom do what vfs.FS says.
func TestAdapter(t *testing.T) {
	mem := disk.NewMem(1)
	a := newAdapter(mem, newInstance(0, func(error) {}), &lock{})
	if err := a.MkdirAll("a/b/c", 0); err != nil {
		t.Fatal(err)
	}
	if err := a.MkdirAll("a/b/c", 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b/c/1.sst", "a/b/c/2.log", "a/b/3.sst"} {
		for range 2 { // the second time over the first
			f, err := a.Create(name, "")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if n, err := f.Write(bytes.Repeat([]byte(name), 20_000)); err != nil || n != 20_000*len(name) {
					t.Fatal(n, err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		f, err := a.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil || info.Size() != int64(60_000*len(name)) || info.Name() != path.Base(name) {
			t.Fatal(info, err)
		}
		read := make([]byte, 2*len(name))
		if _, err := f.Read(read); err != nil || string(read) != name+name {
			t.Fatalf("%q, %v", read, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.RemoveAll("a"); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveAll("a"); err != nil {
		t.Fatal(err)
	}
	if list, err := a.List("."); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	if err := a.MkdirAll("a", 0); err != nil {
		t.Fatal(err)
	}
	dir, err := a.OpenDir("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Write(nil); err == nil {
		t.Fatal("wrote to a directory")
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if usage, err := a.GetDiskUsage("."); err != nil || usage.TotalBytes == 0 || usage.AvailBytes == 0 {
		t.Fatal(usage, err)
	}
}

// The block cache has at least the room that was asked for, and memtables never
// more than their share of the budget.
func TestMemTableBytes(t *testing.T) {
	for _, test := range []struct {
		budget     int64
		mountpaths int
		want       int
	}{
		{1 << 30, 4, 16 << 20},
		{256 << 20, 4, 8 << 20},
		{256 << 20, 1, 16 << 20},
		{1 << 20, 4, MinMemTableBytes},
		{256 << 20, 0, 16 << 20},
	} {
		if got := MemTableBytes(test.budget, test.mountpaths); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
