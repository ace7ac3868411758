package bucket

import (
	"crypto/rand"
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
	// Published is where the coordinator puts the snapshot of live buckets.
	Published *atomic.Pointer[messages.BucketSet]
	// Docs are the documents as they were at start.
	Docs []*objects.BucketDoc
	Now  func() time.Time
}

// Name is the coordinator's among the node's children.
const Name = "buckets"

// Spec describes the coordinator of a node's buckets.
func Spec(c Config) actors.Spec {
	docs := &documents{byName: make(map[string]*objects.BucketDoc)}
	for _, d := range c.Docs {
		docs.byName[d.Name] = d
	}
	return actors.Spec{Name: Name, New: func() actor.Actor { return &buckets{Config: c, docs: docs} }}
}

// documents is what the coordinator knows of buckets; it outlives a restart of
// the coordinator, which alone touches it.
type documents struct {
	byName map[string]*objects.BucketDoc // live ones, and those being deleted
}

// buckets makes and destroys buckets, one change per name at a time.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type buckets struct {
	Config
	docs *documents

	changing map[string]bool       // names with a change under way
	pids     map[string]*actor.PID // bucket actors by name
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

	case *bucketDoomed:
		b.onBucketDoomed(m)
	case *bucketChanged:
		b.onBucketChanged(ctx, m)

	default:
		actors.Unexpected(ctx, b.System.Log())
	}
}

func (b *buckets) onStarted(ctx actor.Context) {
	b.changing, b.pids = make(map[string]bool), make(map[string]*actor.PID)
	var views []*messages.BucketView
	for name, doc := range b.docs.byName {
		switch doc.State {
		case objects.BucketLive:
			views = append(views, &messages.BucketView{Doc: doc, Actor: b.spawnBucket(ctx, doc)})
		case objects.BucketDeleting:
			// A crash, or a failure, interrupted its destruction: finish it.
			b.change(ctx, name, &change{doc: doc, goal: destroyWithObjects, answer: func(_ *objects.BucketDoc, err error) {
				if err != nil {
					b.System.Log().WithError(err).WithField("bucket", name).Error("the destruction of a bucket cannot be finished now; delete it again, or restart the node")
				}
			}})
		}
	}
	b.Published.Store(messages.NewBucketSet(views))
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
	if doc != nil || b.changing[m.Name] { // of that name one is being destroyed, or made
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
	case b.changing[m.Name]:
		m.Fail(errs.E(op, m.Name, errs.Busy, errChanging))
	case doc == nil:
		m.Fail(errs.E(op, m.Name, errs.NotFound, objects.ErrNoSuchBucket))
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
	case b.changing[m.Name]:
		m.Fail(errs.E(op, m.Name, errs.Busy, errChanging))
	case doc == nil || doc.State == objects.BucketDeleting:
		m.Fail(errs.E(op, m.Name, errs.NotFound, objects.ErrNoSuchBucket))
	default:
		next := *doc
		next.Props = m.Props
		next.Version++
		b.change(ctx, m.Name, &change{doc: &next, goal: setProps, answer: m.Reply.Send})
	}
}

var errChanging = errors.New("another change of the bucket is under way")

// change spawns the worker that carries out one change of a bucket.
func (b *buckets) change(ctx actor.Context, name string, c *change) {
	c.config, c.tell = b.Config, ctx.Self()
	if c.answer == nil {
		c.answer = func(*objects.BucketDoc, error) {}
	}
	_, err := b.System.Spawn(ctx, actors.Spec{
		Name: "change-" + c.doc.ID.String(), New: func() actor.Actor { return c }, Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		c.answer(nil, errs.E("bucket.change", name, errs.Busy, err))
		return
	}
	b.changing[name] = true
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
	name   string
	doc    *objects.BucketDoc
	err    error
	answer func(*objects.BucketDoc, error)
}

func (b *buckets) onBucketChanged(ctx actor.Context, m *bucketChanged) {
	delete(b.changing, m.name)
	switch {
	case m.doc == nil:
		if pid := b.pids[m.name]; pid != nil {
			ctx.Stop(pid)
			delete(b.pids, m.name)
		}
		delete(b.docs.byName, m.name)
		b.Published.Store(b.Published.Load().Without(m.name))
	default:
		b.docs.byName[m.name] = m.doc
		if m.doc.State == objects.BucketLive {
			view := &messages.BucketView{Doc: m.doc, Actor: b.spawnBucket(ctx, m.doc)}
			b.Published.Store(b.Published.Load().With(view))
		}
	}
	if m.err != nil {
		m.answer(nil, m.err)
		return
	}
	m.answer(m.doc, nil)
}

// goal is what a change is for.
type goal uint8

const (
	create goal = iota
	setProps
	destroy
	destroyWithObjects
)

// change is the worker of one change: it blocks on documents and lanes, tells
// the coordinator how it went, and ends.
type change struct {
	config Config
	tell   *actor.PID
	doc    *objects.BucketDoc
	goal   goal
	answer func(*objects.BucketDoc, error)
	told   bool // the coordinator knows how it went
}

// Receive implements actor.Actor.
func (c *change) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		now, err := c.run()
		c.told = true
		ctx.Send(c.tell, &bucketChanged{name: c.doc.Name, doc: now, err: err, answer: c.answer})
		ctx.Stop(ctx.Self())
	case *actor.Stopping:
		if c.told {
			return
		}
		ctx.Send(c.tell, &bucketChanged{name: c.doc.Name, doc: c.doc, answer: c.answer,
			err: errs.E("bucket.change", c.doc.Name, errs.Busy, objects.ErrOutcomeUnknown)})
	default:
		actors.Unexpected(ctx, c.config.System.Log())
	}
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
		if m.Offline != "" {
			return c.doc, errs.E(op, c.doc.Bucket, errs.Offline, fmt.Errorf("mountpath %s: %s; whether the bucket is empty cannot be told", m.Path, m.Offline))
		}
	}
	if err := c.seal(roster, true); err != nil {
		return c.doc, errs.E(op, c.doc.Bucket, err)
	}
	unseal := func(cause error) (*objects.BucketDoc, error) {
		return c.doc, errors.Join(cause, c.seal(roster, false))
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
		if m.Offline != "" {
			return c.doc, errs.E(op, c.doc.Bucket, errs.Offline, fmt.Errorf("mountpath %s: %s; what the bucket has there cannot be destroyed", m.Path, m.Offline))
		}
	}
	if err := c.seal(roster, true); err != nil {
		return c.doc, errs.E(op, c.doc.Bucket, err)
	}
	if c.doc.State != objects.BucketDeleting {
		if err := c.putState(objects.BucketDeleting); err != nil {
			return c.doc, errors.Join(errs.E(op, c.doc.Bucket, err), c.seal(roster, false))
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

// seal makes every lane refuse, or take, writes of the bucket.
func (c *change) seal(roster *messages.Roster, sealed bool) error {
	var replies []messages.Reply[struct{}]
	for i := range roster.Mountpaths {
		for _, lane := range roster.Mountpaths[i].Writers {
			m := &messages.SealBucket{Bucket: c.doc.ID, Open: !sealed, Reply: messages.NewReply[struct{}]()}
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
