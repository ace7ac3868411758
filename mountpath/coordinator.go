package mountpath

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// tickTime is how often a coordinator looks at its disk.
const tickTime = 250 * time.Millisecond

// coordinator admits, orders and accounts for work on one mountpath. It answers
// at once, forwards or spawns; its children block.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type coordinator struct {
	system  *actors.System
	limits  Limits
	mount   Mount
	custody *custody
	md5     *checksum.MD5Pool
	roster  *atomic.Pointer[messages.Roster]
	nodes   *messages.LaneMap
	within  time.Duration           // every payload is verified once in so long; 0: never
	buckets func() []objects.Bucket // that there are

	lanes    []*actor.PID
	readers  []*actor.PID
	keeper   *actor.PID
	running  int  // transfers under way; 0 ≤ running ≤ limits.Transfers
	keeping  bool // the keeper is at work
	prober   *actor.PID
	health   health
	report   report  // as told last
	settling backoff // of asking the lanes to settle
	ticker   clock.Timer

	writes    []*watch             // of write lanes
	reads     []*watch             // of read lanes
	transfers map[string]incoming  // by address
	stages    map[string]stageName // of stagers among them
	held      held
	indexing  []*indexing              // at most maxIndexers
	slicing   map[string]*sliceReading // by address; at most maxSliceReaders
	keeps     watch                    // of the keeper
	probes    watch                    // of the prober's call under way
	scrubs    watch                    // of the scrubber's
	// mayScrub says that the disk is well enough to be verified.
	mayScrub atomic.Bool
	// stopping says that the coordinator ends, and its children are to.
	stopping atomic.Bool
	// changed tells the node what a change of the health comes to.
	changed func(report)
	// started tells it that the lanes are at work.
	started func()
}

func newCoordinator(c Config, mount Mount, custody *custody, changed func(report), started func()) *coordinator {
	return &coordinator{
		system: c.System, limits: c.Limits, md5: c.MD5, roster: c.Published, nodes: c.Nodes, within: c.ScrubWithin, buckets: c.Set.Buckets, mount: mount, custody: custody, changed: changed, started: started,
		transfers: make(map[string]incoming), stages: make(map[string]stageName), slicing: make(map[string]*sliceReading), health: newHealth(mount.Store), report: freshly(mount.Store),
	}
}

// Receive implements actor.Actor.
func (c *coordinator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.onStarted(ctx)
	case *actor.Restarting, *actor.Stopping:
		c.ticker.Stop()
		c.stopping.Store(true) // indexers, which take long, look at it
	case *actor.Terminated:
		c.onTerminated(m)

	case *messages.OpenUpload:
		c.onOpenUpload(ctx, m)
	case *messages.ImportObject:
		c.onImport(ctx, "mountpath.ImportObject", m.Key, m, func(i *importer) { i.importObject(m) })
	case *messages.ImportUpload:
		c.onImport(ctx, "mountpath.ImportUpload", m.Key, m, func(i *importer) { i.importUpload(m) })
	case *messages.StorePayload:
		c.onImport(ctx, "mountpath.StorePayload", m.Key, m, func(i *importer) { i.storePayload(m) })
	case *messages.StorePart:
		c.onImport(ctx, "mountpath.StorePart", m.Key, m, func(i *importer) { i.storePart(m) })
	case *messages.StageSlice:
		c.onStageSlice(ctx, m)
	case *messages.EmptyBucket, *messages.DropBucket, *messages.AbandonStage:
		ctx.Send(c.keeper, m)
	case *messages.GetMemberIndex:
		c.onGetMemberIndex(ctx, m)
	case *messages.OpenSlice:
		c.onOpenSlice(ctx, m)
	case *messages.HaveSlices:
		c.onHaveSlices(ctx, m)

	case *tick:
		c.onTick(ctx)
	case *kept:
		c.keeping = false
	case *probed:
		c.health.probeEnded(c.system.Clock().Elapsed(), m.longest, m.err)
		c.judge()
		c.answerHeld()

	default:
		actors.Unexpected(ctx, c.system.Log())
	}
}

