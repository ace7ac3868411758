package mountpath

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/errs"
)

// worker does one thing that blocks on disks, for the supervisor of mountpaths, and
// tells it when that is done. It is never restarted.
type worker struct {
	system *actors.System
	number uint64
	result *result
	do     func() any
	failed func(error) any // the result if do panics
}

// result is what a worker came to. It belongs to the set until it is dealt with: a
// supervisor that misses the news of it, by a panic, hears it again.
type result struct {
	value atomic.Pointer[any]
	dealt atomic.Bool
}

// Receive implements actor.Actor.
func (w *worker) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		value := w.come()
		w.result.value.Store(&value)
		w.tell(ctx.Parent(), tellTimes)
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, w.system.Log())
	}
}

// tellTimes is how often a supervisor is told, and tellPause lies between two times: a
// restart of it takes milliseconds.
const (
	tellTimes = 30
	tellPause = time.Second
)

// tell tells the supervisor until it has heard.
func (w *worker) tell(supervisor *actor.PID, times int) {
	if times == 0 || w.result.dealt.Load() {
		return
	}
	w.system.Root().Send(supervisor, &worked{w.number})
	w.system.Clock().AfterFunc(tellPause, func() { w.tell(supervisor, times-1) })
}

// come is what do returns: the supervisor waits for it, whatever happens here.
func (w *worker) come() (value any) {
	defer func() {
		if cause := recover(); cause != nil {
			w.system.Log().WithField("stack", string(debug.Stack())).Error("opening or closing a mountpath panicked")
			value = w.failed(errs.E("mountpath.worker", errs.Internal, fmt.Errorf("panic: %v", cause)))
		}
	}()
	return w.do()
}

// worked says that a result is there. Sent by the worker, and again by a timer until
// it was heard.
type worked struct{ number uint64 }

func (s *mountpaths) onWorked(ctx actor.Context, m *worked) {
	r := s.results[m.number]
	if r == nil {
		return // dealt with
	}
	delete(s.results, m.number) // once, also if that panics half way
	r.dealt.Store(true)
	s.onResult(ctx, *r.value.Load())
}

// work spawns a worker.
func (s *mountpaths) work(ctx actor.Context, do func() any, failed func(error) any) {
	s.worked++
	number, r := s.worked, new(result)
	s.results[number] = r
	_, err := s.System.Spawn(ctx, actors.Spec{
		Name: "work-" + strconv.FormatUint(number, 36), Kind: "worker",
		New: func() actor.Actor {
			return &worker{system: s.System, number: number, result: r, do: do, failed: failed}
		},
		Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
}
