package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// The reserve is the smaller of a size and a share; below it a mountpath is full, and
// below half of it exhausted.
func TestReserve(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		reserve Reserve
		total   uint64
		want    uint64
	}{
		{DefaultReserve(), 1000 * gib, gib},
		{DefaultReserve(), 10 * gib, 10 * gib / 50},
		{Reserve{Bytes: 7 * gib}, 10 * gib, 7 * gib},
		{Reserve{Percent: 10}, 1000 * gib, 100 * gib},
		{Reserve{Bytes: 7 * gib, Percent: 10}, 20 * gib, 2 * gib},
	} {
		if got := c.reserve.of(c.total); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.reserve, c.total, got, c.want)
		}
	}
	for _, c := range []struct {
		space disk.Space
		want  Fullness
	}{
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 4 * gib, TotalFiles: 1e6, FreeFiles: 1000}, Roomy},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 4*gib - 1, TotalFiles: 1e6, FreeFiles: 1e6}, Full},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 2*gib - 1, TotalFiles: 1e6, FreeFiles: 1e6}, Exhausted},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib, TotalFiles: 1e6, FreeFiles: 999}, Full},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib, TotalFiles: 1e6, FreeFiles: 499}, Exhausted},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib}, Roomy}, // no table of inodes
	} {
		if got := fullnessOf(c.space, 4*gib); got != c.want {
			t.Errorf("%+v is %s, want %s", c.space, got, c.want)
		}
	}
}

// Deletes of payloads in the index give nothing back while they are in memory: a
// full mountpath flushes them whenever there are as many as a memtable holds, and not
// more often; one that has room never does for their sake.
func TestDeletesOfAFullMountpathAreFlushed(t *testing.T) {
	const payload, objectCount = 30 << 10, 30
	faulty := disk.NewFaulty(disk.NewMem(1))
	shared := index.NewShared(8<<20, 1)
	defer shared.Close()
	err := Format(faulty, layout.Format{
		Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "m",
		IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{
		FS: faulty, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes,
		Reserve: Reserve{Bytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket := objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"}
	key := func(i int) objects.Key { return objects.Key{Bucket: bucket, Name: fmt.Sprintf("k%02d", i)} }
	put := func() {
		t.Helper()
		for i := range objectCount {
			if _, err := s.PutInline(key(i), objects.Meta{Size: payload}, make([]byte, payload), objects.Conditions{}, objects.Origin{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if existed, _, err := s.Delete(key(i), objects.Conditions{}, objects.Origin{}); err != nil || !existed {
				t.Fatal(existed, err)
			}
		}
	}
	// measure returns how many flushes a measurement made.
	measure := func() int64 {
		t.Helper()
		before, err := s.Index().Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.MeasureSpace(); err != nil {
			t.Fatal(err)
		}
		after, err := s.Index().Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return after.Flushes - before.Flushes
	}

	put()
	if err := s.Index().Flush(); err != nil { // none is under way when they are counted
		t.Fatal(err)
	}
	remove(0, objectCount)
	if n := measure(); n != 0 || s.Fullness() != Roomy {
		t.Fatalf("%s, and %d flushes", s.Fullness(), n)
	}
	put()
	if err := s.Index().Flush(); err != nil {
		t.Fatal(err)
	}
	full, err := faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallSpace}, Space: func(space *disk.Space) { space.FreeBytes = 2 << 20 }})
	if err != nil {
		t.Fatal(err)
	}
	remove(0, 1)
	if n := measure(); n != 1 || s.Fullness() != Full {
		t.Fatalf("on becoming full: %s, and %d flushes", s.Fullness(), n)
	}
	remove(1, 5)
	if n := measure(); n != 0 {
		t.Fatalf("after a few deletes: %d flushes", n)
	}
	remove(5, objectCount)
	if n := measure(); n != 1 {
		t.Fatalf("after deletes of more than a memtable: %d flushes", n)
	}
	if n := measure(); n != 0 {
		t.Fatalf("nothing was deleted since: %d flushes", n)
	}
	full.Remove()
	if n := measure(); n != 0 || s.Fullness() != Roomy {
		t.Fatalf("with room: %s, and %d flushes", s.Fullness(), n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
