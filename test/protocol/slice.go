package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// wholeIndex is the index of a payload that is not divided.
const wholeIndex = 255

// SliceName is what a slice is called: what has such a name never changes.
type SliceName struct {
	Payload objects.Generation
	Index   int // wholeIndex: all of the payload
}

// Piece is a slice on its way. Its content is the value that it was made of.
type Piece struct {
	SliceName
	Content string
}

// Member is a node and the index that it has.
type Member struct {
	Node  smap.NodeID
	Index int
}

// slices reports whether values are sliced.
func (n *Node) slices() bool { return n.setting.Data > 0 }

// sliced reports whether a record's value is not with it.
func (r Record) sliced() bool { return !r.Payload.IsZero() }

// of returns the slices that a record wants of a node.
func (n *Node) of(r Record, id smap.NodeID) (names []SliceName) {
	for _, m := range r.Members {
		switch {
		case m.Node != id:
		case !r.Whole:
			names = append(names, SliceName{r.Payload, m.Index})
		case m.Index <= r.Parity:
			return []SliceName{{r.Payload, wholeIndex}}
		}
	}
	return names
}

// lacks reports whether this node has not all that a record wants of it.
func (n *Node) lacks(key string, r Record) bool {
	return slices.ContainsFunc(n.of(r, n.id), func(name SliceName) bool {
		_, named := n.disk.Slices[key][name]
		_, staged := n.staged[key][name]
		return !named && !staged
	})
}

// place names the staged slices that a record wants of this node.
func (n *Node) place(key string, r Record) {
	for _, name := range n.of(r, n.id) {
		if content, ok := n.staged[key][name]; ok {
			if n.disk.Slices[key] == nil {
				n.disk.Slices[key] = map[SliceName]string{}
			}
			n.disk.Slices[key][name] = content
			delete(n.staged[key], name)
		}
	}
	if u, is := n.disk.Unbuilt[key]; is && u == r.Payload && !n.lacks(key, r) {
		delete(n.disk.Unbuilt, key)
	}
}

// replace is the part of storing a record that concerns payloads: what is replaced is
// kept as long as the record is unsettled, and the staged slices get their names.
func (n *Node) replace(key string, r Record) {
	if !n.slices() {
		return
	}
	if n.on(NamedAgain) && r.sliced() {
		n.disk.Retained[key] = slices.DeleteFunc(n.disk.Retained[key], func(e Record) bool { return e.Payload == r.Payload })
	}
	if old, have := n.disk.Records[key]; have && old.Payload != r.Payload {
		if n.on(KeepSettled) && old.sliced() {
			n.disk.Retained[key] = append(slices.Clone(n.disk.Retained[key]), old)
		} else {
			n.reclaim(key, old.Payload)
		}
	}
	delete(n.disk.Unbuilt, key)
	n.place(key, r)
}

// release lets go of what a record replaced that is settled now.
func (n *Node) release(key string) {
	for _, e := range n.disk.Retained[key] {
		n.reclaim(key, e.Payload)
	}
	delete(n.disk.Retained, key)
	if r := n.disk.Records[key]; r.sliced() { // an index that it gave away
		wanted := n.of(r, n.id)
		maps.DeleteFunc(n.disk.Slices[key], func(name SliceName, _ string) bool {
			return name.Payload == r.Payload && !slices.Contains(wanted, name)
		})
	}
}

// reclaim deletes the slices of a payload.
func (n *Node) reclaim(key string, payload objects.Generation) {
	maps.DeleteFunc(n.disk.Slices[key], func(name SliceName, _ string) bool { return name.Payload == payload && !payload.IsZero() })
}

// stagedHere stages a slice, unless it has its name already.
func (n *Node) stagedHere(key string, p Piece) {
	if _, named := n.disk.Slices[key][p.SliceName]; named {
		return
	}
	if n.staged[key] == nil {
		n.staged[key] = map[SliceName]string{}
	}
	n.staged[key][p.SliceName] = p.Content
	for _, r := range n.named(key) {
		if r.Payload == p.Payload {
			n.place(key, r)
		}
	}
}

