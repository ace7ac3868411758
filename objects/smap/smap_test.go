package smap

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/placement"
)

const lineage = "0190f3a2-1111-7000-8000-000000000001"

// founded returns a cluster of nodes n1, n2, … that are up.
func founded(t testing.TB, count int) *Smap {
	t.Helper()
	var nodes []Node
	for i := range count {
		nodes = append(nodes, Node{ID: NodeID(fmt.Sprintf("n%d", i+1)), Digest: Digest(placement.Mix(uint64(i) + 1))})
	}
	m, err := New(lineage, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// done returns a change's successor.
func done(t testing.TB, c *Change) *Smap {
	t.Helper()
	m, err := c.Done()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// to moves a node through states, one version each.
func to(t testing.TB, m *Smap, id NodeID, states ...State) *Smap {
	t.Helper()
	for _, state := range states {
		node, _ := m.Node(id)
		m = done(t, m.Change().SetState(id, node.Since, state))
	}
	return m
}

// A map is read as it was written, with the same hash; every map follows its
// predecessor and no other.
func TestMapRoundTrip(t *testing.T) {
	first := founded(t, 3)
	second := to(t, first, "n2", Down)
	third := done(t, second.Change().Join("n4", 7).Begin([]NodeID{"n4", "n1", "n3"}))
	fourth := done(t, third.Change().Switch(5).Switch(6).Switch(9))
	for _, m := range []*Smap{first, second, third, fourth} {
		text, err := m.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if read.Hash() != m.Hash() {
			t.Errorf("%s is read with another hash", text)
		}
	}
	if !second.Follows(first) || third.Follows(first) || !third.Follows(second) {
		t.Error("a map follows its predecessor, and nothing else")
	}
	if fork := to(t, first, "n3", Down); third.Follows(fork) {
		t.Error("a map follows another of the same version")
	}
	if next, _ := fourth.Next(); len(next.Switched) != 2 {
		t.Errorf("slots 5, 6 and 9 are the runs %v", next.Switched)
	}
}

// The hash is part of the format: another hash of an equal map splits a cluster
// whose nodes are upgraded one by one.
func TestHashIsFixed(t *testing.T) {
	m := to(t, founded(t, 2), "n1", Down)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":2,"lineage":"0190f3a2-1111-7000-8000-000000000001","previous":"PREVIOUS",` +
		`"nodes":[{"id":"n1","digest":"D1","state":"down","since":2,"left":2},{"id":"n2","digest":"D2","state":"up","since":1}],` +
		`"placement":["n1","n2"],"placement_since":1}`
	want = strings.NewReplacer("PREVIOUS", string(m.Previous()), "D1", fmt.Sprintf("%016x", placement.Mix(1)), "D2", fmt.Sprintf("%016x", placement.Mix(2))).Replace(want)
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if m.Hash() != "49b6cd1698f967c164077f7d4ca658df" {
		t.Errorf("the hash is %s", m.Hash())
	}
}

// A thousand nodes with the longest ids, in the longest states, under a plan, fit
// 250 bytes each.
func TestMapSize(t *testing.T) {
	const count = 1000
	m := &Smap{version: 1 << 62, lineage: lineage, previous: Hash(strings.Repeat("f", 32)), placementSince: 1 << 62, next: &Next{Since: 1 << 61}}
	for i := range count {
		id := NodeID(fmt.Sprintf("%032d", i))
		m.nodes = append(m.nodes, Node{id, 1<<63 + Digest(i), Maintenance, 1 << 62, 1 << 62})
		m.placement = append(m.placement, id)
		m.next.Placement = append(m.next.Placement, id)
	}
	m.arrange()
	if err := m.validate(); err != nil {
		t.Fatal(err)
	}
	text, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 250*count+300 {
		t.Errorf("%d nodes take %d bytes", count, len(text))
	}
}

// Maps that contradict themselves are refused, with every fault named.
func TestParseRefuses(t *testing.T) {
	good := `{"version":3,"lineage":"l","previous":"p","nodes":[{"id":"a","digest":"0000000000000001","state":"up","since":1}],"placement":["a"],"placement_since":1}`
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, new, want string }{
		{`"version":3`, `"version":0`, "the version is 0"},
		{`"lineage":"l"`, `"lineage":""`, "lineage has 0 bytes"},
		{`"previous":"p",`, ``, "names the predecessor"},
		{`"id":"a"`, `"id":"a b"`, "is not a node id"},
		{`0000000000000001`, `1`, "is not a digest"},
		{`"state":"up"`, `"state":"asleep"`, "unknown state"},
		{`"since":1}`, `"since":4}`, "since version 4"},
		{`"since":1}`, `"since":1,"left":1}`, "is up and left"},
		{`"since":1}]`, `"since":1},{"id":"b","digest":"0000000000000001","state":"up","since":1}]`, "nodes a and b have one digest, 0000000000000001"},
		{`"since":1}]`, `"since":1},{"id":"a","digest":"0000000000000001","state":"up","since":1}]`, "node a is there twice"},
		{`"placement":["a"]`, `"placement":[]`, "placement is empty"},
		{`"placement":["a"]`, `"placement":["a","a"]`, "has a twice"},
		{`"placement":["a"]`, `"placement":["b"]`, "no node of the map"},
		{`"placement_since":1`, `"placement_since":9`, "the placement is of version 9"},
		{`"placement_since":1`, `"placement_since":1,"next":{"placement":["a"],"since":2,"switched":[{"from":3,"to":2,"version":3}]}`, "out of order"},
		{`"placement_since":1`, `"placement_since":1,"next":{"placement":["a"],"since":3,"switched":[{"from":1,"to":2,"version":3}]}`, "the plan is of 3"},
		{`"placement_since":1`, `"placement_since":1,"counts":[{"bucket":"0100000000000000","owners":0}]`, "0 owners"},
		{`"placement_since":1`, `"placement_since":1,"counts":[{"bucket":"0000000000000000","owners":2}]`, "give bucket 0000000000000000"},
		{`"placement_since":1`, `"placement_since":1,"counts":[{"bucket":"0100000000000000","owners":1},{"bucket":"0100000000000000","owners":2}]`, "twice"},
		{`"placement_since":1`, `"placement_since":1,"next":{"placement":["a"],"since":2,"counts":[{"bucket":"0100000000000000","owners":65}]}`, "65 owners"},
		{`"placement_since":1`, `"placement_since":1,"colour":"blue"`, "unknown field"},
		{`"placement_since":1}`, `"placement_since":1} {}`, "something follows it"},
	} {
		text := strings.Replace(good, test.old, test.new, 1)
		_, err := Parse([]byte(text))
		if !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", text, err, test.want)
		}
	}
}

// A report about an earlier life of an entry changes nothing, and no state is
// reached on a way that does not exist.
func TestChangesAreRefused(t *testing.T) {
	m := to(t, founded(t, 3), "n1", Down)
	plan := done(t, m.Change().Begin([]NodeID{"n2", "n3"}))
	switched := done(t, plan.Change().Switch(0))
	lost := done(t, m.Change().AcceptLoss("n1", 2))
	all := m.Change().Begin(m.Placement(), Count{recounted, 2}).to.Change()
	for slot := range uint16(Slots) {
		all.Switch(slot)
	}
	recount := done(t, done(t, all).Change().Finish())
	for name, c := range map[string]*Change{
		"return of a lost node":  lost.Change().SetState("n1", 3, Recovering),
		"plan with a lost node":  lost.Change().Begin([]NodeID{"n1"}),
		"loss of a next owner":   done(t, m.Change().Begin([]NodeID{"n1"})).Change().AcceptLoss("n1", 2),
		"stale since":            m.Change().SetState("n1", 1, Recovering),
		"two leave at once":      m.Change().SetState("n2", 1, Down).SetState("n3", 1, Recovering),
		"down to up":             m.Change().SetState("n1", 2, Up),
		"unknown node":           m.Change().SetState("n9", 2, Up),
		"join twice":             m.Change().Join("n1", 1),
		"remove an owner":        m.Change().Remove("n1"),
		"loss of one that is up": m.Change().AcceptLoss("n2", 1),
		"second plan":            plan.Change().Begin([]NodeID{"n1"}),
		"empty plan":             m.Change().Begin(nil),
		"switch without plan":    m.Change().Switch(1),
		"switch twice":           switched.Change().Switch(0),
		"no such slot":           plan.Change().Switch(Slots),
		"finish too early":       switched.Change().Finish(),
		"cancel too late":        switched.Change().Cancel(),
		"no such count":          m.Change().Forget(recounted),
		"count of another":       recount.Change().Forget(objects.BucketID{9}),
		"count of two kinds":     m.Change().Begin([]NodeID{"n2"}, Count{recounted, 1}, Count{recounted, 2}),
	} {
		if next, err := c.Done(); err == nil {
			t.Errorf("%s: version %d", name, next.Version())
		}
	}
}

// After a plan has gone through all slots, the next placement is the placement,
// and who owns nothing can be removed.
func TestPlanEnds(t *testing.T) {
	m := done(t, founded(t, 3).Change().Join("n4", 4).Begin([]NodeID{"n2", "n3", "n4"}))
	c := m.Change()
	for slot := range uint16(Slots) {
		c.Switch(slot)
	}
	m = done(t, c)
	if next, _ := m.Next(); len(next.Switched) != 1 {
		t.Errorf("%d runs, want one", len(next.Switched))
	}
	m = done(t, m.Change().Finish())
	m = done(t, m.Change().Remove("n1"))
	if got := m.Placement(); !slices.Equal(got, []NodeID{"n2", "n3", "n4"}) {
		t.Errorf("placement %v", got)
	}
}

// The key epoch never goes back, and grows whenever owners, next owners or the
// state of one of them change: over random lines of maps, for random keys.
func TestEpochGrowsWithWhatItStandsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []Node
		for i := range 5 {
			nodes = append(nodes, Node{ID: NodeID(fmt.Sprintf("n%d", i+1)), Digest: Digest(placement.Mix(uint64(i) + 1))})
		}
		m, err := New(lineage, nodes[:4]...)
		if err != nil {
			t.Fatal(err)
		}
		keys := make([]Key, 20)
		for i := range keys {
			keys[i] = Key{Digest: rapid.Uint64().Draw(t, "digest"), Owners: rapid.IntRange(1, 3).Draw(t, "owners")}
			if i%2 == 0 {
				keys[i].Bucket, keys[i].Owners = recounted, 2
			}
		}
		for range 30 {
			next := draw(t, m)
			if next == nil {
				continue
			}
			for _, key := range keys {
				before, after := m.View(key), next.View(key)
				changed := fmt.Sprint(before.Owners, before.Next, states(m, before)) != fmt.Sprint(after.Owners, after.Next, states(next, after))
				if order := after.Epoch.Compare(before.Epoch); order < 0 || changed && order == 0 {
					t.Fatalf("%v: %v\n%v: %v", m, before, next, after)
				}
				if after.Epoch.Map > next.version {
					t.Fatalf("epoch %v under version %d", after.Epoch, next.version)
				}
				if after.InCharge != "" && !slices.Contains(after.AckSet, after.InCharge) {
					t.Fatalf("%v is in charge and not in the ack set: %v", after.InCharge, after)
				}
			}
			oneLast(t, next)
			m = next
		}
	})
}

