package disk

import (
	"cmp"
	"slices"
)

// nameOperation is one change of names that is not yet durable. It is whole or
// not at all: a rename takes a name from one directory and gives one in another.
//
// Operations wait for one another, as the transactions of a journal do:
//
//   - for the operation before them on each name that they touch;
//   - for the Mkdir of each directory that they touch;
//   - removing a directory (or replacing it) waits for all that was done in it;
//   - moving a directory waits for the move of a directory before it.
//
// Beyond that a power cut may leave any of them. Whatever it leaves is a tree
// without loops, in which everything that was not removed has a name: the first
// rule orders a name's history, the second and third never leave a name in a
// directory that is not there, and with the fourth the directories lie as they
// lay at some moment of the past.
type nameOperation struct {
	number uint64
	from   slot  // the name that goes; no directory: none
	to     slot  // the name that comes; no directory: none
	node   *node // what to names

	makes bool // a Mkdir: node is born

	synced  bool // a directory that holds one of its names was synced: it happened if what it waits for did
	applied bool // it is in the durable names
	unmet   int  // operations that it waits for and that are not applied

	waitsFor []*nameOperation
	awaited  []*nameOperation // that wait for it

	visited  uint64 // the last walk that came here
	happened bool   // scratch of Crash

	previous, next *nameOperation // in the list of those that are not applied
}

// slot is a name in a directory.
type slot struct {
	directory *node
	name      string
}

// nameLimit is how many unsynced changes of names Mem keeps. Beyond it the
// oldest becomes durable by itself, as a journal's commit every few seconds
// makes it: memory stays bounded where a directory is never synced.
const nameLimit = 1 << 16

// names orders the changes of names of a Mem that are not durable.
type names struct {
	first, last *nameOperation // the list, oldest first
	length      int
	numbers     uint64
	walks       uint64
	moved       *nameOperation // the last move of a directory, if it is not durable
}

// record adds an operation that has just been done. gone is the directory that
// it removed or replaced, or nil.
func (s *names) record(op *nameOperation, gone *node) {
	s.numbers++
	s.walks++
	op.number = s.numbers

	for _, slot := range [...]slot{op.from, op.to} {
		if slot.directory == nil {
			continue
		}
		in := slot.directory.directory
		s.wait(op, in.last[slot.name])
		s.wait(op, in.made)
		in.last[slot.name] = op
		if slot.directory != op.from.directory || slot == op.from {
			in.pending = append(in.pending, op)
			in.waiting++
		}
	}
	if gone != nil {
		for _, inside := range gone.directory.pending {
			s.wait(op, inside)
		}
	}
	if op.makes {
		op.node.directory.made = op
	} else if op.node != nil && op.node.directory != nil {
		s.wait(op, s.moved)
		s.moved = op
	}

	op.previous = s.last
	if s.last != nil {
		s.last.next = op
	} else {
		s.first = op
	}
	s.last = op
	s.length++
	if s.length > nameLimit {
		s.first.synced = true
		s.apply(s.first) // all that it waits for is older, and applied
	}
}

// wait makes op wait for before, if that is not durable. It is part of record's
// walk: an operation waits for another one once.
func (s *names) wait(op, before *nameOperation) {
	if before == nil || before.applied || before == op || before.visited == s.walks {
		return
	}
	before.visited = s.walks
	op.waitsFor = append(op.waitsFor, before)
	before.awaited = append(before.awaited, op)
	op.unmet++
}

// sync makes every change of names in the directory durable, with all that it
// waits for. The directory's own name is not: as long as the Mkdir of the
// directory and what that waits for is not synced by itself, it may be gone.
func (s *names) sync(of *node) {
	s.makeDurable(of.directory.made, of.directory.pending)
	of.directory.compact()
}

// makeDurable applies operations and all that they wait for, but for one and all
// that it waits for.
func (s *names) makeDurable(but *nameOperation, list []*nameOperation) {
	s.walks++
	spare(but, s.walks)
	var ready []*nameOperation
	for _, op := range list {
		s.force(op, &ready)
	}
	slices.SortFunc(ready, func(a, b *nameOperation) int { return cmp.Compare(a.number, b.number) })
	for _, op := range ready {
		if !op.applied && op.unmet == 0 {
			s.apply(op)
		}
	}
}

// syncAll makes every change of names durable, in the order in which they were
// done.
func (s *names) syncAll() {
	for s.first != nil {
		s.first.synced = true
		s.apply(s.first)
	}
}

// spare marks an operation and all that it waits for as visited.
func spare(op *nameOperation, walk uint64) {
	if op == nil || op.applied || op.visited == walk {
		return
	}
	op.visited = walk
	for _, before := range op.waitsFor {
		spare(before, walk)
	}
}

// force marks an operation and all that it waits for as synced, and collects
// what can be applied at once.
func (s *names) force(op *nameOperation, ready *[]*nameOperation) {
	if op.applied || op.visited == s.walks {
		return
	}
	op.visited = s.walks
	op.synced = true
	for _, before := range op.waitsFor {
		s.force(before, ready)
	}
	if op.unmet == 0 {
		*ready = append(*ready, op)
	}
}

// apply makes an operation durable, and then all synced ones that waited for
// nothing else.
func (s *names) apply(op *nameOperation) {
	ready := []*nameOperation{op}
	for len(ready) > 0 {
		op, ready = ready[0], ready[1:]
		s.applyOne(op)
		for _, after := range op.awaited {
			after.unmet--
			if after.unmet == 0 && after.synced {
				ready = append(ready, after)
			}
		}
		op.awaited, op.waitsFor = nil, nil // let the past go
	}
}

func (s *names) applyOne(op *nameOperation) {
	op.applied = true
	op.change(func(directory *node) map[string]*node { return directory.directory.durable })
	for _, slot := range [...]slot{op.from, op.to} {
		if slot.directory == nil {
			continue
		}
		in := slot.directory.directory
		if in.last[slot.name] == op {
			delete(in.last, slot.name)
		}
		if slot.directory != op.from.directory || slot == op.from {
			in.waiting--
			if len(in.pending) > 2*in.waiting+16 {
				in.compact()
			}
		}
	}
	if op.makes {
		op.node.directory.made = nil
	}
	if s.moved == op {
		s.moved = nil
	}

	if op.previous != nil {
		op.previous.next = op.next
	} else {
		s.first = op.next
	}
	if op.next != nil {
		op.next.previous = op.previous
	} else {
		s.last = op.previous
	}
	op.previous, op.next = nil, nil
	s.length--
}

// change does the operation to the names that the function gives for a directory.
func (op *nameOperation) change(of func(directory *node) map[string]*node) {
	if op.from.directory != nil {
		delete(of(op.from.directory), op.from.name)
	}
	if op.to.directory != nil {
		of(op.to.directory)[op.to.name] = op.node
	}
}

// compact forgets the operations that are durable.
func (d *directory) compact() {
	d.pending = slices.DeleteFunc(d.pending, func(op *nameOperation) bool { return op.applied })
}
