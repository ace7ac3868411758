package embedded

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// The mount map says of each mountpath whether it is in sync with what it holds. One
// line of maps is ever served, whichever mountpaths a start finds:
//
//	coming      on every mountpath that it calls up or recovering, and on at least half
//	   │        of those that the published one calls so; until then it can still fail
//	   ▼
//	published   said on them as well, and then served
//
// A start serves the map that is in force if more than half of the mountpaths that it
// calls up or recovering are there: so it meets whatever was published, and whatever is
// published next meets it.

// MountMap is a version of the mount map, as the document of the node keeps it.
// Immutable.
type MountMap struct {
	Map *smap.Smap
	// Start is the start counter of the node when it wrote the version: of two lines of
	// which one was never published, the later start's is the other.
	Start uint64
}

// mountDocument is a MountMap as JSON.
type mountDocument struct {
	Start uint64          `json:"start"`
	Map   json.RawMessage `json:"map"`
}

// MarshalJSON writes the version: some 150 bytes a mountpath.
func (m *MountMap) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(m.Map)
	if err != nil {
		return nil, err
	}
	return json.Marshal(mountDocument{m.Start, text})
}

// UnmarshalJSON reads what MarshalJSON wrote; a map that contradicts itself, or has
// fields that this binary does not know, is refused.
func (m *MountMap) UnmarshalJSON(text []byte) (err error) {
	var d mountDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	m.Start = d.Start
	if m.Map, err = smap.Parse(d.Map); err != nil {
		return fmt.Errorf("mount map: %w", err)
	}
	return nil
}

// compare orders versions: by the start that wrote them, then by number. nil is before
// all.
func (m *MountMap) compare(other *MountMap) int {
	switch {
	case m == nil || other == nil:
		return cmp.Compare(exists(m), exists(other))
	default:
		return cmp.Or(cmp.Compare(m.Start, other.Start), cmp.Compare(m.Map.Version(), other.Map.Version()))
	}
}

func exists(m *MountMap) int {
	if m == nil {
		return 0
	}
	return 1
}

// isAfter reports whether a copy that has m has seen other, or something later.
func (m *MountMap) isAfter(other *MountMap) bool {
	switch m.compare(other) {
	case 0:
		return m == nil || m.Map.Hash() == other.Map.Hash()
	case 1:
		return true
	}
	return false
}

// members are the mountpaths that the version calls up or recovering, by id.
func (m *MountMap) members() []string {
	var ids []string
	for _, node := range m.Map.Nodes() {
		if !node.State.Away() {
			ids = append(ids, string(node.ID))
		}
	}
	return ids
}

// latest is the newest version that the document has; nil: it has none.
func (n *Node) latest() *MountMap {
	if n.Coming != nil {
		return n.Coming
	}
	return n.Mounts
}

// own are those of a list that are mountpaths of the node: who has left it, or was given
// up, is not waited for.
func (n *Node) own(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return !slices.ContainsFunc(n.Mountpaths, func(m Mountpath) bool { return m.ID == id })
	})
}

// mountsInForce returns the version of the mount map that was published last, as far as
// the copies of the document tell, and one that follows it and may have been published
// as well, which is in force then; either may be nil. Copies are by mountpath.
//
// What was published is on every mountpath that it calls up or recovering. So a version
// that is only coming, and that one of them lacks whose copy was never damaged, was not
// published anywhere.
func mountsInForce(copies map[string]*Node) (published, coming *MountMap) {
	for _, n := range copies {
		if n.Mounts.compare(published) > 0 {
			published = n.Mounts
		}
	}
	for _, n := range copies {
		c := n.Coming
		if c == nil || c.compare(published) <= 0 || c.compare(coming) <= 0 {
			continue
		}
		lacks := slices.ContainsFunc(c.members(), func(id string) bool {
			n := copies[id]
			return n != nil && !slices.Contains(n.Blank, id) && !n.latest().isAfter(c)
		})
		if !lacks {
			coming = c
		}
	}
	return published, coming
}

// readNodes reads the copies of the node's document that can be read, by mountpath.
func readNodes(shelves []Shelf) map[string]*Node {
	copies := make(map[string]*Node)
	for _, s := range shelves {
		if n, err := read[Node](s, nodeDocument); err == nil && n != nil {
			copies[s.ID()] = n
		}
	}
	return copies
}

// weighMounts finds the mount map that is in force in copies of the node's document, and
// on whose word that is.
func (d *Documents) weighMounts(copies map[string]*Node) {
	d.node.Mounts, d.node.Coming = mountsInForce(copies)
	for id, n := range copies {
		if !slices.Contains(n.Blank, id) {
			d.witnesses[id] = true
		}
	}
}

