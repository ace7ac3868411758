package mountpath

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A transition is a change of the set of mountpaths that keys are placed on:
//
//	asked ──▶ documents ──▶ roster: keys have owner and former; formers refuse writes
//	                          │
//	                          ▼ every write lane has passed what it was in
//	                        ready: owners are written to; the job moves
//	                          │
//	                          ▼ nothing is left at a former mountpath
//	                        documents ──▶ roster without formers ──▶ who left is closed
//
// It is in the documents before anybody hears of it, so that a restart goes on with
// it, and the set changes one mountpath at a time.

// Set changes which mountpaths a node has: directories and documents. Its functions
// block on disks and are called one at a time.
type Set struct {
	// Join checks a directory as a start does, makes it a mountpath, opens it, and has
	// the documents begin the transition to the set with it.
	Join func(path string) (Mount, *messages.Transition, error)
	// Leave has the documents begin the transition to the set without a mountpath.
	Leave func(id string) (*messages.Transition, error)
	// Turn has them turn the transition round.
	Turn func() (*messages.Transition, error)
	// Began notes the job that moves to a set.
	Began func(to []string, job string) error
	// Finish ends the transition to a set.
	Finish func(to []string) error
	// Retire wipes the directory of a mountpath that has left and is closed.
	Retire func(id string) error
	// Drop forgets a mountpath that cannot be used.
	Drop func(id string) error
	// Buckets returns the live buckets that there are.
	Buckets func() []objects.Bucket
}

// set is the mountpaths of a node and how their set changes. It belongs to the
// supervisor of mountpaths, and outlives its incarnations.
type set struct {
	places     []*place
	transition *messages.Transition // nil: the set does not change
	epoch      uint64               // of placement
	changing   bool                 // a worker changes the documents of the set
	ready      chan struct{}        // of the transition; nil: it is
	// asked is answered when the job that moves has begun; nil: nobody waits.
	asked   messages.Reply[messages.MountpathStatus]
	subject *place // whose status is the answer
	// finishing are answered when who left is gone.
	finishing []messages.Reply[struct{}]
}

// statusOf is a mountpath's status with its part in a transition.
func (s *mountpaths) statusOf(p *place) messages.MountpathStatus {
	status := p.status()
	if p.retired {
		status.State, status.Reason = messages.MountpathLeaving, "everything has moved; it is wiped when its last reader has gone"
	}
	if t := s.transition; t != nil {
		joining, leaving := t.Joining(p.mount.ID), t.Leaving(p.mount.ID)
		if joining || leaving {
			status.Job = t.Job
		}
		if status.State == messages.MountpathOK {
			switch {
			case joining:
				status.State = messages.MountpathJoining
			case leaving:
				status.State = messages.MountpathLeaving
			}
		}
	}
	return status
}

// steady fails while the set is being changed.
func (s *mountpaths) steady(op errs.Op, thing string) error {
	switch {
	case s.transition != nil && s.transition.Job != "":
		return errs.E(op, thing, errs.Conflict, fmt.Errorf("the set of mountpaths is being changed already: job %s moves objects; wait for it, or turn it round", s.transition.Job))
	case s.transition != nil || s.changing:
		return errs.E(op, thing, errs.Conflict, errors.New("the set of mountpaths is being changed already"))
	}
	return nil
}

func (s *mountpaths) onAddMountpath(ctx actor.Context, m *messages.AddMountpath) {
	const op errs.Op = "mountpath.Add"
	if p, err := s.find(op, m.Path); err == nil {
		switch {
		case s.transition.Leaving(p.mount.ID) && !s.changing:
			s.turn(ctx, p, m.Reply)
		default:
			m.Fail(errs.E(op, m.Path, errs.Exists, errors.New("it is a mountpath of the node already")))
		}
		return
	}
	if err := s.steady(op, m.Path); err != nil {
		m.Fail(err)
		return
	}
	s.changing, s.asked = true, m.Reply
	s.work(ctx, func() any {
		mount, transition, err := s.Set.Join(m.Path)
		return &joined{mount: mount, transition: transition, err: err}
	}, func(err error) any { return &joined{err: err} })
}

// joined says how making a directory a mountpath went. Sent by a worker.
type joined struct {
	mount      Mount
	transition *messages.Transition
	err        error
}

func (s *mountpaths) onJoined(ctx actor.Context, m *joined) {
	if m.err != nil {
		s.changing = false
		s.tell("", m.err)
		return
	}
	number := 0
	for _, p := range s.places {
		number = max(number, p.number+1)
	}
	p := newPlace(number, m.mount, s.System.Clock().Now())
	p.hidden = true // until its lanes are at work: onCoordinating
	s.places, s.subject, s.transition = append(s.places, p), p, m.transition
	p.view = s.spawn(ctx, p)
}

