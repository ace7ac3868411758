package member_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Nodes that start at once found one cluster, in which each owns keys.
func TestFounding(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		for _, id := range w.order {
			if got, want := w.nodes[id].archive.version(t), w.smapOf(id).Version(); got != want {
				t.Errorf("%s acts on version %d, and has %d on its disks", id, want, got)
			}
		}
	})
}

// A node with buckets founds alone, whoever leads: its keys are placed. Others join and
// own nothing until a plan gives them keys.
func TestFoundingWithData(t *testing.T) {
	run(t, func(w *world) {
		w.start("a", "b", "c")
		w.nodes["b"].data.Store(true)
		w.wait("all are in", func() bool { return w.agree("a up, b up, c up") })
		w.pass(time.Minute, "b alone owns keys", func() bool {
			p := w.smapOf("a").Placement()
			return len(p) == 1 && p[0] == "b"
		})
	})
}

// A node that comes later joins.
func TestJoining(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b")
		w.start("c")
		w.wait("c joins and owns keys", func() bool { return w.agree("a up, b up, c up") && len(w.smapOf("a").Placement()) == 3 })
	})
}

// A node that is killed is down within the failover time, and nobody else is; it
// returns after all have reached it for ten seconds, and by way of recovering.
func TestKilledAndBack(t *testing.T) {
	for _, victim := range []string{"leader", "other"} {
		t.Run(victim, func(t *testing.T) {
			run(t, func(w *world) {
				w.found("a", "b", "c", "d")
				leader := w.leader()
				dead := leader
				if victim == "other" {
					dead = map[bool]smap.NodeID{true: "b", false: "a"}[leader == "a"]
				}
				w.nodes[dead].kill()
				want := strings.Replace("a up, b up, c up, d up", string(dead)+" up", string(dead)+" down", 1)
				if took := w.wait("it is down", func() bool { return w.agree(want) }); took < member.SilentAfter-member.ProbeTime || took > 6*time.Second {
					t.Errorf("it is down after %s", took)
				}
				if lead := w.leader(); dead != leader && lead != leader {
					t.Errorf("the lead went from %s to %s, though %s was killed", leader, lead, dead)
				}
				w.pass(30*time.Second, "nobody else is", func() bool { return w.agree(want) })
				down := w.smapOf(w.anyBut(dead))
				w.start(dead)
				began := time.Now()
				w.wait("it is back", func() bool { return w.agree("a up, b up, c up, d up") })
				if took := time.Since(began); took < member.SteadyAfter {
					t.Errorf("it is up after %s", took)
				}
				if w.nodes[dead].catches.Load() != 1 {
					t.Errorf("it has caught up %d times", w.nodes[dead].catches.Load())
				}
				if up := w.smapOf(dead); up.Version() != down.Version()+2 { // recovering, up
					t.Errorf("version %d was followed by %d", down.Version(), up.Version())
				}
			})
		})
	}
}

// A node that dies while it recovers is written down as any other: writes wait for it, and
// nobody else would end that.
func TestKilledWhileRecovering(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c", "d")
		w.nodes["b"].kill()
		w.wait("it is down", func() bool { return w.agree("a up, b down, c up, d up") })
		w.nodes["b"].behind.Store(true)
		w.start("b")
		w.wait("it recovers", func() bool { return w.agree("a up, b recovering, c up, d up") })
		w.nodes["b"].kill()
		if took := w.wait("it is down again", func() bool { return w.agree("a up, b down, c up, d up") }); took > 6*time.Second {
			t.Errorf("it is down after %s", took)
		}
		w.nodes["b"].behind.Store(false)
		w.start("b")
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up, d up") })
	})
}

// Nodes that die together leave in versions of their own: of two that left in one, both
// would be the last to leave, and the one that is back later would serve what is old.
func TestKilledTogether(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c", "d", "e")
		w.nodes["b"].kill()
		w.nodes["c"].kill()
		w.wait("they are down", func() bool { return w.agree("a up, b down, c down, d up, e up") })
		m := w.smapOf("a")
		b, _ := m.Node("b")
		c, _ := m.Node("c")
		if b.Left == c.Left || b.Left == 0 || c.Left == 0 {
			t.Errorf("they left in versions %d and %d", b.Left, c.Left)
		}
	})
}

