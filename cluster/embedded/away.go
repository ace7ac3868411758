package embedded

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// voters are the shelves whose documents count: those of mountpaths that were the
// node's and in use when the node's document was written. If none was, all of them.
func (n *Node) voters(shelves []Shelf) []Shelf {
	var voters []Shelf
	for _, s := range shelves {
		in := slices.ContainsFunc(n.Mountpaths, func(m Mountpath) bool {
			return m.ID == s.ID() && m.Disabled == "" && m.Away == ""
		})
		if in {
			voters = append(voters, s)
		}
	}
	if len(voters) == 0 {
		return shelves
	}
	return voters
}

// nodeInForce returns the newest node document that more than half of the shelves
// have, or have a newer one of, not counting those of mountpaths that it says are
// out of use; nil if there is none.
func nodeInForce(shelves []Shelf) (*Node, error) {
	copies := make(map[string]*Node) // by mountpath id
	var newest []*Node
	var readable []Shelf
	var failures []error
	for _, s := range shelves {
		node, err := read[Node](s, nodeDocument)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		readable = append(readable, s)
		if node != nil {
			copies[s.ID()] = node
			newest = append(newest, node)
		}
	}
	if len(newest) == 0 {
		return nil, errors.Join(failures...)
	}
	sort.SliceStable(newest, func(i, j int) bool { return newest[i].Version > newest[j].Version })
	for _, candidate := range newest {
		voters, have := candidate.voters(readable), 0
		for _, s := range voters {
			if c := copies[s.ID()]; c != nil && c.Version >= candidate.Version {
				have++
			}
		}
		if have > len(voters)/2 {
			return candidate, nil
		}
	}
	return nil, nil // a minority's: it was never in force
}

// SetAway takes a mountpath's documents out of use, because an operator disabled it
// or because it cannot be written: changes are made without it from then on, and at
// a start its documents do not count. The last mountpath keeps its documents.
// Blocks on the disks of the others.
func (d *Documents) SetAway(id, reason string, byOperator bool) error {
	const op errs.Op = "embedded.SetAway"
	d.mu.Lock()
	defer d.mu.Unlock()
	next, m, err := d.changed(op, id)
	if err != nil {
		return err
	}
	m.Away = reason
	if byOperator {
		m.Disabled, m.Away = reason, ""
	}
	rest := slices.DeleteFunc(slices.Clone(d.shelves), func(s Shelf) bool { return s.ID() == id })
	if len(rest) > 0 {
		d.setShelves(rest)
	}
	d.node = next
	return errs.Wrap(op, d.write(nodeDocument, &next))
}

// Attach brings the documents of a mountpath up to date and into use again: of one
// that was missing, disabled or away. Errors: Conflict if the mountpath has seen a
// later start than this one: its generations may be greater than those that this
// process takes. Blocks on the disks.
func (d *Documents) Attach(shelf Shelf, path string) error {
	const op errs.Op = "embedded.Attach"
	d.mu.Lock()
	defer d.mu.Unlock()
	next, m, err := d.changed(op, shelf.ID())
	if err != nil {
		return err
	}
	was, err := read[Node](shelf, nodeDocument)
	if err != nil {
		return errs.E(op, shelf, err)
	}
	if was != nil && was.Start > d.node.Start {
		return errs.E(op, shelf, errs.Conflict, fmt.Errorf("it has seen start %d of the node, and this is start %d; restart the node with all its mountpaths", was.Start, d.node.Start))
	}
	if err := d.hear(shelf.ID(), was, &next); err != nil {
		return errs.E(op, shelf, err)
	}
	d.folders.Lock()
	defer d.folders.Unlock()
	if err := d.bounded(shelf, func() error { return d.refresh(shelf) }); err != nil {
		return errs.E(op, shelf, err)
	}
	m.Path, m.Disabled, m.Away = path, "", ""
	d.setShelves(append(slices.DeleteFunc(slices.Clone(d.shelves), func(s Shelf) bool { return s.ID() == shelf.ID() }), shelf))
	d.node = next
	return errs.Wrap(op, d.write(nodeDocument, &next))
}

// LiveBy gives the documents the clock that their waits are measured with; without
// it, the operating system's. Before they are shared.
func (d *Documents) LiveBy(c clock.Clock) { d.clock = c }

// changed returns the next version of the node's document, and the mountpath in it.
func (d *Documents) changed(op errs.Op, id string) (Node, *Mountpath, error) {
	next := d.node
	next.Version++
	next.Mountpaths = slices.Clone(next.Mountpaths)
	for i := range next.Mountpaths {
		if next.Mountpaths[i].ID == id {
			return next, &next.Mountpaths[i], nil
		}
	}
	return Node{}, nil, errs.E(op, id, errs.NotFound, errors.New("the node has no such mountpath"))
}

// refresh gives a shelf the documents of the buckets, jobs and quarantines that there are,
// and no others. With folders held.
func (d *Documents) refresh(s Shelf) error {
	if err := d.giveCluster(s); err != nil {
		return err
	}
	for _, doc := range d.buckets {
		if err := writeIfStale(s, doc); err != nil {
			return err
		}
	}
	names, err := s.List(bucketsFolder)
	if err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	for _, name := range names {
		known := false
		for id := range d.buckets {
			known = known || bucketName(id) == bucketsFolder+"/"+name
		}
		if !known && strings.HasSuffix(name, ".json") {
			if err := s.Remove(bucketsFolder + "/" + name); err != nil {
				return err
			}
		}
	}
	for _, folder := range folders() {
		if err := d.refreshFolder(s, folder); err != nil {
			return err
		}
	}
	return nil
}

// shelfTime is how long a change waits for one mountpath. A write of two small
// files and their syncs takes milliseconds; a disk that takes longer than this has
// been marked by then.
const shelfTime = 10 * time.Second

// outstanding knows the shelves of which a call has not returned: until it does, they
// are asked nothing else, so that calls of one shelf stay in order. The zero value
// is ready.
type outstanding struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (h *outstanding) set(id string, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = make(map[string]bool)
	}
	h.ids[id] = is
}

func (h *outstanding) is(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[id]
}

// bounded calls what uses a shelf, and waits for it at most shelfTime. A call that
// takes longer costs a goroutine for as long, one for each shelf.
func (d *Documents) bounded(s Shelf, call func() error) error {
	if d.outstanding.is(s.ID()) {
		return errs.E("embedded.bounded", s, errs.Busy, errors.New("an earlier call of the mountpath has not returned"))
	}
	done := make(chan error, 1)
	d.outstanding.set(s.ID(), true)
	go func() {
		err := call()
		d.outstanding.set(s.ID(), false)
		done <- err
	}()
	late, timer := d.clock.NewTimer(shelfTime)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-late:
		return errs.E("embedded.bounded", s, errs.Busy, fmt.Errorf("the mountpath has not answered for %s", shelfTime))
	}
}