// reveal puts a mountpath that joins into the roster, with the transition.
func (s *mountpaths) reveal(ctx actor.Context, p *place) {
	p.hidden = false
	s.begin(ctx, s.transition)
}

func (s *mountpaths) onRemoveMountpath(ctx actor.Context, m *messages.RemoveMountpath) {
	const op errs.Op = "mountpath.Remove"
	p, err := s.find(op, m.Path)
	if err != nil {
		m.Fail(err)
		return
	}
	if s.transition.Joining(p.mount.ID) && !s.changing {
		s.turn(ctx, p, m.Reply)
		return
	}
	if err := s.steady(op, m.Path); err != nil {
		m.Fail(err)
		return
	}
	if len(s.places) == 1 {
		m.Fail(errs.E(op, m.Path, errs.Conflict, errors.New("it is the node's last mountpath")))
		return
	}
	status := p.status()
	switch {
	case !status.Readable && !m.Force:
		m.Fail(errs.E(op, m.Path, errs.Offline, fmt.Errorf("it cannot be read (%s: %s), so what is on it cannot be moved; enable it, or remove it by force, which gives up what only it has", status.State, status.Reason)))
		return
	case !status.Readable && p.phase != away:
		m.Fail(errs.E(op, m.Path, errs.Busy, errors.New("calls of its disk are still under way; disable it first")))
		return
	}
	s.changing, s.asked, s.subject = true, m.Reply, p
	if !status.Readable {
		s.giveUp(ctx, p)
		return
	}
	var others []*store.Store
	for _, other := range s.places {
		if other != p && other.mount.Store != nil {
			others = append(others, other.mount.Store)
		}
	}
	leaving, id := p.mount.Store, p.mount.ID
	s.work(ctx, func() any {
		if err := hasRoom(s.Set.Buckets(), leaving, others); err != nil {
			return &changed{err: errs.E(op, p.mount.Path, err)}
		}
		transition, err := s.Set.Leave(id)
		return &changed{transition: transition, err: err}
	}, func(err error) any { return &changed{err: err} })
}

// tally counts what a mountpath has.
func tally(buckets []objects.Bucket, s *store.Store, wanted func(objects.Key) bool) (messages.Tally, error) {
	var all messages.Tally
	for _, b := range buckets {
		count, bytes, err := s.Tally(b, wanted)
		if err != nil {
			return all, err
		}
		all.Objects, all.Bytes = all.Objects+count, all.Bytes+bytes
	}
	return all, nil
}

// hasRoom fails if what a mountpath has does not fit the others, an even share of it
// each. What lies on the same filesystem needs room only while it moves.
func hasRoom(buckets []objects.Bucket, leaving *store.Store, others []*store.Store) error {
	held, err := tally(buckets, leaving, func(objects.Key) bool { return true })
	if err != nil || len(others) == 0 {
		return err
	}
	for _, s := range append([]*store.Store{leaving}, others...) {
		if err := s.MeasureSpace(); err != nil { // one that has just been opened may not have been
			return err
		}
	}
	own := leaving.Space().Device
	need, room := make(map[uint64]uint64), make(map[uint64]uint64)
	for _, s := range others {
		space := s.Space()
		if space.Device == own {
			continue
		}
		need[space.Device] += uint64(held.Bytes) / uint64(len(others))
		room[space.Device] = space.FreeBytes - min(space.FreeBytes, s.Reserved())
	}
	for device, n := range need {
		if n > room[device] {
			return errs.E("mountpath.hasRoom", errs.NoSpace, fmt.Errorf("it holds %d objects with %d bytes; about %d of them would go to a filesystem that has room for %d", held.Objects, held.Bytes, n, room[device]))
		}
	}
	return nil
}

// giveUp forgets a mountpath that cannot be read, with what is on it.
func (s *mountpaths) giveUp(ctx actor.Context, p *place) {
	var others []*store.Store
	for _, other := range s.places {
		if other.mount.Store != nil {
			others = append(others, other.mount.Store)
		}
	}
	id := p.mount.ID
	s.work(ctx, func() any {
		var known messages.Tally
		for _, other := range others {
			held, err := tally(s.Set.Buckets(), other, func(objects.Key) bool { return true })
			if err != nil {
				return &finished{err: err}
			}
			known.Objects += held.Objects
		}
		lost := known.Objects / int64(max(1, len(others)))
		transition, err := s.Set.Leave(id)
		if err == nil {
			err = s.Set.Finish(transition.To)
		}
		if err == nil {
			err = s.Set.Drop(id)
		}
		return &finished{err: err, lost: lost, forced: p}
	}, func(err error) any { return &finished{err: err} })
}

