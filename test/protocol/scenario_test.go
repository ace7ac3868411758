package protocol

import (
	"maps"
	"testing"

	"github.com/troupe-storage/troupe/objects/smap"
)

// scenario plays accidents in an order that chance seldom finds: one key, its
// owners in HRW order.
type scenario struct {
	*world
	t       *testing.T
	a, b, c *host // c is no owner where there are fewer copies
}

const scenarioKey = "k1"

// stage makes a cluster of three nodes.
func stage(t *testing.T, copies int, rules Rules) *scenario {
	t.Helper()
	w := newWorld(Profile{Nodes: 3, Copies: copies, MinCopies: 1, Keys: 1, Clients: 2, Losses: copies == 1, Steps: 1 << 30}, rules, true)
	owners := w.kv.View(smap.Key{Digest: w.setting.Keys[scenarioKey], Owners: 3, Document: 1}).Owners
	s := &scenario{w, t, w.host(owners[0]), w.host(owners[1]), w.host(owners[2])}
	s.adopt(s.hosts...)
	return s
}

// adopt has nodes read Consul.
func (s *scenario) adopt(hosts ...*host) {
	for _, h := range hosts {
		s.run(h, "adopts", func(n *Node) { n.Deliver(Message{Kind: Map, To: n.id, Map: s.kv, Asked: s.now}) })
	}
}

// is writes states of a node, one map each.
func (s *scenario) is(h *host, states ...smap.State) {
	for _, state := range states {
		node, _ := s.kv.Node(h.node.id)
		s.propose("", nil, func(c *smap.Change) { c.SetState(node.ID, node.Since, state) })
		s.writeAll()
	}
}

// sends has a client send an operation to a node, which gets it.
func (s *scenario) sends(client int, h *host, op Op) {
	s.begin(s.clients[client], h, scenarioKey, op)
	s.one(Request, nil, h)
}

// one delivers one message.
func (s *scenario) one(kind Kind, from, to *host) {
	s.t.Helper()
	for _, e := range s.flight {
		if e.message.Kind == kind && (from == nil || e.message.From == from.node.id) && (to == nil || e.message.To == to.node.id) {
			s.deliver(e)
			return
		}
	}
	s.t.Fatalf("no %s is on its way", kind)
}

