package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// onRequest admits a client's operation, or sends it to the node in charge.
func (n *Node) onRequest(m Message) {
	v := n.views[m.Key]
	relayed := m.From != ""
	switch {
	case n.self().State.Away(), n.alone(), n.lost(m.Key), relayed && n.on(Fence) && m.Epoch != v.Epoch:
		n.answers = append(n.answers, Answer{Op: m.Op.ID, Outcome: Refused})
	case n.showsLocally(m):
		r := n.disk.Records[m.Key]
		n.answer(Answer{Op: m.Op.ID, Outcome: Done, Value: r.Value})
	case v.InCharge == n.id:
		op := m.Op
		if n.slices() && op.Value != "" && n.writesAs(m.Key).Data > 0 {
			n.stage(m.Key, &op)
			return
		}
		n.admit(m.Key, &task{op: &op})
	case v.InCharge == "" || relayed:
		n.answers = append(n.answers, Answer{Op: m.Op.ID, Outcome: Refused})
	default:
		n.send(Message{Kind: Request, To: v.InCharge, Key: m.Key, Op: m.Op})
	}
}

// showsLocally reports whether a read is answered by any mountpath in sync: what all of the ack
// set had when it was settled, or what was there before a write that nobody was told of.
func (n *Node) showsLocally(m Message) bool {
	r, have := n.disk.Records[m.Key]
	return n.setting.Local && !m.Op.writes() && inSync(n.views[m.Key], n.id) && (!have || r.Settled)
}

// admit puts a task into the line of its key.
func (n *Node) admit(key string, t *task) {
	l := n.lines[key]
	if l == nil {
		l = &line{}
		n.lines[key] = l
	}
	n.turn++
	t.turn, t.epoch = n.turn, n.views[key].Epoch
	if !n.on(OneWrite) && l.current != nil && t.op != nil {
		l.more = append(l.more, t)
		n.begin(key, t)
		return
	}
	l.waiting = append(l.waiting, t)
	n.proceed(key)
}

// proceed begins the next task of a line, if none is under way.
func (n *Node) proceed(key string) {
	l := n.lines[key]
	for l != nil && l.current == nil && len(l.waiting) > 0 {
		l.current, l.waiting = l.waiting[0], l.waiting[1:]
		n.begin(key, l.current)
	}
}

// end takes a task out of its line.
func (n *Node) end(key string, t *task) {
	l := n.lines[key]
	if l == nil {
		return
	}
	if l.current == t {
		l.current = nil
	}
	l.more = slices.DeleteFunc(l.more, func(other *task) bool { return other == t })
	n.proceed(key)
}

// find returns the task with a turn.
func (n *Node) find(m Message) *task {
	l := n.lines[m.Key]
	if l == nil || m.Start != n.disk.Start {
		return nil
	}
	if l.current != nil && l.current.turn == m.Turn {
		return l.current
	}
	for _, t := range l.more {
		if t.turn == m.Turn {
			return t
		}
	}
	return nil
}

// begin settles what is there, then does what the task is for.
func (n *Node) begin(key string, t *task) {
	r, have := n.disk.Records[key]
	if have && !r.Settled && n.on(Settle) {
		n.settle(key, t, r)
		return
	}
	n.judge(key, t)
}

// judge does what a task is for, on a settled record or absence.
func (n *Node) judge(key string, t *task) {
	r, have := n.disk.Records[key]
	value := ""
	if have {
		value = r.Value
	}
	switch {
	case t.copy:
		n.copyOut(key, t, r, have)
		return
	case t.convert:
		n.convert(key, t, r, have)
		return
	case t.fetch != nil:
		n.fetched(*t.fetch)
		n.end(key, t)
		return
	case t.op == nil: // only to be settled
		n.end(key, t)
		return
	}
	if !t.op.writes() || t.op.Do == "create" && value != "" || t.op.Do == "replace" && value != t.op.If {
		outcome := Failed
		if !t.op.writes() {
			outcome = Done
		}
		n.ask(key, t, Answer{Op: t.op.ID, Outcome: outcome, Value: value})
		return
	}
	next := Record{Value: t.op.Value}
	if value != "" {
		next.Follows = r.Generation
	}
	if n.slices() && !n.mayWrite(key, t, &next) {
		n.failed(t)
		n.end(key, t)
		return
	}
	next.Generation = n.next()
	n.spread(key, t, "write", next)
}

