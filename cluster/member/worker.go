package member

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
)

// worker does what blocks, on a goroutine of its own: for as long as the node runs,
// or once. What it finds out it sends to the coordinator. The goroutine ends with the
// actor, whose context it was given.
type worker struct {
	system *actors.System
	work   func(ctx context.Context)
	once   bool // it is over when work returns; otherwise work returns only at the end

	cancel   context.CancelFunc
	returned chan struct{} // closed when work has returned
}

// workReturned is the goroutine's last word.
type workReturned struct {
	by       chan struct{} // the incarnation's returned
	panicked error
}

// errWorkEnded is why a worker is made anew whose work is to go on.
var errWorkEnded = errors.New("the work has ended")

// Receive implements actor.Actor.
func (w *worker) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		w.onStarted(ctx)
	case *actor.Stopping, *actor.Restarting:
		w.onStopping()
	case *workReturned:
		w.onWorkReturned(ctx, m)
	default:
		actors.Unexpected(ctx, w.system.Log())
	}
}

func (w *worker) onStarted(ctx actor.Context) {
	var work context.Context
	work, w.cancel = context.WithCancel(context.Background())
	w.returned = make(chan struct{})
	self, root, returned := ctx.Self(), w.system.Root(), w.returned
	go func() {
		end := workReturned{by: returned}
		defer func() {
			if reason := recover(); reason != nil {
				end.panicked = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
			}
			close(returned)
			root.Send(self, &end)
		}()
		w.work(work)
	}()
}

// onStopping ends the work and waits for it: every call in it ends with its context.
func (w *worker) onStopping() {
	if w.cancel != nil {
		w.cancel()
		<-w.returned
	}
}

func (w *worker) onWorkReturned(ctx actor.Context, m *workReturned) {
	switch {
	case m.by != w.returned:
		return // of an earlier incarnation, which ended it
	case m.panicked != nil:
		w.system.Log().WithFields(logrus.Fields{"actor": ctx.Self().Id, "cause": m.panicked.Error()}).Error("work of the cluster panicked")
		panic(m.panicked) // to the supervisor, as any actor's
	case w.once:
		ctx.Stop(ctx.Self())
	default:
		panic(errWorkEnded)
	}
}

// lasting spawns a worker whose work lasts.
func (m *member) lasting(ctx actor.Context, name string, work func(ctx context.Context)) *actor.PID {
	pid, err := m.System.Spawn(ctx, actors.Spec{
		Name: name, Kind: "worker of the cluster", New: func() actor.Actor { return &worker{system: m.System, work: work} },
	})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
	return pid
}

// task spawns a worker that does one thing. What work returns is sent to the
// coordinator; if it panics, failed is.
func (m *member) task(ctx actor.Context, kind string, work func(ctx context.Context) any, failed func(error) any) {
	self, root := ctx.Self(), m.System.Root()
	m.tasks++
	_, err := m.System.Spawn(ctx, actors.Spec{
		Name: fmt.Sprintf("%s-%d", kind, m.tasks), Kind: "task of the cluster",
		New: func() actor.Actor {
			return &worker{system: m.System, once: true, work: func(ctx context.Context) { root.Send(self, work(ctx)) }}
		},
		Policy: actors.Policy{NoRestart: true, Failed: func(reason any) { root.Send(self, failed(fmt.Errorf("%v", reason))) }},
	})
	if err != nil {
		root.Send(self, failed(err))
	}
}
