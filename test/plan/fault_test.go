package plan

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

func (n *node) inject(t *testing.T, f faults.Fault) *faults.Injected {
	t.Helper()
	f.Expiry = time.Hour
	injected, err := n.Faults().Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return injected
}

// A node that a fault cuts off is written down, and is back when the fault is lifted,
// though connections hung in it; with two copies all objects are read at the others
// meanwhile.
func TestCutOffByAFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desks = map[string]*faults.Desk{"c": faults.New(faults.Options{})}
	w.found("a", "b", "c")
	w.create(2)
	want := w.fill(11, 60)
	state := func() smap.State {
		entry, _ := w.nodes["a"].Cluster().Map.Node(w.nodes["c"].id)
		return entry.State
	}
	for _, do := range []faults.LinkEffect{faults.LinkDropReply, faults.LinkCut} {
		fault := w.nodes["c"].inject(t, faults.Fault{Link: &faults.Link{Do: do}})
		w.wait("c is down: "+string(do), func() bool { return state() == smap.Down })
		w.silent.Store(true) // nodes hear of it one after the other
		for _, key := range []string{"a", "b"} {
			for name, sum := range want {
				w.patiently(func() error { return w.reads(key, name, sum) }, "%s: %s at %s", do, name, key)
			}
		}
		fault.Clear()
		if fault.Hits() == 0 {
			t.Errorf("%s hit nothing", do)
		}
		w.wait("c is back: "+string(do), func() bool { return w.placed("a", "b", "c") })
	}
	w.same("lifted", want)
}

// reads fails unless an object is at a node as it was written.
func (w *world) reads(at, key, want string) error {
	answer, err := w.nodes[at].s3.Get(w.t.Context(), bucket, key)
	if err == nil {
		err = answer.Err()
	}
	if err == nil && sum(answer.Body) != want {
		w.t.Errorf("%s is %s at %s, want %s", key, sum(answer.Body), at, want)
	}
	return err
}

// A plan waits for a node whose job a fault pauses, though the others do their part, and
// ends when the fault is lifted.
func TestAPlanWaitsForAPausedJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desks = map[string]*faults.Desk{"b": faults.New(faults.Options{})}
	w.found("a", "b")
	w.create(1)
	want := w.fill(12, 80)
	pause := w.nodes["b"].inject(t, faults.Fault{Job: &faults.Job{Job: "rebalance", Do: faults.JobPause}})
	w.start("c")
	<-pause.Reached()
	objects := func(of string) (copied int64) {
		if p := w.plan("a"); p != nil {
			for _, n := range p.Nodes {
				if n.Node == w.nodes[of].id {
					copied = n.Objects
				}
			}
		}
		return copied
	}
	// Of 80 keys some 13 go from a to c, by ids that no two runs share.
	w.wait("a goes on", func() bool { return objects("a") > 2 })
	if got := objects("b"); got != 0 {
		t.Errorf("b has copied %d objects though its job is paused", got)
	}
	if w.placed("a", "b", "c") {
		t.Error("the plan has ended without b")
	}
	pause.Clear()
	w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c") })
	w.same("lifted", want)
}
