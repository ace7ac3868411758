package store

import (
	"testing"
	"time"
)

// Reads tells of reads under way and of the slowest that ended, each of these once,
// also of more reads than there are slots.
func TestReadsAreMeasured(t *testing.T) {
	now := time.Second
	s := &Store{reads: reads{elapsed: func() time.Duration { return now }}}
	check := func(oldest, slowest time.Duration) {
		t.Helper()
		if o, w := s.Reads(); o != oldest || w != slowest {
			t.Errorf("oldest %s, slowest %s, want %s and %s", o, w, oldest, slowest)
		}
	}
	check(0, 0)
	first := s.reads.begin()
	now += time.Second
	second := s.reads.begin()
	now += time.Second
	check(2*time.Second, 0)
	s.reads.end(first)
	check(time.Second, 2*time.Second)
	s.reads.end(second)
	check(0, time.Second)
	check(0, 0)

	var many []reading
	for range 2 * readSlots {
		many = append(many, s.reads.begin())
	}
	now += time.Second
	check(time.Second, 0)
	for _, one := range many {
		s.reads.end(one)
	}
	check(0, time.Second)
}
