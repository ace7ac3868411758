package gateway

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Who asks for a key none of whose owners serves is told which nodes these are, and in
// which state; while one of them serves, that one is in charge.
func TestChargeNamesTheOwnersThatAreAway(t *testing.T) {
	m, err := smap.New("lineage", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2})
	if err != nil {
		t.Fatal(err)
	}
	bucket := &objects.BucketDoc{Bucket: objects.Bucket{Name: "photos"}, Props: objects.BucketProps{Copies: 2}}
	var nodes atomic.Pointer[messages.NodeSet]
	g := &Gateway{Config: Config{Nodes: &nodes}}
	charge := func() (Charge, error) {
		nodes.Store(&messages.NodeSet{Self: "a", Map: m, Nodes: []messages.NodeView{{ID: "a"}, {ID: "b"}}})
		return g.Charge(bucket, "x")
	}
	down := func(id smap.NodeID, state smap.State) {
		t.Helper()
		node, _ := m.Node(id)
		if m, err = m.Change().SetState(id, node.Since, state).Done(); err != nil {
			t.Fatal(err)
		}
	}
	down("a", smap.Down)
	if c, err := charge(); err != nil || c.Node.ID != "b" {
		t.Fatalf("with one owner up: %v, %v", c.Node, err)
	}
	down("b", smap.Maintenance)
	_, err = charge()
	var away *messages.OwnersAway
	if !errs.Is(errs.Offline, err) || !errors.As(err, &away) {
		t.Fatalf("with no owner up: %v", err)
	}
	for _, words := range []string{"node a is down", "node b is maintenance"} {
		if !strings.Contains(away.Public(), words) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not in %q or not in %q", words, away.Public(), err)
		}
	}
}

// While a plan takes copies away, a write of a key that still has all of its owners is on as
// many of them as its bucket wants; on one that has a single owner by now, it is on that one.
func TestMinCopiesUnderAPlan(t *testing.T) {
	m, err := smap.New("lineage", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2}, smap.Node{ID: "c", Digest: 3})
	if err != nil {
		t.Fatal(err)
	}
	bucket := (&objects.BucketDoc{Bucket: objects.Bucket{Name: "photos", ID: objects.BucketID{1}}, Props: objects.BucketProps{Copies: 3}}).With(objects.BucketProps{Copies: 1})
	var nodes atomic.Pointer[messages.NodeSet]
	g := &Gateway{Config: Config{Nodes: &nodes}}
	enough := func(change func(*smap.Change)) error {
		t.Helper()
		c := m.Change()
		change(c)
		if m, err = c.Done(); err != nil {
			t.Fatal(err)
		}
		nodes.Store(&messages.NodeSet{Self: "a", Map: m, Nodes: []messages.NodeView{{ID: "a"}, {ID: "b"}, {ID: "c"}}})
		charge, err := g.Charge(bucket, "x")
		if err != nil {
			t.Fatal(err)
		}
		return charge.enough(bucket)
	}
	down := func(at int) func(*smap.Change) {
		return func(c *smap.Change) {
			id := m.View(messages.Placing(bucket, objects.Key{Bucket: bucket.Bucket, Name: "x"}.Digest())).Owners[at]
			node, _ := m.Node(id)
			c.SetState(id, node.Since, smap.Down)
		}
	}
	if err := enough(func(c *smap.Change) { c.Begin(m.Placement(), smap.Count{Bucket: bucket.ID, Owners: 1}) }); err != nil {
		t.Errorf("all are up: %v", err)
	}
	if err := enough(down(2)); err != nil {
		t.Errorf("two of three are up: %v", err)
	}
	if err := enough(down(1)); err == nil {
		t.Error("one of three is up, and that is enough")
	}
	if err := enough(func(c *smap.Change) {
		c.Switch(smap.SlotOf(objects.Key{Bucket: bucket.Bucket, Name: "x"}.Digest()))
	}); err != nil {
		t.Errorf("it has one owner: %v", err)
	}
}
