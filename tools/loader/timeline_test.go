package loader

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every time has a bucket whose middle is within 3.2% of it, and buckets rise.
func TestBucketsAreNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<40-1).Draw(t, "nanos"))
		b := bucketOf(d)
		middle := bucketMiddle(b)
		if math.Abs(float64(middle-d)) > 0.032*float64(d) || b >= bucketCount {
			t.Fatalf("%d is in bucket %d, whose middle is %d", d, b, middle)
		}
		if next := bucketOf(d + 1); next != b && next != b+1 {
			t.Fatalf("%d is in bucket %d, %d in %d", d, b, d+1, next)
		}
		if bucketOf(middle) != b {
			t.Fatalf("the middle of bucket %d, %d, is in %d", b, middle, bucketOf(middle))
		}
	})
	if b := bucketOf(math.MaxInt64); b != bucketCount-1 {
		t.Errorf("292 years are in bucket %d", b)
	}
	if b := bucketOf(-1); b != 0 {
		t.Errorf("less than nothing is in bucket %d", b)
	}
}

// Percentiles out of the buckets are those of the sorted times.
func TestBucketPercentiles(t *testing.T) {
	const seed = 11
	random := rand.New(rand.NewPCG(seed, 0))
	var times []time.Duration
	var counted buckets
	for range 5000 {
		d := time.Duration(math.Exp(random.Float64()*12)) * time.Microsecond
		times = append(times, d)
		counted[bucketOf(d)]++
	}
	slices.Sort(times)
	for _, fraction := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := times[max(int(fraction*5000+0.5), 1)-1]
		if got := counted.at(fraction, 5000); math.Abs(float64(got-want)) > 0.032*float64(want) {
			t.Errorf("seed %d: %g%%: %v, want %v", seed, 100*fraction, got, want)
		}
	}
	if got := new(buckets).at(0.5, 0); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// Whatever workers count, and however long the run, the points add up to it, lie
// end to end, and are not more than was promised.
func TestTimelineAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := time.Duration(rapid.Int64Range(1, int64(4000*time.Second)).Draw(t, "length"))
		seed := rapid.Uint64().Draw(t, "seed")
		line := newTimeline()
		var want interval
		var mu sync.Mutex
		var workers sync.WaitGroup
		for w := range 3 {
			workers.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(w)))
				s := stretch{timeline: line, number: -1}
				var own interval
				for at := time.Duration(0); at < length; at += time.Duration(random.Int64N(int64(length)/20 + 1)) {
					if random.IntN(4) == 0 {
						s.failed(at)
						own.errors++
					} else {
						s.done(at, 5*time.Millisecond, 7)
						own.ops++
						own.bytes += 7
					}
					at++
				}
				s.flush()
				mu.Lock()
				defer mu.Unlock()
				want.add(&own)
			})
		}
		workers.Wait()
		got := line.gather(length)
		if len(got.Points) > timelinePoints {
			t.Fatalf("%d points", len(got.Points))
		}
		var sum interval
		var end time.Duration
		for i, p := range got.Points {
			if p.At != end || p.Span <= 0 || i < len(got.Points)-1 && p.Span != got.Interval {
				t.Fatalf("point %d of %d begins at %v and lasts %v, the one before ended at %v", i, len(got.Points), p.At, p.Span, end)
			}
			if p.Ops > 0 && (p.P50 < 4840*time.Microsecond || p.P99 > 5160*time.Microsecond) || p.Ops == 0 && p.P50 != 0 {
				t.Fatalf("point %d: %+v", i, p)
			}
			end += p.Span
			sum.ops += p.Ops
			sum.errors += p.Errors
			sum.bytes += p.Bytes
		}
		if sum.ops != want.ops || sum.errors != want.errors || sum.bytes != want.bytes || end != length {
			t.Fatalf("the points hold %d, %d errors, %d bytes until %v; counted were %d, %d, %d until %v",
				sum.ops, sum.errors, sum.bytes, end, want.ops, want.errors, want.bytes, length)
		}
	})
}

