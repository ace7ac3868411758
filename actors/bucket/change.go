package bucket

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// goal is what a change is for.
type goal uint8

const (
	create goal = iota
	setProps
	destroy
	destroyWithObjects
	// Of a cluster.
	destroyEverywhere
	purgeEverywhere
	reopen
)

// handles is what a change for the goal does to a bucket, as the requests for it say.
func (g goal) handles(bucket string) messages.Handling {
	switch g {
	case create:
		return (&messages.CreateBucket{Name: bucket}).Handles()
	case setProps:
		return (&messages.SetBucketProps{Name: bucket}).Handles()
	default:
		return (&messages.DestroyBucket{Name: bucket}).Handles()
	}
}

// change is the worker of one change: it blocks on documents and lanes, tells
// the coordinator how it went, and ends.
type change struct {
	config Config
	tell   *actor.PID
	doc    *objects.BucketDoc
	goal   goal
	answer func(*objects.BucketDoc, error)
	ended  atomic.Pointer[bucketChanged] // what the coordinator was told; nil: nothing yet
}

// Receive implements actor.Actor.
func (c *change) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		c.end(ctx, c.run)
		ctx.Stop(ctx.Self())
	case *actor.Stopping:
		if c.ended.Load() == nil { // after a panic
			c.end(ctx, func() (*objects.BucketDoc, error) {
				return c.doc, errs.E("bucket.change", c.doc.Name, errs.Busy, objects.ErrOutcomeUnknown)
			})
		}
	default:
		actors.Unexpected(ctx, c.config.System.Log())
	}
}

// end tells the coordinator how the change went.
func (c *change) end(ctx actor.Context, how func() (*objects.BucketDoc, error)) {
	now, err := how()
	told := &bucketChanged{change: c, name: c.doc.Name, doc: now, err: err, answer: c.answer}
	c.ended.Store(told)
	ctx.Send(c.tell, told)
}

// run carries the change out and returns the document as it is afterwards.
func (c *change) run() (*objects.BucketDoc, error) {
	const op errs.Op = "bucket.change"
	switch c.goal {
	case create:
		if err := c.config.Documents.PutBucket(c.doc); err != nil {
			return nil, errs.E(op, c.doc.Bucket, err)
		}
		return c.doc, nil
	case setProps:
		if err := c.config.Documents.PutBucket(c.doc); err != nil {
			previous := c.config.Published.Load().Find(c.doc.Name)
			if previous == nil {
				return nil, errs.E(op, c.doc.Bucket, err)
			}
			return previous.Doc, errs.E(op, c.doc.Bucket, err)
		}
		return c.doc, nil
	case destroy:
		return c.destroy()
	case destroyWithObjects:
		return c.destroyWithObjects()
	case destroyEverywhere:
		return c.destroyEverywhere()
	case purgeEverywhere:
		return c.purgeEverywhere()
	case reopen:
		return c.doc, errs.Wrap(op, c.putState(objects.BucketLive))
	default:
		return c.doc, errs.E(op, c.doc.Bucket, errs.Internal, fmt.Errorf("goal %d", c.goal))
	}
}

// destroy seals the bucket in every lane, checks that it is empty, and then lets
// it go: first the document, synced, then its data. A bucket that is not empty
// stays, unsealed.
func (c *change) destroy() (*objects.BucketDoc, error) {
	const op errs.Op = "bucket.destroy"
	roster := c.config.Roster.Load()
	for _, m := range roster.Mountpaths {
		if why := cmp.Or(m.Offline, m.ReadOnly); why != "" {
			return c.doc, errs.E(op, c.doc.Bucket, errs.Offline, fmt.Errorf("mountpath %s: %s; the bucket cannot be destroyed there", m.Path, why))
		}
	}
	unseal := func(cause error) (*objects.BucketDoc, error) {
		return c.doc, errors.Join(cause, c.unseal(roster))
	}
	if err := c.seal(roster); err != nil {
		return unseal(errs.E(op, c.doc.Bucket, err))
	}
	empty, err := c.empty(roster)
	if err != nil {
		return unseal(errs.E(op, c.doc.Bucket, err))
	}
	if !empty {
		return unseal(errs.E(op, c.doc.Bucket, errs.Conflict, objects.ErrBucketNotEmpty))
	}
	if err := c.putState(objects.BucketDestroyed); err != nil {
		return unseal(errs.E(op, c.doc.Bucket, err))
	}
	c.dropNow(roster)
	return nil, nil
}