// Mounts returns the newest version of the mount map on the disks, which the next one
// has to follow, and the one that is served; nil: there is none, or too few of the
// mountpaths that the one in force calls up or recovering have been there since the
// start.
func (d *Documents) Mounts() (latest, served *smap.Smap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.node.latest(); m != nil {
		latest = m.Map
	}
	if d.claimed {
		served = d.node.Mounts.Map
	}
	return latest, served
}

// Kept returns the ids of the mountpaths whose documents are kept up to date.
func (d *Documents) Kept() (ids []string) {
	for _, s := range d.present() {
		ids = append(ids, s.ID())
	}
	return ids
}

// ClaimMounts serves the mount map that is in force, if the start rule allows it by now:
// Begin did so if it could, and it is asked again when a mountpath has come, or is waited
// for no more. Blocks on the disks.
func (d *Documents) ClaimMounts() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claim()
}

// claim serves the mount map that is in force, if the start rule allows it. A node
// without one gets its first. With mu held.
func (d *Documents) claim() error {
	const op errs.Op = "embedded.claim"
	if d.claimed {
		return nil
	}
	in := d.node.latest()
	var members []string
	if in != nil {
		members = d.node.own(in.members())
	} else {
		members = d.node.own(d.founders)
	}
	here := d.present()
	are := func(ids []string) (count int) {
		for _, id := range ids {
			if d.witnesses[id] && isOf(here, id) {
				count++
			}
		}
		return count
	}
	enough := are(members)*2 > len(members) || d.lax.start && are(members) > 0
	if in == nil && len(members) > 0 && !slices.ContainsFunc(members, func(id string) bool { return !isOf(here, id) }) {
		enough = true // nobody else could know of one
	}
	if !enough {
		return nil
	}
	if in == nil {
		first, err := d.firstMounts()
		if err != nil {
			return errs.E(op, err)
		}
		in = &MountMap{Map: first}
	} else if d.node.Coming != nil && !d.lax.start {
		// It may have failed: then more than half of those before it have to be there, since
		// another start may have gone on from them.
		before := d.before()
		if n := are(before); n*2 <= len(before) && (are(members) < len(members) || n*2 < len(before)) {
			return nil
		}
	}
	if in != d.node.Mounts {
		next, err := without(in.Map, func(id string) bool { return !isOf(here, id) })
		if err == nil {
			err = d.propose(next)
		}
		if err != nil {
			return errs.E(op, err)
		}
	} else if len(d.node.Blank) > 0 {
		d.node.Version++
		d.node.Blank = nil
		if err := d.write(nodeDocument, &d.node); err != nil {
			return errs.E(op, err)
		}
	}
	d.claimed = true
	return nil
}

// before are the mountpaths of which half have to have the next version: those that the
// published one calls up or recovering, or, before the first, that the document names
// and does not call out of use.
func (d *Documents) before() []string {
	if d.node.Mounts == nil {
		return d.node.own(d.founders)
	}
	return d.node.own(d.node.Mounts.members())
}

func isOf(shelves []Shelf, id string) bool {
	return slices.ContainsFunc(shelves, func(s Shelf) bool { return s.ID() == id })
}

// firstMounts makes a map of the mountpaths that keys are placed on.
func (d *Documents) firstMounts() (*smap.Smap, error) {
	lineage, err := NewID()
	if err != nil {
		return nil, err
	}
	var nodes []smap.Node
	for _, id := range d.node.Placed() {
		nodes = append(nodes, smap.Node{ID: smap.NodeID(id), Digest: smap.Digest(objects.DigestID(id))})
	}
	return smap.New(lineage, nodes...)
}

// without returns a map with mountpaths down, one leaving in each version.
func without(m *smap.Smap, gone func(id string) bool) (*smap.Smap, error) {
	for _, node := range m.Nodes() {
		if node.State.Away() || !gone(string(node.ID)) {
			continue
		}
		next, err := m.Change().SetState(node.ID, node.Since, smap.Down).Done()
		if err != nil {
			return nil, err
		}
		m = next
	}
	return m, nil
}

