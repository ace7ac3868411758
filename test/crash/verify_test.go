package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
)

// verifier looks at what cuts left, one at a time.
type verifier struct {
	checker *checker
	shared  *index.Shared
	random  *rand.Rand
}

func newVerifier(c *checker) *verifier {
	return &verifier{checker: c, shared: index.NewShared(1<<20, 1), random: nil}
}

func (v *verifier) close() { v.shared.Close() }

// deepest is how many times in a row a recovery is cut.
const deepest = 3

// check verifies a cut. A part of them is cut again while it recovers.
func (v *verifier) check(c *cut) {
	chance := policyOf(c.seed, c.where, c.policy+" and then").Random
	if chance == nil {
		chance = rand.New(rand.NewPCG(c.seed, uint64(c.where.nth)))
	}
	v.random = chance
	if err := v.state(c, c.left, 0); err != nil {
		v.checker.violation(c, "%v", err)
	}
}

// state verifies one crash state.
func (v *verifier) state(c *cut, left *disk.Mem, depth int) error {
	v.checker.states.Add(1)
	m := &machine{fs: left, shared: v.shared, inline: c.inline, start: c.start + 1 + uint64(depth), boot: fmt.Sprint("after cut ", depth)}
	viewed, err := v.view(c, left, m)
	if err != nil {
		return fmt.Errorf("opened to be read only: %w", err)
	}
	if depth < deepest && v.random.IntN(6) == 0 {
		again, where, err := cutWithin(v.checker.t, left, v.random, 40, m.open)
		if err != nil {
			return fmt.Errorf("it does not open: %w", err)
		}
		if again != nil {
			v.checker.recoveries.Add(1)
			if err := v.state(c, again, depth+1); err != nil {
				return fmt.Errorf("the power went again in the recovery, before %q: %w", where, err)
			}
		}
	} else if err := m.open(); err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	if c.buckets.dropping != nil { // its document says so: the node drops it at every start until it is done
		if err := m.store.DropBucket(*c.buckets.dropping); err != nil {
			return err
		}
	}
	live := c.buckets.live
	found, err := readEverything(left, m.store, live)
	if err != nil {
		return err
	}
	expectation := c.expectation.Without(func(cell model.Cell) bool {
		return !slices.ContainsFunc(live, func(b objects.Bucket) bool { return b.ID == cell.Bucket })
	})
	for _, violation := range expectation.Check(found) {
		return violation
	}
	for cell, was := range viewed {
		if !was.Equal(found[cell]) {
			return fmt.Errorf("%w: read only %s was %s, is %s", errNotTheSame, cell, was, found[cell])
		}
	}
	if v.random.IntN(4) == 0 {
		if err := v.goOn(m, left, live, found); err != nil {
			return err
		}
	}
	if err := drain(m.store); err != nil {
		return err
	}
	if err := leftovers(left, m.store, live); err != nil {
		return err
	}
	if err := recorded(m.store, live); err != nil {
		return err
	}
	if err := m.store.Close(); err != nil {
		return fmt.Errorf("it does not close: %w", err)
	}
	return nil
}

// goOn checks that what was served stays (a power cut right after the recovery
// changes nothing), and that the store takes writes.
func (v *verifier) goOn(m *machine, left *disk.Mem, live []objects.Bucket, found map[model.Cell]*model.Value) error {
	again := &machine{fs: left.Crash(disk.CrashPolicy{SyncedOnly: true}), shared: v.shared, inline: m.inline, start: m.start, boot: m.boot + ", and again"}
	if err := again.open(); err != nil {
		return fmt.Errorf("it does not open a second time: %w", err)
	}
	second, err := readEverything(again.fs, again.store, live)
	if err != nil {
		return err
	}
	if !maps.EqualFunc(found, second, (*model.Value).Equal) {
		for cell := range found {
			if !found[cell].Equal(second[cell]) {
				return fmt.Errorf("%w: %s was %s, is %s", errNotTheSame, cell, found[cell], second[cell])
			}
		}
		return fmt.Errorf("%w: there is more now", errNotTheSame)
	}
	if err := again.store.Close(); err != nil {
		return err
	}

	w := newWorld(v.random.Uint64()&0xffff, left, m)
	w.buckets.Store(&bucketSet{live: live})
	w.model.Settle(found)
	w.made.Store(1 << 40) // nothing that the history made
	x := newWriter(w, 0, 1)
	x.alone = false // the same store, the same buckets
	x.keys = names()
	x.run(6)
	for _, p := range w.problems {
		return fmt.Errorf("it does not go on: %s", p)
	}
	now, err := readEverything(left, m.store, live)
	if err != nil {
		return err
	}
	for _, violation := range w.model.Freeze(func() {}).Check(now) {
		return fmt.Errorf("it does not go on: %w", violation)
	}
	return nil
}