// destroyWithObjects is destroy for a bucket with all that is in it: the document
// says first that there is no way back, so that a crash does not leave half a
// bucket; then its objects go, and then the bucket as one that is empty.
func (c *change) destroyWithObjects() (*objects.BucketDoc, error) {
	const op errs.Op = "bucket.destroyWithObjects"
	roster := c.config.Roster.Load()
	for _, m := range roster.Mountpaths {
		if why := cmp.Or(m.Offline, m.ReadOnly); why != "" {
			return c.doc, errs.E(op, c.doc.Bucket, errs.Offline, fmt.Errorf("mountpath %s: %s; what the bucket has there cannot be destroyed", m.Path, why))
		}
	}
	if err := c.seal(roster); err != nil {
		if c.doc.State != objects.BucketDeleting {
			err = errors.Join(err, c.unseal(roster))
		}
		return c.doc, errs.E(op, c.doc.Bucket, err)
	}
	if c.doc.State != objects.BucketDeleting {
		if err := c.putState(objects.BucketDeleting); err != nil {
			return c.doc, errors.Join(errs.E(op, c.doc.Bucket, err), c.unseal(roster))
		}
		c.config.System.Root().Send(c.tell, &bucketDoomed{c.doc})
	}
	for i := range roster.Mountpaths {
		if err := c.emptyMountpath(&roster.Mountpaths[i]); err != nil {
			return c.doc, errs.E(op, c.doc.Bucket, err)
		}
	}
	if err := c.putState(objects.BucketDestroyed); err != nil {
		return c.doc, errs.E(op, c.doc.Bucket, err)
	}
	c.dropNow(roster)
	return nil, nil
}

// emptyAtOnce is how many objects a mountpath deletes between two answers: a
// second's work where every one is a file.
const emptyAtOnce = 10_000

// emptyMountpath deletes what one mountpath has of the bucket.
func (c *change) emptyMountpath(view *messages.MountpathView) error {
	for {
		m := &messages.EmptyBucket{Bucket: c.doc.Bucket, Limit: emptyAtOnce, Reply: messages.NewReply[bool]()}
		c.config.System.Root().Send(view.Coordinator, m)
		if more, err := m.Reply.Wait("bucket.emptyMountpath", changeTime); err != nil || !more {
			return err
		}
	}
}

// putState stores the document in another state; it is the change's from then on.
func (c *change) putState(state objects.BucketState) error {
	next := *c.doc
	next.State = state
	next.Version++
	if err := c.config.Documents.PutBucket(&next); err != nil {
		return err
	}
	c.doc = &next
	return nil
}

// dropNow drops what is left of a bucket whose document says that it is gone.
func (c *change) dropNow(roster *messages.Roster) {
	if err := c.drop(roster); err != nil {
		// The document says that it is gone: the next start drops what is left.
		c.config.System.Log().WithError(err).WithField("bucket", c.doc.Name).Warn("a destroyed bucket's data stays until the next start")
	}
}

// drop removes the data of a destroyed bucket everywhere, and then its document.
func (c *change) drop(roster *messages.Roster) error {
	for i := range roster.Mountpaths {
		m := &messages.DropBucket{Bucket: c.doc.Bucket, Reply: messages.NewReply[struct{}]()}
		c.config.System.Root().Send(roster.Mountpaths[i].Coordinator, m)
		if _, err := m.Reply.WaitOn(c.config.System.Clock(), "bucket.drop", changeTime); err != nil {
			return err
		}
	}
	return c.config.Documents.Forget(c.doc.ID)
}

// changeTime bounds each wait of a change: an fsync on a busy disk takes
// seconds, not half a minute.
const changeTime = 30 * time.Second

// seal makes every lane refuse writes of the bucket.
func (c *change) seal(roster *messages.Roster) error {
	var replies []messages.Reply[struct{}]
	for i := range roster.Mountpaths {
		for _, lane := range roster.Mountpaths[i].Writers {
			m := &messages.SealBucket{Bucket: c.doc.ID, Reply: messages.NewReply[struct{}]()}
			c.config.System.Root().Send(lane, m)
			replies = append(replies, m.Reply)
		}
	}
	var failures []error
	for _, r := range replies {
		if _, err := r.WaitOn(c.config.System.Clock(), "bucket.seal", changeTime); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// unseal makes every mountpath take writes of the bucket again. One lane of each
// is enough, and there is one: what is being restarted is back within a second.
func (c *change) unseal(roster *messages.Roster) error {
	var failures []error
	for i := range roster.Mountpaths {
		failures = append(failures, c.unsealMountpath(&roster.Mountpaths[i]))
	}
	return errors.Join(failures...)
}

// unsealPause is how long it takes between two attempts to reach a lane.
const unsealPause = 20 * time.Millisecond

func (c *change) unsealMountpath(view *messages.MountpathView) (err error) {
	const op errs.Op = "bucket.unseal"
	clock := c.config.System.Clock()
	for began := clock.Elapsed(); clock.Elapsed()-began < changeTime; {
		for _, lane := range view.Writers {
			m := &messages.SealBucket{Bucket: c.doc.ID, Open: true, Reply: messages.NewReply[struct{}]()}
			c.config.System.Root().Send(lane, m)
			if _, err = m.Reply.WaitOn(clock, op, changeTime); err == nil {
				return nil
			}
		}
		pause, _ := clock.NewTimer(unsealPause)
		<-pause
	}
	return err
}

// empty asks every mountpath for one name.
func (c *change) empty(roster *messages.Roster) (bool, error) {
	for i := range roster.Mountpaths {
		m := &messages.ListObjects{Bucket: c.doc.Bucket, Limit: 1, Reply: messages.NewReply[*messages.ObjectPage]()}
		c.config.System.Root().Send(roster.Mountpaths[i].Readers[0], m)
		page, err := m.Reply.WaitOn(c.config.System.Clock(), "bucket.empty", changeTime)
		if err != nil || len(page.Entries) > 0 {
			return false, err
		}
	}
	return true, nil
}