// turn turns a transition round: who was joining leaves, and the other way round.
// The job is stopped first.
func (s *mountpaths) turn(ctx actor.Context, p *place, reply messages.Reply[messages.MountpathStatus]) {
	job := s.transition.Job
	s.changing, s.asked, s.subject = true, reply, p
	s.work(ctx, func() any {
		if err := s.endJob(job); err != nil {
			return &changed{err: err}
		}
		transition, err := s.Set.Turn()
		return &changed{transition: transition, err: err}
	}, func(err error) any { return &changed{err: err} })
}

// endJob stops the job that moves, and waits for its end. In a worker.
func (s *mountpaths) endJob(id string) error {
	const op errs.Op = "mountpath.endJob"
	if id == "" {
		return nil
	}
	stop := &messages.StopJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, stop)
	if _, err := stop.Reply.WaitOn(s.System.Clock(), op, jobTime); err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	wait := &messages.WaitJob{ID: id, Within: jobTime, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, wait)
	job, err := wait.Reply.WaitOn(s.System.Clock(), op, 2*jobTime)
	switch {
	case errs.Is(errs.NotFound, err):
		return nil
	case err != nil:
		return err
	case !job.State.Ended():
		return errs.E(op, id, errs.Busy, errors.New("the job that moves has not come to an end yet"))
	}
	return nil
}

// changed says how a change of the set in the documents went. Sent by a worker.
type changed struct {
	transition *messages.Transition
	err        error
}

func (s *mountpaths) onChanged(ctx actor.Context, m *changed) {
	if m.err != nil {
		s.changing = false
		s.tell("", m.err)
		s.scheduleJob(ctx) // that of a transition that was not turned
		return
	}
	s.begin(ctx, m.transition)
}

// begin publishes a transition that the documents have, and waits for the writes
// that began before.
func (s *mountpaths) begin(ctx actor.Context, t *messages.Transition) {
	s.ready = make(chan struct{})
	next := *t
	next.Ready = s.ready
	s.transition = &next
	s.epoch++
	s.changing = false
	s.publish()
	s.System.Log().WithFields(logrus.Fields{"from": t.From, "to": t.To, "turned": t.Turned}).Info("the set of mountpaths changes")
	s.pass(ctx)
}

// passTime bounds the wait for a write lane, and passPause lies between two tries.
const (
	passTime  = 30 * time.Second
	passPause = 250 * time.Millisecond
)

// pass waits until every write lane is past what it was at.
func (s *mountpaths) pass(ctx actor.Context) {
	var lanes []*actor.PID
	for _, p := range s.places {
		if p.phase == serving && !p.hidden {
			lanes = append(lanes, p.view.Writers...)
		}
	}
	epoch := s.epoch
	s.work(ctx, func() any {
		var replies []messages.Reply[struct{}]
		for _, lane := range lanes {
			m := &messages.Pass{Reply: messages.NewReply[struct{}]()}
			s.System.Root().Send(lane, m)
			replies = append(replies, m.Reply)
		}
		var failures []error
		for _, r := range replies {
			_, err := r.WaitOn(s.System.Clock(), "mountpath.pass", passTime)
			failures = append(failures, err)
		}
		return &passed{epoch: epoch, err: errors.Join(failures...)}
	}, func(err error) any { return &passed{epoch: epoch, err: err} })
}

// passed says that every write lane is past what it was at when the transition was
// published, or that one is not. Sent by a worker, and by a timer to try again.
type passed struct {
	epoch uint64
	again bool
	err   error
}

func (s *mountpaths) onPassed(ctx actor.Context, m *passed) {
	if m.epoch != s.epoch || s.ready == nil {
		return
	}
	switch {
	case m.again:
		s.pass(ctx)
	case m.err != nil:
		s.System.Log().WithError(m.err).Warn("writes that began before the set of mountpaths changed have not ended; keys that move are busy until they do")
		s.System.Clock().AfterFunc(passPause, s.sender(ctx, &passed{epoch: m.epoch, again: true}))
	default:
		close(s.ready)
		s.ready = nil
		s.startJob(ctx)
	}
}

// jobTime bounds the waits for the coordinator of jobs, and jobPause lies between
// two tries to start the job.
const (
	jobTime  = 30 * time.Second
	jobPause = 2 * time.Second
)

