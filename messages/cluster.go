package messages

import (
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
)

// NodeAddresses is where a node of the cluster is reached: host:port of each of its
// listeners; empty: it has none.
type NodeAddresses struct {
	Intra  string `json:"intra"` // of other nodes only
	Native string `json:"native,omitempty"`
	S3     string `json:"s3,omitempty"`
}

// ClusterView is what a node knows of its cluster: an immutable snapshot, read on
// every request. Published by the actor "cluster". The map in it is on stable storage
// of this node before it is published, and its version never goes back.
type ClusterView struct {
	Self      smap.NodeID
	ClusterID string
	Name      string // of the cluster, for people
	// Map is the map in force; nil: the node has not joined yet.
	Map   *smap.Smap
	Nodes map[smap.NodeID]NodeAddresses // of those that told; only to be read
	// Leader is who leads, as far as this node knows; empty: it does not.
	Leader smap.NodeID
	// Unconfirmed says why what all nodes agree on cannot be reached; empty: it can.
	// Requests for objects go on meanwhile, changes of documents are refused.
	Unconfirmed string
	// Refused says why the node does not follow what it finds there; empty: it does.
	Refused string
	// Silent are the nodes that this node has not reached for three seconds, by id.
	Silent []smap.NodeID
	// Plan is the plan under way; nil: there is none.
	Plan *ClusterPlan
	// Held says that no plan is begun by itself: by the settings of the node, or because one
	// was canceled and none was asked for since.
	Held bool
	// Health is how the catalogue shows the nodes that are in it; only to be read.
	Health map[smap.NodeID]NodeHealth
	// Buckets is the version of the documents of buckets that the node has adopted.
	Buckets uint64
}

// NodeHealth is how the catalogue shows a node.
type NodeHealth struct {
	Status string // passing, warning, critical, maintenance
	Reason string // what the checks that do not pass say; may be minutes old
}

// Unready says why this node may not serve now; empty: it may.
func (v *ClusterView) Unready() string {
	if v.Map == nil {
		switch {
		case v.Refused != "":
			return v.Refused
		case v.Unconfirmed != "":
			return "the node has not joined the cluster yet: " + v.Unconfirmed
		}
		return fmt.Sprintf("the node has not joined the cluster %s yet", v.Name)
	}
	node, ok := v.Map.Node(v.Self)
	switch {
	case !ok:
		return fmt.Sprintf("the node is not in the map of the cluster %s, version %d", v.Name, v.Map.Version())
	case !node.State.Serves():
		return fmt.Sprintf("the node is %s since version %d of the map", node.State, node.Since)
	}
	return ""
}

// ClusterEventKind is what has happened in a cluster.
type ClusterEventKind string

// Kinds of events.
const (
	ClusterMapAdopted  ClusterEventKind = "map-adopted"  // this node acts on a newer map
	ClusterNodeJoined  ClusterEventKind = "node-joined"  // a node is in the map that was not
	ClusterNodeLeft    ClusterEventKind = "node-left"    // a node is in the map no more
	ClusterNodeState   ClusterEventKind = "node-state"   // a node's state is another one
	ClusterNodeSilent  ClusterEventKind = "node-silent"  // this node has not reached another one for three seconds
	ClusterNodeHeard   ClusterEventKind = "node-heard"   // it reaches it again
	ClusterLeadWon     ClusterEventKind = "lead-won"     // this node leads
	ClusterLeadLost    ClusterEventKind = "lead-lost"    // it leads no more
	ClusterUnconfirmed ClusterEventKind = "unconfirmed"  // what all nodes agree on cannot be reached
	ClusterConfirmed   ClusterEventKind = "confirmed"    // it can be reached again
	ClusterMapRefused  ClusterEventKind = "map-refused"  // what is found there is not followed
	ClusterMapRestored ClusterEventKind = "map-restored" // the map was lost there, and has been written again
	ClusterPlanBegan   ClusterEventKind = "plan-began"   // keys go over to another placement
	ClusterPlanEnded   ClusterEventKind = "plan-ended"   // they have, or the plan was canceled
	// ClusterSettingsChanged: what all nodes share in settings is something else.
	ClusterSettingsChanged ClusterEventKind = "settings-changed"
)

// ClusterEvent is something that has happened in the cluster, as this node saw it.
type ClusterEvent struct {
	At      time.Time        `json:"at"`
	Kind    ClusterEventKind `json:"kind"`
	Node    smap.NodeID      `json:"node,omitempty"`    // whom it is about
	State   smap.State       `json:"state,omitempty"`   // of NodeState
	Version uint64           `json:"version,omitempty"` // of the map, or of the settings
	Reason  string           `json:"reason,omitempty"`  // for people
}