// tick says that some time has passed.
type tick struct{}

func (c *coordinator) onStarted(ctx actor.Context) {
	for i := range c.limits.WriteLanes {
		watch := new(watch)
		c.writes = append(c.writes, watch)
		c.lanes = append(c.lanes, c.spawn(ctx, actors.Spec{
			Name: "w" + strconv.Itoa(i), Kind: "write lane",
			New: func() actor.Actor {
				return &writeLane{system: c.system, store: c.mount.Store, custody: c.custody, watch: watch, number: i, lanes: c.limits.WriteLanes, id: c.mount.ID, roster: c.roster, nodes: c.nodes}
			},
			Abandoned: func(message any) func() { return c.custody.holdLane(i, message, watch) },
		}))
	}
	for i := range c.limits.ReadLanes {
		watch := new(watch)
		c.reads = append(c.reads, watch)
		c.readers = append(c.readers, c.spawn(ctx, actors.Spec{
			Name: "r" + strconv.Itoa(i), Kind: "read lane",
			New:       func() actor.Actor { return &readLane{system: c.system, store: c.mount.Store, watch: watch} },
			Abandoned: func(any) func() { return c.custody.holdRead(watch) },
		}))
	}
	c.keeper = c.spawn(ctx, actors.Spec{
		Name: "keeper", Kind: "keeper",
		New: func() actor.Actor {
			return &keeper{system: c.system, store: c.mount.Store, custody: c.custody, watch: &c.keeps}
		},
		Abandoned: func(any) func() { return c.custody.holdKeeping(&c.keeps) },
	})
	c.prober = c.spawn(ctx, actors.Spec{
		Name: "prober", Kind: "prober",
		New:       func() actor.Actor { return &prober{system: c.system, store: c.mount.Store, watch: &c.probes} },
		Abandoned: func(any) func() { return c.custody.holdRead(&c.probes) },
	})
	if c.within > 0 && c.buckets != nil {
		c.spawnScrubber(ctx)
	}
	c.custody.running.Store(0) // those of an earlier coordinator ended with it
	c.forgetEvents()
	c.schedule(ctx.Self())
	c.started()
}

// spawnScrubber spawns the one that verifies payloads.
func (c *coordinator) spawnScrubber(ctx actor.Context) {
	watches := append(append([]*watch{&c.keeps}, c.writes...), c.reads...)
	busy := func() bool {
		return c.custody.running.Load() > 0 || c.mount.Store.Reading() ||
			slices.ContainsFunc(watches, func(w *watch) bool { return w.since.Load() != 0 })
	}
	c.spawn(ctx, actors.Spec{
		Name: "scrubber", Kind: "scrubber",
		New: func() actor.Actor {
			return &scrubber{system: c.system, store: c.mount.Store, watch: &c.scrubs, within: c.within, buckets: c.buckets, may: &c.mayScrub, busy: busy, aside: c.putAside}
		},
		Abandoned: func(any) func() { return c.custody.holdRead(&c.scrubs) },
	})
}

// putAside asks the lane of a key to put a damaged payload of it aside. Called by the
// scrubber: the lanes are there before it.
func (c *coordinator) putAside(key objects.Key, payload objects.Generation) {
	c.system.Root().Send(c.lanes[laneOf(key.Digest(), len(c.lanes))], &putAside{key, payload})
}

// forgetEvents drops what an earlier store or coordinator has not read: the disk is
// judged anew.
func (c *coordinator) forgetEvents() {
	for {
		select {
		case <-c.mount.Events:
		default:
			return
		}
	}
}

func (c *coordinator) spawn(ctx actor.Context, spec actors.Spec) *actor.PID {
	pid, err := c.system.Spawn(ctx, spec)
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
	return pid
}

// schedule sends the next tick; one timer at a time, ended with the actor.
func (c *coordinator) schedule(self *actor.PID) {
	c.ticker = c.system.Clock().AfterFunc(tickTime, func() { c.system.Root().Send(self, &tick{}) })
}

