package bucket

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The buckets of a cluster. What is agreed on comes as AdoptBuckets, whichever node has
// changed it; to adopt a document is to have the lanes do what it says before anything
// else is answered under it:
//
//	live ──▶ deleting ──▶ destroyed      deleting: lanes are sealed, nothing is written
//	  ▲          │            │          destroyed: nobody finds it; what is of it goes
//	  └──────────┘            └▶ dropped, told by Documents.Forget
//
// Nobody destroys what is not empty, unless with all that is in it: that goes from live
// to destroyed at once.

// destroyEverywhere destroys a bucket that is empty at every node.
func (c *change) destroyEverywhere() (*objects.BucketDoc, error) {
	const op errs.Op = "bucket.destroy"
	if c.doc.State == objects.BucketLive {
		// One that is not empty is the usual case of a refusal, and is told so with no change.
		if err := c.judgeEmpty(); err != nil {
			return c.doc, errs.E(op, c.doc.Bucket, err)
		}
		if err := c.putState(objects.BucketDeleting); err != nil {
			return c.doc, errs.E(op, c.doc.Bucket, err)
		}
	}
	err := c.judgeEmpty()
	if err == nil {
		if err = c.putState(objects.BucketDestroyed); err == nil {
			return nil, nil
		}
		if errors.Is(err, objects.ErrOutcomeUnknown) {
			return c.doc, errs.E(op, c.doc.Bucket, err)
		}
	}
	return c.doc, errs.E(op, c.doc.Bucket, errors.Join(err, c.putState(objects.BucketLive)))
}

// judgeEmpty fails if the bucket is not empty, or nobody can tell.
func (c *change) judgeEmpty() error {
	empty, err := c.config.Cluster.Empty(c.doc)
	if err != nil {
		return fmt.Errorf("whether the bucket is empty cannot be told: %w", err)
	}
	if !empty {
		return errs.E("bucket.judgeEmpty", c.doc.Bucket, errs.Conflict, objects.ErrBucketNotEmpty)
	}
	return nil
}

// purgeEverywhere destroys a bucket with all that is in it.
func (c *change) purgeEverywhere() (*objects.BucketDoc, error) {
	if err := c.putState(objects.BucketDestroyed); err != nil {
		return c.doc, errs.E("bucket.destroyWithObjects", c.doc.Bucket, err)
	}
	return nil, nil
}

// adoption is the worker that has the lanes follow documents that were agreed on.
type adoption struct {
	config     Config
	tell       *actor.PID
	message    *messages.AdoptBuckets
	seal, open []*objects.BucketDoc
	told       bool
}

// adoptionEnded says that the lanes follow, or why not.
type adoptionEnded struct {
	by  *adoption
	err error
}

// Receive implements actor.Actor.
func (a *adoption) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		a.end(ctx, a.run())
		ctx.Stop(ctx.Self())
	case *actor.Stopping:
		if !a.told { // after a panic
			a.end(ctx, errs.E("bucket.adopt", errs.Busy, errAdoptionFailed))
		}
	default:
		actors.Unexpected(ctx, a.config.System.Log())
	}
}

var (
	errAdoptionFailed = errors.New("the lanes do not follow the documents of buckets")
	errAdopting       = errors.New("earlier documents of buckets are still being adopted")
)

func (a *adoption) end(ctx actor.Context, err error) {
	a.told = true
	ctx.Send(a.tell, &adoptionEnded{a, err})
}

func (a *adoption) run() error {
	roster := a.config.Roster.Load()
	for _, doc := range a.seal {
		if err := (&change{config: a.config, doc: doc}).seal(roster); err != nil {
			return err
		}
	}
	for _, doc := range a.open {
		if err := (&change{config: a.config, doc: doc}).unseal(roster); err != nil {
			return err
		}
	}
	return nil
}

