package actors

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
)

// hang is a request in which its actor stays until it is let go.
type hang struct {
	letGo chan struct{}
	then  func(ctx actor.Context) // nil: nothing
	reply messages.Reply[string]
}

func (m *hang) Fail(err error) { m.reply.Fail(err) }

// Subject implements messages.Subjected.
func (m *hang) Subject() string { return "photos/cat.jpg" }

// note is an event: nobody waits for it.
type note struct{}

// who asks which incarnation answers, and how many notes it has seen.
type who struct{ reply messages.Reply[sighting] }

func (m *who) Fail(err error) { m.reply.Fail(err) }

type sighting struct{ incarnation, notes int64 }

// stage is a system with a parent "p" and its children.
type stage struct {
	t            *testing.T
	system       *System
	incarnations atomic.Int64         // of all stayers
	stopped      atomic.Int64         // Stoppings they have seen
	late         atomic.Pointer[Spec] // that "p" spawns when the first of its children has ended; nil: nothing
}

// stayer hangs where it is told to.
type stayer struct {
	stage *stage
	self  sighting
}

func (a *stayer) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.self.incarnation = a.stage.incarnations.Add(1)
	case *actor.Stopping:
		a.stage.stopped.Add(1)
	case *hang:
		<-m.letGo
		if m.then != nil {
			m.then(ctx)
		}
		m.reply.Send("late", nil)
	case *note:
		a.self.notes++
	case *who:
		m.reply.Send(a.self, nil)
	default:
		Unexpected(ctx, a.stage.system.Log())
	}
}

// brood is a parent with children that it spawns anew with each incarnation.
type brood struct {
	stage *stage
	specs []Spec
}

func (b *brood) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		b.stage.incarnations.Add(1)
		for _, spec := range b.specs {
			if _, err := b.stage.system.Spawn(ctx, spec); err != nil {
				panic(err)
			}
		}
	case *actor.Terminated:
		if late := b.stage.late.Swap(nil); late != nil {
			if _, err := b.stage.system.Spawn(ctx, *late); err != nil {
				panic(err)
			}
		}
	default:
		Unexpected(ctx, b.stage.system.Log())
	}
}

func (s *stage) spec(name string) Spec {
	return Spec{Name: name, Kind: "stayer", New: func() actor.Actor { return &stayer{stage: s} }}
}

// set runs a test with a parent "p" of the children given.
func set(t *testing.T, test func(s *stage), specs ...func(s *stage) Spec) {
	t.Helper()
	bubble(t, func(t *testing.T, system *System) {
		s := &stage{t: t, system: system}
		parent := Spec{Name: "p", New: func() actor.Actor {
			b := &brood{stage: s}
			for _, spec := range specs {
				b.specs = append(b.specs, spec(s))
			}
			return b
		}}
		pid, err := system.Spawn(system.Root(), parent)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		test(s)
		if err := system.Stop(pid); err != nil {
			t.Error(err)
		}
		if left := system.Actors(); len(left) != 0 {
			t.Errorf("actors are left: %+v", left)
		}
	})
}

func a(s *stage) Spec { return s.spec("a") }

func (s *stage) post(address string, m any) { s.system.Root().Send(s.system.PID(address), m) }

func (s *stage) hang(address string) *hang {
	m := &hang{letGo: make(chan struct{}), reply: messages.NewReply[string]()}
	s.post(address, m)
	synctest.Wait()
	return m
}

func (s *stage) ask(address string) (sighting, error) {
	m := &who{messages.NewReply[sighting]()}
	s.post(address, m)
	return m.reply.Wait("test", time.Minute)
}

func (s *stage) must(address string) sighting {
	s.t.Helper()
	got, err := s.ask(address)
	if err != nil {
		s.t.Errorf("%s: %v", address, err)
	}
	return got
}

func (s *stage) state(address string) State {
	s.t.Helper()
	state, err := s.system.Find(address)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

func (s *stage) control(address string, action messages.ActorAction) State {
	s.t.Helper()
	state, err := s.system.Control(address, action)
	if err != nil {
		s.t.Errorf("%s %s: %v", action, address, err)
	}
	return state
}