// spread stores a record here and sends it to the rest of the ack set.
func (n *Node) spread(key string, t *task, phase string, r Record) {
	t.phase, t.record, t.have, t.waits, t.stored = phase, r, true, map[smap.NodeID]bool{}, 1
	t.has = map[smap.NodeID]bool{n.id: true}
	t.unbuilt = t.unbuilt && phase == "settle"
	if old, have := n.disk.Records[key]; !have || old.Generation != r.Generation {
		n.keep(key, r)
		n.hint(key)
	} else if n.on(HintsOfSettling) {
		n.hint(key)
	}
	for _, id := range n.views[key].AckSet {
		if id != n.id {
			t.waits[id] = true
		}
	}
	n.again(key, t)
	n.gathered(key, t)
}

// again sends a task's messages to those that have not answered.
func (n *Node) again(key string, t *task) {
	if n.againSlices(key, t) {
		return
	}
	kind := Store
	if t.phase == "copy" {
		kind = Copy
	}
	for _, id := range slices.Sorted(maps.Keys(t.waits)) {
		n.send(Message{Kind: kind, To: id, Key: key, Epoch: t.epoch, Turn: t.turn, Start: n.disk.Start, Have: t.have, Record: t.record, Unbuilt: t.unbuilt})
	}
}

// onStore keeps a greater record, acknowledges an equal one, and answers a lower
// one with what there is.
func (n *Node) onStore(m Message) {
	v := n.views[m.Key]
	if n.fenced(m) || !v.Holds(n.id) && n.on(Fence) || n.lost(m.Key) && n.self().State.Serves() {
		n.reply(m, Message{Kind: Stored, Acks: m.Record.Generation})
		return
	}
	n.lane = append(n.lane, m)
	if n.on(LaneBarrier) {
		n.drain()
	}
}

// drain ends the turns of all stores that were admitted. Without the barrier that
// may be after a newer map was adopted.
func (n *Node) drain() {
	for _, m := range n.lane {
		n.apply(m)
	}
	n.lane = nil
}

// apply is a store's turn.
func (n *Node) apply(m Message) {
	r, have := n.disk.Records[m.Key]
	order := 1
	if have {
		order = m.Record.Generation.Compare(r.Generation)
	}
	switch {
	case order < 0 && n.on(GreaterStays):
		n.reply(m, Message{Kind: Stored, Acks: m.Record.Generation, Have: true, Record: r})
		return
	case !have && n.on(DroppedBound) && n.disk.Dropped.Covers(m.Record.Generation):
		n.reply(m, Message{Kind: Stored, Acks: m.Record.Generation, Dropped: n.disk.Dropped.Map()})
		return
	case n.lacks(m.Key, m.Record) && n.on(SliceFirst) && !m.Unbuilt:
		n.reply(m, Message{Kind: Stored, Acks: m.Record.Generation, Needs: true})
		return
	case order != 0:
		m.Record.Settled = false
		n.keep(m.Key, m.Record)
		n.hint(m.Key)
	default: // an equal one: what is acknowledged now counts as stored now
		n.place(m.Key, m.Record)
		n.stores[m.Key]++
		if n.on(HintsOfSettling) {
			n.hint(m.Key)
		}
	}
	if m.Unbuilt && n.lacks(m.Key, m.Record) {
		n.disk.Unbuilt[m.Key] = m.Record.Payload
	}
	n.reply(m, Message{Kind: Stored, Acks: m.Record.Generation, OK: true})
}

