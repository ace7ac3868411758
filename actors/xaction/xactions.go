package xaction

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Name is the coordinator's among the node's children.
const Name = "xactions"

// Config is what the actors of jobs need. Zero fields of Limits stand for their
// defaults; Census may be nil.
type Config struct {
	System *actors.System
	Store  Store
	// Documents are the documents as they were at start, by the ids that they were
	// put under.
	Documents map[string][]byte
	Kinds     []Kind
	Objects   Objects // of Run; nil where no kind asks for it
	Limits    Limits
	// Step, if not nil, is asked before each step of a job: the hook of the fault desk.
	// It is called on the job's goroutine; it may wait until the context ends, panic, and
	// return an error, which Run.Turn answers.
	Step func(ctx context.Context, kind, id string) error
	// Published is where the coordinator puts what metrics show; nil: nowhere.
	Published *atomic.Pointer[Census]
}

// Limits bounds what jobs may take.
type Limits struct {
	Running    int           // jobs at work at a time, paused ones aside; 0: 4
	Queued     int           // jobs that wait for room; 0: 1000
	Waiting    int           // WaitJobs at a time; 0: 4096
	History    int           // ended jobs that are remembered; 0: 1000
	Age        time.Duration // how long; 0: 7 days
	Checkpoint time.Duration // how often progress and checkpoints are written; 0: a second
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	set(&l.Running, 4)
	set(&l.Queued, 1000)
	set(&l.Waiting, 4096)
	set(&l.History, 1000)
	if l.Age == 0 {
		l.Age = 7 * 24 * time.Hour
	}
	if l.Checkpoint == 0 {
		l.Checkpoint = time.Second
	}
	return l
}

// Spec describes the coordinator of a node's jobs. It fails if a kind cannot be.
// A document that cannot be read, or that lies under another job's id, is logged
// and left alone.
func Spec(c Config) (actors.Spec, error) {
	known, err := newKinds(c.Kinds)
	if err != nil {
		return actors.Spec{}, errs.E("xaction.Spec", errs.Invalid, err)
	}
	c.Limits = c.Limits.withDefaults()
	jobs := &table{byID: make(map[string]*entry), past: make(map[string]Amount)}
	for id, content := range c.Documents {
		doc, err := decode(id, content)
		if err != nil {
			c.System.Log().WithError(err).WithField("job", id).Warn("the document of a job cannot be read; it is left alone")
			continue
		}
		jobs.byID[doc.ID] = &entry{doc: *doc, kind: known[doc.Kind], saving: doc.Version, saved: doc.Version}
	}
	return actors.Spec{Name: Name, Kind: "jobs", New: func() actor.Actor { return &xactions{Config: c, kinds: known, jobs: jobs} }}, nil
}

// xactions keeps the list of jobs, lets them run as there is room, and answers for
// them. It never blocks: the recorder writes, and the jobs work.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type xactions struct {
	Config
	kinds kinds
	jobs  *table

	recorder *actor.PID
	ending   bool // this actor stops or restarts: what ends now was not told to
	ticker   clock.Timer
	touched  []*entry
	resting  []messages.Reply[struct{}] // answered when no run is left; while there are any, none begins
}

// Receive implements actor.Actor.
func (x *xactions) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		x.onStarted(ctx)
	case *actor.Restarting:
		x.ending = true // its children end with it; the next one takes their jobs up
		x.ticker.Stop()
	case *actor.Stopping:
		x.onStopping()
	case *actor.Terminated:
		x.onTerminated(ctx, m)

	case *messages.StartJob:
		x.onStartJob(ctx, m)
	case *messages.RestartJob:
		x.onRestartJob(ctx, m)
	case *messages.PauseJob:
		x.onPauseJob(ctx, m)
	case *messages.ResumeJob:
		x.onResumeJob(ctx, m)
	case *messages.StopJob:
		x.onStopJob(ctx, m)
	case *messages.LimitJob:
		x.onLimitJob(m)
	case *messages.RestJobs:
		x.onRestJobs(ctx, m)

	case *jobEnded:
		x.onJobEnded(m)
	case *jobGone:
		x.onJobGone(ctx, m)
	case *jobSaved:
		x.onJobSaved(ctx, m)
	case *syncJob:
		x.onSyncJob(m)
	case *tick:
		x.onTick(ctx)
	case *waitOver:
		x.onWaitOver(m)

	case *messages.GetJob:
		x.onGetJob(m)
	case *messages.ListJobs:
		x.onListJobs(m)
	case *messages.WaitJob:
		x.onWaitJob(ctx, m)
	case *messages.ListJobKinds:
		m.Reply.Send(x.kinds.list(), nil)

	default:
		actors.Unexpected(ctx, x.System.Log())
	}
	x.flush(ctx)
	x.rested()
}

