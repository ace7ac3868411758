package supervisors

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What a node of a cluster lost it would call absent, though other nodes have it.
func TestLostIsNotGivenUpWhereOthersHaveIt(t *testing.T) {
	bucket := func(name string, copies int, state objects.BucketState) *objects.BucketDoc {
		return &objects.BucketDoc{Bucket: objects.Bucket{Name: name}, State: state, Props: objects.BucketProps{Copies: copies}}
	}
	single, shared := bucket("single", 1, objects.BucketLive), bucket("shared", 2, objects.BucketLive)
	for _, ok := range [][]*objects.BucketDoc{nil, {single}, {single, bucket("gone", 2, objects.BucketDestroyed)}} {
		if err := mayGiveUp("d0", ok); err != nil {
			t.Errorf("%d buckets: %v", len(ok), err)
		}
	}
	err := mayGiveUp("d0", []*objects.BucketDoc{single, shared})
	if !errs.Is(errs.Conflict, err) || !strings.Contains(err.Error(), "shared") {
		t.Errorf("a bucket that other nodes keep, too: %v", err)
	}
}
