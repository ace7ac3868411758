package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/test/s3client"
)

// A node that joins is given its part, one that drains keeps nothing, and all objects
// are there all the while, though clients read and write: no read fails, at no node, and
// afterwards each payload is on the disks of as many nodes as the bucket has copies.
func TestJoinAndDrain(t *testing.T) {
	for _, copies := range []int{1, 2} {
		t.Run(fmt.Sprint(copies), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.found("a", "b", "c")
			w.create(copies)
			want := w.fill(1, 150)
			w.same("before", want)
			load := w.begin(2, 2)
			w.start("d")
			w.wait("a plan begins", func() bool { return w.plan("a") != nil })
			w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c", "d") })
			w.ask("d", member.Request{Kind: member.RequestDrain, Node: w.nodes["b"].id})
			w.wait("b owns nothing", func() bool { return w.placed("a", "c", "d") })
			load.end(want)
			w.same("after draining", want)
			w.wait("nothing is left over", func() bool { return w.settledDown(copies) })
			if got := w.files("b"); len(got) != 0 {
				t.Errorf("b has %d payloads", len(got))
			}
			w.even("a", "c", "d")
		})
	}
}

// A plan that is canceled leaves nothing behind, and what was deleted after it does not
// come back with the next one.
func TestCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b")
	w.create(1)
	want := w.fill(3, 160)
	// No slot goes over while the first ones are not walked, and a plan can be canceled so long.
	maps.Copy(want, w.fillFirstRun(60))
	release := w.holdPlans()
	w.start("c")
	w.wait("keys are copied", func() bool { return w.plan("a") != nil && len(w.files("c")) > 0 })
	if w.settledDown(1) { // negative control of what is waited for below
		t.Error("copies at c are not seen as left over")
	}
	w.ask("b", member.Request{Kind: member.RequestCancel})
	w.wait("the plan is canceled", func() bool { return w.placed("a", "b") })
	w.same("after canceling", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(1) })
	if got := w.files("c"); len(got) != 0 {
		t.Errorf("c has %d payloads", len(got))
	}
	for key := range want {
		w.accepted("deleting "+key, func() (*s3client.Answer, error) { return w.nodes["b"].s3.Delete(t.Context(), bucket, key) })
		if delete(want, key); len(want) == 140 {
			break
		}
	}
	// Again, and over before every node has looked for what there is to copy: c has what was
	// written meanwhile.
	w.ask("c", member.Request{Kind: member.RequestPause})
	w.ask("c", member.Request{Kind: member.RequestJoin, Node: w.nodes["c"].id})
	for i := range 30 {
		key, body := fmt.Sprintf("meanwhile/object-%02d", i), payload(rand.New(rand.NewPCG(9, uint64(i))))
		w.accepted("writing "+key, func() (*s3client.Answer, error) { return w.nodes["a"].s3.Put(t.Context(), bucket, key, body) })
		want[key] = sum(body)
	}
	w.ask("b", member.Request{Kind: member.RequestCancel})
	w.wait("the plan is canceled", func() bool { return w.placed("a", "b") })
	w.wait("nothing is left over", func() bool { return w.settledDown(1) })
	w.same("after canceling at once", want)
	w.ask("c", member.Request{Kind: member.RequestResume})
	release()
	w.ask("c", member.Request{Kind: member.RequestJoin, Node: w.nodes["c"].id})
	w.wait("c owns its part", func() bool { return w.placed("a", "b", "c") })
	w.same("after joining", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(1) })
}

// fillFirstRun puts so many objects that are in the first run of slots that plans walk, and
// returns their checksums by key.
func (w *world) fillFirstRun(count int) map[string]string {
	w.t.Helper()
	all := make(map[string]string)
	for i, key := range firstRun(count) {
		body := payload(rand.New(rand.NewPCG(8, uint64(i))))
		body = append(body, make([]byte, inlineBytes)...) // each takes its time
		w.accepted("writing "+key, func() (*s3client.Answer, error) { return w.nodes["a"].s3.Put(w.t.Context(), bucket, key, body) })
		all[key] = sum(body)
	}
	return all
}

// Nodes are stopped in the middle of a plan, and go on with it when they are back; what
// it would copy is counted before it is begun.
func TestStoppedOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.create(1)
	want := w.fill(4, 240)
	release := w.holdPlans()
	w.start("d")
	dry := member.Request{Kind: member.RequestJoin, Dry: true}
	w.wait("d is in", func() bool {
		for _, n := range w.running() {
			if v := n.Cluster(); v.Map == nil || len(v.Map.Nodes()) != 4 {
				return false
			}
		}
		return true
	})
	to := w.ask("d", dry).Placement
	if len(to) == 4 {
		estimate, err := w.nodes["b"].Estimate(t.Context(), to, messages.JobRate{})
		if err != nil {
			t.Fatal(err)
		}
		if estimate.Objects < 30 || estimate.Objects > 90 || estimate.Bytes == 0 || len(estimate.Nodes) != 3 {
			t.Errorf("it would copy %+v; a quarter of %d objects is to go", estimate, len(want))
		}
	}
	for _, name := range []string{"b", "d", "c"} {
		w.wait("a plan is under way", func() bool { return w.plan("a") != nil && len(w.files("d")) > 0 })
		w.stop(name)
		w.wait(name+" is down", func() bool {
			v := w.nodes["a"].Cluster()
			n, _ := v.Map.Node(w.nodes[name].id)
			return n.State == "down"
		})
		w.start(name)
		w.wait(name+" is back", func() bool {
			v := w.nodes["a"].Cluster()
			n, _ := v.Map.Node(w.nodes[name].id)
			return n.State == "up"
		})
	}
	release()
	w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c", "d") })
	w.same("after it", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(1) })
	w.even("a", "b", "c", "d")
}