// of returns the messages of a kind that are on their way.
func (s *scenario) of(kind Kind) (list []envelope) {
	for _, e := range s.flight {
		if e.message.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// all delivers all messages between some hosts.
func (s *scenario) all(hosts ...*host) {
	among := func(id smap.NodeID) bool {
		for _, h := range hosts {
			if h.node.id == id {
				return true
			}
		}
		return false
	}
	for again := true; again; {
		again = false
		for _, e := range s.flight {
			if among(e.message.From) && among(e.message.To) {
				s.deliver(e)
				again = true
				break
			}
		}
	}
}

// asks lets a node that returns ask another, and that one's answer be on its way.
func (s *scenario) asks(h, other *host) {
	s.t.Helper()
	for range 4 {
		s.run(h, "goes on with its return", func(n *Node) { n.Walk() })
		for _, e := range s.flight {
			if e.message.Kind == Fetch && e.message.From == h.node.id {
				if e.message.To == other.node.id {
					s.deliver(e)
					return
				}
				s.take(e)
			}
		}
	}
	s.t.Fatalf("%s does not ask %s", h.node.id, other.node.id)
}

// asked reports whether somebody who catches up waits in the line of a node.
func (s *scenario) asked(h *host) bool {
	l := h.node.lines[scenarioKey]
	return l != nil && len(l.waiting) > 0
}

// moves plays a whole plan.
func (s *scenario) moves(to ...*host) {
	s.t.Helper()
	s.plan(ids(to))
	s.ends()
}

func ids(hosts []*host) (list []smap.NodeID) {
	for _, h := range hosts {
		list = append(list, h.node.id)
	}
	return list
}

// ends plays a plan that was begun to its end.
func (s *scenario) ends() {
	s.t.Helper()
	for range 12 {
		s.writeAll()
		s.adopt(s.alive()...)
		for _, h := range s.alive() {
			s.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
		}
		s.all(s.alive()...)
		for _, h := range s.alive() {
			for _, e := range s.flight {
				if e.message.Kind == Report && e.message.From == h.node.id {
					s.deliver(e)
				}
			}
		}
		s.writeAll()
		if _, planned := s.kv.Next(); !planned {
			s.adopt(s.alive()...)
			return
		}
	}
	s.t.Fatalf("the plan does not end: %s", s.states())
}

// givesUp writes a down, which does not hear of it, accepts its loss after a while,
// if that is allowed, and has the others take over and write.
func (s *scenario) givesUp(after int64) {
	s.t.Helper()
	s.sends(0, s.a, Op{Do: "put"})
	s.is(s.a, smap.Down)
	s.adopt(s.b, s.c)
	s.watchHalves()
	s.now += after
	for _, h := range s.hosts {
		h.node.Tick(s.now)
	}
	s.acceptLoss(0)
	s.writeAll()
	if _, planned := s.kv.Next(); !planned {
		return
	}
	for range 6 {
		s.adopt(s.b, s.c)
		for _, h := range []*host{s.b, s.c} {
			s.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
		}
		for _, e := range s.flight {
			if e.message.Kind == Report {
				s.deliver(e)
			}
		}
		s.writeAll()
	}
	s.adopt(s.b, s.c)
	s.sends(0, s.b, Op{Do: "put"})
	s.all(s.b, s.c)
	s.sends(0, s.c, Op{Do: "put"})
	s.all(s.b, s.c)
}

// staleOwner leaves b with a value that was deleted while b was away and its key
// was another's; the tombstone is dropped.
func (s *scenario) staleOwner() {
	s.t.Helper()
	s.sends(0, s.a, Op{Do: "put"})
	s.all(s.a, s.b)
	s.b.dead = true
	s.is(s.b, smap.Down)
	s.adopt(s.a, s.c)
	s.moves(s.a, s.c)
	s.sends(0, s.a, Op{Do: "delete"})
	s.all(s.a, s.c)
	for _, h := range s.alive() {
		s.run(h, "drops tombstones", func(n *Node) { n.Compact() })
	}
}

// Rules whose accidents are too rare for random schedules, as scenarios: each goes
// wrong without its rule, and well with it.
func TestScenarios(t *testing.T) {
	all := scenarios()
	maps.Copy(all, sliceScenarios())
	maps.Copy(all, planScenarios())
	for rule, play := range all {
		t.Run(string(rule), func(t *testing.T) {
			for _, rules := range []Rules{nil, Without(rule)} {
				s := play(t, rules)
				wrong := s.rest()
				if history, _ := judge(s.history); history != "" {
					wrong = history
				}
				if (wrong != "") == rules.On(rule) {
					for _, line := range s.trace {
						t.Log(line)
					}
					t.Errorf("switched off: %v; wrong: %q", !rules.On(rule), wrong)
				}
			}
		})
	}
}

func scenarios() map[Rule]func(*testing.T, Rules) *scenario {
	return map[Rule]func(*testing.T, Rules) *scenario{
		// c has a new write before the source that it asks has it: the source's
		// absence must not delete it.
		CatchUpGuard: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 3, rules)
			s.is(s.c, smap.Down, smap.Recovering)
			s.adopt(s.hosts...)
			s.sends(0, s.a, Op{Do: "put"})
			s.one(Store, s.a, s.c)
			s.asks(s.c, s.b)
			s.one(Fetched, s.b, s.c)
			s.all(s.a, s.b, s.c)
			return s
		},
		// b's answer was made before a settled an old record at all: it must not
		// delete what c has stored since.
		StoredSinceAsked: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 3, rules)
			s.sends(0, s.a, Op{Do: "put"})
			s.flight = nil // lost
			s.is(s.c, smap.Down, smap.Recovering)
			s.adopt(s.hosts...)
			s.asks(s.c, s.b)
			late := s.flight
			s.flight = nil
			s.sends(1, s.a, Op{Do: "get"})
			s.one(Store, s.a, s.b)
			s.one(Store, s.a, s.c)
			s.one(Stored, s.b, s.a)
			s.one(Stored, s.c, s.a)
			for _, e := range late { // before c is told that it is settled
				s.deliver(e)
			}
			s.all(s.a, s.b, s.c)
			return s
		},
		// b was away, too, when a wrote: that it has no hint means nothing.
		HintsComplete: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 3, rules)
			s.is(s.c, smap.Down)
			s.is(s.b, smap.Down)
			s.adopt(s.hosts...)
			s.sends(0, s.a, Op{Do: "put"})
			s.is(s.b, smap.Recovering)
			s.adopt(s.hosts...)
			s.asks(s.b, s.a)
			s.all(s.a, s.b)
			s.is(s.b, smap.Up)
			s.is(s.a, smap.Down)
			s.is(s.c, smap.Recovering)
			s.adopt(s.b, s.c)
			s.asks(s.c, s.b)
			s.all(s.b, s.c)
			return s
		},
		// A store that b admitted under the older map is acknowledged after c asked b
		// under the newer one: it must have had its turn before.
		LaneBarrier: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 3, rules)
			s.is(s.c, smap.Down)
			s.adopt(s.hosts...)
			s.sends(0, s.a, Op{Do: "put"})
			s.one(Store, s.a, s.b)
			s.is(s.c, smap.Recovering)
			s.adopt(s.b, s.c)
			s.asks(s.c, s.b)
			s.one(Fetched, s.b, s.c)
			s.run(s.b, "goes on", func(n *Node) { n.Again() })
			s.one(Stored, s.b, s.a)
			return s
		},
		// The next owner was away when the slot was walked: that walk is worth nothing
		// once it is back.
		SwitchUnchanged: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.sends(0, s.a, Op{Do: "put"})
			s.plan([]smap.NodeID{s.b.node.id, s.c.node.id})
			s.writeAll()
			s.is(s.b, smap.Down)
			s.adopt(s.hosts...)
			for _, h := range []*host{s.a, s.a, s.c} { // a copies, then reports
				s.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
			}
			s.one(Report, s.a, nil)
			s.one(Report, s.c, nil)
			s.is(s.b, smap.Recovering, smap.Up)
			s.adopt(s.b)
			s.run(s.b, "goes on with its plan", func(n *Node) { n.Plan() })
			s.one(Report, s.b, nil)
			s.writeAll()
			return s
		},
		// There are two copies from now on, and a has not heard of the document that says
		// so: it must not keep for itself what b is to have.
		CountsOfMap: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.recount(ids(s.hosts), 2)
			s.ends()
			for _, h := range []*host{s.b, s.c} {
				s.run(h, "adopts the document", func(n *Node) { n.AdoptDocument(s.document) })
			}
			s.sends(0, s.a, Op{Do: "put"})
			s.all(s.a, s.b)
			s.is(s.a, smap.Down)
			s.adopt(s.b, s.c)
			s.sends(1, s.b, Op{Do: "get"})
			s.all(s.b, s.c)
			return s
		},
		// What b was given is lost with b's disk after a has reported that it is there: no
		// walk of before counts once b has left for that.
		LostLeaves: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.sends(0, s.a, Op{Do: "put"})
			s.plan([]smap.NodeID{s.b.node.id, s.c.node.id})
			s.writeAll()
			s.adopt(s.hosts...)
			s.run(s.a, "goes on with its plan", func(n *Node) { n.Plan() })
			s.all(s.a, s.b)
			for _, h := range []*host{s.a, s.c} {
				s.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
				s.one(Report, h, nil)
			}
			s.run(s.b, "loses its disk", func(n *Node) { n.LoseDisk([]string{scenarioKey}) })
			s.run(s.b, "looks at what it has", func(n *Node) { n.Walk() })
			for _, e := range s.of(Report) {
				s.deliver(e)
			}
			s.writeAll()
			s.adopt(s.b)
			s.run(s.b, "goes on with its plan", func(n *Node) { n.Plan() })
			s.one(Report, s.b, nil)
			s.writeAll()
			return s
		},
		// b has acknowledged an old delete that a settles; c has not got it yet, and must not
		// be who tells b what there is.
		AskInCharge: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 3, rules)
			s.setting.AskCharge = true
			s.sends(0, s.a, Op{Do: "put"})
			s.all(s.a, s.b, s.c)
			s.sends(0, s.a, Op{Do: "delete"})
			s.flight = nil // lost
			s.run(s.a, "gives up", func(n *Node) { n.GiveUp(scenarioKey) })
			s.is(s.b, smap.Down, smap.Recovering)
			s.adopt(s.hosts...)
			s.sends(1, s.a, Op{Do: "get"})
			s.one(Store, s.a, s.b)
			for len(s.of(Fetched)) == 0 && !s.asked(s.a) {
				s.run(s.b, "goes on with its return", func(n *Node) { n.Walk() })
				for _, e := range s.of(Fetch) {
					if e.message.To == s.c.node.id || rules.On(AskInCharge) {
						s.deliver(e)
					} else {
						s.take(e)
					}
				}
			}
			s.one(Store, s.a, s.c)
			s.one(Stored, s.b, s.a)
			s.one(Stored, s.c, s.a)
			s.one(Fetched, nil, s.b)
			s.all(s.a, s.b, s.c)
			return s
		},
		// a was given up, and goes on as if nothing had happened.
		Alone: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.givesUp(giveUp)
			s.sends(1, s.a, Op{Do: "get"})
			return s
		},
		// The answer that confirms a's map was so long on its way that a was given up
		// meanwhile: it is as old as the question.
		FromAsking: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			asked := Message{Kind: Map, To: s.a.node.id, Map: s.kv, Asked: s.now}
			s.givesUp(giveUp)
			s.run(s.a, "gets Consul's answer", func(n *Node) { n.Deliver(asked) })
			s.sends(1, s.a, Op{Do: "get"})
			return s
		},
		// a is to be given up at once, although it confirmed its map just now.
		GiveUpWaits: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.givesUp(aloneAfter / 2)
			s.sends(1, s.a, Op{Do: "get"})
			return s
		},
		// b becomes an owner again while it is away, with what was deleted long ago.
		AbsenceDeletes: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 2, rules)
			s.staleOwner()
			s.moves(s.a, s.b)
			return s
		},
		// b becomes a next owner, with what was deleted long ago.
		CopyDropsBeyond: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 2, rules)
			s.staleOwner()
			s.b.dead = false
			s.is(s.b, smap.Recovering, smap.Up)
			s.adopt(s.b)
			s.moves(s.a, s.b)
			return s
		},
		// A store made before a delete comes again after its tombstone has gone.
		DroppedBound: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 2, rules)
			s.sends(0, s.a, Op{Do: "put"})
			again := s.of(Store)
			s.all(s.a, s.b)
			s.sends(0, s.a, Op{Do: "delete"})
			s.all(s.a, s.b)
			for _, h := range []*host{s.a, s.b} {
				s.run(h, "drops tombstones", func(n *Node) { n.Compact() })
			}
			for _, e := range again {
				s.deliver(e)
			}
			return s
		},
		// b's acknowledgement of what was settled before a write comes twice: it must not count
		// for the write.
		AckNames: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 2, rules)
			s.sends(0, s.a, Op{Do: "put"})
			s.flight = nil // lost
			s.run(s.a, "gives up", func(n *Node) { n.GiveUp(scenarioKey) })
			s.sends(1, s.a, Op{Do: "replace", If: "v1"})
			s.one(Store, s.a, s.b)
			again := s.of(Stored)
			s.one(Stored, s.b, s.a)
			for _, e := range again {
				s.deliver(e)
			}
			s.flight = nil // b does not get the write
			s.is(s.a, smap.Down)
			s.adopt(s.b)
			s.a.dead = true
			s.clients[0].pending = -1
			s.sends(0, s.b, Op{Do: "get"})
			return s
		},
		// A copy made before a delete comes again after its tombstone has gone.
		TombstonesAllUp: func(t *testing.T, rules Rules) *scenario {
			s := stage(t, 1, rules)
			s.sends(0, s.a, Op{Do: "put"})
			s.plan([]smap.NodeID{s.b.node.id, s.c.node.id})
			s.writeAll()
			s.adopt(s.hosts...)
			s.run(s.a, "goes on with its plan", func(n *Node) { n.Plan() })
			again := s.of(Copy)
			s.all(s.a, s.b)
			s.sends(0, s.a, Op{Do: "delete"})
			s.all(s.a, s.b)
			s.run(s.b, "drops tombstones", func(n *Node) { n.Compact() })
			for _, e := range again {
				s.deliver(e)
			}
			for _, h := range s.hosts {
				s.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
				s.one(Report, h, nil)
			}
			s.writeAll()
			return s
		},
	}
}

