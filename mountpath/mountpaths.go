package mountpath

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Name is the supervisor's among the node's children.
const Name = "mountpaths"

// DefaultTransfers is how many large payloads come in to one mountpath at a time.
const DefaultTransfers = 128

// Limits bounds one mountpath.
type Limits struct {
	WriteLanes int           // 0: 16
	ReadLanes  int           // 0: 8
	Transfers  int           // large payloads on their way in at a time; 0: 128
	Idle       time.Duration // a transfer that hears nothing for so long ends; 0: 10 minutes
}

// withDefaults fills in what is not set. Sixteen lanes keep sixteen commits
// waiting for one sync; more only queue. Eight readers keep a disk with a queue
// busy. 128 transfers of four slabs are 64 MiB.
func (l Limits) withDefaults() Limits {
	if l.WriteLanes == 0 {
		l.WriteLanes = 16
	}
	if l.ReadLanes == 0 {
		l.ReadLanes = 8
	}
	if l.Transfers == 0 {
		l.Transfers = DefaultTransfers
	}
	if l.Idle == 0 {
		l.Idle = 10 * time.Minute
	}
	return l
}

// Mount is one mountpath of the node: as it was found at start, and what to do
// about it later. Its functions block on disks and are called one at a time.
type Mount struct {
	ID    string
	Path  string       // for people: absolute, symbolic links resolved
	Given string       // likewise, as it was given
	Store *store.Store // nil: it is not open
	Why   string       // why Store is nil
	// Disabled says that an operator has disabled it: Store is nil on purpose.
	Disabled bool
	// ReadOnly says that Store is nil because the filesystem took no writes, and could
	// not be opened to be read either: it is opened when it does.
	ReadOnly bool
	// Events is where Store's events are put; the coordinator empties it.
	Events <-chan store.Event

	// Open opens the store: after Close, or of a mountpath that was missing. It
	// checks the directory as a start does, and brings its documents up to date. On a
	// filesystem that takes no writes the store is one that is only read.
	Open func() (*store.Store, error)
	// Close closes the store that is open; nobody uses it any more.
	Close func() error
	// Away writes to the documents that the mountpath is out of use, and whether an
	// operator wants it so, which lasts over a restart.
	Away func(reason string, byOperator bool) error
}

// Config is what the actors of mountpaths need.
type Config struct {
	System    *actors.System
	Limits    Limits
	Published *atomic.Pointer[messages.Roster]
	Mounts    []Mount
	// Set changes which mountpaths the node has.
	Set Set
	// Transition is the change of the set that is under way; nil: none.
	Transition *messages.Transition
	// Lost are the mountpaths that the node has not caught up with.
	Lost []messages.LostMountpath
	// Map is the mount map that is served from the start; nil: none is.
	Map *smap.Smap
	// Jobs is the coordinator of jobs.
	Jobs *actor.PID
	MD5  *checksum.MD5Pool // of the node; nil: every transfer by itself
	// Nodes is the map of the cluster that write lanes act on; nil: the node is alone.
	Nodes *messages.LaneMap
	// ScrubWithin is in what time every payload is verified once; 0: never.
	ScrubWithin time.Duration
}

// Spec describes the supervisor of a node's mountpaths.
func Spec(c Config) actors.Spec {
	c.Limits = c.Limits.withDefaults()
	places := make([]*place, len(c.Mounts))
	for i, m := range c.Mounts {
		places[i] = newPlace(i, m, c.System.Clock().Now())
	}
	state := &set{places: places, transition: c.Transition, lost: c.Lost, results: make(map[uint64]*result)}
	if c.Map != nil {
		state.serveMounts(c.Map)
	}
	return actors.Spec{Name: Name, Kind: "mountpaths", New: func() actor.Actor { return &mountpaths{Config: c, set: state} }}
}

