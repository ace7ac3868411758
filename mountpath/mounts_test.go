package mountpath

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// mountMap is a map of mountpaths in states that others led to.
func mountMap(t *testing.T, states map[string]smap.State) *smap.Smap {
	t.Helper()
	var nodes []smap.Node
	for id := range states {
		nodes = append(nodes, smap.Node{ID: smap.NodeID(id), Digest: smap.Digest(objects.DigestID(id))})
	}
	m, err := smap.New("line", nodes...)
	if err != nil {
		t.Fatal(err)
	}
	for id, state := range states {
		steps := map[smap.State][]smap.State{smap.Down: {smap.Down}, smap.Recovering: {smap.Down, smap.Recovering}}[state]
		for _, step := range steps {
			node, _ := m.Node(smap.NodeID(id))
			if m, err = m.Change().SetState(node.ID, node.Since, step).Done(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// used is the report of a mountpath that is used as any other.
func used(id string) mountReport {
	return mountReport{id: id, state: messages.MountpathOK, placed: true, kept: true, compared: true}
}

// What is known of a mountpath, and what the map says of it, decide what it says next.
func TestDecide(t *testing.T) {
	report := func(change func(*mountReport)) mountReport { r := used("b"); change(&r); return r }
	in := func(state messages.MountpathState) mountReport {
		return report(func(r *mountReport) { r.state = state })
	}
	for _, c := range []struct {
		name string
		was  smap.State
		b    mountReport
		want smap.State // empty: nothing is decided
	}{
		{"nothing is known against it", smap.Up, used("b"), ""},
		{"full", smap.Up, in(messages.MountpathFull), ""},
		{"slow, and the other one serves", smap.Up, in(messages.MountpathSlow), smap.Down},
		{"read-only, and the other one serves", smap.Up, in(messages.MountpathReadOnly), smap.Down},
		{"failing", smap.Up, in(messages.MountpathFailing), smap.Down},
		{"disabled", smap.Up, in(messages.MountpathDisabled), smap.Down},
		{"missing", smap.Up, in(messages.MountpathMissing), smap.Down},
		{"its documents are not kept", smap.Up, report(func(r *mountReport) { r.kept = false }), smap.Down},
		{"still disabled", smap.Down, in(messages.MountpathDisabled), ""},
		{"back, and its documents are not up to date", smap.Down, report(func(r *mountReport) { r.kept = false }), ""},
		{"back", smap.Down, used("b"), smap.Recovering},
		{"back, and full", smap.Down, in(messages.MountpathFull), smap.Recovering},
		{"still failing", smap.Down, in(messages.MountpathFailing), ""},
		{"still slow", smap.Down, in(messages.MountpathSlow), ""},
		{"still read-only", smap.Down, in(messages.MountpathReadOnly), ""},
		{"slow again while it recovers", smap.Recovering, in(messages.MountpathSlow), smap.Down},
		{"failing again while it recovers", smap.Recovering, in(messages.MountpathFailing), smap.Down},
		{"back, and it lacks something", smap.Recovering, report(func(r *mountReport) { r.compared = false }), ""},
		{"it has compared", smap.Recovering, used("b"), smap.Up},
		{"it fails again", smap.Recovering, in(messages.MountpathDisabled), smap.Down},
	} {
		m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": c.was})
		change := decide(m, []mountReport{used("a"), c.b}, 2)
		if c.want == "" {
			if change != nil {
				t.Errorf("%s: something is decided", c.name)
			}
			continue
		}
		if change == nil {
			t.Errorf("%s: nothing is decided, want %s", c.name, c.want)
			continue
		}
		next, err := change.Done()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if node, _ := next.Node("b"); node.State != c.want {
			t.Errorf("%s: %s, want %s", c.name, node.State, c.want)
		}
	}
}

// The last one that is up stays, and what fails goes before what comes.
func TestDecideTheOrder(t *testing.T) {
	m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": smap.Down})
	bad := used("a")
	bad.state = messages.MountpathDisabled
	gone := bad
	gone.id = "b"
	if change := decide(m, []mountReport{bad, gone}, 2); change != nil {
		t.Error("nobody is left to write down that the last one is down")
	}
	m = mountMap(t, map[string]smap.State{"a": smap.Up, "b": smap.Up, "c": smap.Down})
	next, err := decide(m, []mountReport{used("a"), gone, used("c"), used("d")}, 2).Done()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := next.Node("b")
	c, _ := next.Node("c")
	if _, joined := next.Node("d"); b.State != smap.Down || c.State != smap.Down || joined {
		t.Errorf("%v: the one that has failed goes alone, and first", next.Nodes())
	}
}

// The set of mountpaths is the node's: who joins is placed, who leaves is not, and who has
// left, or was given up, is not in the map.
func TestDecideTheSet(t *testing.T) {
	m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": smap.Up, "c": smap.Down})
	leaving := used("b")
	leaving.placed = false
	for name, c := range map[string]struct {
		reports   []mountReport
		placement []smap.NodeID
		nodes     int
	}{
		"one joins":                      {[]mountReport{used("a"), used("b"), {id: "c", state: messages.MountpathMissing, placed: true}, used("d")}, []smap.NodeID{"a", "b", "c", "d"}, 4},
		"one leaves":                     {[]mountReport{used("a"), leaving, {id: "c", state: messages.MountpathMissing, placed: true}}, []smap.NodeID{"a", "c"}, 3},
		"one is given up":                {[]mountReport{used("a"), used("b")}, []smap.NodeID{"a", "b"}, 2},
		"one has left, and another came": {[]mountReport{used("a"), {id: "c", state: messages.MountpathMissing, placed: true}, used("d")}, []smap.NodeID{"a", "c", "d"}, 3},
	} {
		next, err := decide(m, c.reports, 1).Done()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(next.Placement(), c.placement) || len(next.Nodes()) != c.nodes {
			t.Errorf("%s: placed on %v, want %v; nodes %v", name, next.Placement(), c.placement, next.Nodes())
		}
		if again := decide(next, c.reports, 1); again != nil {
			t.Errorf("%s: it does not come to rest", name)
		}
	}
	late := used("d")
	late.kept = false
	if decide(m, []mountReport{used("a"), used("b"), {id: "c", state: messages.MountpathMissing, placed: true}, late}, 1) != nil {
		t.Error("one that cannot be written has joined")
	}
}

// With one holder a key nobody answers for one that is slow or read-only: it stays, and
// one that left when there were others comes back, unless it could not be written.
func TestDecideKeepsTheOnlyHolder(t *testing.T) {
	for _, c := range []struct {
		state messages.MountpathState
		was   smap.State
		want  smap.State // empty: nothing is decided
	}{
		{messages.MountpathSlow, smap.Up, ""},
		{messages.MountpathReadOnly, smap.Up, ""},
		{messages.MountpathFailing, smap.Up, smap.Down},
		{messages.MountpathSlow, smap.Down, smap.Recovering},
		{messages.MountpathReadOnly, smap.Down, ""},
	} {
		m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": c.was})
		b := used("b")
		b.state = c.state
		got := smap.State("")
		if change := decide(m, []mountReport{used("a"), b}, 1); change != nil {
			next, err := change.Done()
			if err != nil {
				t.Fatal(err)
			}
			node, _ := next.Node("b")
			got = node.State
		}
		if got != c.want {
			t.Errorf("%s and %s: %q, want %q", c.state, c.was, got, c.want)
		}
	}
}

// Whatever is reported, no key loses its last holder in sync to one that is only slow or
// read-only; and whatever the order in which disks become slow, fail and are well, the
// map comes to rest.
func TestDecideLeavesEachKeyAHolder(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e"}
	random := rand.New(rand.NewPCG(3, 16))
	states := []messages.MountpathState{
		messages.MountpathOK, messages.MountpathOK, messages.MountpathFull, messages.MountpathSlow, messages.MountpathSlow,
		messages.MountpathReadOnly, messages.MountpathFailing, messages.MountpathDisabled,
	}
	softly := 0
	for round := range 300 {
		fewest := 1 + round%3
		m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": smap.Up, "c": smap.Up, "d": smap.Up, "e": smap.Up})
		for range 10 {
			var reports []mountReport
			for _, id := range ids {
				r := used(id)
				r.state, r.compared = states[random.IntN(len(states))], random.IntN(3) > 0
				reports = append(reports, r)
			}
			steps := 0
			for {
				change := decide(m, reports, fewest)
				if change == nil {
					break
				}
				next, err := change.Done()
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range reports {
					was, _ := m.Node(smap.NodeID(r.id))
					is, _ := next.Node(smap.NodeID(r.id))
					if !was.State.Serves() || !is.State.Away() || !r.isUsed() {
						continue
					}
					softly++
					for range 50 {
						view := next.View(smap.Key{Digest: random.Uint64(), Owners: fewest})
						if !slices.ContainsFunc(view.Owners, func(id smap.NodeID) bool { n, _ := next.Node(id); return n.State.Serves() }) {
							t.Fatalf("%s is %s and down, and was the last of %v in sync: %v", r.id, r.state, view.Owners, next.Nodes())
						}
					}
				}
				if m = next; steps > 4*len(ids) {
					t.Fatalf("it does not come to rest: %+v, %v", reports, m.Nodes())
				}
				steps++
			}
		}
	}
	if softly < 300 {
		t.Errorf("%d went down though they could be used: the rounds are too tame", softly)
	}
}

// documentsInMemory publishes what follows, or fails.
type documentsInMemory struct {
	state MountState
	fails int // how many versions still fail
}

func (d *documentsInMemory) set() Set {
	return Set{
		Mounts: func() (MountState, error) { return d.state, nil },
		PutMounts: func(next *smap.Smap) error {
			if next.Hash() != d.state.Latest.Hash() && !next.Follows(d.state.Latest) {
				return errs.E("PutMounts", errs.Conflict)
			}
			d.state.Latest = next
			if d.fails > 0 {
				d.fails--
				return errs.E("PutMounts", errs.Offline, errors.New("it could not be written"))
			}
			d.state.Served = next
			return nil
		},
	}
}

// Whatever is reported, the map follows until it says what the reports say, with versions
// that fail on the way followed by others; and then it stays.
func TestFollow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 16))
	ids := []string{"a", "b", "c", "d", "e"}
	m := mountMap(t, map[string]smap.State{"a": smap.Up, "b": smap.Up, "c": smap.Up})
	d := &documentsInMemory{state: MountState{Latest: m, Served: m}}
	states := []messages.MountpathState{messages.MountpathOK, messages.MountpathOK, messages.MountpathSlow, messages.MountpathDisabled, messages.MountpathMissing}
	for step := range 2000 {
		reports := []mountReport{used("a")}
		d.state.Kept = []string{"a"}
		for _, id := range ids[1:] {
			if random.IntN(4) == 0 {
				continue // it is not the node's
			}
			r := used(id)
			r.state, r.placed = states[random.IntN(len(states))], random.IntN(6) > 0
			reports = append(reports, r)
			if random.IntN(5) > 0 {
				d.state.Kept = append(d.state.Kept, id)
			}
		}
		d.fails = random.IntN(3)
		served, err := d.set().follow(reports)
		if err != nil { // it fails once more than it can follow by
			served, err = d.set().follow(reports)
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		for _, r := range reports {
			r.kept = slices.Contains(d.state.Kept, r.id)
			node, in := served.Node(smap.NodeID(r.id))
			if in && node.State != map[bool]smap.State{true: smap.Up, false: smap.Down}[r.isUsed()] || !in && r.isUsed() {
				t.Fatalf("step %d: %s is %q, reported %+v", step, r.id, node.State, r)
			}
		}
		version := served.Version()
		if again, err := d.set().follow(reports); err != nil || again.Version() != version {
			t.Fatalf("step %d: it does not stay: %v", step, err)
		}
	}
	if d.state.Served.Version() < 2000 {
		t.Errorf("version %d: little has changed", d.state.Served.Version())
	}
}
