package plan

import (
	"testing"

	"github.com/troupe-storage/troupe/cluster/member"
)

// A node that joins is given its part, one that drains keeps nothing, and all objects
// are there all the while: at every node, and on the disks of one node each.
func TestJoinAndDrain(t *testing.T) {
	w := newWorld(t)
	w.found("a", "b", "c")
	if err := w.nodes["a"].s3.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	want := w.fill(1, 400)
	w.same("before", want)
	total := func() int {
		sum := 0
		for _, n := range w.running() {
			sum += len(w.files(n.name))
		}
		return sum
	}
	files := total()
	w.start("d")
	w.wait("a plan begins", func() bool { return w.plan("a") != nil })
	w.same("while it is under way", want)
	w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c", "d") })
	w.same("after it", want)
	w.wait("nothing is left over", func() bool { return total() == files })
	w.even(files, "a", "b", "c", "d")

	w.ask("d", member.Request{Kind: member.RequestDrain, Node: w.nodes["b"].id})
	w.wait("b owns nothing", func() bool { return w.placed("a", "c", "d") })
	w.same("after draining", want)
	w.wait("b has nothing", func() bool { return len(w.files("b")) == 0 && total() == files })
	w.even(files, "a", "c", "d")
}

// even fails unless each node has its part of the files, give or take what chance does
// to so few.
func (w *world) even(files int, names ...string) {
	w.t.Helper()
	for _, name := range names {
		mean := float64(files) / float64(len(names))
		if got := float64(len(w.files(name))); got < mean*0.7 || got > mean*1.3 {
			w.t.Errorf("%s has %.0f files of %d, the mean is %.0f", name, got, files, mean)
		}
	}
}