func (c *coordinator) onTick(ctx actor.Context) {
	defer c.schedule(ctx.Self())
	c.readEvents()
	select {
	case <-c.mount.Store.Dead():
		c.health.indexDied(c.mount.Store.Index().Err(), c.mount.Store.Reopenings())
	default:
	}
	now := c.system.Clock().Elapsed()
	c.health.damaged = c.mount.Store.Overrun()
	c.health.measured(c.mount.Store.Fullness())
	c.health.waits(now, c.waits(now))
	self, root := ctx.Self(), c.system.Root()
	if c.health.probeDue(now) {
		ctx.Send(c.prober, &probe{done: func(result probed) { root.Send(self, &result) }})
	}
	c.judge()
	c.answerHeld()
	c.mayScrub.Store(c.report.writable && (c.report.state == messages.MountpathOK || c.report.state == messages.MountpathFull))
	if c.report.state == messages.MountpathDisabled {
		return
	}
	well := c.health.died == nil && c.report.writable && c.health.failing == ""
	if well {
		c.settle(ctx)
	}
	if !c.keeping {
		c.keeping = true
		ctx.Send(c.keeper, &keep{measureOnly: !well, done: func() { root.Send(self, &kept{}) }})
	}
}

// waits returns for how long the oldest calls have been under way, of anybody and of
// those who read, here and in gateways, and how reads went that have ended.
func (c *coordinator) waits(now time.Duration) waits {
	w := waits{probe: c.probes.running(now)}
	w.read, w.ended = c.mount.Store.Reads()
	w.moving, w.moved = c.mount.Store.Moved()
	for _, r := range c.reads {
		w.read = max(w.read, r.running(now))
	}
	hung, hungRead := c.custody.oldest(now)
	w.read = max(w.read, hungRead)
	w.read = max(w.read, c.scrubs.running(now))
	for _, r := range c.slicing {
		w.read = max(w.read, r.watch.running(now))
	}
	w.call = max(w.read, hung, c.keeps.running(now))
	for _, lane := range c.writes {
		w.call = max(w.call, lane.running(now))
	}
	for _, t := range c.transfers {
		w.call = max(w.call, t.watch.running(now))
	}
	return w
}

// judge tells the node if the health has come to something else.
func (c *coordinator) judge() {
	next := c.health.report()
	if next == c.report {
		return
	}
	c.report = next
	c.changed(next)
}

// settle asks the lanes to settle what failed writes left, if there is anything:
// soon at first, and less and less often while it does not help.
func (c *coordinator) settle(ctx actor.Context) {
	if _, intents := c.mount.Store.Unsettled(); intents == 0 {
		c.settling = backoff{}
		return
	}
	if !c.settling.due(c.system.Clock().Elapsed()) {
		return
	}
	for _, lane := range c.lanes {
		ctx.Send(lane, &settleKeys{})
	}
}

// backoff spaces out what is tried again: from tickTime, doubling, to longestPause.
// The zero value is due at once.
type backoff struct {
	pause time.Duration
	next  time.Duration // of the clock's Elapsed
}

// longestPause bounds a backoff.
const longestPause = 8 * time.Second

// due reports whether it is time to try, and puts the next time off.
func (b *backoff) due(now time.Duration) bool {
	if now < b.next {
		return false
	}
	b.pause = min(max(2*b.pause, tickTime), longestPause)
	b.next = now + b.pause
	return true
}

