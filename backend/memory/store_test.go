package memory_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/backend/conformance"
	"github.com/troupe-storage/troupe/backend/faulty"
	"github.com/troupe-storage/troupe/backend/memory"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

func TestConformance(t *testing.T) {
	left := conformance.Run(t, conformance.Fixture{New: func(*testing.T) conformance.Bucket {
		s := memory.New("photos", clock.NewSystem())
		var now atomic.Pointer[faulty.Trouble]
		now.Store(&faulty.Trouble{})
		begin := func(trouble faulty.Trouble) func() func() {
			return func() func() {
				now.Store(&trouble)
				return func() { now.Store(&faulty.Trouble{}) }
			}
		}
		says := errors.New("on purpose")
		return conformance.Bucket{
			Store:  faulty.Wrap(s, clock.NewSystem(), func(faulty.Does, string) faulty.Trouble { return *now.Load() }),
			Bodies: func() int { return s.Counts().Bodies },
			Troubles: map[conformance.Trouble]func() func(){
				conformance.Denied:   begin(faulty.Trouble{Err: errs.E("test", errs.Denied, says)}),
				conformance.SlowDown: begin(faulty.Trouble{Err: errs.E("test", errs.Busy, says)}),
				conformance.Away:     begin(faulty.Trouble{Err: errs.E("test", errs.Offline, says)}),
				conformance.Cut:      begin(faulty.Trouble{Body: faulty.BodyTrouble{Kind: faulty.Cut, At: 2 << 20}}),
				conformance.Stalled:  begin(faulty.Trouble{Body: faulty.BodyTrouble{Kind: faulty.Stall, At: 2 << 20}}),
			},
		}
	}})
	if len(left) > 0 {
		t.Errorf("left out: %q", left)
	}
}

// What was asked is counted.
func TestCounts(t *testing.T) {
	s := memory.New("photos", clock.NewSystem())
	for range 3 {
		if _, err := s.Head(t.Context(), "absent"); !errs.Is(errs.NotFound, err) {
			t.Fatal(err)
		}
	}
	if got := s.Counts(); got != (memory.Counts{Heads: 3}) {
		t.Errorf("%+v", got)
	}
}
