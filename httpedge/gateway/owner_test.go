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
