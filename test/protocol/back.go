package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// search is what the owners have of a key whose record is unsettled: forward if its
// payload can be had, otherwise back, or neither.
type search struct {
	round  uint64
	target Record  // what is to be settled
	own    *Record // this node's, if target is a greater one that another has
	has    map[smap.NodeID]Message
}

// settle settles the unsettled record of a key.
func (n *Node) settle(key string, t *task, r Record) {
	if r.sliced() && n.on(ObtainFirst) {
		n.obtain(key, t, r, nil)
		return
	}
	n.spread(key, t, "settle", r)
}

// obtain asks all owners, whatever their state, what they have.
func (n *Node) obtain(key string, t *task, target Record, own *Record) {
	n.turn++ // rounds are distinct in a start
	t.phase, t.waits = "obtain", map[smap.NodeID]bool{}
	t.search = &search{round: n.turn, target: target, own: own, has: map[smap.NodeID]Message{}}
	for _, id := range n.sources(key) {
		if id != n.id {
			t.waits[id] = true
		}
	}
	t.search.has[n.id] = n.inventory(key)
	n.againSlices(key, t)
	n.decide(key, t)
}

// againSlices asks once more those that have not answered a search, or a building here.
func (n *Node) againSlices(key string, t *task) bool {
	switch t.phase {
	case "obtain":
		for _, id := range slices.Sorted(maps.Keys(t.waits)) {
			n.send(Message{Kind: Have, To: id, Key: key, Epoch: t.epoch, Turn: t.turn, Start: n.disk.Start, Round: t.search.round})
		}
		return true
	case "building":
		return true
	}
	return false
}

// inventory is all that this node has of a key.
func (n *Node) inventory(key string) Message {
	m := Message{Kind: Has, From: n.id, Key: key, Epoch: n.views[key].Epoch, Lost: n.lost(key), Retained: n.disk.Retained[key]}
	m.Record, m.Have = n.disk.Records[key]
	for _, list := range []map[SliceName]string{n.disk.Slices[key], n.staged[key]} {
		for name := range list {
			m.Pieces = append(m.Pieces, Piece{SliceName: name})
		}
	}
	slices.SortFunc(m.Pieces, func(a, b Piece) int {
		if c := a.Payload.Compare(b.Payload); c != 0 {
			return c
		}
		return a.Index - b.Index
	})
	return m
}

func (n *Node) onHave(m Message) {
	answer := n.inventory(m.Key)
	answer.Round = m.Round
	n.reply(m, answer)
}

func (n *Node) onHas(m Message) {
	t := n.find(m)
	if t == nil || t.phase != "obtain" || t.search.round != m.Round || !t.waits[m.From] {
		return
	}
	delete(t.waits, m.From)
	t.search.has[m.From] = m
	n.decide(m.Key, t)
}

// current reports whether an answer was given under the key epoch of the question.
func (t *task) current(m Message) bool { return m.Epoch == t.epoch }

// obtainable reports whether those that answered can give a record's payload.
func (n *Node) obtainable(t *task, r Record) bool {
	if !r.sliced() {
		return true
	}
	indices := map[int]bool{}
	for _, m := range t.search.has {
		for _, p := range m.Pieces {
			if p.Payload == r.Payload {
				indices[p.Index] = true
			}
		}
	}
	return indices[wholeIndex] || len(indices) >= r.Data
}

// decide goes on with a search as soon as what has been answered allows it.
func (n *Node) decide(key string, t *task) {
	s, v := t.search, n.views[key]
	if n.obtainable(t, s.target) {
		n.forward(key, t, s.target)
		return
	}
	if slices.ContainsFunc(v.AckSet, func(id smap.NodeID) bool { return t.waits[id] }) {
		return
	}
	if r, ok := n.greatest(t, v); ok {
		n.forward(key, t, r)
		return
	}
	switch {
	case s.own != nil && n.on(OwnIsProof):
		own := *s.own
		if own.Settled {
			own.Follows = own.Generation
		}
		n.renew(key, t, own, s.target.Generation)
	case s.own == nil && (n.witnessed(t, v) || n.counted(key, t, v)):
		if r, ok := n.followed(t, v); ok && n.obtainable(t, r) {
			if !r.Generation.IsZero() {
				r.Follows = r.Generation
			}
			n.back(key, t, r)
			return
		}
		n.neither(key, t, v)
	default:
		n.neither(key, t, v)
	}
}

// greatest returns the greatest record that one of the ack set has, is greater than what
// is sought, and can be had.
func (n *Node) greatest(t *task, v smap.View) (best Record, found bool) {
	least := t.search.target.Generation
	for _, id := range v.AckSet {
		m, ok := t.search.has[id]
		if !ok || !m.Have || !t.current(m) || m.Lost || m.Record.Generation.Compare(least) <= 0 || !n.obtainable(t, m.Record) {
			continue
		}
		best, found, least = m.Record, true, m.Record.Generation
	}
	return best, found
}