// named returns the record of a key and what is kept beside it.
func (n *Node) named(key string) []Record {
	return append([]Record{n.disk.Records[key]}, n.disk.Retained[key]...)
}

// staging is a write whose slices are on their way. Nothing has happened yet.
type staging struct {
	key    string
	op     *Op                // nil: a conversion
	of     objects.Generation // of a conversion: the record that it converts
	record Record             // payload, members and value; no generation
	waits  map[smap.NodeID]bool
	staged map[smap.NodeID]bool
}

// stage sends the slices of a value to the ack set, outside of the key's line.
func (n *Node) stage(key string, op *Op) {
	s := &staging{key: key, op: op, waits: map[smap.NodeID]bool{}, staged: map[smap.NodeID]bool{n.id: true}}
	s.record = n.formed(key, Record{Value: op.Value}, n.writesAs(key), op.ID%4 == 0)
	n.stageOut(s)
}

// formed gives a value a payload of its own, of a form.
func (n *Node) formed(key string, r Record, f Form, whole bool) Record {
	r.Payload, r.Whole, r.Data, r.Parity = n.next(), whole, f.Data, f.Parity
	r.Members = n.assign(key, f, nil)
	return r
}

// stageOut sends what is staged to the ack set.
func (n *Node) stageOut(s *staging) {
	key := s.key
	for _, name := range n.of(s.record, n.id) {
		n.stagedHere(key, Piece{name, s.record.Value})
	}
	for _, id := range n.views[key].AckSet {
		switch {
		case id == n.id:
		case len(n.of(s.record, id)) == 0:
			s.staged[id] = true
		default:
			s.waits[id] = true
		}
	}
	n.turn++
	n.stagings[n.turn] = s
	n.stageAgain(n.turn)
	n.stagedAll(n.turn, false)
}

func (n *Node) stageAgain(turn uint64) {
	s := n.stagings[turn]
	for _, id := range slices.Sorted(maps.Keys(s.waits)) {
		for _, name := range n.of(s.record, id) {
			n.send(Message{Kind: Stage, To: id, Key: s.key, Turn: turn, Start: n.disk.Start, Pieces: []Piece{{name, s.record.Value}}})
		}
	}
}

// stagedAll admits a write whose slices are there; at its deadline, whose are enough.
func (n *Node) stagedAll(turn uint64, deadline bool) {
	s := n.stagings[turn]
	if len(s.waits) > 0 && !deadline {
		return
	}
	delete(n.stagings, turn)
	if v := n.views[s.key]; v.InCharge != n.id || n.self().State.Away() || n.alone() || n.lost(s.key) || !n.sufficient(s.key, s.record, s.staged, true) {
		n.failed(&task{op: s.op})
		return
	}
	n.admit(s.key, &task{op: s.op, stage: s, convert: s.op == nil})
}

// giveUpStagings ends the staging of writes of a key: who has not answered is left out.
func (n *Node) giveUpStagings(key string) {
	for _, turn := range slices.Sorted(maps.Keys(n.stagings)) {
		if n.stagings[turn].key == key {
			n.stagedAll(turn, true)
		}
	}
}

// sufficient reports whether nodes that have a record are enough: for a write by distinct
// indices, for what is there if it can be read.
func (n *Node) sufficient(key string, r Record, has map[smap.NodeID]bool, write bool) bool {
	indices, holders := map[int]bool{}, 0
	for _, m := range r.Members {
		if has[m.Node] {
			indices[m.Index] = true
			if m.Index <= r.Parity {
				holders++
			}
		}
	}
	need := r.Data
	if write && n.on(MinSlices) {
		need = n.setting.minimum(r.form())
		if !r.sliced() {
			need = n.setting.minimum(n.writesAs(key))
		}
	}
	switch {
	case !r.sliced() && write && n.on(MinSlices):
		return len(has) >= need
	case !r.sliced(), write && !n.on(MinSlices):
		return true
	case r.Whole && holders == 0:
		return false
	case r.Whole && !write:
		return true
	default:
		return len(indices) >= need
	}
}

// enough reports whether a record that was spread is at enough nodes.
func (n *Node) enough(key string, t *task) bool {
	return t.unbuilt || n.fits(key, t.record, t.has, t.phase == "write")
}