func (w *world) anyBut(id smap.NodeID) smap.NodeID {
	for _, other := range w.order {
		if other != id {
			return other
		}
	}
	return ""
}

// With exactly half of the nodes left, who holds the lock writes the others down; with
// fewer, nobody writes anything.
func TestHalfLeft(t *testing.T) {
	for _, nodes := range [][]smap.NodeID{{"a", "b"}, {"a", "b", "c", "d"}} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			run(t, func(w *world) {
				w.found(nodes...)
				leader := w.leader()
				states, killed := w.states(leader), 0
				for _, id := range nodes {
					if id != leader && killed < len(nodes)/2 {
						w.nodes[id].kill()
						killed++
						states = strings.Replace(states, string(id)+" up", string(id)+" down", 1)
					}
				}
				w.wait("half of them are down", func() bool { return w.agree(states) })
			})
		})
	}
	run(t, func(w *world) {
		w.found("a", "b", "c", "d", "e")
		leader := w.leader()
		for _, id := range w.order {
			if id != leader && id != w.anyBut(leader) {
				w.nodes[id].kill()
			}
		}
		w.pass(2*time.Minute, "nobody is written down", func() bool { return w.agree("a up, b up, c up, d up, e up") })
	})
}

// Short silence, and a restart that takes less than three seconds, change nothing.
func TestShortSilence(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		version := w.smapOf("a").Version()
		for range 5 {
			w.isolate("b", true)
			w.let(2 * time.Second)
			w.isolate("b", false)
			w.let(3 * time.Second)
		}
		w.pass(20*time.Second, "the map is the same", func() bool { return w.smapOf("a").Version() == version })
	})
}

// A node that is cut off is down for the others, and writes nobody down itself: it
// reaches no majority. A leader that is cut off from nodes, though not from the
// provider, resigns.
func TestIsolated(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		leader := w.leader()
		w.isolate(leader, true)
		want := strings.Replace("a up, b up, c up", string(leader)+" up", string(leader)+" down", 1)
		w.wait("it is down", func() bool { return w.states(w.anyBut(leader)) == want })
		w.wait("somebody else leads", func() bool {
			v := w.nodes[w.anyBut(leader)].view.Load()
			return v.Leader != leader && v.Leader != ""
		})
		w.pass(30*time.Second, "only it is down", func() bool { return w.states(w.anyBut(leader)) == want })
		w.isolate(leader, false)
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up") })
	})
}

// Of a cluster in two parts only the larger one writes nodes down, wherever the leader
// is.
func TestPartition(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c", "d", "e")
		leader := w.leader()
		second := w.anyBut(leader) // the two are cut off from the other three
		var minority, majority []smap.NodeID
		states := "a up, b up, c up, d up, e up"
		for _, id := range w.order {
			if id != leader && id != second {
				majority = append(majority, id)
				w.cut(id, leader, true)
				w.cut(id, second, true)
				continue
			}
			minority = append(minority, id)
			states = strings.Replace(states, string(id)+" up", string(id)+" down", 1)
		}
		w.wait("the two are down", func() bool { // who leads adopts it first
			return !slices.ContainsFunc(majority, func(id smap.NodeID) bool { return w.states(id) != states })
		})
		w.pass(time.Minute, "and nobody else", func() bool {
			return w.states(majority[0]) == states && w.states(majority[2]) == states && !strings.Contains(w.states(minority[0]), string(majority[0])+" down")
		})
		for _, id := range majority {
			w.cut(id, leader, false)
			w.cut(id, second, false)
		}
		w.wait("all are up", func() bool { return w.agree("a up, b up, c up, d up, e up") })
	})
}

// A node that one of the others does not reach does not return.
func TestReachedBySome(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c", "d")
		leader := w.leader()
		var rest []smap.NodeID
		for _, id := range w.order {
			if id != leader {
				rest = append(rest, id)
			}
		}
		w.isolate(rest[0], true)
		want := strings.Replace("a up, b up, c up, d up", string(rest[0])+" up", string(rest[0])+" down", 1)
		w.wait("it is down", func() bool { return w.states(leader) == want })
		w.cut(rest[0], leader, false)
		w.cut(rest[0], rest[1], false)
		w.pass(time.Minute, "one does not reach it", func() bool { return w.states(leader) == want })
		w.cut(rest[0], rest[2], false)
		w.wait("all do", func() bool { return w.agree("a up, b up, c up, d up") })
	})
}

