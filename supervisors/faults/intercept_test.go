package faults

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ticker goes on as long as it hears each of its own ticks.
type ticker struct {
	system *actors.System
	ticks  *atomic.Int64
}

type tick struct{}

func (a ticker) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started, *tick:
		a.ticks.Add(1)
		self := ctx.Self()
		a.system.Clock().AfterFunc(time.Second, func() { a.system.Root().Send(self, &tick{}) })
	case *tell:
		m.Reply.Send(1, nil)
	}
}

// Drop and Refuse lose requests, which somebody waits for, and not what an actor tells
// itself: it would stand still when the fault has ended. Named, that is lost, too.
func TestTicksAreNotLostUnnamed(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		ticks := new(atomic.Int64)
		if _, err := s.system.Spawn(s.system.Root(), actors.Spec{Name: "c", New: func() actor.Actor { return ticker{s.system, ticks} }}); err != nil {
			t.Fatal(err)
		}
		heard := func(during *Injected) int64 {
			before := ticks.Load()
			if err := s.tell("c"); !errs.Is(errs.Busy, err) { // of Drop after a minute
				t.Errorf("%s: %v", during.fault.Messages.Do, err)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			during.Clear()
			return ticks.Load() - before
		}
		for _, do := range []MessageEffect{Drop, Refuse} {
			if got := heard(inject(t, d, Fault{Messages: &Messages{Actor: "c", Do: do}})); got < 9 {
				t.Errorf("%s: %d ticks", do, got)
			}
		}
		named := inject(t, d, Fault{Messages: &Messages{Actor: "c", Message: "faults.t*", Do: Drop}})
		if got := heard(named); got != 0 || named.Hits() != 2 {
			t.Errorf("named: %d ticks, %+v", got, named.Status().Sample)
		}
		if err := s.system.Stop(s.system.PID("c")); err != nil {
			t.Error(err)
		}
	})
}
