package xaction

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
)

// jobEnded tells the coordinator how a run ended. Sent by the job before it
// stops, or by its supervision when it failed.
type jobEnded struct {
	id     string
	serial uint64
	err    error // nil: it is done
	failed bool  // it panicked
}

// halt tells a job to come to an end. Sent by the coordinator; not answered.
type halt struct{}

// runReturned is the run's last word to its own job.
type runReturned struct{ err error }

// panicked is the error of a run that panicked; what it panicked with is its text.
type panicked struct {
	reason string
	stack  []byte
}

// Error implements error.
func (p *panicked) Error() string { return "panic: " + p.reason }

// job is one run of one job. The work is on a goroutine of its own, which the actor
// outlives, so that the mailbox answers at once whatever the work waits for.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type job struct {
	system *actors.System
	kind   *Kind
	run    *Run
	cancel context.CancelCauseFunc // of run.ctx
	tell   *actor.PID
	serial uint64

	returned chan struct{} // closed when Kind.Run has returned; nil: it has not begun
}

// Receive implements actor.Actor.
func (j *job) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		j.onStarted(ctx)
	case *actor.Stopping:
		j.onStopping()

	case *halt:
		j.cancel(ErrStop)

	case *runReturned:
		j.onRunReturned(ctx, m)

	default:
		actors.Unexpected(ctx, j.system.Log())
	}
}

func (j *job) onStarted(ctx actor.Context) {
	j.returned = make(chan struct{})
	self, root, returned := ctx.Self(), j.system.Root(), j.returned
	run, work := j.run, j.kind.Run
	go func() {
		err := guarded(work, run)
		close(returned)
		root.Send(self, &runReturned{err})
	}()
}

// guarded does the work and turns a panic into an error: on this goroutine no
// supervisor would see it, and it would end the process.
func guarded(work func(*Run) error, run *Run) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicked{reason: fmt.Sprint(reason), stack: debug.Stack()}
		}
	}()
	return work(run)
}

func (j *job) onRunReturned(ctx actor.Context, m *runReturned) {
	var p *panicked
	if errors.As(m.err, &p) {
		j.system.Log().WithFields(logrus.Fields{"job": j.run.id, "kind": j.kind.Name, "cause": p.reason, "stack": string(p.stack)}).Error("job panicked")
		panic(actors.Recovered{Reason: p.reason, Stack: p.stack}) // to the supervisor, as any actor's
	}
	ctx.Send(j.tell, &jobEnded{id: j.run.id, serial: j.serial, err: m.err})
	ctx.Stop(ctx.Self())
}

// onStopping ends the run, if it has not ended, and waits for it: a goroutine does
// not outlive its actor. A kind that looks at neither turns nor context keeps its
// actor here.
func (j *job) onStopping() {
	j.cancel(ErrStop)
	if j.returned != nil {
		<-j.returned
	}
}

// policy is that of jobs: none is begun again by itself, and the coordinator hears
// why it failed.
func (j *job) policy() actors.Policy {
	id, serial, tell, root := j.run.id, j.serial, j.tell, j.system.Root()
	return actors.Policy{NoRestart: true, Failed: func(reason any) {
		root.Send(tell, &jobEnded{id: id, serial: serial, failed: true, err: fmt.Errorf("panic: %v", reason)})
	}}
}

// newJob makes the run of a job; nothing has begun yet.
func (x *xactions) newJob(self *actor.PID, e *entry) *job {
	run, cancel := context.WithCancelCause(context.Background())
	id, kind, root := e.doc.ID, e.kind.Name, x.System.Root()
	j := &job{system: x.System, kind: e.kind, cancel: cancel, tell: self, serial: e.serial}
	j.run = &Run{
		id: id, parameters: e.doc.Parameters, restored: e.doc.Checkpoint, ledger: e.ledger, hold: e.hold, limit: e.limit, ctx: run,
		objects: x.Objects, system: x.System, address: self.Id + "/" + e.doc.Kind + "-" + e.doc.ID, clock: x.System.Clock(),
		log: x.System.Log().WithFields(logrus.Fields{"job": id, "kind": e.kind.Name}),
		step: func() error {
			if x.Step == nil {
				return nil
			}
			return x.Step(run, kind, id)
		},
		sync: func() messages.Reply[struct{}] {
			m := &syncJob{id: id, reply: messages.NewReply[struct{}]()}
			root.Send(self, m)
			return m.reply
		},
	}
	return j
}
