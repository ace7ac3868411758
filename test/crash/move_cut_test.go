package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects"
)

// fill gives the source an object of every kind under every name, and the
// destination newer ones of some and older ones of others; it returns what the keys
// are to hold.
func (p *pair) fill(t *testing.T, seed uint64) map[string]held {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kinds := []string{"inline", "file", "chunks"}
	wins := make(map[string]int)
	for n, name := range names() {
		kind, number := kinds[n%3], seed*1000+uint64(n)
		class := objects.Synced
		if n%4 == 3 {
			class = objects.Relaxed
		}
		if n%7 == 1 { // the destination has had it before
			_, err := p.put(destination, name, kinds[(n+1)%3], number+200, objects.Synced)
			must(err)
		}
		_, err := p.put(source, name, kind, number, class)
		must(err)
		if n%7 == 2 { // it was written again while the move was under way
			_, err := p.put(destination, name, kinds[(n+2)%3], number+400, objects.Synced)
			must(err)
			wins[name] = destination
		}
		if n%5 == 4 {
			must(p.upload(source, name, fmt.Sprintf("%032x", number+600), number+600, new([]messages.CompletePart)))
		}
	}
	want := make(map[string]held)
	for _, name := range names() {
		h, err := p.look(wins[name], name)
		must(err)
		if wins[name] == destination { // its uploads still come from the source
			from, err := p.look(source, name)
			must(err)
			h.parts = from.parts
		}
		want[name] = h
	}
	for _, s := range p.stores {
		must(s.Checkpoint())
		must(drain(s))
	}
	return want
}

// finish moves everything and says what is wrong then.
func (p *pair) finish(want map[string]held) error {
	for _, name := range names() {
		if err := p.move(source, destination, name); err != nil {
			return fmt.Errorf("moving %q: %w", name, err)
		}
	}
	for name, h := range want {
		if err := p.check(name, h); err != nil {
			return fmt.Errorf("after the move: %w", err)
		}
		if left, err := p.look(source, name); err != nil || left.value != nil || len(left.parts) > 0 {
			return fmt.Errorf("after the move the source still has %q: %s (%v)", name, left.value, err)
		}
	}
	for side, s := range p.stores {
		if err := drain(s); err != nil {
			return err
		}
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			return fmt.Errorf("mountpath %d: %w", side, err)
		}
	}
	return nil
}

// moveCut is what a power cut left of both mountpaths.
type moveCut struct {
	left  [2]*disk.Mem
	where string
}

// verify opens what is left, reads every key, and ends the move. What rebuilt is not
// nil for is done to what is left before.
func (c *moveCut) verify(shared *index.Shared, before *pair, want map[string]held, rebuilt func(*moveCut, offline.Buckets) error) (err error) {
	if rebuilt != nil {
		if err := rebuilt(c, before.documents()); err != nil {
			return err
		}
	}
	p := &pair{shared: shared, inline: before.inline, start: before.start, bucket: before.bucket, fs: [2]disk.FS{c.left[0], c.left[1]}}
	if err := p.open(); err != nil {
		return errors.Join(err, p.close())
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for name, h := range want {
		if err := p.check(name, h); err != nil {
			return err
		}
	}
	return p.finish(want)
}

// cutMoves moves everything, with the power going at one of so many operations of
// either mountpath that change something, and returns what it found. What spoil
// does to the pair before the move is for controls; rebuilt is for verify.
func cutMoves(t *testing.T, seed uint64, sparse int, spoil func(*pair), rebuilt func(*moveCut, offline.Buckets) error) (states int, violation error) {
	t.Helper()
	p, mems := newPair(t)
	defer func() {
		if err := p.close(); err != nil && spoil == nil {
			t.Error(err)
		}
	}()
	want := p.fill(t, seed)
	if spoil != nil {
		spoil(p)
	}
	chance := rand.New(rand.NewPCG(seed, 9))
	var mu sync.Mutex
	var cuts []*moveCut
	number := 0
	for side, mem := range mems {
		mem.OnOperation(func(o disk.Operation) {
			if !o.Call.Changes() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if number++; number%sparse != int(seed)%sparse {
				return
			}
			policy := disk.CrashPolicy{SyncedOnly: true}
			if chance.IntN(2) == 0 {
				policy = disk.CrashPolicy{Random: chance}
			}
			cuts = append(cuts, &moveCut{
				where: fmt.Sprintf("seed %d, before operation %d, of mountpath %d: %s (synced only: %v)", seed, number, side, o, policy.SyncedOnly),
				left:  [2]*disk.Mem{mems[0].Crash(policy), mems[1].Crash(policy)},
			})
		})
	}
	err := p.finish(want)
	for _, mem := range mems {
		mem.OnOperation(nil)
	}
	if err != nil && spoil == nil {
		t.Fatalf("without a cut: %v", err)
	}
	for _, c := range cuts {
		states++
		if err := c.verify(p.shared, p, want, rebuilt); err != nil {
			return states, fmt.Errorf("%s: %w", c.where, err)
		}
	}
	return states, nil
}

// The power goes while objects of every kind and uploads under way move between
// two mountpaths: each is whole on one of them at least, with its generation and
// everything else of its record; what is newer at the destination stays; and moving
// again ends the move, leaving nothing at the source.
func TestPowerCutsWhileMoving(t *testing.T) {
	seeds, sparse := uint64(4), 5
	if testing.Short() || raceDetector {
		seeds, sparse = 1, 9
	}
	total := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		states, err := cutMoves(t, seed, sparse, nil, nil)
		total += states
		if err != nil {
			t.Fatal(err)
		}
	}
	if total < 50 {
		t.Errorf("only %d states were looked at", total)
	}
	t.Logf("%d states", total)
}

// The test above finds it if the destination's disk lies about what it has synced,
// since the source goes by its word, and if the source goes first.
func TestPowerCutsWhileMovingFindWhatIsWrong(t *testing.T) {
	for _, lie := range []struct {
		name string
		rule disk.Rule
	}{
		{"payload files", disk.Rule{Calls: []disk.Call{disk.CallSync}, Path: ".troupe/work/**", Lose: true}},
		{"directories of buckets", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Lose: true}},
		{"the log of the index", disk.Rule{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/index/*.log", Lose: true}},
		{"the source goes first", disk.Rule{}},
	} {
		t.Run(lie.name, func(t *testing.T) {
			var fault *disk.Fault
			for seed := uint64(1); seed <= 6; seed++ {
				states, err := cutMoves(t, seed, 11, func(p *pair) {
					if !lie.rule.Lose {
						p.careless = true
						return
					}
					var err error
					if fault, err = p.faulty[destination].Add(lie.rule); err != nil {
						t.Fatal(err)
					}
				}, nil)
				if fault != nil && fault.Hits() == 0 {
					t.Fatal("no sync was lost: the control controls nothing")
				}
				if err != nil {
					t.Logf("found after %d states: %.300s", states, err)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}
