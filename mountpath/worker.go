package mountpath

import (
	"fmt"
	"runtime/debug"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/errs"
)

// worker does one thing that blocks on disks, for the supervisor of mountpaths, and
// sends it what came of that. It is never restarted.
type worker struct {
	system *actors.System
	do     func() any
	failed func(error) any // the result if do panics
}

// Receive implements actor.Actor.
func (w *worker) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		ctx.Send(ctx.Parent(), w.result())
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, w.system.Log())
	}
}

// result is what do returns: the supervisor waits for it, whatever happens here.
func (w *worker) result() (result any) {
	defer func() {
		if cause := recover(); cause != nil {
			w.system.Log().WithField("stack", string(debug.Stack())).Error("opening or closing a mountpath panicked")
			result = w.failed(errs.E("mountpath.worker", errs.Internal, fmt.Errorf("panic: %v", cause)))
		}
	}()
	return w.do()
}

// work spawns a worker.
func (s *mountpaths) work(ctx actor.Context, do func() any, failed func(error) any) {
	s.worked++
	_, err := s.System.Spawn(ctx, actors.Spec{
		Name: "work-" + strconv.FormatUint(s.worked, 36), Kind: "worker",
		New:    func() actor.Actor { return &worker{system: s.System, do: do, failed: failed} },
		Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
}
