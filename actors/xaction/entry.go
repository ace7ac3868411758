package xaction

import (
	"cmp"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
)

// table is what the coordinator knows of jobs. It outlives a restart of the
// coordinator, which alone touches it.
type table struct {
	byID    map[string]*entry
	waiting int               // WaitJobs that have not been answered
	serial  uint64            // numbers runs and waiters
	past    map[string]Amount // done, by kind: what no document says any more
}

// keep adds to past what a job has done, before its document forgets it.
func (t *table) keep(e *entry) {
	past := t.past[e.doc.Kind]
	past.Objects += e.doc.Progress.Objects
	past.Bytes += e.doc.Progress.Bytes
	t.past[e.doc.Kind] = past
}

// entry is one job.
type entry struct {
	doc  document
	kind *Kind // nil: this node has no such kind any more

	// Of a run under way; zero where there is none.
	pid    *actor.PID
	serial uint64
	ledger *ledger
	hold   *hold     // closed before a pause is answered, so that no step begins after it
	limit  *limit    // of the document's rate
	ended  *jobEnded // what the run told, before its actor is gone

	// What is on its way to the disk.
	pending  bool   // it is not durable yet for the first time: nothing may run
	saving   uint64 // version that was last handed to the recorder
	saved    uint64 // version that was last answered, well or not
	recorded uint64 // changes of the ledger that are in saving
	unsaved  bool   // the last answer was a failure
	touched  bool   // to be saved at the end of this message
	after    []afterSave
	waiters  []waiter
}

// afterSave is called when the version, or a later one, was answered by the recorder.
type afterSave struct {
	version uint64
	call    func(error)
}

// waiter is one WaitJob.
type waiter struct {
	serial uint64
	reply  messages.Reply[*messages.Job]
	timer  clock.Timer
}

// snapshot returns what others see of the job now.
func (e *entry) snapshot() *messages.Job {
	doc := e.doc
	idle := false
	if e.ledger != nil {
		e.ledger.writeTo(&doc)
		idle = e.ledger.isIdle()
	}
	job := doc.snapshot()
	if e.ledger != nil {
		job.Progress.ObjectsPerSecond, job.Progress.BytesPerSecond = e.ledger.perSecond()
	}
	job.Idle = job.Idle || idle || doc.State == messages.JobPaused && e.pid == nil
	return job
}

// under reports whether the run's actor is there.
func (e *entry) underWay() bool { return e.pid != nil }

// takesRoom reports whether the job is one of those that are limited in number.
func (e *entry) takesRoom() bool {
	return e.underWay() && (e.doc.State == messages.JobRunning || e.doc.State == messages.JobStopping)
}

// next returns the job that is to run next; nil: none waits.
func (t *table) next() *entry {
	var best *entry
	for _, e := range t.byID {
		if e.doc.State != messages.JobQueued || e.pending {
			continue
		}
		if best == nil || before(e, best) {
			best = e
		}
	}
	return best
}

// before orders queued jobs: by priority, then by age.
func before(a, b *entry) bool {
	return cmp.Or(
		-cmp.Compare(a.kind.Priority, b.kind.Priority), a.doc.Created.Compare(b.doc.Created), cmp.Compare(a.doc.ID, b.doc.ID),
	) < 0
}

// count returns how many jobs satisfy a condition.
func (t *table) count(condition func(*entry) bool) int {
	n := 0
	for _, e := range t.byID {
		if condition(e) {
			n++
		}
	}
	return n
}

// rival returns an active job because of which none of the kind may begin for the
// target; nil: it may.
func (t *table) rival(kind *Kind, bucket string) *entry {
	for _, e := range t.byID {
		if e.doc.Kind != kind.Name || e.doc.State.Ended() && !e.underWay() {
			continue
		}
		switch kind.Scope {
		case OncePerNode:
			return e
		case OncePerBucket:
			if e.doc.Bucket == bucket {
				return e
			}
		}
	}
	return nil
}

// ordered returns the jobs, the newest first.
func (t *table) ordered() []*entry {
	list := make([]*entry, 0, len(t.byID))
	for _, e := range t.byID {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int {
		return cmp.Or(b.doc.Created.Compare(a.doc.Created), cmp.Compare(a.doc.ID, b.doc.ID))
	})
	return list
}

// forgettable returns the ended jobs that are beyond the history: older than the
// age, or more than so many, the oldest first.
func (t *table) forgettable(keep int, before time.Time) []*entry {
	var ended []*entry
	for _, e := range t.byID {
		if e.doc.State.Ended() && !e.underWay() && !e.pending && len(e.after) == 0 {
			ended = append(ended, e)
		}
	}
	slices.SortFunc(ended, func(a, b *entry) int { return endOf(a).Compare(endOf(b)) })
	n := 0
	for n < len(ended) && (len(ended)-n > keep || endOf(ended[n]).Before(before)) {
		n++
	}
	return ended[:n]
}

func endOf(e *entry) time.Time {
	if e.doc.Ended == nil {
		return time.Time{}
	}
	return *e.doc.Ended
}
