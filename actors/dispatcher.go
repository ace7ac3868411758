package actors

import "sync/atomic"

// workers runs mailboxes on goroutines that are used again. protoactor's own
// dispatcher starts one for each time that a mailbox wakes up: its stack begins
// small and is copied as it grows, which on the data path (an index below a lane)
// cost 15% of a small GET. Safe for concurrent use.
type workers struct {
	work  chan func()
	idle  atomic.Int64
	ended chan struct{} // closed when the system has ended: nobody waits for work any more
}

const (
	// maxIdleWorkers bounds the goroutines that wait for work; 128 grown stacks
	// are 4 MiB at most.
	maxIdleWorkers = 128
	// throughput is how many messages a mailbox handles before others get a turn.
	throughput = 300
)

func newWorkers() *workers { return &workers{work: make(chan func()), ended: make(chan struct{})} }

// Schedule implements actor.Dispatcher.
func (w *workers) Schedule(run func()) {
	select {
	case w.work <- run:
	default:
		go w.serve(run)
	}
}

// Throughput implements actor.Dispatcher.
func (w *workers) Throughput() int { return throughput }

// serve runs one mailbox, and then others until there are enough idle workers or
// the system has ended.
func (w *workers) serve(run func()) {
	run()
	for w.idle.Add(1) <= maxIdleWorkers {
		select {
		case next := <-w.work:
			w.idle.Add(-1)
			next()
		case <-w.ended:
			w.idle.Add(-1)
			return
		}
	}
	w.idle.Add(-1)
}

// end lets idle workers go. What a late timer still schedules runs all the same.
func (w *workers) end() { close(w.ended) }
