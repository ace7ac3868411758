package actors

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
)

// lingerer takes long over one message of its life, as told, the first time that
// it comes.
type lingerer struct {
	stayer
	over func(message any) bool
	held *atomic.Pointer[chan struct{}] // nil until it has come
}

func (l *lingerer) Receive(ctx actor.Context) {
	if letGo := make(chan struct{}); l.over(ctx.Message()) && l.held.CompareAndSwap(nil, &letGo) {
		<-letGo
	}
	l.stayer.Receive(ctx)
}

// An actor that is abandoned in the middle of its own end or restart does nothing
// to its successor, which has its name, when it comes back: the successor is found
// by that name, and its parent knows it, so that it ends with its parent.
func TestAnActorAbandonedInItsEndHarmsNoSuccessor(t *testing.T) {
	kills := map[string]int64{"Stopping": 2, "Stopped": 2, "Restarting": 1}
	for name, over := range map[string]func(any) bool{
		"Stopping":   func(m any) bool { _, is := m.(*actor.Stopping); return is },
		"Stopped":    func(m any) bool { _, is := m.(*actor.Stopped); return is },
		"Restarting": func(m any) bool { _, is := m.(*actor.Restarting); return is },
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Pointer[chan struct{}]
			lingering := func(s *stage) Spec {
				spec := s.spec("a")
				spec.New = func() actor.Actor {
					return &lingerer{stayer: stayer{stage: s}, over: over, held: &held}
				}
				return spec
			}
			set(t, func(s *stage) {
				s.t = t
				if name == "Restarting" {
					s.control("p/a", messages.KillActor)
				} else {
					s.control("p", messages.KillActor)
				}
				if held.Load() == nil {
					t.Fatal("it did not linger")
				}
				was := s.must("p/a")
				close(*held.Load())
				if err := s.system.AwaitAbandoned(time.Second); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if now := s.must("p/a"); now.incarnation != was.incarnation {
					t.Errorf("%+v, before the first one came back %+v", now, was)
				}
				// It ends with its parent, and the next ones can be made.
				s.control("p", messages.KillActor)
				if now := s.must("p/a"); now.incarnation <= was.incarnation {
					t.Errorf("%+v after its parent was killed, before %+v", now, was)
				}
				for _, state := range s.system.Actors() {
					if state.Address == "p" && state.Restarts != kills[name] {
						t.Errorf("the parent: %+v", state)
					}
				}
			}, lingering)
		})
	}
}

// An actor ends, and makes room for its next incarnation, whatever becomes of its
// last words.
func TestAnActorThatFailsInItsEndEnds(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic":  func() { panic("on purpose") },
		"goexit": runtime.Goexit,
	} {
		for _, in := range []any{&actor.Stopping{}, &actor.Stopped{}, &actor.Restarting{}, &actor.Terminated{}} {
			t.Run(name+" in "+nameOf(in), func(t *testing.T) {
				var failed atomic.Int64
				set(t, func(s *stage) {
					s.t = t
					was := s.must("p/c/a")
					s.control("p/c", messages.RestartActor)
					s.control("p", messages.KillActor)
					if now := s.must("p/c/a"); now.incarnation <= was.incarnation {
						t.Errorf("%+v, before %+v", now, was)
					}
					if failed.Load() == 0 {
						t.Error("nothing failed")
					}
				}, func(s *stage) Spec {
					return Spec{Name: "c", Kind: "brood", New: func() actor.Actor {
						return &faller{brood: brood{stage: s, specs: []Spec{s.spec("a")}}, in: nameOf(in), fail: func() { failed.Add(1); fail() }}
					}}
				})
			})
		}
	}
}

// faller fails in the messages of one type.
type faller struct {
	brood
	in   string
	fail func()
}

func (f *faller) Receive(ctx actor.Context) {
	if nameOf(ctx.Message()) == f.in {
		f.fail()
	}
	f.brood.Receive(ctx)
}
