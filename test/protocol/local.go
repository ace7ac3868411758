package protocol

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// In runs of profile Local hosts are the mountpaths of one node, and its mount map is what they
// are owners by. One process writes the map and has all adopt it at once; its messages are not
// lost and do not come twice, but a command may hang in a disk and come late; and all start
// anew together, with those mountpaths that are there:
//
//	coming      on every mountpath that it calls up or recovering, and on half of those that
//	   │        the published one calls so
//	   ▼
//	published   and adopted by all
//
// A start serves the version that is in force if more than half of its mountpaths are there.

// mountVersion is a version of the mount map, and the start that wrote it.
type mountVersion struct {
	start uint64
	smap  *smap.Smap
}

// compare orders versions by the start that wrote them, then by number; nil is before all.
func (v *mountVersion) compare(other *mountVersion) int {
	if v == nil || other == nil {
		return cmp.Compare(v.exists(), other.exists())
	}
	return cmp.Or(cmp.Compare(v.start, other.start), cmp.Compare(v.smap.Version(), other.smap.Version()))
}

func (v *mountVersion) exists() int {
	if v == nil {
		return 0
	}
	return 1
}

// isAfter reports whether who has v has seen other, or something later.
func (v *mountVersion) isAfter(other *mountVersion) bool {
	order := v.compare(other)
	return order > 0 || order == 0 && (v == nil || v.smap.Hash() == other.smap.Hash())
}

