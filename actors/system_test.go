package actors

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func quietLog() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return logrus.NewEntry(log)
}

// ask is a request of this test; handled by what its fields say.
type ask struct {
	panics bool
	spawn  *Spec
	stop   bool
	reply  messages.Reply[int64]
}

func (m *ask) Fail(err error) { m.reply.Fail(err) }

// counter counts the asks that one incarnation handled.
type counter struct {
	system *System
	n      int64
}

func (c *counter) Receive(ctx actor.Context) {
	m, ok := ctx.Message().(*ask)
	switch {
	case !ok:
		Unexpected(ctx, c.system.Log())
	case m.panics:
		panic("told to")
	case m.spawn != nil:
		_, err := c.system.Spawn(ctx, *m.spawn)
		m.reply.Send(0, err)
	case m.stop:
		ctx.Stop(ctx.Self())
		m.reply.Send(0, nil)
	default:
		c.n++
		m.reply.Send(c.n, nil)
	}
}

// bubble runs a test on virtual time with a system of its own; protoactor's
// dead-letter throttle needs a second after the last letter.
func bubble(t *testing.T, test func(t *testing.T, s *System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewSystem(quietLog())
		test(t, s)
		s.Shutdown()
		<-time.After(3 * time.Second)
		synctest.Wait()
	})
}

func (s *System) mustSpawn(t *testing.T, name string, p Policy) *actor.PID {
	t.Helper()
	pid, err := s.Spawn(s.Root(), Spec{Name: name, Policy: p, New: func() actor.Actor { return &counter{system: s} }})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func send(s *System, to *actor.PID, m ask) (int64, error) {
	m.reply = messages.NewReply[int64]()
	s.Root().Send(to, &m)
	return m.reply.Wait("test", time.Minute)
}

// A panic costs the message that was being handled, answered as one that may be
// repeated, and the state of one incarnation; what waits is handled afterwards.
func TestAPanicCostsOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		pid := s.mustSpawn(t, "a", Policy{})
		if n, err := send(s, pid, ask{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		first := ask{panics: true, reply: messages.NewReply[int64]()}
		second := ask{reply: messages.NewReply[int64]()}
		s.Root().Send(pid, &first)
		s.Root().Send(pid, &second)
		if _, err := first.reply.Wait("test", time.Minute); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "told to") {
			t.Errorf("the panicking request was answered %v", err)
		}
		if n, err := second.reply.Wait("test", time.Minute); n != 1 || err != nil {
			t.Errorf("the next request: %d, %v; want 1 from a new incarnation", n, err)
		}
		if state := s.Actors(); len(state) != 1 || state[0].Restarts != 1 || state[0].LastCause != "told to" {
			t.Errorf("state %+v", state)
		}
		if err := s.Stop(pid); err != nil {
			t.Error(err)
		}
	})
}

// The pauses before restarts double up to the longest, and after the limit the
// actor is given up and its sender told so.
func TestRestartsBackOffAndEnd(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		var gaveUp atomic.Int64
		pid := s.mustSpawn(t, "a", Policy{
			Base: time.Second, Max: 4 * time.Second, Window: time.Hour, Limit: 4, GaveUp: func(any) { gaveUp.Add(1) },
		})
		var pauses []time.Duration
		for range 4 {
			if _, err := send(s, pid, ask{panics: true}); !errs.Is(errs.Busy, err) {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := send(s, pid, ask{}); err != nil {
				t.Fatal(err)
			}
			pauses = append(pauses, time.Since(began))
		}
		for i, want := range []time.Duration{1, 2, 4, 4} {
			if pauses[i] != want*time.Second {
				t.Errorf("pause %d is %v, want %ds", i, pauses[i], want)
			}
		}
		if _, err := send(s, pid, ask{panics: true}); !errs.Is(errs.Busy, err) {
			t.Fatal(err)
		}
		synctest.Wait()
		if gaveUp.Load() != 1 {
			t.Errorf("given up %d times", gaveUp.Load())
		}
		if _, err := send(s, pid, ask{}); !errs.Is(errs.Busy, err) || !errors.Is(err, errGone) {
			t.Errorf("a request to an actor that was given up: %v", err)
		}
		if left := s.Actors(); len(left) != 0 {
			t.Errorf("actors %+v", left)
		}
	})
}

