package member_test

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A node that reaches neither a majority nor the provider answers nothing after ten
// seconds, and not before; either of them is enough to go on. It counts from the moment
// of asking, and while the machine is suspended.
func TestAlone(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		b := w.nodes["b"]
		alone := func() bool {
			err := b.member.Alone()
			if err != nil && !errs.Is(errs.Offline, err) {
				t.Fatalf("a failure of another kind: %v", err)
			}
			return err != nil
		}
		served := func() bool { return !alone() }
		w.wait("it serves", served)

		b.provider.Faults().Cut(true)
		w.pass(time.Minute, "without the provider a majority of nodes is enough", served)
		b.provider.Faults().Cut(false)
		w.isolate("b", true)
		w.pass(time.Minute, "without the others the provider is enough", served)

		b.provider.Faults().Cut(true)
		w.pass(member.AloneAfter-4*time.Second, "it goes on for a while", served)
		w.wait("it is alone", alone)
		for _, other := range []*node{w.nodes["a"], w.nodes["c"]} {
			if err := other.member.Alone(); err != nil {
				t.Errorf("%s is alone, too: %v", other.id, err)
			}
		}
		w.isolate("b", false)
		w.wait("it serves again, by the others", served)

		// The machine is suspended: nobody can have confirmed anything since.
		b.asleep.Add(int64(time.Hour))
		if !alone() {
			t.Error("it goes on after an hour of sleep")
		}
		w.wait("it serves again, and is awake", served)

		w.isolate("b", true)
		w.wait("it is alone", alone)
		b.provider.Faults().Cut(false)
		w.wait("it serves again, by the provider", served)

		// An answer is as old as its question: those that take nine seconds each confirm
		// the map for one.
		b.provider.Faults().Delay(member.AloneAfter - time.Second)
		w.wait("it is alone between slow answers", alone)
		w.wait("and is not, for a second", served)
		b.provider.Faults().Delay(0)
		b.kill()
		w.start("b")
		if !alone() {
			t.Error("a node that has just started knows that its map holds")
		}
		w.isolate("b", false)
		w.wait("it serves after a start", served)
	})
}

// A node that takes its place in a cluster knows at once that its map holds: whoever
// wrote it, and who is told of it.
func TestAloneAtFirst(t *testing.T) {
	run(t, func(w *world) {
		w.start("a", "b", "c")
		for _, id := range w.order {
			n := w.nodes[id]
			n.provider.Faults().Delay(100 * time.Millisecond) // who writes a map has it on its disk before it sees it there
			serves := func() {
				if err := n.member.Alone(); err != nil {
					w.t.Errorf("%s has just adopted a map: %v", id, err)
				}
			}
			n.adopted.Store(&serves)
		}
		w.wait("all are in the map", func() bool { return w.agree("a up, b up, c up") })
	})
}
