package transition

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// awayCase takes a mountpath out of use in the middle of a change.
type awayCase struct {
	name   string
	action string
	moves  int // the mountpath that joins or leaves
	away   func(*house) (back func())
}

func disabled(i int) func(*house) func() {
	return func(h *house) func() {
		h.must(storage.Action{Action: storage.Disable, Path: h.path(i)})
		return func() {
			// What follows a disable may still be under way, and is answered 503.
			h.await("it can be enabled", func() bool {
				_, err := h.try(storage.Action{Action: storage.Enable, Path: h.path(i)})
				if err != nil && !errs.Is(errs.Busy, err) {
					h.Fatal(err)
				}
				return err == nil
			})
		}
	}
}

// A mountpath goes out of use in the middle of a change, or has no room any more: the
// job waits, says why, and goes on by itself when it is back. Nothing is lost, and
// nothing is acknowledged and lost meanwhile.
func TestMountpathIsAwayInTheMiddle(t *testing.T) { awayInTheMiddle(t, 2) }

// TestMountpathIsAwayInTheMiddleSoak is TestMountpathIsAwayInTheMiddle with every
// mountpath that a change needs.
func TestMountpathIsAwayInTheMiddleSoak(t *testing.T) { awayInTheMiddle(t, 5) }

// awayInTheMiddle runs the first so many cases.
func awayInTheMiddle(t *testing.T, count int) {
	cases := []awayCase{
		{"what joins is disabled", storage.Add, 2, disabled(2)},
		{"what joins is full", storage.Add, 2, func(h *house) func() {
			return h.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d2", Do: faults.Full}}).Clear
		}},
		{"what leaves is disabled", storage.Remove, 0, disabled(0)},
		{"a destination is disabled", storage.Remove, 0, disabled(1)},
		{"a source is read-only", storage.Add, 2, func(h *house) func() {
			return h.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d0", Do: faults.ReadOnly}}).Clear
		}},
	}
	for _, c := range cases[:count] {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, 2)
			h.workload(seedOf(t), func(hist *history) {
				hist.faulty.Store(true)
				held := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Hang}, When: faults.When{After: 10}})
				job := h.change(c.action, c.moves)
				h.reached(held)
				back := c.away(h)
				held.Clear()
				h.await("the job says what it waits for", func() bool { return len(h.look(job).Progress.Failures) > 0 })
				if state := h.look(job).State; state != "running" {
					t.Errorf("the job is %s while it waits", state)
				}
				back()
				// It looks again every so often; this is what passes the time.
				jump := h.inject(faults.Fault{Clock: &faults.Clock{Jump: 10 * time.Second}})
				defer jump.Clear()
				h.finished(job)
			})
			if c.action == storage.Remove {
				h.isLeft(0)
			}
		})
	}
}
