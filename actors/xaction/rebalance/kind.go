package rebalance

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// Name is the kind's.
const Name = "rebalance"

// Parameters are a rebalance's.
type Parameters struct {
	// Plan is the version of the map that began the plan; 0: there is none, and only what is
	// left over from earlier ones is removed.
	Plan uint64 `json:"plan"`
}

// Keys are the node's, and the ways to their next owners. Safe for concurrent use; every
// method blocks. An error of kind Busy says that it is to be tried again.
type Keys interface {
	// Buckets are the live buckets.
	Buckets() []*objects.BucketDoc
	// Owed returns a page of keys to copy, under the map as it is now.
	Owed(ctx context.Context, r messages.OwedRequest) (*messages.OwedPage, error)
	// CopyOut makes what the next owners of a key have equal to what this node has, settled
	// first, and returns how many bytes were sent. A key that another node is in charge of by
	// now is none of its business: 0.
	CopyOut(ctx context.Context, bucket *objects.BucketDoc, name string) (bytes int64, err error)
	// OwedUploads returns the uploads under way to copy; of the request After and Limit are
	// not used.
	OwedUploads(ctx context.Context, r messages.OwedRequest) ([]messages.UploadName, error)
	// CopyOutUpload is CopyOut for an upload under way.
	CopyOutUpload(ctx context.Context, bucket *objects.BucketDoc, u messages.UploadName) (bytes int64, err error)
	// Leftovers returns a page of records of keys that this node does not hold.
	Leftovers(ctx context.Context, bucket *objects.BucketDoc, after string) (*messages.LeftoverPage, error)
	// RemoveLeftover removes a record and its payload, if the node still does not hold the
	// key, in its turn, and if it still is of that generation.
	RemoveLeftover(ctx context.Context, bucket *objects.BucketDoc, l messages.Leftover) error
	// RemoveLeftoverUploads ends uploads under way of keys that this node does not hold.
	RemoveLeftoverUploads(ctx context.Context, bucket *objects.BucketDoc) error
	// Tally counts what is to be copied of a bucket; nil: the plan is over.
	Tally(ctx context.Context, bucket *objects.BucketDoc, after string) (*messages.PlanTally, error)
}

// Config is what the kind needs. Every field is required.
type Config struct {
	View func() *messages.ClusterView // what the node knows of its cluster; only to be read
	Keys Keys
	// Report is where what was walked is shown.
	Report *atomic.Pointer[messages.PlanWalk]
	// Swept is since which version the placement was as it is when the last sweep began that
	// removed all that was left over here; see smap.Smap.PlacementSince.
	Swept *atomic.Uint64
}

// Kind describes the job.
func Kind(c Config) xaction.Kind {
	return xaction.Kind{
		Name:    Name,
		Summary: "Copies what a plan of the cluster gives to other nodes, and removes what it has taken from this one.",
		Scope:   xaction.OncePerNode, Pausable: true, Resumable: true, Priority: 1,
		Check: func(raw json.RawMessage) (xaction.Target, error) {
			var p Parameters
			return xaction.Target{}, xaction.Decode(raw, &p)
		},
		Run: func(run *xaction.Run) error {
			w := &walk{Config: c, run: run}
			return w.do()
		},
	}
}