// mountpaths supervises the coordinators, opens and closes mountpaths, and
// publishes the roster.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type mountpaths struct {
	Config
	*set        // outlives the actor's incarnations: stores do, too
	ending bool // the children are being stopped with it
}

// Receive implements actor.Actor.
func (s *mountpaths) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.onStarted(ctx)
	case *actor.Restarting, *actor.Stopping:
		s.ending = true
	case *actor.Terminated:
		s.onTerminated(ctx, m.Who)

	case *healthChanged:
		s.onHealthChanged(ctx, m)
	case *coordinating:
		s.onCoordinating(ctx, m)
	case *tryAgain:
		s.onTryAgain(ctx, m)
	case *passAgain:
		s.onPassAgain(ctx, m)
	case *tryJob:
		s.onTryJob(ctx)
	case *reviewAgain:
		s.onReviewAgain()
	case *leaseTick:
		s.onLeaseTick(ctx, m)
	case *worked:
		s.onWorked(ctx, m)

	case *messages.AddMountpath:
		s.onAddMountpath(ctx, m)
	case *messages.RemoveMountpath:
		s.onRemoveMountpath(ctx, m, s.System.Clock().Elapsed())
	case *removeAgain:
		s.onRemoveMountpath(ctx, m.message, m.since)
	case *messages.FinishTransition:
		s.onFinishTransition(ctx, m)
	case *messages.TallyTransition:
		s.onTallyTransition(ctx, m)
	case *messages.FoundMountpaths:
		s.onFoundMountpaths(ctx, m)

	case *messages.DisableMountpath:
		s.onDisableMountpath(ctx, m)
	case *messages.EnableMountpath:
		s.onEnableMountpath(ctx, m)

	case *messages.ListMountpaths:
		s.onListMountpaths(m)

	default:
		actors.Unexpected(ctx, s.System.Log())
	}
	s.reviewMounts(ctx)
}

// onStarted puts coordinators in front of the stores that are open, also after a
// failure of the actor itself, which ended all its children.
func (s *mountpaths) onStarted(ctx actor.Context) {
	for _, p := range s.places {
		switch p.phase {
		case serving:
			p.view = s.spawn(ctx, p)
			p.note(s.System.Clock().Now(), p.report)
		case stopping:
			s.close(ctx, p)
		case away:
			switch {
			case p.reopens: // it was closed as the last incarnation ended
				s.open(ctx, p)
			case p.awaits:
				s.awaitWrites(ctx, p)
			}
		}
	}
	s.publish()
	s.resume(ctx)
}

// onResult deals with what a worker came to.
func (s *mountpaths) onResult(ctx actor.Context, result any) {
	switch m := result.(type) {
	case *closed:
		s.onClosed(ctx, m)
	case *opened:
		s.onOpened(ctx, m)
	case *recorded:
		s.onRecorded(ctx, m)

	case *joined:
		s.onJoined(ctx, m)
	case *changed:
		s.onChanged(ctx, m)
	case *passed:
		s.onPassed(ctx, m)
	case *jobStarted:
		s.onJobStarted(ctx, m)
	case *finished:
		s.onFinished(ctx, m)
	case *tallied:
		m.reply.Send(m.all, m.err)
	case *retired:
		s.onRetired(m)
	case *found:
		s.onFound(ctx, m)
	case *reviewed:
		s.onReviewed(ctx, m)
	}
}

// healthChanged says what a mountpath's health comes to now. Sent by its
// coordinator.
type healthChanged struct {
	place  *place
	store  *store.Store // of the coordinator
	report report
}

func (s *mountpaths) onHealthChanged(ctx actor.Context, m *healthChanged) {
	p := m.place
	if p.phase != serving || p.mount.Store != m.store {
		return // an earlier coordinator's
	}
	s.become(p, m.report)
	switch {
	case m.report.state == messages.MountpathDisabled:
		p.reopens = false
		s.stop(ctx, p)
		s.record(ctx, p, m.report.reason, false)
		s.reveal(ctx, p)
	case m.report.reopen:
		p.reopens, p.attempts = true, 0
		s.stop(ctx, p)
	}
}

