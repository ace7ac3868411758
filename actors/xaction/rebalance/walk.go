package rebalance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

const (
	// slotsTogether is how many slots are walked together. Each run of them is one look at
	// all names; the fewer there are in a run, the sooner sources are given up, and the less
	// is walked again when a node changes its state.
	slotsTogether = smap.Slots / 16
	// pageRecords is how many records are looked at together.
	pageRecords = 1000
	// together is how many keys are copied side by side: they wait for syncs, mostly.
	together = 8
	// lookEvery is between two looks at the map while there is nothing to walk, or the plan
	// is paused.
	lookEvery = 250 * time.Millisecond
	// again is between two tries of what failed.
	again = 2 * time.Second
	// tries is how often a key is tried at once that cannot be copied now.
	tries = 4
)

// state is what a walk has done: its checkpoint. A report is as good after a restart as
// before: the next owners have what was copied on their disks, and are in the ack set.
type state struct {
	Base    uint64             `json:"base"` // see base
	Runs    []messages.SlotRun `json:"runs,omitempty"`
	Objects int64              `json:"objects"`
	Bytes   int64              `json:"bytes"`
}

// stateVersion is the version of the checkpoint.
const stateVersion = 1

// errChanged says that a node changed its state during a walk, or that the plan is over.
var errChanged = errors.New("the cluster changed while keys were walked")

// walk is one run of the job. Its fields belong to the job's goroutine, but for those
// under mu.
type walk struct {
	Config
	run  *xaction.Run
	plan uint64

	mu   sync.Mutex
	at   state
	fail string // why the walk does not get on
	rate limit

	from uint16 // where the next run of slots is looked for; behind one that failed
}

func (w *walk) do() error {
	var p Parameters
	if err := w.run.Parameters(&p); err != nil {
		return err
	}
	w.plan = p.Plan
	if _, err := w.run.Restore(&w.at); err != nil {
		return err
	}
	if w.plan != 0 {
		if err := w.walk(); err != nil {
			return err
		}
	}
	return w.sweep()
}

// next is the plan of this job, if it is under way, and the map.
func (w *walk) next() (*smap.Smap, *smap.Next) {
	m := w.View().Map
	if m == nil {
		return nil, nil
	}
	next, ok := m.Next()
	if !ok || next.Since != w.plan {
		return m, nil
	}
	return m, &next
}

// base is the version since which nothing has changed that would make a walk void: when
// a node changed its state last, or the plan began.
func base(m *smap.Smap, next *smap.Next) uint64 {
	since := next.Since
	for _, node := range m.Nodes() {
		since = max(since, node.Since)
	}
	return since
}

// walk walks all slots until the plan is over.
func (w *walk) walk() error {
	w.publish()
	counted := false
	for {
		if err := w.turn(); err != nil {
			return err
		}
		m, next := w.next()
		if m != nil && next == nil {
			w.Report.Store(nil)
			return nil
		}
		if m == nil || !w.active(m) {
			if err := w.rest(lookEvery); err != nil {
				return err
			}
			continue
		}
		since := base(m, next)
		if since != w.at.Base {
			w.begin(since)
		}
		if !counted {
			counted = true
			w.expect()
		}
		from, to, left := w.choose(next)
		if !left {
			if err := w.rest(lookEvery); err != nil {
				return err
			}
			continue
		}
		switch err := w.slots(since, from, to); {
		case err == nil:
			if err := w.walked(messages.SlotRun{From: from, To: to, Map: m.Version()}); err != nil {
				return err
			}
		case errors.Is(err, xaction.ErrStop):
			return err
		case errors.Is(err, errChanged):
		default:
			w.from = to + 1
			w.failed(err)
			w.run.Failed(fmt.Sprintf("slots %d to %d", from, to), err)
			if err := w.rest(again); err != nil {
				return err
			}
		}
	}
}

// active reports whether this node walks: one that is away has no say.
func (w *walk) active(m *smap.Smap) bool {
	node, in := m.Node(w.View().Self)
	return in && !node.State.Away()
}

// rest waits, as a job that has nothing to do.
func (w *walk) rest(d time.Duration) error {
	w.run.Idle(true)
	defer w.run.Idle(false)
	return w.run.Wait(d)
}

// turn asks for leave to begin the next step, also of the plan: while that is paused it
// waits.
func (w *walk) turn() error {
	for {
		if err := w.run.Turn(); err != nil {
			return err
		}
		plan := w.View().Plan
		if plan == nil {
			return nil
		}
		w.mu.Lock()
		wait := w.rate.due(plan.Rate, w.run.Now())
		w.mu.Unlock()
		switch {
		case plan.Paused:
			wait = lookEvery
		case wait <= 0:
			return nil
		}
		if err := w.rest(min(wait, lookEvery)); err != nil {
			return err
		}
	}
}