// Of two nodes that do not reach one another, one goes down, and no more.
func TestComplaint(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c", "d")
		w.cut("b", "c", true)
		w.wait("b is down: both complain, and its id is the lower", func() bool { return w.agree("a up, b down, c up, d up") })
		w.pass(time.Minute, "it stays so: c does not reach it", func() bool { return w.agree("a up, b down, c up, d up") })
		w.cut("b", "c", false)
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up, d up") })
	})
}

// A node that only some reach does not return, and one that flaps neither.
func TestFlapping(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		dead := w.anyBut(w.leader())
		w.isolate(dead, true)
		w.wait("it is down", func() bool { return strings.Contains(w.states(w.leader()), string(dead)+" down") })
		version := w.smapOf(w.leader()).Version()
		for range 6 {
			w.isolate(dead, false)
			w.let(7 * time.Second)
			w.isolate(dead, true)
			w.let(2 * time.Second)
		}
		if got := w.smapOf(w.leader()).Version(); got != version {
			t.Errorf("a node that flaps has brought the map from version %d to %d", version, got)
		}
	})
}

// `consul maint` means maintenance, and its end the way back.
func TestMaintenance(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.memory.SetMaintenance("b", "new disks")
		w.wait("b is in maintenance", func() bool { return w.agree("a up, b maintenance, c up") })
		w.nodes["b"].kill()
		w.pass(time.Minute, "it is stopped, and no more than that", func() bool { return w.agree("a up, b maintenance, c up") })
		w.start("b")
		w.pass(time.Minute, "it is started, and still in maintenance", func() bool { return w.states("a") == "a up, b maintenance, c up" })
		w.memory.SetMaintenance("b", "")
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up") })
	})
}

// Without the provider nothing changes for requests, and the view says why documents
// cannot change; a node that dies meanwhile is written down when the provider is back.
func TestProviderAway(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		version := w.smapOf("a").Version()
		w.provider(func(n *node) { n.provider.Faults().Cut(true) })
		w.wait("all say so", func() bool {
			for _, n := range w.nodes {
				if n.view.Load().Unconfirmed == "" {
					return false
				}
			}
			return true
		})
		w.pass(5*time.Minute, "all serve as before", func() bool {
			return w.smapOf("a").Version() == version && w.nodes["b"].view.Load().Unready() == ""
		})
		w.nodes["c"].kill()
		w.pass(30*time.Second, "c is still up in the map", func() bool { return w.smapOf("a").Version() == version })
		w.provider(func(n *node) { n.provider.Faults().Cut(false) })
		w.wait("c is down", func() bool { return w.agree("a up, b up, c down") })
		w.wait("all is confirmed", func() bool {
			return w.nodes["a"].view.Load().Unconfirmed == "" && w.nodes["b"].view.Load().Unconfirmed == ""
		})
	})
}

// provider does something to the way to the provider of every node that runs.
func (w *world) provider(do func(n *node)) {
	for _, id := range w.order {
		if w.nodes[id].system != nil {
			do(w.nodes[id])
		}
	}
}

// A node that starts while the provider is away acts on the map that it has.
func TestStartWithoutProvider(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		version := w.smapOf("a").Version()
		w.nodes["b"].kill()
		w.nodes["b"].start()
		w.nodes["b"].provider.Faults().Cut(true)
		if got := w.smapOf("b"); got == nil || got.Version() != version {
			t.Errorf("it starts without its map: %v", got)
		}
		w.pass(30*time.Second, "it serves", func() bool { return w.nodes["b"].view.Load().Unready() == "" })
	})
}

// Answers that get lost, requests that arrive late and sessions that expire leave one
// line of maps, in which all end up.
func TestDisturbedProvider(t *testing.T) {
	run(t, func(w *world) {
		w.start("a", "b", "c", "d", "e")
		w.provider(func(n *node) { n.provider.Faults().LoseAnswers(3) })
		w.wait("the cluster is founded", func() bool { return w.agree("a up, b up, c up, d up, e up") })
		for round := range 6 {
			dead := w.order[round%5]
			w.provider(func(n *node) {
				n.provider.Faults().LoseAnswers(round % 3)
				n.provider.Faults().LoseRequests(round % 2)
				n.provider.Faults().HoldRequests(1)
			})
			w.nodes[dead].kill()
			w.memory.ExpireSessions()
			w.wait(string(dead)+" is down", func() bool { return strings.Contains(w.states(w.anyBut(dead)), string(dead)+" down") })
			w.provider(func(n *node) { n.provider.Faults().Arrive() })
			w.start(dead)
			w.memory.Forget("c")
			w.wait("all are up", func() bool { return w.agree("a up, b up, c up, d up, e up") })
		}
	})
}

