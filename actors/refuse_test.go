package actors

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

var (
	errAway  = errors.New("the disk does not answer")
	errBegun = errors.New("the disk does not answer; the outcome is unknown")
)

// Requests of an actor that does not come back are answered, the one in hand in other
// words than those that wait or come; the actor goes on when its call comes back, as
// if nothing had been, and what is no request is not lost.
func TestRefuseAnswersWhatAStuckActorHolds(t *testing.T) {
	set(t, func(s *stage) {
		pid := s.system.PID("p/a")
		stuck := s.hang("p/a")
		s.post("p/a", &note{})
		waiting := &who{messages.NewReply[sighting]()}
		s.post("p/a", waiting)
		kept := &who{messages.NewReply[sighting]()}
		s.post("p/a", kept)

		var before []any
		with := Refusal{
			Waiting: errs.E("test", errs.Offline, errAway), InHand: errs.E("test", errs.Offline, errBegun),
			Waits:  func(message any) bool { return message == kept },
			Before: func(message any) { before = append(before, message) },
		}
		if n := s.system.Refuse(pid, with); n != 2 {
			t.Errorf("%d requests were answered, want 2", n)
		}
		if got := <-stuck.reply; !errors.Is(got.Err, errBegun) || !errs.Is(errs.Offline, got.Err) {
			t.Errorf("the request in hand: %v", got.Err)
		}
		if got := <-waiting.reply; !errors.Is(got.Err, errAway) {
			t.Errorf("the request that waited: %v", got.Err)
		}
		if len(before) != 1 || before[0] != stuck {
			t.Errorf("told of %v before it was answered", before)
		}
		if _, err := s.ask("p/a"); !errors.Is(err, errAway) {
			t.Errorf("a request that came: %v", err)
		}
		if n := s.system.Refuse(pid, with); n != 0 {
			t.Errorf("%d requests were answered twice", n)
		}
		if len(kept.reply) != 0 {
			t.Error("the request that waits was answered")
		}

		close(stuck.letGo)
		synctest.Wait()
		s.system.Accept(pid)
		if got := <-kept.reply; got.Err != nil || got.Value.notes != 1 || got.Value.incarnation != 2 {
			t.Errorf("the request that waited all the same: %+v", got)
		}
		if now, err := s.ask("p/a"); err != nil || now.notes != 1 || now.incarnation != 2 {
			t.Errorf("afterwards: %+v, %v", now, err)
		}
	}, a)
}

// Without a refusal, and after its end, nothing is answered for an actor that hangs.
func TestWithoutARefusalRequestsWait(t *testing.T) {
	set(t, func(s *stage) {
		pid := s.system.PID("p/a")
		s.system.Refuse(pid, Refusal{Waiting: errAway, InHand: errBegun})
		s.system.Accept(pid)
		stuck := s.hang("p/a")
		waiting := &who{messages.NewReply[sighting]()}
		s.post("p/a", waiting)
		synctest.Wait()
		if len(stuck.reply) != 0 || len(waiting.reply) != 0 {
			t.Error("somebody answered for the actor")
		}
		close(stuck.letGo)
		if got := <-waiting.reply; got.Err != nil {
			t.Error(got.Err)
		}
		if n := s.system.Refuse(s.system.PID("nobody"), Refusal{}); n != 0 {
			t.Errorf("an actor that is not there had %d requests", n)
		}
	}, a)
}
