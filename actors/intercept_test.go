package actors

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// interceptor is a function as an Interceptor.
type interceptor func(address string, message any) Interception

func (f interceptor) Intercept(address string, message any) Interception { return f(address, message) }

// only intercepts one type of message.
func only[M any](what Interception) interceptor {
	return func(_ string, message any) Interception {
		if _, ok := message.(M); ok {
			return what
		}
		return Interception{}
	}
}

// tell is a request whose answer can be lost.
type tell struct{ Reply messages.Reply[int64] }

func (m *tell) Fail(err error) { m.Reply.Fail(err) }

// teller counts the tells that it has handled.
type teller struct{ handled chan int64 }

func (a *teller) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*tell); ok {
		m.Reply.Send(1, nil)
		a.handled <- 1
	}
}

// What the interceptor says becomes of a message becomes of it, and of no other;
// without one, messages pass.
func TestIntercept(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		handled := make(chan int64, 8)
		pid, err := s.Spawn(s.Root(), Spec{Name: "a", New: func() actor.Actor { return &teller{handled} }})
		if err != nil {
			t.Fatal(err)
		}
		say := func() error {
			m := &tell{Reply: messages.NewReply[int64]()}
			s.Root().Send(pid, m)
			_, err := m.Reply.Wait("test", time.Minute)
			synctest.Wait()
			return err
		}
		for _, c := range []struct {
			name    string
			hook    Interceptor
			handled int
			want    error
		}{
			{"none", nil, 1, nil},
			{"pass", only[*tell](Interception{}), 1, nil},
			{"another message", only[*ask](Interception{Drop: true}), 1, nil},
			{"drop", only[*tell](Interception{Drop: true}), 0, messages.ErrNoAnswer},
			{"error", only[*tell](Interception{Drop: true, Err: errGone}), 0, errGone},
			{"lost answer", only[*tell](Interception{Unheard: true}), 1, messages.ErrNoAnswer},
			{"none again", nil, 1, nil},
		} {
			s.Intercept(c.hook)
			if err := say(); !errors.Is(err, c.want) {
				t.Errorf("%s: answered %v, want %v", c.name, err, c.want)
			}
			if n := len(handled); n != c.handled {
				t.Errorf("%s: handled %d times, want %d", c.name, n, c.handled)
			}
			for len(handled) > 0 {
				<-handled
			}
		}

		s.Intercept(only[*messages.Ping](Interception{Drop: true}))
		if err := s.Await(time.Second, "a"); !errors.Is(err, messages.ErrNoAnswer) {
			t.Errorf("a ping that was dropped: %v", err)
		}
		s.Intercept(interceptor(func(string, any) Interception { panic("on purpose") }))
		if err := say(); !errs.Is(errs.Busy, err) {
			t.Errorf("a panic in the hook: %v", err)
		}
		s.Intercept(nil)
		if err := say(); err != nil {
			t.Errorf("after the panic: %v", err)
		}
		// Nothing can keep an actor from ending.
		s.Intercept(interceptor(func(string, any) Interception { return Interception{Drop: true} }))
		if err := s.Stop(pid); err != nil {
			t.Error(err)
		}
	})
}

// A message without a reply that can be taken is not changed.
func TestCanLoseReply(t *testing.T) {
	for _, c := range []struct {
		message any
		can     bool
	}{
		{&messages.PutObject{}, true}, {&messages.Ping{}, true}, {&ask{}, false}, {messages.Ping{}, false}, {nil, false}, {3, false}, {&actor.Started{}, false},
	} {
		if got := CanLoseReply(c.message); got != c.can {
			t.Errorf("%T: %t, want %t", c.message, got, c.can)
		}
	}
}
