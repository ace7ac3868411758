package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// ask has a read confirmed: it has its answer, and gives it when all of the ack
// set are still at the key epoch. The line goes on meanwhile.
func (n *Node) ask(key string, t *task, a Answer) {
	if t.asked { // only without TakeThenAsk: the confirmation is older than the record
		n.answer(a)
		n.end(key, t)
		return
	}
	read := &asking{key: key, epoch: t.epoch, answer: a, waits: map[smap.NodeID]bool{}}
	if r := n.disk.Records[key]; !t.op.writes() && r.sliced() {
		read.record, read.gather = r, n.gather(key, r)
	}
	for _, id := range n.views[key].AckSet {
		if id != n.id && n.on(Confirm) && !n.setting.Local { // all adopt at once: it is still the key epoch
			read.waits[id] = true
		}
	}
	n.reads[t.turn] = read
	if !n.on(TakeThenAsk) {
		read.task = t
	}
	n.askAgain(t.turn)
	if n.on(TakeThenAsk) {
		n.end(key, t)
	}
	n.agreed(t.turn)
}

func (n *Node) askAgain(turn uint64) {
	read := n.reads[turn]
	for _, id := range slices.Sorted(maps.Keys(read.waits)) {
		n.send(Message{Kind: Ask, To: id, Key: read.key, Epoch: read.epoch, Turn: turn, Start: n.disk.Start})
	}
	if read.gather != nil {
		n.gatherAgain(read.key, turn, read.gather)
	}
}

// onAsk says whether this node is at the key epoch.
func (n *Node) onAsk(m Message) {
	lost := n.lost(m.Key) && n.self().State.Serves()
	n.reply(m, Message{Kind: Confirmed, OK: !n.fenced(m) && !lost})
}

func (n *Node) onConfirmed(m Message) {
	read := n.reads[m.Turn]
	if read == nil || m.Start != n.disk.Start || !read.waits[m.From] {
		return
	}
	if !m.OK {
		n.answer(Answer{Op: read.answer.Op, Outcome: Refused})
		delete(n.reads, m.Turn)
		if read.task != nil {
			n.end(read.key, read.task)
		}
		return
	}
	delete(read.waits, m.From)
	n.agreed(m.Turn)
}

// agreed answers a read that all have confirmed.
func (n *Node) agreed(turn uint64) {
	read := n.reads[turn]
	if len(read.waits) > 0 || read.gather != nil && !n.put(read) {
		return
	}
	delete(n.reads, turn)
	if read.task != nil {
		read.task.asked = true
		n.judge(read.key, read.task)
		return
	}
	n.answer(read.answer)
}
