package smap

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// NodeID names a node for as long as its data lives: 1 to 32 bytes of letters,
// digits, '-', '_' and '.'.
type NodeID string

// State is what the cluster agreed to think of a node.
type State string

// States of nodes. A node that is in no map is absent.
const (
	Up          State = "up"          // serves
	Down        State = "down"        // does not answer; expected back, still owns its keys
	Recovering  State = "recovering"  // catches up: takes writes, is no source
	Maintenance State = "maintenance" // down on purpose: nothing moves, nobody gives it up
	Draining    State = "draining"    // up, and to leave when its slots have switched
)

// Serves reports whether a node in this state is in sync with what it owns.
func (s State) Serves() bool { return s == Up || s == Draining }

// Away reports whether a node in this state is not asked for anything.
func (s State) Away() bool { return s == Down || s == Maintenance }

// Node is a node's entry.
type Node struct {
	ID     NodeID `json:"id"`
	Digest Digest `json:"digest"`         // what HRW weighs; fixed at joining
	State  State  `json:"state"`          //
	Since  uint64 `json:"since"`          // version of the last change of State
	Left   uint64 `json:"left,omitempty"` // version at which it stopped being in sync; 0 while it Serves, or once its loss was accepted
}

// Switch says that a run of slots is owned by the next placement since a version.
type Switch struct {
	From    uint16 `json:"from"`    // first slot
	To      uint16 `json:"to"`      // last slot, inclusive; below Slots
	Version uint64 `json:"version"` // of the map that switched them
}

// Next is a plan under way: where the placement goes, and of which buckets the keys are to
// have another number of owners.
type Next struct {
	Placement []NodeID `json:"placement"`          // sorted
	Since     uint64   `json:"since"`              // version that began the plan
	Switched  []Switch `json:"switched,omitempty"` // sorted, apart from one another
	Counts    []Count  `json:"counts,omitempty"`   // of buckets that are to have another one, by bucket
}

// Hash names an Smap: the first 16 bytes of the SHA-256 of its JSON form, in
// hexadecimal. Equal maps have equal hashes, on every node.
type Hash string

// Smap is the map of a cluster at one version. It is immutable, and therefore
// safe for concurrent use; what its methods return is the caller's.
type Smap struct {
	version        uint64
	lineage        string
	previous       Hash
	nodes          []Node // by id
	placement      []NodeID
	placementSince uint64
	next           *Next
	counts         []Count        // by bucket
	digests        map[NodeID]int // index in nodes
	weighed        []uint64       // what HRW weighs placement by, in its order
	nextWeighed    []uint64       // likewise that of next
}

// New founds a cluster: version 1 of a lineage (a UUID that no other map has),
// with nodes that are up and own all keys. Since is set here.
func New(lineage string, nodes ...Node) (*Smap, error) {
	m := &Smap{version: 1, lineage: lineage, placementSince: 1}
	for _, node := range nodes {
		node.State, node.Since, node.Left = Up, 1, 0
		m.nodes = append(m.nodes, node)
		m.placement = append(m.placement, node.ID)
	}
	m.arrange()
	return m, m.validate()
}

// arrange puts the lists in order and makes the index of nodes.
func (m *Smap) arrange() {
	slices.SortFunc(m.nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(m.placement)
	slices.SortFunc(m.counts, compareCounts)
	if m.next != nil {
		slices.Sort(m.next.Placement)
		slices.SortFunc(m.next.Switched, func(a, b Switch) int { return cmp.Compare(a.From, b.From) })
		slices.SortFunc(m.next.Counts, compareCounts)
	}
	m.digests = make(map[NodeID]int, len(m.nodes))
	for i, node := range m.nodes {
		m.digests[node.ID] = i
	}
	m.weighed, m.nextWeighed = m.weigh(m.placement), nil
	if m.next != nil {
		m.nextWeighed = m.weigh(m.next.Placement)
	}
}

// weigh returns the digests of nodes; 0 for one that is not in the map, which
// validate refuses.
func (m *Smap) weigh(list []NodeID) []uint64 {
	digests := make([]uint64, len(list))
	for i, id := range list {
		node, _ := m.Node(id)
		digests[i] = uint64(node.Digest)
	}
	return digests
}

// Version returns the map's version, from 1.
func (m *Smap) Version() uint64 { return m.version }

// Lineage returns the id of the line of maps that it belongs to. A node refuses
// maps of another lineage.
func (m *Smap) Lineage() string { return m.lineage }

// Previous returns the hash of its predecessor; empty for version 1.
func (m *Smap) Previous() Hash { return m.previous }

// Nodes returns the entries, by id.
func (m *Smap) Nodes() []Node { return slices.Clone(m.nodes) }

// Node returns the entry of a node, and whether there is one.
func (m *Smap) Node(id NodeID) (Node, bool) {
	i, ok := m.digests[id]
	if !ok {
		return Node{}, false
	}
	return m.nodes[i], true
}

// PlacementSince is the version since which the placement is as it is: of the last one in
// which a plan ended or was canceled.
func (m *Smap) PlacementSince() uint64 { return m.placementSince }

// Placement returns the nodes that own keys, whatever their state, by id.
func (m *Smap) Placement() []NodeID { return slices.Clone(m.placement) }

// Next returns a copy of the plan under way, and whether there is one.
func (m *Smap) Next() (Next, bool) {
	if m.next == nil {
		return Next{}, false
	}
	return Next{slices.Clone(m.next.Placement), m.next.Since, slices.Clone(m.next.Switched), slices.Clone(m.next.Counts)}, true
}

// Hash returns the map's name.
func (m *Smap) Hash() Hash {
	text, err := m.MarshalJSON()
	if err != nil {
		panic(err) // strings and numbers: there is nothing in it that JSON lacks
	}
	sum := sha256.Sum256(text)
	return Hash(hex.EncodeToString(sum[:16]))
}

// Follows reports whether m is the immediate successor of another map.
func (m *Smap) Follows(other *Smap) bool {
	return m.lineage == other.lineage && m.version == other.version+1 && m.previous == other.Hash()
}

// document is an Smap as JSON. The order of its fields is part of the hash.
type document struct {
	Version        uint64   `json:"version"`
	Lineage        string   `json:"lineage"`
	Previous       Hash     `json:"previous,omitempty"`
	Nodes          []Node   `json:"nodes"`
	Placement      []NodeID `json:"placement"`
	PlacementSince uint64   `json:"placement_since"`
	Next           *Next    `json:"next,omitempty"`
	Counts         []Count  `json:"counts,omitempty"`
}

// MarshalJSON returns the map as a document: at most 250 bytes a node, beside 300
// for the rest, 64 for each run of switched slots and 48 for each count.
func (m *Smap) MarshalJSON() ([]byte, error) {
	return json.Marshal(document{m.version, m.lineage, m.previous, m.nodes, m.placement, m.placementSince, m.next, m.counts})
}

// Parse reads what MarshalJSON wrote, and refuses a map that contradicts itself
// (Invalid).
func Parse(text []byte) (*Smap, error) {
	var d document
	if err := decode(text, &d); err != nil {
		return nil, err
	}
	m := &Smap{
		version: d.Version, lineage: d.Lineage, previous: d.Previous,
		nodes: d.Nodes, placement: d.Placement, placementSince: d.PlacementSince, next: d.Next, counts: d.Counts,
	}
	m.arrange()
	return m, m.validate()
}
