package index

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// grantPause is how often a compaction that was refused is looked at again, beside
// the moments at which a compaction or flush ends. Pebble's own scheduler does the same.
const grantPause = 100 * time.Millisecond

// scheduler lets Pebble's compactions begin: as many at a time as Pebble wants,
// and none on a dead instance. Without that a compaction that cannot read its
// tables would be tried again at once and for ever; to park it in its read is no
// way out, since it opens tables for everybody else who waits for them, and holds
// the node's file cache up meanwhile.
//
// Its mutex comes after Pebble's, and is not held in calls of the database, but
// for allowed, which locks nothing. Safe for concurrent use.
type scheduler struct {
	instance *instance
	db       pebble.DBForCompaction
	wake     chan struct{} // capacity 1: more may be allowed than before
	stop     chan struct{}
	stopped  chan struct{} // closed when the granter has ended

	mu      sync.Mutex
	running int // compactions that were let in
}

var (
	_ pebble.CompactionScheduler   = (*scheduler)(nil)
	_ pebble.CompactionGrantHandle = (*scheduler)(nil)
)

func newScheduler(i *instance) *scheduler {
	return &scheduler{
		instance: i,
		wake:     make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// Register implements pebble.CompactionScheduler.
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.db = db
	go s.grant()
}

// Unregister implements pebble.CompactionScheduler: afterwards the database is
// called no more.
func (s *scheduler) Unregister() {
	close(s.stop)
	<-s.stopped
}

// TrySchedule implements pebble.CompactionScheduler.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !s.enter() {
		return false, nil
	}
	return true, s
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler.
func (s *scheduler) UpdateGetAllowedWithoutPermission() { s.poke() }

// Started implements pebble.CompactionGrantHandle.
func (s *scheduler) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done implements pebble.CompactionGrantHandle.
func (s *scheduler) Done() {
	s.leave()
	s.poke()
}

func (s *scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// enter lets one compaction in, if it may be.
func (s *scheduler) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
		return false
	case <-s.instance.dead:
		return false
	default:
	}
	if s.running >= s.db.GetAllowedWithoutPermission() {
		return false
	}
	s.running++
	return true
}

func (s *scheduler) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// grant is the granter: the one goroutine that lets in what had to wait. It ends
// with the database or with the instance.
func (s *scheduler) grant() {
	defer close(s.stopped)
	ticker := time.NewTicker(grantPause)
	defer ticker.Stop()
	for {
		select {
		case <-s.wake:
		case <-ticker.C:
		case <-s.stop:
			return
		case <-s.instance.dead:
			return
		}
		for s.enter() {
			// It has to be asked first: Schedule takes a compaction that is waiting.
			if waiting, _ := s.db.GetWaitingCompaction(); !waiting || !s.db.Schedule(s) {
				s.leave()
				break
			}
		}
	}
}
