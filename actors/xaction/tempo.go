package xaction

import "time"

// tempoSeconds is how far back a tempo looks.
const tempoSeconds = 10

// tempo is how much a run does in a second, over the last few: what an estimate of
// the time left is made of. A job that rests has none. Not safe for concurrent use.
type tempo struct {
	born    time.Duration
	seconds [tempoSeconds + 1]int64 // which second an amount is of, from 1; the one under way has one, too
	amounts [tempoSeconds + 1]Amount
}

// add counts what was done at a time, by the clock's Elapsed.
func (t *tempo) add(now time.Duration, a Amount) {
	second := secondOf(now)
	i := second % int64(len(t.amounts))
	if t.seconds[i] != second {
		t.seconds[i], t.amounts[i] = second, Amount{}
	}
	t.amounts[i].Objects += a.Objects
	t.amounts[i].Bytes += a.Bytes
}

// perSecond returns the mean of the last whole seconds, or of those since the run
// began.
func (t *tempo) perSecond(now time.Duration) (objects, bytes float64) {
	second := secondOf(now)
	var sum Amount
	for i, s := range t.seconds {
		if s > 0 && s < second && second-s <= tempoSeconds {
			sum.Objects += t.amounts[i].Objects
			sum.Bytes += t.amounts[i].Bytes
		}
	}
	whole := float64(max(1, min(tempoSeconds, second-secondOf(t.born))))
	return float64(sum.Objects) / whole, float64(sum.Bytes) / whole
}

// secondOf numbers seconds from 1, so that 0 is none.
func secondOf(now time.Duration) int64 { return int64(now/time.Second) + 1 }
