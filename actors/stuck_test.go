package actors

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// An actor that is stuck in its handler is seen from outside: what it has in hand
// and since when, what waits and how long.
func TestAStuckActorIsSeen(t *testing.T) {
	set(t, func(s *stage) {
		for range 20 {
			s.must("p/a")
		}
		time.Sleep(2 * time.Second)
		stuck := s.hang("p/a")
		time.Sleep(time.Second)
		s.post("p/a", &note{})
		s.post("p/a", &note{})
		time.Sleep(3 * time.Second)
		got := s.state("p/a")
		want := State{
			Address: "p/a", Kind: "stayer", Parent: "p", Status: messages.ActorRunning, Queued: 2, Oldest: 3 * time.Second,
			Current: "hang", Subject: "photos/cat.jpg", CurrentFor: 4 * time.Second, Handled: 21, Rate: 21. / 6,
		}
		if got.Address != want.Address || got.Kind != want.Kind || got.Parent != want.Parent || got.Status != want.Status ||
			got.Queued != want.Queued || got.Oldest != want.Oldest || got.Current != want.Current || got.Subject != want.Subject ||
			got.CurrentFor != want.CurrentFor || got.Handled != want.Handled || got.Rate != want.Rate {
			t.Errorf("seen %+v\nwant %+v", got, want)
		}
		if parent := s.state("p"); !slices.Equal(parent.Children, []string{"p/a"}) {
			t.Errorf("children %v", parent.Children)
		}
		close(stuck.letGo)
		synctest.Wait()
		if got := s.state("p/a"); got.Current != "" || got.Queued != 0 || got.Oldest != 0 {
			t.Errorf("afterwards %+v", got)
		}
		time.Sleep(11 * time.Second)
		if got := s.state("p/a"); got.Rate != 0 {
			t.Errorf("a rate of %v after eleven idle seconds", got.Rate)
		}
	}, a)
}

// A kill does not wait for an actor that is stuck: what it has in hand is answered,
// a successor is at its address, and when its call comes back it gives back what it
// holds and does nothing to its successor.
func TestAStuckActorIsAbandoned(t *testing.T) {
	var kept, returned atomic.Int64
	set(t, func(s *stage) {
		cached := s.system.PID("p/a")
		before := s.must("p/a")
		stuck := &hang{letGo: make(chan struct{}), reply: messages.NewReply[string](), then: func(ctx actor.Context) {
			if _, err := s.system.Spawn(ctx, s.spec("child")); err == nil {
				t.Error("an abandoned actor has spawned a child")
			}
			ctx.Stop(ctx.Self())
		}}
		s.system.Root().Send(cached, stuck)
		synctest.Wait()
		s.post("p/a", &note{})
		began := time.Now()
		state := s.control("p/a", messages.KillActor)
		if took := time.Since(began); took > 2*KillGrace {
			t.Errorf("it took %s", took)
		}
		if state.Abandoned != 1 || state.Restarts != 1 || state.LastCause != CauseKill || state.Handled != 2+1 {
			t.Errorf("%+v", state)
		}
		if _, err := stuck.reply.Wait("test", 0); !errors.Is(err, errInHand) || !errs.Is(errs.Busy, err) {
			t.Errorf("what was in hand: %v", err)
		}
		if kept.Load() != 1 || returned.Load() != 0 {
			t.Errorf("abandoned %d times, came back %d times", kept.Load(), returned.Load())
		}
		m := &who{messages.NewReply[sighting]()}
		s.system.Root().Send(cached, m) // with an address from before
		if got, err := m.reply.Wait("test", time.Minute); err != nil || got.incarnation != before.incarnation+1 || got.notes != 1 {
			t.Errorf("the successor: %+v, %v", got, err)
		}
		if err := s.system.AwaitAbandoned(time.Second); !errs.Is(errs.Busy, err) {
			t.Errorf("%v", err)
		}
		// A second one, whose call panics when it comes back.
		second := &hang{letGo: make(chan struct{}), reply: messages.NewReply[string](), then: func(actor.Context) { panic("late") }}
		s.post("p/a", second)
		synctest.Wait()
		if state := s.control("p/a", messages.KillActor); state.Abandoned != 2 {
			t.Errorf("%+v", state)
		}
		close(second.letGo)
		close(stuck.letGo)
		if err := s.system.AwaitAbandoned(time.Second); err != nil {
			t.Error(err)
		}
		if kept.Load() != 2 || returned.Load() != 2 || s.stopped.Load() != 2 {
			t.Errorf("abandoned %d times, came back %d times, gave back %d times", kept.Load(), returned.Load(), s.stopped.Load())
		}
		if got := s.must("p/a"); got.incarnation != before.incarnation+2 {
			t.Errorf("the successor's successor: %+v", got)
		}
		if state := s.state("p/a"); state.Abandoned != 0 || state.Restarts != 2 {
			t.Errorf("%+v", state)
		}
	}, func(s *stage) Spec {
		spec := a(s)
		spec.Abandoned = func(message any) func() {
			if _, ok := message.(*hang); !ok {
				t.Errorf("abandoned on %T", message)
			}
			kept.Add(1)
			return func() { returned.Add(1) }
		}
		return spec
	})
}

