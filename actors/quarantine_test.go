package actors

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// touch is a request that does something to a key.
type touch struct {
	key    string
	does   messages.Access
	panics bool
	reply  messages.Reply[int64]
}

func (m *touch) Fail(err error)             { m.reply.Fail(err) }
func (m *touch) Subject() string            { return m.Handles().Subject() }
func (m *touch) Handles() messages.Handling { return handlingOf(m.key, m.does) }

func handlingOf(key string, does messages.Access) messages.Handling {
	return messages.HandlesKey(objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Name: "photos"}, Name: key}, does)
}

// toucher counts the touches that one incarnation handled.
type toucher struct{ n int64 }

func (a *toucher) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*touch); ok {
		if m.panics {
			explode(m.key)
		}
		a.n++
		m.reply.Send(a.n, nil)
		return
	}
	Unexpected(ctx, quietLog())
}

// explode is what a stack is to name.
func explode(key string) { panic("cannot handle " + key) }

// ward is a system with one toucher, on virtual time.
type ward struct {
	*testing.T
	system *System
	pid    *actor.PID
}

func inWard(t *testing.T, limits QuarantineLimits, test func(w *ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &ward{T: t, system: NewSystemWith(Options{Clock: clock.NewSystem(), Log: quietLog(), Version: "v1.2", Quarantine: limits})}
		var err error
		if w.pid, err = w.system.Spawn(w.system.Root(), Spec{Name: "lane", New: func() actor.Actor { return &toucher{} }}); err != nil {
			t.Fatal(err)
		}
		test(w)
		if err := w.system.Stop(w.pid); err != nil {
			t.Error(err)
		}
		w.system.Shutdown()
		<-time.After(3 * time.Second)
		synctest.Wait()
	})
}

func (w *ward) touch(key string, does messages.Access, panics bool) error {
	m := &touch{key: key, does: does, panics: panics, reply: messages.NewReply[int64]()}
	w.system.Root().Send(w.pid, m)
	_, err := m.reply.Wait("test", time.Minute)
	return err
}

// panics has the handling of a key panic so many times, which must reach the actor.
func (w *ward) panics(key string, does messages.Access, times int) {
	w.Helper()
	for range times {
		if err := w.touch(key, does, true); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "cannot handle "+key) {
			w.Fatalf("%s of %s: %v; it must reach the actor, which panics", does, key, err)
		}
	}
}

func (w *ward) refused(key string, does messages.Access) *messages.Quarantined {
	w.Helper()
	before := w.system.Quarantine().Census().Panics
	err := w.touch(key, does, true)
	var refusal *messages.Quarantined
	if !errors.As(err, &refusal) || !errs.Is(errs.Offline, err) {
		w.Fatalf("%s of %s was answered with: %v; it is to be refused", does, key, err)
	}
	if now := w.system.Quarantine().Census().Panics; now != before {
		w.Errorf("the actor panicked on what is refused: %d panics, %d before", now, before)
	}
	return refusal
}

func (w *ward) served(key string, does messages.Access) {
	w.Helper()
	if err := w.touch(key, does, false); err != nil {
		w.Errorf("%s of %s: %v", does, key, err)
	}
}

