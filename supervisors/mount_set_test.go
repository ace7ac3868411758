package supervisors

import (
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// What a mountpath had that is given up is unknown, and not absent, where other nodes have
// it, too.
func TestIsCopied(t *testing.T) {
	bucket := func(name string, copies int, state objects.BucketState) *objects.BucketDoc {
		return &objects.BucketDoc{Bucket: objects.Bucket{Name: name}, State: state, Props: objects.BucketProps{Copies: copies}}
	}
	single, shared := bucket("single", 1, objects.BucketLive), bucket("shared", 2, objects.BucketLive)
	for _, alone := range [][]*objects.BucketDoc{nil, {single}, {single, bucket("gone", 2, objects.BucketDestroyed)}} {
		if isCopied(alone) {
			t.Errorf("%d buckets that nobody else keeps", len(alone))
		}
	}
	if !isCopied([]*objects.BucketDoc{single, shared}) {
		t.Error("a bucket that other nodes keep, too")
	}
}