// A parent is restarted, for whatever reason, though a child is stuck.
func TestAStuckChildDoesNotKeepItsParent(t *testing.T) {
	for name, restart := range map[string]func(s *stage){
		"kill":    func(s *stage) { s.control("p", messages.KillActor) },
		"restart": func(s *stage) { s.control("p", messages.RestartActor) },
		"panic": func(s *stage) {
			s.system.Intercept(interceptor(func(address string, message any) Interception {
				if _, ok := message.(*messages.Ping); ok && address == "p" {
					panic("on purpose")
				}
				return Interception{}
			}))
			if err := s.system.Await(time.Minute, "p"); err == nil {
				t.Error("no panic")
			}
			s.system.Intercept(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			set(t, func(s *stage) {
				s.t = t
				was := s.must("p/b")
				stuck := s.hang("p/a")
				began := time.Now()
				restart(s)
				if err := s.system.Await(10*time.Second, "p"); err != nil {
					t.Fatal(err)
				}
				for _, child := range []string{"p/a", "p/b"} {
					if got := s.must(child); got.incarnation <= was.incarnation {
						t.Errorf("%s is no new incarnation: %+v", child, got)
					}
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %s", took)
				}
				if _, err := stuck.reply.Wait("test", 0); !errors.Is(err, errInHand) {
					t.Errorf("what was in hand: %v", err)
				}
				close(stuck.letGo)
				if err := s.system.AwaitAbandoned(time.Second); err != nil {
					t.Error(err)
				}
				s.must("p/a")
			}, a, func(s *stage) Spec { return s.spec("b") })
		})
	}
}

// A parent that is stuck itself is abandoned with all below it.
func TestAStuckParentIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T, system *System) {
		s := &stage{t: t, system: system}
		parent := Spec{Name: "p", New: func() actor.Actor { return &stayer{stage: s} }}
		pid, err := system.Spawn(system.Root(), parent)
		if err != nil {
			t.Fatal(err)
		}
		let := make(chan struct{})
		born := &hang{letGo: make(chan struct{}), reply: messages.NewReply[string](), then: func(ctx actor.Context) {
			if _, err := system.Spawn(ctx, s.spec("a")); err != nil {
				t.Error(err)
			}
			<-let
		}}
		close(born.letGo)
		system.Root().Send(pid, born)
		synctest.Wait()
		below := s.hang("p/a")
		s.control("p", messages.KillActor)
		if _, err := born.reply.Wait("test", 0); !errors.Is(err, errInHand) {
			t.Errorf("the parent's request: %v", err)
		}
		if _, err := below.reply.Wait("test", 0); !errors.Is(err, errInHand) {
			t.Errorf("the child's request: %v", err)
		}
		if got := system.Actors(); len(got) != 1 || got[0].Address != "p" || got[0].Abandoned != 1 {
			t.Errorf("%+v", got)
		}
		s.must("p")
		close(let)
		close(below.letGo)
		if err := system.AwaitAbandoned(time.Second); err != nil {
			t.Error(err)
		}
		if err := system.Stop(pid); err != nil {
			t.Error(err)
		}
	})
}