// fits reports whether nodes that have a record are enough. For a write, while a plan covers the key,
// they have to be so among the owners and among the next owners by themselves, and these have room
// for its form.
func (n *Node) fits(key string, r Record, has map[smap.NodeID]bool, write bool) bool {
	v := n.views[key]
	if write && len(v.Next) > 0 && n.on(RoomNext) && !n.hasRoom(key, r) {
		return false
	}
	if !write || len(v.Next) == 0 || !n.on(FitsNext) {
		return n.sufficient(key, r, has, write)
	}
	among := func(list []smap.NodeID) map[smap.NodeID]bool {
		those := map[smap.NodeID]bool{}
		for _, id := range list {
			if has[id] {
				those[id] = true
			}
		}
		return those
	}
	return n.sufficient(key, r, among(v.Owners), true) && n.sufficient(key, r, among(v.Next), true)
}

// mayWrite completes the record of a write, unless the ack set is too small, or what was
// staged here is not there any more.
func (n *Node) mayWrite(key string, t *task, r *Record) bool {
	if t.stage != nil {
		follows := r.Follows
		*r = t.stage.record
		r.Follows = follows
		if n.on(WantedForm) && !r.is(n.writesAs(key)) {
			return false // the document has come to want another form
		}
		if r.sliced() { // the map may be another one since
			r.Members = n.assign(key, r.form(), r.Members)
		}
	}
	ack := map[smap.NodeID]bool{}
	for _, id := range n.views[key].AckSet {
		ack[id] = true
	}
	return n.fits(key, *r, ack, true) && !n.lacks(key, *r)
}

// gathering is the slices of a payload that have come so far.
type gathering struct {
	payload objects.Generation
	data    int // how many slices it takes
	waits   map[smap.NodeID]bool
	pieces  map[int]Piece
	lost    bool // somebody has lost a disk
}

// gather begins to gather the slices of a payload.
func (n *Node) gather(key string, r Record) *gathering {
	g := &gathering{payload: r.Payload, data: r.Data, waits: map[smap.NodeID]bool{}, pieces: map[int]Piece{}}
	for _, id := range n.sources(key) {
		if id != n.id {
			g.waits[id] = true
		}
	}
	n.add(g, n.give(key, r.Payload))
	return g
}

// sources returns who may have something of a key: owners and next owners, but those whose loss
// was accepted.
func (n *Node) sources(key string) (all []smap.NodeID) {
	v := n.views[key]
	for _, id := range slices.Concat(v.Owners, v.Next) {
		if node, _ := n.smap.Node(id); !slices.Contains(all, id) && (node.State.Serves() || node.Left > 0) {
			all = append(all, id)
		}
	}
	return all
}

func (n *Node) gatherAgain(key string, turn uint64, g *gathering) {
	for _, id := range slices.Sorted(maps.Keys(g.waits)) {
		n.send(Message{Kind: Slice, To: id, Key: key, Turn: turn, Start: n.disk.Start, Payload: g.payload})
	}
}

// give returns what this node has of a payload, named or staged; without SamePayload
// the newest that it has of each index.
func (n *Node) give(key string, payload objects.Generation) []Piece {
	newest := map[int]Piece{}
	for _, list := range []map[SliceName]string{n.disk.Slices[key], n.staged[key]} {
		for name, content := range list {
			old, have := newest[name.Index]
			if name.Payload == payload && n.on(SamePayload) || !n.on(SamePayload) && (!have || old.Payload.Compare(name.Payload) < 0) {
				newest[name.Index] = Piece{name, content}
			}
		}
	}
	var pieces []Piece
	for _, index := range slices.Sorted(maps.Keys(newest)) {
		pieces = append(pieces, newest[index])
	}
	return pieces
}

func (n *Node) add(g *gathering, pieces []Piece) {
	for _, p := range pieces {
		if _, have := g.pieces[p.Index]; !have {
			g.pieces[p.Index] = p
		}
	}
}

