package messages

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// mountsOf makes a mount map of mountpaths.
func mountsOf(t *testing.T, ids ...string) *smap.Smap {
	t.Helper()
	var nodes []smap.Node
	for _, id := range ids {
		nodes = append(nodes, smap.Node{ID: smap.NodeID(id), Digest: smap.Digest(objects.DigestID(id))})
	}
	m, err := smap.New("line", nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mountState returns the next version, in which a mountpath is in a state.
func mountState(t *testing.T, m *smap.Smap, id string, to smap.State) *smap.Smap {
	t.Helper()
	node, _ := m.Node(smap.NodeID(id))
	next, err := m.Change().SetState(node.ID, node.Since, to).Done()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func rosterOf(transition *Transition, mounts *smap.Smap, ids ...string) *Roster {
	var views []MountpathView
	for _, id := range ids {
		views = append(views, MountpathView{ID: id})
	}
	r := NewMovingRoster(views, transition)
	r.Serve(&MountSet{Map: mounts})
	return r
}

// Whatever the mount map has seen, a protected key is held where the document places it:
// what a release that did not know the map wrote is found, and the other way round.
func TestTheMountMapHoldsKeysWhereTheDocumentPlacesThem(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		var ids []string
		for i := range 1 + random.IntN(8) {
			ids = append(ids, fmt.Sprintf("%016x", uint64(round)<<8|uint64(i)))
		}
		m := mountsOf(t, ids...)
		for range random.IntN(6) {
			id := ids[random.IntN(len(ids))]
			node, _ := m.Node(smap.NodeID(id))
			switch node.State {
			case smap.Up:
				m = mountState(t, m, id, smap.Down)
			case smap.Down:
				m = mountState(t, m, id, smap.Recovering)
			default:
				m = mountState(t, m, id, smap.Up)
			}
		}
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		r := rosterOf(nil, m, ids...)
		if r.Placing() == nil {
			t.Fatalf("round %d: a map of the same mountpaths places nothing", round)
		}
		for range 300 {
			digest := random.Uint64()
			holder, epoch := r.Hold(1, digest)
			if holder == nil || holder != r.Owner(digest) {
				t.Fatalf("round %d: key %x is held at %v, and the document has it at %v", round, digest, holder, r.Owner(digest))
			}
			if epoch == (smap.Epoch{}) {
				t.Fatalf("round %d: key %x has no mount epoch", round, digest)
			}
		}
	}
}

// While the two differ, or the set changes, the document places all keys: by the map, some
// would be looked for where they are not.
func TestTheDocumentPlacesWhatTheMountMapDoesNotKnow(t *testing.T) {
	three := mountsOf(t, "a", "b", "c")
	planned, err := three.Change().Join("d", smap.Digest(objects.DigestID("d"))).Done()
	if err != nil {
		t.Fatal(err)
	}
	if planned, err = planned.Change().Begin([]smap.NodeID{"a", "b", "c", "d"}).Done(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		transition *Transition
		mounts     *smap.Smap
		set        []string // mountpaths of the roster
		otherwise  bool     // the map would place some keys elsewhere
	}{
		{"one joins", &Transition{From: []string{"a", "b"}, To: []string{"a", "b", "c"}}, three, []string{"a", "b", "c"}, false},
		{"one leaves", &Transition{From: []string{"a", "b", "c"}, To: []string{"a", "c"}}, three, []string{"a", "b", "c"}, true},
		{"one has come, and the map has not followed", nil, mountsOf(t, "a", "b"), []string{"a", "b", "c"}, true},
		{"one has gone, and the map has not followed", nil, three, []string{"a", "c"}, true},
		{"one was replaced, and the map has not followed", nil, three, []string{"a", "c", "d"}, true},
		{"the map has a plan", nil, planned, []string{"a", "b", "c"}, false},
	} {
		r := rosterOf(c.transition, c.mounts, c.set...)
		if r.Placing() != nil || r.Mounts == nil {
			t.Errorf("%s: the map places keys: %v, and is shown: %v", c.name, r.Placing() != nil, r.Mounts != nil)
		}
		elsewhere := 0
		for digest := uint64(0x9e3779b97f4a7c15); elsewhere < 2000; digest, elsewhere = digest*6364136223846793005+1, elsewhere+1 {
			if holder, epoch := r.Hold(1, digest); holder != r.Owner(digest) || epoch != (smap.Epoch{}) {
				t.Fatalf("%s: key %x is at %v, epoch %v", c.name, digest, holder, epoch)
			}
			if owner := r.Mounts.View(1, digest).Owners[0]; string(owner) != r.Owner(digest).ID {
				elsewhere = 2000
			}
		}
		if c.otherwise != (elsewhere > 2000) {
			t.Errorf("%s: the map would place some keys elsewhere: %v, want %v", c.name, !c.otherwise, c.otherwise)
		}
	}
	if r := rosterOf(nil, three, "a", "b", "c"); r.Placing() == nil {
		t.Error("a map of the same mountpaths places nothing")
	}
	r := NewRoster([]MountpathView{{ID: "a"}})
	if r.Serve(nil); r.Placing() != nil {
		t.Error("without a map, keys are placed by one")
	}
	if holder, _ := r.Hold(1, 7); holder == nil || holder.ID != "a" {
		t.Errorf("where none is served, a protected key is at %v", holder)
	}
}

// A command is done under the mount epoch that it was admitted under, and nowhere else than
// where the key is held.
func TestAFenceKnowsItsMountEpoch(t *testing.T) {
	m := mountsOf(t, "a", "b", "c")
	before := rosterOf(nil, m, "a", "b", "c")
	digest := uint64(12345)
	holder, _ := before.Hold(1, digest)
	var other string
	for _, id := range []string{"a", "b", "c"} {
		if id != holder.ID {
			other = id
		}
	}
	same := rosterOf(nil, mountState(t, m, other, smap.Down), "a", "b", "c")
	down := rosterOf(nil, mountState(t, m, holder.ID, smap.Down), "a", "b", "c")
	moving := rosterOf(&Transition{From: []string{"a", "b", "c"}, To: []string{"a", "b", "c", "d"}}, m, "a", "b", "c")
	protected, by, none := before.Fenced(Fence{}, 1, digest), moving.Fenced(Fence{}, 1, digest), before.Fenced(Fence{}, 0, digest)
	for _, c := range []struct {
		name    string
		fence   Fence
		at      string
		now     *Roster
		moved   bool
		differs bool
	}{
		{"nothing has changed", protected, holder.ID, before, false, false},
		{"nothing has changed, at another mountpath", protected, other, before, true, false},
		{"the state of another has", protected, holder.ID, same, false, false},
		{"its own has", protected, holder.ID, down, true, true},
		{"the set changes", protected, holder.ID, moving, true, true},
		{"it was admitted while the set changed, and does", by, holder.ID, moving, false, false},
		{"it was admitted while the set changed, and does no more", by, holder.ID, before, true, true},
		{"without protection", none, holder.ID, down, false, false},
		{"without protection, at another mountpath", none, other, before, true, false},
		{"admitted anew", down.Fenced(protected, 1, digest), holder.ID, down, false, false},
	} {
		err := c.fence.AdmitsMount(c.now, c.at, digest)
		var differs *MountsDiffer
		if errors.Is(err, ErrMoved) != c.moved || errors.As(err, &differs) != c.differs || (err != nil) != c.moved {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A key is protected where several nodes have it, or will by a plan; nobody's is on a node
// that is alone.
func TestWhoHasProtection(t *testing.T) {
	nodes, err := smap.New("line", smap.Node{ID: "n1", Digest: 1}, smap.Node{ID: "n2", Digest: 2})
	if err != nil {
		t.Fatal(err)
	}
	bucket := objects.BucketID{5}
	two, err := nodes.Change().Begin([]smap.NodeID{"n1", "n2"}, smap.Count{Bucket: bucket, Owners: 2}).Done()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		set    *NodeSet
		owners int
		want   int
	}{
		{"alone", nil, 2, 0},
		{"not joined", &NodeSet{}, 2, 0},
		{"one copy", &NodeSet{Map: nodes}, 1, 0},
		{"two copies", &NodeSet{Map: nodes}, 2, 1},
		{"one copy, and two by a plan", &NodeSet{Map: two}, 1, 1},
	} {
		if got := c.set.Holders(smap.Key{Bucket: bucket, Owners: c.owners}); got != c.want {
			t.Errorf("%s: %d holders, want %d", c.name, got, c.want)
		}
	}
}
