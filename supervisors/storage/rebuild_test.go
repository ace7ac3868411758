package storage

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// An index is not made anew from files where other nodes keep copies and know what was
// deleted, unless that is said; it is where the node is alone, or each object is on one
// node.
func TestRebuildOnANodeOfACluster(t *testing.T) {
	for _, c := range []struct {
		name    string
		cluster bool
		copies  int
		despite bool
		refused bool
	}{
		{"alone", false, 2, false, false},
		{"one copy", true, 1, false, false},
		{"two copies", true, 2, false, true},
		{"two copies, and told to", true, 2, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mountpath(t, dir, c.cluster, c.copies)
			result, err := Rebuild(RebuildOptions{Data: dir, DespiteCopies: c.despite, Now: time.Unix(1e9, 0)})
			switch {
			case !c.refused && (err != nil || result == nil):
				t.Errorf("%+v, %v", result, err)
			case c.refused && (!errs.Is(errs.Conflict, err) || !strings.Contains(err.Error(), "photos") || !strings.Contains(err.Error(), "--despite-copies")):
				t.Errorf("it is not refused with what to do instead: %v", err)
			}
		})
	}
}

// mountpath makes a directory a node's only mountpath, with documents of a bucket.
func mountpath(t *testing.T, dir string, cluster bool, copies int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	linux, err := disk.NewLinux(dir)
	must(err)
	defer linux.Close()
	must(store.Format(linux, layout.Format{Version: 1, ClusterID: "c", NodeID: "n", MountpathID: "m", Created: time.Unix(1, 0).UTC()}))
	shelf := store.Shelf{FS: linux, Name: dir}
	documents, err := embedded.Open([]embedded.Shelf{shelf})
	must(err)
	documents.Adopt("c", "n")
	_, err = documents.Begin([]embedded.Shelf{shelf}, []embedded.Mountpath{{ID: "m", Path: dir}})
	must(err)
	bucket := objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}
	must(documents.PutBucket(&objects.BucketDoc{Bucket: bucket, Version: 1, State: objects.BucketLive, Props: objects.BucketProps{Copies: copies}}))
	if cluster {
		must(documents.PutCluster(json.RawMessage(`{"map": null}`)))
	}
}