// startJob starts the job that moves, unless it is there already.
func (s *mountpaths) startJob(ctx actor.Context) {
	t := s.transition
	var from []string
	for _, id := range t.From {
		if t.IsSource(id) {
			from = append(from, id)
		}
	}
	epoch := s.epoch
	s.work(ctx, func() any {
		job, err := s.moveJob(mover.Parameters{From: from, Placement: t.To})
		if err == nil {
			err = s.Set.Began(t.To, job)
		}
		return &jobStarted{epoch: epoch, job: job, err: err}
	}, func(err error) any { return &jobStarted{epoch: epoch, err: err} })
}

// moveJob starts the job, or finds the one that a restart of the node took up. In a
// worker.
func (s *mountpaths) moveJob(wanted mover.Parameters) (string, error) {
	const op errs.Op = "mountpath.moveJob"
	parameters, err := json.Marshal(wanted)
	if err != nil {
		return "", errs.E(op, errs.Internal, err)
	}
	list := &messages.ListJobs{Kind: mover.Name, Active: true, Reply: messages.NewReply[[]*messages.Job]()}
	s.System.Root().Send(s.Jobs, list)
	jobs, err := list.Reply.WaitOn(s.System.Clock(), op, jobTime)
	if err != nil {
		return "", err
	}
	for _, job := range jobs {
		var has mover.Parameters
		if json.Unmarshal(job.Parameters, &has) == nil && slices.Equal(has.Placement, wanted.Placement) {
			return job.ID, nil
		}
		if err := s.endJob(job.ID); err != nil {
			return "", err
		}
	}
	start := &messages.StartJob{Kind: mover.Name, Parameters: parameters, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, start)
	job, err := start.Reply.WaitOn(s.System.Clock(), op, jobTime)
	if err != nil {
		return "", err
	}
	return job.ID, nil
}

// jobStarted says how starting the job went. Sent by a worker.
type jobStarted struct {
	epoch uint64
	job   string
	err   error
}

func (s *mountpaths) onJobStarted(ctx actor.Context, m *jobStarted) {
	if m.epoch != s.epoch || s.transition == nil {
		s.tell(m.job, m.err) // it has finished already
		return
	}
	if m.err != nil {
		s.System.Log().WithError(m.err).Warn("the job that moves objects to their mountpaths cannot be started now; it is tried again")
		s.scheduleJob(ctx)
		return
	}
	next := *s.transition
	next.Job = m.job
	s.transition = &next
	s.publish()
	s.tell(m.job, nil)
}

// tryJob says that it is time to start the job. Sent by a timer.
type tryJob struct{}

func (s *mountpaths) scheduleJob(ctx actor.Context) {
	if s.transition != nil {
		s.System.Clock().AfterFunc(jobPause, s.sender(ctx, &tryJob{}))
	}
}

func (s *mountpaths) onTryJob(ctx actor.Context) {
	if s.transition != nil && !s.changing && s.ready == nil {
		s.startJob(ctx)
	}
}

// resume goes on with a transition after a start of the node, or of the actor.
func (s *mountpaths) resume(ctx actor.Context) {
	switch {
	case s.transition == nil:
	case s.ready != nil:
		s.pass(ctx)
	default:
		s.scheduleJob(ctx)
	}
	for _, p := range s.places {
		if p.retired && p.phase == serving {
			s.awaitLeases(ctx, p)
		}
	}
}

// tell answers who asked for the change, with the job that moves.
func (s *mountpaths) tell(job string, err error) {
	if s.asked == nil {
		return
	}
	var status messages.MountpathStatus
	if s.subject != nil {
		status = s.statusOf(s.subject)
		status.Job = job
	}
	s.asked.Send(status, err)
	s.asked, s.subject = nil, nil
}

func (s *mountpaths) onTallyTransition(ctx actor.Context, m *messages.TallyTransition) {
	roster := s.Published.Load()
	stores := make(map[string]*store.Store)
	for _, p := range s.places {
		if s.transition.IsSource(p.mount.ID) && p.mount.Store != nil {
			stores[p.mount.ID] = p.mount.Store
		}
	}
	s.work(ctx, func() any {
		var all messages.Tally
		var err error
		for id, source := range stores {
			var t messages.Tally
			t, err = tally(s.Set.Buckets(), source, func(key objects.Key) bool {
				former := roster.Former(key.Digest())
				return former != nil && former.ID == id
			})
			all.Objects, all.Bytes = all.Objects+t.Objects, all.Bytes+t.Bytes
			if err != nil {
				break
			}
		}
		return &tallied{reply: m.Reply, all: all, err: err}
	}, func(err error) any { return &tallied{reply: m.Reply, err: err} })
}

