package protocol

import (
	"github.com/troupe-storage/troupe/objects/smap"
)

// Walk goes on with what the node's state asks for: it reports that it is back,
// asks about keys that it is not in sync for, reports that it has caught up, or
// that it has lost something.
func (n *Node) Walk() {
	self := n.self()
	switch {
	case self.State == smap.Down || self.State == smap.Maintenance:
		n.report(report{What: "return", Since: self.Since})
	case self.State.Serves():
		n.walk = walk{}
		if len(n.disk.Unknown) > 0 && n.on(LostLeaves) {
			n.report(report{What: "lost", Since: self.Since})
		}
	case self.State == smap.Recovering:
		n.recover(self)
	}
}

func (n *Node) report(r report) {
	n.out = append(n.out, Message{Kind: Report, From: n.id, Version: n.smap.Version(), Report: r})
}

// recover asks about every owned key that is not caught up.
func (n *Node) recover(self smap.Node) {
	if n.walk.since != self.Since {
		n.walk = walk{since: self.Since, done: map[string]bool{}, stores: map[string]int{}, asked: map[string]uint64{}}
	}
	missing := false
	for _, key := range n.keys() {
		v := n.views[key]
		if !owns(v, n.id) || n.walk.done[key] || inSync(v, n.id) {
			continue
		}
		missing = true
		n.turn++
		n.walk.stores[key], n.walk.asked[key] = n.stores[key], n.turn
		for i := range v.InSync { // each question goes to another of them
			id := v.InSync[(uint64(i)+n.turn)%uint64(len(v.InSync))]
			if n.asksInCharge() {
				id = v.InCharge
			}
			if node, _ := n.smap.Node(id); id != "" && !node.State.Away() {
				n.send(Message{Kind: Fetch, To: id, Key: key, Turn: n.turn, Start: n.disk.Start})
				break
			}
		}
	}
	if !missing {
		n.report(report{What: "up", Since: self.Since, As: n.disk.Bucket.Version})
	}
}

// asksInCharge reports whether the node in charge is the only source of who catches up.
func (n *Node) asksInCharge() bool {
	return n.on(AskInCharge) && (n.slices() || n.setting.AskCharge || n.setting.Local)
}

func owns(v smap.View, id smap.NodeID) bool {
	for _, owner := range v.Owners {
		if owner == id {
			return true
		}
	}
	return false
}

func inSync(v smap.View, id smap.NodeID) bool {
	for _, owner := range v.InSync {
		if owner == id {
			return true
		}
	}
	return false
}

// onFetch answers who catches up. The node in charge settles first.
func (n *Node) onFetch(m Message) {
	v := n.views[m.Key]
	if n.fenced(m) || !inSync(v, n.id) || n.lost(m.Key) || n.asksInCharge() && v.InCharge != n.id {
		n.reply(m, Message{Kind: Fetched})
		return
	}
	if v.InCharge == n.id && n.on(Settle) {
		if r, have := n.disk.Records[m.Key]; have && !r.Settled {
			n.admit(m.Key, &task{fetch: &m})
			return
		}
	}
	n.fetched(m)
}

// fetched sends what there is, and whether a hint can spare it.
func (n *Node) fetched(m Message) {
	r, have := n.disk.Records[m.Key]
	v, self := n.views[m.Key], n.self()
	asker, _ := n.smap.Node(m.From)
	helps := self.State.Serves() && asker.Left > 0 && self.Since <= asker.Left && v.Placed <= asker.Left
	n.reply(m, Message{
		Kind: Fetched, OK: true, Have: have, Record: r,
		Hinted: n.disk.Hints[m.From][m.Key], Helps: (helps || !n.on(HintsComplete)) && !n.setting.Local,
	})
}

// onFetched makes this node's state of a key equal to the source's.
func (n *Node) onFetched(m Message) {
	n.inquired(m)
	v := n.views[m.Key]
	self := n.self()
	if !m.OK || n.fenced(m) || m.Start != n.disk.Start || self.State != smap.Recovering || n.walk.since != self.Since || n.walk.done[m.Key] {
		return
	}
	if (m.Turn != n.walk.asked[m.Key] || n.stores[m.Key] != n.walk.stores[m.Key]) && n.on(StoredSinceAsked) {
		return // it is asked about again
	}
	own, have := n.disk.Records[m.Key]
	spared := m.Helps && !m.Hinted && !n.lost(m.Key) && (!have || own.Settled || !n.on(HintsUnsettled))
	if !spared && m.Have && n.awaits(m.Key, m.Record) {
		return // it is asked about again when its slice is there
	}
	if !spared {
		n.equal(m.Key, m.Record, m.Have, v.Epoch, n.on(AbsenceDeletes))
	}
	delete(n.disk.Unknown, m.Key)
	n.walk.done[m.Key] = true
}

// equal makes the state of a key that of the source, but for a record of the
// present key epoch, which stays unless the source's is greater.
func (n *Node) equal(key string, r Record, have bool, epoch smap.Epoch, drops bool) {
	own, owned := n.disk.Records[key]
	guarded := owned && own.Generation.Map >= epoch.Map && n.on(CatchUpGuard)
	switch {
	case have && (!owned || !guarded && drops || r.Generation.Compare(own.Generation) > 0):
		n.keep(key, r)
	case have && owned && r.Generation == own.Generation && r.Settled:
		n.settled(key, r)
	case !have && owned && !guarded && drops:
		n.forget(key)
		n.stores[key]++
	}
}

// LoseDisk loses some keys, with the disk that they were on. What was under way for them
// ends.
func (n *Node) LoseDisk(keys []string) {
	for _, key := range keys {
		v := n.views[key]
		if !v.Holds(n.id) {
			continue
		}
		n.abandon(key)
		n.forget(key)
		delete(n.staged, key)
		if n.on(LostIsUnknown) {
			n.disk.Unknown[key] = owns(v, n.id) || n.disk.Unknown[key]
		}
		delete(n.walk.done, key)
	}
	self := n.self()
	if self.State == smap.Recovering && n.on(LostLeaves) {
		n.walk = walk{}
		n.report(report{What: "lost", Since: self.Since})
	}
}