// onStarted takes up the jobs that were under way: before the node's last stop, or
// before this actor's restart, which ended their actors.
func (x *xactions) onStarted(ctx actor.Context) {
	var err error
	x.recorder, err = x.System.Spawn(ctx, actors.Spec{Name: "recorder", Kind: "recorder", New: func() actor.Actor { return &recorder{system: x.System, store: x.Store} }})
	if err != nil {
		panic(err) // the name is ours: a fault of the program
	}
	for _, e := range x.jobs.byID {
		x.takeUp(e)
	}
	x.forget()
	x.schedule(ctx)
	x.publish()
	x.nextTick(ctx.Self())
}

// takeUp decides what becomes of a job whose run is not there any more.
func (x *xactions) takeUp(e *entry) {
	if e.ledger != nil {
		e.ledger.writeTo(&e.doc)
	}
	e.pid, e.ledger, e.hold, e.limit, e.ended = nil, nil, nil, nil, nil
	if e.touched { // by a message on which this actor failed
		e.touched = false
		x.touch(e)
	}
	var refused error
	if !e.doc.State.Ended() {
		refused = x.System.Quarantine().Refuses("xaction.takeUp", e.doc.handling())
	}
	switch {
	case e.doc.State.Ended():
	case e.doc.State == messages.JobStopping:
		x.end(e, messages.JobStopped, "")
	case e.kind == nil:
		x.end(e, messages.JobFailed, fmt.Sprintf("this node knows no kind of job %q any more", e.doc.Kind))
	case refused != nil:
		x.end(e, messages.JobFailed, refused.Error())
	case e.doc.State == messages.JobPaused && (e.kind.Resumable || e.doc.Runs == 0):
	case e.doc.State == messages.JobQueued && (e.kind.Resumable || e.doc.Runs == 0):
	case e.kind.Resumable:
		e.doc.State = messages.JobQueued
	default:
		x.end(e, messages.JobFailed, "interrupted: the node was stopped, and a job of this kind cannot go on from the middle")
	}
}

func (x *xactions) onStopping() {
	x.ending = true
	x.ticker.Stop()
	for _, e := range x.jobs.byID {
		x.answerWaiters(e, nil, errs.E("xaction.WaitJob", e.doc.ID, errs.Busy, errors.New("the node is stopping")))
	}
}

// schedule lets queued jobs run while there is room.
func (x *xactions) schedule(ctx actor.Context) {
	for x.resting == nil && x.jobs.count((*entry).takesRoom) < x.Limits.Running {
		e := x.jobs.next()
		if e == nil {
			return
		}
		x.begin(ctx, e)
	}
}

// begin lets a job run: its actor goes on, or is spawned.
func (x *xactions) begin(ctx actor.Context, e *entry) {
	e.doc.State = messages.JobRunning
	x.touch(e)
	if e.underWay() {
		e.hold.open()
		return
	}
	now := x.System.Clock().Now().UTC()
	if e.doc.Started == nil {
		e.doc.Started = &now
	}
	e.doc.Runs++
	x.jobs.serial++
	e.serial, e.ledger, e.hold, e.recorded, e.ended = x.jobs.serial, newLedger(&e.doc, x.System.Clock()), &hold{}, 0, nil
	e.limit = newLimit(e.doc.rate())
	j := x.newJob(ctx.Self(), e)
	pid, err := x.System.Spawn(ctx, actors.Spec{Name: e.doc.Kind + "-" + e.doc.ID, Kind: "job", Handles: e.doc.handling(), New: func() actor.Actor { return j }, Policy: j.policy()})
	if err != nil {
		j.cancel(ErrStop)
		e.ledger = nil
		x.end(e, messages.JobFailed, err.Error())
		return
	}
	e.pid = pid
	x.log(e).WithField("run", e.doc.Runs).Info("job begins")
}

func (x *xactions) log(e *entry) *logrus.Entry {
	return x.System.Log().WithFields(logrus.Fields{"job": e.doc.ID, "kind": e.doc.Kind})
}