// slicesStage makes a cluster of five nodes with three slices of data and two of parity: its
// hosts are in the order in which they are in charge.
func slicesStage(t *testing.T, rules Rules) (s *scenario, owners []*host) {
	t.Helper()
	w := newWorld(Profile{Nodes: 5, Copies: 5, MinCopies: 1, Keys: 1, Clients: 2, Steps: 1 << 30, Data: 3, Parity: 2, MinSlices: 4}, rules, true)
	for _, id := range w.kv.View(w.setting.key(scenarioKey)).Owners {
		owners = append(owners, w.host(id))
	}
	s = &scenario{world: w, t: t}
	w.ops = 1 << 10 // the next is sliced: a fourth of the operations writes its value whole
	s.adopt(s.hosts...)
	return s, owners
}

// puts has the owner in charge store a value at some others, which acknowledge it; what it
// sent to the rest is lost, but kept for those who want it late.
func (s *scenario) puts(client int, charge *host, at ...*host) (late []envelope) {
	s.t.Helper()
	s.sends(client, charge, Op{Do: "put"})
	for range s.of(Stage) {
		s.deliver(s.of(Stage)[0])
	}
	for range s.of(Staged) {
		s.deliver(s.of(Staged)[0])
	}
	for _, h := range at {
		s.one(Store, charge, h)
	}
	for len(s.of(Stored)) > 0 {
		s.deliver(s.of(Stored)[0])
	}
	late, s.flight = s.flight, nil
	s.clients[client].pending = -1
	return late
}

