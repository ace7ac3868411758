package actors

import (
	"fmt"
	"strings"
	"testing"
)

// about is a message that says what it is about.
type about string

// Subject implements messages.Subjected.
func (a about) Subject() string { return string(a) }

// What actors panic on is listed by what it is about, at the actor and at those above
// it, with how often and why; it is bounded, and the latest stay.
func TestPanicsAreListed(t *testing.T) {
	set(t, func(s *stage) {
		panicked := func(address, subject, cause string) {
			s.system.panics.note(s.system.evidence(s.system.find(address), about(subject), cause, nil))
		}
		find := func(address string) State {
			t.Helper()
			state, err := s.system.Find(address)
			if err != nil {
				t.Fatal(err)
			}
			return state
		}
		if now := find("p"); now.Panics != nil {
			t.Errorf("before any panic: %+v", now.Panics)
		}
		for i := range 3 {
			panicked("p/a", "photos/bad", fmt.Sprint("cause ", i))
		}
		panicked("p/b", "photos/other", strings.Repeat("long ", 1000))
		now := find("p").Panics
		if len(now) != 2 {
			t.Fatalf("%+v", now)
		}
		if bad := now[1]; bad.Subject != "photos/bad" || bad.Count != 3 || bad.Cause != "cause 2" || bad.Address != "p/a" || bad.Message != "about" {
			t.Errorf("%+v", bad)
		}
		if other := now[0]; other.Subject != "photos/other" || other.Count != 1 || len(other.Cause) > mostCause {
			t.Errorf("%+v", other)
		}
		if below := find("p/b").Panics; len(below) != 1 {
			t.Errorf("below: %+v", below)
		}
		for i := range 10 * keptPanics {
			panicked("p/b", fmt.Sprint("photos/", i), "x")
		}
		if now := find("p").Panics; len(now) != keptPanics || now[0].Subject != fmt.Sprint("photos/", 10*keptPanics-1) {
			t.Errorf("%d are kept: %+v", len(now), now[0])
		}
	}, a, func(s *stage) Spec { return s.spec("b") })
}

// A panic in a handler is noted, and one about nothing that is told by its actor.
func TestAPanicIsNoted(t *testing.T) {
	bubble(t, func(t *testing.T, s *System) {
		for _, name := range []string{"a", "b"} {
			pid := s.mustSpawn(t, name, Policy{})
			for range 2 {
				if _, err := send(s, pid, ask{panics: true}); err == nil {
					t.Fatal("it did not panic")
				}
			}
			state, err := s.Find(name)
			if err != nil || len(state.Panics) != 1 || state.Panics[0].Message != "ask" || state.Panics[0].Count != 2 || state.Panics[0].Cause == "" ||
				!strings.Contains(state.Panics[0].Stack, "(*counter).Receive") {
				t.Errorf("%+v, %v", state.Panics, err)
			}
			if err := s.Stop(pid); err != nil {
				t.Error(err)
			}
		}
	})
}