// A provider that lost all its data gets the map back by itself only when every node
// of it answers and agrees.
func TestWiped(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		before := w.smapOf("a")
		w.nodes["c"].kill()
		w.wait("c is down", func() bool { return w.agree("a up, b up, c down") })
		down := w.smapOf("a")
		w.memory.Wipe()
		w.pass(5*time.Minute, "one node is missing: nothing is restored, all serve", func() bool {
			return w.smapOf("a").Hash() == down.Hash() && w.nodes["a"].view.Load().Unready() == "" && !w.hasMap(t)
		})
		w.start("c")
		w.wait("the map is back, and c after it", func() bool { return w.hasMap(t) && w.agree("a up, b up, c up") })
		if got := w.smapOf("a"); got.Lineage() != before.Lineage() || got.Version() != down.Version()+2 {
			t.Errorf("version %d of %s was followed by %d of %s", down.Version(), before.Lineage(), got.Version(), got.Lineage())
		}
	})
}

// hasMap reports whether the provider has a map.
func (w *world) hasMap(t *testing.T) bool {
	doc := w.document(t, w.keys().Smap())
	return doc.Exists()
}

// A new node does not found another cluster where the provider lost the one there was.
func TestWipedAndNewNode(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		lineage := w.smapOf("a").Lineage()
		w.nodes["b"].kill()
		w.wait("b is down", func() bool { return w.agree("a up, b down, c up") })
		w.memory.Wipe()
		w.start("d")
		w.pass(2*time.Minute, "nothing is founded", func() bool { return !w.hasMap(t) && w.smapOf("d") == nil })
		w.start("b")
		w.wait("all are there, and d with them", func() bool { return w.agree("a up, b up, c up, d up") })
		if got := w.smapOf("d").Lineage(); got != lineage {
			t.Errorf("the lineage %s has become %s", lineage, got)
		}
	})
}

// A map of another lineage is refused, and so is an older one; nobody acts on it, and
// nobody overwrites the other line.
func TestForeignMap(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		before := w.smapOf("a")
		other, err := smap.New("another", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2}, smap.Node{ID: "c", Digest: 3})
		must(t, err)
		for range before.Version() {
			next, err := other.Change().SetState("c", sinceOf(t, other, "c"), flip(t, other, "c")).Done()
			must(t, err)
			other = next
		}
		w.putMap(t, other)
		w.wait("all refuse it", func() bool {
			for _, n := range w.nodes {
				if !strings.Contains(n.view.Load().Refused, "lineage") {
					return false
				}
			}
			return true
		})
		w.pass(time.Minute, "nobody acts on it, and it is left alone", func() bool {
			return w.smapOf("a").Hash() == before.Hash() && w.mapThere(t).Hash() == other.Hash()
		})
		// Negative control: a map of their own line in its place is adopted.
		next, err := before.Change().SetState("c", sinceOf(t, before, "c"), smap.Maintenance).Done()
		must(t, err)
		w.putMap(t, next)
		w.wait("their own line is followed", func() bool {
			return w.smapOf("b").Version() >= next.Version() && w.nodes["b"].view.Load().Refused == ""
		})
	})
}

// flip is a state that the node may change to.
func flip(t *testing.T, m *smap.Smap, id smap.NodeID) smap.State {
	node, ok := m.Node(id)
	if !ok {
		t.Fatalf("%s is not there", id)
	}
	if node.State == smap.Recovering {
		return smap.Up
	}
	return smap.Recovering
}

func sinceOf(t *testing.T, m *smap.Smap, id smap.NodeID) uint64 {
	node, ok := m.Node(id)
	if !ok {
		t.Fatalf("%s is not there", id)
	}
	return node.Since
}

