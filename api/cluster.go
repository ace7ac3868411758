package api

import "time"

// ClusterPath is where a node tells of its cluster: GET is answered by a Cluster.
// With ?what= it answers what AIStore's clients ask there.
const ClusterPath = "/v1/cluster"

// EventsPath is where a node tells what happens in its cluster, for as long as the
// client listens: server-sent events, whose data is a ClusterEvent each. A line that
// is a comment comes every EventsBeat, so that a connection that is gone is noticed.
const (
	EventsPath = "/v1/events"
	EventsBeat = 15 * time.Second
)

// Cluster is a cluster as one of its nodes sees it.
type Cluster struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // for people; absent: the node is alone, and belongs to none
	Self string `json:"self"`           // the node that answers
	// Version is that of the map that the node acts on; 0: it has none.
	Version uint64 `json:"version"`
	Lineage string `json:"lineage,omitempty"` // of the line of maps
	Leader  string `json:"leader,omitempty"`  // as far as the node knows
	// Unready says why the node that answers may not serve now, Unconfirmed why what all
	// nodes agree on cannot be reached, Refused why the node does not follow what it finds
	// there; absent: all is well.
	Unready     string        `json:"unready,omitempty"`
	Unconfirmed string        `json:"unconfirmed,omitempty"`
	Refused     string        `json:"refused,omitempty"`
	Nodes       []ClusterNode `json:"nodes"` // by id
	Plan        *ClusterPlan  `json:"plan,omitempty"`
	// Held says that no plan is begun by itself: by the node's settings, or because one was
	// canceled and none was asked for since.
	Held bool `json:"held,omitempty"`
}

// NodeAbsent is the state of a node that has told of itself and is in no map.
const NodeAbsent = "absent"

