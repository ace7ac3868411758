package actors

import (
	"testing"
)

// The queue keeps order through growing and wrapping.
func TestQueue(t *testing.T) {
	var q queue[int]
	next, out := 0, 0
	for round := range 200 {
		for range round % 37 {
			q.push(next)
			next++
		}
		for range min(q.n, round%29) {
			if first, got := q.first(), q.pop(); first != out || got != out {
				t.Fatalf("%d, then %d; want %d", first, got, out)
			}
			out++
		}
	}
	for q.n > 0 {
		if got := q.pop(); got != out {
			t.Fatalf("%d; want %d", got, out)
		}
		out++
	}
	if out != next || len(q.ring) > keptRoom {
		t.Errorf("%d of %d; room for %d is kept", out, next, len(q.ring))
	}
}
