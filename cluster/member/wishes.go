package member

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// wishes are what operators want of plans and nodes that is no part of the map: the
// document under Keys.Wishes. The leader writes it, all nodes follow it. An immutable
// value.
type wishes struct {
	Version uint64 `json:"version"` // counts the changes
	// Held: no plan is begun by itself until one is asked for, because one was canceled.
	Held bool `json:"held,omitempty"`
	// Paused: nodes do not copy for the plan.
	Paused bool `json:"paused,omitempty"`
	// Rate bounds what each node copies in a second.
	Rate messages.JobRate `json:"rate"`
	// Maintenance are the nodes that are out of service by request, and why.
	Maintenance map[smap.NodeID]string `json:"maintenance,omitempty"`
	// Draining are the nodes that are to own nothing. A node that was away is up when it
	// is back, whatever it was before.
	Draining map[smap.NodeID]bool `json:"draining,omitempty"`
	// Leaving are the nodes that are removed from the map once they own nothing.
	Leaving map[smap.NodeID]bool `json:"leaving,omitempty"`
}

// with returns changed wishes, as their next version.
func (w wishes) with(change func(*wishes)) wishes {
	w.Maintenance, w.Draining, w.Leaving = maps.Clone(w.Maintenance), maps.Clone(w.Draining), maps.Clone(w.Leaving)
	if w.Maintenance == nil {
		w.Maintenance = make(map[smap.NodeID]string)
	}
	if w.Draining == nil {
		w.Draining = make(map[smap.NodeID]bool)
	}
	if w.Leaving == nil {
		w.Leaving = make(map[smap.NodeID]bool)
	}
	change(&w)
	w.Version++
	return w
}

// valueOf reads a document; one that is not there is the zero value.
func valueOf[T any](doc cluster.Document) (value T, err error) {
	if !doc.Exists() {
		return value, nil
	}
	if err := json.Unmarshal(doc.Value, &value); err != nil {
		var none T
		return none, errs.E("member.valueOf", doc.Key, errs.Corrupt, err)
	}
	return value, nil
}

// wishesSeen says what operators want.
type wishesSeen struct {
	doc cluster.Document
	err error
}

func (m *member) onWishesSeen(msg *wishesSeen) {
	if m.watchErr = msg.err; msg.err != nil {
		return
	}
	seen, err := valueOf[wishes](msg.doc)
	if err != nil {
		m.System.Log().WithError(err).Error("what operators want of the cluster cannot be read, and is not followed")
		return
	}
	m.wished = true
	if seen.Version < m.wishes.Version {
		return // an answer that was on its way, or the provider lost it: what is known is written with the next change
	}
	m.wishes = seen
	m.publish()
}

// wish makes the write that changes the wishes, and what they are then. Known is what
// the leader knows of them.
func (w writing) wish(ctx context.Context, known wishes, change func(*wishes)) (cluster.Write, wishes, error) {
	doc, err := w.store.Get(ctx, w.keys.Wishes())
	if err != nil {
		return cluster.Write{}, known, err
	}
	now, err := valueOf[wishes](doc)
	if err != nil {
		return cluster.Write{}, known, err
	}
	if now.Version < known.Version {
		now = known
	}
	next := now.with(change)
	text, err := json.Marshal(next)
	return doc.Put(text), next, err
}

// sameWishes reports whether the wishes are what the leader knows, and the condition
// that they stay so.
func (w writing) sameWishes(ctx context.Context, known wishes) (expect cluster.Write, same bool, err error) {
	doc, err := w.store.Get(ctx, w.keys.Wishes())
	if err != nil {
		return cluster.Write{}, false, err
	}
	now, err := valueOf[wishes](doc)
	return doc.Unchanged(), now.Version <= known.Version, err
}