// What panicked three times is refused before it reaches the actor, with the reason and
// what to do; other accesses of the same key, and other keys, are served. Released, it
// is tried again, and counted anew.
func TestWhatPanicsAgainIsQuarantined(t *testing.T) {
	inWard(t, QuarantineLimits{}, func(w *ward) {
		w.panics("bad", messages.ReadAccess, 2)
		if list := w.system.Quarantine().List(); len(list) != 0 {
			t.Fatalf("after two panics: %+v", list)
		}
		w.panics("bad", messages.ReadAccess, 1)
		refusal := w.refused("bad", messages.ReadAccess)
		w.served("good", messages.ReadAccess)
		w.served("bad", messages.WriteAccess)
		w.served("bad", messages.DeleteAccess)

		list := w.system.Quarantine().List()
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		q := list[0]
		if q.Handling != handlingOf("bad", messages.ReadAccess) || q.Panics != 3 || q.Address != "lane" || q.Message != "touch" || q.Version != "v1.2" ||
			q.Cause != "cannot handle bad" || time.Since(q.Since) > time.Second || q.Refused != 1 || q.Kept {
			t.Errorf("%+v", q)
		}
		if !strings.HasPrefix(q.Stack, "panic(") || !strings.Contains(q.Stack, "actors.explode") || len(q.Stack) > mostStack {
			t.Errorf("its stack:\n%s", q.Stack)
		}
		for _, part := range []string{"key photos/bad (read)", "cannot handle bad", "quarantine show " + q.ID, "quarantine release " + q.ID, q.Since.UTC().Format(time.RFC3339)} {
			if !strings.Contains(refusal.Public(), part) {
				t.Errorf("%q is not in: %s", part, refusal.Public())
			}
		}
		census := w.system.Quarantine().Census()
		if census.Panics != 3 || census.Begun != 1 || census.Refused != 1 || census.Now[messages.KeyThing] != 1 || census.Now[messages.JobThing] != 0 {
			t.Errorf("%+v", census)
		}

		if _, err := w.system.Quarantine().Release("nobody"); !errs.Is(errs.NotFound, err) {
			t.Errorf("released what is not there: %v", err)
		}
		if released, err := w.system.Quarantine().Release(q.ID); err != nil || released.ID != q.ID {
			t.Error(released, err)
		}
		w.served("bad", messages.ReadAccess)
		w.panics("bad", messages.ReadAccess, 3)
		if again := w.refused("bad", messages.ReadAccess); again.ID == q.ID {
			t.Error("another quarantine has the id of the one that was released")
		}
	})
}

// Negative control: without a quarantine the same message restarts its actor for ever.
func TestWithoutAQuarantineRestartsGoOn(t *testing.T) {
	inWard(t, QuarantineLimits{Panics: -1}, func(w *ward) {
		w.panics("bad", messages.ReadAccess, 20)
		if n := w.system.Restarts(); n < 19 { // that of the last panic may be to come
			t.Errorf("%d restarts", n)
		}
	})
}

// Messages that wait when their key is quarantined are refused, too: the actor sees no
// more panics than the limit.
func TestWhatWaitsIsRefused(t *testing.T) {
	inWard(t, QuarantineLimits{Panics: 2}, func(w *ward) {
		var waiting []*touch
		for range 50 {
			m := &touch{key: "bad", does: messages.WriteAccess, panics: true, reply: messages.NewReply[int64]()}
			waiting = append(waiting, m)
			w.system.Root().Send(w.pid, m)
		}
		refused := 0
		for _, m := range waiting {
			_, err := m.reply.Wait("test", time.Minute)
			var refusal *messages.Quarantined
			if errors.As(err, &refusal) {
				refused++
			}
		}
		if refused != 48 || w.system.Quarantine().Census().Panics != 2 {
			t.Errorf("%d of 50 refused, %d panics", refused, w.system.Quarantine().Census().Panics)
		}
	})
}

// Panics count for as long as they are told to.
func TestPanicsAreForgotten(t *testing.T) {
	inWard(t, QuarantineLimits{Within: 10 * time.Minute}, func(w *ward) {
		for range 6 {
			w.panics("bad", messages.ReadAccess, 1)
			<-time.After(6 * time.Minute)
		}
		w.served("bad", messages.ReadAccess)
		w.panics("bad", messages.ReadAccess, 2) // with the one of six minutes ago
		w.refused("bad", messages.ReadAccess)
	})
}

