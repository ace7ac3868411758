package mountpath

import (
	"errors"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
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
	return l.store.RemoveMoved(m.Key, m.Generation, objects.MutationDropped, m.Fence.For)
}

// errHeld says that a key is this node's.
var errHeld = errors.New("the node owns the key, or will")

// onRemoveLeftover removes what the node does not hold by the map that it acts on now.
// A copy that comes under a later map comes in a later turn.
func (l *writeLane) onRemoveLeftover(m *messages.RemoveLeftover) error {
	if err := l.beginLeftover("lane.RemoveLeftover", m.Key, m.Placing); err != nil {
		return err
	}
	return l.store.RemoveMoved(m.Key, m.Generation, objects.MutationLeft, objects.Origin{Cause: objects.CausePlan})
}

// onRemoveLeftoverUpload is onRemoveLeftover for an upload under way.
func (l *writeLane) onRemoveLeftoverUpload(m *messages.RemoveLeftoverUpload) error {
	if err := l.beginLeftover("lane.RemoveLeftoverUpload", m.Key, m.Placing); err != nil {
		return err
	}
	if err := l.store.AbortUpload(m.Key, m.UploadID); !errs.Is(errs.NotFound, err) {
		return err
	}
	return nil
}

// beginLeftover begins to remove what the node does not hold; Conflict: it does.
func (l *writeLane) beginLeftover(op errs.Op, key objects.Key, placing smap.Key) error {
	var set *messages.NodeSet
	if l.nodes != nil {
		set = l.nodes.Load()
	}
	if set == nil || set.Map == nil {
		return errs.E(op, key, errs.Conflict, errHeld)
	}
	view := set.Map.View(placing)
	if view.Holds(smap.NodeID(set.Self)) {
		return errs.E(op, key, errs.Conflict, errHeld)
	}
	return l.begin(op, key, l.unfenced(placing))
}

// onKeepUpload makes an upload under way what the node in charge has, unless the key was
// written since that node was told what is here: a late one would undo what it sent later.
func (l *writeLane) onKeepUpload(m *messages.KeepUpload) ([]int, error) {
	const op errs.Op = "lane.KeepUpload"
	if l.custody.writes.of(m.Key) != m.Writes {
		return nil, errs.E(op, m.Key, errs.Busy, errWrittenSince)
	}
	if _, err := l.fenced(op, m.Key, &m.Fence); err != nil {
		return nil, err
	}
	return l.store.KeepUpload(m.Key, &m.Upload, m.Parts)
}
