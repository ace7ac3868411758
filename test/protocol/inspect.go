package protocol

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// inspect looks at a run with slices before it comes to rest: some nodes stay away, all
// others are well. As long as no more are not up than there are slices of parity, every
// key can be read.
func (w *world) inspect() string {
	away := w.profile.Absent
	w.say("--- but for %d nodes everything is well from here on", away)
	dead := 0
	for i := range w.hosts { // those that are dead already, first
		h := w.hosts[(i+w.profile.Steps)%len(w.hosts)]
		h.paused, h.cut = false, false
		if !h.dead {
			continue
		}
		if dead < away {
			dead++
			continue
		}
		h.dead = false
		h.node.Restart()
	}
	for i := range w.hosts {
		if h := w.hosts[(i+w.profile.Steps/100)%len(w.hosts)]; !h.dead && dead < away {
			h.dead = true
			h.node.Take()
			dead++
		}
	}
	for _, c := range w.clients {
		c.pending = -1
	}
	for _, h := range w.alive() {
		for _, key := range h.node.keys() {
			w.run(h, "gives up what is staged of "+key, func(n *Node) { n.giveUpStagings(key) })
		}
	}
	return w.among()
}

// among has the nodes that are dead written down, and every key read at the others.
func (w *world) among() string {
	w.drafts = nil
	w.flight = slices.DeleteFunc(w.flight, func(e envelope) bool { // what it said before it died is void
		from := w.host(e.message.From)
		return e.message.Kind == Report && from != nil && from.dead
	})
	for _, h := range w.hosts {
		if node, _ := w.kv.Node(h.node.id); h.dead && !node.State.Away() {
			w.propose(fmt.Sprintf("%s is down", node.ID), nil, func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Down) })
			w.writeAll()
		}
	}
	w.calmly()
	if w.notUp()+w.damages > w.tolerance() {
		w.say("--- %d nodes are not up, %d slices were damaged: nothing is asked", w.notUp(), w.damages)
		return ""
	}
	return w.last()
}

// tolerance is how many nodes may be not up without a key being unreadable.
func (w *world) tolerance() int {
	least := len(w.hosts)
	for _, f := range w.document.forms() {
		least = min(least, f.spare(len(w.kv.Placement())))
	}
	return least
}

// most is how many nodes it takes for all slices of each form.
func (w *world) most() (most int) {
	for _, f := range w.document.forms() {
		most = max(most, f.owners())
	}
	return most
}

// notUp is how many nodes do not serve.
func (w *world) notUp() (count int) {
	for _, node := range w.kv.Nodes() {
		if !node.State.Serves() {
			count++
		}
	}
	return count
}

// absences takes down each choice of as many nodes as there are slices of parity, so that
// whatever a node has that the one in charge has not comes to light; before, tombstones go,
// and repeated messages come.
func (w *world) absences() string {
	for _, h := range w.hosts {
		w.run(h, "drops tombstones", func(n *Node) { n.Compact() })
	}
	for _, e := range w.late {
		w.deliver(e)
	}
	w.damages = 0 // they were repaired, or what they were of is lost
	tolerance := w.tolerance()
	for i := range w.hosts {
		for j := range i + 1 {
			if tolerance < 1 || (i == j) != (tolerance == 1) { // one of parity, or two
				continue
			}
			for _, h := range []*host{w.hosts[i], w.hosts[j]} {
				h.dead = true
				h.node.Take()
			}
			w.say("--- %s and %s are away", w.hosts[i].node.id, w.hosts[j].node.id)
			if wrong := w.among(); wrong != "" {
				return wrong
			}
			for _, h := range []*host{w.hosts[i], w.hosts[j]} {
				h.dead = false
				h.node.Restart()
			}
			w.say("--- and are back")
			if wrong := w.calm(); wrong != "" {
				return wrong
			}
		}
	}
	return w.last()
}

// dropStaged ends what is staged and nobody is about to name.
func (w *world) dropStaged() {
	for _, h := range w.hosts {
		for _, key := range h.node.keys() {
			if len(h.node.staged[key]) > 0 && len(w.flight) == 0 && !h.dead {
				w.run(h, "drops what is staged of "+key, func(n *Node) { n.Expire(key) })
			}
		}
	}
}

// amiss checks that a node has the slices that its record wants and nothing else, at rest.
// What an unsettled record replaced is there still.
func (w *world) amiss(h *host, key string, first Record) string {
	n := h.node
	r, have := n.disk.Records[key]
	lost := have && (n.disk.Unbuilt[key] == r.Payload || w.broken > 0) // the judge of histories knows which may be
	if have && !lost && r.Generation == first.Generation && n.lacks(key, r) {
		return fmt.Sprintf("%s has no slice of %s of %s", n.id, r, key)
	}
	if have && r.Settled && len(n.disk.Retained[key]) > 0 {
		return fmt.Sprintf("%s keeps %v of %s, whose record %s is settled", n.id, n.disk.Retained[key], key, r)
	}
	if len(n.staged[key]) > 0 {
		return fmt.Sprintf("%s has staged slices of %s", n.id, key)
	}
	for name := range n.disk.Slices[key] {
		named := have && slices.Contains(n.of(r, n.id), name)
		kept := slices.ContainsFunc(n.disk.Retained[key], func(e Record) bool { return e.Payload == name.Payload })
		if !named && !kept {
			return fmt.Sprintf("%s has slice %d of %s of %s, which nothing names", n.id, name.Index, name.Payload, key)
		}
	}
	return ""
}

// told checks what clients were told of lost payloads: nothing that was acknowledged may be
// lost with fewer disks than it takes, and nothing at all without one.
func (w *world) told() string {
	for _, e := range w.history {
		if e.answer.Outcome != Corrupt {
			continue
		}
		acknowledged := slices.ContainsFunc(w.history, func(other event) bool {
			return other.op.writes() && other.op.Value == e.answer.Value && other.answer.Outcome == Done
		})
		if w.broken == 0 || acknowledged && w.broken <= w.profile.MinSlices-w.profile.Data {
			return fmt.Sprintf("%s of %s is lost (acknowledged: %v), with %d disks lost", e.answer.Value, e.key, acknowledged, w.broken)
		}
	}
	return ""
}

func (w *world) anyDead() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.dead })
}

// peace reports whether all that are not dead are up: more does not come where some are.
func (w *world) peace() bool {
	if w.profile.Data == 0 {
		return false
	}
	return !slices.ContainsFunc(w.hosts, func(h *host) bool {
		node, _ := w.kv.Node(h.node.id)
		return !h.dead && (!node.State.Serves() || h.node.smap.Version() != w.kv.Version() || len(h.node.disk.Unknown) > 0)
	})
}

// gone reports whether disks were lost and some node is away, and all nodes together have
// too little of what the one in charge has: then it may say so only once all answer.
func (w *world) gone(key string) bool {
	charge := w.host(w.kv.View(w.setting.key(key)).InCharge)
	if w.broken == 0 || charge == nil || !w.anyDead() {
		return false
	}
	r := charge.node.disk.Records[key]
	if slices.ContainsFunc(w.history, func(e event) bool { return e.key == key && e.answer.Outcome == Corrupt && e.answer.Value == r.Value }) {
		return true // it was told to be lost; something of it may have turned up since
	}
	indices := map[int]bool{}
	for _, h := range w.hosts {
		for name := range h.node.disk.Slices[key] {
			if name.Payload == r.Payload {
				indices[name.Index] = true
			}
		}
	}
	return r.sliced() && !indices[wholeIndex] && len(indices) < r.Data
}
