package faults

import (
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

// tell is a request of this test.
type tell struct{ Reply messages.Reply[int] }

func (m *tell) Fail(err error) { m.Reply.Fail(err) }

// Subject implements messages.Subjected.
func (m *tell) Subject() string { return "photos/cat.jpg" }

// listener answers tells.
type listener struct{ heard *atomic.Int64 }

func (l listener) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*tell); ok {
		l.heard.Add(1)
		m.Reply.Send(1, nil)
	}
}

// troupe is a system with two actors, a and b, before the desk.
type troupe struct {
	system *actors.System
	heard  map[string]*atomic.Int64
}

func withActors(t *testing.T, test func(t *testing.T, d *Desk, s *troupe)) {
	t.Helper()
	bubble(t, func(t *testing.T, d *Desk) {
		log := logrus.New()
		log.SetOutput(io.Discard)
		s := &troupe{system: actors.NewSystemOn(d.Clock(), logrus.NewEntry(log)), heard: map[string]*atomic.Int64{"a": {}, "b": {}}}
		d.Attach(s.system)
		for name, heard := range s.heard {
			if _, err := s.system.Spawn(s.system.Root(), actors.Spec{Name: name, New: func() actor.Actor { return listener{heard} }}); err != nil {
				t.Fatal(err)
			}
		}
		test(t, d, s)
		d.Close()
		for name := range s.heard {
			if err := s.system.Stop(s.system.PID(name)); err != nil {
				t.Error(err)
			}
		}
		s.system.Shutdown()
		<-time.After(3 * time.Second) // protoactor's throttle of dead letters
	})
}

func (s *troupe) send(to string) messages.Reply[int] {
	m := &tell{Reply: messages.NewReply[int]()}
	s.system.Root().Send(s.system.PID(to), m)
	return m.Reply
}

func (s *troupe) tell(to string) error {
	_, err := s.send(to).WaitOn(s.system.Clock(), "test", time.Minute)
	return err
}

// Every effect on a message is what it says, on the actor and the message that it
// names; and is gone with the fault.
func TestMessageEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Messages
		kind  errs.Kind // of a's answer; Internal: none
		text  string
		heard int64
		took  time.Duration
	}{
		{"panic", Messages{Actor: "a", Do: Panic}, errs.Busy, "on purpose", 0, 0},
		{"drop", Messages{Actor: "?", Message: "faults.tell", Do: Drop}, errs.Busy, "no answer in time", 0, time.Minute},
		{"drop reply", Messages{Actor: "a", Do: DropReply}, errs.Busy, "no answer in time", 1, time.Minute},
		{"refuse", Messages{Actor: "a", Do: Refuse, Error: "no space"}, errs.NoSpace, "a fault was injected", 0, 0},
		{"delay", Messages{Actor: "a", Do: Delay, Delay: time.Second}, errs.Internal, "", 1, time.Second},
		{"about it", Messages{Actor: "a", About: "photos/**", Do: Panic}, errs.Busy, "on purpose", 0, 0},
		{"another subject", Messages{Actor: "a", About: "photos/dog.jpg", Do: Panic}, errs.Internal, "", 1, 0},
		{"another actor", Messages{Actor: "c", Do: Panic}, errs.Internal, "", 1, 0},
		{"another message", Messages{Actor: "a", Message: "messages.*", Do: Panic}, errs.Internal, "", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			withActors(t, func(t *testing.T, d *Desk, s *troupe) {
				i := inject(t, d, Fault{Messages: &c.fault})
				began := time.Now()
				err := s.tell("a")
				switch {
				case c.kind == errs.Internal && err != nil, c.kind != errs.Internal && !errs.Is(c.kind, err),
					err != nil && !strings.Contains(err.Error(), c.text):
					t.Errorf("answered %v, want %v, %q", err, c.kind, c.text)
				}
				if took := time.Since(began); took != c.took || s.heard["a"].Load() != c.heard {
					t.Errorf("answered after %s, want %s; heard %d, want %d", took, c.took, s.heard["a"].Load(), c.heard)
				}
				if err := s.tell("b"); err != nil && c.fault.Actor != "?" {
					t.Errorf("b answered %v", err)
				}
				i.Clear()
				if err := s.tell("a"); err != nil {
					t.Errorf("after the fault: %v", err)
				}
				if hit := i.Hits() > 0; hit == strings.HasPrefix(c.name, "another") {
					t.Errorf("%d hits", i.Hits())
				}
			})
		})
	}
}

// An actor that hangs keeps what is sent to it, in order, until the fault is
// lifted; the next actor is not concerned.
func TestAnActorHangs(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		i := inject(t, d, Fault{Messages: &Messages{Actor: "a", Do: Hang}})
		first, second := s.send("a"), s.send("a")
		<-i.Reached()
		if err := s.tell("b"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(first)+len(second) != 0 {
			t.Error("a hung actor answered")
		}
		i.Clear()
		for n, r := range []messages.Reply[int]{first, second} {
			if _, err := r.Wait("test", time.Minute); err != nil {
				t.Errorf("message %d: %v", n+1, err)
			}
		}
		if i.Hits() != 1 {
			t.Errorf("%d hits; the second came when the fault was over", i.Hits())
		}
	})
}

// The kit's own messages are hit only by name: an Await works at an actor whose
// every message is dropped, and does not where Ping is named.
func TestTheKitsOwnMessages(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		inject(t, d, Fault{Messages: &Messages{Actor: "a", Do: Drop}})
		if err := s.system.Await(time.Second, "a"); err != nil {
			t.Error(err)
		}
		inject(t, d, Fault{Messages: &Messages{Actor: "a", Message: "messages.Ping", Do: Panic}, When: When{Count: 1}})
		if err := s.system.Await(time.Second, "a"); err == nil || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("a ping that panics: %v", err)
		}
		if err := s.system.Await(time.Minute, "a"); err != nil {
			t.Errorf("the actor is not back: %v", err)
		}
	})
}