// members are the mountpaths that the version calls up or recovering.
func (v *mountVersion) members() (ids []smap.NodeID) {
	for _, node := range v.smap.Nodes() {
		if !node.State.Away() {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// mountDocument is what a mountpath has of the mount map.
type mountDocument struct {
	start             uint64 // counts starts of the process
	published, coming *mountVersion
}

// latest is the version that the next one follows.
func (d mountDocument) latest() *mountVersion {
	if d.coming != nil {
		return d.coming
	}
	return d.published
}

// process is the one that all mountpaths are in.
type process struct {
	runs   bool
	serves bool          // a version of the mount map
	doc    mountDocument // as it was written last
	power  int           // writes of documents until the power goes; negative: it stays

	unserved int // starts after which it served nothing, at first
	lives    int // starts
}

// found writes the first version to all mountpaths.
func (w *world) found() {
	w.process = process{runs: true, serves: true, power: -1, doc: mountDocument{start: 1, published: &mountVersion{1, w.kv}}}
	for _, h := range w.hosts {
		h.here, h.mounts = true, w.process.doc
	}
}

// well reports whether a mountpath can be written.
func (h *host) well() bool { return h.here && !h.paused }

// put publishes a version that follows the latest, and has it adopted, if it can be: otherwise
// it is coming, for all that anybody knows.
func (w *world) put(next *smap.Smap) bool {
	p := &w.process
	version := &mountVersion{p.doc.start, next}
	p.doc.coming = version
	took, ok := w.writeMounts(version)
	if !ok {
		return false
	}
	lacks := func(id smap.NodeID) bool { return !slices.Contains(took, id) }
	if members := version.members(); len(members) == 0 || slices.ContainsFunc(members, lacks) {
		w.say("mount map v%d (%s) is not where it has to be", next.Version(), w.mountStates(next))
		return false
	}
	before := p.doc.published.members()
	if have := len(before) - len(slices.DeleteFunc(slices.Clone(before), func(id smap.NodeID) bool { return !lacks(id) })); have*2 < len(before) && w.setting.Rules.On(MountHalf) {
		w.say("mount map v%d (%s) is on %d of %d", next.Version(), w.mountStates(next), have, len(before))
		return false
	}
	p.doc.published, p.doc.coming = version, nil
	w.say("mount map v%d is published: %s", next.Version(), w.mountStates(next))
	if _, ok := w.writeMounts(version); !ok {
		return false
	}
	w.kv = next
	if p.serves {
		for _, h := range w.hosts {
			if !h.dead {
				w.run(h, "adopts", func(n *Node) { n.Adopt(next) })
			}
		}
	}
	return true
}

// writeMounts writes the document to the mountpaths that a version does not call away, or, before
// any is served, to all that are there: then the half that is asked of a version that is coming
// may be among those that it calls away. It returns which took it; false: the power went.
func (w *world) writeMounts(version *mountVersion) (took []smap.NodeID, ok bool) {
	members := version.members()
	for _, h := range w.hosts {
		starting := !w.process.serves && w.setting.Rules.On(MountHere)
		if !h.well() || !starting && !slices.Contains(members, h.node.id) {
			continue
		}
		if w.process.power == 0 {
			w.say("the power goes")
			w.crash()
			return took, false
		}
		w.process.power--
		h.mounts = w.process.doc
		took = append(took, h.node.id)
	}
	return took, true
}

func (w *world) mountStates(m *smap.Smap) (all string) {
	for _, node := range m.Nodes() {
		all += fmt.Sprintf("%s %s, ", node.ID, node.State)
	}
	return all[:max(0, len(all)-2)]
}

// crash ends the process, with all that is in memory. A command that hung in a disk is on it,
// or is not.
func (w *world) crash() {
	w.process.runs, w.process.serves, w.process.power, w.flight = false, false, -1, nil
	for i, h := range w.hosts {
		if h.hung != nil && (w.now+int64(i))&1 == 0 {
			h.node.apply(*h.hung)
		}
		h.hung, h.here, h.dead, h.paused = nil, false, true, false
		h.node.Take()
	}
	for _, c := range w.clients {
		c.pending = -1
	}
}

// inForce returns the version that was published last, as far as documents tell, and one that
// follows it and may have been published as well: none of those that it calls up or recovering
// lacks it.
func inForce(copies map[smap.NodeID]mountDocument) (published, coming *mountVersion) {
	ids := slices.Sorted(maps.Keys(copies))
	for _, id := range ids {
		if d := copies[id]; d.published.compare(published) > 0 {
			published = d.published
		}
	}
	for _, id := range ids {
		d := copies[id]
		if d.coming.compare(published) <= 0 || d.coming.compare(coming) <= 0 {
			continue
		}
		lacks := func(id smap.NodeID) bool {
			other, there := copies[id]
			return there && !other.latest().isAfter(d.coming)
		}
		if !slices.ContainsFunc(d.coming.members(), lacks) {
			coming = d.coming
		}
	}
	return published, coming
}

// start begins the process with some mountpaths.
func (w *world) start(present []*host) {
	if len(present) == 0 {
		return
	}
	p := &w.process
	copies := map[smap.NodeID]mountDocument{}
	p.runs, p.lives, p.doc = true, p.lives+1, mountDocument{}
	for _, h := range present {
		copies[h.node.id], h.here = h.mounts, true
		p.doc.start = max(p.doc.start, h.mounts.start+1)
	}
	p.doc.published, p.doc.coming = inForce(copies)
	for _, h := range present {
		h.mounts = p.doc // also where nothing is served then
	}
	w.say("the process starts with %v", hostNames(present))
	w.claim()
	if !p.serves {
		p.unserved++
	}
}

func hostNames(hosts []*host) (names []string) {
	for _, h := range hosts {
		names = append(names, hostName(h))
	}
	return names
}

// claim serves the version that is in force, if enough mountpaths are there.
func (w *world) claim() {
	p := &w.process
	here := func(ids []smap.NodeID) (count int) {
		for _, id := range ids {
			if w.host(id).well() {
				count++
			}
		}
		return count
	}
	in, strict := p.doc.latest(), w.setting.Rules.On(MountMost)
	members, before := in.members(), p.doc.published.members()
	if n := here(members); strict && n*2 <= len(members) || n == 0 {
		w.say("%d of %d are there: nothing is served", n, len(members))
		return
	}
	if n := here(before); p.doc.coming != nil && strict && n*2 <= len(before) && (here(members) < len(members) || n*2 < len(before)) {
		w.say("%d of %d of before are there: nothing is served", n, len(before))
		return
	}
	if p.doc.coming != nil {
		next := in.smap
		for _, id := range members {
			if w.host(id).well() {
				continue
			}
			node, _ := next.Node(id)
			after, err := next.Change().SetState(id, node.Since, smap.Down).Done()
			if err != nil {
				panic(err) // it is one step of one node
			}
			next = after
		}
		if !w.put(next) {
			return
		}
	}
	w.kv, p.serves = p.doc.published.smap, true
	for _, h := range w.hosts {
		if h.here {
			w.begins(h)
		}
	}
}

// begins has a mountpath take part, by the map that is served.
func (w *world) begins(h *host) {
	h.dead, h.node.disk.Map = false, w.kv
	h.node.Restart()
	h.node.Tick(w.now)
}

// attach has a mountpath take part in a process that runs already.
func (w *world) attach(h *host) {
	p := &w.process
	known, has := p.doc.published, h.mounts.published
	if !p.serves {
		known, has = p.doc.latest(), h.mounts.latest()
	}
	if !known.isAfter(has) {
		w.say("%s has a mount map that this start has not seen", h.node.id)
		return
	}
	if !p.serves {
		copies := map[smap.NodeID]mountDocument{h.node.id: h.mounts}
		for _, other := range w.hosts {
			if other.here {
				copies[other.node.id] = p.doc
			}
		}
		p.doc.published, p.doc.coming = inForce(copies)
	}
	h.here, h.mounts = true, p.doc
	w.say("%s is there again", h.node.id)
	if p.serves {
		w.begins(h)
		return
	}
	w.claim()
}

// detach has a mountpath fail.
func (w *world) detach(h *host) {
	w.say("%s fails", h.node.id)
	h.here, h.dead, h.paused, h.hung = false, true, false, nil
	h.node.Take()
}

// supervise has the mount map follow what is known of the mountpaths: one leaves in each
// version, and who is well again recovers. Who has compared says so itself.
func (w *world) supervise() {
	p := &w.process
	for range len(w.hosts) {
		if !p.serves {
			return
		}
		latest := p.doc.latest()
		members := latest.members()
		at := slices.IndexFunc(members, func(id smap.NodeID) bool { return !w.host(id).well() })
		if at < 0 || len(members) == 1 {
			break
		}
		node, _ := latest.smap.Node(members[at])
		w.propose("", nil, func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Down) })
	}
	for _, h := range w.hosts {
		if !p.serves {
			return
		}
		if node, _ := p.doc.latest().smap.Node(h.node.id); h.well() && node.State.Away() {
			w.propose("", nil, func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Recovering) })
		}
	}
	if p.serves && p.doc.coming != nil {
		w.put(p.doc.coming.smap)
	}
}

