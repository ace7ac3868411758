package bucket

import (
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxListings is how many listings of one bucket run at a time: each holds one
// page of every mountpath in memory.
const maxListings = 64

// bucketSpec describes the actor of one bucket.
func bucketSpec(c Config, b objects.Bucket) actors.Spec {
	return actors.Spec{Name: b.ID.String(), New: func() actor.Actor { return &bucket{config: c, bucket: b} }}
}

// bucket is one bucket on this node. It spawns a lister per listing.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type bucket struct {
	config Config
	bucket objects.Bucket

	listings int    // under way; 0 ≤ listings ≤ maxListings
	named    uint64 // numbers the listers
}

// Receive implements actor.Actor.
func (b *bucket) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *messages.ListObjects:
		b.onList(ctx, m, &objectLister{listing: listing{config: b.config, bucket: b.bucket}, request: m})
	case *messages.ListUploads:
		b.onList(ctx, m, &uploadLister{listing: listing{config: b.config, bucket: b.bucket}, request: m})

	case *actor.Terminated:
		b.listings--

	default:
		actors.Unexpected(ctx, b.config.System.Log())
	}
}

func (b *bucket) onList(ctx actor.Context, request messages.Failer, lister actor.Actor) {
	const op errs.Op = "bucket.List"
	if b.listings == maxListings {
		request.Fail(errs.E(op, b.bucket, errs.Busy, errListings))
		return
	}
	b.named++
	_, err := b.config.System.Spawn(ctx, actors.Spec{
		Name: "l" + strconv.FormatUint(b.named, 36), New: func() actor.Actor { return lister }, Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		request.Fail(errs.E(op, b.bucket, errs.Busy, err))
		return
	}
	b.listings++
}