// The number of quarantines is bounded: the one that nobody asked for gives way, one
// that is asked for does not, and what finds no room is counted. What panicked once is
// bounded, too.
func TestQuarantinesAreBounded(t *testing.T) {
	inWard(t, QuarantineLimits{Panics: 1, Within: time.Hour}, func(w *ward) {
		q := w.system.Quarantine()
		for i := range keptQuarantines {
			w.panics(fmt.Sprint("k", i), messages.ReadAccess, 1)
		}
		w.panics("late", messages.ReadAccess, 1)
		w.panics("late", messages.ReadAccess, 1)
		if census := q.Census(); census.TurnedAway != 2 || census.Now[messages.KeyThing] != keptQuarantines {
			t.Errorf("%+v", census)
		}
		<-time.After(59 * time.Minute)
		for i := range keptQuarantines {
			if i != 7 {
				w.refused(fmt.Sprint("k", i), messages.ReadAccess)
			}
		}
		<-time.After(2 * time.Minute)
		w.panics("late", messages.ReadAccess, 1)
		w.refused("late", messages.ReadAccess)
		w.served("k7", messages.ReadAccess)
		if _, drop := q.Pending(); len(drop) != 1 {
			t.Errorf("to be dropped: %v", drop)
		}
	})
	q := newQuarantine(Options{Clock: clock.NewSystem(), Log: quietLog()})
	for i := range 3 * keptStrikes {
		q.strike(handlingOf(fmt.Sprint(i), messages.ReadAccess), messages.ActorPanic{})
	}
	if len(q.strikes) != keptStrikes || q.strikes[handlingOf(fmt.Sprint(3*keptStrikes-1), messages.ReadAccess)] == nil {
		t.Errorf("%d handlings are remembered", len(q.strikes))
	}
}

// What an actor does for one thing counts for that, also where its messages do not say
// so; and a panic of another goroutine has the stack of that.
func TestActorsAreAboutSomething(t *testing.T) {
	inWard(t, QuarantineLimits{}, func(w *ward) {
		job := messages.Handling{Thing: messages.JobThing, Name: "report", Does: messages.RunAccess}
		for range 3 {
			spec := Spec{Name: "job", Handles: job, Policy: Policy{NoRestart: true}, New: func() actor.Actor {
				return worker(func() {
					panic(Recovered{Reason: "told to", Stack: []byte("goroutine 1:\npanic({0x1})\nmain.elsewhere()\n")})
				})
			}}
			if _, err := w.system.Spawn(w.system.Root(), spec); err != nil {
				t.Fatal(err)
			}
			if err := w.system.AwaitEnd(time.Minute, "job"); err != nil {
				t.Fatal(err)
			}
		}
		list := w.system.Quarantine().List()
		if len(list) != 1 || list[0].Handling != job || list[0].Cause != "told to" || list[0].Stack != "panic({0x1})\nmain.elsewhere()\n" {
			t.Fatalf("%+v", list)
		}
		err := w.system.Quarantine().Refuses("test", job)
		var refusal *messages.Quarantined
		if !errors.As(err, &refusal) || refusal.ID != list[0].ID {
			t.Errorf("%v", err)
		}
	})
}

// worker does one thing when it begins.
type worker func()

func (do worker) Receive(ctx actor.Context) {
	if _, begins := ctx.Message().(*actor.Started); begins {
		do()
	}
}

// What an earlier process had quarantined is refused from the first message on, and is
// neither written again nor older than it was.
func TestQuarantinesAreRestored(t *testing.T) {
	inWard(t, QuarantineLimits{}, func(w *ward) {
		was := messages.Quarantine{ID: "a1", Handling: handlingOf("bad", messages.ReadAccess), Since: time.Now().Add(-time.Hour), Panics: 3, Cause: "x"}
		w.system.Quarantine().Restore([]messages.Quarantine{was})
		if refusal := w.refused("bad", messages.ReadAccess); refusal.ID != "a1" || !refusal.Since.Equal(was.Since) {
			t.Errorf("%+v", refusal)
		}
		if keep, drop := w.system.Quarantine().Pending(); len(keep)+len(drop) != 0 {
			t.Errorf("to be kept %v, dropped %v", keep, drop)
		}
	})
	inWard(t, QuarantineLimits{Panics: -1}, func(w *ward) {
		w.system.Quarantine().Restore([]messages.Quarantine{{ID: "a1", Handling: handlingOf("bad", messages.ReadAccess)}})
		w.served("bad", messages.ReadAccess)
		if keep, drop := w.system.Quarantine().Pending(); len(keep)+len(drop) != 0 {
			t.Errorf("switched off: to be kept %v, dropped %v", keep, drop)
		}
	})
}