// oneLast checks that no two nodes have left in one version: of the owners of a key one
// is the last to leave.
func oneLast(t *rapid.T, m *Smap) {
	by := make(map[uint64]NodeID)
	for _, node := range m.nodes {
		if other, twice := by[node.Left]; twice && node.Left > 0 {
			t.Fatalf("%s and %s both left in version %d", other, node.ID, node.Left)
		}
		by[node.Left] = node.ID
	}
}

func states(m *Smap, v View) (all []State) {
	for _, id := range slices.Concat(v.Owners, v.Next) {
		node, _ := m.Node(id)
		all = append(all, node.State)
	}
	return all
}

// recounted is a bucket whose keys may get another number of owners.
var recounted = objects.BucketID{1}

// draw returns a random successor, or nil where the change is refused.
func draw(t *rapid.T, m *Smap) *Smap {
	c := m.Change()
	node := rapid.SampledFrom(m.nodes).Draw(t, "node")
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0, 1, 2:
		for _, node := range rapid.SliceOfNDistinct(rapid.SampledFrom(m.nodes), 1, 2, func(n Node) NodeID { return n.ID }).Draw(t, "nodes") {
			c.SetState(node.ID, node.Since, rapid.SampledFrom([]State{Up, Down, Recovering, Maintenance, Draining}).Draw(t, "state"))
		}
	case 3:
		c.AcceptLoss(node.ID, node.Since)
	case 4:
		var counts []Count
		if n := rapid.IntRange(0, 3).Draw(t, "owners"); n > 0 {
			counts = []Count{{recounted, n}}
		}
		c.Begin(rapid.SliceOfNDistinct(rapid.SampledFrom(ids(m)), 1, len(m.nodes), rapid.ID[NodeID]).Draw(t, "placement"), counts...)
	case 5:
		for slot := range uint16(Slots) {
			if m.next != nil && placement.Mix(uint64(slot))%3 != uint64(len(m.next.Switched)%2) {
				if _, ok := m.switched(slot); !ok {
					c.Switch(slot)
				}
			}
		}
	case 6:
		c.Finish()
	case 7:
		c.Cancel()
	}
	next, err := c.Done()
	if err != nil {
		return nil
	}
	return next
}

func ids(m *Smap) (all []NodeID) {
	for _, node := range m.nodes {
		all = append(all, node.ID)
	}
	return all
}
