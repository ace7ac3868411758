package store

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// BenchmarkHistory is what the history costs a PUT of 4 KiB, in processor time of a store
// and its index: ten pairs of a store that records and of one that does not, which take
// turns, each with 16 writers, and each drained at its end. It reports medians, and the
// spread of the differences.
//
//	go test ./mountpath/store -run '^$' -bench History -benchtime 1x
func BenchmarkHistory(b *testing.B) {
	const pairs = 10
	for b.Loop() {
		var with, without, more []float64
		for pair := range pairs {
			var on, off float64
			if pair%2 == 0 {
				on, off = putsCost(b, HistoryLimits{}), putsCost(b, HistoryLimits{Off: true})
			} else {
				off, on = putsCost(b, HistoryLimits{Off: true}), putsCost(b, HistoryLimits{})
			}
			with, without, more = append(with, on), append(without, off), append(more, on-off)
		}
		for _, list := range [][]float64{with, without, more} {
			slices.Sort(list)
		}
		b.ReportMetric(median(with), "with-µs/op")
		b.ReportMetric(median(without), "without-µs/op")
		b.ReportMetric(median(more), "more-µs/op")
		b.ReportMetric(more[0], "least-more-µs/op")
		b.ReportMetric(more[pairs-1], "most-more-µs/op")
	}
}

func median(sorted []float64) float64 {
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

// putsCost is the processor time of a PUT, in microseconds, compactions included.
func putsCost(b *testing.B, limits HistoryLimits) float64 {
	const (
		puts    = 30_000 // 120 MiB: seven memtables
		keys    = 20_000
		writers = 16
	)
	fs, err := disk.NewLinux(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	err = Format(fs, layout.Format{
		Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "m",
		IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC(),
	})
	if err != nil {
		b.Fatal(err)
	}
	shared := index.NewShared(64<<20, 1)
	defer shared.Close()
	s, err := Open(Options{FS: fs, Shared: shared, Generations: objects.NewSequencer(1, 1), Reserve: Reserve{Bytes: 1}, History: limits})
	if err != nil {
		b.Fatal(err)
	}
	payloads := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(payloads)
	by := objects.Origin{Cause: objects.CauseRequest, Principal: "troupe", Request: "0123456789ABCDEF"}
	done := make(chan struct{})
	kept := make(chan error, 1)
	go func() { // as the keeper does
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := s.KeepHistory(); err != nil {
					kept <- err
					return
				}
			case <-done:
				kept <- nil
				return
			}
		}
	}()
	before := processorTime(b)
	var next atomic.Int64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for n := next.Add(1); n <= puts; n = next.Add(1) {
				payload := payloads[n*4099%(int64(len(payloads))-4096):][:4096]
				meta := objects.Meta{Size: 4096, XXHash: xxhash.Checksum64(payload), ETag: "9e107d9d372bb6826bd81d3542a419d6", Modified: time.Unix(n, 0)}
				key := testKey(fmt.Sprintf("photos/2026/%016x.jpg", uint64(n%keys)*0x9e3779b97f4a7c15))
				for {
					_, err := s.PutInline(key, meta, payload, objects.Conditions{}, by)
					if err == nil {
						break
					}
					if !errs.Is(errs.Busy, err) { // the index has to compact first
						b.Error(err)
						return
					}
					runtime.Gosched()
				}
			}
		})
	}
	group.Wait()
	close(done)
	if err := <-kept; err != nil {
		b.Fatal(err)
	}
	if err := s.Index().Flush(); err != nil {
		b.Fatal(err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for rest := 0; rest < 3; <-look.C {
		m, err := s.Index().Metrics()
		if err != nil {
			b.Fatal(err)
		}
		if rest++; m.CompactionsNow > 0 {
			rest = 0
		}
	}
	cost := processorTime(b) - before
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return float64(cost.Nanoseconds()) / 1000 / puts
}

// processorTime is that of this process so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
