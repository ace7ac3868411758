package objects

import (
	"testing"

	"pgregory.net/rapid"
)

// A bound covers every marker that it was raised by, whatever the order; all of earlier
// versions of the map; of the last version only what does not come after a marker of the
// same node; and it never covers less than before.
func TestBound(t *testing.T) {
	generation := rapid.Custom(func(t *rapid.T) Generation {
		small := rapid.Uint64Range(1, 3)
		return Generation{Map: small.Draw(t, "map"), Start: NodeStart(small.Draw(t, "start"), small.Draw(t, "node")<<(64-nodeBits)), Seq: small.Draw(t, "seq")}
	})
	rapid.Check(t, func(t *rapid.T) {
		markers := rapid.SliceOfN(generation, 0, 8).Draw(t, "markers")
		var bound Bound
		for _, g := range markers {
			before := bound
			bound = bound.Raised(g)
			if probe := generation.Draw(t, "probe"); before.Covers(probe) && !bound.Covers(probe) {
				t.Fatalf("raised by %v, %v does not cover %v any more", g, bound, probe)
			}
		}
		g := generation.Draw(t, "g")
		want := false
		for _, m := range markers {
			want = want || g.Map < m.Map || g.Map == m.Map && sameNode(g, m) && g.Compare(m) <= 0
		}
		if got := bound.Covers(g); got != want {
			t.Fatalf("%v of %v covers %v: %v", bound, markers, g, got)
		}
		cut := rapid.IntRange(0, len(markers)).Draw(t, "cut")
		if merged := BoundOf(markers[cut:]).With(BoundOf(markers[:cut])); !merged.Equal(bound) {
			t.Fatalf("%v in another order make %v, not %v", markers, merged, bound)
		}
		if again := BoundOf(bound.Generations()); !again.Equal(bound) {
			t.Fatalf("%v read again is %v", bound, again)
		}
	})
}
