package protocol

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/troupe-storage/troupe/objects/smap"
)

// register is what a key is to its clients: one value or none. A loss that is accepted
// takes it back to what survives.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			e, value := input.(event), state.(string)
			a := output.(Answer)
			if e.acceptedLoss {
				return true, e.op.Value
			}
			known := a.Outcome == Done || a.Outcome == Failed
			met := e.op.Do == "put" || e.op.Do == "delete" || e.op.Do == "create" && value == "" || e.op.Do == "replace" && value == e.op.If
			switch {
			case !e.op.writes():
				return a.Value == value, value
			case known && met != (a.Outcome == Done), a.Outcome == Failed && a.Value != value:
				return false, value
			case met:
				return true, e.op.Value
			default:
				return true, value
			}
		},
	}
}

// judge returns what is wrong with what the clients of a run saw, key by key;
// empty if nothing is. It is not conclusive where the search takes too long, and
// says so by its second result.
func judge(history []event) (wrong string, conclusive bool) {
	keys := map[string][]event{}
	for _, e := range history {
		keys[e.key] = append(keys[e.key], e)
	}
	conclusive = true
	names := make([]string, 0, len(keys))
	for key := range keys {
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		operations := linear(keys[key])
		switch porcupine.CheckOperationsTimeout(register(), operations, time.Minute) {
		case porcupine.Illegal:
			return key + " is not linearizable", true
		case porcupine.Unknown:
			conclusive = false
		}
	}
	return "", conclusive
}

// linear makes porcupine's operations of one key's events. What was refused did
// nothing. What has no known outcome may happen at any time; such a put is left
// out if nobody ever saw its value, because then nothing can depend on it: every
// operation that looks at the value tells what it saw.
func linear(events []event) []porcupine.Operation {
	seen := map[string]bool{}
	for _, e := range events {
		if e.ended > 0 {
			seen[e.answer.Value] = true
		}
	}
	var operations []porcupine.Operation
	for i, e := range events {
		returned := e.ended
		outcome := e.answer.Outcome
		if e.ended == 0 || outcome == Unknown {
			outcome, returned = Unknown, math.MaxInt64
		}
		if outcome == Refused || outcome == Unknown && (!e.op.writes() && !e.acceptedLoss || e.op.Value != "" && !seen[e.op.Value]) {
			continue
		}
		operations = append(operations, porcupine.Operation{
			ClientId: i, Input: e, Call: e.call, Output: Answer{Outcome: outcome, Value: e.answer.Value}, Return: returned,
		})
	}
	return operations
}

// rest heals everything and waits until nothing is under way: plans finished,
// nodes up. Then every node is asked for every key.
func (w *world) rest() string {
	w.consul, w.resting = true, true
	if w.profile.Data > 0 {
		if wrong := w.inspect(); wrong != "" {
			return wrong
		}
	}
	w.say("--- everything is well from here on")
	if w.profile.Local {
		w.process.power = -1
		for _, h := range w.hosts {
			if h.hung != nil {
				w.goesOn(h)
			}
		}
		if wrong := w.restart(nil); wrong != "" {
			return wrong
		}
	}
	for _, h := range w.hosts {
		h.paused, h.cut = false, false
		if h.dead {
			h.dead = false
			h.node.Restart()
		}
	}
	for _, c := range w.clients {
		c.pending = -1
	}
	if wrong := w.calm(); wrong != "" {
		return wrong
	}
	if wrong := w.last(); wrong != "" || w.setting.least(w.kv) == 1 || len(w.kv.Placement()) == 1 || !w.quiet() {
		return wrong
	}
	if w.profile.Data > 0 {
		return w.absences()
	}
	if w.profile.Local {
		return w.outages()
	}
	return w.failovers()
}

// failovers takes down one node after another, so that whatever a node has that
// the one in charge has not comes to light; before, tombstones go, and repeated
// messages come.
func (w *world) failovers() string {
	for _, h := range w.hosts {
		w.run(h, "drops tombstones", func(n *Node) { n.Compact() })
	}
	for _, e := range w.late {
		w.deliver(e)
	}
	for _, h := range w.hosts {
		h.dead = true
		node, _ := w.kv.Node(h.node.id)
		w.propose(fmt.Sprintf("%s is down", node.ID), nil, func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Down) })
		w.writeAll()
		if wrong := w.last(); wrong != "" {
			return wrong
		}
		h.dead = false
		h.node.Restart()
		if wrong := w.calm(); wrong != "" {
			return wrong
		}
	}
	return w.last()
}

// calm goes on until nothing is under way any more.
func (w *world) calm() string {
	w.calmly()
	if !w.quiet() && w.setting.Rules.On(AbsenceDeletes) && !w.stuck() {
		return "does not come to rest: " + w.states()
	}
	return ""
}

