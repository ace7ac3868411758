package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// later lets time pass at once for all nodes that run; not by the hour of day, which
// signatures of requests are about.
func (w *world) later(by time.Duration) {
	w.t.Helper()
	for _, n := range w.running() {
		if _, err := w.desks[n.name].Inject(faults.Fault{Clock: &faults.Clock{Jump: by, Skew: -by}, Expiry: time.Minute, Reason: "time passes"}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// clocks gives nodes clocks that can be set.
func (w *world) clocks(names ...string) {
	w.desks = make(map[string]*faults.Desk)
	for _, name := range names {
		w.desks[name] = faults.New(faults.Options{})
	}
	w.silent.Store(true) // to who has slept for minutes everybody was silent
}

// goneFor stops a node, and waits until all others have it as down.
func (w *world) goneFor(name string) smap.NodeID {
	w.t.Helper()
	id := w.nodes[name].id
	w.stop(name)
	w.wait(name+" is down", func() bool {
		return !slices.ContainsFunc(w.running(), func(n *node) bool {
			entry, _ := n.Cluster().Map.Node(id)
			return entry.State != smap.Down
		})
	})
	return id
}

// has reports whether any node that runs has a node in its map.
func (w *world) has(id smap.NodeID) bool {
	return slices.ContainsFunc(w.running(), func(n *node) bool {
		_, in := n.Cluster().Map.Node(id)
		return in
	})
}

// A node that stays away is given up after its time, and not before: what it had is made
// again from the other copies, so that each object is on as many nodes as before, while
// clients read and write. It is not taken back with what it has.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clocks("a", "b", "c", "d")
	w.found("a", "b", "c", "d")
	w.create(2)
	want := w.fill(11, 150)
	id := w.goneFor("d")
	w.later(supervisors.DefaultGiveUpAfter - time.Minute)
	load := w.begin(11, 2)
	load.more(100)
	if !w.has(id) || w.plan("a") != nil {
		t.Error("it is given up before its time")
	}
	w.later(supervisors.DefaultGiveUpAfter)
	w.wait("the others own all keys, and it is no node any more", func() bool { return w.placed("a", "b", "c") && !w.has(id) })
	load.end(want)
	w.same("without it", want)
	w.wait("each object is on two nodes again", func() bool { return w.settledDown(2) })
	w.even("a", "b", "c")

	w.desks["d"] = faults.New(faults.Options{})
	w.start("d")
	w.wait("it knows that it is no node of the cluster", func() bool { return strings.Contains(w.nodes["d"].Cluster().Unready(), "not in the map") })
	w.stop("d")
	w.same("after it came back in vain", want)
}

// What has one copy is given up by an operator only, who is told what is lost, and not
// before the node answers nobody any more. Everything else stays, and what is lost is
// absent, and not an error.
func TestLossIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clocks("a", "b", "c")
	w.found("a", "b", "c")
	w.create(1)
	want := w.fill(12, 120)
	lost := w.files("c")
	id := w.goneFor("c")
	remove := member.Request{Kind: member.RequestRemove, Node: id, AcceptLoss: true}
	w.wait("it is refused, because c may still be serving somebody", func() bool {
		_, err := w.nodes["a"].ClusterRequest(t.Context(), remove)
		if err == nil {
			t.Fatal("it is given up though it may be serving somebody")
		}
		return errs.Is(errs.Busy, err) && strings.Contains(err.Error(), "ask again in")
	})
	w.later(2 * supervisors.DefaultGiveUpAfter)
	if _, err := w.nodes["a"].ClusterRequest(t.Context(), member.Request{Kind: member.RequestRemove, Node: id}); !errs.Is(errs.Conflict, err) {
		t.Errorf("without accepting a loss: %v", err)
	}
	dry := remove
	dry.Dry = true
	if text := w.ask("b", dry).Text; !strings.Contains(text, bucket) || !strings.Contains(text, "one key in 3") {
		t.Errorf("what may be lost is told as %q", text)
	}
	if !w.has(id) {
		t.Error("it is given up by itself, with what only it has")
	}
	w.ask("b", remove)
	w.wait("the others own all keys, and it is no node any more", func() bool { return w.placed("a", "b") && !w.has(id) })
	listed, err := w.nodes["a"].s3.List(t.Context(), bucket, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]string)
	for _, l := range listed {
		left[l.Key] = want[l.Key]
	}
	if gone := len(want) - len(left); gone < len(lost) || gone > len(lost)+20 { // small ones are no files
		t.Errorf("%d of %d keys are gone, and it had %d files", gone, len(want), len(lost))
	}
	w.same("what is left", left)
	for key := range maps.Keys(want) {
		if _, is := left[key]; !is {
			if answer, err := w.nodes["b"].s3.Get(t.Context(), bucket, key); err != nil || answer.Code != "NoSuchKey" {
				t.Fatalf("%s is lost: %v %+v", key, err, answer)
			}
		}
	}
}