// stop ends a mountpath's coordinator with all its lanes; then its store is closed.
// Calls that are under way end first.
func (s *mountpaths) stop(ctx actor.Context, p *place) {
	p.phase = stopping
	s.publish()
	ctx.Stop(p.view.Coordinator)
}

func (s *mountpaths) onTerminated(ctx actor.Context, who *actor.PID) {
	if s.ending {
		return
	}
	for _, p := range s.places {
		if p.view.Coordinator == nil || p.view.Coordinator.Id != who.Id {
			continue
		}
		switch p.phase {
		case serving:
			const reason = "its coordinator failed too often"
			s.become(p, report{state: messages.MountpathDisabled, reason: reason})
			p.phase, p.reopens = stopping, false
			s.record(ctx, p, reason, false)
			s.close(ctx, p)
			s.publish()
			s.reveal(ctx, p)
		case stopping:
			s.close(ctx, p)
		}
	}
}

// close has the store closed that nobody uses any more. The calls of actors that
// were killed in them end first, however long the disk takes.
func (s *mountpaths) close(ctx actor.Context, p *place) {
	p.phase = working
	custody := p.custody
	s.work(ctx, func() any {
		custody.awaitIdle()
		return &closed{place: p, err: p.mount.Close()}
	}, func(err error) any { return &closed{place: p, err: err} })
}

// closed says that a store is closed, as far as it can be: one whose index died
// never closes cleanly. Sent by a worker.
type closed struct {
	place *place
	err   error
}

func (s *mountpaths) onClosed(ctx actor.Context, m *closed) {
	p := m.place
	p.mount.Store, p.phase = nil, away
	if p.retired {
		s.retire(ctx, p)
		return
	}
	if m.err != nil {
		s.System.Log().WithError(m.err).WithField("mountpath", p.mount.Path).Warn("a mountpath was not closed cleanly; what was in flight is settled when it is opened")
	}
	if p.reopens && !s.ending {
		s.open(ctx, p)
		return
	}
	s.settleWaiters(p)
}

// open has the store opened.
func (s *mountpaths) open(ctx actor.Context, p *place) {
	p.phase = working
	s.work(ctx, func() any {
		store, err := p.mount.Open()
		return &opened{place: p, store: store, err: err}
	}, func(err error) any { return &opened{place: p, err: err} })
}

// opened says how opening a store went. Sent by a worker.
type opened struct {
	place *place
	store *store.Store
	err   error
}

const (
	// openAttempts is how often an index that died is tried to be opened again
	// before its mountpath is disabled; each success is counted by index.Reopener.
	openAttempts = 3
	// openPause lies between them.
	openPause = 2 * time.Second
)

func (s *mountpaths) onOpened(ctx actor.Context, m *opened) {
	p := m.place
	if m.err == nil {
		p.mount.Store, p.phase, p.reopens, p.awaits, p.custody = m.store, serving, false, false, newCustody()
		if !s.ending { // else the next incarnation does
			p.view = s.spawn(ctx, p)
		}
		return // it is in use once its lanes are at work: onCoordinating
	}
	p.phase = away
	switch p.attempts++; {
	case p.retired:
		s.retire(ctx, p)
	case p.reopens && p.attempts < openAttempts:
		p.retry = s.System.Clock().AfterFunc(openPause, s.sender(ctx, &tryAgain{p}))
	case p.reopens:
		p.reopens = false
		reason := "its index cannot be opened again: " + m.err.Error()
		s.become(p, report{state: messages.MountpathDisabled, reason: reason})
		s.record(ctx, p, reason, false)
	default: // enabling it failed: it stays what it was
		p.answer(messages.MountpathStatus{}, m.err)
		if p.awaits = p.awaits && store.TakesNoWrites(m.err); p.awaits {
			s.awaitWrites(ctx, p)
		}
	}
}

