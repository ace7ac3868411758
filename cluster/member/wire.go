package member

import (
	"context"
	"encoding/json"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Record is what a node tells of itself to all others: its document under Keys.Node.
type Record struct {
	ID        smap.NodeID            `json:"id"`
	Digest    smap.Digest            `json:"digest"` // what HRW will weigh it by once it has joined
	Addresses messages.NodeAddresses `json:"addresses"`
	Version   string                 `json:"version,omitempty"` // of the program
	// Mountpaths are their ids, for people.
	Mountpaths []string `json:"mountpaths,omitempty"`
}

// Probe is what one node asks another, twice a second: whether it is there, and what
// it knows. It carries what the asker has, so that both learn.
type Probe struct {
	From      smap.NodeID `json:"from"`
	ClusterID string      `json:"cluster"`
	Lineage   string      `json:"lineage,omitempty"` // of the asker's map; empty: it has none
	Version   uint64      `json:"version,omitempty"` // likewise
	// Heir is whom the asker, which leads, gives the lead to; all others stand aside.
	Heir smap.NodeID `json:"heir,omitempty"`
}

// Status is the answer to a Probe.
type Status struct {
	Node      smap.NodeID `json:"node"`
	ClusterID string      `json:"cluster"`
	// Of the map that the node has on stable storage; empty and 0: it has none.
	Lineage string    `json:"lineage,omitempty"`
	Version uint64    `json:"version,omitempty"`
	Hash    smap.Hash `json:"hash,omitempty"`
	// Map is that map, if the asker's is older.
	Map json.RawMessage `json:"map,omitempty"`
	// Complaints are about nodes that it has not reached for SilentAfter.
	Complaints []smap.Complaint `json:"complaints,omitempty"`
	// Unsteady are the nodes of its map that it has not reached for SteadyAfter without
	// a break.
	Unsteady []smap.NodeID `json:"unsteady,omitempty"`
	// CaughtUp reports that the node has made its own state equal to what it is to be,
	// under the entry that says Recovering since this version; 0: it has not.
	CaughtUp uint64 `json:"caught_up,omitempty"`
	// Lost reports that the node lacks what others have; nil: it lacks nothing, or the map
	// says so already.
	Lost *Lost `json:"lost,omitempty"`
	// Unfit says why the node cannot take slots over by a plan now; empty: it can.
	Unfit string `json:"unfit,omitempty"`
	// Buckets is the version of the bucket documents that it has adopted.
	Buckets uint64 `json:"buckets,omitempty"`
	// Accounts is the version of the documents of accounts that it has adopted.
	Accounts uint64 `json:"accounts,omitempty"`
	// Dropping are destroyed buckets, as of that version, of which the node still has data.
	Dropping []objects.BucketID `json:"dropping,omitempty"`
	// Walk is what the node did for the plan under way; nil: it has not begun to.
	Walk *messages.PlanWalk `json:"walk,omitempty"`
	// Heir is whom it expects to lead next, because the leader has said so a moment ago.
	Heir smap.NodeID `json:"heir,omitempty"`
	// Data reports that it has buckets: keys of theirs are placed already.
	Data bool `json:"data,omitempty"`
}

// Peers asks other nodes. Implemented over the intra listener, whose both sides have
// shown certificates of the cluster, and over memory for tests. Safe for concurrent
// use; it blocks until the context ends at most.
type Peers interface {
	// Probe asks a node. An error says that it was not reached, or that who answered
	// is somebody else.
	Probe(ctx context.Context, to Record, p Probe) (Status, error)
	// Ask hands a request to the node that leads, which decides on it by Membership.Decide.
	Ask(ctx context.Context, to Record, r Request) (Outcome, error)
}

// Adopted is what a node acts on, as it lies on stable storage.
type Adopted struct {
	// Map is the JSON of the map; empty: none was adopted yet.
	Map json.RawMessage `json:"map,omitempty"`
	// Records are those of the other nodes, so that they are reached when nobody can say
	// where they are. May lag behind.
	Records []Record `json:"records,omitempty"`
	// Settings are those that all nodes share. May lag behind.
	Settings Settings `json:"settings"`
}

// Archive keeps what the node acts on. Both methods block.
type Archive interface {
	// Load returns what was saved last; nothing was: the zero value.
	Load() (Adopted, error)
	// Save is durable on all mountpaths in use when it returns without an error.
	Save(Adopted) error
}