// tallied says what a count came to. Sent by a worker.
type tallied struct {
	reply messages.Reply[messages.Tally]
	all   messages.Tally
	err   error
}

func (s *mountpaths) onFinishTransition(ctx actor.Context, m *messages.FinishTransition) {
	const op errs.Op = "mountpath.FinishTransition"
	switch {
	case s.transition == nil || !slices.Equal(s.transition.To, m.To):
		s.whenRetired(m)
	case s.changing || s.ready != nil:
		m.Fail(errs.E(op, errs.Busy, errors.New("the set of mountpaths is being changed")))
	default:
		s.changing = true
		s.work(ctx, func() any { return &finished{request: m, err: s.Set.Finish(m.To)} },
			func(err error) any { return &finished{request: m, err: err} })
	}
}

// finished says how ending a transition in the documents went. Sent by a worker.
type finished struct {
	request *messages.FinishTransition // nil: a mountpath was given up
	forced  *place
	lost    int64 // objects that were on it, by the share of the others
	err     error
}

func (s *mountpaths) onFinished(ctx actor.Context, m *finished) {
	s.changing = false
	if m.err != nil {
		s.tell("", m.err)
		if m.request != nil {
			m.request.Fail(m.err)
		}
		return
	}
	if m.forced != nil {
		m.forced.hidden = true
		s.places = slices.DeleteFunc(s.places, func(p *place) bool { return p == m.forced })
		s.epoch++
		s.publish()
		status := m.forced.status()
		status.Reason = fmt.Sprintf("removed by force: what only it had is lost, about %d objects by the share of the others", m.lost)
		s.System.Log().WithFields(logrus.Fields{"mountpath": m.forced.mount.Path, "objects": m.lost}).Error("a mountpath was removed by force; what only it had is lost")
		s.asked.Send(status, nil)
		s.asked, s.subject = nil, nil
		return
	}
	done := s.transition
	s.transition = nil
	s.epoch++
	for _, p := range s.places {
		if done.Leaving(p.mount.ID) {
			p.hidden, p.retired = true, true
			s.awaitLeases(ctx, p)
		}
	}
	s.publish()
	s.System.Log().WithField("mountpaths", done.To).Info("the set of mountpaths has changed")
	s.whenRetired(m.request)
}

// leaseTick says that it is time to look whether readers have left a mountpath that
// has left the node. Sent by a timer.
type leaseTick struct {
	place *place
	since time.Duration // of the clock's Elapsed
}

func (s *mountpaths) awaitLeases(ctx actor.Context, p *place) {
	s.onLeaseTick(ctx, &leaseTick{place: p, since: s.System.Clock().Elapsed()})
}

// onLeaseTick closes a mountpath that has left once nobody reads what was on it:
// bodies that are being sent open one part file after the other.
func (s *mountpaths) onLeaseTick(ctx actor.Context, m *leaseTick) {
	p := m.place
	if p.phase != serving {
		if p.phase == away {
			s.retire(ctx, p)
		}
		return
	}
	if p.mount.Store.Leases() > 0 && s.System.Clock().Elapsed()-m.since < store.LeaseTime {
		s.System.Clock().AfterFunc(passPause, s.sender(ctx, m))
		return
	}
	p.phase = stopping
	ctx.Stop(p.view.Coordinator)
}

// retire has the directory of a mountpath wiped that has left and is closed.
func (s *mountpaths) retire(ctx actor.Context, p *place) {
	p.phase = working
	s.work(ctx, func() any { return &retired{place: p, err: s.Set.Retire(p.mount.ID)} }, func(err error) any { return &retired{place: p, err: err} })
}

// retired says that the directory of a mountpath that has left is wiped, as far as
// it can be. Sent by a worker.
type retired struct {
	place *place
	err   error
}

func (s *mountpaths) onRetired(m *retired) {
	log := s.System.Log().WithField("mountpath", m.place.mount.Path)
	if m.err != nil {
		log.WithError(m.err).Warn("the directory of a mountpath that left the node could not be wiped")
	} else {
		log.Info("a mountpath has left the node")
	}
	s.places = slices.DeleteFunc(s.places, func(p *place) bool { return p == m.place })
	for _, reply := range s.finishing {
		reply.Send(struct{}{}, nil)
	}
	s.finishing = nil
}

// whenRetired answers when every mountpath that left is gone.
func (s *mountpaths) whenRetired(m *messages.FinishTransition) {
	for _, p := range s.places {
		if p.retired {
			s.finishing = append(s.finishing, m.Reply)
			return
		}
	}
	m.Reply.Send(struct{}{}, nil)
}