// calmly goes on until nothing is under way any more, or long enough.
func (w *world) calmly() {
	rounds := 60
	if w.profile.Data > 0 && !w.profile.Plans {
		rounds = 25
	}
	still := 0 // for how many rounds nothing was written
	for range rounds {
		written := w.kv.Version() + w.document.Version
		w.now += 5
		if w.profile.Local {
			w.supervise()
		} else {
			w.rejoin()
		}
		w.writeAll()
		w.converting()
		w.whole()
		w.writeAll()
		for _, h := range w.hosts {
			h.node.Tick(w.now)
			if h.dead {
				continue
			}
			m := Message{Kind: Map, To: h.node.id, Map: w.kv, Asked: w.now}
			w.run(h, "adopts", func(n *Node) { n.Deliver(m); n.AdoptDocument(w.document) })
			w.goOn(h, 0)
			w.goOn(h, 1)
			w.goOn(h, 2)
			w.goOn(h, 3)
			if w.profile.Data > 0 {
				w.goOn(h, 4)
				w.goOn(h, 5)
			}
		}
		for range 1000 + 3000*min(w.profile.Data, 1) {
			if len(w.flight) == 0 {
				break
			}
			w.deliver(w.flight[0])
			w.writeAll()
		}
		if still++; written != w.kv.Version()+w.document.Version {
			still = 0
		}
		if w.quiet() || w.peace() && (!w.profile.Plans || still > 2 && w.anyDead()) {
			w.dropStaged()
			break
		}
	}
}

// writeAll writes the drafts that there are, the first first.
func (w *world) writeAll() {
	for len(w.drafts) > 0 {
		w.write(w.drafts[0])
	}
}

// quiet reports whether all are up and no plan is under way.
func (w *world) quiet() bool {
	_, planned := w.kv.Next()
	return !planned && w.document.Phase == "" && !slices.ContainsFunc(w.hosts, func(h *host) bool {
		node, _ := w.kv.Node(h.node.id)
		return !node.State.Serves() || h.node.smap.Version() != w.kv.Version() || len(h.node.disk.Unknown) > 0
	})
}

// stuck reports whether a disk is lost that was the last to have something: only
// an operator can go on, by accepting the loss. What a next owner loses others have still.
func (w *world) stuck() bool {
	for _, h := range w.hosts {
		for key, owned := range h.node.disk.Unknown {
			if owned && inSync(h.node.views[key], h.node.id) {
				return true
			}
		}
	}
	return false
}

func (w *world) states() string {
	var s []string
	for _, node := range w.kv.Nodes() {
		s = append(s, fmt.Sprintf("%s %s since %d left %d", node.ID, node.State, node.Since, node.Left))
	}
	if next, ok := w.kv.Next(); ok {
		s = append(s, fmt.Sprintf("a plan to %v since %d, %d runs switched", next.Placement, next.Since, len(next.Switched)))
	}
	return strings.Join(s, "; ")
}

// whole begins a plan to all nodes where a bucket has fewer slices than it is to have.
func (w *world) whole() {
	alive := len(w.alive()) == len(w.hosts) && len(w.kv.Nodes()) == len(w.hosts)
	if _, planned := w.kv.Next(); w.profile.Data == 0 || planned || !alive || len(w.kv.Placement()) >= w.most() {
		return
	}
	var to []smap.NodeID
	for _, h := range w.hosts {
		to = append(to, h.node.id)
	}
	w.plan(to)
}

// last reads every key through every node, and looks at what nodes hold.
func (w *world) last() string {
	c := w.clients[0]
	for _, h := range w.hosts {
		if !h.dead {
			m := Message{Kind: Map, To: h.node.id, Map: w.kv, Asked: w.now}
			w.run(h, "adopts", func(n *Node) { n.Deliver(m); n.AdoptDocument(w.document) })
		}
	}
	for _, key := range w.hosts[0].node.keys() {
		for _, h := range w.hosts {
			if node, _ := w.kv.Node(h.node.id); h.dead || w.profile.Data > 0 && node.State == smap.Down && node.Left == 0 {
				continue // likewise, whose loss was accepted
			}
			at := len(w.history)
			w.begin(c, h, key, Op{Do: "get"})
			for range 1000 {
				if len(w.flight) == 0 || c.pending < 0 {
					break
				}
				w.deliver(w.flight[0])
			}
			if e := w.history[at]; (e.ended == 0 || e.answer.Outcome != Done && e.answer.Outcome != Corrupt) && !w.stuck() && !w.scarce() && !w.gone(key) {
				return fmt.Sprintf("%s cannot be read at %s although everything is well: %s", key, h.node.id, w.states())
			}
			c.pending = -1
		}
		for len(w.flight) > 0 {
			w.deliver(w.flight[0])
		}
		if wrong := w.copies(key); wrong != "" {
			return wrong
		}
	}
	return ""
}

// scarce reports whether a node is down and the others are too few to settle what
// is not settled.
func (w *world) scarce() bool {
	if w.profile.Data > 0 {
		return false
	}
	least := w.setting.least(w.kv)
	return least-1 < w.setting.enough(least) && slices.ContainsFunc(w.hosts, func(h *host) bool { return h.dead })
}

// copies checks that all owners have what the one in charge has, and nobody else
// has anything. An owner may have something greater that is not settled: a write
// that failed, which the next node in charge may still settle.
func (w *world) copies(key string) string {
	if !w.quiet() {
		return ""
	}
	v := w.kv.View(w.setting.key(key))
	first, has := w.host(v.InCharge).node.disk.Records[key]
	for _, h := range w.hosts {
		r, have := h.node.disk.Records[key]
		switch {
		case !v.Holds(h.node.id) && have:
			return fmt.Sprintf("%s has %s of %s, which it does not own: a leftover", h.node.id, r, key)
		case h.node.slices() && w.amiss(h, key, first) != "":
			return w.amiss(h, key, first)
		case v.Holds(h.node.id) && has && first.Value != "" && (!have || r.Generation != first.Generation && (r.Settled || r.Generation.Compare(first.Generation) < 0)):
			return fmt.Sprintf("%s has %s of %s, but %s in charge has %s", h.node.id, held(r, have), key, v.InCharge, first)
		}
	}
	return ""
}