// PutMounts makes a version of the mount map the published one, whose predecessor is the
// newest on the disks: it is on every mountpath that it calls up or recovering when
// PutMounts returns, and may be served. A mountpath that it calls down is out of use in
// the same document. Conflict: it does not follow, or none may be published because too
// few mountpaths have been there since the start. Offline or IO: it could not be written
// where it has to be; the version exists, and the next one follows it, or it is put
// again. Blocks on the disks.
func (d *Documents) PutMounts(next *smap.Smap) error {
	const op errs.Op = "embedded.PutMounts"
	d.mu.Lock()
	defer d.mu.Unlock()
	what := fmt.Sprintf("mount map, version %d", next.Version())
	if !d.claimed {
		return errs.E(op, what, errs.Conflict, errors.New("not more than half of the mountpaths that the one in force calls up or recovering have been there since the start"))
	}
	switch latest := d.node.latest().Map; {
	case next.Hash() == latest.Hash():
		if d.node.Coming == nil {
			return nil
		}
	case !next.Follows(latest):
		return errs.E(op, what, errs.Conflict, fmt.Errorf("it does not follow version %d (%s) of lineage %s", latest.Version(), latest.Hash(), latest.Lineage()))
	}
	return errs.Wrap(op, d.propose(next))
}

// propose writes a version as the one that is coming, and then, where it has reached
// whom it has to, as the published one. A mountpath that it calls away, and its predecessor
// did not, is out of use from then on. One that was away before and is here all the same,
// since this start has brought it up to date, is written to like the others: without those
// half of the mountpaths before it may not be had. With mu held.
func (d *Documents) propose(next *smap.Smap) error {
	const op errs.Op = "embedded.propose"
	what := fmt.Sprintf("mount map, version %d", next.Version())
	was, doc := d.node.latest(), d.node
	doc.Version++
	doc.Coming = &MountMap{Map: next, Start: d.node.Start}
	members, before := doc.Coming.members(), d.before()
	if len(members) == 0 {
		return errs.E(op, what, errs.Invalid, errors.New("it calls no mountpath up or recovering"))
	}
	doc.Mountpaths = slices.Clone(doc.Mountpaths)
	rest := d.present()
	for i, m := range doc.Mountpaths {
		node, ok := next.Node(smap.NodeID(m.ID))
		if !ok || !node.State.Away() {
			continue
		}
		if was != nil && !d.lax.here {
			if node, ok := was.Map.Node(smap.NodeID(m.ID)); ok && node.State.Away() {
				continue
			}
		}
		if m.Disabled == "" && m.Away == "" {
			doc.Mountpaths[i].Away = "the mount map calls it " + string(node.State)
		}
		rest = slices.DeleteFunc(slices.Clone(rest), func(s Shelf) bool { return s.ID() == m.ID })
	}
	if len(rest) > 0 {
		d.setShelves(rest)
	}
	d.node = doc // even if it fails: what may be on a disk is followed, and not made again otherwise
	took, err := d.writeEach(nodeDocument, &doc)
	for _, id := range d.node.own(members) {
		if !slices.Contains(took, id) && !d.lax.publish {
			return errs.E(op, what, errs.Offline, fmt.Errorf("mountpath %s, which it calls up or recovering, does not have it", id), err)
		}
	}
	have := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return !slices.Contains(took, id) })
	if len(have)*2 < len(before) && !d.lax.publish {
		return errs.E(op, what, errs.Offline, fmt.Errorf("%d of the %d mountpaths that the version before calls up or recovering have it: half are needed", len(have), len(before)), err)
	}
	if len(took) == 0 {
		return errs.E(op, what, err)
	}
	doc.Version++
	doc.Mounts, doc.Coming = doc.Coming, nil
	doc.Blank = nil // it is served without the word of those
	d.node = doc
	// From here on any start goes on with this version, whatever becomes of this write: it
	// only spares the next one the question. A disk that fails it is judged by its health.
	_, _ = d.writeEach(nodeDocument, &doc)
	return nil
}

// hear weighs what a mountpath that comes back has of the mount map, before its document
// is replaced by next. Conflict: it has a version that this start has not seen. With mu
// held.
func (d *Documents) hear(id string, was, next *Node) error {
	if was == nil {
		was = &Node{Blank: []string{id}}
	}
	known, has := d.node.Mounts, was.Mounts
	if !d.claimed { // what was coming may have been published, for all that is known here
		known, has = d.node.latest(), was.latest()
	}
	if !known.isAfter(has) {
		return errs.E("embedded.hear", errs.Conflict, fmt.Errorf("it has version %d of the mount map, which this start has not seen; restart the node with all its mountpaths", has.Map.Version()))
	}
	if d.claimed {
		return nil
	}
	copies := map[string]*Node{id: was}
	for _, s := range d.present() {
		copies[s.ID()] = &d.node
	}
	next.Mounts, next.Coming = mountsInForce(copies)
	if !slices.Contains(was.Blank, id) {
		d.witnesses[id] = true
	} else if !slices.Contains(next.Blank, id) {
		next.Blank = append(slices.Clone(next.Blank), id)
	}
	return nil
}