// expires drops what is staged everywhere.
func (s *scenario) expires() {
	for _, h := range s.hosts {
		s.run(h, "drops what is staged", func(n *Node) { n.Expire(scenarioKey) })
	}
}

func sliceScenarios() map[Rule]func(*testing.T, Rules) *scenario {
	return map[Rule]func(*testing.T, Rules) *scenario{
		// e, which holds nothing of a whole payload, has the record of a write that died with a.
		// b settles what was before, meets it, and lacks it itself.
		OwnIsProof: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			s.profile.Absent = 1 // a stays away
			s.puts(0, o[0], o[1:]...)
			s.ops += 2 // the next is whole
			s.puts(0, o[0], o[4])
			s.expires()
			o[0].dead = true
			s.is(o[0], smap.Down)
			s.adopt(o[1:]...)
			s.sends(1, o[1], Op{Do: "get"})
			s.all(o[1:]...)
			return s
		},
		// b has a write of a that failed, c one of its own that followed what a had settled
		// before: back is to that, and not to the write that b has, which nobody can give.
		Follows: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			s.profile.Absent = 1 // a stays away
			s.sends(0, o[0], Op{Do: "put"})
			s.all(s.hosts...)
			s.puts(0, o[0], o[2])
			s.expires()
			o[0].dead = true
			s.is(o[0], smap.Down)
			s.adopt(o[1:]...)
			s.puts(0, o[1])
			o[1].node.Restart()
			s.expires()
			s.sends(1, o[1], Op{Do: "get"})
			s.all(o[1:]...)
			return s
		},
		// All owners have a record of which nobody knows that it is settled, and three of its
		// slices are damaged: it is neither forward nor back, and no disk was lost.
		LostIsTold: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			s.puts(0, o[0], o[1:]...)
			o[0].dead = true
			s.is(o[0], smap.Down)
			s.adopt(o[1:]...)
			s.broken = 3
			for _, h := range o[1:4] {
				h.node.Damage(scenarioKey)
			}
			s.sends(1, o[1], Op{Do: "get"})
			s.all(o[1:]...)
			return s
		},
		// e was away when a write was acknowledged: that it lacks it is no proof.
		WitnessInSync: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			o[4].dead = true
			s.is(o[4], smap.Down)
			s.adopt(o[:4]...)
			s.puts(0, o[0], o[1:4]...) // news that it is settled are lost
			for _, h := range []*host{o[0], o[2], o[3]} {
				h.dead = true
				s.is(h, smap.Down)
			}
			o[4].dead = false
			s.is(o[4], smap.Recovering)
			s.adopt(o[1], o[4])
			s.sends(1, o[1], Op{Do: "get"})
			s.all(o[1], o[4])
			return s
		},
		// All but b were written down and do not know it. What they say under the older map is
		// no answer: a still spreads its write, and has it acknowledged by them.
		CountCurrent: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			a, b := o[0], o[1]
			s.sends(0, a, Op{Do: "put"})
			late := s.of(Stage)
			for _, h := range o[1:] {
				s.one(Stage, a, h)
				s.one(Staged, h, a)
			}
			s.one(Store, a, b)
			s.one(Stored, b, a)
			late = append(late, s.of(Store)...)
			s.flight = nil
			s.expires()
			for _, h := range []*host{a, o[2], o[3], o[4]} {
				s.is(h, smap.Down)
			}
			s.adopt(b)
			s.sends(1, b, Op{Do: "get"})
			for _, kind := range []Kind{Have, Has} {
				for _, e := range s.of(kind) {
					s.deliver(e)
				}
			}
			s.flight = nil
			for _, e := range late {
				if e.message.To != b.node.id {
					s.deliver(e)
				}
			}
			for _, e := range s.of(Stored) {
				s.deliver(e)
			}
			s.flight = nil
			return s
		},
	}
}

