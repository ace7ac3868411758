package loader

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// Times are kept from 1 µs to 10 min, to three digits: about 250 KiB for each
	// operation of a worker.
	shortestNanos = int64(time.Microsecond)
	longestNanos  = int64(10 * time.Minute)
)

// figures counts one kind of operation. Not safe for concurrent use.
type figures struct {
	done    uint64
	failed  uint64
	bytes   int64  // of objects put or read, or of listings, by operations done
	entries uint64 // keys listed
	times   *hdrhistogram.Histogram
}

func newFigures() *figures {
	return &figures{times: hdrhistogram.New(shortestNanos, longestNanos, 3)}
}

// took notes the time of an operation that was done.
func (f *figures) took(d time.Duration) {
	nanos := min(max(int64(d), shortestNanos), longestNanos)
	if err := f.times.RecordValue(nanos); err != nil {
		panic(fmt.Sprintf("loader: %v is in the histogram's range: %v", d, err))
	}
}

// add takes in the figures of another worker.
func (f *figures) add(other *figures) {
	f.done += other.done
	f.failed += other.failed
	f.bytes += other.bytes
	f.entries += other.entries
	f.times.Merge(other.times)
}

// Latency says how long operations took: the time that so many percent of them
// did not exceed.
type Latency struct {
	Mean time.Duration `json:"mean_nanos"`
	P50  time.Duration `json:"p50_nanos"`
	P90  time.Duration `json:"p90_nanos"`
	P99  time.Duration `json:"p99_nanos"`
	P999 time.Duration `json:"p999_nanos"`
	Max  time.Duration `json:"max_nanos"`
}

// Percentile is a point of a distribution: so many percent of the operations took
// no longer.
type Percentile struct {
	Percent float64       `json:"percent"`
	Time    time.Duration `json:"nanos"`
}

// percentiles returns the distribution: every twentieth up to a half, and from
// there five steps for every halving of what is left, until less than one
// operation is. Empty if nothing was done.
func (f *figures) percentiles() []Percentile {
	count := float64(f.times.TotalCount())
	if count == 0 {
		return nil
	}
	var all []Percentile
	add := func(fraction float64) {
		all = append(all, Percentile{100 * fraction, time.Duration(f.times.ValueAtPercentile(100 * fraction))})
	}
	for twentieth := range 9 {
		add(float64(twentieth+1) / 20)
	}
	for step := 0.0; ; step++ {
		left := math.Pow(2, -1-step/5)
		if left*count < 1 {
			return all
		}
		add(1 - left)
	}
}

// latency reads the histogram. All zero if nothing was done.
func (f *figures) latency() Latency {
	at := func(percent float64) time.Duration { return time.Duration(f.times.ValueAtPercentile(percent)) }
	return Latency{
		Mean: time.Duration(f.times.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: time.Duration(f.times.Max()),
	}
}
