package member

import (
	"errors"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// AloneAfter is for how long a node answers requests without having confirmed its map: by
// a consistent read of the provider's, or by a majority of the map's nodes that knew no
// newer one. It counts from the moment of asking, on a clock that goes on while the machine
// is suspended. A node is given up only long after it has stopped. (docs/consistency.md,
// rule 9)
const AloneAfter = 10 * time.Second

var errAlone = errors.New("for ten seconds it has reached neither what all nodes agree on nor a majority of them: it may have been given up")

// Alone fails (Offline) while this node cannot tell whether the map that it acts on still
// holds. Called before a request is begun, and again before it is answered. It does not
// block.
func (s *Membership) Alone() error {
	if s.held.out.Load().status.Version == 0 {
		return nil // it has no map to act on
	}
	if since := s.config.Awake() - time.Duration(s.held.confirmed.Load()); since >= AloneAfter {
		return errs.E("member.Alone", string(s.config.Record.ID), errs.Offline, errAlone)
	}
	return nil
}

// reading is a consistent read of the map, or a write of it.
type reading struct {
	asked   time.Duration // when it began, on Awake
	version uint64
	lineage string
}

// confirmMap notes since when the map that the node acts on is known to be the newest.
func (m *member) confirmMap() {
	current := m.held.current
	if current == nil {
		return
	}
	var asked []time.Duration
	for _, node := range current.Nodes() {
		at := time.Duration(neverConfirmed)
		switch c, known := m.contacts[node.ID]; {
		case node.ID == m.Record.ID:
			at = m.Awake()
		case known && c.asked != never && c.status.Lineage == current.Lineage() && c.status.Version <= current.Version():
			at = c.asked // it knew no newer one
		}
		asked = append(asked, at)
	}
	slices.Sort(asked)
	slices.Reverse(asked)
	confirmed := asked[len(asked)/2] // a majority agreed then, or later
	if m.read.version == current.Version() && m.read.lineage == current.Lineage() {
		confirmed = max(confirmed, m.read.asked)
	}
	if confirmed > time.Duration(m.held.confirmed.Load()) {
		m.held.confirmed.Store(int64(confirmed))
	}
}

// mayBeAlone has the map read where no majority of nodes confirms it.
func (m *member) mayBeAlone() bool {
	return m.held.current != nil && m.Awake()-time.Duration(m.held.confirmed.Load()) >= AloneAfter/3
}

// neverConfirmed is what a start begins with.
const neverConfirmed = -1 << 62