// onStored counts who has the record.
func (n *Node) onStored(m Message) {
	t := n.find(m)
	if t == nil || !t.waits[m.From] || !t.spreads() || m.Acks != t.record.Generation && n.on(AckNames) {
		return
	}
	switch {
	case m.Needs:
		n.send(Message{Kind: Build, To: m.From, Key: m.Key, Turn: t.turn, Start: n.disk.Start, Have: true, Record: t.record})
	case m.Have && n.slices():
		n.greater(m.Key, t, m.Record)
	case m.Have: // greater: it is installed, and settled by the next
		r := m.Record
		r.Settled = false
		if old, have := n.disk.Records[m.Key]; !have || old.Generation.Compare(r.Generation) < 0 {
			n.keep(m.Key, r)
		}
		if t.phase == "settle" {
			n.spread(m.Key, t, "settle", n.disk.Records[m.Key])
			return
		}
		n.failed(t)
		n.end(m.Key, t)
	case m.Dropped != 0:
		n.overBound(m, t)
	case !m.OK:
		n.failed(t)
		n.end(m.Key, t)
	default:
		delete(t.waits, m.From)
		t.stored++
		t.has[m.From] = true
		n.gathered(m.Key, t)
	}
}

// overBound answers a refusal of a generation that a dropped tombstone covers. A
// write takes a greater one, once this node's map is as new as the bound's. A
// record being settled is one that a delete has covered: it goes forward under a
// greater generation, too, because nobody can tell that it was not shown.
func (n *Node) overBound(m Message, t *task) {
	if m.Dropped > n.smap.Version() {
		n.failed(t)
		n.end(m.Key, t)
		return
	}
	if t.record.Generation != m.Acks {
		return // an answer to the generation before
	}
	r := t.record
	r.Generation, r.Settled = n.next(), false
	n.spread(m.Key, t, t.phase, r)
}

// gathered goes on when all of the ack set have the record.
func (n *Node) gathered(key string, t *task) {
	if len(t.waits) > 0 && n.on(AckAll) {
		return
	}
	if len(t.waits) > 0 && t.stored*2 <= len(t.waits)+t.stored {
		return
	}
	if n.slices() && !n.enough(key, t) || !n.slices() && t.stored < n.setting.enough(n.views[key].Count) {
		n.failed(t)
		n.end(key, t)
		return
	}
	if r, have := n.disk.Records[key]; have && r.Generation == t.record.Generation {
		n.settled(key, r)
		r.Settled = true
		for _, id := range n.views[key].AckSet {
			if id != n.id {
				n.send(Message{Kind: Settled, To: id, Key: key, Epoch: t.epoch, Have: true, Record: r})
			}
		}
	}
	if t.phase == "write" && t.op != nil {
		n.answer(Answer{Op: t.op.ID, Outcome: Done})
		n.end(key, t)
		return
	}
	n.judge(key, t)
}

// onSettled notes what the node in charge found out.
func (n *Node) onSettled(m Message) {
	r, have := n.disk.Records[m.Key]
	if !n.fenced(m) && have && r.Generation == m.Record.Generation {
		n.settled(m.Key, r)
	}
}

// Again sends once more what has not been answered.
func (n *Node) Again() {
	n.drain()
	for _, key := range n.keys() {
		if l := n.lines[key]; l != nil {
			for _, t := range append(slices.Clone(l.more), l.current) {
				if t != nil {
					n.again(key, t)
				}
			}
		}
	}
	for _, turn := range slices.Sorted(maps.Keys(n.reads)) {
		n.askAgain(turn)
	}
	n.sliceAgain()
}

// GiveUp ends the operation that a key is at: its deadline has come.
func (n *Node) GiveUp(key string) {
	if l := n.lines[key]; l != nil && l.current != nil {
		n.failed(l.current)
		n.end(key, l.current)
	}
	n.giveUpStagings(key)
}
