package xaction

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
)

// onRestJobs tells every run to come to an end.
func (x *xactions) onRestJobs(ctx actor.Context, m *messages.RestJobs) {
	x.resting = append(x.resting, m.Reply)
	for _, e := range x.jobs.byID {
		if e.underWay() {
			ctx.Send(e.pid, &halt{})
		}
	}
}

// rested answers who waits for the end of all runs, once every document is written,
// or could not be.
func (x *xactions) rested() {
	if x.resting == nil || x.jobs.count(func(e *entry) bool { return e.underWay() || e.saving != e.saved }) > 0 {
		return
	}
	for _, reply := range x.resting {
		reply.Send(struct{}{}, nil)
	}
	x.resting = x.resting[:0] // not nil: nothing begins any more
}