// The points of a real run add up to its totals, failures included.
func TestTimelineOfARunAddsUpToItsTotals(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	put(t, load, 50)
	fake.change(func() { fake.refuse["GET"] = 9 })
	load.Keys.Count, load.Mix, load.Duration = 50, Mix{Get: 3, Head: 1, Put: 1}, 1600*time.Millisecond
	result := mustRun(t, load, Observed{})
	var ops, errors uint64
	var bytes int64
	for _, p := range result.Timeline.Points {
		ops += p.Ops
		errors += p.Errors
		bytes += p.Bytes
	}
	if ops != result.Ops || errors != 9 || result.Errors != 9 || bytes != result.Bytes || len(result.Timeline.Points) != 2 {
		t.Errorf("%d points with %d ops, %d errors, %d bytes; the run had %d, %d, %d",
			len(result.Timeline.Points), ops, errors, bytes, result.Ops, result.Errors, result.Bytes)
	}
}

// A ramp is due as its rates say: turns rise, the rate at every moment lies
// between the two on the line from one to the other, and as many are due in all
// as the mean rate gives.
func TestRampDueTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := ramp{
			from: rapid.Float64Range(0.1, 1e5).Draw(t, "from"), to: rapid.Float64Range(0.1, 1e5).Draw(t, "to"),
			over: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "over")),
		}
		over := p.over.Seconds()
		whole := (p.from + p.to) / 2 * over
		turn := uint64(rapid.Float64Range(0, 1.5*whole+10).Draw(t, "turn"))
		due := p.due(turn).Seconds()
		// The closed formula against the integral of the rate that it must undo.
		inside := min(due, over)
		began := p.from*inside + (p.to-p.from)/(2*over)*inside*inside + p.to*max(due-over, 0)
		if tolerance := 1e-6*float64(turn) + 2e-9*max(p.from, p.to) + 1e-6; math.Abs(began-float64(turn)) > tolerance {
			t.Fatalf("%+v: turn %d is due after %g s, when the rates give %g", p, turn, due, began)
		}
		if next := p.due(turn + 1).Seconds(); next < due || next-due > (1+1e-6)/min(p.from, p.to)+2e-9 {
			t.Fatalf("%+v: turn %d is due at %g, the next at %g", p, turn, due, next)
		}
	})
	if due := (ramp{from: 50, to: 50}).due(100); due != 2*time.Second {
		t.Errorf("100 at 50 a second: %v", due)
	}
	byOps := Load{Rate: 100, RampTo: 300, Ops: 400}.ramp()
	if byOps.over != 2*time.Second || byOps.due(400) != 2*time.Second {
		t.Errorf("400 operations from 100 to 300 a second: %+v, the last at %v", byOps, byOps.due(400))
	}
}

// A ramp is driven: of 300 operations that begin at 50 a second and end at 250, no
// more end in the first second than are due in it.
func TestRampIsDriven(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Mix, load.Rate, load.RampTo, load.Ops = Only(Put), 50, 250, 300
	result := mustRun(t, load, Observed{})
	points := result.Timeline.Points
	// They take 2 s: 100 are due in the first second. A machine that is busy may
	// end some of those later; none of the others can have ended before.
	if result.Ops != 300 || result.Errors != 0 || len(points) < 2 || points[0].Ops > 101 || result.Elapsed < 1990*time.Millisecond {
		t.Errorf("%d ops, points %+v", result.Ops, points)
	}
}

// BenchmarkStretch is what the timeline costs an operation.
func BenchmarkStretch(b *testing.B) {
	s := stretch{timeline: newTimeline(), number: -1}
	for i := time.Duration(0); b.Loop(); i++ {
		s.done(i*20*time.Microsecond, 300*time.Microsecond, 4096)
	}
}
