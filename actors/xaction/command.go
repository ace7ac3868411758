package xaction

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (x *xactions) onStartJob(ctx actor.Context, m *messages.StartJob) {
	const op errs.Op = "xaction.StartJob"
	kind := x.kinds[m.Kind]
	if kind == nil {
		m.Fail(errs.E(op, m.Kind, errs.Invalid, fmt.Errorf("there is no such kind of job; there are: %s", x.kinds)))
		return
	}
	if err := checkRate(m.Rate); err != nil {
		m.Fail(errs.E(op, m.Kind, err))
		return
	}
	handling := handlingOf(kind.Name, m.Parameters)
	if err := x.System.Quarantine().Refuses(op, handling); err != nil {
		m.Fail(err)
		return
	}
	parameters, target, err := kind.check(m.Parameters)
	if err != nil {
		var p *panicked
		if errors.As(err, &p) {
			x.System.Panicked(ctx.Self().Id, "StartJob", handling, actors.Recovered{Reason: p.reason, Stack: p.stack})
		}
		m.Fail(errs.E(op, err))
		return
	}
	if err := x.mayQueue(op, kind, target.Bucket); err != nil {
		m.Fail(err)
		return
	}
	e := &entry{kind: kind, pending: true, doc: document{
		ID: kind.Prefix + newID(), Kind: kind.Name, Bucket: target.Bucket, Parameters: parameters,
		State: messages.JobQueued, Created: x.System.Clock().Now().UTC(),
	}}
	e.doc.setRate(m.Rate)
	x.jobs.byID[e.doc.ID] = e
	x.touch(e)
	x.answer(op, e, m.Reply)
}

func checkRate(rate messages.JobRate) error {
	if rate.Objects < 0 || rate.Bytes < 0 {
		return errs.E("xaction.checkRate", errs.Invalid, errors.New("a rate is not negative"))
	}
	return nil
}

// newID makes the random part of a job's id: 13 characters of 5 bits each.
func newID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	var room [13]byte
	if _, err := rand.Read(room[:]); err != nil {
		panic(err) // crypto/rand never fails, says its documentation
	}
	for i, b := range room {
		room[i] = letters[b%32]
	}
	return string(room[:])
}

// mayQueue says why no job of the kind may be added for the target, or nil.
func (x *xactions) mayQueue(op errs.Op, kind *Kind, bucket string) error {
	if x.resting != nil {
		return errs.E(op, kind.Name, errs.Busy, errors.New("the node is stopping"))
	}
	if rival := x.jobs.rival(kind, bucket); rival != nil {
		where := "this node"
		if kind.Scope == OncePerBucket {
			where = "bucket " + bucket
		}
		return errs.E(op, kind.Name, errs.Conflict, fmt.Errorf("a job of this kind is there already for %s: %s (%s)", where, rival.doc.ID, rival.doc.State))
	}
	if n := x.jobs.count(func(e *entry) bool { return e.doc.State == messages.JobQueued }); n >= x.Limits.Queued {
		return errs.E(op, kind.Name, errs.Busy, fmt.Errorf("%d jobs wait already", n))
	}
	return nil
}

func (x *xactions) onRestartJob(ctx actor.Context, m *messages.RestartJob) {
	const op errs.Op = "xaction.RestartJob"
	e := x.find(op, m.ID, m)
	if e == nil {
		return
	}
	switch {
	case !e.doc.State.Ended() || e.underWay():
		m.Fail(errs.E(op, m.ID, errs.Conflict, fmt.Errorf("the job is %s", e.doc.State)))
		return
	case e.doc.State == messages.JobFinished:
		m.Fail(errs.E(op, m.ID, errs.Conflict, errors.New("the job is finished; start another one")))
		return
	case e.kind == nil:
		m.Fail(errs.E(op, m.ID, errs.Invalid, fmt.Errorf("this node knows no kind of job %q", e.doc.Kind)))
		return
	}
	err := x.mayQueue(op, e.kind, e.doc.Bucket)
	if err == nil {
		err = x.System.Quarantine().Refuses(op, e.doc.handling())
	}
	if err != nil {
		m.Fail(err)
		return
	}
	if !e.kind.Resumable {
		x.jobs.keep(e) // the metrics count it still
		e.doc.Checkpoint, e.doc.Progress = nil, progress{}
	}
	e.doc.State, e.doc.Err, e.doc.Ended = messages.JobQueued, "", nil
	x.touch(e)
	x.schedule(ctx)
	x.answer(op, e, m.Reply)
}

func (x *xactions) onPauseJob(ctx actor.Context, m *messages.PauseJob) {
	const op errs.Op = "xaction.PauseJob"
	e := x.find(op, m.ID, m)
	if e == nil {
		return
	}
	switch e.doc.State {
	case messages.JobPaused:
	case messages.JobQueued, messages.JobRunning:
		if !e.kind.Pausable {
			m.Fail(errs.E(op, m.ID, errs.Conflict, fmt.Errorf("a job of kind %s cannot be paused", e.doc.Kind)))
			return
		}
		e.doc.State = messages.JobPaused
		if e.underWay() {
			e.hold.close()
		}
		x.touch(e)
		x.schedule(ctx)
	default:
		m.Fail(errs.E(op, m.ID, errs.Conflict, fmt.Errorf("the job is %s", e.doc.State)))
		return
	}
	x.answer(op, e, m.Reply)
}

func (x *xactions) onResumeJob(ctx actor.Context, m *messages.ResumeJob) {
	const op errs.Op = "xaction.ResumeJob"
	e := x.find(op, m.ID, m)
	if e == nil {
		return
	}
	switch e.doc.State {
	case messages.JobQueued, messages.JobRunning:
	case messages.JobPaused:
		e.doc.State = messages.JobQueued
		x.touch(e)
		x.schedule(ctx)
	default:
		m.Fail(errs.E(op, m.ID, errs.Conflict, fmt.Errorf("the job is %s", e.doc.State)))
		return
	}
	x.answer(op, e, m.Reply)
}

func (x *xactions) onStopJob(ctx actor.Context, m *messages.StopJob) {
	const op errs.Op = "xaction.StopJob"
	e := x.find(op, m.ID, m)
	if e == nil {
		return
	}
	switch {
	case e.doc.State.Ended() || e.doc.State == messages.JobStopping:
	case e.underWay():
		e.doc.State = messages.JobStopping
		ctx.Send(e.pid, &halt{})
		x.touch(e)
	default:
		x.end(e, messages.JobStopped, "")
		x.forget()
	}
	x.answer(op, e, m.Reply)
}

func (x *xactions) onLimitJob(m *messages.LimitJob) {
	const op errs.Op = "xaction.LimitJob"
	e := x.find(op, m.ID, m)
	if e == nil {
		return
	}
	if err := checkRate(m.Rate); err != nil {
		m.Fail(errs.E(op, m.ID, err))
		return
	}
	if e.doc.State == messages.JobFinished {
		m.Fail(errs.E(op, m.ID, errs.Conflict, errors.New("the job is finished")))
		return
	}
	if e.doc.rate() != m.Rate {
		e.doc.setRate(m.Rate)
		if e.limit != nil {
			e.limit.set(m.Rate)
		}
		x.touch(e)
	}
	x.answer(op, e, m.Reply)
}

// find finds a job, or fails the request.
func (x *xactions) find(op errs.Op, id string, request messages.Failer) *entry {
	e := x.jobs.byID[id]
	if e == nil || e.pending {
		request.Fail(errs.E(op, id, errs.NotFound, errors.New("there is no such job, or not any more")))
		return nil
	}
	return e
}
