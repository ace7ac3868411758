package mountpath

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/store"
)

// The pace follows from what is left and the time that is left, between floor and ceiling,
// and gives way to others.
func TestScrubPace(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name string
		step store.ScrubStep
		took time.Duration
		busy bool
		want time.Duration
	}{
		{"little is left: the floor", store.ScrubStep{Read: 4 << 20, Left: 1 << 20, Until: 10 * day}, 0, false, 4 * time.Second},
		{"as much as the time asks for, and a quarter", store.ScrubStep{Read: 4 << 20, Left: 16 << 20 * 86400 * 10, Until: 10 * day}, 0, false, 200 * time.Millisecond},
		{"late: the ceiling", store.ScrubStep{Read: 4 << 20, Left: 1 << 40, Until: -day}, 0, false, 62500 * time.Microsecond},
		{"too much for the time: the ceiling", store.ScrubStep{Read: 4 << 20, Left: 1 << 50, Until: day}, 0, false, 62500 * time.Microsecond},
		{"what the step took counts", store.ScrubStep{Read: 4 << 20, Left: 1 << 20, Until: day}, time.Second, false, 3 * time.Second},
		{"a slow disk is left alone for half of the time", store.ScrubStep{Read: 4 << 20, Left: 1 << 40, Until: -day}, time.Second, false, time.Second},
		{"and for nine tenths when others use it", store.ScrubStep{Read: 4 << 20, Left: 1 << 40, Until: -day}, time.Second, true, 9 * time.Second},
		{"nothing was read", store.ScrubStep{}, 0, false, time.Millisecond},
	} {
		if got := scrubPaceOf(c.step, c.took, c.busy); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