// onAdoptBuckets has the lanes follow first.
func (b *buckets) onAdoptBuckets(ctx actor.Context, m *messages.AdoptBuckets) {
	if b.adopting != nil {
		m.Fail(errs.E("bucket.adopt", errs.Busy, errAdopting))
		return
	}
	a := &adoption{config: b.Config, tell: ctx.Self(), message: m}
	for _, doc := range m.Docs {
		have := b.docs.byName[doc.Name]
		switch {
		case doc.State != objects.BucketLive:
			a.seal = append(a.seal, doc)
		case have != nil && have.ID == doc.ID && have.State == objects.BucketDeleting && have.Version < doc.Version:
			a.open = append(a.open, doc)
		}
	}
	if len(a.seal) == 0 && len(a.open) == 0 {
		b.show(ctx, m.Docs)
		m.Reply.Send(struct{}{}, nil)
		return
	}
	self, root := ctx.Self(), b.System.Root()
	b.adoptions++
	_, err := b.System.Spawn(ctx, actors.Spec{
		Name: fmt.Sprintf("adopt-%d", b.adoptions), Kind: "adoption", New: func() actor.Actor { return a },
		Policy: actors.Policy{NoRestart: true},
		Abandoned: func(any) func() {
			root.Send(self, &adoptionEnded{a, errs.E("bucket.adopt", errs.Busy, errAdoptionFailed)})
			return nil
		},
	})
	if err != nil {
		m.Fail(errs.E("bucket.adopt", errs.Busy, err))
		return
	}
	b.adopting = a
}

func (b *buckets) onAdoptionEnded(ctx actor.Context, m *adoptionEnded) {
	if b.adopting != m.by {
		return
	}
	b.adopting = nil
	if m.err != nil {
		m.by.message.Fail(m.err)
		return
	}
	b.show(ctx, m.by.message.Docs)
	m.by.message.Reply.Send(struct{}{}, nil)
}

// show shows requests what nodes agreed on. Those that are destroyed go first: one of
// the same name may follow.
func (b *buckets) show(ctx actor.Context, docs []*objects.BucketDoc) {
	set := b.Published.Load()
	for _, doc := range docs {
		if doc.State != objects.BucketDestroyed {
			continue
		}
		if have := b.docs.byName[doc.Name]; have != nil && have.ID == doc.ID {
			if pid := b.pids[doc.Name]; pid != nil {
				ctx.Stop(pid)
				delete(b.pids, doc.Name)
			}
			delete(b.docs.byName, doc.Name)
			set = set.Without(doc.Name)
		}
		b.drop(ctx, doc)
	}
	for _, doc := range docs {
		have, shown := b.docs.byName[doc.Name], set.Find(doc.Name) != nil
		if doc.State == objects.BucketDestroyed || have != nil && (have.ID != doc.ID || have.Version > doc.Version || have.Version == doc.Version && shown) {
			continue
		}
		b.docs.byName[doc.Name] = doc
		set = set.With(&messages.BucketView{Doc: doc, Actor: b.spawnBucket(ctx, doc)})
		if doc.State == objects.BucketDeleting {
			b.scheduleReopen(ctx, doc)
		}
	}
	b.Published.Store(set)
}

// onAgreed takes over how a change ended. What was agreed on has been adopted by then,
// or will be.
func (b *buckets) onAgreed(ctx actor.Context, m *bucketChanged) {
	if doc := b.docs.byName[m.name]; m.err != nil && doc != nil && doc.State == objects.BucketDeleting {
		b.scheduleReopen(ctx, doc)
	}
}

// reopenAfter is how long a bucket may be without writes because somebody asks whether
// it is empty: whoever does has failed by then.
const reopenAfter = 2 * time.Minute

// reopenDue says that a bucket is to take writes again, if nobody has destroyed it.
type reopenDue struct{ doc *objects.BucketDoc }

func (b *buckets) scheduleReopen(ctx actor.Context, doc *objects.BucketDoc) {
	self := ctx.Self()
	b.System.Clock().AfterFunc(reopenAfter, func() { b.System.Root().Send(self, &reopenDue{doc}) })
}