// A coordinator that panics on what is about one thing goes on as it is, and so does all
// below it; one that does so too often is made anew. Without that policy it is each time.
func TestActorGoesOnAfterAPanicAboutOneThing(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		inWard(t, QuarantineLimits{}, func(w *ward) {
			alone := w.pid
			defer func() { w.pid = alone }()
			var err error
			if w.pid, err = w.system.Spawn(w.system.Root(), Spec{Name: "keeps", Policy: Policy{Resumes: resumes}, New: func() actor.Actor { return &toucher{} }}); err != nil {
				t.Fatal(err)
			}
			handled := func() int64 {
				m := &touch{key: "good", does: messages.WriteAccess, reply: messages.NewReply[int64]()}
				w.system.Root().Send(w.pid, m)
				n, err := m.reply.Wait("test", time.Minute)
				if err != nil {
					t.Error(err)
				}
				return n
			}
			handled()
			w.panics("bad", messages.WriteAccess, 3)
			if n, restarts := handled(), w.system.Restarts(); resumes != (n == 2 && restarts == 0) {
				t.Errorf("resumes %t: %d messages handled, %d restarts", resumes, n, restarts)
			}
			w.refused("bad", messages.WriteAccess)
			for i := range mostResumes / 3 {
				w.panics(fmt.Sprint(i), messages.WriteAccess, 3)
			}
			if n, restarts := handled(), w.system.Restarts(); n != 1 || restarts == 0 {
				t.Errorf("after %d panics: %d messages handled, %d restarts", mostResumes+3, n, restarts)
			}
			if err := w.system.Stop(w.pid); err != nil {
				t.Error(err)
			}
		})
	}
}

// odd is a request of an extension that cannot say what it is about.
type odd struct{ touch }

func (m *odd) Handles() messages.Handling { panic("it cannot be said") }
func (m *odd) Subject() string            { return "something" }

// A message that panics when it is asked what it handles reaches its actor, and is
// answered, while something is quarantined as well.
func TestMessageThatCannotSayWhatItHandles(t *testing.T) {
	inWard(t, QuarantineLimits{}, func(w *ward) {
		w.panics("bad", messages.ReadAccess, 3)
		m := &odd{touch{reply: messages.NewReply[int64]()}}
		w.system.Root().Send(w.pid, m)
		if _, err := m.reply.Wait("test", time.Minute); !errs.Is(errs.Internal, err) || !strings.Contains(err.Error(), "no handler") {
			t.Errorf("%v", err)
		}
		w.served("good", messages.ReadAccess)
	})
}

// What could not be written to a disk and read again is not quarantined: it would be listed
// as kept, and forgotten by the next start. A thing without a name can.
func TestWhatCannotBeKeptIsNotCounted(t *testing.T) {
	inWard(t, QuarantineLimits{Panics: 1}, func(w *ward) {
		q := w.system.Quarantine()
		for _, h := range []messages.Handling{
			{}, {Thing: "stone", Name: "pebble"}, {Name: "pebble", Does: "weigh"}, {Thing: "stone", Name: "\xff", Does: "weigh"},
			{Thing: "stone", Name: strings.Repeat("x", messages.MaxHandlingName+1), Does: "weigh"},
		} {
			q.strike(h, messages.ActorPanic{})
		}
		if list := q.List(); len(list) != 0 || len(q.strikes) != 0 {
			t.Errorf("%+v, %d counted", list, len(q.strikes))
		}
		q.strike(messages.Handling{Thing: "stone", Does: "weigh"}, messages.ActorPanic{})
		if list := q.List(); len(list) != 1 {
			t.Errorf("%+v", list)
		}
	})
}
