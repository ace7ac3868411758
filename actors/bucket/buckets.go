package bucket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Documents keeps what nodes agree on. Implemented by the cluster's providers.
type Documents interface {
	// PutBucket stores a document durably in place of its predecessor, whose
	// Version is one less; errs.Conflict if another change came first. Blocks.
	PutBucket(doc *objects.BucketDoc) error
	// Forget removes the document of a destroyed bucket of which no mountpath has
	// data any more. Blocks.
	Forget(id objects.BucketID) error
}

// Config is what the actors of buckets need.
type Config struct {
	System    *actors.System
	Documents Documents
	Roster    *atomic.Pointer[messages.Roster]
	// Lanes is the map of the cluster that write lanes act on; nil: the node is alone.
	Lanes *messages.LaneMap
	// Published is where the coordinator puts the snapshot of live buckets.
	Published *atomic.Pointer[messages.BucketSet]
	// Docs are the documents as they were at start.
	Docs []*objects.BucketDoc
	Now  func() time.Time
	// Cluster is what changes of buckets need of other nodes; nil: the node is alone.
	Cluster Cluster
}

// Cluster is what changes of buckets need of other nodes.
type Cluster interface {
	// Empty reports whether no node has an object of a bucket; errs.Offline if that cannot
	// be told. Every node has the document, so that what it says holds from then on if the
	// document says that nothing is written. Blocks.
	Empty(doc *objects.BucketDoc) (bool, error)
}

// Name is the coordinator's among the node's children.
const Name = "buckets"

// Spec describes the coordinator of a node's buckets.
func Spec(c Config) actors.Spec {
	docs := &documents{byName: make(map[string]*objects.BucketDoc), changing: make(map[string]*change)}
	for _, d := range c.Docs {
		docs.byName[d.Name] = d
	}
	return actors.Spec{Name: Name, Kind: "buckets", New: func() actor.Actor { return &buckets{Config: c, docs: docs} }, Policy: actors.Policy{Resumes: true}}
}

// documents is what the coordinator knows of buckets; it outlives a restart of
// the coordinator, which alone touches it.
type documents struct {
	byName   map[string]*objects.BucketDoc // live ones, and those being deleted
	changing map[string]*change            // changes under way, by name; one that hangs goes on when its worker was killed
	changes  uint64                        // how many were begun: the worker of one that has just ended still has its name
}

// buckets makes and destroys buckets, one change per name at a time.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type buckets struct {
	Config
	docs *documents

	pids   map[string]*actor.PID    // bucket actors by name
	pauses map[string]time.Duration // until the last attempt at a destruction, by name

	// Of a cluster.
	adopting  *adoption                 // that is under way; nil: none is
	adoptions uint64                    // numbers them, and drops
	drops     map[objects.BucketID]bool // destroyed buckets whose data is being removed
}

// Receive implements actor.Actor.
func (b *buckets) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		b.onStarted(ctx)

	case *messages.CreateBucket:
		b.onCreateBucket(ctx, m)
	case *messages.DestroyBucket:
		b.onDestroyBucket(ctx, m)
	case *messages.SetBucketProps:
		b.onSetBucketProps(ctx, m)

	case *messages.AdoptBuckets:
		b.onAdoptBuckets(ctx, m)
	case *adoptionEnded:
		b.onAdoptionEnded(ctx, m)
	case *dropDue:
		b.drop(ctx, m.doc)
	case *dropEnded:
		b.onDropEnded(ctx, m)
	case *reopenDue:
		b.onReopenDue(ctx, m)

	case *destructionDue:
		b.onDestructionDue(ctx, m)
	case *bucketDoomed:
		b.onBucketDoomed(m)
	case *bucketChanged:
		b.onBucketChanged(ctx, m)

	default:
		actors.Unexpected(ctx, b.System.Log())
	}
}

