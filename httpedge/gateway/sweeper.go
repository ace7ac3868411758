package gateway

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A key that several nodes keep is deleted by a record that says so. The sweeper drops
// such markers where nobody needs them any more: settled ones, while all owners of the key
// are up and no plan is over it. What comes late of what such a marker had deleted is told
// by a bound that stays (objects.Bound). Each node drops its own, by itself.
//
// It walks the journals of the mountpaths, oldest first, a step at a time. Markers that
// came since the walk before this one began are left for the next: what is on its way
// while they come is not refused by them.

// DefaultSweepTime is how often the sweeper walks, at most: by far longer than a write is
// under way.
const DefaultSweepTime = 10 * time.Second

// sweepStep is how many markers one step looks at, and sweepPause the time between two
// steps: 10,000 markers in a second, for a node that may do as many deletes.
const (
	sweepStep  = 512
	sweepPause = 50 * time.Millisecond
	// sweepSettles is how many markers that are not settled one step settles at the most:
	// each takes a question to another node.
	sweepSettles = 16
	// sweepAll is how many walks there are to one that begins with the first entry that there
	// may be. The others begin where the walk before left nothing: an index takes long to
	// skip what has just been deleted.
	sweepAll = 32
	// sweepBackoff is how many times longer the sweeper waits, at most, while all that it
	// finds must stay: every walk that drops nothing doubles the wait.
	sweepBackoff = 16
)

// sweepCounts are what the sweeper tells of itself.
type sweepCounts struct{ kept, dropped atomic.Int64 }

// Tombstones returns how many delete markers this node had to keep when it last walked
// over all of them, and how many it has dropped since it started.
func (g *Gateway) Tombstones() (kept, dropped int64) {
	return g.sweeps.kept.Load(), g.sweeps.dropped.Load()
}

// SweeperName is the sweeper's among the node's children.
const SweeperName = "sweeper"

// sweepOn says that it is time for a sweeper's next step; one of an earlier life's is late.
type sweepOn struct{ of *sweeper }

// sweeper drops delete markers. It is a worker: it waits for lanes and for other nodes.
// What it loses it finds again.
type sweeper struct {
	gateway *Gateway
	old     map[string]objects.Generation // by mountpath: what had come when the walk before began
	swept   map[string]objects.Generation // by mountpath: up to which nothing was left then
	walks   int
	walk    sweepWalk
	idle    time.Duration // the wait after a walk that dropped nothing
	version uint64        // of the map by which that was
}

// sweepWalk is one walk over the mountpaths.
type sweepWalk struct {
	left          []string // mountpaths, the one under way first
	at            objects.Generation
	keptHere      int64                         // on the mountpath under way
	now, swept    map[string]objects.Generation // of the next walk
	kept, dropped int64
}

// SweeperSpec describes the actor that drops delete markers.
func SweeperSpec(g *Gateway) actors.Spec {
	return actors.Spec{Name: SweeperName, Kind: "sweeper", New: func() actor.Actor { return &sweeper{gateway: g} }}
}

// Receive implements actor.Actor.
func (s *sweeper) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.after(ctx, s.every())
	case *sweepOn:
		if m.of == s {
			s.after(ctx, s.step())
		}
	default:
		actors.Unexpected(ctx, s.gateway.System.Log())
	}
}

func (s *sweeper) after(ctx actor.Context, pause time.Duration) {
	self := ctx.Self()
	s.gateway.System.Clock().AfterFunc(pause, func() { s.gateway.System.Root().Send(self, &sweepOn{s}) })
}

// every is how often the sweeper walks while it has something to do.
func (s *sweeper) every() time.Duration {
	if s.gateway.SweepTime > 0 {
		return s.gateway.SweepTime
	}
	return DefaultSweepTime
}

// step looks at some markers, and returns how long to wait before the next.
func (s *sweeper) step() time.Duration {
	set := s.gateway.lanes()
	if set == nil || set.Map == nil {
		return s.every()
	}
	if len(s.walk.left) == 0 {
		s.begin()
	}
	if len(s.walk.left) == 0 {
		return s.every()
	}
	more, err := s.sweep(s.walk.left[0])
	if err != nil {
		s.gateway.System.Log().WithError(err).Debug("delete markers of a mountpath cannot be dropped now; it is tried again")
	}
	if !more || err != nil {
		s.leave(err == nil)
	}
	if len(s.walk.left) > 0 {
		return sweepPause
	}
	return s.end(set.Version())
}

// begin begins a walk.
func (s *sweeper) begin() {
	s.walk = sweepWalk{now: make(map[string]objects.Generation), swept: make(map[string]objects.Generation)}
	if s.walks++; s.walks%sweepAll == 0 {
		s.swept = nil
	}
	roster := s.gateway.Roster.Load()
	for i := range roster.Mountpaths {
		if m := &roster.Mountpaths[i]; m.Closed() == nil && len(m.Writers) > 0 {
			s.walk.left = append(s.walk.left, m.ID)
		}
	}
	if len(s.walk.left) > 0 {
		s.walk.at = s.swept[s.walk.left[0]]
	}
}

// leave goes on to the next mountpath, after all of one was looked at or something failed.
func (s *sweeper) leave(whole bool) {
	if id := s.walk.left[0]; whole && s.walk.keptHere == 0 {
		s.walk.swept[id] = s.old[id]
	}
	s.walk.left, s.walk.keptHere = s.walk.left[1:], 0
	if len(s.walk.left) > 0 {
		s.walk.at = s.swept[s.walk.left[0]]
	}
}