// readEvents empties the store's events.
func (c *coordinator) readEvents() {
	now := c.system.Clock().Elapsed()
	for {
		select {
		case e := <-c.mount.Events:
			c.system.Log().WithFields(logrus.Fields{"mountpath": c.mount.Path, "event": string(e.Kind), "key": e.Key.Name}).WithError(e.Err).Warn("disk event")
			switch e.Kind {
			case store.DiskError:
				c.health.fault(now, e.Key.Name, e.Err)
			case store.DiskReadOnly:
				c.health.turnedReadOnly()
			case store.Panicked:
				var p *store.PanicError
				if errors.As(e.Err, &p) {
					who, what := c.lanes[laneOf(e.Key.Digest(), len(c.lanes))], "settle"
					if p.Does == messages.DeleteAccess {
						who, what = c.keeper, "reclaim"
					}
					c.system.Panicked(who.Id, what, messages.HandlesKey(e.Key, p.Does), actors.Recovered{Reason: p.Reason, Stack: p.Stack})
				}
			}
		default:
			return
		}
	}
}

func (c *coordinator) onOpenUpload(ctx actor.Context, m *messages.OpenUpload) {
	const op errs.Op = "mountpath.OpenUpload"
	if holder, _ := c.roster.Load().Hold(m.Holders, m.Key.Digest()); holder == nil || holder.ID != c.mount.ID {
		m.Fail(errs.E(op, m.Key, errs.Busy, messages.ErrMoved)) // before its body is read, which cannot be read twice
		return
	}
	watch := new(watch)
	lane := c.lanes[laneOf(m.Key.Digest(), len(c.lanes))]
	hand := &handover{custody: c.custody}
	pid, err := c.spawnTransfer(ctx, op, m.Key, actors.Spec{
		Kind: "transfer",
		New:  func() actor.Actor { return newTransfer(c, m, lane, hand, watch) },
		Abandoned: func(any) func() {
			hand.revoke()
			return c.custody.hold(watch)
		},
	})
	if err != nil {
		m.Fail(err)
		return
	}
	c.transfers[pid.Id] = incoming{pid, watch, hand}
	m.Reply.Send(messages.UploadOpened{Transfer: pid}, nil)
}

// spawnTransfer spawns a worker that brings a payload in, if there is room for one.
func (c *coordinator) spawnTransfer(ctx actor.Context, op errs.Op, key objects.Key, spec actors.Spec) (*actor.PID, error) {
	if !c.report.writable {
		return nil, errs.E(op, key, errs.Offline, fmt.Errorf("the mountpath takes no writes: %s: %s", c.report.state, c.report.reason))
	}
	if c.running == c.limits.Transfers {
		return nil, errs.E(op, key, errs.Busy, fmt.Errorf("%d transfers are under way", c.running))
	}
	spec.Subject, spec.Handles = key.String(), messages.HandlesKey(key, messages.WriteAccess)
	spec.Name, spec.Policy = transferPrefix+strconv.FormatUint(c.custody.transfers.Add(1), 36), actors.Policy{NoRestart: true}
	pid, err := c.system.Spawn(ctx, spec)
	if err != nil {
		return nil, errs.E(op, key, errs.Busy, err)
	}
	c.running++
	c.custody.running.Store(int64(c.running))
	return pid, nil
}

// onImport spawns an importer. Its copy takes as long as the payload is large, so
// it is not watched as a call is; one that is killed keeps the store open until its
// copy has come back.
func (c *coordinator) onImport(ctx actor.Context, op errs.Op, key objects.Key, request messages.Failer, work func(*importer)) {
	i := &importer{system: c.system, store: c.mount.Store, custody: c.custody, roster: c.roster, key: key, lane: c.lanes[laneOf(key.Digest(), len(c.lanes))], request: request, work: work}
	_, err := c.spawnTransfer(ctx, op, key, actors.Spec{
		Kind: "importer", New: func() actor.Actor { return i },
		Abandoned: func(any) func() { return c.custody.hold(new(watch)) },
	})
	if err != nil {
		request.Fail(err)
	}
}

// transferPrefix begins the names of transfers among a coordinator's children.
const transferPrefix = "t"

func (c *coordinator) onTerminated(m *actor.Terminated) {
	if isTransfer(m.Who.Id) {
		c.running--
		c.custody.running.Store(int64(c.running))
		delete(c.transfers, m.Who.Id)
		delete(c.stages, m.Who.Id)
	}
	c.endIndexing(m.Who)
	c.endSliceReading(m.Who)
}