// awaitWrites has a mountpath opened that was read-only when the node started, as
// often as it takes.
func (s *mountpaths) awaitWrites(ctx actor.Context, p *place) {
	p.retry = s.System.Clock().AfterFunc(openPause, s.sender(ctx, &tryAgain{p}))
}

// sender returns what sends a message to the actor itself.
func (s *mountpaths) sender(ctx actor.Context, message any) func() {
	self, root := ctx.Self(), s.System.Root()
	return func() { root.Send(self, message) }
}

// tryAgain says that it is time to open a store again. Sent by a timer.
type tryAgain struct{ place *place }

func (s *mountpaths) onTryAgain(ctx actor.Context, m *tryAgain) {
	p := m.place
	switch {
	case p.phase != away:
	case p.reopens:
		s.open(ctx, p)
	case p.awaits && (s.changing || p.waiting != nil || p.recording > 0):
		s.awaitWrites(ctx, p)
	case p.awaits:
		s.open(ctx, p)
	}
}

// coordinating says that a mountpath's lanes are at work. Sent by its coordinator.
type coordinating struct {
	place *place
	store *store.Store
}

func (s *mountpaths) onCoordinating(ctx actor.Context, m *coordinating) {
	p := m.place
	if p.phase != serving || p.mount.Store != m.store {
		return
	}
	s.become(p, freshly(m.store))
	s.settleWaiters(p)
	s.reveal(ctx, p)
	if p.retired {
		s.awaitLeases(ctx, p)
	}
}

// record has the documents say that a mountpath is out of use.
func (s *mountpaths) record(ctx actor.Context, p *place, reason string, byOperator bool) {
	p.recording++
	s.work(ctx, func() any { return &recorded{place: p, err: p.mount.Away(reason, byOperator)} }, func(err error) any { return &recorded{place: p, err: err} })
}

// recorded says how writing the documents went. Sent by a worker.
type recorded struct {
	place *place
	err   error
}

func (s *mountpaths) onRecorded(_ actor.Context, m *recorded) {
	m.place.recording--
	if m.err != nil {
		s.System.Log().WithError(m.err).WithField("mountpath", m.place.mount.Path).Warn("the documents do not say that the mountpath is out of use")
		m.place.answer(messages.MountpathStatus{}, m.err)
		return
	}
	s.settleWaiters(m.place)
}

func (s *mountpaths) onDisableMountpath(ctx actor.Context, m *messages.DisableMountpath) {
	const op errs.Op = "mountpath.Disable"
	p, err := s.find(op, m.Path)
	if err != nil {
		m.Fail(err)
		return
	}
	if p.waiting != nil || p.phase == working || p.recording > 0 {
		m.Fail(errs.E(op, p.mount.Path, errs.Busy, errors.New("another change of it is under way")))
		return
	}
	const reason = "an operator disabled it"
	was := p.phase
	p.byOperator, p.reopens, p.awaits = true, false, false
	s.become(p, report{state: messages.MountpathDisabled, reason: reason})
	if was == serving {
		s.stop(ctx, p)
	}
	p.waiting = m.Reply
	s.record(ctx, p, reason, true)
}

func (s *mountpaths) onEnableMountpath(ctx actor.Context, m *messages.EnableMountpath) {
	const op errs.Op = "mountpath.Enable"
	p, err := s.find(op, m.Path)
	switch {
	case err != nil:
		m.Fail(err)
	case p.phase == serving && p.waiting == nil && p.recording == 0 && p.mount.Store.ReadOnly():
		// Another filesystem may be mounted there by now: it is looked at anew.
		p.waiting, p.reopens, p.attempts = m.Reply, true, 0
		s.stop(ctx, p)
	case p.phase == serving && p.waiting == nil:
		m.Reply.Send(p.status(), nil)
	case p.phase == working && p.awaits && p.waiting == nil: // it is being tried
		p.waiting = m.Reply
	case p.phase == stopping:
		m.Fail(errs.E(op, p.mount.Path, errs.Busy, errors.New("calls of its disk are still under way; it can be enabled when they have ended")))
	case p.phase == working || p.recording > 0 || p.waiting != nil || p.reopens:
		m.Fail(errs.E(op, p.mount.Path, errs.Busy, errors.New("another change of it is under way")))
	default:
		p.waiting = m.Reply
		s.open(ctx, p)
	}
}

