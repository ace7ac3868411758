package loader

import (
	"fmt"
	"math"
	"time"
)

// ramp says when operations are due. The rate changes evenly from one value to
// another and stays there. An immutable value.
type ramp struct {
	from, to float64       // operations per second; equal: a steady rate
	over     time.Duration // how long it takes to get there
}

// ramp returns the load's. The time is the load's duration; of a load with a
// number of operations and no duration, what that number takes at the mean rate.
func (l Load) ramp() ramp {
	if l.RampTo == 0 {
		return ramp{from: l.Rate, to: l.Rate}
	}
	over := l.Duration
	if over == 0 {
		over = time.Duration(2 * float64(l.Ops) / (l.Rate + l.RampTo) * float64(time.Second))
	}
	return ramp{from: l.Rate, to: l.RampTo, over: over}
}

// due returns when operation number turn is due, from the start of the run.
//
// Until t, from·t + (to-from)/(2·over)·t² operations are due. Solved for t, in the
// form that does not subtract numbers that are nearly equal:
//
//	t = 2·turn / (from + √(from² + 2·turn·(to-from)/over))
func (p ramp) due(turn uint64) time.Duration {
	n := float64(turn)
	if p.from == p.to {
		return seconds(n / p.from)
	}
	over := p.over.Seconds()
	if whole := (p.from + p.to) / 2 * over; n > whole { // the ramp is over
		return seconds(over + (n-whole)/p.to)
	}
	slope := (p.to - p.from) / over
	return seconds(2 * n / (p.from + math.Sqrt(max(p.from*p.from+2*n*slope, 0))))
}

// seconds converts, and bounds what no run will reach.
func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

// rateFaults says what is wrong with the rates of a load.
func (l Load) rateFaults() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, rate := range []float64{l.Rate, l.RampTo} {
		if rate < 0 || math.IsNaN(rate) || rate > maxRate || rate > 0 && rate < 1/maxRate {
			fault("a rate of %g a second: 0 for none, or 1e-9 to 1e9", rate)
		}
	}
	if l.RampTo != 0 && l.Rate == 0 {
		fault("a ramp to %g a second needs a rate to begin with", l.RampTo)
	}
	if l.RampTo != 0 && l.Duration == 0 && l.Ops == 0 {
		fault("a ramp needs a duration or a number of operations, to be spread over")
	}
	return faults
}

// maxRate bounds rates: one operation per nanosecond.
const maxRate = 1e9
