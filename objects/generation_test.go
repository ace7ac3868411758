package objects

import (
	"bytes"
	"cmp"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func generations() *rapid.Generator[Generation] {
	number := rapid.OneOf(rapid.Uint64Range(0, 2), rapid.Uint64())
	return rapid.Custom(func(t *rapid.T) Generation {
		return Generation{number.Draw(t, "map"), number.Draw(t, "start"), number.Draw(t, "seq")}
	})
}

// Bytes and hexadecimal digits sort as generations do, and everything is read back.
func TestGenerationForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, h := generations().Draw(t, "g"), generations().Draw(t, "h")
		order := g.Compare(h)
		if order != -h.Compare(g) || (order == 0) != (g == h) {
			t.Fatalf("%v and %v compare %d and %d", g, h, order, h.Compare(g))
		}
		if got := bytes.Compare(g.AppendTo(nil), h.AppendTo(nil)); got != order {
			t.Fatalf("bytes compare %d, want %d", got, order)
		}
		if got := cmp.Compare(g.Hex(), h.Hex()); got != order {
			t.Fatalf("digits compare %d, want %d", got, order)
		}
		if back, err := GenerationOf(g.AppendTo(nil)); err != nil || back != g {
			t.Fatalf("%v, %v", back, err)
		}
		if back, err := ParseGeneration(g.String()); err != nil || back != g {
			t.Fatalf("%v, %v", back, err)
		}
	})
}

// Map version counts before start counter, and that before sequence.
func TestGenerationOrder(t *testing.T) {
	inOrder := []Generation{{}, {0, 0, 1}, {0, 1, 0}, {0, 1, 9}, {1, 0, 0}, {1, 7, 0x10}, {1, 7, 0x9f}, {2, 0, 0}}
	for i := range inOrder[1:] {
		if inOrder[i].Compare(inOrder[i+1]) != -1 {
			t.Errorf("%v does not come before %v", inOrder[i], inOrder[i+1])
		}
	}
	if !inOrder[0].IsZero() || inOrder[1].IsZero() {
		t.Error("zero is told wrongly")
	}
}

// A node finds its start counter in generations that it took, alone or in a cluster, and
// in nobody else's.
func TestStartCounter(t *testing.T) {
	own, other := NodeDigest("a"), NodeDigest("b")
	for _, counter := range []uint64{1, 7, 1 << 20} {
		if got, is := StartCounter(NodeStart(counter, own), own); got != counter || !is {
			t.Errorf("counter %d is read as %d, own %v", counter, got, is)
		}
		if got, is := StartCounter(counter, own); got != counter || !is {
			t.Errorf("counter %d of a node that is alone is read as %d, own %v", counter, got, is)
		}
		if _, is := StartCounter(NodeStart(counter, other), own); is {
			t.Errorf("another node's counter %d is taken for the own one", counter)
		}
	}
}

// A file's name is a generation only as String writes it: two names never are one.
func TestParseGenerationRefuses(t *testing.T) {
	for _, s := range []string{
		"", "1", "1-2", "1-2-3-4", "01-2-3", "1-2-3 ", " 1-2-3", "1-2-3\n", "A-2-3", "+1-2-3", "-1-2-3", "1--3", "0x1-2-3",
		"1-2-" + strings.Repeat("f", 17), "g-2-3", "1_0-2-3",
	} {
		if g, err := ParseGeneration(s); err == nil {
			t.Errorf("%q was read as %v", s, g)
		}
	}
	for _, n := range []int{0, 23, 25} {
		if g, err := GenerationOf(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were read as %v", n, g)
		}
	}
}

// Two takers never get one generation, and each sees its own grow.
func TestSequencerNeverRepeats(t *testing.T) {
	const takers, each = 4, 1000
	s := NewSequencer(3, 5)
	taken := make([][]Generation, takers)
	var wg sync.WaitGroup
	for i := range takers {
		wg.Go(func() {
			for range each {
				taken[i] = append(taken[i], s.Next())
			}
		})
	}
	wg.Wait()
	seen := make(map[Generation]bool)
	for _, list := range taken {
		for j, g := range list {
			if seen[g] || g.Map != 3 || g.Start != 5 || j > 0 && g.Compare(list[j-1]) <= 0 {
				t.Fatalf("%v after %v", g, list[max(j-1, 0)])
			}
			seen[g] = true
		}
	}
	if !seen[Generation{3, 5, 1}] || !seen[Generation{3, 5, takers * each}] {
		t.Fatal("the sequence has gaps")
	}
}