// onJobEnded notes how a run ended; what becomes of the job is decided when its
// actor is gone, so that the next run finds its name free.
func (x *xactions) onJobEnded(m *jobEnded) {
	if e := x.jobs.byID[m.id]; e != nil && e.serial == m.serial && e.ended == nil {
		e.ended = m
	}
}

// jobGone says that a run's actor has ended.
type jobGone struct {
	id     string
	serial uint64
}

// onTerminated hears that a child has ended. Its last words may still be in the
// mailbox, which a system message overtakes: they come first.
func (x *xactions) onTerminated(ctx actor.Context, m *actor.Terminated) {
	if x.ending {
		return
	}
	for id, e := range x.jobs.byID {
		if e.underWay() && e.pid.Id == m.Who.Id {
			ctx.Send(ctx.Self(), &jobGone{id: id, serial: e.serial})
			return
		}
	}
}

func (x *xactions) onJobGone(ctx actor.Context, m *jobGone) {
	e := x.jobs.byID[m.id]
	if e == nil || e.serial != m.serial || !e.underWay() {
		return // of a run before this actor's restart
	}
	x.conclude(e)
	x.forget()
	x.schedule(ctx)
}

// conclude decides how a job ended whose actor is gone.
func (x *xactions) conclude(e *entry) {
	stopped := e.doc.State == messages.JobStopping
	e.ledger.writeTo(&e.doc)
	told := e.ended
	e.pid, e.ledger, e.hold, e.limit, e.ended = nil, nil, nil, nil, nil
	switch {
	case x.resting != nil && !stopped && (told == nil || errors.Is(told.err, ErrStop)):
		x.touch(e) // it goes on with the next start
	case told == nil && stopped:
		x.end(e, messages.JobStopped, "")
	case told == nil:
		x.end(e, messages.JobFailed, "killed")
	case told.err == nil:
		x.end(e, messages.JobFinished, "")
	case stopped && !told.failed:
		text := ""
		if !errors.Is(told.err, ErrStop) {
			text = told.err.Error()
		}
		x.end(e, messages.JobStopped, text)
	default:
		x.end(e, messages.JobFailed, told.err.Error())
	}
}

// end records the end of a job that has no actor.
func (x *xactions) end(e *entry, state messages.JobState, text string) {
	now := x.System.Clock().Now().UTC()
	e.doc.State, e.doc.Err, e.doc.Ended = state, text, &now
	if state == messages.JobFinished {
		e.doc.Checkpoint = nil
	}
	x.touch(e)
	x.afterwards(e, func(error) {
		// Durable or not, it has ended: the next tick writes it again if need be.
		if e.doc.State.Ended() {
			x.answerWaiters(e, e.snapshot(), nil)
		}
	})
	line := x.log(e).WithFields(logrus.Fields{"state": string(state), "objects": e.doc.Progress.Objects, "bytes": e.doc.Progress.Bytes, "errors": e.doc.Progress.Errors})
	if state == messages.JobFailed {
		line.WithField("cause", text).Error("job ended")
		return
	}
	line.Info("job ended")
}

// tick says that some time has passed.
type tick struct{}

func (x *xactions) nextTick(self *actor.PID) {
	root := x.System.Root()
	x.ticker = x.System.Clock().AfterFunc(x.Limits.Checkpoint, func() { root.Send(self, &tick{}) })
}

// onTick writes what has changed since the last time, and forgets what is old.
func (x *xactions) onTick(ctx actor.Context) {
	x.nextTick(ctx.Self())
	for _, e := range x.jobs.byID {
		if e.pending || e.saving != e.saved {
			continue // the last write is on its way
		}
		if e.unsaved || e.ledger != nil && e.ledger.hasChanged(e.recorded) {
			x.touch(e)
		}
	}
	x.forget()
}

// forget drops ended jobs beyond the history.
func (x *xactions) forget() {
	for _, e := range x.jobs.forgettable(x.Limits.History, x.System.Clock().Now().Add(-x.Limits.Age)) {
		x.jobs.keep(e)
		e.touched = false
		delete(x.jobs.byID, e.doc.ID)
		id, log := e.doc.ID, x.log(e)
		x.System.Root().Send(x.recorder, &recordJob{id: id, done: func(err error) {
			if err != nil {
				log.WithError(err).Warn("the document of a forgotten job stays; the next start removes it")
			}
		}})
	}
}
