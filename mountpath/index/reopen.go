package index

import (
	"errors"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxReopenings is how often a process reopens the index of one mountpath. Each
// dead instance keeps its memory, descriptors and parked goroutines; a disk
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
// dead one can still reach the disk. It blocks, at most for the deadline of
// the dead index's options: call it from a goroutine that may. The keys whose
// commits failed are settled by it: what is there now is the outcome.
//
// The dead index goes on answering what its readers ask, as far as the files
// that it knows still exist; let them go over to the new one.
//
// Errors: Busy while calls are under way, and nothing was used up; Offline when
// the reopenings are; else what Open says.
func (r *Reopener) Reopen(old *Index) (*Index, error) {
	const op errs.Op = "index.Reopen"
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !old.instance.isDead():
		return nil, errs.E(op, old.options.Dir, errs.Exists, errAlive)
	case r.done == MaxReopenings:
		return nil, errs.E(op, old.options.Dir, errs.Offline, errReopenedOften)
	case !old.instance.quiet(time.Now().Add(old.options.Deadline)):
		return nil, errs.E(op, old.options.Dir, errs.Busy, errCallsUnderWay)
	}
	r.done++
	return open(old.options, old.lock)
}

// Left returns how many reopenings are left.
func (r *Reopener) Left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return MaxReopenings - r.done
}
