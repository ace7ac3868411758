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

// Who suspends an actor as it ends does not have its successor taken for suspended: nobody
// would resume that.
func TestSuspendOneThatEnds(t *testing.T) {
	var gate atomic.Bool
	set(t, func(s *stage) {
		ending := s.system.find("p/a")
		s.control("p/a", messages.SuspendActor)
		ending.mailbox.end()
		if s.system.gate(ending, true) || gate.Load() {
			t.Error("one that has ended is shown as suspended")
		}
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
