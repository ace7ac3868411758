package mountpath

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/mountpath/store"
)

// probe asks the prober to see whether the disk answers. Sent by the coordinator,
// one at a time; done is called with how it went, also when the prober fails on it.
type probe struct{ done func(probed) }

// Fail implements messages.Failer.
func (m *probe) Fail(err error) { m.done(probed{err: err}) }

// probed says how a probe went.
type probed struct {
	longest time.Duration // of its calls of the disk
	err     error
}

// prober writes and reads on a disk that is under suspicion: it blocks, perhaps for
// ever, so that the coordinator need not.
type prober struct {
	system *actors.System
	store  *store.Store
	watch  *watch // of the call under way
}

// Receive implements actor.Actor.
func (p *prober) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *probe:
		m.done(p.onProbe())
	default:
		actors.Unexpected(ctx, p.system.Log())
	}
}

func (p *prober) onProbe() (result probed) {
	defer p.watch.end()
	note := func() {
		result.longest = max(result.longest, p.watch.running(p.system.Clock().Elapsed()))
	}
	result.err = p.store.Probe(func() {
		note()
		p.watch.begin(p.system.Clock())
	})
	note()
	return result
}
