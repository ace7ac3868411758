package protocol

import "github.com/troupe-storage/troupe/objects"

// sweep is a question about a tombstone of which the node does not know that it is
// settled.
type sweep struct {
	turn       uint64
	generation objects.Generation
}

// Compact drops the tombstones that may go, and finds out of the others whether they are
// settled.
func (n *Node) Compact() {
	for _, key := range n.keys() {
		r, have := n.disk.Records[key]
		if !have || r.Value != "" {
			continue
		}
		if l := n.lines[key]; l != nil && l.current != nil {
			continue // the lane is in another turn
		}
		v := n.views[key]
		if n.on(TombstonesAllUp) && !n.smap.MayDropTombstone(v) {
			continue
		}
		if !r.Settled {
			n.inquire(key)
			continue
		}
		n.forget(key)
		n.disk.Dropped = n.disk.Dropped.Raised(r.Generation)
	}
}

// inquire settles a tombstone, or asks the node in charge about it.
func (n *Node) inquire(key string) {
	switch v := n.views[key]; {
	case v.InCharge == n.id:
		n.admit(key, &task{})
	case v.InCharge != "" && owns(v, n.id):
		n.turn++
		n.sweeps[key] = sweep{n.turn, n.disk.Records[key].Generation}
		n.send(Message{Kind: Fetch, To: v.InCharge, Key: key, Turn: n.turn, Start: n.disk.Start})
	}
}

// inquired notes that a tombstone is settled: the node in charge says so, or lacks it. Then
// it has dropped it, or it never got it, and the key is absent either way.
func (n *Node) inquired(m Message) {
	s, asked := n.sweeps[m.Key]
	if !asked || s.turn != m.Turn || m.Start != n.disk.Start || !m.OK || n.fenced(m) || m.From != n.views[m.Key].InCharge {
		return
	}
	delete(n.sweeps, m.Key)
	r, have := n.disk.Records[m.Key]
	if have && r.Generation == s.generation && (!m.Have && r.Value == "" || m.Have && m.Record.Generation == s.generation && m.Record.Settled) {
		n.settled(m.Key, r)
	}
}
