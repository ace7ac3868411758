// Package history is the part of the native API that tells what became of a name: each
// change of it, when, why and for whom, on every mountpath of every node. It has the JSON
// that edges and clients share, and the client.
//
// Start with Answer.
package history

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/troupe-storage/troupe/api/client"
)

// Path is where the API is on the native listener. GET Path/BUCKET/KEY answers an Answer,
// and needs the root pair. BUCKET is a name, also of a bucket that was destroyed, or an id.
const Path = "/v1/history"

// LimitParameter says how many entries are wanted, from 1 to MaxLimit; default
// DefaultLimit.
const LimitParameter = "limit"

// The limits of an answer, in entries.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// Answer is what is recorded of a name.
type Answer struct {
	Bucket  string  `json:"bucket"` // as it was asked for
	Key     string  `json:"key"`
	Entries []Entry `json:"entries"`        // the newest first
	More    bool    `json:"more,omitempty"` // there are older ones
	// Unanswered are nodes and mountpaths that could not be asked: they may have more.
	Unanswered []Unanswered `json:"unanswered,omitempty"`
}

// Entry is one change of the name, on one mountpath.
type Entry struct {
	Time time.Time `json:"time"` // by the clock of the node; it orders only what is of one generation
	// What: put, completed, changed, deleted, stored, arrived, left, dropped, renewed,
	// recovered, reverted, damaged; unknown (N) of a newer version.
	What       string `json:"what"`
	Cause      string `json:"cause,omitempty"` // request, copy, write, settle, return, lost mountpath, plan, move, crash, bucket destroyed
	Generation string `json:"generation"`      // of the record: it orders entries
	Size       int64  `json:"size"`            // bytes
	XXHash     string `json:"xxhash,omitempty"`
	Principal  string `json:"principal,omitempty"` // access key id of the client
	Request    string `json:"request,omitempty"`   // x-amz-request-id of its request
	Asked      string `json:"asked,omitempty"`     // node that it asked, if that was another one
	Other      string `json:"other,omitempty"`     // node or mountpath that it came from, or went to
	Node       string `json:"node"`
	Mountpath  string `json:"mountpath"`      // id
	Path       string `json:"path,omitempty"` // of the mountpath
	BucketID   string `json:"bucket_id"`
}

// Unanswered is a node, or a mountpath of one, that could not be asked.
type Unanswered struct {
	Node      string `json:"node,omitempty"`
	Mountpath string `json:"mountpath,omitempty"` // path; absent: the node as a whole
	Reason    string `json:"reason"`
}

// Client asks a node for histories. As safe for concurrent use as its Control.
type Client struct{ Control client.Control }

// Get returns at most limit entries of a name, the newest; limit 0: DefaultLimit.
func (c Client) Get(ctx context.Context, bucket, key string, limit int) (Answer, error) {
	query := url.Values{}
	if limit > 0 {
		query.Set(LimitParameter, strconv.Itoa(limit))
	}
	var answer Answer
	err := c.Control.Get(ctx, Path+"/"+bucket+"/"+key, query, &answer)
	return answer, err
}
