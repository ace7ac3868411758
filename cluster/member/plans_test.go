package member_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// ask asks through a node, while time passes.
func (w *world) ask(id smap.NodeID, r member.Request) (member.Outcome, error) {
	w.t.Helper()
	type answer struct {
		outcome member.Outcome
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		outcome, err := w.nodes[id].member.Request(context.Background(), r)
		answered <- answer{outcome, err}
	}()
	var got answer
	w.wait(fmt.Sprintf("an answer to %+v", r), func() bool {
		select {
		case got = <-answered:
			return true
		default:
			return false
		}
	})
	return got.outcome, got.err
}

// want asks, and fails unless it is answered by an error of the kind, or by none.
func (w *world) want(id smap.NodeID, r member.Request, kind errs.Kind) member.Outcome {
	w.t.Helper()
	outcome, err := w.ask(id, r)
	if kind == 0 && err != nil || kind != 0 && !errs.Is(kind, err) {
		w.t.Fatalf("%+v: %v, %v", r, outcome, err)
	}
	return outcome
}

// walker walks for a node as one does that has nothing to copy: a run of slots at each
// look, under the map that it has, and anew when a node has changed its state since.
// It stops at a slot.
func walker(slots, stop int) *func(*messages.ClusterView) *messages.PlanWalk {
	var walk messages.PlanWalk
	var base uint64
	done := 0
	report := func(v *messages.ClusterView) *messages.PlanWalk {
		next, planned := v.Map.Next()
		if !planned {
			return nil
		}
		now := next.Since
		for _, node := range v.Map.Nodes() {
			now = max(now, node.Since)
		}
		if walk.Plan != next.Since || base != now {
			walk, base, done = messages.PlanWalk{Plan: next.Since}, now, 0
		}
		if node, _ := v.Map.Node(v.Self); node.State.Away() || done == stop {
			return clone(walk)
		}
		walk.Runs = append(slices.Clone(walk.Runs), messages.SlotRun{From: uint16(done), To: uint16(done + slots - 1), Map: v.Map.Version()})
		done += slots
		return clone(walk)
	}
	return &report
}

func clone(walk messages.PlanWalk) *messages.PlanWalk { return &walk }

// walks has nodes walk for plans.
func (w *world) walks(slots int) {
	for _, n := range w.nodes {
		n.walk.Store(walker(slots, smap.Slots))
	}
}

// filled founds a cluster that has a bucket.
func (w *world) filled(ids ...smap.NodeID) {
	w.t.Helper()
	w.found(ids...)
	w.put(ids[0], "photos")
}

func (w *world) put(id smap.NodeID, name string) {
	w.t.Helper()
	put := make(chan error, 1)
	go func() { put <- w.nodes[id].buckets.PutBucket(bucketDoc(name, 1, 1)) }()
	w.wait("the bucket is there", func() bool {
		select {
		case err := <-put:
			must(w.t, err)
			return true
		default:
			return false
		}
	})
}

// placed reports whether all nodes that run have this placement and no plan.
func (w *world) placed(ids ...smap.NodeID) bool {
	for _, n := range w.nodes {
		if n.system == nil {
			continue
		}
		m := n.view.Load().Map
		if m == nil || !slices.Equal(m.Placement(), ids) || n.view.Load().Plan != nil {
			return false
		}
	}
	return true
}

func planned(m *smap.Smap) bool {
	_, is := m.Next()
	return is
}

// A node that joins when there are buckets is given its part by a plan, which ends when
// all have walked, and not before.
func TestPlanOfJoining(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.start("d")
		w.wait("a plan begins", func() bool { return w.states("a") == "a up, b up, c up, d up" && planned(w.smapOf("a")) })
		w.nodes["a"].walk.Store(walker(64, smap.Slots))
		w.nodes["b"].walk.Store(walker(64, smap.Slots))
		w.pass(time.Minute, "c has not walked: nothing goes over", func() bool {
			next, is := w.smapOf("a").Next()
			return is && len(next.Switched) == 0
		})
		if p := w.nodes["b"].view.Load().Plan; p == nil || len(p.Nodes) != 2 || p.Nodes[0].Slots != smap.Slots {
			t.Errorf("the plan, as b sees it: %+v", p)
		}
		w.nodes["c"].walk.Store(walker(64, smap.Slots))
		w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c", "d") })
	})
}