// forward spreads a record whose payload can be had. What this node is to hold of it is
// built first.
func (n *Node) forward(key string, t *task, r Record) {
	if n.lacks(key, r) && n.on(SliceFirst) {
		n.buildHere(key, t, r)
		return
	}
	if old, have := n.disk.Records[key]; have && old.Generation == r.Generation {
		r = old
		n.place(key, r)
	} else {
		r.Settled = false
	}
	n.spread(key, t, "settle", r)
}

// buildHere builds what a record wants of this node, which then is spread.
func (n *Node) buildHere(key string, t *task, r Record) {
	t.phase, t.record, t.waits = "building", r, map[smap.NodeID]bool{}
	n.build(key, r, &Message{Kind: Build, From: n.id, Key: key, Turn: t.turn, Start: n.disk.Start, Record: r})
}

// builtHere goes on with the task that a slice was built for.
func (n *Node) builtHere(m Message, ok bool) {
	t := n.find(m)
	if t == nil || t.phase != "building" || t.record.Generation != m.Record.Generation {
		return
	}
	if !ok {
		n.failed(t)
		n.end(m.Key, t)
		return
	}
	n.forward(m.Key, t, t.record)
}

// greater meets a greater record at another node while one is spread: it is taken over
// if its payload can be had.
func (n *Node) greater(key string, t *task, r Record) {
	if t.phase != "settle" {
		n.failed(t)
		n.end(key, t)
		return
	}
	own := n.disk.Records[key]
	n.obtain(key, t, r, &own)
}

// witnessed reports whether an owner in sync lacks what is sought: then it was neither
// acknowledged nor shown.
func (n *Node) witnessed(t *task, v smap.View) bool {
	return slices.ContainsFunc(v.Owners, func(id smap.NodeID) bool {
		m, ok := t.search.has[id]
		if !ok || n.on(WitnessInSync) && (!inSync(v, id) || !t.current(m) || m.Lost) {
			return false
		}
		return !m.Have || m.Record.Generation.Compare(t.search.target.Generation) < 0
	})
}

// counted reports whether all owners together cannot have acknowledged what is sought:
// those that have it, or had it, have too few indices, and none has lost a disk.
func (n *Node) counted(key string, t *task, v smap.View) bool {
	if len(t.waits) > 0 || !n.on(CountAll) {
		return false
	}
	g := t.search.target
	had := map[smap.NodeID]bool{}
	for _, id := range v.Owners {
		m := t.search.has[id]
		if m.Lost || !t.current(m) && n.on(CountCurrent) {
			return false
		}
		order := -1
		if m.Have {
			order = m.Record.Generation.Compare(g.Generation)
		}
		had[id] = order == 0 || order > 0 && m.Record.Follows.Compare(g.Generation) >= 0
	}
	return !n.sufficient(key, g, had, false)
}

// damaged reports whether an owner has a record and not all that the record wants of it.
func (n *Node) damaged(r Record, id smap.NodeID, m Message) bool {
	return m.Have && m.Record.Generation == r.Generation && slices.ContainsFunc(n.of(r, id), func(name SliceName) bool {
		return !slices.ContainsFunc(m.Pieces, func(p Piece) bool { return p.SliceName == name })
	})
}

// followed returns what is gone back to.
func (n *Node) followed(t *task, v smap.View) (best Record, found bool) {
	g := t.search.target
	if !n.on(Follows) { // the greatest that a witness has
		for _, id := range v.Owners {
			m := t.search.has[id]
			if m.Have && m.Record.Generation.Compare(g.Generation) < 0 && (!found || best.Generation.Compare(m.Record.Generation) < 0) {
				best, found = m.Record, true
			}
		}
		return best, true
	}
	if g.Follows.IsZero() {
		return Record{}, true // there was nothing
	}
	for _, id := range v.Owners {
		m := t.search.has[id]
		for _, r := range append([]Record{m.Record}, m.Retained...) {
			if r.Generation == g.Follows {
				return r, true
			}
		}
	}
	return Record{}, false
}

// back commits what the sought record follows, under a new generation.
func (n *Node) back(key string, t *task, r Record) {
	n.backs++
	n.renew(key, t, r, t.search.target.Generation)
}

// renew spreads a record under a new generation, which is greater than another.
func (n *Node) renew(key string, t *task, r Record, than objects.Generation) {
	if n.on(BackRenews) || r.Generation.IsZero() {
		r.Generation = n.next()
		if r.Generation.Compare(than) <= 0 { // it was made under a newer map
			n.failed(t)
			n.end(key, t)
			return
		}
	}
	r.Settled = false
	n.forward(key, t, r)
}

// neither waits for those that have not answered. When all have, what is sought is lost,
// or it stays undecided.
func (n *Node) neither(key string, t *task, v smap.View) {
	if len(t.waits) > 0 {
		return
	}
	var lost bool
	for _, id := range v.Owners {
		m := t.search.has[id]
		lost = lost || m.Lost || n.damaged(t.search.target, id, m)
		if !t.current(m) && n.on(CountCurrent) {
			lost = false
			break
		}
	}
	if r := t.search.target; lost && n.on(LostIsTold) && t.search.own == nil {
		n.losses++
		t.unbuilt = true
		n.spread(key, t, "settle", r)
		return
	}
	n.failed(t)
	n.end(key, t)
}
