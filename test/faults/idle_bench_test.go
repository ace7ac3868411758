package faults_test

import (
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors/faults"
)

// BenchmarkIdleDesk tells what a desk with no fault costs requests: each is made at a node
// without a desk and at one with, in turns, and the medians are compared. What differs by
// more than the spread of several runs (-count 10) is the desk's.
func BenchmarkIdleDesk(b *testing.B) {
	for _, c := range []struct {
		name string
		body []byte
		put  bool
	}{
		{"GET inline", []byte("small"), false},
		{"GET file", large(1), false},
		{"PUT inline", []byte("small"), true},
		{"PUT file", large(1), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			nodes := []*world{start(b, nil), start(b, faults.New(faults.Options{}))}
			for _, w := range nodes {
				if err := w.put("k", c.body); err != nil {
					b.Fatal(err)
				}
			}
			took := [2][]time.Duration{}
			b.ResetTimer()
			for n := range b.N {
				for turn := range nodes {
					at := (n + turn) % 2 // neither always follows the other
					began := time.Now()
					var err error
					if c.put {
						err = nodes[at].put("k", c.body)
					} else {
						err = nodes[at].get("k", c.body)
					}
					if err != nil {
						b.Fatal(err)
					}
					took[at] = append(took[at], time.Since(began))
				}
			}
			b.StopTimer()
			median := func(all []time.Duration) float64 {
				slices.Sort(all)
				return float64(all[len(all)/2])
			}
			without, with := median(took[0]), median(took[1])
			b.ReportMetric(without/1e3, "µs-without")
			b.ReportMetric(with/1e3, "µs-with")
			b.ReportMetric(100*(with-without)/without, "%-more")
			b.ReportMetric(0, "ns/op") // it is of both
		})
	}
}