// Nothing goes over to a node whose mountpath is away. Once it is lost, with what was copied
// to it, no report of before counts: the slots are walked anew, also where buckets have one copy.
func TestNextOwnerLosesMountpath(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b")
		w.start("c")
		w.wait("a plan begins", func() bool { return w.states("a") == "a up, b up, c up" && planned(w.smapOf("a")) })
		nothing := func() bool {
			next, is := w.smapOf("a").Next()
			return is && len(next.Switched) == 0
		}
		c, since := w.nodes["c"], sinceOf(t, w.smapOf("a"), "c")
		c.lack.Store(&member.Lack{Unfit: "a disk is away"})
		w.let(time.Second)
		for _, id := range []smap.NodeID{"a", "b"} { // they have walked all, and not since
			said := (*walker(smap.Slots, smap.Slots))(w.nodes[id].view.Load())
			report := func(*messages.ClusterView) *messages.PlanWalk { return said }
			w.nodes[id].walk.Store(&report)
		}
		w.pass(30*time.Second, "nothing goes over while it is away", nothing)
		p := w.nodes["b"].view.Load().Plan
		if p == nil || len(p.Nodes) != 2 || p.Nodes[0].Slots != smap.Slots || p.Nodes[1].Slots != smap.Slots || p.Waits != "c: a disk is away" {
			t.Errorf("the plan, as b sees it: %+v", p)
		}
		if got := sinceOf(t, w.smapOf("a"), "c"); got != since {
			t.Errorf("c has left in version %d, with keys that nobody else has", got)
		}
		c.lack.Store(&member.Lack{Why: "a disk is gone", Lost: true})
		w.wait("c has left and is back", func() bool {
			return w.agree("a up, b up, c up") && c.lacks().Why == "" && sinceOf(t, w.smapOf("a"), "c") > since
		})
		w.pass(30*time.Second, "what was walked before counts no more", nothing)
		w.walks(smap.Slots)
		w.wait("the plan has ended", func() bool { return w.placed("a", "b", "c") })
	})
}

// A leader that has fallen silent and is not replaced yet costs whoever asks half a minute
// at the most, though its own time has no end.
func TestSilentLeaderIsNotWaitedFor(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b")
		leader := w.leader()
		other := smap.NodeID("a")
		if leader == other {
			other = "b"
		}
		w.cut(other, leader, true)
		began := time.Now()
		w.want(other, member.Request{Kind: member.RequestPause}, errs.Offline)
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// By hand, a node that joins owns nothing until it is said; and all of that through any
// node.
func TestPlanByHand(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b")
		for _, id := range []smap.NodeID{"a", "b"} {
			w.nodes[id].kill()
			w.nodes[id].manual = true
			w.start(id)
			w.wait("it is back", func() bool { return w.agree("a up, b up") })
		}
		w.start("c")
		w.wait("c is in", func() bool { return w.agree("a up, b up, c up") })
		w.pass(time.Minute, "c owns nothing", func() bool { return w.placed("a", "b") })
		dry := w.want("c", member.Request{Kind: member.RequestJoin, Node: "c", Dry: true}, 0)
		if fmt.Sprint(dry.Placement) != "[a b c]" || planned(w.smapOf("a")) {
			t.Errorf("asked what would be: %+v", dry)
		}
		w.walks(smap.Slots)
		for _, id := range []smap.NodeID{"a", "b", "c"} { // one of them leads
			w.want(id, member.Request{Kind: member.RequestJoin, Node: "nobody"}, errs.NotFound)
		}
		w.want("c", member.Request{Kind: member.RequestJoin, Node: "c"}, 0)
		w.wait("it owns its part", func() bool { return w.placed("a", "b", "c") })
		w.want("a", member.Request{Kind: member.RequestRemove, Node: "c"}, errs.Conflict)
		w.want("a", member.Request{Kind: member.RequestDrain, Node: "c"}, 0)
		w.wait("c is drained", func() bool { return w.placed("a", "b") && w.states("a") == "a up, b up, c draining" })
		w.want("b", member.Request{Kind: member.RequestRemove, Node: "c"}, 0)
		w.wait("c is removed", func() bool { return w.agree("a up, b up") })
		w.pass(time.Minute, "and does not come back by itself", func() bool { return w.agree("a up, b up") })
	})
}

