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

// What is waited for by several at once is waited for once; small requests count for
// as much as a seek is worth, and quick ones not at all.
func TestMovedCountsWaitingOnce(t *testing.T) {
	var m moved
	m.call(0, time.Second, 1<<20)
	m.call(0, time.Second, 1<<20)                        // at the same time
	m.call(time.Second/2, 3*time.Second/2, leastCounted) // half of it, and a seek
	m.call(time.Hour, time.Hour+waitsFrom-1, 1<<20)      // from memory
	m.call(time.Hour, 2*time.Hour, leastCounted-1)       // too little to say anything
	m.beside(10)
	if waited, bytes := m.take(); waited != 3*time.Second/2 || bytes != 2<<20+leastMoved+10 {
		t.Errorf("waited %s for %d bytes", waited, bytes)
	}
	if waited, bytes := m.take(); waited != 0 || bytes != 0 {
		t.Errorf("told twice: %s, %d", waited, bytes)
	}
}
