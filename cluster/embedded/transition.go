package embedded

import (
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Transition is a change of the set of mountpaths that keys are placed on: until it
// has ended, a key is where the old set places it, or where the new one does.
type Transition struct {
	From []string `json:"from"`          // mountpath ids of the old set
	To   []string `json:"to"`            // of the new one
	Job  string   `json:"job,omitempty"` // id of the job that moves; empty: it has not been started
	// Turned says that the new set was the old one before: the change was turned
	// round half way.
	Turned bool `json:"turned,omitempty"`
}

// Equal reports whether two transitions, either of which may be nil, are between
// the same sets.
func (t *Transition) Equal(other *Transition) bool {
	if t == nil || other == nil {
		return t == other
	}
	return slices.Equal(t.From, other.From) && slices.Equal(t.To, other.To)
}

// Placed returns the ids of the mountpaths that keys are placed on, in the order of
// the document: the new set, while it changes.
func (n *Node) Placed() []string {
	if n.Transition != nil {
		return n.Transition.To
	}
	ids := make([]string, len(n.Mountpaths))
	for i, m := range n.Mountpaths {
		ids[i] = m.ID
	}
	return ids
}

// Join makes a mountpath that is formatted and empty one of the node, and begins
// the transition to the set with it. Its documents are brought up to date first, so
// that it counts from the moment at which the document names it. Conflict: the set
// is being changed already. Blocks on the disks.
func (d *Documents) Join(shelf Shelf, path string) (Node, error) {
	const op errs.Op = "embedded.Join"
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.steady(op, path); err != nil {
		return Node{}, err
	}
	d.folders.Lock()
	defer d.folders.Unlock()
	current, err := encode(&d.node)
	if err != nil {
		return Node{}, err
	}
	// The document that is in force goes first: a crash in the middle of the next
	// write leaves a copy of it then that counts.
	err = d.bounded(shelf, func() error { return errors.Join(d.refresh(shelf), shelf.Write(nodeDocument, current)) })
	if err != nil {
		return Node{}, errs.E(op, shelf, err)
	}
	next := d.node
	next.Version++
	next.Mountpaths = append(slices.Clone(next.Mountpaths), Mountpath{ID: shelf.ID(), Path: path})
	next.Transition = &Transition{From: d.node.Placed(), To: append(slices.Clone(d.node.Placed()), shelf.ID())}
	was := d.shelves
	d.setShelves(append(slices.Clone(d.shelves), shelf))
	if err := d.write(nodeDocument, &next); err != nil {
		d.setShelves(was)
		return Node{}, errs.E(op, errors.Join(err, d.takeBack()))
	}
	d.node = next
	return next, nil
}

// Leave begins the transition to the set without a mountpath. Conflict: it is the
// last, or the set is being changed already. Blocks on the disks.
func (d *Documents) Leave(id string) (Node, error) {
	const op errs.Op = "embedded.Leave"
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.steady(op, id); err != nil {
		return Node{}, err
	}
	next, _, err := d.changed(op, id)
	if err != nil {
		return Node{}, err
	}
	from := d.node.Placed()
	to := slices.DeleteFunc(slices.Clone(from), func(other string) bool { return other == id })
	if len(to) == 0 {
		return Node{}, errs.E(op, id, errs.Conflict, errors.New("it is the node's last mountpath"))
	}
	next.Transition = &Transition{From: from, To: to}
	return d.put(op, next)
}

// Turn turns the transition round: the old set becomes the new one. Blocks on the
// disks.
func (d *Documents) Turn() (Node, error) {
	const op errs.Op = "embedded.Turn"
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.node.Transition
	if was == nil {
		return Node{}, errs.E(op, errs.Conflict, errors.New("the set of mountpaths is not being changed"))
	}
	next := d.node
	next.Version++
	next.Transition = &Transition{From: was.To, To: was.From, Turned: true}
	return d.put(op, next)
}

// SetTransitionJob notes which job moves to a set. If no transition to it is under
// way, the job has ended it already. Blocks on the disks.
func (d *Documents) SetTransitionJob(to []string, id string) (Node, error) {
	const op errs.Op = "embedded.SetTransitionJob"
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node.Transition == nil || !slices.Equal(d.node.Transition.To, to) {
		return d.node, nil
	}
	next := d.node
	next.Version++
	transition := *d.node.Transition
	transition.Job = id
	next.Transition = &transition
	return d.put(op, next)
}

// FinishTransition ends the transition to a set: mountpaths that are not in it are
// the node's no longer. Written to those that stay. If none to that set is under
// way, it is finished already. Blocks on the disks.
func (d *Documents) FinishTransition(to []string) (Node, error) {
	const op errs.Op = "embedded.FinishTransition"
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node.Transition == nil || !slices.Equal(d.node.Transition.To, to) {
		return d.node, nil
	}
	next := d.node
	next.Version++
	next.Transition = nil
	next.Mountpaths = nil
	for _, m := range d.node.Mountpaths {
		if slices.Contains(to, m.ID) {
			next.Mountpaths = append(next.Mountpaths, m)
		} else {
			next.Removed = append(slices.Clone(next.Removed), m.ID)
		}
	}
	was := d.shelves
	d.setShelves(slices.DeleteFunc(slices.Clone(d.shelves), func(s Shelf) bool { return !slices.Contains(to, s.ID()) }))
	node, err := d.put(op, next)
	if err != nil {
		d.setShelves(was)
	}
	return node, err
}

// Lost is a mountpath that was given up, while other nodes have copies of what was on it.
type Lost struct {
	ID    string     `json:"id"`
	Among [][]string `json:"among"` // the sets that keys were placed on then: mountpath ids, it among them
}

// Found notes that the node has caught up with mountpaths that were lost. Blocks on the
// disks.
func (d *Documents) Found(ids []string) (Node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.node
	next.Version++
	next.Lost = slices.DeleteFunc(slices.Clone(next.Lost), func(l Lost) bool { return slices.Contains(ids, l.ID) })
	return d.put("embedded.Found", next)
}

// GiveUp takes a mountpath that cannot be used from the node, with what is on it: at
// once, so that a crash leaves it the node's or not. It goes from the sets of a change
// that is under way, too, which goes on without it, by another job, or has ended with
// it. Copied says that other nodes have copies of what is on it: then it is Lost, until it
// is Found. Conflict: it is the last that keys are placed on. Blocks on the disks of the
// others.
func (d *Documents) GiveUp(id string, copied bool) (Node, error) {
	const op errs.Op = "embedded.GiveUp"
	d.mu.Lock()
	defer d.mu.Unlock()
	next, _, err := d.changed(op, id)
	if err != nil {
		return Node{}, err
	}
	isIt := func(other string) bool { return other == id }
	to := slices.DeleteFunc(slices.Clone(d.node.Placed()), isIt)
	if len(to) == 0 {
		return Node{}, errs.E(op, id, errs.Conflict, errors.New("it is the last mountpath that keys are placed on"))
	}
	next.Mountpaths = slices.DeleteFunc(next.Mountpaths, func(m Mountpath) bool { return m.ID == id })
	next.Removed = append(slices.Clone(next.Removed), id)
	next.GivenUp = append(slices.Clone(next.GivenUp), id)
	if copied {
		next.Lost = append(slices.Clone(next.Lost), d.node.lost(id))
	}
	if was := d.node.Transition; was != nil {
		from := slices.DeleteFunc(slices.Clone(was.From), isIt)
		next.Transition = &Transition{From: from, To: to, Turned: was.Turned}
		if len(from) == 0 || isSameSet(from, to) {
			next.Transition = nil
		}
	}
	before := d.shelves
	if rest := slices.DeleteFunc(slices.Clone(before), func(s Shelf) bool { return s.ID() == id }); len(rest) > 0 {
		d.setShelves(rest)
	}
	node, err := d.put(op, next)
	if err != nil {
		d.setShelves(before)
	}
	return node, err
}

// lost is a mountpath of the node as one that is lost now.
func (n *Node) lost(id string) Lost {
	sets := [][]string{n.Placed()}
	if n.Transition != nil {
		sets = append(sets, n.Transition.From)
	}
	return Lost{ID: id, Among: slices.DeleteFunc(sets, func(set []string) bool { return !slices.Contains(set, id) })}
}

func isSameSet(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id string) bool { return !slices.Contains(b, id) })
}