// A node that is drained owns nothing until it is asked to join, also when it was away in
// the middle of it or afterwards; and plans are automatic all the while.
func TestDrainedNodeThatWasAway(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		back := func(id smap.NodeID) {
			t.Helper()
			w.nodes[id].kill()
			w.wait("it is down", func() bool { return w.agree("a up, b up, c down") })
			w.start(id)
			w.wait("it is back", func() bool { return w.states("a") == "a up, b up, c draining" })
		}
		w.want("a", member.Request{Kind: member.RequestDrain, Node: "c"}, 0)
		w.wait("c drains", func() bool { return planned(w.smapOf("a")) && w.states("a") == "a up, b up, c draining" })
		back("c")
		w.walks(512)
		w.wait("c is drained", func() bool { return w.placed("a", "b") })
		back("c")
		w.pass(time.Minute, "it owns nothing", func() bool { return w.placed("a", "b") })
		w.want("b", member.Request{Kind: member.RequestJoin, Node: "c"}, 0)
		w.wait("it owns its part", func() bool { return w.placed("a", "b", "c") && w.agree("a up, b up, c up") })
		w.nodes["c"].kill()
		w.wait("it is down", func() bool { return w.agree("a up, b up, c down") })
		w.start("c")
		w.wait("it is back, and owns its part", func() bool { return w.placed("a", "b", "c") && w.agree("a up, b up, c up") })
	})
}

// A node that leaves is removed when it owns nothing; the last ones cannot.
func TestLeave(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.walks(512)
		w.want("a", member.Request{Kind: member.RequestLeave, Node: "b"}, 0)
		w.wait("b has left", func() bool { return w.states("a") == "a up, c up" && w.placed("a", "c") })
		w.want("c", member.Request{Kind: member.RequestLeave, Node: "c"}, 0)
		w.wait("c has left", func() bool { return w.states("a") == "a up" && w.placed("a") })
		w.want("a", member.Request{Kind: member.RequestLeave, Node: "a"}, errs.Conflict)
	})
}

// A plan that is canceled stays so: none is begun by itself until one is asked for. One of
// which slots have gone over is not canceled.
func TestCancel(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.want("a", member.Request{Kind: member.RequestCancel}, errs.Conflict)
		w.start("d")
		w.wait("a plan begins", func() bool { return w.states("a") == "a up, b up, c up, d up" && planned(w.smapOf("a")) })
		w.want("b", member.Request{Kind: member.RequestDrain, Node: "b"}, 0)
		w.want("d", member.Request{Kind: member.RequestJoin, Node: "b"}, 0)
		w.wait("b drains no more", func() bool { return w.agree("a up, b up, c up, d up") })
		w.want("d", member.Request{Kind: member.RequestDrain, Node: "b"}, 0)
		w.wait("b drains", func() bool { return w.agree("a up, b draining, c up, d up") })
		w.want("c", member.Request{Kind: member.RequestCancel}, 0)
		leader := w.leader()
		w.nodes[leader].kill() // who leads next knows of it, too
		w.wait("somebody else leads", func() bool {
			v := w.nodes[w.anyBut(leader)].view.Load()
			return v.Leader != leader && v.Leader != ""
		})
		w.start(leader)
		w.wait("all are there", func() bool { return w.agree("a up, b up, c up, d up") })
		w.pass(time.Minute, "none begins", func() bool { return w.placed("a", "b", "c") && w.nodes["a"].view.Load().Held })
		w.want("a", member.Request{Kind: member.RequestJoin}, 0)
		w.walks(1024)
		w.wait("slots go over", func() bool {
			next, is := w.smapOf("a").Next()
			return is && len(next.Switched) > 0
		})
		w.want("a", member.Request{Kind: member.RequestCancel}, errs.Conflict)
		w.wait("it ends", func() bool { return w.placed("a", "b", "c", "d") })
		if w.nodes["a"].view.Load().Held {
			t.Error("plans are held still, though one was asked for")
		}
	})
}