// value decodes what was gathered, or reports that it is too little.
func (n *Node) value(g *gathering) (string, bool) {
	if p, ok := g.pieces[wholeIndex]; ok {
		return p.Content, true
	}
	indices := slices.Sorted(maps.Keys(g.pieces))
	if len(indices) < max(1, g.data) {
		return "", false
	}
	var parts []string
	for _, index := range indices[:g.data] {
		if p := g.pieces[index]; !slices.Contains(parts, p.Content) {
			parts = append(parts, p.Content)
		}
	}
	return strings.Join(parts, " mixed with "), true
}

// put completes the answer of a read that has its slices, and reports whether it has
// come to an end.
func (n *Node) put(read *asking) bool {
	value, ok := n.value(read.gather)
	current := n.disk.Records[read.key]
	switch {
	case ok:
		read.answer.Value = value
	case len(read.gather.waits) > 0:
		return false
	case read.gather.lost, current.Payload != read.record.Payload:
		read.answer.Outcome = Refused
	default: // all owners were asked
		read.answer.Outcome = Corrupt
	}
	return true
}

// building is a slice on its way to where it is to lie.
type building struct {
	key    string
	record Record
	gather *gathering
	asked  []Message // who is to be told
}

// build gathers what a record wants of this node. Whoever asked is told.
func (n *Node) build(key string, r Record, asked *Message) {
	for _, turn := range slices.Sorted(maps.Keys(n.builds)) {
		if b := n.builds[turn]; b.key == key && b.record.Payload == r.Payload && b.record.Settled == r.Settled {
			if asked != nil {
				b.asked = append(b.asked, *asked)
			}
			n.gatherAgain(key, turn, b.gather)
			return
		}
	}
	n.turn++
	b := &building{key: key, record: r, gather: n.gather(key, r)}
	if asked != nil {
		b.asked = append(b.asked, *asked)
	}
	n.builds[n.turn] = b
	n.gatherAgain(key, n.turn, b.gather)
	n.builtAll(n.turn)
}

// builtAll stages what was built, or says that all owners together have too little.
func (n *Node) builtAll(turn uint64) {
	b := n.builds[turn]
	value, ok := n.value(b.gather)
	if !ok && slices.ContainsFunc(n.views[b.key].AckSet, func(id smap.NodeID) bool { return b.gather.waits[id] }) {
		return // who is away may not answer
	}
	delete(n.builds, turn)
	if ok {
		for _, name := range n.of(b.record, n.id) {
			n.stagedHere(b.key, Piece{name, value})
		}
	} else if b.record.Settled && len(b.gather.waits) == 0 {
		n.short[b.key] = b.record.Payload
	}
	for _, m := range b.asked {
		if m.From == n.id {
			n.builtHere(m, ok)
			continue
		}
		n.reply(m, Message{Kind: Built, Acks: b.record.Generation, OK: ok})
	}
}

// awaits reports whether a record that this node is to take over has to wait for its
// slice, and has it built. Where all owners together have too little of what is settled,
// it waits no longer.
func (n *Node) awaits(key string, r Record) bool {
	if !n.slices() || !n.lacks(key, r) || !n.on(SliceFirst) || n.short[key] == r.Payload {
		return false
	}
	n.build(key, r, nil)
	return true
}

// Repair builds what records want of this node and is not there, and asks about records
// that keep others.
func (n *Node) Repair() {
	for _, key := range n.keys() {
		r, have := n.disk.Records[key]
		if !have || n.lost(key) {
			continue
		}
		for _, named := range n.named(key) {
			if n.lacks(key, named) {
				n.build(key, named, nil)
			}
		}
		if l := n.lines[key]; !r.Settled && len(n.disk.Retained[key]) > 0 && (l == nil || l.current == nil) {
			n.inquire(key)
		}
	}
}

// Expire drops what is staged for a key and nobody has named.
func (n *Node) Expire(key string) { delete(n.staged, key) }

// Damage loses the slices of a key, and nothing else.
func (n *Node) Damage(key string) { delete(n.disk.Slices, key) }

