package plan

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
)

// A node that was away while clients wrote, overwrote and deleted catches up: afterwards
// it has what was acknowledged meanwhile and nothing else, which shows when the other
// owners are away.
func TestReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.create(2)
	want := w.fill(5, 150)
	w.same("before", want)
	w.stop("b")
	down := func(name string) bool {
		for _, n := range w.running() {
			if entry, _ := n.Cluster().Map.Node(w.nodes[name].id); entry.State != "down" {
				return false
			}
		}
		return true
	}
	w.wait("b is down", func() bool { return down("b") })
	r := rand.New(rand.NewPCG(5, 2))
	for i := range 90 {
		key := fmt.Sprintf("d%d/object-%04d", i%7, i) // of those that are there
		n := w.running()[i%2]
		switch {
		case i%3 == 0:
			if answer, err := n.s3.Delete(t.Context(), bucket, key); err != nil || answer.Status != http.StatusNoContent {
				t.Fatalf("deleting %s: %v, %v", key, err, answer)
			}
			delete(want, key)
			continue
		case i%3 == 1:
			key = fmt.Sprintf("new/object-%04d", i)
		}
		body := payload(r)
		if answer, err := n.s3.Put(t.Context(), bucket, key, body); err != nil || answer.Err() != nil {
			t.Fatalf("putting %s: %v, %v", key, err, answer)
		}
		want[key] = sum(body)
	}
	w.same("while it is away", want)
	w.start("b")
	w.wait("b is back", func() bool { return w.placed("a", "b", "c") })
	w.same("when it is back", want)
	for _, other := range []string{"a", "c"} {
		w.stop(other)
		w.wait(other+" is down", func() bool { return down(other) })
		w.same("without "+other, want)
		w.start(other)
		w.wait(other+" is back", func() bool { return w.placed("a", "b", "c") })
	}
	w.same("at the end", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(2) })
}