// A worker for one request is not restarted.
func TestAWorkerThatFailsIsGone(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		pid := s.mustSpawn(t, "a", Policy{NoRestart: true})
		if _, err := send(s, pid, ask{panics: true}); !errs.Is(errs.Busy, err) {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := send(s, pid, ask{}); !errors.Is(err, errGone) {
			t.Errorf("%v", err)
		}
	})
}

// Addresses are computed from names, names are taken once, and are free again
// when the actor has ended.
func TestAddressesAndNames(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		pid := s.mustSpawn(t, "a", Policy{})
		child := Spec{Name: "b", New: func() actor.Actor { return &counter{system: s} }}
		if _, err := send(s, pid, ask{spawn: &child}); err != nil {
			t.Fatal(err)
		}
		if _, err := send(s, pid, ask{spawn: &child}); !errs.Is(errs.Exists, err) {
			t.Errorf("a taken name: %v", err)
		}
		if n, err := send(s, s.PID("a/b"), ask{}); n != 1 || err != nil {
			t.Errorf("by address: %d, %v", n, err)
		}
		if _, err := send(s, s.PID("a/b"), ask{stop: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.AwaitEnd(time.Minute, "a/b"); err != nil {
			t.Fatal(err)
		}
		if _, err := send(s, pid, ask{spawn: &child}); err != nil {
			t.Errorf("a free name: %v", err)
		}
		if err := s.Await(time.Minute, "a", "a/b"); err != nil {
			t.Error(err)
		}
		if err := s.Await(time.Minute, "a/nobody"); err == nil {
			t.Error("nobody answered")
		}
		if err := s.Stop(pid); err != nil {
			t.Error(err)
		}
		if left := s.Actors(); len(left) != 0 {
			t.Errorf("actors %+v", left)
		}
	})
}

// What an actor spawns while it waits for its children to end, so that it can end or begin
// anew, ends, too: it was not there when the others were told.
func TestAChildThatComesLateEnds(t *testing.T) {
	b := func(s *stage) Spec { return s.spec("b") }
	for order, restarts := range map[string]bool{"stop": false, "restart": true} {
		t.Run(order, func(t *testing.T) {
			set(t, func(s *stage) {
				held, late := s.hang("p/a"), s.spec("late")
				s.late.Store(&late)
				if restarts {
					s.system.find("p").mailbox.begin(CauseRestart, false)
				} else {
					s.system.Root().Poison(s.system.PID("p"))
				}
				synctest.Wait()
				if begun := s.incarnations.Load(); begun != 4 {
					t.Errorf("control: p, a, b and late have begun: %d", begun)
				}
				close(held.letGo)
				synctest.Wait()
				if _, err := s.system.Find("p/late"); !errs.Is(errs.NotFound, err) {
					t.Errorf("late goes on: %v", err)
				}
				if _, err := s.system.Find("p"); (err == nil) != restarts {
					t.Errorf("p: %v", err)
				}
			}, a, b)
		})
	}
}

// A request that nobody has a case for is refused, not left waiting.
func TestAnUnknownRequestIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		pid := s.mustSpawn(t, "a", Policy{})
		m := &messages.DropBucket{Reply: messages.NewReply[struct{}]()}
		s.Root().Send(pid, m)
		if _, err := m.Reply.Wait("test", time.Minute); !errs.Is(errs.Internal, err) {
			t.Errorf("%v", err)
		}
		if err := s.Stop(pid); err != nil {
			t.Error(err)
		}
	})
}

// A gate lets in as many as it says, and again when one left.
func TestGate(t *testing.T) {
	g := NewGate(2)
	for i, want := range []bool{true, true, false} {
		if g.Enter() != want {
			t.Fatalf("a gate for two at its entry %d", i+1)
		}
	}
	g.Leave()
	if g.Inside() != 1 || !g.Enter() {
		t.Fatal("a place was given back")
	}
}