// begin forgets what was walked before a node changed its state.
func (w *walk) begin(since uint64) {
	w.mu.Lock()
	w.at.Base, w.at.Runs = since, nil
	w.mu.Unlock()
	w.publish()
}

// choose returns the next run of slots that has neither gone over nor been walked. Those
// that failed come after the others: one key that cannot be copied holds up its own.
func (w *walk) choose(next *smap.Next) (from, to uint16, left bool) {
	for first := 0; first < smap.Slots; first += slotsTogether {
		from := uint16((int(w.from) + first) % smap.Slots)
		to := from + slotsTogether - 1
		walked := slices.ContainsFunc(w.at.Runs, func(r messages.SlotRun) bool { return r.From <= from && to <= r.To })
		switched := slices.ContainsFunc(next.Switched, func(s smap.Switch) bool { return s.From <= from && to <= s.To })
		if !walked && !switched {
			return from, to, true
		}
	}
	return 0, 0, false
}

// walked notes that a run of slots was walked. It is on the disk before it is reported.
func (w *walk) walked(run messages.SlotRun) error {
	w.mu.Lock()
	w.at.Runs = append(slices.Clone(w.at.Runs), run)
	w.fail = ""
	at := w.at
	w.mu.Unlock()
	if err := w.run.Checkpoint(stateVersion, &at); err != nil {
		return err
	}
	if err := w.run.Sync(); err != nil {
		return err
	}
	w.publish()
	return nil
}

func (w *walk) failed(err error) {
	w.mu.Lock()
	w.fail = err.Error()
	w.mu.Unlock()
	w.publish()
}

// copied counts a key that was copied.
func (w *walk) copied(bytes int64) {
	w.run.Did(xaction.Amount{Objects: 1, Bytes: bytes})
	w.mu.Lock()
	w.at.Objects++
	w.at.Bytes += bytes
	w.rate.did(1, bytes)
	w.mu.Unlock()
}

// publish shows what was walked to who asks this node.
func (w *walk) publish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Report.Store(&messages.PlanWalk{Plan: w.plan, Runs: w.at.Runs, Objects: w.at.Objects, Bytes: w.at.Bytes, Failure: w.fail})
}

// expect tells the job how much there is to copy. A count that fails costs nothing but
// the estimate.
func (w *walk) expect() {
	total := w.run.Done()
	for _, bucket := range w.Keys.Buckets() {
		for after, more := "", true; more; {
			tally, err := w.Keys.Tally(w.run.Context(), bucket, after)
			if err != nil || tally == nil {
				if err != nil {
					w.run.Failed("the count of what is to be copied", err)
				}
				return
			}
			total.Objects += tally.Objects
			total.Bytes += tally.Bytes
			after, more = tally.Upto, tally.Upto != ""
		}
	}
	w.run.Expect(total)
}

// slots copies the keys of a run of slots, under maps since whose base nothing changed. One
// of which a key is quarantined fails after all others of it are copied.
func (w *walk) slots(since uint64, from, to uint16) error {
	var held error
	copied := func(err error) error {
		if isHeld(err) {
			held = cmp.Or(held, err)
			return nil
		}
		return err
	}
	for _, bucket := range w.Keys.Buckets() {
		underWay := func() ([]messages.UploadName, error) {
			request := messages.OwedRequest{Bucket: bucket, From: from, To: to}
			return retried(w, since, func(ctx context.Context) ([]messages.UploadName, error) { return w.Keys.OwedUploads(ctx, request) })
		}
		before, err := underWay()
		if err != nil {
			return err
		}
		for after, more := "", true; more; {
			if err := w.turn(); err != nil {
				return err
			}
			request := messages.OwedRequest{Bucket: bucket, After: after, From: from, To: to, Limit: pageRecords}
			page, err := retried(w, since, func(ctx context.Context) (*messages.OwedPage, error) { return w.Keys.Owed(ctx, request) })
			if err != nil {
				return err
			}
			if err := copied(w.copyAll(since, bucket, page.Names)); err != nil {
				return err
			}
			w.publish()
			after, more = page.Upto, page.Upto != ""
		}
		// After the objects: an upload that becomes one meanwhile does so at all that are to
		// have it, unless one of them was not told. Hence the keys of all uploads that were
		// seen at last.
		uploads, err := underWay()
		if err == nil {
			err = copied(w.copyUploads(since, bucket, uploads))
		}
		if err == nil {
			err = copied(w.copyAll(since, bucket, namesOf(before, uploads)))
		}
		if err != nil {
			return err
		}
	}
	return cmp.Or(w.unchanged(since), held)
}

