package objects

import (
	"cmp"
	"strconv"
	"time"
)

// Mutation is one entry of the history of a key: that, on one mountpath, what there is
// of the key became something else.
type Mutation struct {
	Kind       MutationKind
	At         time.Time  // by the wall clock of the node: for people, and for the order of what is of one generation
	Generation Generation // of the record that it is about: what orders entries
	Size       int64      // of its payload, in bytes; 0 of a delete
	XXHash     uint64     // of its payload; 0 of a delete
	Origin
}

// Origin says why something was changed, and for whom. The zero value says nothing.
type Origin struct {
	Cause     Cause
	Principal string // access key id of the client; empty: it gave none, or no client asked
	Request   string // id of its request, as it knows it; empty: it has none
	Asked     string // id of the node that the client asked; empty: the one that did it
	// Other is the id of the node or the mountpath that it came from; of what left: of that
	// which has it now. Empty: it is about no other.
	Other string
}

// ByClient reports whether it was done because a client asked for it.
func (o Origin) ByClient() bool { return o.Cause == CauseRequest || o.Cause == CauseCopy }

// MutationKind says what became of a key on a mountpath. Part of the on-disk format:
// numbers are never used again.
type MutationKind uint8

// The kinds.
const (
	MutationPut       MutationKind = 1  // an object of one request took the name
	MutationCompleted MutationKind = 2  // an upload became the object
	MutationChanged   MutationKind = 3  // its metadata or tags are others
	MutationDeleted   MutationKind = 4  // it went; in a cluster perhaps by a delete marker
	MutationStored    MutationKind = 5  // the record of another node was taken over
	MutationArrived   MutationKind = 6  // it came from another mountpath of the node
	MutationLeft      MutationKind = 7  // it went, because it is another mountpath's or node's now
	MutationDropped   MutationKind = 8  // it went, because the node in charge of the key has no such record
	MutationRenewed   MutationKind = 9  // its record got a greater generation, and nothing else
	MutationRecovered MutationKind = 10 // a write that a crash interrupted was finished
	MutationReverted  MutationKind = 11 // a write that a crash lost was taken back: what it had replaced is here again
	MutationDamaged   MutationKind = 12 // its payload, or a part of it, is not what was stored
	MutationRepaired  MutationKind = 13 // it is whole again (reserved: nothing repairs yet)
)

var mutationKinds = [...]string{
	MutationPut: "put", MutationCompleted: "completed", MutationChanged: "changed", MutationDeleted: "deleted", MutationStored: "stored",
	MutationArrived: "arrived", MutationLeft: "left", MutationDropped: "dropped", MutationRenewed: "renewed", MutationRecovered: "recovered",
	MutationReverted: "reverted", MutationDamaged: "damaged", MutationRepaired: "repaired",
}

// String returns the kind in a word. One that this binary does not know is shown by its
// number.
func (k MutationKind) String() string { return wordOf(mutationKinds[:], uint8(k)) }

// Cause says why something was changed. Part of the on-disk format, as MutationKind is.
type Cause uint8

// The causes.
const (
	CauseRequest  Cause = 1  // a client's request
	CauseCopy     Cause = 2  // a client's request to copy another object
	CauseWrite    Cause = 3  // a write at the node in charge, of which this node keeps a copy
	CauseSettle   Cause = 4  // an earlier write that had not got to all of its nodes
	CauseReturn   Cause = 5  // the node has returned, and catches up
	CauseLost     Cause = 6  // a mountpath was lost; it is made again from other nodes
	CausePlan     Cause = 7  // the cluster's plan has the key at other nodes
	CauseMove     Cause = 8  // the set of mountpaths of the node has changed
	CauseCrash    Cause = 9  // the node or its operating system had crashed
	CauseBucket   Cause = 10 // the bucket was destroyed with all that was in it
	CauseExpiry   Cause = 11 // a rule of the bucket (reserved: there are none yet)
	CauseEviction Cause = 12 // it was a cached copy (reserved: there are none yet)
	CauseDamage   Cause = 13 // the disk did not keep what was stored
)

var causes = [...]string{
	CauseRequest: "request", CauseCopy: "copy", CauseWrite: "write", CauseSettle: "settle", CauseReturn: "return", CauseLost: "lost mountpath",
	CausePlan: "plan", CauseMove: "move", CauseCrash: "crash", CauseBucket: "bucket destroyed", CauseExpiry: "expiry", CauseEviction: "eviction",
	CauseDamage: "damage",
}

// String returns the cause in a word or two; empty for none. One that this binary does
// not know is shown by its number.
func (c Cause) String() string {
	if c == 0 {
		return ""
	}
	return wordOf(causes[:], uint8(c))
}

func wordOf(words []string, number uint8) string {
	if int(number) < len(words) && words[number] != "" {
		return words[number]
	}
	return "unknown (" + strconv.Itoa(int(number)) + ")"
}

// HistoryEntry is an entry of a history, and where it lies.
type HistoryEntry struct {
	Bucket    BucketID
	Node      string // id
	Mountpath string // id
	Mutation
}

// Compare orders entries: the newest generation first, and of one generation the last by
// the clocks of those who made them.
func (e *HistoryEntry) Compare(o *HistoryEntry) int {
	return cmp.Or(o.Generation.Compare(e.Generation), o.At.Compare(e.At), cmp.Compare(e.Node, o.Node), cmp.Compare(e.Mountpath, o.Mountpath), cmp.Compare(o.Kind, e.Kind))
}
