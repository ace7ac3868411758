package actors

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
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
	incarnations atomic.Int64 // of all stayers
	stopped      atomic.Int64 // Stoppings they have seen
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

// Suspending refuses requests at once, those that wait too, and keeps events; and
// the actor is the same one when it is resumed.
func TestSuspendAndResume(t *testing.T) {
	var gate atomic.Bool
	set(t, func(s *stage) {
		before := s.must("p/a")
		stuck := s.hang("p/a")
		waiting := &who{messages.NewReply[sighting]()}
		s.post("p/a", waiting)
		s.post("p/a", &note{})
		if state := s.control("p/a", messages.SuspendActor); state.Status != messages.ActorSuspended || state.Queued != 1 {
			t.Errorf("%+v", state)
		}
		if !gate.Load() {
			t.Error("who stands in front of the mailbox was not told")
		}
		if _, err := waiting.reply.Wait("test", 0); !errors.Is(err, errSuspended) || !errs.Is(errs.Busy, err) {
			t.Errorf("a request that waited: %v", err)
		}
		began := time.Now()
		if _, err := s.ask("p/a"); !errors.Is(err, errSuspended) || time.Since(began) != 0 {
			t.Errorf("a request: %v after %s", err, time.Since(began))
		}
		close(stuck.letGo)
		if answer, err := stuck.reply.Wait("test", time.Minute); answer != "late" || err != nil {
			t.Errorf("what was in hand: %q, %v", answer, err)
		}
		s.post("p/a", &note{})
		synctest.Wait()
		if state := s.state("p/a"); state.Queued != 2 || state.Current != "" {
			t.Errorf("%+v", state)
		}
		if state := s.control("p/a", messages.RestartActor); state.Status != messages.ActorSuspended || state.Restarts != 1 {
			t.Errorf("a restart opened the gate: %+v", state)
		}
		s.control("p/a", messages.ResumeActor)
		if after := s.must("p/a"); after.incarnation != before.incarnation+1 || after.notes != 2 || gate.Load() {
			t.Errorf("%+v, before %+v", after, before)
		}
		s.control("p/a", messages.SuspendActor)
		if state := s.control("p/a", messages.KillActor); state.Status != messages.ActorRunning || gate.Load() {
			t.Errorf("one that was killed is still suspended: %+v", state)
		}
		s.must("p/a")
		s.control("p", messages.SuspendActor) // the end reaches it all the same
	}, func(s *stage) Spec {
		spec := a(s)
		spec.Suspended = &gate
		return spec
	})
}

// With those below, an actor that stands in front of others refuses for all of
// them. Control: without, they go on.
func TestSuspendAndResumeBelow(t *testing.T) {
	set(t, func(s *stage) {
		s.control("p", messages.SuspendActor)
		s.must("p/a")
		for range 2 { // the second time nothing changes
			if state := s.control("p", messages.SuspendBelow); state.Status != messages.ActorSuspended {
				t.Errorf("%+v", state)
			}
		}
		if _, err := s.ask("p/a"); !errors.Is(err, errSuspended) {
			t.Errorf("a request to one below: %v", err)
		}
		s.control("p", messages.ResumeActor)
		if state := s.state("p/a"); state.Status != messages.ActorSuspended {
			t.Errorf("resumed with what is above it: %+v", state)
		}
		s.control("p", messages.ResumeBelow)
		if state := s.state("p"); state.Status != messages.ActorRunning {
			t.Errorf("%+v", state)
		}
		s.must("p/a")
	}, a)
}

// A restart waits for what is in hand and keeps what waits.
func TestRestart(t *testing.T) {
	set(t, func(s *stage) {
		before := s.must("p/a")
		stuck := s.hang("p/a")
		waiting := &who{messages.NewReply[sighting]()}
		s.post("p/a", waiting)
		if _, err := s.system.Control("p/a", messages.RestartActor); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "hang") {
			t.Errorf("a restart of one that is stuck: %v", err)
		}
		close(stuck.letGo)
		got, err := waiting.reply.Wait("test", time.Minute)
		if err != nil || got.incarnation != before.incarnation+1 {
			t.Errorf("what waited: %+v, %v", got, err)
		}
		if state := s.state("p/a"); state.Restarts != 1 || state.LastCause != CauseRestart || state.LastFailed.IsZero() {
			t.Errorf("%+v", state)
		}
		s.control("p/a", messages.RestartActor)
		if got := s.must("p/a"); got.incarnation != before.incarnation+2 {
			t.Errorf("%+v", got)
		}
		for _, c := range []struct {
			address string
			action  messages.ActorAction
			kind    errs.Kind
		}{{"p/nobody", messages.KillActor, errs.NotFound}, {"p/a", "tickle", errs.Invalid}} {
			if _, err := s.system.Control(c.address, c.action); !errs.Is(c.kind, err) {
				t.Errorf("%s %s: %v", c.action, c.address, err)
			}
		}
	}, a)
}

