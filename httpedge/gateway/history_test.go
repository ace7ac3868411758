package gateway

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
)

// waiting is a clock on which whoever waits has waited at once.
type waiting struct {
	clock.System
	elapsed atomic.Int64
}

func (c *waiting) Elapsed() time.Duration { return time.Duration(c.elapsed.Load()) }

func (c *waiting) NewTimer(wait time.Duration) (<-chan time.Time, clock.Timer) {
	c.elapsed.Add(int64(wait))
	return c.System.NewTimer(0)
}

// Mountpaths that do not answer are named, and however many they are, who asks waits for
// the deadline once: another node that asks this one waits little longer.
func TestHistoryWaitsOnce(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	now := &waiting{System: clock.NewSystem()}
	system := actors.NewSystemOn(now, logrus.NewEntry(log))
	t.Cleanup(system.Shutdown)
	silent := system.Root().Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	var roster atomic.Pointer[messages.Roster]
	roster.Store(&messages.Roster{Mountpaths: []messages.MountpathView{
		{ID: "a", Path: "/a", Readers: []*actor.PID{silent}}, {ID: "b", Path: "/b", Readers: []*actor.PID{silent}}, {ID: "c", Path: "/c", Readers: []*actor.PID{silent}},
	}})
	g := &Gateway{Config: Config{System: system, Roster: &roster}}
	here := g.HistoryHere(HistoryRequest{Bucket: "photos", Name: "a", Limit: 1})
	if len(here.Unanswered) != 3 || len(here.Entries) != 0 {
		t.Errorf("%+v", here)
	}
	if waited := now.Elapsed(); waited != Deadline {
		t.Errorf("it waited for %v, want %v", waited, Deadline)
	}
}

// What is removed from a former mountpath after a write at the owner's is told as what has
// left it, and for no client: nobody has deleted the object.
func TestForgottenIsNotDeleted(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	system := actors.NewSystemOn(clock.NewSystem(), logrus.NewEntry(log))
	t.Cleanup(system.Shutdown)
	got := make(chan *messages.DeleteObject, 1)
	lane := system.Root().Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*messages.DeleteObject); ok {
			got <- m
		}
	}))
	g := &Gateway{Config: Config{System: system}}
	g.forget(objects.Key{Name: "a"}, &place{
		roster: &messages.Roster{}, owner: &messages.MountpathView{ID: "new"}, former: &messages.MountpathView{ID: "old", Writers: []*actor.PID{lane}},
	})
	if m := <-got; m.Fence.For != (objects.Origin{Cause: objects.CauseMove, Other: "new"}) || !m.Former {
		t.Errorf("%+v", m)
	}
}
