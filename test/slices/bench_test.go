package slices

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// What a question costs for each piece of a slice, where the length of a body is not known:
// the same slice in one question, and in many. One node asks, the other writes into memory;
// both are in this process, so cpu is that of both.
//
//	go test ./test/slices -run '^$' -bench Stage -benchtime 20x
func BenchmarkStage(b *testing.B) {
	w := newWorld(b, options{keeps: true})
	p := w.payload(46 << 20)
	size := int64(len(p.slices[0]))
	b.Run("without-cells", func(b *testing.B) {
		began := cpu(b)
		for b.Loop() {
			if _, err := w.send(p, 0, 0, 0, false); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
	})
	for _, piece := range []int64{size, 192 << 10, 128 << 10, 64 << 10} {
		questions := (size + piece - 1) / piece
		b.Run(fmt.Sprintf("questions=%d", questions), func(b *testing.B) {
			b.SetBytes(size)
			var spent time.Duration
			for b.Loop() {
				began := cpu(b)
				for from := int64(0); from < size; from += piece {
					if _, err := w.send(p, 0, from, min(from+piece, size), false); err != nil {
						b.Fatal(err)
					}
				}
				spent += cpu(b) - began
				b.StopTimer()
				if err := w.road.AbandonStage(w.node, w.bucket, name, p.generation); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is what this process has used of it.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