// A provider that got an older state back is given the newest map again, when all
// nodes agree: no version comes twice.
func TestOlderMap(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		old := w.smapOf("a")
		w.memory.SetMaintenance("c", "why not")
		w.wait("c is in maintenance", func() bool { return w.agree("a up, b up, c maintenance") })
		now := w.smapOf("a")
		w.putMap(t, old)
		w.wait("the newest one is there again", func() bool {
			for _, id := range w.order {
				if got := w.smapOf(id); got.Version() < now.Version() {
					t.Fatalf("%s has gone back to version %d", id, got.Version())
				}
			}
			return w.mapThere(t).Version() >= now.Version()
		})
		if got := w.mapThere(t); got.Hash() != now.Hash() {
			t.Errorf("there are two maps of version %d: %s, %s", now.Version(), now.Hash(), got.Hash())
		}
		if !w.agree("a up, b up, c maintenance") {
			t.Error("the states went back:", w.describe())
		}
	})
}

// A node acts on a map only when it is on its disks.
func TestAdoptionIsDurable(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		b := w.nodes["b"]
		version := w.smapOf("b").Version()
		b.archive.setFail(errors.New("the disk is full"))
		w.memory.SetMaintenance("c", "why not")
		w.wait("the others act on it", func() bool { return w.states("a") == "a up, b up, c maintenance" })
		w.pass(30*time.Second, "b does not", func() bool { return w.smapOf("b").Version() == version && b.archive.version(t) == version })
		b.archive.setFail(nil)
		w.wait("b follows", func() bool { return w.agree("a up, b up, c maintenance") })
	})
}

// A node that was killed has the map that it acted on, and never an older one.
func TestNeverBack(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.memory.SetMaintenance("c", "why not")
		w.wait("the map has changed", func() bool { return w.agree("a up, b up, c maintenance") })
		version := w.smapOf("b").Version()
		w.nodes["b"].kill()
		w.nodes["b"].start()
		if got := w.smapOf("b").Version(); got != version {
			t.Errorf("it acted on version %d, and starts with %d", version, got)
		}
	})
}

// Events tell what has happened, in their order; one that listens slowly loses the
// oldest.
func TestEvents(t *testing.T) {
	run(t, func(w *world) {
		w.start("a")
		l := w.nodes["a"].events.Listen()
		defer l.Close()
		w.wait("it is alone", func() bool { return w.agree("a up") })
		w.start("b")
		w.wait("b joins", func() bool { return w.agree("a up, b up") })
		w.memory.SetMaintenance("b", "why not")
		w.wait("b is in maintenance", func() bool { return w.agree("a up, b maintenance") })
		var got []string
		for len(l.C) > 0 {
			e := <-l.C
			if e.Kind == messages.ClusterNodeJoined || e.Kind == messages.ClusterNodeState || e.Kind == messages.ClusterLeadWon {
				got = append(got, string(e.Kind)+" "+string(e.Node)+" "+string(e.State))
			}
		}
		want := "lead-won a ; node-joined a up; node-joined b up; node-state b maintenance"
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	})
}

// Nodes whose name leads to another cluster by now found none, say so once a minute, and go
// on when the name is theirs.
func TestNameIsTaken(t *testing.T) {
	run(t, func(w *world) {
		p := w.memory.Provider()
		defer func() { check(t, p.Close()) }()
		store := cluster.NewStore(p, cluster.Pace{})
		must(t, store.Put(t.Context(), cluster.Document{Key: cluster.NameKey("test")}, []byte("0badc0de0badc0de")))
		w.start("a")
		w.let(20 * time.Minute)
		said := func(what string) int {
			w.nodes["a"].logLock.Lock()
			defer w.nodes["a"].logLock.Unlock()
			return strings.Count(w.nodes["a"].log.String(), what)
		}
		const warned = `level=warning msg="the map of the cluster was not written"`
		if n := said(warned); n < 15 || n > 22 || said("belongs to another cluster by now") < n {
			t.Errorf("said %d times in twenty minutes", n)
		}
		if w.smapOf("a") != nil {
			t.Error("a cluster was founded under another one's name")
		}
		must(t, store.Remove(t.Context(), w.document(t, cluster.NameKey("test"))))
		w.wait("it is founded", func() bool { return w.agree("a up") })
		if said("the map of the cluster is written again") != 1 {
			t.Error("the log does not say that it is over")
		}
	})
}
