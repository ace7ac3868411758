package offline

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// yard is a mountpath in memory with many small objects and some files.
type yard struct {
	t       *testing.T
	fs      *disk.Mem
	bucket  objects.Bucket
	held    map[string][]byte
	inline  int
	buckets Buckets
}

func newYard(t *testing.T, small int) *yard {
	t.Helper()
	y := &yard{t: t, fs: disk.NewMem(7), held: make(map[string][]byte), inline: small}
	y.bucket = objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}
	y.buckets = Buckets{y.bucket.ID: &objects.BucketDoc{Bucket: y.bucket, State: objects.BucketLive}}
	format := layout.Format{Version: 1, ClusterID: "c", NodeID: "n", MountpathID: "m", Created: time.Unix(1, 0).UTC()}
	if err := store.Format(y.fs, format); err != nil {
		t.Fatal(err)
	}
	s := y.open(1)
	for i := range small {
		name := fmt.Sprintf("small/%05d", i)
		y.held[name] = bytes.Repeat([]byte(name), 40) // below what is kept apart from its key
		if _, err := s.PutInline(y.key(name), y.meta(y.held[name]), y.held[name], objects.Conditions{}, objects.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		name := fmt.Sprintf("large/%02d", i)
		y.held[name] = bytes.Repeat([]byte(name), 10_000)
		in, err := s.Create(y.key(name), objects.Draft{}, -1)
		if err != nil {
			t.Fatal(err)
		}
		meta := y.meta(y.held[name])
		err = errors.Join(in.Append(y.held[name]), in.Seal(checksum.Sums{Size: meta.Size, XXHash: meta.XXHash}, meta.ETag))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CommitFile(in, meta, objects.Conditions{}, objects.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Index().Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return y
}

func (y *yard) key(name string) objects.Key { return objects.Key{Bucket: y.bucket, Name: name} }

func (y *yard) meta(b []byte) objects.Meta {
	return objects.Meta{Size: int64(len(b)), XXHash: xxhash.Checksum64(b), ETag: "e", Modified: time.Unix(5, 0).UTC()}
}

func (y *yard) open(start uint64) *store.Store {
	y.t.Helper()
	shared := index.NewShared(8<<20, 1)
	y.t.Cleanup(shared.Close)
	s, err := store.Open(store.Options{FS: y.fs, Shared: shared, Generations: objects.NewSequencer(1, start), BootID: "b"})
	if err != nil {
		y.t.Fatal(err)
	}
	return s
}

// damage changes some bytes in the middle of the largest file of the index with that
// ending.
func (y *yard) damage(pattern string, chance *rand.Rand) {
	y.t.Helper()
	largest, size := "", int64(-1)
	err := y.fs.ReadDir(layout.IndexDir, func(e disk.Entry) bool {
		info, err := y.fs.Stat(layout.IndexDir + "/" + e.Name)
		if err == nil && strings.Contains(e.Name, pattern) && info.Size > size {
			largest, size = e.Name, info.Size
		}
		return true
	})
	if err != nil || largest == "" {
		y.t.Fatalf("no %s in the index: %v", pattern, err)
	}
	file, err := y.fs.OpenFile(layout.IndexDir+"/"+largest, os.O_RDWR, 0)
	if err != nil {
		y.t.Fatal(err)
	}
	at := size/4 + chance.Int64N(size/4)
	var b [8]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		y.t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x5a
	}
	if _, err := file.WriteAt(b[:], at); err != nil {
		y.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) mount(write bool) *Mount {
	y.t.Helper()
	m, err := OpenMount(y.fs, "yard", write)
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		if m.lock != nil {
			_ = m.Close() // a test closes it where it matters
		}
	})
	return m
}

// collect is a Sink in memory.
type collect map[string][]byte

func (c collect) Put(o *Object) error {
	var b bytes.Buffer
	if _, err := o.WriteTo(&b); err != nil {
		return err
	}
	c[o.Key.Name] = b.Bytes()
	return nil
}

func (c collect) Close() error { return nil }

func quiet() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(&bytes.Buffer{})
	return logrus.NewEntry(log)
}

