package member

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// Lack is what a node cannot answer for of keys that other nodes have, too. The zero value:
// nothing.
type Lack struct {
	// Why is for people; empty: there is nothing.
	Why string
	// Lost: it is gone from this node for good. Otherwise it is away, and may come back.
	Lost bool
	// Unfit says why the node cannot take keys over now, for people, also where no other node
	// has what it lacks: what a plan has copied to it is not all there. Empty: it can.
	Unfit string
}

// Lost is a node's report that it lacks something, so that it is to leave what serves until
// it has caught up.
type Lost struct {
	Since uint64 `json:"since"` // of the entry that it is about
	Why   string `json:"why"`
	// Gone: it does not come back by itself.
	Gone bool `json:"gone,omitempty"`
}

// lacking is what this node reports of what it lacks: while it serves, and where it has
// reported that it caught up, which is void then. Nil: nothing.
func (m *member) lacking(lack Lack) *Lost {
	if lack.Why == "" || m.held.current == nil {
		return nil
	}
	node, ok := m.held.current.Node(m.Record.ID)
	if !ok || !node.State.Serves() && (node.State != smap.Recovering || m.caughtUp != node.Since) {
		return nil
	}
	return &Lost{Since: node.Since, Why: lack.Why, Gone: lack.Lost}
}

// unfit says which next owner cannot take slots over now, and why; empty: all can that serve.
// One that does not answer may have lost what was copied to it.
func (e evidence) unfit(next smap.Next) string {
	for _, id := range next.Placement {
		node, _ := e.current.Node(id)
		if !node.State.Serves() {
			continue // the map says so: see smap.Smap.MaySwitch
		}
		report := e.own
		if id != e.self {
			c, ok := e.contacts[id]
			if !ok || !c.fresh(e.now) || c.status.Lineage != e.current.Lineage() {
				return fmt.Sprintf("%s does not answer", id)
			}
			report = c.status
		}
		switch {
		case report.Lost != nil:
			return fmt.Sprintf("%s: %s", id, report.Lost.Why)
		case report.Unfit != "":
			return fmt.Sprintf("%s: %s", id, report.Unfit)
		}
	}
	return ""
}

// losing has a node recover that lacks something. What is away only, and may come back, is
// no reason while it would leave keys without an owner that serves.
func (e evidence) losing() decision {
	for _, node := range e.current.Nodes() {
		report := e.own.Lost
		if node.ID != e.self {
			c, ok := e.contacts[node.ID]
			if !ok || !c.fresh(e.now) || c.status.Lineage != e.current.Lineage() {
				continue
			}
			report = c.status.Lost
		}
		if report == nil || report.Since != node.Since || lost(node) || node.State.Away() || !report.Gone && !e.othersServe(node.ID) {
			continue
		}
		return setState(node, smap.Recovering, report.Why)
	}
	return decision{}
}

// othersServe reports whether all owners of keys but one node serve, and there are some.
func (e evidence) othersServe(id smap.NodeID) bool {
	others := slices.DeleteFunc(e.current.Placement(), func(other smap.NodeID) bool { return other == id })
	return len(others) > 0 && !slices.ContainsFunc(others, func(other smap.NodeID) bool {
		node, _ := e.current.Node(other)
		return !node.State.Serves()
	})
}
