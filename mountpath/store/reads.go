package store

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects"
)

// readSlots is how many reads under way are watched at a time; of more, some are
// only measured when they end.
const readSlots = 128

// reads knows how long reads of the disk take, for who judges it: those of records
// and of payloads, which gateways read without the mountpath's actors. Safe for
// concurrent use; it costs two looks at a clock and no lock.
type reads struct {
	elapsed func() time.Duration
	next    atomic.Uint32
	since   [readSlots]atomic.Int64 // of elapsed, at least 1; 0: nobody reads
	slowest atomic.Int64            // of those that have ended since it was asked last
}

// reading is one read under way.
type reading struct {
	slot  int // -1: none was free
	since time.Duration
}

func (r *reads) begin() reading {
	now := max(r.elapsed(), 1)
	for range 4 {
		slot := int(r.next.Add(1) % readSlots)
		if r.since[slot].CompareAndSwap(0, int64(now)) {
			return reading{slot, now}
		}
	}
	return reading{-1, now}
}

func (r *reads) end(one reading) {
	took := int64(r.elapsed() - one.since)
	if one.slot >= 0 {
		r.since[one.slot].Store(0)
	}
	for was := r.slowest.Load(); took > was && !r.slowest.CompareAndSwap(was, took); {
		was = r.slowest.Load()
	}
}

// Reads returns for how long the oldest read has been under way, 0 if there is none,
// and how long the slowest took of those that have ended since Reads was called
// last. One caller at a time.
func (s *Store) Reads() (oldest, slowest time.Duration) {
	now := s.reads.elapsed()
	for i := range s.reads.since {
		if since := s.reads.since[i].Load(); since != 0 {
			oldest = max(oldest, now-time.Duration(since))
		}
	}
	return oldest, time.Duration(s.reads.slowest.Swap(0))
}

// payloadFile is a payload file that is open for reading: how its reads go counts
// for the disk. It is a messages.PayloadFile.
type payloadFile struct {
	disk.File
	store *Store
	key   objects.Key
}

// ReadAt implements io.ReaderAt.
func (f *payloadFile) ReadAt(p []byte, offset int64) (int, error) {
	one := f.store.reads.begin()
	n, err := f.File.ReadAt(p, offset)
	f.store.reads.end(one)
	if err != nil && err != io.EOF {
		f.store.diskError(f.key, err)
	}
	return n, err
}
