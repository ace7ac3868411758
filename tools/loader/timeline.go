package loader

import (
	"math/bits"
	"sync"
	"time"
)

const (
	// timelineInterval is what a point of a timeline covers at first.
	timelineInterval = time.Second
	// timelinePoints bounds a timeline: when a run grows beyond it, points are
	// merged in pairs, and each covers twice as much. More would not be seen on a
	// screen, and so a run of any length keeps its course in 1.2 MiB.
	timelinePoints = 600
)

// Timeline is the course of a run. Points follow one another without a gap; what
// ended in a point's time counts there, with all its bytes.
type Timeline struct {
	Interval time.Duration `json:"interval_nanos"` // of every point but the last
	Points   []Point       `json:"points"`
}

// Point is a part of a run.
type Point struct {
	At     time.Duration `json:"at_nanos"`   // when it begins, from the start of the run
	Span   time.Duration `json:"span_nanos"` // how long it lasts
	Ops    uint64        `json:"ops"`        // operations done
	Errors uint64        `json:"errors"`     // operations that failed
	Bytes  int64         `json:"bytes"`      // by operations done
	P50    time.Duration `json:"p50_nanos"`  // within 3%; zero if nothing was done
	P99    time.Duration `json:"p99_nanos"`  // likewise
}

// OpsPerSecond is the rate of operations done.
func (p Point) OpsPerSecond() float64 { return perSecond(float64(p.Ops), p.Span) }

// interval counts what ended in one part of a run. The zero value is empty.
type interval struct {
	ops    uint64
	errors uint64
	bytes  int64
	times  buckets
}

// add takes in another interval.
func (i *interval) add(other *interval) {
	i.ops += other.ops
	i.errors += other.errors
	i.bytes += other.bytes
	for b, n := range other.times {
		i.times[b] += n
	}
}

// timeline collects the intervals of all workers of a run. A worker counts into
// an interval of its own (see stretch) and comes here only when the second is
// over, so that an operation never waits for another worker. Safe for concurrent use.
type timeline struct {
	mu     sync.Mutex
	scale  time.Duration // what an interval covers; a power of two times timelineInterval
	points []*interval   // nil: nothing ended then
}

func newTimeline() *timeline { return &timeline{scale: timelineInterval} }

// add counts what ended in one timelineInterval, the number of which counts from
// the start of the run.
func (t *timeline) add(number int64, ended *interval) {
	t.mu.Lock()
	defer t.mu.Unlock()
	index := number / int64(t.scale/timelineInterval)
	for index >= timelinePoints {
		t.halve()
		index /= 2
	}
	for int64(len(t.points)) <= index {
		t.points = append(t.points, nil)
	}
	if t.points[index] == nil {
		t.points[index] = &interval{}
	}
	t.points[index].add(ended)
}

// halve merges the points in pairs.
func (t *timeline) halve() {
	half := make([]*interval, (len(t.points)+1)/2)
	for i, point := range t.points {
		switch {
		case point == nil:
		case half[i/2] == nil:
			half[i/2] = point
		default:
			half[i/2].add(point)
		}
	}
	t.points, t.scale = half, t.scale*2
}

// gather returns the course of a run that lasted so long. An end that is shorter
// than half an interval belongs to the point before it: alone it would show a rate
// that never was.
func (t *timeline) gather(elapsed time.Duration) Timeline {
	t.mu.Lock()
	defer t.mu.Unlock()
	for elapsed > timelinePoints*t.scale {
		t.halve()
	}
	for time.Duration(len(t.points))*t.scale < elapsed {
		t.points = append(t.points, nil) // nothing ended any more
	}
	line := Timeline{Interval: t.scale}
	points := t.points
	if n := len(points); n > 1 && elapsed-time.Duration(n-1)*t.scale < t.scale/2 {
		merged := &interval{}
		for _, point := range points[n-2:] {
			if point != nil {
				merged.add(point)
			}
		}
		points = append(points[:n-2:n-2], merged)
	}
	for i, point := range points {
		p := Point{At: time.Duration(i) * t.scale, Span: t.scale}
		if i == len(points)-1 {
			p.Span = max(elapsed-p.At, 0)
		}
		if point != nil {
			p.Ops, p.Errors, p.Bytes = point.ops, point.errors, point.bytes
			p.P50, p.P99 = point.times.at(0.50, point.ops), point.times.at(0.99, point.ops)
		}
		line.Points = append(line.Points, p)
	}
	return line
}

// stretch is the interval that one worker counts into. It belongs to the worker.
type stretch struct {
	timeline *timeline
	number   int64 // of the interval; -1: none yet
	current  interval
}

// done counts an operation that ended so long after the start of the run.
func (s *stretch) done(at, took time.Duration, bytes int64) {
	s.turnTo(at)
	s.current.ops++
	s.current.bytes += bytes
	s.current.times[bucketOf(took)]++
}

// failed counts an operation that failed so long after the start of the run.
func (s *stretch) failed(at time.Duration) {
	s.turnTo(at)
	s.current.errors++
}

// turnTo gives away the interval when another has begun.
func (s *stretch) turnTo(at time.Duration) {
	if number := int64(at / timelineInterval); number != s.number {
		s.flush()
		s.number = number
	}
}

// flush gives away what was counted. Called at the end of the run too.
func (s *stretch) flush() {
	if s.current.ops != 0 || s.current.errors != 0 {
		s.timeline.add(s.number, &s.current)
		s.current = interval{}
	}
}

const (
	// bucketBits divides every power of two into 16 buckets: a bucket is at most
	// 6.25% wide, and its middle within 3.2% of what fell into it.
	bucketBits = 4
	// bucketCount takes times from 0 to 2^40 ns, 18 minutes.
	bucketCount = (40-bucketBits)<<bucketBits + 1<<bucketBits
)

// buckets is a histogram of times in 2.3 KiB: numbers below 16 ns have a bucket of
// their own, and every power of two above has 16 of equal width.
type buckets [bucketCount]uint32

// bucketOf returns the bucket of a time. Longer ones than the last bucket takes
// fall into it.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 1<<bucketBits {
		return int(n)
	}
	shift := bits.Len64(n) - bucketBits - 1 // so that n>>shift has bucketBits+1 bits
	return min(shift<<bucketBits+int(n>>shift), bucketCount-1)
}

// bucketMiddle returns the middle of a bucket.
func bucketMiddle(b int) time.Duration {
	if b < 1<<(bucketBits+1) {
		return time.Duration(b)
	}
	shift := b>>bucketBits - 1
	low := time.Duration(b-shift<<bucketBits) << shift
	return low + time.Duration(1)<<shift/2
}

// at returns the time that a fraction of the counted ones did not exceed; zero if
// none were counted.
func (b *buckets) at(fraction float64, count uint64) time.Duration {
	if count == 0 {
		return 0
	}
	rank := max(uint64(fraction*float64(count)+0.5), 1)
	var seen uint64
	last := 0
	for i, n := range b {
		if n == 0 {
			continue
		}
		last = i
		if seen += uint64(n); seen >= rank {
			break
		}
	}
	return bucketMiddle(last)
}