// steady fails while the set of mountpaths is being changed.
func (d *Documents) steady(op errs.Op, thing string) error {
	if t := d.node.Transition; t != nil {
		job := "job " + t.Job
		if t.Job == "" {
			job = "a job that is being started"
		}
		return errs.E(op, thing, errs.Conflict, fmt.Errorf("the set of mountpaths is being changed already: %s moves", job))
	}
	return nil
}

// put writes the node's document, which is in force then.
func (d *Documents) put(op errs.Op, next Node) (Node, error) {
	if err := d.write(nodeDocument, &next); err != nil {
		return Node{}, errs.E(op, errors.Join(err, d.takeBack()))
	}
	d.node = next
	return next, nil
}

// takeBack writes the document that is in force over one that could not be written
// everywhere: its version is beyond the failed one's, so that no majority of copies
// of that can be found later. What fails now is decided by the next start.
func (d *Documents) takeBack() error {
	next := d.node
	next.Version += 2
	err := d.write(nodeDocument, &next)
	d.node.Version = next.Version
	return err
}

// WillJoin has the next Begin name mountpaths that are formatted and empty, and begin
// the transition to the set with them. Conflict: the set is being changed already.
func (d *Documents) WillJoin(ids []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.steady("embedded.WillJoin", "new directories"); err != nil {
		return err
	}
	from := d.node.Placed()
	d.node.Transition = &Transition{From: from, To: append(slices.Clone(from), ids...)}
	return nil
}