// end ends a walk, and returns how long to wait before the next.
func (s *sweeper) end(version uint64) time.Duration {
	s.gateway.sweeps.kept.Store(s.walk.kept)
	s.old, s.swept = s.walk.now, s.walk.swept
	if s.walk.dropped > 0 || s.walk.kept == 0 || version != s.version {
		s.idle, s.version = s.every(), version
	} else {
		s.idle = min(2*s.idle, sweepBackoff*s.every())
	}
	return s.idle
}

// sweep does a step on one mountpath, and reports whether there is more on it.
func (s *sweeper) sweep(id string) (more bool, err error) {
	const op errs.Op = "gateway.Sweep"
	g := s.gateway
	view := g.Roster.Load().Find(id)
	if view == nil || view.Closed() != nil || len(view.Writers) == 0 {
		return false, errs.E(op, id, errs.Offline, errors.New("the mountpath takes no writes any more"))
	}
	list := &messages.ListTombstones{After: s.walk.at, Before: s.old[id], Limit: sweepStep, Reply: messages.NewReply[*messages.TombstonePage]()}
	g.System.Root().Send(view.Reader(0), list)
	page, err := list.Reply.WaitOn(g.System.Clock(), op, Deadline)
	if err != nil {
		return false, err
	}
	if _, begun := s.walk.now[id]; !begun {
		s.walk.now[id] = page.Now
	}
	if len(page.List) > 0 {
		s.walk.at = page.List[len(page.List)-1].Arrival
	}
	swept, err := g.dropTombstones(op, view, page.List)
	s.walk.dropped += int64(swept.Dropped)
	s.walk.kept += int64(swept.Held + len(swept.Unsettled))
	s.walk.keptHere += int64(swept.Held + len(swept.Unsettled))
	g.sweeps.dropped.Add(int64(swept.Dropped))
	if err != nil {
		return false, err
	}
	for _, t := range swept.Unsettled[:min(len(swept.Unsettled), sweepSettles)] {
		if err := g.settleTombstone(&t); err != nil {
			g.System.Log().WithError(err).WithField("key", t.Key.String()).Debug("a delete marker stays: it cannot be settled now")
		}
	}
	return page.More, nil
}

// dropTombstones has the lanes of a mountpath drop what may go of a page. One lane is
// asked after the other: a bound is written by one at a time.
func (g *Gateway) dropTombstones(op errs.Op, view *messages.MountpathView, list []messages.Tombstone) (all messages.Swept, err error) {
	byLane := make(map[*actor.PID][]messages.Tombstone)
	buckets := make(map[objects.BucketID]*objects.BucketDoc)
	if len(list) > 0 {
		for _, doc := range g.Buckets() {
			buckets[doc.ID] = doc
		}
	}
	for _, t := range list {
		doc := buckets[t.Key.Bucket.ID]
		if doc != nil { // else it is destroyed, and only a marker that has gone may go
			t.Key.Bucket = doc.Bucket
			t.Placing = messages.Placing(doc, t.Key.Digest())
		}
		lane := view.Writer(t.Key.Digest())
		byLane[lane] = append(byLane[lane], t)
	}
	if len(byLane) == 0 {
		byLane[view.Writers[0]] = nil // to note the bounds of the other mountpaths
	}
	for lane, of := range byLane {
		m := &messages.DropTombstones{List: of, Reply: messages.NewReply[messages.Swept]()}
		g.System.Root().Send(lane, m)
		swept, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		if err != nil {
			return all, err
		}
		all.Dropped, all.Stale, all.Held = all.Dropped+swept.Dropped, all.Stale+swept.Stale, all.Held+swept.Held
		all.Unsettled = append(all.Unsettled, swept.Unsettled...)
	}
	return all, nil
}

// settleTombstone finds out of a delete marker of this node's that is not settled whether
// it is. It mostly was, and the news were lost.
func (g *Gateway) settleTombstone(t *messages.Tombstone) error {
	const op errs.Op = "gateway.Sweep"
	view := g.Config.Buckets.Load().Find(t.Key.Bucket.Name)
	if view == nil || view.Doc.ID != t.Key.Bucket.ID {
		return nil
	}
	bucket, name := view.Doc, t.Key.Name
	c, err := g.Charge(bucket, name)
	if err != nil {
		return err
	}
	if c.Ours() {
		return g.settleNow(op, bucket, t.Key, c)
	}
	theirs, err := g.Peers.Show(c, bucket, name, false)
	switch {
	case err != nil:
		return err
	case theirs.Record == nil:
		// In charge of the key under this epoch, it lacks what this node has: either it has
		// dropped the marker, which was settled then, or never got it, and then a write with an
		// unknown outcome is not to come to light. The key is absent either way, and this
		// node's bound keeps out what the marker deleted.
	case theirs.Record.Unsettled:
		if _, err := g.Peers.Record(c, bucket, name, ""); err != nil && !errs.Is(errs.NotFound, err) {
			return err // who reads it there has it settled; the news come by themselves
		}
		return nil
	case theirs.Record.Generation != t.Generation:
		return nil // it is settled with the next write, or when this node returns
	}
	if set := g.lanes(); set == nil || set.Map == nil || set.View(bucket, t.Key.Digest()).Epoch != c.Epoch {
		return errs.E(op, t.Key, errs.Busy, errMapChanged)
	}
	return g.NoteSettled([]messages.Settlement{{Key: t.Key, Generation: t.Generation}})
}
