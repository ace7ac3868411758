package api

import (
	"fmt"
	"time"
)

// FaultsPath is where the faults of a node are: what is broken on purpose at it, with an
// end (docs/faults.md). Every request is signed with the root pair. A node whose setting
// "faults" is off refuses all of them with 403.
//
//	GET    /v1/faults?all=true   Faults; all: those that have ended, too
//	POST   /v1/faults            InjectFault, answered by an InjectedFault
//	DELETE /v1/faults            ends all, answered by Faults
//	GET    /v1/faults/ID         Fault
//	DELETE /v1/faults/ID         ends one, answered by a Fault
const FaultsPath = "/v1/faults"

// InjectFault has a fault begin, unless it is a dry run. Exactly one of Actor, Disk,
// Link, Job and Clock is given. A field that there is none of, or that the effect has no
// use for, is refused.
type InjectFault struct {
	FaultSpec
	// DryRun says what would be hit and how redundancy is judged, and breaks nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Force lets a fault begin that redundancy does not allow for.
	Force bool `json:"force,omitempty"`
}

// FaultSpec says what is broken, when and for how long.
type FaultSpec struct {
	Actor *FaultOfActor `json:"actor,omitempty"`
	Disk  *FaultOfDisk  `json:"disk,omitempty"`
	Link  *FaultOfLink  `json:"link,omitempty"`
	Job   *FaultOfJob   `json:"job,omitempty"`
	Clock *FaultOfClock `json:"clock,omitempty"`

	When   *FaultWhen `json:"when,omitempty"`
	Expiry Span       `json:"expiry"` // required: how long it lasts, at most 24h
	Reason string     `json:"reason,omitempty"`
}

// FaultOfActor is one of messages on their way into actors, or pauses actors.
type FaultOfActor struct {
	Address string `json:"address"`           // a pattern: node/mountpaths/d0/w*
	Message string `json:"message,omitempty"` // a pattern over types: messages.PutObject
	About   string `json:"about,omitempty"`   // a pattern over what messages are about: photos/cat.jpg, photos/**
	Do      string `json:"do"`                // panic, drop, drop-reply, refuse, delay, hang, pause
	Error   string `json:"error,omitempty"`
	Delay   Span   `json:"delay,omitzero"`
	Jitter  Span   `json:"jitter,omitzero"`
}

// FaultOfDisk is one of operations on mountpaths.
type FaultOfDisk struct {
	Mountpath string   `json:"mountpath,omitempty"` // a pattern over directories, or their last elements
	Path      string   `json:"path,omitempty"`      // a pattern over paths below
	Calls     []string `json:"calls,omitempty"`     // open, read, write, sync, …
	// Do is fail, fail-afterwards, slow, stall, panic, short-write, torn-write, lose-sync,
	// flip-bits, full, read-only.
	Do     string `json:"do"`
	Error  string `json:"error,omitempty"` // an errno by name
	Delay  Span   `json:"delay,omitzero"`  // at most 24h, as Jitter and those of other faults
	Jitter Span   `json:"jitter,omitzero"`
	Bytes  int    `json:"bytes,omitempty"`
	Bits   int    `json:"bits,omitempty"` // at most 65536
}

// FaultOfLink is one of the connections between the node and others.
type FaultOfLink struct {
	Peers     []string `json:"peers,omitempty"`     // patterns over ids of nodes; none: all others
	Direction string   `json:"direction,omitempty"` // both, out (what the node asks), in (what it is asked)
	Do        string   `json:"do"`                  // cut, drop, drop-reply, delay
	Delay     Span     `json:"delay,omitzero"`
	Jitter    Span     `json:"jitter,omitzero"`
}

// FaultOfJob is one of the steps of jobs.
type FaultOfJob struct {
	Job    string `json:"job"` // a pattern over ids and kinds
	Do     string `json:"do"`  // pause, delay, fail, panic
	Error  string `json:"error,omitempty"`
	Delay  Span   `json:"delay,omitzero"`
	Jitter Span   `json:"jitter,omitzero"`
}

// FaultOfClock is one of the node's time.
type FaultOfClock struct {
	Skew Span `json:"skew,omitzero"` // at most a year, in either direction
	Jump Span `json:"jump,omitzero"` // likewise, not below 0
}

// FaultWhen says which of what matches are hit; zero: all.
type FaultWhen struct {
	After       uint64  `json:"after,omitempty"`
	Every       uint64  `json:"every,omitempty"`
	Probability float64 `json:"probability,omitempty"`
	Count       uint64  `json:"count,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
}

// InjectedFault answers InjectFault.
type InjectedFault struct {
	Fault   *Fault       `json:"fault,omitempty"` // absent of a dry run
	Matches FaultMatches `json:"matches"`
	// Refused says why redundancy does not allow for the fault, of a dry run and where it
	// was forced; empty: it does.
	Refused string `json:"refused,omitempty"`
}

// FaultMatches is what a fault is about now.
type FaultMatches struct {
	Actors     []string `json:"actors,omitempty"`     // addresses
	Mountpaths []string `json:"mountpaths,omitempty"` // directories
	Peers      []string `json:"peers,omitempty"`      // ids of other nodes
	Jobs       []string `json:"jobs,omitempty"`       // ids
	Clock      bool     `json:"clock,omitempty"`
}

// None reports whether there is nothing now that the fault is about.
func (m *FaultMatches) None() bool {
	return len(m.Actors)+len(m.Mountpaths)+len(m.Peers)+len(m.Jobs) == 0 && !m.Clock
}

// Faults is a list of faults at work, and of those that have ended, in the order in
// which they were injected.
type Faults struct {
	Faults []Fault `json:"faults"`
}

// Fault is a fault at work, or one that has ended: who did what, when and why, what it
// has hit, and how it ended. A node forgets it when it ends, and all but the last
// thousand that have ended.
type Fault struct {
	ID uint64 `json:"id"` // of this node since its start
	FaultSpec

	By        string     `json:"by"`      // the access key that signed
	Request   string     `json:"request"` // the id of that request
	Forced    bool       `json:"forced,omitempty"`
	Began     time.Time  `json:"began"`
	Left      Span       `json:"left"` // until it expires; 0s: it has ended
	Ended     *time.Time `json:"ended,omitempty"`
	End       string     `json:"end,omitempty"` // expired, cleared, stopped (the node was)
	ClearedBy string     `json:"cleared_by,omitempty"`
	Cleared   string     `json:"cleared_request,omitempty"`

	Matched uint64     `json:"matched"` // what it was about, hit or not
	Hits    uint64     `json:"hits"`
	First   *time.Time `json:"first_hit,omitempty"`
	Last    *time.Time `json:"last_hit,omitempty"`
	Sample  []FaultHit `json:"sample,omitempty"` // the first 16 different things that it hit
}

// FaultHit is one thing that a fault has hit.
type FaultHit struct {
	What  string    `json:"what"` // "read /disks/1/photos/cat.jpg"
	Count uint64    `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Span is a length of time that is written as people do: "1m30s".
type Span time.Duration

// String implements fmt.Stringer.
func (s Span) String() string { return time.Duration(s).String() }

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s, 5m or 1h", text)
	}
	*s = Span(d)
	return nil
}