func (b *buckets) onStarted(ctx actor.Context) {
	b.pids = make(map[string]*actor.PID)
	b.pauses = make(map[string]time.Duration)
	b.drops = make(map[objects.BucketID]bool)
	for _, c := range b.docs.changing {
		if ended := c.ended.Load(); ended != nil { // while nobody was here to be told
			b.onBucketChanged(ctx, ended)
		}
	}
	var views []*messages.BucketView
	for name, doc := range b.docs.byName {
		switch {
		case doc.State == objects.BucketLive:
			views = append(views, &messages.BucketView{Doc: doc, Actor: b.spawnBucket(ctx, doc)})
		case b.Cluster != nil:
			// It is shown once its lanes are sealed: the documents are adopted again.
		case doc.State == objects.BucketDeleting && b.docs.changing[name] == nil:
			// A crash interrupted its destruction.
			b.finishDestruction(ctx, doc)
		}
	}
	b.Published.Store(messages.NewBucketSet(views))
}

// finishDestruction goes on with the destruction of a bucket that has no way back.
func (b *buckets) finishDestruction(ctx actor.Context, doc *objects.BucketDoc) {
	if err := b.System.Quarantine().Refuses("bucket.Destroy", destroyWithObjects.handles(doc.Name)); err != nil {
		b.destructionFailed(ctx, doc.Name, err)
		return
	}
	b.change(ctx, doc.Name, &change{doc: doc, goal: destroyWithObjects})
}

// Pauses between two attempts to destroy a bucket that has no way back: a lane
// that is being restarted is there again within a second, a disk is not.
const (
	firstDestructionPause = 250 * time.Millisecond
	lastDestructionPause  = 30 * time.Second
)

// destructionDue says that it is time to try again.
type destructionDue struct{ name string }

func (b *buckets) onDestructionDue(ctx actor.Context, m *destructionDue) {
	doc := b.docs.byName[m.name]
	if doc != nil && doc.State == objects.BucketDeleting && b.docs.changing[m.name] == nil {
		b.finishDestruction(ctx, doc)
	}
}

// destructionFailed has a destruction that failed tried again later.
func (b *buckets) destructionFailed(ctx actor.Context, name string, cause error) {
	pause := min(max(2*b.pauses[name], firstDestructionPause), lastDestructionPause)
	b.pauses[name] = pause
	b.System.Log().WithError(cause).WithFields(logrus.Fields{"bucket": name, "again": pause.String()}).
		Warn("the destruction of a bucket cannot be finished now; it is tried again")
	self := ctx.Self()
	b.System.Clock().AfterFunc(pause, func() { b.System.Root().Send(self, &destructionDue{name}) })
}

// spawnBucket spawns the actor of a bucket, named after its id: stable, and
// never user input.
func (b *buckets) spawnBucket(ctx actor.Context, doc *objects.BucketDoc) *actor.PID {
	if pid := b.pids[doc.Name]; pid != nil {
		return pid
	}
	pid, err := b.System.Spawn(ctx, bucketSpec(b.Config, doc.Bucket))
	if err != nil {
		panic(err) // the name is an id of our own making: a fault of the program
	}
	b.pids[doc.Name] = pid
	return pid
}

func (b *buckets) onCreateBucket(ctx actor.Context, m *messages.CreateBucket) {
	const op errs.Op = "bucket.Create"
	doc := b.docs.byName[m.Name]
	if doc != nil && doc.State == objects.BucketLive {
		m.Fail(errs.E(op, m.Name, errs.Exists, objects.ErrBucketExists))
		return
	}
	if doc != nil || b.docs.changing[m.Name] != nil { // of that name one is being destroyed, or made
		m.Fail(errs.E(op, m.Name, errs.Busy, errChanging))
		return
	}
	doc = &objects.BucketDoc{
		Bucket:  objects.Bucket{Provider: objects.ProviderAIS, Name: m.Name},
		Version: 1, State: objects.BucketLive, Created: b.Now().UTC(), Props: m.Props,
	}
	if _, err := rand.Read(doc.ID[:]); err != nil {
		m.Fail(errs.E(op, m.Name, errs.Internal, err))
		return
	}
	b.change(ctx, m.Name, &change{doc: doc, goal: create, answer: m.Reply.Send})
}

