package mountpath

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A mountpath leaves only if the others have room for its objects, each for an even
// share, above what they keep free; what lies on the same filesystem needs none.
func TestRoomForWhatLeaves(t *testing.T) {
	shared := index.NewShared(1<<20, 3)
	t.Cleanup(shared.Close)
	bucket := objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"}
	const tooSmall, enough = 64 << 20, 100 << 30
	open := func(device int64, totalBytes uint64) *store.Store {
		t.Helper()
		mem := disk.NewMem(uint64(device))
		mem.SetSpace(totalBytes, 1<<20)
		f := layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: fmt.Sprint("m", device)}
		if err := store.Format(mem, f); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(store.Options{
			FS: mem, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes,
			InlineLimit: 64 << 10, BootID: "boot", Now: time.Now, Reserve: store.Reserve{Bytes: tooSmall},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	leaving := open(1, enough)
	payload := make([]byte, 50<<10)
	digests := checksum.NewDigests(checksum.Want{})
	digests.Write(payload)
	sums := digests.Sums()
	for i := range 20 {
		key := objects.Key{Bucket: bucket, Name: fmt.Sprint("o", i)}
		meta := objects.Meta{Size: sums.Size, XXHash: sums.XXHash, ETag: sums.ETag(), Modified: time.Now()}
		if _, err := leaving.PutInline(key, meta, payload, objects.Conditions{}, objects.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	roomy, small, same := open(2, enough), open(3, tooSmall), open(1, tooSmall)
	buckets := []objects.Bucket{bucket}
	for name, c := range map[string]struct {
		others  []*store.Store
		refused bool
	}{
		"room":                    {[]*store.Store{roomy}, false},
		"no room":                 {[]*store.Store{small}, true},
		"one of two has no room":  {[]*store.Store{roomy, small}, true},
		"the same filesystem":     {[]*store.Store{same}, false},
		"the same, and one other": {[]*store.Store{same, roomy}, false},
	} {
		if err := hasRoom(buckets, leaving, c.others); errs.Is(errs.NoSpace, err) != c.refused || !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Negative control: of a bucket that has nothing, everything has room.
	if err := hasRoom([]objects.Bucket{{ID: objects.BucketID{8}, Name: "empty"}}, leaving, []*store.Store{small}); err != nil {
		t.Errorf("nothing is to be moved: %v", err)
	}
}