// shrinks begins the plan that ends a conversion to 2+1: keys have three owners then.
func (s *scenario) shrinks() {
	s.t.Helper()
	s.profile.Plans = true
	s.document.Wanted, s.document.Phase = Form{Data: 2, Parity: 1}, "shrink"
	s.converting()
	s.writeAll()
	if _, planned := s.kv.Next(); !planned {
		s.t.Fatal("no plan is under way")
	}
	s.adopt(s.hosts...)
}

func planScenarios() map[Rule]func(*testing.T, Rules) *scenario {
	return map[Rule]func(*testing.T, Rules) *scenario{
		// a has an older document when the bucket shrinks from 3+2 to 2+1, and has walked the key: what
		// it writes in the form of before is not to be acknowledged, though three slices of it, which are
		// enough to read and as many as a write needs, are at next owners.
		RoomNext: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			s.setting.MinSlices = 3
			s.shrinks()
			for range 2 { // it copies that there is nothing, then reports
				s.run(o[0], "goes on with its plan", func(n *Node) { n.Plan() })
				s.all(s.hosts...)
			}
			s.sends(0, o[0], Op{Do: "put"})
			s.all(s.hosts...)
			s.ends()
			return s
		},
		// a was away while the bucket was converted from 2+1 to 3+2: it must not write as before once
		// it is back in charge, because nobody converts that.
		WantedForm: func(t *testing.T, rules Rules) *scenario {
			s, o := slicesStage(t, rules)
			s.profile.Plans = true
			old := s.document
			old.Form = Form{Data: 2, Parity: 1}
			o[0].node.disk.Bucket = old
			s.document.Version, s.document.Map = 1, s.kv.Version()
			for _, h := range o[1:] {
				h.node.AdoptDocument(s.document)
			}
			s.is(o[0], smap.Down, smap.Recovering)
			s.adopt(s.hosts...)
			for range 2 { // it asks about its key, then reports
				s.run(o[0], "goes on with its return", func(n *Node) { n.Walk() })
				s.all(s.hosts...)
			}
			s.one(Report, o[0], nil)
			s.writeAll()
			s.adopt(s.hosts...)
			charge := s.host(s.kv.View(s.setting.key(scenarioKey)).InCharge)
			s.sends(0, charge, Op{Do: "put"})
			s.all(s.hosts...)
			return s
		},
	}
}

