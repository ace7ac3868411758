// Package scrub is the part of the native API that tells what was verified of what is
// stored, and what was found damaged. It has the JSON that edges and clients share, and the
// client.
//
// Start with Status.
package scrub

import (
	"context"
	"time"

	"github.com/troupe-storage/troupe/api/client"
)

// Path is where the API is on the native listener. GET answers a Status, of the node that
// is asked; it needs the root pair.
const Path = "/v1/scrub"

// Status is what the scrubbers of a node have done.
type Status struct {
	Days       int         `json:"days"` // within so many every payload is to be verified; 0: scrubbing is off
	Mountpaths []Mountpath `json:"mountpaths"`
}

// Mountpath is what one scrubber has done.
type Mountpath struct {
	ID        string     `json:"id"`
	Path      string     `json:"path"`
	Phase     string     `json:"phase"` // off, counting, walking, resting
	Cycle     uint64     `json:"cycle"` // from 1
	Begun     *time.Time `json:"begun,omitempty"`
	Due       *time.Time `json:"due,omitempty"`   // by when the cycle is to be through
	Ended     *time.Time `json:"ended,omitempty"` // absent: it is under way
	At        string     `json:"at,omitempty"`    // BUCKET/KEY that is being verified, or BUCKET
	Bytes     int64      `json:"verified_bytes"`  // in this cycle
	Payloads  int64      `json:"verified_payloads"`
	Remaining int64      `json:"remaining_bytes"` // in this cycle
	Read      int64      `json:"read_bytes"`      // by the scrubber, since the mountpath was opened
	Taken     int64      `json:"taken_bytes"`     // of this cycle: verified as clients read them
	Skipped   int64      `json:"skipped"`         // payloads that could not be verified in this cycle
	Found     int64      `json:"found"`           // payloads found damaged, ever
	Repaired  int64      `json:"repaired"`        // of these
	// Unrepairable counts those that are damaged now.
	Unrepairable int64      `json:"unrepairable"`
	Oldest       *time.Time `json:"oldest,omitempty"` // nothing was verified, or written, before; absent: nothing is stored, or counted
	Late         bool       `json:"late"`             // something was not verified for longer than Days
	Buckets      []Bucket   `json:"buckets"`
	Findings     []Finding  `json:"findings,omitempty"` // what is damaged now, at most 1,000
	Skips        []Finding  `json:"skips,omitempty"`    // the last of what could not be verified
}

// Bucket says how long ago what is in a bucket was verified.
type Bucket struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Uploads bool      `json:"uploads,omitempty"` // it is about parts of uploads under way
	Oldest  time.Time `json:"oldest"`
	Ages    []Age     `json:"ages"` // of those classes in which there is something
}

// Age is a class of ages: verified, or written and not verified since, less than so many
// days ago, and not in the class before.
type Age struct {
	Below    int   `json:"below_days"` // 1, 3, 7, 14, 30, 60; 0: longer ago
	Bytes    int64 `json:"bytes"`
	Payloads int64 `json:"payloads"`
}

// Finding is a payload that is damaged, or that could not be verified.
type Finding struct {
	Bucket  string    `json:"bucket"`
	Key     string    `json:"key"`
	Upload  string    `json:"upload,omitempty"` // it is of an upload under way
	Part    int       `json:"part,omitempty"`
	Payload string    `json:"payload,omitempty"` // payload generation
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Path    string    `json:"path,omitempty"` // below the mountpath: where its file was, which was put aside
}

// Classes are the values of Age.Below, in their order.
func Classes() []int { return []int{1, 3, 7, 14, 30, 60, 0} }

// Client asks a node what was verified. As safe for concurrent use as its Control.
type Client struct{ Control client.Control }

// Status returns what the scrubbers of the node have done.
func (c Client) Status(ctx context.Context) (Status, error) {
	var answer Status
	err := c.Control.Get(ctx, Path, nil, &answer)
	return answer, err
}
