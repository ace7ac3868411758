package xaction

import (
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (x *xactions) onGetJob(m *messages.GetJob) {
	if e := x.find("xaction.GetJob", m.ID, m); e != nil {
		m.Reply.Send(e.snapshot(), nil)
	}
}

func (x *xactions) onListJobs(m *messages.ListJobs) {
	list := make([]*messages.Job, 0, len(x.jobs.byID))
	for _, e := range x.jobs.ordered() {
		if e.pending || m.Kind != "" && m.Kind != e.doc.Kind || m.Bucket != "" && m.Bucket != e.doc.Bucket || m.Active && e.doc.State.Ended() {
			continue
		}
		list = append(list, e.snapshot())
	}
	m.Reply.Send(list, nil)
}

func (x *xactions) onWaitJob(ctx actor.Context, m *messages.WaitJob) {
	const op errs.Op = "xaction.WaitJob"
	e := x.find(op, m.ID, m)
	switch {
	case e == nil:
	case e.doc.State.Ended() && len(e.after) == 0 || m.Within <= 0:
		m.Reply.Send(e.snapshot(), nil)
	case m.Within > messages.MaxJobWait:
		m.Fail(errs.E(op, m.ID, errs.Invalid, fmt.Errorf("a wait is at most %s", messages.MaxJobWait)))
	case x.jobs.waiting >= x.Limits.Waiting:
		m.Fail(errs.E(op, m.ID, errs.Busy, fmt.Errorf("%d requests wait for jobs already", x.jobs.waiting)))
	default:
		x.jobs.waiting++
		x.jobs.serial++
		over := &waitOver{id: m.ID, serial: x.jobs.serial}
		self, root := ctx.Self(), x.System.Root()
		timer := x.System.Clock().AfterFunc(m.Within, func() { root.Send(self, over) })
		e.waiters = append(e.waiters, waiter{serial: over.serial, reply: m.Reply, timer: timer})
	}
}

// waitOver says that a WaitJob has waited long enough.
type waitOver struct {
	id     string
	serial uint64
}

func (x *xactions) onWaitOver(m *waitOver) {
	e := x.jobs.byID[m.id]
	if e == nil {
		return
	}
	at := slices.IndexFunc(e.waiters, func(w waiter) bool { return w.serial == m.serial })
	if at < 0 {
		return
	}
	e.waiters[at].reply.Send(e.snapshot(), nil)
	e.waiters = slices.Delete(e.waiters, at, at+1)
	x.jobs.waiting--
}

// answerWaiters answers everyone who waits for a job.
func (x *xactions) answerWaiters(e *entry, job *messages.Job, err error) {
	for _, w := range e.waiters {
		w.timer.Stop()
		w.reply.Send(job, err)
	}
	x.jobs.waiting -= len(e.waiters)
	e.waiters = nil
}
