package mountpath

import (
	"errors"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// errWrittenSince says that what was concluded of a key does not hold any more.
var errWrittenSince = errors.New("the key was written meanwhile")

// onDropRecord removes what the node in charge of the key does not have.
func (l *writeLane) onDropRecord(m *messages.DropRecord) error {
	const op errs.Op = "lane.DropRecord"
	if m.Counted && l.custody.writes.of(m.Key) != m.Writes {
		return errs.E(op, m.Key, errs.Busy, errWrittenSince)
	}
	if _, err := l.fenced(op, m.Key, &m.Fence); err != nil {
		return err
	}
	return l.store.RemoveMoved(m.Key, m.Generation)
}

// errHeld says that a key is this node's.
var errHeld = errors.New("the node owns the key, or will")

// onRemoveLeftover removes what the node does not hold by the map that it acts on now.
// A copy that comes under a later map comes in a later turn.
func (l *writeLane) onRemoveLeftover(m *messages.RemoveLeftover) error {
	const op errs.Op = "lane.RemoveLeftover"
	var set *messages.NodeSet
	if l.nodes != nil {
		set = l.nodes.Load()
	}
	if set == nil || set.Map == nil {
		return errs.E(op, m.Key, errs.Conflict, errHeld)
	}
	view := set.Map.View(smap.Key{Digest: m.Key.Digest(), Owners: m.Owners, Document: m.Document})
	if view.Holds(smap.NodeID(set.Self)) {
		return errs.E(op, m.Key, errs.Conflict, errHeld)
	}
	if err := l.begin(op, m.Key); err != nil {
		return err
	}
	return l.store.RemoveMoved(m.Key, m.Generation)
}
