package faults

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (s *troupe) status(t *testing.T, address string) messages.ActorStatus {
	t.Helper()
	state, err := s.system.Find(address)
	if err != nil {
		t.Fatal(err)
	}
	return state.Status
}

func (s *troupe) control(t *testing.T, address string, action messages.ActorAction) {
	t.Helper()
	if _, err := s.system.Control(address, action); err != nil {
		t.Fatal(err)
	}
}

// An actor that is paused refuses, whoever resumes, restarts or kills it, and one that
// begins meanwhile does, too; both go on when the fault is lifted. The next actor is not
// concerned.
func TestPause(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		i := inject(t, d, Fault{Messages: &Messages{Actor: "[ac]", Do: Pause}})
		refused := func(when, address string) {
			t.Helper()
			if err := s.tell(address); !errs.Is(errs.Busy, err) {
				t.Errorf("%s: %v", when, err)
			}
			synctest.Wait()
			if got := s.status(t, address); got != messages.ActorSuspended {
				t.Errorf("%s: it is %s", when, got)
			}
		}
		refused("paused", "a")
		for _, action := range []messages.ActorAction{messages.ResumeActor, messages.RestartActor, messages.KillActor} {
			s.control(t, "a", action)
			refused("after "+string(action), "a")
		}
		if _, err := s.system.Spawn(s.system.Root(), actors.Spec{Name: "c", New: func() actor.Actor { return listener{s.heard["b"]} }}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		refused("begun meanwhile", "c")
		if err := s.tell("b"); err != nil || s.heard["a"].Load() != 0 {
			t.Errorf("b: %v; a heard %d", err, s.heard["a"].Load())
		}
		i.Clear()
		for _, address := range []string{"a", "c"} {
			if err := s.tell(address); err != nil {
				t.Errorf("%s, lifted: %v", address, err)
			}
		}
		if i.Hits() < 2 || i.Status().Sample[0].What != "a" {
			t.Errorf("%+v", i.Status())
		}
		if err := s.system.Stop(s.system.PID("c")); err != nil {
			t.Error(err)
		}
	})
}

// What an operator has suspended stays so; of two faults that pause an actor, it goes on
// with the end of the second.
func TestPauseLeavesOthersAlone(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		s.control(t, "b", messages.SuspendActor)
		first := inject(t, d, Fault{Messages: &Messages{Actor: "?", Do: Pause}})
		second := inject(t, d, Fault{Messages: &Messages{Actor: "a", Do: Pause}})
		var seen strings.Builder
		look := func() { seen.WriteString(string(s.status(t, "a")) + " " + string(s.status(t, "b")) + "; ") }
		look()
		first.Clear()
		look()
		second.Clear()
		look()
		const want = "suspended suspended; suspended suspended; running suspended; "
		if seen.String() != want {
			t.Errorf("%s, want %s", seen.String(), want)
		}
		s.control(t, "b", messages.ResumeActor)
	})
}

// Thousands of actors, such as those of buckets, are paused and resumed in a moment: each
// is found by its address.
func BenchmarkPauseOfMany(b *testing.B) {
	d := New(Options{})
	defer d.Close()
	log := logrus.New()
	log.SetOutput(io.Discard)
	system := actors.NewSystemOn(d.Clock(), logrus.NewEntry(log))
	defer system.Shutdown()
	d.Attach(system)
	heard := new(atomic.Int64)
	for n := range 2000 {
		if _, err := system.Spawn(system.Root(), actors.Spec{Name: fmt.Sprint("b", n), New: func() actor.Actor { return listener{heard} }}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		i, err := d.Inject(Fault{Messages: &Messages{Actor: "b*", Do: Pause}, Expiry: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		i.Clear()
	}
}