func (b *buckets) onReopenDue(ctx actor.Context, m *reopenDue) {
	have := b.docs.byName[m.doc.Name]
	if have == nil || have.ID != m.doc.ID || have.Version != m.doc.Version {
		return // it has gone on
	}
	if b.docs.changing[m.doc.Name] != nil {
		b.scheduleReopen(ctx, m.doc)
		return
	}
	b.System.Log().WithField("bucket", m.doc.Name).Warn("a bucket takes writes again: whoever was to destroy it has not")
	b.change(ctx, m.doc.Name, &change{doc: m.doc, goal: reopen, answer: func(_ *objects.BucketDoc, err error) {
		if err != nil && !errs.Is(errs.Conflict, err) { // another node was faster
			b.System.Log().WithError(err).WithField("bucket", m.doc.Name).Warn("a bucket cannot be opened for writes now; it is tried again")
		}
	}})
}

// dropper is the worker that removes what the node has of a destroyed bucket.
type dropper struct {
	change
	told bool
}

// dropEnded says how that went; dropDue that it is to be tried again.
type (
	dropEnded struct {
		doc *objects.BucketDoc
		err error
	}
	dropDue struct{ doc *objects.BucketDoc }
)

// Receive implements actor.Actor.
func (d *dropper) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		err := d.run()
		d.told = true
		ctx.Send(d.tell, &dropEnded{d.doc, err})
		ctx.Stop(ctx.Self())
	case *actor.Stopping:
		if !d.told {
			ctx.Send(d.tell, &dropEnded{d.doc, errs.E("bucket.drop", d.doc.Bucket, errs.Busy, objects.ErrOutcomeUnknown)})
		}
	default:
		actors.Unexpected(ctx, d.config.System.Log())
	}
}

func (d *dropper) run() error {
	roster := d.config.Roster.Load()
	for i := range roster.Mountpaths {
		if m := &roster.Mountpaths[i]; m.Offline != "" {
			return errs.E("bucket.drop", d.doc.Bucket, errs.Offline, fmt.Errorf("mountpath %s: %s", m.Path, m.Offline))
		}
		if err := d.emptyMountpath(&roster.Mountpaths[i]); err != nil {
			return err
		}
	}
	return d.change.drop(roster)
}

// drop begins to remove what the node has of a destroyed bucket.
func (b *buckets) drop(ctx actor.Context, doc *objects.BucketDoc) {
	if b.drops[doc.ID] {
		return
	}
	self, root := ctx.Self(), b.System.Root()
	b.adoptions++
	_, err := b.System.Spawn(ctx, actors.Spec{
		Name: fmt.Sprintf("drop-%s-%d", doc.ID, b.adoptions), Kind: "drop", Policy: actors.Policy{NoRestart: true},
		New: func() actor.Actor { return &dropper{change: change{config: b.Config, tell: self, doc: doc}} },
		Abandoned: func(any) func() {
			root.Send(self, &dropEnded{doc, errs.E("bucket.drop", doc.Bucket, errs.Busy, objects.ErrOutcomeUnknown)})
			return nil
		},
	})
	b.drops[doc.ID] = true
	if err != nil {
		b.onDropEnded(ctx, &dropEnded{doc, err})
	}
}

func (b *buckets) onDropEnded(ctx actor.Context, m *dropEnded) {
	delete(b.drops, m.doc.ID)
	if m.err == nil {
		return
	}
	b.System.Log().WithError(m.err).WithFields(logrus.Fields{"bucket": m.doc.Name, "again": lastDestructionPause.String()}).
		Warn("what the node has of a destroyed bucket cannot be removed now; it is tried again")
	self := ctx.Self()
	b.System.Clock().AfterFunc(lastDestructionPause, func() { b.System.Root().Send(self, &dropDue{m.doc}) })
}