// ClusterNode is a node of a cluster.
type ClusterNode struct {
	ID    string `json:"id"`
	State string `json:"state"`          // up, down, recovering, maintenance, draining; NodeAbsent
	Since uint64 `json:"since"`          // version of the map that set it
	Left  uint64 `json:"left,omitempty"` // version at which it stopped being in sync; absent while it serves
	Owns  bool   `json:"owns"`           // keys are placed on it
	// Silent: the node that answers has not reached it for three seconds.
	Silent bool   `json:"silent,omitempty"`
	Native string `json:"native,omitempty"` // host:port of its listeners
	S3     string `json:"s3,omitempty"`
	Intra  string `json:"intra,omitempty"`
	// Health is how Consul shows it: passing, warning, critical, maintenance; absent: it
	// is not in the catalogue. Reason is what the checks that do not pass say.
	Health string `json:"health,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ClusterPlan is a plan under way: keys go from one placement to another.
type ClusterPlan struct {
	Since    uint64         `json:"since"`    // version of the map that began it
	From     []string       `json:"from"`     // who owned keys before
	To       []string       `json:"to"`       // and who will at its end
	Switched int            `json:"switched"` // slots that have gone over
	Slots    int            `json:"slots"`    // of all
	Paused   bool           `json:"paused,omitempty"`
	Rate     JobRate        `json:"rate"`            // what each node copies in a second at most; 0: as it can
	Waits    string         `json:"waits,omitempty"` // why no slot can go over now
	Copies   []PlanCopies   `json:"copies,omitempty"`
	Nodes    []PlanProgress `json:"nodes,omitempty"`
}

// PlanCopies is a bucket that gets another number of copies by a plan.
type PlanCopies struct {
	Bucket string `json:"bucket"`
	From   int    `json:"from"`
	To     int    `json:"to"`
}

// PlanProgress is how far one node is with a plan.
type PlanProgress struct {
	Node    string `json:"node"`
	Slots   int    `json:"slots"`   // that it has walked and that have not gone over yet
	Objects int64  `json:"objects"` // copied to their next owners
	Bytes   int64  `json:"bytes"`   // of their payloads
	Failure string `json:"failure,omitempty"`
}

// ClusterEvent is something that has happened in the cluster, as one node saw it.
type ClusterEvent struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // node-state, …: docs/cluster.md
	Node    string    `json:"node,omitempty"`
	State   string    `json:"state,omitempty"`
	Version uint64    `json:"version,omitempty"` // of the map
	Reason  string    `json:"reason,omitempty"`
}

const (
	// SmapPath is where a node gives the map that it acts on, as it is agreed on: an Smap.
	SmapPath = ClusterPath + "/smap"
	// ClusterRequestsPath is where an operator asks for a change: POST of a
	// ClusterRequest, answered by a ClusterOutcome. Every request is signed with the root
	// pair; any node passes it on to the one that leads.
	ClusterRequestsPath = ClusterPath + "/requests"
)

// Smap is the map of a cluster, as it is agreed on.
type Smap struct {
	Version        uint64     `json:"version"`
	Lineage        string     `json:"lineage"`
	Previous       string     `json:"previous,omitempty"` // hash of its predecessor
	Nodes          []SmapNode `json:"nodes"`
	Placement      []string   `json:"placement"` // who owns keys
	PlacementSince uint64     `json:"placement_since"`
	Next           *SmapNext  `json:"next,omitempty"`
}

// SmapNode is a node's entry.
type SmapNode struct {
	ID     string `json:"id"`
	Digest string `json:"digest"` // what HRW weighs: 16 hexadecimal digits
	State  string `json:"state"`
	Since  uint64 `json:"since"`
	Left   uint64 `json:"left,omitempty"`
}

// SmapNext is a plan under way.
type SmapNext struct {
	Placement []string     `json:"placement"`
	Since     uint64       `json:"since"`
	Switched  []SmapSwitch `json:"switched,omitempty"`
}

// SmapSwitch is a run of slots that have gone over, in a version of the map.
type SmapSwitch struct {
	From    uint16 `json:"from"`
	To      uint16 `json:"to"` // inclusive
	Version uint64 `json:"version"`
}

// Kinds of ClusterRequest.
const (
	ClusterJoin        = "join"        // give a node its part of the keys; no node: all that are up
	ClusterDrain       = "drain"       // take all keys from a node, which serves until then
	ClusterLeave       = "leave"       // drain it, and remove it then
	ClusterRemove      = "remove"      // take a node out of the map that owns nothing
	ClusterMaintenance = "maintenance" // take a node out of service; it keeps its keys
	ClusterReturn      = "return"      // end maintenance
	ClusterCancel      = "cancel"      // drop the plan under way
	ClusterPause       = "pause"       // copy nothing for the plan for now
	ClusterResume      = "resume"      // go on with that
	ClusterLimit       = "limit"       // bound what each node copies in a second
	ClusterSetLeader   = "set-leader"  // give the lead to a node that is up
)

// ClusterRequest is what an operator wants of a cluster.
type ClusterRequest struct {
	Kind   string   `json:"kind"`
	Node   string   `json:"node,omitempty"`
	Reason string   `json:"reason,omitempty"` // of maintenance, for people
	Rate   *JobRate `json:"rate,omitempty"`   // of limit
	Force  bool     `json:"force,omitempty"`  // although keys would have too few copies
	// AcceptLoss: of remove, a node that is down is given up, though what only it has is lost.
	AcceptLoss bool `json:"accept_loss,omitempty"`
	// DryRun asks what would be decided, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// ClusterOutcome is what the leader decided.
type ClusterOutcome struct {
	Leader    string   `json:"leader"`
	Version   uint64   `json:"version"` // of the map with the decision in it
	Placement []string `json:"placement,omitempty"`
	Text      string   `json:"text"` // for people
	// Estimate is what a plan to that placement would copy; of a dry run of join, drain and
	// leave.
	Estimate *ClusterEstimate `json:"estimate,omitempty"`
}

// ClusterEstimate is what a plan would copy, as all nodes have counted it.
type ClusterEstimate struct {
	Objects int64 `json:"objects"` // copies, each counted
	Bytes   int64 `json:"bytes"`   // of their payloads
	// Seconds is how long it takes the node that has the most to copy, at the limit that is
	// set, or at 200 objects and 60 MiB a second.
	Seconds int64 `json:"seconds"`
}

// ClusterSettingsPath is where the settings are that all nodes of a cluster share: GET is
// answered by a ClusterSettings; PATCH with an object of names and values (null takes one
// out) changes them, and is answered likewise. For who signs with the root pair.
const ClusterSettingsPath = ClusterPath + "/settings"

// ClusterSettings are the settings that nodes of a cluster can share.
type ClusterSettings struct {
	Version  uint64           `json:"version"` // counts the changes; 0: none was ever shared
	Settings []ClusterSetting `json:"settings"`
}

// ClusterSetting is one of them. What a node was given itself counts there instead of
// what all share.
type ClusterSetting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`            // what counts at the node that answers; empty: it does not know the setting
	Shared string `json:"shared,omitempty"` // by all nodes; absent: nothing is
	Own    string `json:"own,omitempty"`    // that the node that answers was given; absent: it was given nothing
}
