package bucket

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxListings is how many listings of one bucket run at a time: each holds one
// page of every mountpath in memory.
const maxListings = 64

// bucketSpec describes the actor of one bucket.
func bucketSpec(c Config, b objects.Bucket) actors.Spec {
	return actors.Spec{Name: b.ID.String(), Kind: "bucket", New: func() actor.Actor { return &bucket{config: c, bucket: b} }, Policy: actors.Policy{Resumes: true}}
}

// bucket is one bucket on this node. It spawns a lister per listing.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type bucket struct {
	config Config
	bucket objects.Bucket

	listings int    // under way; 0 ≤ listings ≤ maxListings
	named    uint64 // numbers the listers and expirers
	expiry   clock.Timer
}

// Receive implements actor.Actor.
func (b *bucket) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		b.schedule(ctx.Self())
	case *actor.Restarting, *actor.Stopping:
		b.expiry.Stop()

	case *messages.ListObjects:
		b.onList(ctx, m, &objectLister{listing: listing{config: b.config, bucket: b.bucket}, request: m})
	case *messages.ListUploads:
		b.onList(ctx, m, &uploadLister{listing: listing{config: b.config, bucket: b.bucket}, request: m})

	case *expire:
		b.onExpire(ctx)
	case *actor.Terminated:
		if isLister(m.Who.Id) {
			b.listings--
		}

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
		Name: listerPrefix + strconv.FormatUint(b.named, 36), Kind: "lister",
		Subject: b.bucket.Name, Handles: messages.HandlesBucket(b.bucket, messages.ListAccess),
		New: func() actor.Actor { return lister }, Policy: actors.Policy{NoRestart: true},
		// What it waits for only reads; its client need not wait for that.
		Abandoned: func(any) func() {
			request.Fail(errs.E(op, b.bucket, errs.Busy, errListerKilled))
			return nil
		},
	})
	if err != nil {
		request.Fail(errs.E(op, b.bucket, errs.Busy, err))
		return
	}
	b.listings++
}

// listerPrefix and expirerPrefix begin the names of a bucket's children.
const (
	listerPrefix  = "l"
	expirerPrefix = "x"
)

func isLister(id string) bool {
	return strings.HasPrefix(id[strings.LastIndexByte(id, '/')+1:], listerPrefix)
}

// schedule sends the next expire; buckets take turns, so that they do not all
// look at the same moment.
func (b *bucket) schedule(self *actor.PID) {
	root := b.config.System.Root()
	b.expiry = b.config.System.Clock().AfterFunc(expiryTime+rand.N(expiryTime/4), func() { root.Send(self, &expire{}) })
}

func (b *bucket) onExpire(ctx actor.Context) {
	b.schedule(ctx.Self())
	b.named++
	worker := &expirer{listing: listing{config: b.config, bucket: b.bucket}, before: b.config.Now().Add(-uploadTime)}
	_, err := b.config.System.Spawn(ctx, actors.Spec{
		Name: expirerPrefix + strconv.FormatUint(b.named, 36), Kind: "expirer",
		New: func() actor.Actor { return worker }, Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		b.config.System.Log().WithError(err).WithField("bucket", b.bucket.Name).Warn("abandoned uploads cannot be looked for now; it is tried again")
	}
}
