package nodes_test

import (
	"testing"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// A link that is cut carries nothing, and one that is mended does; who is cut off reaches
// nobody. Without this, tests that cut links could show that all is well on whole ones.
func TestCutsAreCuts(t *testing.T) {
	w := nodes.NetworkForTest(t, 3)
	c := nodes.ForTest(t, nodes.Config{Network: w})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reach := func(when string, want ...bool) {
		t.Helper()
		for i, pair := range [][2]int{{0, 1}, {1, 2}, {2, 0}} {
			if got := w.Reaches(ctx, pair[0], pair[1]); got != want[i] {
				t.Errorf("%s: node %d reaches node %d: %v, want %v", when, pair[0], pair[1], got, want[i])
			}
		}
	}
	reach("at first", true, true, true)
	must(w.Cut(0, 1))
	reach("one pair is cut", false, true, true)
	must(w.Mend(0, 1))
	reach("it is mended", true, true, true)
	must(w.CutOff(1))
	reach("one is cut off", false, false, true)
	must(c.AwaitStates(ctx, "up down up"))
	must(w.Join(1))
	must(c.AwaitStates(ctx, "up up up"))
	reach("it has joined", true, true, true)
}

// A node that is paused is down for the others, and back when it goes on; so is one that
// was killed and started again, as the same node.
func TestPauseKillRestart(t *testing.T) {
	c := nodes.ForTest(t, nodes.Config{})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Nodes[2].Pause(ctx))
	must(c.AwaitStates(ctx, "up up down"))
	must(c.Nodes[2].Continue())
	must(c.AwaitStates(ctx, "up up up"))
	must(c.Nodes[0].Kill())
	must(c.AwaitStates(ctx, "down up up"))
	must(c.Nodes[0].Restart(ctx))
	must(c.AwaitStates(ctx, "up up up"))
	names, err := c.Spread(ctx, "bucket", 2)
	must(err)
	if len(names) != 3 || len(names[0]) != 2 || len(names[1]) != 2 || len(names[2]) != 2 {
		t.Errorf("names for three nodes: %q", names)
	}
}
