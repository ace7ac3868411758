package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// shape is under what a key's value was found to be in the form of new values.
type shape struct {
	epoch    smap.Epoch
	document uint64
}

// conversion is a value that is read to be stored in another form.
type conversion struct {
	key    string
	record Record
	gather *gathering
}

// Convert goes on with the conversion that the bucket's document asks for, and reports when all
// keys that this node is in charge of are through.
func (n *Node) Convert() {
	if !n.slices() || n.disk.Bucket.Phase != "convert" || n.self().State.Away() {
		return
	}
	through := true
	for _, key := range n.keys() {
		v := n.views[key]
		if v.InCharge == n.id && n.converted[key] != (shape{v.Epoch, n.disk.Bucket.Version}) {
			through = false
			n.toConvert(key)
		}
	}
	if through {
		n.report(report{What: "converted", Walked: smap.Walked{By: n.id, Map: n.smap.Version()}, As: n.disk.Bucket.Version})
	}
}

// toConvert has the value of a key converted, unless that is under way.
func (n *Node) toConvert(key string) {
	l := n.lines[key]
	is := func(t *task) bool { return t != nil && t.convert }
	if l != nil && (is(l.current) || slices.ContainsFunc(l.waiting, is)) || n.lost(key) {
		return
	}
	for _, turn := range slices.Sorted(maps.Keys(n.conversions)) {
		if n.conversions[turn].key == key {
			return
		}
	}
	for _, turn := range slices.Sorted(maps.Keys(n.stagings)) {
		if s := n.stagings[turn]; s.key == key && s.op == nil {
			return
		}
	}
	n.admit(key, &task{convert: true})
}

// convert looks at a settled record in its turn: it is read if it has to be converted, and what was
// made of it takes its place if it is still there.
func (n *Node) convert(key string, t *task, r Record, have bool) {
	f := n.writesAs(key)
	switch {
	case t.phase == "write": // it has been converted
		n.end(key, t)
	case !have || r.Value == "" || r.is(f) || n.short[key] == r.Payload && r.sliced():
		n.converted[key] = shape{n.views[key].Epoch, n.disk.Bucket.Version}
		n.end(key, t)
	case t.stage == nil && r.sliced():
		n.end(key, t)
		n.turn++
		turn := n.turn
		n.conversions[turn] = &conversion{key, r, n.gather(key, r)}
		n.gatherAgain(key, turn, n.conversions[turn].gather)
		n.gatheredAll(turn)
	case t.stage == nil:
		n.end(key, t)
		n.stageOut(&staging{key: key, of: r.Generation, record: n.formed(key, Record{Value: r.Value}, f, false),
			waits: map[smap.NodeID]bool{}, staged: map[smap.NodeID]bool{n.id: true}})
	default:
		n.replaces(key, t, r)
	}
}

// gatheredAll goes on with a conversion that has what it needs.
func (n *Node) gatheredAll(turn uint64) {
	c := n.conversions[turn]
	value, ok := n.value(c.gather)
	if !ok {
		if len(c.gather.waits) == 0 {
			n.short[c.key] = c.record.Payload
			delete(n.conversions, turn)
		}
		return
	}
	delete(n.conversions, turn)
	f := n.writesAs(c.key)
	s := &staging{key: c.key, of: c.record.Generation, record: Record{Value: value}, waits: map[smap.NodeID]bool{}, staged: map[smap.NodeID]bool{n.id: true}}
	if f.Data == 0 { // there is nothing to stage
		if v := n.views[c.key]; v.InCharge == n.id && !n.self().State.Away() {
			n.admit(c.key, &task{stage: s, convert: true})
		}
		return
	}
	s.record = n.formed(c.key, s.record, f, false)
	n.stageOut(s)
}

// replaces stores what was made of a record in its place.
func (n *Node) replaces(key string, t *task, r Record) {
	next := Record{Follows: r.Generation}
	if t.stage.of != r.Generation || !n.mayWrite(key, t, &next) {
		n.end(key, t)
		return
	}
	next.Generation = n.next()
	n.spread(key, t, "write", next)
}

// forms returns the forms that values of a bucket may be in.
func (d Document) forms() []Form {
	if d.Phase == "" {
		return []Form{d.Form}
	}
	return append([]Form{d.Form, d.Wanted}, d.Left...)
}

// was is a report that a node's keys are converted.
type was struct {
	by       smap.NodeID
	document uint64
	version  uint64
}

// stepConvert asks for another form, or for the one that was.
func (w *world) stepConvert(s uint64) {
	if len(w.profile.Forms) == 0 || !w.consul {
		return
	}
	d := w.document
	switch {
	case d.Phase == "":
		d.Wanted = w.profile.Forms[s>>20%uint64(len(w.profile.Forms))]
	case s>>30&3 == 0 && d.Wanted != d.Form: // it is taken back
		d.Left = append(slices.Clone(d.Left), d.Wanted)
		d.Wanted = d.Form
	default:
		w.converting()
		return
	}
	if d.Wanted.owners() <= len(w.kv.Placement()) && (d.Phase != "" || d.Wanted != d.Form) {
		d.Phase = "grow"
		w.publish(d)
	}
}

// publish writes the bucket's document.
func (w *world) publish(d Document) {
	d.Version, d.Map = d.Version+1, w.kv.Version()
	w.document = d
	w.say("document %d: %v, wanted %v, %s", d.Version, d.Form, d.Wanted, d.Phase)
}

// converting goes on with a conversion: whoever leads begins plans and writes phases on.
func (w *world) converting() {
	d := w.document
	if _, planned := w.kv.Next(); planned || d.Phase == "" || !w.consul {
		return
	}
	owners, _ := w.kv.Owners(w.setting.key(""))
	count := func(to int) {
		w.recount(w.kv.Placement(), to)
	}
	switch most := max(d.Form.owners(), d.Wanted.owners()); {
	case d.Phase == "grow" && owners < most:
		count(most)
	case d.Phase == "grow":
		d.Phase = "convert"
		w.publish(d)
	case d.Phase == "convert" && w.allConverted():
		d.Phase = "shrink"
		w.publish(d)
	case d.Phase == "shrink" && owners > d.Wanted.owners():
		count(d.Wanted.owners())
	case d.Phase == "shrink":
		d.Form, d.Wanted, d.Phase, d.Left = d.Wanted, Form{}, "", nil
		w.conversions++
		w.publish(d)
	}
}

// allConverted reports whether every node has reported under the present document, and none has
// changed its state since.
func (w *world) allConverted() bool {
	if w.notUp() > w.ruleOfSlices().Spare {
		return false // there may be keys that nobody is in charge of
	}
	var since uint64
	for _, node := range w.kv.Nodes() {
		since = max(since, node.Since)
	}
	for _, id := range w.kv.Placement() {
		node, _ := w.kv.Node(id)
		if !node.State.Away() && !slices.ContainsFunc(w.converted, func(c was) bool {
			return c.by == id && c.document == w.document.Version && c.version >= since
		}) {
			return false
		}
	}
	return true
}
