package xaction

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// touch has a job's document written at the end of this message.
func (x *xactions) touch(e *entry) {
	if !e.touched {
		e.touched = true
		x.touched = append(x.touched, e)
	}
}

// afterwards calls a function, in this actor's turn, when the document of a job has
// been written with all that was changed so far, or could not be.
func (x *xactions) afterwards(e *entry, call func(error)) {
	if !e.touched && e.saving == e.saved {
		if !e.unsaved {
			call(nil) // it is there already
			return
		}
		x.touch(e)
	}
	version := e.saving
	if e.touched {
		version++
	}
	e.after = append(e.after, afterSave{version: version, call: call})
}

// flush hands the documents that this message changed to the recorder, and
// publishes what metrics show.
func (x *xactions) flush(ctx actor.Context) {
	if len(x.touched) == 0 {
		return
	}
	touched := x.touched
	x.touched = nil
	for _, e := range touched {
		if e.touched {
			e.touched = false
			x.save(ctx.Self(), e)
		}
	}
	x.publish()
}

// jobSaved says that a document was written, or could not be. Sent by the recorder.
type jobSaved struct {
	id      string
	version uint64
	err     error
}

func (x *xactions) save(self *actor.PID, e *entry) {
	if e.ledger != nil {
		e.recorded = e.ledger.writeTo(&e.doc)
	}
	e.saving++
	e.doc.Format, e.doc.Version = documentFormat, e.saving
	saved := &jobSaved{id: e.doc.ID, version: e.saving}
	root := x.System.Root()
	content, err := e.doc.encode()
	if err != nil {
		saved.err = err
		root.Send(self, saved)
		return
	}
	root.Send(x.recorder, &recordJob{id: saved.id, content: content, done: func(err error) {
		saved.err = err
		root.Send(self, saved)
	}})
}

func (x *xactions) onJobSaved(ctx actor.Context, m *jobSaved) {
	e := x.jobs.byID[m.id]
	if e == nil {
		return
	}
	e.saved = max(e.saved, m.version)
	e.unsaved = m.err != nil
	if m.err != nil {
		x.log(e).WithError(m.err).Warn("the document of a job cannot be written now; it is tried again")
	}
	wasPending := e.pending
	if wasPending {
		e.pending = false
		if m.err != nil { // it never was
			delete(x.jobs.byID, e.doc.ID)
		}
	}
	var due []afterSave
	kept := e.after[:0]
	for _, a := range e.after {
		if a.version <= m.version {
			due = append(due, a)
		} else {
			kept = append(kept, a)
		}
	}
	e.after = kept
	if wasPending && m.err == nil {
		x.schedule(ctx)
	}
	for _, a := range due {
		a.call(m.err)
	}
}

// answer answers a request with the job once what it changed is durable.
func (x *xactions) answer(op errs.Op, e *entry, reply messages.Reply[*messages.Job]) {
	x.afterwards(e, func(err error) {
		if err != nil {
			reply.Fail(errs.E(op, e.doc.ID, err))
			return
		}
		reply.Send(e.snapshot(), nil)
	})
}

// syncJob asks for a job's checkpoint and progress to be written now. Sent by its
// run; answered when they are durable.
type syncJob struct {
	id    string
	reply messages.Reply[struct{}]
}

// Fail implements messages.Failer.
func (m *syncJob) Fail(err error) { m.reply.Fail(err) }

func (x *xactions) onSyncJob(m *syncJob) {
	e := x.jobs.byID[m.id]
	if e == nil || e.ledger == nil {
		m.Fail(errs.E("xaction.Sync", m.id, errs.Canceled, ErrStop))
		return
	}
	x.touch(e)
	x.afterwards(e, func(err error) { m.reply.Send(struct{}{}, err) })
}
