package objects

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
)

// GenerationBytes is the length of a generation in keys, attributes and names.
const GenerationBytes = 24

// Generation orders writes: map version, then start counter, then sequence.
// Never a wall clock. The zero value comes before every generation in use.
type Generation struct {
	Map   uint64 // version of the Smap under which it was taken; constant 1 on a single node
	Start uint64 // start counter of the node that took it, from 1
	Seq   uint64 // sequence within that start, from 1
}

// Compare returns -1, 0 or 1 as g comes before, is, or comes after h.
func (g Generation) Compare(h Generation) int {
	return cmp.Or(cmp.Compare(g.Map, h.Map), cmp.Compare(g.Start, h.Start), cmp.Compare(g.Seq, h.Seq))
}

// IsZero reports whether the generation is not set.
func (g Generation) IsZero() bool { return g == Generation{} }

// AppendTo appends the 24 bytes, big-endian, so that byte order is generation order.
func (g Generation) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, g.Map)
	b = binary.BigEndian.AppendUint64(b, g.Start)
	return binary.BigEndian.AppendUint64(b, g.Seq)
}

// GenerationOf reads 24 bytes written by AppendTo.
func GenerationOf(b []byte) (Generation, error) {
	if len(b) != GenerationBytes {
		return Generation{}, fmt.Errorf("generation of %d bytes, want %d", len(b), GenerationBytes)
	}
	return Generation{
		Map:   binary.BigEndian.Uint64(b),
		Start: binary.BigEndian.Uint64(b[8:]),
		Seq:   binary.BigEndian.Uint64(b[16:]),
	}, nil
}

// String returns the generation as "1-7-42": hexadecimal fields that a file
// name can hold.
func (g Generation) String() string {
	var room [3*16 + 2]byte
	b := strconv.AppendUint(room[:0], g.Map, 16)
	b = strconv.AppendUint(append(b, '-'), g.Start, 16)
	return string(strconv.AppendUint(append(b, '-'), g.Seq, 16))
}

// ParseGeneration reads what String wrote.
func ParseGeneration(s string) (Generation, error) {
	var g Generation
	if n, err := fmt.Sscanf(s, "%x-%x-%x", &g.Map, &g.Start, &g.Seq); err != nil || n != 3 || g.String() != s {
		return Generation{}, fmt.Errorf("%q is not a generation", s)
	}
	return g, nil
}

// Hex returns the 24 bytes as 48 hexadecimal digits: names whose order is
// generation order.
func (g Generation) Hex() string { return hex.EncodeToString(g.AppendTo(nil)) }

// nodeBits is how many of the lower bits of a start name the node, in a cluster of
// several: 16 million starts, and two of 1,000 nodes have one name with a chance of
// one in two million.
const nodeBits = 40

// NodeStart is the start of a node's generations in a cluster of several nodes: its
// start counter, and below it 40 bits of the digest of its id, so that no two nodes
// take the same one. It is greater than every start that the node had while it was
// alone.
func NodeStart(counter, nodeDigest uint64) uint64 {
	return counter<<nodeBits | nodeDigest>>(64-nodeBits)
}

// StartCounter is the start counter in the start of a generation, and whether it is that
// of the node with this digest: by itself, or while it was alone. Another node's counter
// says nothing about this one's.
func StartCounter(start, nodeDigest uint64) (counter uint64, own bool) {
	if start < 1<<nodeBits {
		return start, true
	}
	return start >> nodeBits, start&(1<<nodeBits-1) == nodeDigest>>(64-nodeBits)
}

// Sequencer hands out the generations of one start of one node, each greater
// than all before it. Safe for concurrent use.
type Sequencer struct {
	mapVersion atomic.Uint64
	start      uint64
	sequence   atomic.Uint64
}

// NewSequencer begins the sequence of a start. The start counter must be synced
// to every mountpath present before the first generation is taken.
func NewSequencer(mapVersion, start uint64) *Sequencer {
	s := &Sequencer{start: start}
	s.mapVersion.Store(mapVersion)
	return s
}

// Advance has later generations carry the version of a later map; an earlier one
// changes nothing. Every turn under an earlier map has ended by then.
func (s *Sequencer) Advance(mapVersion uint64) {
	for {
		now := s.mapVersion.Load()
		if mapVersion <= now || s.mapVersion.CompareAndSwap(now, mapVersion) {
			return
		}
	}
}

// Next takes a generation.
func (s *Sequencer) Next() Generation {
	return Generation{Map: s.mapVersion.Load(), Start: s.start, Seq: s.sequence.Add(1)}
}

// Under takes a generation under the map that a turn acts on, which may be later than
// the one that Advance was told of: nobody is told before all turns act on it. 0: Next.
func (s *Sequencer) Under(mapVersion uint64) Generation {
	g := s.Next()
	g.Map = max(g.Map, mapVersion)
	return g
}