// namesOf returns the keys of uploads, each once.
func namesOf(lists ...[]messages.UploadName) []string {
	var names []string
	for _, u := range slices.Concat(lists...) {
		names = append(names, u.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// copyUploads copies uploads under way, one after the other, as copyAll does keys.
func (w *walk) copyUploads(since uint64, bucket *objects.BucketDoc, uploads []messages.UploadName) error {
	var held error
	for _, u := range uploads {
		if err := w.turn(); err != nil {
			return err
		}
		if err := w.unchanged(since); err != nil {
			return err
		}
		key := objects.Key{Bucket: bucket.Bucket, Name: u.Name}
		err := w.run.Apart(messages.HandlesKey(key, messages.MoveAccess), func() error {
			sent, err := retried(w, since, func(ctx context.Context) (int64, error) { return w.Keys.CopyOutUpload(ctx, bucket, u) })
			if err == nil {
				w.copied(sent)
			}
			return err
		})
		switch {
		case err == nil:
		case isHeld(err):
			held = cmp.Or(held, errs.E("rebalance.copyUploads", key, err))
		default:
			return errs.E("rebalance.copyUploads", key, err)
		}
	}
	return held
}

// isHeld reports whether a failure is that of a key that is quarantined: of this node or
// another. The others go on.
func isHeld(err error) bool {
	var quarantined *messages.Quarantined
	return errors.As(err, &quarantined)
}

// unchanged fails if what was walked since then is void.
func (w *walk) unchanged(since uint64) error {
	if m, next := w.next(); next == nil || base(m, next) != since {
		return errChanged
	}
	return nil
}

// retried does something that may meet another map at another node, a few times.
func retried[T any](w *walk, since uint64, do func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		value, err := do(w.run.Context())
		if err == nil || try == tries || !errs.Is(errs.Busy, err) && !errs.Is(errs.Conflict, err) {
			return value, err
		}
		if err := w.unchanged(since); err != nil {
			return value, err
		}
		if err := w.run.Wait(lookEvery * time.Duration(try)); err != nil {
			return value, err
		}
	}
}

// copyAll copies keys, several at a time. The first failure ends it, unless it is one of a
// key that is quarantined: the others are copied before it is told.
func (w *walk) copyAll(since uint64, bucket *objects.BucketDoc, names []string) error {
	var copying sync.WaitGroup
	room := make(chan struct{}, together)
	var mu sync.Mutex
	var failure, held error
	failing := func() error {
		mu.Lock()
		defer mu.Unlock()
		return failure
	}
	defer copying.Wait()
	for _, name := range names {
		if err := w.turn(); err != nil {
			return err
		}
		if err := errors.Join(failing(), w.unchanged(since)); err != nil {
			return err
		}
		room <- struct{}{}
		copying.Go(func() {
			defer func() { <-room }()
			key := objects.Key{Bucket: bucket.Bucket, Name: name}
			err := w.run.Apart(messages.HandlesKey(key, messages.MoveAccess), func() error {
				sent, err := retried(w, since, func(ctx context.Context) (int64, error) { return w.Keys.CopyOut(ctx, bucket, name) })
				if err == nil {
					w.copied(sent)
				}
				return err
			})
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			first := &failure
			if isHeld(err) {
				first = &held
			}
			if *first == nil {
				*first = errs.E("rebalance.copy", key, err)
			}
		})
	}
	copying.Wait()
	return cmp.Or(failing(), held)
}

// sweep removes what is left over here, and tries again what failed. A plan that begins
// meanwhile ends it: what is left over is removed after that.
func (w *walk) sweep() error {
	for {
		err := w.sweepOnce()
		if err == nil || errors.Is(err, xaction.ErrStop) {
			return err
		}
		w.run.Failed("what is left over", err)
		if err := w.rest(again); err != nil {
			return err
		}
	}
}

func (w *walk) sweepOnce() error {
	var failures []error
	since := uint64(0)
	if m := w.View().Map; m != nil {
		since = m.PlacementSince()
	}
	for _, bucket := range w.Keys.Buckets() {
		for after, more := "", true; more; {
			if w.View().Plan != nil {
				return nil
			}
			page, err := w.Keys.Leftovers(w.run.Context(), bucket, after)
			if err != nil {
				return err
			}
			for _, l := range page.Leftovers {
				if err := w.run.Turn(); err != nil {
					return err
				}
				if err := w.Keys.RemoveLeftover(w.run.Context(), bucket, l); err != nil {
					failures = append(failures, err)
				}
			}
			if len(failures) > pageRecords {
				return errors.Join(failures...)
			}
			after, more = page.Upto, page.Upto != ""
		}
		if err := w.Keys.RemoveLeftoverUploads(w.run.Context(), bucket); err != nil {
			return err
		}
	}
	if len(failures) == 0 && w.View().Plan == nil {
		w.Swept.Store(since)
	}
	return errors.Join(failures...)
}