func (s *mountpaths) onListMountpaths(m *messages.ListMountpaths) {
	var all []messages.MountpathStatus
	states := s.System.Actors()
	for _, p := range s.places {
		status := s.statusOf(p)
		p.showSuspended(&status, states)
		all = append(all, status)
	}
	m.Reply.Send(all, nil)
}

// find returns the mountpath of a path, which may be relative to where the node was
// started, or of an id.
func (s *mountpaths) find(op errs.Op, path string) (*place, error) {
	absolute := s.Set.Resolve(path)
	for _, p := range s.places {
		if !p.retired && (p.isAt(absolute) || p.mount.ID == path) {
			return p, nil
		}
	}
	return nil, errs.E(op, path, errs.NotFound, errors.New("the node has no mountpath of that path or id"))
}

// settleWaiters answers who waits for a change that is complete now. Disabling is,
// once nobody is sent there and the documents say so: calls under way may take as
// long as the disk likes.
func (s *mountpaths) settleWaiters(p *place) {
	if p.recording == 0 && (p.phase == serving || p.report.state == messages.MountpathDisabled) {
		p.answer(p.status(), nil)
	}
}

// become changes what is known of a mountpath's health, and publishes it.
func (s *mountpaths) become(p *place, next report) {
	was := p.report
	changed := p.note(s.System.Clock().Now(), next)
	if next.state != messages.MountpathDisabled {
		p.byOperator = false
	}
	if was.state != next.state {
		log := s.System.Log().WithFields(logrus.Fields{"mountpath": p.mount.Path, "was": string(was.state), "state": string(next.state), "reason": next.reason})
		if next.state == messages.MountpathOK {
			log.Info("mountpath is well again")
		} else {
			log.Error("mountpath is not well")
		}
	}
	if changed {
		s.publish()
	}
}

// spawn spawns a mountpath's coordinator and computes the addresses of its lanes.
func (s *mountpaths) spawn(ctx actor.Context, p *place) messages.MountpathView {
	self, root, store := ctx.Self(), s.System.Root(), p.mount.Store
	mount, custody := p.mount, p.custody
	changed := func(r report) { root.Send(self, &healthChanged{place: p, store: store, report: r}) }
	started := func() { root.Send(self, &coordinating{place: p, store: store}) }
	pid, err := s.System.Spawn(ctx, actors.Spec{
		Name: "d" + strconv.Itoa(p.number), Kind: "mountpath",
		New:    func() actor.Actor { return newCoordinator(s.Config, mount, custody, changed, started) },
		Policy: actors.Policy{Resumes: true, Limit: 10, Window: time.Minute},
	})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
	view := p.view
	view.Coordinator, view.Writers, view.Readers = pid, nil, nil
	for i := range s.Limits.WriteLanes {
		view.Writers = append(view.Writers, s.System.PID(pid.Id+"/w"+strconv.Itoa(i)))
	}
	for i := range s.Limits.ReadLanes {
		view.Readers = append(view.Readers, s.System.PID(pid.Id+"/r"+strconv.Itoa(i)))
	}
	return view
}

func (s *mountpaths) publish() {
	var views []messages.MountpathView
	for _, p := range s.places {
		if !p.hidden {
			views = append(views, p.show())
		}
	}
	roster := messages.NewMovingRoster(views, s.transition)
	roster.Epoch, roster.Lost = s.epoch, s.lost
	roster.Serve(s.mounts)
	s.Published.Store(roster)
}
