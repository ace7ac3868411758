package mountpath

import (
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// onDropTombstones drops delete markers whose keys' owners are all up, with no plan over
// them, by the map that the node acts on now. What of a key is still to come from its
// former mountpath, or is another mountpath's, stays. The list is the lane's.
func (l *writeLane) onDropTombstones(m *messages.DropTombstones) (messages.Swept, error) {
	const op errs.Op = "lane.DropTombstones"
	if l.custody.laneBusy(l.number) {
		return messages.Swept{}, errs.E(op, l.id, errs.Busy, errHung)
	}
	var now *messages.NodeSet
	if l.nodes != nil {
		now = l.nodes.Load()
	}
	if now == nil || now.Map == nil {
		return messages.Swept{Held: len(m.List)}, nil
	}
	roster := l.roster.Load()
	for i := range m.List {
		t := &m.List[i]
		view := now.Map.View(t.Placing)
		t.Held = !view.Holds(smap.NodeID(now.Self)) || !now.Map.MayDropTombstone(view) || roster.Former(t.Placing.Digest) != nil || l.begin(op, t.Key, l.unfenced(t.Placing)) != nil
	}
	return l.store.DropTombstones(m.List)
}

func (l *writeLane) onRenewRecord(m *messages.RenewRecord) (*objects.Meta, error) {
	version, err := l.fenced("lane.RenewRecord", m.Key, &m.Fence)
	if err != nil {
		return nil, err
	}
	return l.store.Renew(m.Key, m.Generation, version, m.Fence.For)
}