func (b *buckets) onDestroyBucket(ctx actor.Context, m *messages.DestroyBucket) {
	const op errs.Op = "bucket.Destroy"
	doc := b.docs.byName[m.Name]
	switch {
	case b.docs.changing[m.Name] != nil:
		m.Fail(errs.E(op, m.Name, errs.Busy, errChanging))
	case doc == nil:
		m.Fail(errs.E(op, m.Name, errs.NotFound, objects.ErrNoSuchBucket))
	case b.Cluster != nil:
		c := &change{doc: doc, goal: destroyEverywhere, answer: func(_ *objects.BucketDoc, err error) { m.Reply.Send(struct{}{}, err) }}
		if m.WithObjects {
			c.goal = purgeEverywhere
		}
		b.change(ctx, m.Name, c)
	default:
		c := &change{doc: doc, goal: destroy, answer: func(_ *objects.BucketDoc, err error) {
			m.Reply.Send(struct{}{}, err)
		}}
		if m.WithObjects || doc.State == objects.BucketDeleting {
			c.goal = destroyWithObjects
		}
		b.change(ctx, m.Name, c)
	}
}

func (b *buckets) onSetBucketProps(ctx actor.Context, m *messages.SetBucketProps) {
	const op errs.Op = "bucket.SetProps"
	doc := b.docs.byName[m.Name]
	switch {
	case b.docs.changing[m.Name] != nil:
		m.Fail(errs.E(op, m.Name, errs.Busy, errChanging))
	case doc == nil || doc.State == objects.BucketDeleting:
		m.Fail(errs.E(op, m.Name, errs.NotFound, objects.ErrNoSuchBucket))
	default:
		b.change(ctx, m.Name, &change{doc: doc.With(m.Props), goal: setProps, answer: m.Reply.Send})
	}
}

var errChanging = errors.New("another change of the bucket is under way")

// change spawns the worker that carries out one change of a bucket.
func (b *buckets) change(ctx actor.Context, name string, c *change) {
	c.config, c.tell = b.Config, ctx.Self()
	if c.answer == nil {
		c.answer = func(*objects.BucketDoc, error) {}
	}
	b.docs.changes++
	_, err := b.System.Spawn(ctx, actors.Spec{
		Name: fmt.Sprintf("change-%s-%d", c.doc.ID, b.docs.changes), Kind: "change", New: func() actor.Actor { return c }, Policy: actors.Policy{NoRestart: true},
		Subject: name, Handles: c.goal.handles(name),
		// It goes on, and its bucket takes no other change until it has ended.
		Abandoned: func(any) func() {
			c.answer(nil, errs.E("bucket.change", name, errs.Busy, objects.ErrOutcomeUnknown))
			return nil
		},
	})
	if err != nil {
		c.answer(nil, errs.E("bucket.change", name, errs.Busy, err))
		return
	}
	b.docs.changing[name] = c
}

// bucketDoomed says that a bucket will be destroyed whatever happens: no client
// finds it any more.
type bucketDoomed struct{ doc *objects.BucketDoc }

func (b *buckets) onBucketDoomed(m *bucketDoomed) {
	b.docs.byName[m.doc.Name] = m.doc
	b.Published.Store(b.Published.Load().Without(m.doc.Name))
}

// bucketChanged is what a change worker tells at its end: the document as it is
// now; nil if there is no such bucket any more.
type bucketChanged struct {
	change *change
	name   string
	doc    *objects.BucketDoc
	err    error
	answer func(*objects.BucketDoc, error)
}

func (b *buckets) onBucketChanged(ctx actor.Context, m *bucketChanged) {
	if b.docs.changing[m.name] != m.change {
		return // it is known already
	}
	delete(b.docs.changing, m.name)
	switch {
	case b.Cluster != nil:
		b.onAgreed(ctx, m)
	case m.doc == nil:
		if pid := b.pids[m.name]; pid != nil {
			ctx.Stop(pid)
			delete(b.pids, m.name)
		}
		delete(b.docs.byName, m.name)
		delete(b.pauses, m.name)
		b.Published.Store(b.Published.Load().Without(m.name))
	default:
		b.docs.byName[m.name] = m.doc
		switch {
		case m.doc.State == objects.BucketLive:
			view := &messages.BucketView{Doc: m.doc, Actor: b.spawnBucket(ctx, m.doc)}
			b.Published.Store(b.Published.Load().With(view))
		case m.doc.State == objects.BucketDeleting && m.err != nil:
			b.destructionFailed(ctx, m.name, m.err)
		}
	}
	if m.err != nil {
		m.answer(nil, m.err)
		return
	}
	m.answer(m.doc, nil)
}
