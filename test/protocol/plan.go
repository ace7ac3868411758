package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// Plan goes on with the plan under way: it copies what this node is in charge of
// to the next owners, and reports slots that are through.
func (n *Node) Plan() {
	if _, ok := n.smap.Next(); !ok || n.self().State.Away() {
		return
	}
	slots := map[uint16]bool{}
	for _, key := range n.keys() {
		v, slot := n.views[key], smap.SlotOf(n.setting.Keys[key])
		if _, known := slots[slot]; !known {
			slots[slot] = true
		}
		if len(v.Next) == 0 || v.InCharge != n.id || n.copied[key] == v.Epoch {
			continue
		}
		slots[slot] = false
		if !n.copying(key) && !n.lost(key) {
			n.admit(key, &task{copy: true})
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		if slots[slot] {
			n.report(report{What: "walked", Walked: smap.Walked{By: n.id, Slot: slot, Map: n.smap.Version()}})
		}
	}
}

// copying reports whether a copy of the key is in its line.
func (n *Node) copying(key string) bool {
	l := n.lines[key]
	if l == nil {
		return false
	}
	return l.current != nil && l.current.copy || slices.ContainsFunc(l.waiting, func(t *task) bool { return t.copy })
}

// copyOut sends a settled record, or absence, to the next owners.
func (n *Node) copyOut(key string, t *task, r Record, have bool) {
	v := n.views[key]
	if have && r.sliced() && n.on(RemapFirst) && n.remaps(key, t, r) {
		return
	}
	t.unbuilt = t.unbuilt || have && r.sliced() && n.short[key] == r.Payload
	t.phase, t.record, t.have, t.waits = "copy", r, have, map[smap.NodeID]bool{}
	for _, id := range v.Next {
		if node, _ := n.smap.Node(id); !node.State.Away() && !slices.Contains(v.Owners, id) {
			t.waits[id] = true
		}
	}
	n.again(key, t)
	n.copiedOut(key, t)
}

// remaps gives next owners their indices by a record of its own, or has the value converted that
// they have no room for. It reports whether that is under way.
func (n *Node) remaps(key string, t *task, r Record) bool {
	if !n.hasRoom(key, r) {
		n.end(key, t)
		n.toConvert(key)
		return true
	}
	members := n.assign(key, r.form(), r.Members)
	if slices.Equal(members, r.Members) {
		return false
	}
	r.Follows, r.Generation, r.Members, r.Settled = r.Generation, n.next(), members, false
	if t.unbuilt = n.disk.Unbuilt[key] == r.Payload || n.short[key] == r.Payload; t.unbuilt {
		n.spread(key, t, "settle", r)
		return true
	}
	n.forward(key, t, r)
	return true
}

// onCopy makes this node's state of a key equal to that of the node in charge.
func (n *Node) onCopy(m Message) {
	v := n.views[m.Key]
	if n.fenced(m) || !slices.Contains(v.Next, n.id) {
		n.reply(m, Message{Kind: Copied})
		return
	}
	if m.Have && n.slices() && n.lacks(m.Key, m.Record) && n.on(SliceFirst) && !m.Unbuilt {
		n.reply(m, Message{Kind: Copied, Needs: true, Acks: m.Record.Generation})
		return
	}
	n.equal(m.Key, m.Record, m.Have, v.Epoch, n.on(CopyDropsBeyond))
	if !owns(v, n.id) {
		delete(n.disk.Unknown, m.Key) // an owner has to catch up first
	}
	n.reply(m, Message{Kind: Copied, OK: true})
}

func (n *Node) onCopied(m Message) {
	t := n.find(m)
	if t == nil || t.phase != "copy" || !t.waits[m.From] {
		return
	}
	if m.Needs {
		n.send(Message{Kind: Build, To: m.From, Key: m.Key, Turn: t.turn, Start: n.disk.Start, Have: true, Record: t.record})
		return
	}
	if !m.OK {
		n.end(m.Key, t)
		return
	}
	delete(t.waits, m.From)
	n.copiedOut(m.Key, t)
}

// copiedOut notes that all next owners have a key.
func (n *Node) copiedOut(key string, t *task) {
	if len(t.waits) > 0 {
		return
	}
	n.copied[key] = t.epoch
	n.end(key, t)
}
