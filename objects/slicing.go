package objects

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
)

const (
	// MaxDataSlices and MaxParitySlices bound d and p of an erasure-coded payload: what
	// AIStore's native API can ask for.
	MaxDataSlices   = 32
	MaxParitySlices = 32
	// MaxMembers bounds Slicing.Members: every index has one node, and while a plan gives
	// it away a second one.
	MaxMembers = 2 * (MaxDataSlices + MaxParitySlices)
	// WholeIndex stands for all of a payload where an index of a slice is asked for.
	WholeIndex = 0xff
)

// Slicing says which nodes hold the payload of a record, and in what form. It is the same
// at every owner of the key, and immutable once the record was published.
type Slicing struct {
	Data      int  // d, 1 to MaxDataSlices
	Parity    int  // p, 1 to MaxParitySlices
	CellBytes int  // erasure.Form's: how large cells are, from 1
	Whole     bool // the payload is whole at the members that hold it; else there is a slice at each member
	// Members are in the order of their indices, then of their nodes, at most MaxMembers.
	Members []Member
}

// Member is a node and an index that it has. A node may have several; while a plan gives
// an index away, two nodes have it.
type Member struct {
	Node  uint64 // NodeDigest of its id
	Index uint8  // 0 to Data+Parity-1
	Holds bool   // of a whole payload: the node holds it
}

// Compare returns -1, 0 or 1 as m comes before, beside or after other in Slicing.Members.
func (m Member) Compare(other Member) int {
	return cmp.Or(cmp.Compare(m.Index, other.Index), cmp.Compare(m.Node, other.Node))
}

// Width returns how many slices there are, d+p.
func (s *Slicing) Width() int { return s.Data + s.Parity }

// String returns the form as people write it, "3+2", and whether the payload is whole.
func (s *Slicing) String() string {
	if s.Whole {
		return fmt.Sprintf("%d+%d, whole", s.Data, s.Parity)
	}
	return fmt.Sprintf("%d+%d", s.Data, s.Parity)
}

// Of returns what a node is to have of the payload: the indices of its slices, in order, or
// all of it. A node that is no member, or a member of a whole payload that holds nothing,
// has the record alone. The list is the caller's.
func (s *Slicing) Of(node uint64) (indices []uint8, whole bool) {
	for _, m := range s.Members {
		switch {
		case m.Node != node:
		case s.Whole:
			whole = whole || m.Holds
		default:
			indices = append(indices, m.Index)
		}
	}
	return indices, whole
}

// Check says why the slicing cannot be, or nil.
func (s *Slicing) Check() error {
	switch {
	case s.Data < 1 || s.Data > MaxDataSlices:
		return fmt.Errorf("%d slices of data, 1 to %d can be", s.Data, MaxDataSlices)
	case s.Parity < 1 || s.Parity > MaxParitySlices:
		return fmt.Errorf("%d slices of parity, 1 to %d can be", s.Parity, MaxParitySlices)
	case s.CellBytes < 1 || s.CellBytes > math.MaxInt32:
		return fmt.Errorf("cells of %d bytes", s.CellBytes)
	case len(s.Members) > MaxMembers:
		return fmt.Errorf("%d members, at most %d can be", len(s.Members), MaxMembers)
	}
	for i, m := range s.Members {
		switch {
		case int(m.Index) >= s.Width():
			return fmt.Errorf("node %016x has slice %d of %d", m.Node, m.Index, s.Width())
		case i > 0 && s.Members[i-1].Compare(m) >= 0:
			return fmt.Errorf("node %016x with slice %d is out of order", m.Node, m.Index)
		}
	}
	return nil
}

// memberBytes is how long a member is on disks and between nodes.
const memberBytes = 8 + 1 + 1

// AppendMembers appends members as they are on disks and between nodes, 10 bytes each:
// the node, big-endian; the index; 1 for one that holds, else 0.
func AppendMembers(dst []byte, members []Member) []byte {
	for _, m := range members {
		holds := byte(0)
		if m.Holds {
			holds = 1
		}
		dst = append(binary.BigEndian.AppendUint64(dst, m.Node), m.Index, holds)
	}
	return dst
}

// ParseMembers reads what AppendMembers wrote, at most MaxMembers, and shares nothing with
// b. Whether they make sense is Slicing.Check's to say.
func ParseMembers(b []byte) ([]Member, error) {
	if len(b)%memberBytes != 0 || len(b) > MaxMembers*memberBytes {
		return nil, fmt.Errorf("members of %d bytes: they have %d each, and are at most %d", len(b), memberBytes, MaxMembers)
	}
	if len(b) == 0 {
		return nil, nil
	}
	members := make([]Member, 0, len(b)/memberBytes)
	for ; len(b) > 0; b = b[memberBytes:] {
		if b[9] > 1 {
			return nil, fmt.Errorf("a member that holds %d, want 0 or 1", b[9])
		}
		members = append(members, Member{Node: binary.BigEndian.Uint64(b), Index: b[8], Holds: b[9] == 1})
	}
	return members, nil
}