// A kill refuses what waits; what is in hand is finished if that takes a moment
// only; events go to the next incarnation.
func TestKill(t *testing.T) {
	set(t, func(s *stage) {
		before := s.must("p/a")
		brief := s.hang("p/a")
		time.AfterFunc(KillGrace/2, func() { close(brief.letGo) })
		waiting := &who{messages.NewReply[sighting]()}
		s.post("p/a", waiting)
		s.post("p/a", &note{})
		began := time.Now()
		state := s.control("p/a", messages.KillActor)
		if took := time.Since(began); took != KillGrace/2 || state.Restarts != 1 || state.LastCause != CauseKill || state.Abandoned != 0 {
			t.Errorf("%+v after %s", state, took)
		}
		if answer, err := brief.reply.Wait("test", 0); answer != "late" || err != nil {
			t.Errorf("what was in hand: %q, %v", answer, err)
		}
		if _, err := waiting.reply.Wait("test", 0); !errors.Is(err, errKilled) || !errs.Is(errs.Busy, err) {
			t.Errorf("what waited: %v", err)
		}
		if got := s.must("p/a"); got.incarnation != before.incarnation+1 || got.notes != 1 {
			t.Errorf("%+v, before %+v", got, before)
		}
	}, a)
}

// The count of restarts is of all actors there have been: it does not fall when a
// parent is killed and those below it begin anew, as the sum over those that are
// there does, nor when everything ends; a successor of an abandoned one counts.
func TestRestartsAreCountedForGood(t *testing.T) {
	set(t, func(s *stage) {
		steps := []struct {
			step string
			do   func()
			want int64
		}{
			{"a kill", func() { s.control("p/a", messages.KillActor) }, 1},
			{"a restart", func() { s.control("p/a", messages.RestartActor) }, 2},
			{"a kill of its parent", func() { s.control("p", messages.KillActor) }, 3},
			{"a kill of one that is stuck", func() {
				stuck := s.hang("p/a")
				s.control("p/a", messages.KillActor)
				close(stuck.letGo)
				synctest.Wait()
			}, 4},
			{"a restart of its parent", func() { s.control("p", messages.RestartActor) }, 5},
		}
		for _, c := range steps {
			c.do()
			if got := s.system.Restarts(); got != c.want {
				t.Errorf("after %s %d restarts, want %d", c.step, got, c.want)
			}
		}
		living := int64(0)
		for _, state := range s.system.Actors() {
			living += state.Restarts
		}
		if living >= s.system.Restarts() {
			t.Errorf("those that are there have %d restarts: no parent took any along, and this test shows nothing", living)
		}
		if err := s.system.Stop(s.system.PID("p")); err != nil {
			t.Fatal(err)
		}
		if got := s.system.Restarts(); got != 5 {
			t.Errorf("%d restarts when everything has ended", got)
		}
		if _, err := s.system.Spawn(s.system.Root(), Spec{Name: "p", New: func() actor.Actor { return &brood{stage: s} }}); err != nil {
			t.Fatal(err) // set stops it
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

// Workers that live for one request are gone once they are killed or restarted,
// stuck or not, and their parents know.
func TestAWorkerThatIsKilledIsGone(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		set(t, func(s *stage) {
			var m *hang
			if stuck {
				m = s.hang("p/a")
			}
			s.control("p/a", messages.KillActor)
			if _, err := s.ask("p/a"); !errors.Is(err, errGone) {
				t.Errorf("%v", err)
			}
			if stuck {
				close(m.letGo)
				if err := s.system.AwaitAbandoned(time.Second); err != nil {
					t.Error(err)
				}
			}
			if children := s.state("p").Children; len(children) != 0 || s.stopped.Load() != 1 {
				t.Errorf("children %v, %d stoppings", children, s.stopped.Load())
			}
		}, func(s *stage) Spec {
			spec := a(s)
			spec.Policy.NoRestart = true
			return spec
		})
	}
}

// A restart that comes when an actor has been told to end does not bring it back:
// whoever waits for the end would wait for ever.
func TestNoRestartAfterTheEnd(t *testing.T) {
	set(t, func(s *stage) {
		stuck := s.hang("p/a")
		ended := make(chan error)
		go func() { ended <- s.system.Stop(s.system.PID("p")) }()
		synctest.Wait()
		go func() {
			_, err := s.system.Control("p", messages.RestartActor)
			ended <- err
		}()
		synctest.Wait()
		close(stuck.letGo)
		for range 2 {
			if err := <-ended; err != nil && !errs.Is(errs.Busy, err) {
				t.Error(err)
			}
		}
		if left := s.system.Actors(); len(left) != 0 {
			t.Errorf("%+v", left)
		}
		pid, err := s.system.Spawn(s.system.Root(), s.spec("p")) // for the end of the test
		if err != nil {
			t.Fatal(err, pid)
		}
	}, a)
}

// A goroutine that ends in the middle of a message (runtime.Goexit: how a dead
// index ends those who use it) is a failure like a panic.
func TestAGoroutineThatEnds(t *testing.T) {
	set(t, func(s *stage) {
		before := s.must("p/a")
		m := &hang{letGo: make(chan struct{}), reply: messages.NewReply[string](), then: func(actor.Context) { runtime.Goexit() }}
		close(m.letGo)
		s.post("p/a", m)
		if _, err := m.reply.Wait("test", time.Minute); !errors.Is(err, errExited) {
			t.Errorf("%v", err)
		}
		if got := s.must("p/a"); got.incarnation != before.incarnation+1 {
			t.Errorf("%+v", got)
		}
	}, a)
}

// Patterns mean what they say, and the order is that of a tree.
func TestPatternsAndOrder(t *testing.T) {
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"", "node/a", true},
		{"**", "node/a", true},
		{"node", "node", true},
		{"node", "node/a", false},
		{"node/*/w*", "node/d0/w12", true},
		{"node/*/w*", "node/d0/r1", false},
		{"node/*", "node/d0/w1", false},
		{"node/d0/**", "node/d0/w1", true},
		{"node/d?/**", "node/d1/w1/x", true},
		{"node/d0/**", "node/d0", false},
		{"node/d0/**", "node/d01/w1", false},
	} {
		if got, err := matches(c.pattern, c.address); got != c.want || err != nil {
			t.Errorf("%q of %q: %t, %v", c.pattern, c.address, got, err)
		}
	}
	for _, bad := range []string{"[", "node/[/**"} {
		if _, err := matches(bad, "node"); err == nil {
			t.Errorf("%q is taken for a pattern", bad)
		}
	}
	want := []string{"node", "node/buckets", "node/buckets/00ff", "node/buckets-x", "node/d2", "node/d2/r0", "node/d2/w1", "node/d2/w2", "node/d2/w10", "node/d10", "other"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareAddresses)
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// The queue keeps order through growing and wrapping.
func TestQueue(t *testing.T) {
	var q queue[int]
	next, out := 0, 0
	for round := range 200 {
		for range round % 37 {
			q.push(next)
			next++
		}
		for range min(q.n, round%29) {
			if first, got := q.first(), q.pop(); first != out || got != out {
				t.Fatalf("%d, then %d; want %d", first, got, out)
			}
			out++
		}
	}
	for q.n > 0 {
		if got := q.pop(); got != out {
			t.Fatalf("%d; want %d", got, out)
		}
		out++
	}
	if out != next || len(q.ring) > keptRoom {
		t.Errorf("%d of %d; room for %d is kept", out, next, len(q.ring))
	}
}

// Of two restarts at a time the second one is refused at once, and not forgotten;
// when the first one is over there can be another.
func TestOneRestartAtATime(t *testing.T) {
	set(t, func(s *stage) {
		first, err := s.system.Claim("p/a", messages.RestartActor)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []messages.ActorAction{messages.RestartActor, messages.KillActor} {
			if _, err := s.system.Claim("p/a", action); !errs.Is(errs.Conflict, err) {
				t.Errorf("%s: %v", action, err)
			}
		}
		for _, action := range []messages.ActorAction{messages.SuspendActor, messages.ResumeActor} {
			s.control("p/a", action)
		}
		if state, err := first(); err != nil || state.Restarts != 1 {
			t.Errorf("%v, %+v", err, state)
		}
		if state := s.control("p/a", messages.KillActor); state.Restarts != 2 {
			t.Errorf("%+v", state)
		}
	}, a)
}
