package store

import (
	"io"
	"sync"
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

// end returns when it was.
func (r *reads) end(one reading) (ended time.Duration) {
	ended = r.elapsed()
	took := int64(ended - one.since)
	if one.slot >= 0 {
		r.since[one.slot].Store(0)
	}
	for was := r.slowest.Load(); took > was && !r.slowest.CompareAndSwap(was, took); {
		was = r.slowest.Load()
	}
	return ended
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

// Reading reports whether somebody reads at this moment, the scrubber aside.
func (s *Store) Reading() bool {
	for i := range s.reads.since {
		if s.reads.since[i].Load() != 0 {
			return true
		}
	}
	return false
}

// Moved returns how long somebody has waited for the disk to move payloads since it
// was called last, and how many bytes it has moved in that time: of calls that move
// leastCounted and more, which count for leastMoved at least.
func (s *Store) Moved() (waited time.Duration, bytes int64) { return s.moved.take() }

const (
	// waitsFrom is what a call takes that waits for a disk: one that finds what it
	// wants in memory takes less, and so does one that has a quick disk for itself.
	waitsFrom = 50 * time.Millisecond
	// leastCounted is what a call moves that says how much the disk does; a smaller one
	// says how soon it comes to it, and of a byte the kernel decides how much it reads.
	leastCounted = 64 << 10
	// leastMoved is what such a call counts for: in the time of a seek a spinning disk
	// moves a megabyte, and one that is full of requests of this size is not slow.
	leastMoved = 128 << 10
)

// moved measures how much a disk moves while somebody waits for it. Calls that run at
// the same time are waited for once: many who share a disk do not make it slow. Safe
// for concurrent use.
type moved struct {
	mu      sync.Mutex
	covered time.Duration // until when waiting has been counted
	waited  time.Duration
	bytes   int64
}

// call notes a call that has moved so many bytes.
func (m *moved) call(began, ended time.Duration, bytes int64) {
	if ended-began < waitsFrom || bytes < leastCounted {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waited += ended - max(began, min(m.covered, ended))
	m.covered = max(m.covered, ended)
	m.bytes += max(bytes, leastMoved)
}

// beside notes bytes that the disk has moved beside calls.
func (m *moved) beside(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += bytes
}

func (m *moved) take() (waited time.Duration, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waited, bytes = m.waited, m.bytes
	m.waited, m.bytes = 0, 0
	return waited, bytes
}

// payloadFile is a payload file that is open for reading: how its reads go counts
// for the disk. It is a messages.PayloadFile.
type payloadFile struct {
	disk.File
	store *Store
	key   objects.Key
	// payload names what is in it.
	payload objects.Generation
	cold    atomic.Bool // what was read last was not in memory
}

// coldFrom is what a read takes that was not in memory.
const coldFrom = time.Millisecond

// ReadAt implements io.ReaderAt. Failures of the disk have their kind.
func (f *payloadFile) ReadAt(p []byte, offset int64) (int, error) {
	s := f.store
	one := s.reads.begin()
	n, err := f.File.ReadAt(p, offset)
	ended := s.reads.end(one)
	f.cold.Store(ended-one.since >= coldFrom)
	s.moved.call(one.since, ended, int64(n))
	if err != nil && err != io.EOF {
		s.diskError(f.key, err)
		err = failed("store.ReadAt", f.key, err)
	}
	return n, err
}

// Verified implements messages.VerifiedFile.
func (f *payloadFile) Verified() { f.store.scrub.Taken(f.payload) }

// Sent implements messages.PayloadFile.
func (f *payloadFile) Sent(bytes int64) {
	if f.cold.Load() {
		f.store.moved.beside(bytes)
	}
}