// Of a bucket of 3+2 on five nodes two are given up, one after the other; the third stays, since
// what the others have is too little to read. By copies it would be given up as well.
func TestReducedIsNotGivenUp(t *testing.T) {
	for _, rules := range []Rules{nil, Without(SpareSlices)} {
		s, o := slicesStage(t, rules)
		s.profile.Plans, s.profile.Losses = true, true
		s.puts(0, o[0], o[1:]...)
		s.run(o[0], "gives up", func(n *Node) { n.GiveUp(scenarioKey) })
		for _, h := range []*host{o[4], o[3], o[2]} {
			s.is(h, smap.Down)
			s.adopt(s.alive()...) // the node, too, so that half of them have
			h.dead = true
			s.watchHalves()
			s.now += giveUp
			s.acceptLoss(0)
			s.writeAll()
			if _, planned := s.kv.Next(); planned && h != o[2] {
				s.ends()
			}
		}
		want := 2
		if !rules.On(SpareSlices) {
			want = 3
		}
		if s.givenUp != want {
			t.Errorf("switched off: %v; %d nodes were given up, want %d: %s", !rules.On(SpareSlices), s.givenUp, want, s.states())
		}
		r, key := o[0].node.disk.Records[scenarioKey], o[0].node.setting.key(scenarioKey)
		if owners := s.kv.View(key).Owners; rules.On(SpareSlices) && (len(owners) != 3 || !r.Settled) {
			t.Errorf("the owners are %v, and %s is what is in charge", owners, r)
		}
	}
}
