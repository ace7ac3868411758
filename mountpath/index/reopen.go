package index

import (
	"errors"
	"sync"

	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxReopenings is how often a process reopens the index of one mountpath. Each
// dead instance keeps its memory and parked goroutines; a disk
// that kills three of them has had its chances.
const MaxReopenings = 3

var (
	errAlive         = errors.New("the index is alive")
	errReopenedOften = errors.New("the index was reopened too often")
	errCallsUnderWay = errors.New("calls of the dead index are under way")
)

// Reopener puts a new index in the place of a dead one, at most MaxReopenings
// times. There is one for each mountpath, for the life of the process. Safe for
// concurrent use; the zero value is ready.
type Reopener struct {
	mu   sync.Mutex
	done int
}

// Reopen opens the directory of a dead index again, once no system call of the
// dead one can still reach the disk. It blocks, at most for twice the deadline of
// the options: call it from a goroutine that may. The keys whose commits failed are
// settled by it: what is there now is the outcome.
//
// The dead index is let go as by Close: its readers are told Offline, so let them
// go over to the new one.
//
// Errors: Busy while calls are under way, and nothing was used up; Offline when
// the reopenings are; else what Open says.
func (r *Reopener) Reopen(old *Index, options Options) (*Index, error) {
	const op errs.Op = "index.Reopen"
	r.mu.Lock()
	defer r.mu.Unlock()
	options = options.withDefaults()
	switch {
	case !old.instance.isDead():
		return nil, errs.E(op, options.Dir, errs.Exists, errAlive)
	case r.done == MaxReopenings:
		return nil, errs.E(op, options.Dir, errs.Offline, errReopenedOften)
	}
	if !old.release(old.adapter.unlocked, options.Deadline) {
		return nil, errs.E(op, options.Dir, errs.Busy, errCallsUnderWay)
	}
	r.done++
	return Open(options)
}

// Left returns how many reopenings are left.
func (r *Reopener) Left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return MaxReopenings - r.done
}
