package xaction

import (
	"testing"
	"time"
)

// A tempo is the mean of the last ten whole seconds, of fewer at the beginning, and
// nothing once nothing has been done for as long.
func TestTempo(t *testing.T) {
	for _, began := range []time.Duration{0, 300 * time.Millisecond, time.Hour} {
		pace := tempo{born: began}
		want := func(at time.Duration, objects float64) {
			t.Helper()
			gotObjects, gotBytes := pace.perSecond(began + at)
			if gotObjects != objects || gotBytes != 100*objects {
				t.Errorf("began %s, after %s: %v objects and %v bytes a second, want %v", began, at, gotObjects, gotBytes, objects)
			}
		}
		do := func(at time.Duration, n int64) { pace.add(began+at, Amount{Objects: n, Bytes: 100 * n}) }
		want(0, 0)
		do(100*time.Millisecond, 3)
		do(200*time.Millisecond, 1)
		want(300*time.Millisecond, 0) // the second under way does not count
		want(time.Second, 4)
		want(2*time.Second, 2)
		for second := time.Second; second < 30*time.Second; second += time.Second {
			do(second, 7)
		}
		want(30*time.Second, 7)
		want(35*time.Second, 3.5)
		want(40*time.Second, 0)
		do(50*time.Second, 20)
		want(51*time.Second, 2)
	}
}
