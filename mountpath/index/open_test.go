package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// names lists the index's directory, but for the lock.
func names(t testing.TB, fsys disk.FS) []string {
	t.Helper()
	var out []string
	err := fsys.ReadDir(".troupe/index", func(e disk.Entry) bool {
		if e.Name != "LOCK" && e.Name != noteName {
			out = append(out, e.Name)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// fill commits some keys, of which some are flushed and some are only in the log.
func fill(t testing.TB, x *Index, flush bool) {
	t.Helper()
	for i := range 300 {
		b := x.NewBatch()
		b.Set(fmt.Appendf(nil, "o%04d", i), bytes.Repeat([]byte{byte(i)}, 300))
		b.Set(fmt.Appendf(nil, "d%04d", i), bytes.Repeat([]byte{byte(i)}, 3000))
		if err := x.Commit(b); err != nil {
			t.Fatal(err)
		}
		if flush && i%50 == 49 && i < 250 {
			if err := x.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// filled returns a filesystem with an index: flushed and cleanly closed, or as a
// power cut leaves it.
func filled(t testing.TB, flush bool) *disk.Mem {
	t.Helper()
	mem := disk.NewMem(1)
	x := mustOpen(t, mem, func(o *Options) { o.MemTableBytes = 4 << 20 })
	fill(t, x, flush)
	left := mem
	if !flush { // closing writes what the log holds to a table
		left = mem.Crash(disk.CrashPolicy{SyncedOnly: true})
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return left
}

// One directory has one index: another Open is told Busy, and finds the lock
// free after the first is closed.
func TestOpenIsExclusive(t *testing.T) {
	mem := disk.NewMem(1)
	x := mustOpen(t, mem)
	if _, err := openAt(t, mem); !errs.Is(errs.Busy, err) {
		t.Fatal(err)
	}
	b := x.NewBatch()
	b.Set([]byte("a"), []byte("1"))
	if err := x.Commit(b); err != nil {
		t.Fatalf("the second Open disturbed the first: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatalf("closed twice: %v", err)
	}
	if err := mustOpen(t, mem).Close(); err != nil {
		t.Fatal(err)
	}
}

// An index that should be there and is not is Corrupt, and is not made anew:
// neither where the format document says that there was one, nor where tables
// lie without a manifest or without the marker that names it.
func TestOpenNeverReplaces(t *testing.T) {
	if _, err := openAt(t, disk.NewMem(1), func(o *Options) { o.MustExist = true }); !errs.Is(errs.Corrupt, err) {
		t.Fatal(err)
	}
	for _, lost := range []string{"marker.manifest.", manifestPrefix} {
		neverReplaces(t, lost)
	}
}

func neverReplaces(t *testing.T, lost string) {
	t.Helper()
	mem := filled(t, true)
	for _, name := range names(t, mem) {
		if strings.HasPrefix(name, lost) {
			if err := mem.Remove(path.Join(".troupe/index", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := names(t, mem)
	if _, err := openAt(t, mem); !errs.Is(errs.Corrupt, err) {
		t.Fatal(err)
	}
	if after := names(t, mem); !slices.Equal(before, after) {
		t.Fatalf("was %v, is %v", before, after)
	}
}

// flip inverts a byte of a file, counted from its beginning, or from its end if
// offset is negative.
func flip(t *testing.T, fsys disk.FS, name string, offset int64) {
	t.Helper()
	file, err := fsys.OpenFile(path.Join(".troupe/index", name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if offset < 0 {
		offset += info.Size
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] = ^b[0]
	if _, err := file.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// A flipped bit is found, whichever file it is in: Open or the read says
// Corrupt, an event tells of it, and no wrong byte comes out.
func TestCorruptionIsFound(t *testing.T) {
	tests := []struct {
		file   string // suffix or prefix
		flush  bool
		offset int64
	}{
		{"MANIFEST-", true, 40},
		{"MANIFEST-", true, 400},
		{"MANIFEST-", true, -3}, // in the last record, where damage could be a torn write
		{".log", false, 20_000},
		{".log", false, 200_000},
		{".log", false, -20_000}, // in the last block, where damage could be a torn write
		{".log", false, -4_000},  // in the last record but one
		{".sst", true, 100},
		{".sst", true, -20},
		{".blob", true, 5000},
		{".blob", true, -10}, // in the footer
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.file, test.offset), func(t *testing.T) {
			mem := filled(t, test.flush)
			hit := false
			for _, name := range names(t, mem) {
				if !strings.HasPrefix(name, test.file) && !strings.HasSuffix(name, test.file) {
					continue
				}
				info, err := mem.Stat(path.Join(".troupe/index", name))
				if err != nil {
					t.Fatal(err)
				}
				if info.Size <= max(test.offset, -test.offset) { // such as the log of the first opening, which Pebble removes when it finds time
					continue
				}
				flip(t, mem, name, test.offset)
				hit = true
			}
			if !hit {
				t.Fatalf("no such file in %v", names(t, mem))
			}
			var told atomic.Bool
			x, err := openAt(t, mem, func(o *Options) {
				o.OnEvent = func(e Event) {
					if e.Kind == CorruptionFound && (e.File != "" || test.file == ".blob") && e.Err != nil {
						told.Store(true)
					}
				}
			})
			if err != nil {
				if !errs.Is(errs.Corrupt, err) {
					t.Fatalf("not Corrupt: %v", err)
				}
				return
			}
			corrupt := 0
			for i := range 300 {
				for _, prefix := range []string{"o", "d"} {
					v, err := x.Get(fmt.Appendf(nil, "%s%04d", prefix, i))
					switch {
					case errs.Is(errs.Corrupt, err):
						corrupt++
						continue
					case err != nil:
						t.Fatalf("%s%04d: %v", prefix, i, err)
					}
					size := map[string]int{"o": 300, "d": 3000}[prefix]
					if !bytes.Equal(v.Bytes, bytes.Repeat([]byte{byte(i)}, size)) {
						t.Fatalf("%s%04d has a wrong byte", prefix, i)
					}
					if err := v.Close(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if corrupt == 0 {
				t.Fatal("the flipped bit was not found")
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if !told.Load() {
				t.Fatal("no event told of it")
			}
		})
	}
}

// Close refuses new users and waits for those there are; who holds on longer
// than the deadline costs the index its life, and nothing worse.
func TestCloseWaitsForUsers(t *testing.T) {
	mem := filled(t, true)
	x := mustOpen(t, mem)
	v, err := x.Get([]byte("d0001"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := x.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- x.Close() }()
	for { // until Close has begun
		late, err := x.Get([]byte("d0001"))
		if errs.Is(errs.Offline, err) {
			break
		}
		if err := errors.Join(err, late.Close()); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if !s.Next() || len(v.Bytes) != 3000 {
		t.Fatal("what was open is open no more")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}

	x = mustOpen(t, mem, func(o *Options) { o.Deadline = time.Second }) // it holds for the opening, too
	if v, err = x.Get([]byte("d0001")); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); !errs.Is(errs.Busy, err) {
		t.Fatal(err)
	}
	select {
	case <-x.Dead():
	default:
		t.Fatal("not dead")
	}
	if len(v.Bytes) != 3000 || v.Bytes[0] != 1 {
		t.Fatal("the value is gone")
	}
}

// What an index takes on disk is known after it was opened again, its blob files
// included.
func TestDiskBytesAfterOpen(t *testing.T) {
	mem := filled(t, true)
	onDisk, inBlobs := uint64(0), uint64(0)
	for _, name := range names(t, mem) {
		if strings.HasSuffix(name, ".blob") || strings.HasSuffix(name, ".sst") {
			info, err := mem.Stat(path.Join(".troupe/index", name))
			if err != nil {
				t.Fatal(err)
			}
			onDisk += uint64(info.Size)
			if strings.HasSuffix(name, ".blob") {
				inBlobs += uint64(info.Size)
			}
		}
	}
	x := mustOpen(t, mem)
	metrics, err := x.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	// A compaction may have made the tables smaller meanwhile; it leaves young blobs.
	if got := metrics.DiskBytes; got < inBlobs || got > onDisk+1<<20 {
		t.Errorf("%d bytes, and tables and blobs have %d, blobs alone %d", got, onDisk, inBlobs)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
