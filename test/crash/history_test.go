package crash

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// Negative control: what the test of power cuts says of each state, that every record has
// its entry in the history, is not so where entries were lost.
func TestLostHistoryIsFound(t *testing.T) {
	fs := disk.NewMem(1)
	if err := format(fs); err != nil {
		t.Fatal(err)
	}
	m := &machine{fs: fs, shared: index.NewShared(8<<20, 1), inline: 1 << 10, boot: "first"}
	defer m.shared.Close()
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.store.Close(); err != nil {
			t.Error(err)
		}
	}()
	bucket := objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"}
	for _, name := range []string{"a", "b"} {
		if _, err := m.store.PutInline(objects.Key{Bucket: bucket, Name: name}, objects.Meta{}, nil, objects.Conditions{}, objects.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := recorded(m.store, []objects.Bucket{bucket}); err != nil {
		t.Fatal(err)
	}
	scan, err := m.store.Index().Scan(layout.HistoryBounds())
	if err != nil {
		t.Fatal(err)
	}
	batch := m.store.Index().NewBatch()
	for scan.Next() {
		if place, err := layout.ParseMutationKey(scan.Key()); err == nil && place.Name == "b" {
			batch.Delete(scan.Key())
		}
	}
	if err := scan.Close(); err != nil {
		t.Fatal(err)
	}
	if batch.Len() != 1 {
		t.Fatalf("%d entries", batch.Len())
	}
	if err := m.store.Index().Commit(batch); err != nil {
		t.Fatal(err)
	}
	if err := recorded(m.store, []objects.Bucket{bucket}); err == nil || !strings.HasPrefix(err.Error(), "b is of generation") {
		t.Fatalf("the entry of b is lost: %v", err)
	}
}