// deliverSlices takes a message about slices. None of them is fenced.
func (n *Node) deliverSlices(m Message) {
	switch m.Kind {
	case Stage:
		for _, p := range m.Pieces {
			n.stagedHere(m.Key, p)
		}
		n.reply(m, Message{Kind: Staged})
	case Staged:
		if s := n.stagings[m.Turn]; s != nil && m.Start == n.disk.Start && s.waits[m.From] {
			delete(s.waits, m.From)
			s.staged[m.From] = true
			n.stagedAll(m.Turn, false)
		}
	case Slice:
		n.reply(m, Message{Kind: Given, Payload: m.Payload, Pieces: n.give(m.Key, m.Payload), Lost: n.lost(m.Key)})
	case Given:
		n.onGiven(m)
	case Build:
		if n.lacks(m.Key, m.Record) {
			n.build(m.Key, m.Record, &m)
			return
		}
		n.reply(m, Message{Kind: Built, Acks: m.Record.Generation, OK: true})
	case Built:
		n.onBuilt(m)
	case Have:
		n.onHave(m)
	case Has:
		n.onHas(m)
	}
}

func (n *Node) onGiven(m Message) {
	var g *gathering
	read, b := n.reads[m.Turn], n.builds[m.Turn]
	switch {
	case m.Start != n.disk.Start:
		return
	case read != nil && read.gather != nil:
		g = read.gather
	case b != nil:
		g = b.gather
	case n.conversions[m.Turn] != nil:
		g = n.conversions[m.Turn].gather
	}
	if g == nil || !g.waits[m.From] {
		return
	}
	delete(g.waits, m.From)
	g.lost = g.lost || m.Lost
	n.add(g, m.Pieces)
	if b != nil {
		n.builtAll(m.Turn)
		return
	}
	if n.conversions[m.Turn] != nil {
		n.gatheredAll(m.Turn)
		return
	}
	n.agreed(m.Turn)
}

// onBuilt sends a record again to who has its slice now.
func (n *Node) onBuilt(m Message) {
	t := n.find(m)
	switch {
	case t == nil || !t.spreads() && t.phase != "copy" || !t.waits[m.From] || m.Acks != t.record.Generation:
	case m.OK && t.phase == "copy":
		n.again(m.Key, t)
	case t.phase == "copy":
		n.failed(t)
		n.end(m.Key, t)
	case m.OK:
		n.send(Message{Kind: Store, To: m.From, Key: m.Key, Epoch: t.epoch, Turn: t.turn, Start: n.disk.Start, Have: true, Record: t.record})
	case t.phase == "settle" && t.record.sliced():
		n.obtain(m.Key, t, t.record, nil)
	default:
		n.failed(t)
		n.end(m.Key, t)
	}
}

// spreads reports whether a task sends a record to the ack set.
func (t *task) spreads() bool { return t.phase == "settle" || t.phase == "write" }

// sliceAgain sends once more what concerns slices and has not been answered.
func (n *Node) sliceAgain() {
	for _, turn := range slices.Sorted(maps.Keys(n.stagings)) {
		n.stageAgain(turn)
	}
	for _, turn := range slices.Sorted(maps.Keys(n.builds)) {
		n.gatherAgain(n.builds[turn].key, turn, n.builds[turn].gather)
	}
	for _, turn := range slices.Sorted(maps.Keys(n.conversions)) {
		n.gatherAgain(n.conversions[turn].key, turn, n.conversions[turn].gather)
	}
}

// slices is what a message about slices adds to its line in a trace.
func (m Message) slices() string {
	s := ""
	switch m.Kind {
	case Build, Built:
		s = fmt.Sprintf(" %s ok=%v", m.about(), m.OK)
	case Slice, Given:
		s = " of " + m.Payload.String()
	case Have:
		return fmt.Sprintf(" round %d", m.Round)
	case Has:
		s = fmt.Sprintf(" round %d, %s", m.Round, held(m.Record, m.Have))
		for _, r := range m.Retained {
			s += ", keeps " + r.String()
		}
	}
	if m.Lost {
		s += ", lost a disk"
	}
	for _, p := range m.Pieces {
		s += fmt.Sprintf(" [%s.%d %s]", p.Payload, p.Index, p.Content)
	}
	return s
}

// about is the generation of the record that a building is for.
func (m Message) about() objects.Generation {
	if m.Kind == Built {
		return m.Acks
	}
	return m.Record.Generation
}
