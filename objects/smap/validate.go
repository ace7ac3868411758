package smap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/troupe-storage/troupe/objects/errs"
)

// maxNodeID is the longest node id in bytes; the bound of a map's size counts on it.
const maxNodeID = 32

// Digest is what HRW weighs a node by; 16 hexadecimal digits in JSON, because
// JSON's numbers lose bits above 2^53 in other programs.
type Digest uint64

// MarshalText returns the 16 digits.
func (d Digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(d)), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		return fmt.Errorf("%q is not a digest of 16 hexadecimal digits", text)
	}
	*d = Digest(n)
	return nil
}

// decode reads one JSON value with known fields only: a map of a newer format
// must not be understood by half.
func decode(text []byte, d *document) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(d); err != nil {
		return errs.E("smap.Parse", errs.Invalid, fmt.Errorf("not a cluster map: %w", err))
	}
	if decoder.More() {
		return errs.E("smap.Parse", errs.Invalid, errors.New("not a cluster map: something follows it"))
	}
	return nil
}

// validate returns all contradictions of an arranged map at once (Invalid).
func (m *Smap) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.version == 0 {
		fault("the version is 0")
	}
	if m.lineage == "" || len(m.lineage) > 64 {
		fault("the lineage has %d bytes, want 1 to 64", len(m.lineage))
	}
	if (m.previous == "") != (m.version == 1) {
		fault("version %d names the predecessor %q", m.version, m.previous)
	}
	named := make(map[Digest]NodeID, len(m.nodes))
	for i, node := range m.nodes {
		twice := i > 0 && m.nodes[i-1].ID == node.ID
		if twice {
			fault("node %s is there twice", node.ID)
		}
		if other, taken := named[node.Digest]; taken && !twice {
			fault("nodes %s and %s have one digest, %016x: records name nodes by it", other, node.ID, uint64(node.Digest))
		}
		named[node.Digest] = node.ID
		m.validateNode(node, fault)
	}
	m.validatePlacement("placement", m.placement, fault)
	if m.placementSince == 0 || m.placementSince > m.version {
		fault("the placement is of version %d, the map of %d", m.placementSince, m.version)
	}
	if !m.MayCount() {
		fault("the counts are of more than %d buckets: those that were made with the copies that they have need none", maxCounts)
	}
	m.validateCounts("counts", m.counts, fault)
	if m.next != nil {
		m.validateCounts("counts of the plan", m.next.Counts, fault)
		m.validatePlacement("next placement", m.next.Placement, fault)
		if m.next.Since == 0 || m.next.Since > m.version {
			fault("the plan is of version %d, the map of %d", m.next.Since, m.version)
		}
		for i, run := range m.next.Switched {
			if run.From > run.To || run.To >= Slots || i > 0 && m.next.Switched[i-1].To >= run.From {
				fault("slots %d to %d are switched out of order", run.From, run.To)
			}
			if run.Version <= m.next.Since || run.Version > m.version {
				fault("slots %d to %d switched in version %d, the plan is of %d", run.From, run.To, run.Version, m.next.Since)
			}
		}
	}
	if len(faults) > 0 {
		return errs.E("smap.validate", errs.Invalid, fmt.Errorf("cluster map, version %d: %w", m.version, errors.Join(faults...)))
	}
	return nil
}

func (m *Smap) validateNode(node Node, fault func(string, ...any)) {
	if len(node.ID) == 0 || len(node.ID) > maxNodeID || !plain(node.ID) {
		fault("%q is not a node id of 1 to %d letters, digits, '-', '_' and '.'", node.ID, maxNodeID)
	}
	switch node.State {
	case Up, Draining:
		if node.Left != 0 {
			fault("node %s is %s and left in version %d", node.ID, node.State, node.Left)
		}
	case Down, Recovering, Maintenance:
	default:
		fault("node %s has the unknown state %q", node.ID, node.State)
	}
	if node.Since == 0 || node.Since > m.version || node.Left > node.Since {
		fault("node %s: since version %d, left in %d, in a map of version %d", node.ID, node.Since, node.Left, m.version)
	}
}

func (m *Smap) validatePlacement(what string, list []NodeID, fault func(string, ...any)) {
	if len(list) == 0 {
		fault("the %s is empty", what)
	}
	for i, id := range list {
		if i > 0 && list[i-1] == id {
			fault("the %s has %s twice", what, id)
		}
		if _, ok := m.digests[id]; !ok {
			fault("the %s has %s, which is no node of the map", what, id)
		}
	}
}

func plain(id NodeID) bool {
	return !slices.ContainsFunc([]byte(id), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}
