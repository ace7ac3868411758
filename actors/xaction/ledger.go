package xaction

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Amount is how much was done, or is to be done.
type Amount struct {
	Objects int64
	Bytes   int64
}

const (
	// maxFailures is how many failures of a job are remembered with their names.
	maxFailures = 32
	// maxFailureText bounds the text of each, in bytes.
	maxFailureText = 512
	// maxCheckpoint bounds the state of a checkpoint, in bytes: it is written to every
	// mountpath, as often as once a second.
	maxCheckpoint = 64 << 10
)

// ledger is what a job has done and where it is: written by the job, read by the
// coordinator. Safe for concurrent use.
type ledger struct {
	mu         sync.Mutex
	progress   progress
	checkpoint *checkpoint // replaced, never changed
	changes    uint64
	idle       bool
	tempo      tempo
	clock      clock.Clock
}

func newLedger(d *document, clock clock.Clock) *ledger {
	l := &ledger{progress: d.Progress, checkpoint: d.Checkpoint, tempo: tempo{born: clock.Elapsed()}, clock: clock}
	l.progress.Failures = slices.Clone(d.Progress.Failures)
	return l
}

func (l *ledger) change(how func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how()
	l.changes++
}

// count adds what was done.
func (l *ledger) count(a Amount) {
	l.change(func() {
		l.progress.Objects += a.Objects
		l.progress.Bytes += a.Bytes
		l.tempo.add(l.clock.Elapsed(), a)
	})
}

// expect says what is to be done in all.
func (l *ledger) expect(a Amount) {
	l.change(func() { l.progress.TotalObjects, l.progress.TotalBytes = a.Objects, a.Bytes })
}

// failed notes one thing that failed while the job goes on.
func (l *ledger) failed(name string, err error) {
	text := err.Error()
	if len(text) > maxFailureText {
		text = text[:maxFailureText] + " …"
	}
	l.change(func() {
		l.progress.Errors++
		if len(l.progress.Failures) == maxFailures {
			l.progress.Failures = append(l.progress.Failures[:0:0], l.progress.Failures[1:]...)
		}
		l.progress.Failures = append(l.progress.Failures, failure{Name: name, Err: text})
	})
}

// keep replaces the checkpoint.
func (l *ledger) keep(version int, state any) error {
	const op errs.Op = "xaction.Checkpoint"
	content, err := json.Marshal(state)
	if err != nil {
		return errs.E(op, errs.Internal, err)
	}
	if len(content) > maxCheckpoint {
		return errs.E(op, errs.Internal, fmt.Errorf("the state has %d bytes, at most %d", len(content), maxCheckpoint))
	}
	l.change(func() { l.checkpoint = &checkpoint{Version: version, State: content} })
	return nil
}

func (l *ledger) setIdle(idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = idle
}

func (l *ledger) isIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle
}

// writeTo copies the ledger into a document and returns the number of changes
// that it has with it.
func (l *ledger) writeTo(d *document) (changes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.Progress = l.progress
	d.Progress.Failures = slices.Clone(l.progress.Failures)
	d.Checkpoint = l.checkpoint
	return l.changes
}

// amount returns what was done.
func (l *ledger) amount() Amount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Amount{Objects: l.progress.Objects, Bytes: l.progress.Bytes}
}

// perSecond returns how much is done in a second now.
func (l *ledger) perSecond() (objects, bytes float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tempo.perSecond(l.clock.Elapsed())
}

// hasChanged reports whether there were changes since that many.
func (l *ledger) hasChanged(since uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes != since
}
