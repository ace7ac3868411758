package protocol

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Kind says what a message is.
type Kind string

// Kinds of messages.
const (
	Request   Kind = "request"   // client or relay → in charge: do this
	Store     Kind = "store"     // in charge → ack set: keep this record
	Stored    Kind = "stored"    // its answer: OK, or what is in the way
	Settled   Kind = "settled"   // in charge → ack set: the generation is settled
	Ask       Kind = "ask"       // in charge → ack set: still this key epoch?
	Confirmed Kind = "confirmed" // its answer
	Fetch     Kind = "fetch"     // recovering → in sync: what do you have?
	Fetched   Kind = "fetched"   // its answer
	Copy      Kind = "copy"      // in charge → next owner: have this and nothing else
	Copied    Kind = "copied"    // its answer
	GetMap    Kind = "get map"   // whoever is older → whoever is newer
	Map       Kind = "map"       // its answer, also Consul's
	Hello     Kind = "hello"     // do you know a newer map?
	HelloBack Kind = "hello back"
	Report    Kind = "report" // a node → whoever leads

	Stage  Kind = "stage"  // in charge → ack set: have this slice, which nothing names yet; not fenced, like all below
	Staged Kind = "staged" // its answer
	Have   Kind = "have"   // in charge → owners: what is there of the key?
	Has    Kind = "has"    // its answer
	Slice  Kind = "slice"  // who reads or builds → owners: give me what you have of a payload
	Given  Kind = "given"  // its answer
	Build  Kind = "build"  // in charge → owner: build what this record wants of you
	Built  Kind = "built"  // its answer
)

// Message is what a node sends and receives. A flat structure: each kind uses the
// fields that it needs. Messages are values; nobody changes one that was sent.
type Message struct {
	Kind     Kind
	From, To smap.NodeID // empty: a client, Consul, whoever leads
	Key      string
	Epoch    smap.Epoch // of the key at the sender
	Version  uint64     // of the sender's map
	Turn     uint64     // of the asker, given back in the answer
	Start    uint64     // of the asker, likewise: an answer to an earlier life is none

	Have    bool   // Record is there; otherwise the key is absent
	Record  Record //
	OK      bool
	Acks    objects.Generation // Stored: what it answers
	Dropped uint64             // Stored: the version of the map of the bound that refused it
	Hinted  bool               // Fetched: the key was written while the asker was away
	Helps   bool               // Fetched: and Hinted can be relied on

	Needs    bool               // Stored: the record's slice is not there
	Unbuilt  bool               // Store: nobody can give the payload, and the record is kept all the same
	Payload  objects.Generation // Slice, Given
	Pieces   []Piece            // Stage: one; Given, Has: what is there
	Retained []Record           // Has: what unsettled records replaced
	Lost     bool               // Has, Given: the key was on a disk that is lost
	Round    uint64             // Have, Has: which question of the turn

	Op     Op    // Request
	Asked  int64 // Hello and Consul's Map: when
	Map    *smap.Smap
	Report report // Report
}

// report is what a node tells whoever leads.
type report struct {
	What   string // "return", "up", "lost", "walked", "converted"
	Since  uint64 // of the entry
	Walked smap.Walked
	As     uint64 // converted, up: version of the bucket's document
}

// String is the message's line in a trace; it names it, too.
func (m Message) String() string {
	s := fmt.Sprintf("%s %s→%s", m.Kind, or(m.From, "-"), or(m.To, "-"))
	if m.Key != "" {
		s += fmt.Sprintf(" %s @%v", m.Key, m.Epoch)
	}
	if m.Turn != 0 {
		s += fmt.Sprintf(" turn %d.%d", m.Start, m.Turn)
	}
	switch m.Kind {
	case Request:
		s += " " + m.Op.String()
	case Store, Copy, Fetched, Settled:
		s += " " + held(m.Record, m.Have)
	case Stored, Confirmed, Copied:
		s += fmt.Sprintf(" ok=%v", m.OK)
		if m.Needs {
			s += " needs the slice of " + m.Acks.String()
		}
		if m.Have {
			s += " has " + m.Record.String()
		}
	case Stage, Given, Slice, Has, Have, Build, Built:
		s += m.slices()
	case Map:
		s += fmt.Sprintf(" v%d", m.Map.Version())
	case Report:
		s += fmt.Sprintf(" %s since v%d", m.Report.What, m.Report.Since)
		if m.Report.What == "walked" {
			s += fmt.Sprintf(" slot %d under v%d", m.Report.Walked.Slot, m.Report.Walked.Map)
		}
	}
	return s
}

func or(id, other smap.NodeID) smap.NodeID {
	if id == "" {
		return other
	}
	return id
}

// Record is what a node has of a key.
type Record struct {
	Generation objects.Generation
	Value      string // empty: a tombstone
	Settled    bool

	Payload objects.Generation // zero: the value is with the record, or there is none
	Follows objects.Generation // the record that was settled when this one was written; zero: there was none, or a marker
	Whole   bool               // the payload is whole at the members with the lower indices, else a slice at each
	Members []Member           // by index
	Data    int                // how many slices of data the payload has
	Parity  int                // and of parity
}

// String returns the record as "1-2-3=value", with a mark if it is not settled.
func (r Record) String() string {
	s := r.Generation.String() + "=" + r.Value
	if r.Value == "" {
		s = r.Generation.String() + " deleted"
	}
	if !r.Payload.IsZero() {
		s += " of " + r.Payload.String()
	}
	if !r.Settled {
		s += "?"
	}
	return s
}

func held(r Record, have bool) string {
	if !have {
		return "absent"
	}
	return r.String()
}

// Op is what a client asks for.
type Op struct {
	ID    int
	Do    string // "get", "put", "delete", "create", "replace"
	Value string // of put, create, replace: nobody else's
	If    string // replace: only if this is the value
}

// writes reports whether the operation may change something.
func (o Op) writes() bool { return o.Do != "get" }

// String returns the operation as "#3 put v3".
func (o Op) String() string {
	s := fmt.Sprintf("#%d %s %s", o.ID, o.Do, o.Value)
	if o.If != "" {
		s += " if " + o.If
	}
	return s
}

// Outcome is what a client was told.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"    // it happened; a get saw Value
	Failed  Outcome = "failed"  // the condition did not hold; Value was there
	Refused Outcome = "refused" // 503: nothing was applied
	Unknown Outcome = "unknown" // 503, or no answer: it may have happened, or happen later
	Corrupt Outcome = "corrupt" // 500: Value is what there should be, and its payload is lost
)

// Answer is a node's answer to a client.
type Answer struct {
	Op      int
	Outcome Outcome
	Value   string // empty: absent
}
