package index

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchIndex opens an index with a node's ordinary caches.
func benchIndex(b *testing.B, change ...func(*Options)) *Index {
	b.Helper()
	shared := NewShared(64<<20, 1)
	b.Cleanup(shared.Close)
	return mustOpen(b, linux(b), append([]func(*Options){func(o *Options) {
		o.Node = shared
		o.MemTableBytes = MaxMemTableBytes
		o.Retreat = time.Second
	}}, change...)...)
}

// drain waits until the index is at rest: flushed, and nothing left to compact.
func drain(b *testing.B, x *Index) {
	b.Helper()
	if err := x.Flush(); err != nil {
		b.Fatal(err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for rest := 0; rest < 3; <-look.C {
		m, err := x.Metrics()
		if err != nil {
			b.Fatal(err)
		}
		if m.CompactionsNow == 0 {
			rest++
		} else {
			rest = 0
		}
	}
}

func objectKey(prefix byte, n uint64) []byte {
	key := make([]byte, 0, 40)
	key = append(key, prefix)
	key = binary.BigEndian.AppendUint64(key, 7) // the bucket
	return fmt.Appendf(key, "photos/2026/%016x.jpg", n*0x9e3779b97f4a7c15)
}

// BenchmarkCommit is 64 writers of one record of 200 bytes and one payload
// each, synced. It reports the processor time of the whole process for each
// commit, once without and once with the compactions that follow.
func BenchmarkCommit(b *testing.B) {
	for _, bytes := range []int{0, 4 << 10, 16 << 10, 32 << 10, 64 << 10} {
		for _, inline := range []bool{false, true} {
			if bytes == 0 && inline {
				continue
			}
			name := fmt.Sprintf("payload=%d/separated=%v", bytes, !inline)
			b.Run(name, func(b *testing.B) {
				x := benchIndex(b, func(o *Options) { o.InlineSeparation = inline })
				const writers = 64
				// Windows of a pool that is larger than any block: nothing repeats
				// within what a compressor sees.
				const pool = 32 << 20
				payload := make([]byte, pool+bytes)
				r := rand.NewChaCha8([32]byte{1})
				r.Read(payload)
				record := payload[:200]
				var next atomic.Uint64
				b.SetBytes(int64(bytes + len(record)))
				b.ReportAllocs()
				before, started := cpu(b), time.Now()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for {
							n := next.Add(1)
							if n > uint64(b.N) {
								return
							}
							batch := x.NewBatch()
							key := objectKey('o', n)
							batch.Set(key, record)
							if bytes > 0 {
								at := n * 4099 % pool
								batch.Set(objectKey('d', n), payload[at:at+uint64(bytes)])
							}
							if err := x.Commit(batch, key); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				elapsed := time.Since(started)
				b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(b.N)/elapsed.Seconds(), "commits/s")
				drain(b, x)
				b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-drained-µs/op")
				m, err := x.Metrics()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(m.DiskBytes)/float64(b.N), "disk-B/op")
				if err := x.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkGet reads records of 200 bytes that are in the block cache.
func BenchmarkGet(b *testing.B) {
	x := benchIndex(b)
	const keys = 100_000
	record := make([]byte, 200)
	r := rand.NewChaCha8([32]byte{2})
	batch := x.NewBatch()
	for n := range uint64(keys) {
		r.Read(record)
		batch.Set(objectKey('o', n), record)
		if batch.Bytes() > 1<<20 {
			if err := x.Commit(batch); err != nil {
				b.Fatal(err)
			}
			batch = x.NewBatch()
		}
	}
	if err := x.Commit(batch); err != nil {
		b.Fatal(err)
	}
	get := func(b *testing.B) {
		b.ReportAllocs()
		list := make([][]byte, keys)
		for n := range list {
			list[n] = objectKey('o', uint64(n))
		}
		for n := range list {
			v, err := x.Get(list[n])
			if err != nil {
				b.Fatal(err)
			}
			v.Close()
		}
		b.ResetTimer()
		for n := 0; b.Loop(); n++ {
			key := list[(n*7919)%keys]
			v, err := x.Get(key)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := x.Settled(key, time.Second); err != nil {
				b.Fatal(err)
			}
			v.Close()
		}
	}
	b.Run("memtable", get)
	drain(b, x)
	b.Run("table", get)
	if err := x.Compact([]byte("a"), []byte("z")); err != nil {
		b.Fatal(err)
	}
	b.Run("compacted", get)
	b.Run("absent", func(b *testing.B) {
		b.ReportAllocs()
		for n := uint64(keys); b.Loop(); n++ {
			if _, err := x.Get(objectKey('o', n)); err == nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("scan-1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := x.Scan([]byte("o"), []byte("p"))
			if err != nil {
				b.Fatal(err)
			}
			for range 1000 {
				if !s.Next() {
					b.Fatal(s.Err())
				}
				if _, err := s.Value(); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}