// localTable is what is done in runs of profile Local, in the order of a mood's columns.
func (w *world) localTable() [17]func(uint64) {
	nothing := func(uint64) {}
	return [17]func(uint64){
		w.stepDeliver, w.stepClient, nothing, w.stepGoOn, nothing, nothing, w.stepDeadline, w.stepSpare,
		func(uint64) { w.supervise() }, w.stepHang, w.stepMountpath, w.stepPower, w.stepCompact, nothing, nothing,
		nothing, nothing,
	}
}

// stepSpare writes down a mountpath that is slow, or is thought to be.
func (w *world) stepSpare(s uint64) {
	if !w.process.serves {
		return
	}
	members := w.process.doc.latest().members()
	if id, ok := pick(s, members, func(id smap.NodeID) string { return string(id) }); ok && len(members) > 1 {
		node, _ := w.process.doc.latest().smap.Node(id)
		w.propose("", nil, func(c *smap.Change) { c.SetState(id, node.Since, smap.Down) })
	}
}

// stepHang has a mountpath hang, in a store that it has admitted if there is one, or go on.
func (w *world) stepHang(s uint64) {
	h, ok := pick(s, slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h.dead }), hostName)
	switch {
	case !ok:
	case h.paused:
		w.goesOn(h)
	default:
		h.paused = true
		w.say("%s hangs", h.node.id)
		stores := slices.DeleteFunc(slices.Clone(w.flight), func(e envelope) bool {
			m := e.message
			return m.Kind != Store || m.To != h.node.id || h.node.fenced(m) || !h.node.views[m.Key].Holds(h.node.id)
		})
		if e, ok := pick(s, stores, func(e envelope) string { return e.name }); ok {
			w.say("      in %s", e.name)
			w.take(e)
			h.hung = &e.message
		}
	}
}

// goesOn ends the hanging of a mountpath: what hung is done, whatever the map says by now.
func (w *world) goesOn(h *host) {
	h.paused = false
	w.say("%s hangs no more", h.node.id)
	if late := h.hung; late != nil {
		h.hung = nil
		w.run(h, "gets to its end: "+late.String(), func(n *Node) { n.apply(*late) })
	}
}

// stepMountpath has a mountpath fail, or be there again.
func (w *world) stepMountpath(s uint64) {
	h, _ := pick(s, w.hosts, hostName)
	switch {
	case !w.process.runs:
		w.stepPower(s)
	case h.here:
		w.detach(h)
	default:
		w.attach(h)
	}
}

// stepPower starts the process anew, with some mountpaths.
func (w *world) stepPower(s uint64) {
	if w.process.runs {
		w.crash()
	}
	var present []*host
	for i, h := range w.hosts {
		if s>>(20+2*i)&3 != 0 {
			present = append(present, h)
		}
	}
	w.start(present)
}

// restart begins the process anew with all mountpaths but one, or with all; it returns what is
// wrong with that.
func (w *world) restart(but *host) string {
	w.crash()
	present := slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h == but })
	w.start(present)
	if !w.process.serves && (but == nil || len(present) > 1) {
		return fmt.Sprintf("with %v there the mount map is not served", hostNames(present))
	}
	return ""
}

// outages starts the process without each of the mountpaths in turn, and has each of them fail
// while it runs, so that whatever it has that the one in charge has not comes to light.
func (w *world) outages() string {
	for _, h := range w.hosts {
		if len(w.hosts) > 2 {
			if wrong := w.restart(h); wrong != "" {
				return wrong
			}
		} else {
			w.detach(h)
		}
		w.supervise()
		w.calmly()
		if wrong := w.last(); wrong != "" {
			return wrong
		}
		w.attach(h)
		if h.dead {
			return fmt.Sprintf("%s does not take part again", h.node.id)
		}
		if wrong := w.calm(); wrong != "" {
			return wrong
		}
	}
	return w.last()
}