// A damaged block of the index costs what is in it and nothing else: the rest is
// exported, and rebuilt, and nothing comes back wrong.
func TestDamagedIndexIsReadAround(t *testing.T) {
	const small = 3000
	most := 0 // of the cases in which a data block was hit, and not the table's index
	for seed := range uint64(6) {
		y := newYard(t, small)
		y.damage(".sst", rand.New(rand.NewPCG(seed, 1)))
		m := y.mount(false)
		found := make(collect)
		result, err := Export([]*Mount{m}, Reading{Buckets: y.buckets, Log: quiet(), Found: func(Finding) {}}, found, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		exported := len(found)
		for name, content := range found {
			if !bytes.Equal(content, y.held[name]) {
				t.Errorf("seed %d: %s came back wrong", seed, name)
			}
		}
		if len(result.Findings) == 0 {
			t.Fatalf("seed %d: the damage was not noticed", seed)
		}
		if exported >= small*9/10 {
			most++
		}
		if exported < 20 || exported == len(y.held) {
			t.Errorf("seed %d: %d of %d were exported: %v", seed, exported, len(y.held), result.Findings)
		}

		m = y.mount(true)
		rebuilt, err := Rebuild(m, RebuildOptions{Buckets: y.buckets, Now: time.Unix(9, 0), Verify: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if rebuilt.Old != OldDamaged || rebuilt.Files != 20 {
			t.Errorf("seed %d: %+v", seed, rebuilt)
		}
		s := y.open(50)
		there := 0
		for name, content := range y.held {
			opened, err := s.Open(y.key(name), make([]byte, s.InlineLimit()))
			if errors.Is(err, objects.ErrNoSuchKey) {
				if strings.HasPrefix(name, "large") {
					t.Errorf("seed %d: %s is gone", seed, name)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if opened.Meta.Size != int64(len(content)) {
				t.Errorf("seed %d: %s has %d bytes", seed, name, opened.Meta.Size)
			}
			opened.Close()
			there++
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if there < exported {
			t.Errorf("seed %d: %d were exported, %d rebuilt", seed, exported, there)
		}
		for i := range 20 {
			if name := fmt.Sprintf("large/%02d", i); !bytes.Equal(found[name], y.held[name]) {
				t.Errorf("seed %d: %s was not exported", seed, name)
			}
		}
		t.Logf("seed %d: %d of %d exported, %d rebuilt", seed, exported, len(y.held), there)
	}
	if most < 4 {
		t.Errorf("most was exported in %d cases of 6", most)
	}
}

// An index that does not open costs the small objects; the large ones are
// exported and rebuilt from their files. It is put aside, not deleted.
func TestUnreadableIndex(t *testing.T) {
	y := newYard(t, 300)
	y.damage("MANIFEST", rand.New(rand.NewPCG(1, 1)))
	m := y.mount(false)
	found := make(collect)
	result, err := Export([]*Mount{m}, Reading{Buckets: y.buckets, Log: quiet()}, found, nil)
	if err != nil || len(found) != 20 || len(result.Findings) != 1 {
		t.Errorf("%d objects, %v, %v", len(found), result.Findings, err)
	}
	if _, err := Check(m, CheckOptions{Buckets: y.buckets}); !errs.Is(errs.Corrupt, err) {
		t.Errorf("check: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = y.mount(true)
	rebuilt, err := Rebuild(m, RebuildOptions{Buckets: y.buckets, Now: time.Unix(9, 0)})
	if err != nil || rebuilt.Old != OldUnreadable || rebuilt.Files != 20 || rebuilt.Inline != 0 {
		t.Fatalf("%+v, %v", rebuilt, err)
	}
	if there, err := m.exists(rebuilt.MovedTo); err != nil || !there {
		t.Errorf("the old index is not at %q: %v", rebuilt.MovedTo, err)
	}
	checked, err := Check(m, CheckOptions{Buckets: y.buckets, Verify: true})
	if err != nil || checked.Faults+checked.Orphans > 0 || checked.Files != 20 {
		t.Errorf("%+v, %v", checked, err)
	}
}

// A mountpath on a read-only filesystem is exported and checked; one that another
// has open is refused.
func TestReadOnlyAndLocked(t *testing.T) {
	y := newYard(t, 100)
	y.fs.SetReadOnly(true)
	m := y.mount(false)
	if _, err := OpenMount(y.fs, "again", false); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("two have it open: %v", err)
	}
	found := make(collect)
	result, err := Export([]*Mount{m}, Reading{Buckets: y.buckets, Log: quiet()}, found, nil)
	if err != nil || len(result.Findings) > 0 || len(found) != len(y.held) {
		t.Errorf("%d of %d objects, %v, %v", len(found), len(y.held), result.Findings, err)
	}
	if checked, err := Check(m, CheckOptions{Buckets: y.buckets, Verify: true}); err != nil || checked.Faults+checked.Orphans > 0 || checked.Objects != len(y.held) {
		t.Errorf("%+v, %v", checked, err)
	}
	if err := m.FS.Remove(layout.FormatFile); err == nil {
		t.Error("the control: a view lets a file be removed")
	}
}

// A file in versions/ is a noncurrent version after a rebuild, never a current
// one, also where no current one is left: a delete marker may have been.
func TestVersionsStayNoncurrent(t *testing.T) {
	y := newYard(t, 1)
	payload := objects.Generation{Map: 1, Start: 1, Seq: 900_000}
	content := []byte("an older version")
	meta := y.meta(content)
	name := layout.VersionPath(payload)
	if err := y.fs.Mkdir(name[:strings.LastIndexByte(name, '/')], 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := y.fs.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(content, 0)
	err = errors.Join(err, file.SetAttr(layout.AttributeName, layout.AppendAttribute(nil, &layout.Attribute{
		Key: y.key("versioned"), Payload: payload, Size: meta.Size, XXHash: meta.XXHash, ByMarker: true,
		SupersededBy: objects.Generation{Map: 1, Start: 1, Seq: 900_001},
	})), file.Close())
	if err != nil {
		t.Fatal(err)
	}
	m := y.mount(true)
	rebuilt, err := Rebuild(m, RebuildOptions{Buckets: y.buckets, Now: time.Unix(9, 0), IgnoreOld: true})
	if err != nil || rebuilt.Versions != 1 || rebuilt.Start != payload.Start {
		t.Fatalf("%+v, %v", rebuilt, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s := y.open(50)
	if _, err := s.Head(y.key("versioned")); !errors.Is(err, objects.ErrNoSuchKey) {
		t.Errorf("it became current: %v", err)
	}
	value, err := s.Index().Get(layout.VersionKey(nil, y.bucket.ID, "versioned", payload))
	if err != nil {
		t.Errorf("it is no version: %v", err)
	}
	if err := errors.Join(value.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}