// A node that is down while others walk: keys with one copy wait for it, and what was
// walked before it changed its state counts for nothing.
func TestPlanAndDown(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c", "e")
		w.walks(64)
		dead := w.anyBut(w.leader())
		w.nodes[dead].walk.Store(walker(64, smap.Slots/2))
		switched := func() string {
			next, _ := w.smapOf(w.leader()).Next()
			return fmt.Sprint(next.Switched)
		}
		half := regexp.MustCompile(`^\[\{0 \d+ .* 2047 \d+\}\]$`)
		w.start("d")
		w.wait("half of the slots have gone over", func() bool { return half.MatchString(switched()) })
		w.nodes[dead].kill()
		w.wait("it is down", func() bool { return strings.Contains(w.states(w.leader()), string(dead)+" down") })
		w.pass(time.Minute, "nothing goes over", func() bool { return half.MatchString(switched()) })
		if v := w.nodes[w.leader()].view.Load(); v.Plan.Waits != string(dead)+" is down" {
			t.Errorf("the plan waits for %q", v.Plan.Waits)
		}
		// The others' reports are from before: they have to walk again, and do not.
		for _, n := range w.nodes {
			if n.id != dead && n.walk.Load() != nil {
				status, err := n.member.Answer(member.Probe{ClusterID: clusterID})
				must(t, err)
				stale := status.Walk
				report := func(*messages.ClusterView) *messages.PlanWalk { return stale }
				n.walk.Store(&report)
			}
		}
		w.nodes[dead].walk.Store(walker(64, smap.Slots))
		w.start(dead)
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up, d up, e up") })
		w.pass(time.Minute, "nothing goes over by reports from before", func() bool { return half.MatchString(switched()) })
		w.walks(64)
		w.wait("the plan ends", func() bool { return w.placed("a", "b", "c", "d", "e") })
	})
}

// A plan goes on under whoever leads, killed in turn.
func TestPlanAndLeaders(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.walks(64)
		w.start("d")
		w.nodes["d"].walk.Store(walker(64, smap.Slots))
		for range 4 {
			leader := w.leader()
			w.nodes[leader].kill()
			w.wait("it is down", func() bool { return strings.Contains(w.states(w.anyBut(leader)), string(leader)+" down") })
			w.start(leader)
			w.wait("it is back", func() bool { return strings.Contains(w.states(w.anyBut(leader)), string(leader)+" up") })
		}
		w.wait("the plan ends", func() bool { return w.placed("a", "b", "c", "d") })
	})
}

// Maintenance by request is refused where keys would have too few copies, lasts over
// restarts and leaders, and ends by request.
func TestMaintenanceByRequest(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.want("b", member.Request{Kind: member.RequestReturn, Node: "b"}, errs.Conflict)
		w.want("b", member.Request{Kind: member.RequestMaintenance, Node: "b"}, errs.Conflict)
		w.want("b", member.Request{Kind: member.RequestMaintenance, Node: "b", Reason: "new disks", Force: true}, 0)
		w.wait("b is in maintenance", func() bool { return w.agree("a up, b maintenance, c up") })
		leader := w.leader()
		w.nodes[leader].kill()
		w.wait("it is down", func() bool { return strings.Contains(w.states("b"), string(leader)+" down") || leader == "b" })
		w.start(leader)
		w.wait("it is back", func() bool { return w.agree("a up, b maintenance, c up") })
		w.pass(time.Minute, "b stays", func() bool { return w.states("a") == "a up, b maintenance, c up" })
		w.want("c", member.Request{Kind: member.RequestReturn, Node: "b"}, 0)
		w.wait("b is back", func() bool { return w.agree("a up, b up, c up") })
	})
}

// Pause, resume and limits reach all nodes, and a request without a leader is refused.
func TestPauseAndLimit(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b")
		w.start("c")
		w.wait("a plan begins", func() bool { return w.states("c") == "a up, b up, c up" && planned(w.smapOf("c")) })
		w.want("c", member.Request{Kind: member.RequestPause}, 0)
		w.want("a", member.Request{Kind: member.RequestLimit, Rate: messages.JobRate{Bytes: 1 << 20}}, 0)
		w.wait("all know", func() bool {
			for _, n := range w.nodes {
				if p := n.view.Load().Plan; p == nil || !p.Paused || p.Rate.Bytes != 1<<20 {
					return false
				}
			}
			return true
		})
		w.want("b", member.Request{Kind: member.RequestResume}, 0)
		w.wait("all know that, too", func() bool {
			return !w.nodes["a"].view.Load().Plan.Paused && !w.nodes["c"].view.Load().Plan.Paused
		})
		w.want("b", member.Request{Kind: "dance"}, errs.Invalid)
		w.provider(func(n *node) { n.provider.Faults().Cut(true) })
		w.let(time.Minute)
		if _, err := w.ask("c", member.Request{Kind: member.RequestPause}); err == nil {
			t.Error("it is decided without what all nodes agree on")
		}
	})
}
