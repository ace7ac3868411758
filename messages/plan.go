package messages

import "github.com/troupe-storage/troupe/objects/smap"

// ClusterPlan is a plan under way, as one node of the cluster sees it.
type ClusterPlan struct {
	Since    uint64        // version of the map that began it
	From, To []smap.NodeID // the placement that was, and the one that is to be
	Switched int           // slots that their next owners own by now, of smap.Slots
	Paused   bool          // an operator has stopped the copying for now
	Rate     JobRate       // what each node copies in a second, at most
	Copies   []PlanCopies
	Nodes    []PlanProgress
	Waits    string // why no slot can go over now, for people; empty: none is waited for
}

// PlanCopies is a bucket that gets another number of copies by a plan.
type PlanCopies struct {
	Bucket   string // its name, or its id where the node does not know it
	From, To int    // From is 0 where the node does not know the bucket
}

// PlanProgress is how far one node is with a plan.
type PlanProgress struct {
	Node    smap.NodeID
	Slots   int   // that it has walked and that have not gone over yet
	Objects int64 // copied to their next owners
	Bytes   int64 // of their payloads
	Failure string
}

// PlanWalk is a node's report of what it did for a plan: part of what it answers
// probes with. It has at most MaxSlotRuns runs.
type PlanWalk struct {
	Plan    uint64    `json:"plan"` // version of the map that began the plan
	Runs    []SlotRun `json:"runs,omitempty"`
	Objects int64     `json:"objects,omitempty"`
	Bytes   int64     `json:"bytes,omitempty"`
	Failure string    `json:"failure,omitempty"` // why it does not get on; empty: it does
}

// MaxSlotRuns bounds the runs of a report.
const MaxSlotRuns = 64

// SlotRun says that all keys of a run of slots that the node is in charge of are at
// their next owners.
type SlotRun struct {
	From uint16 `json:"from"`
	To   uint16 `json:"to"`  // inclusive
	Map  uint64 `json:"map"` // version of the map that they were walked under, from the first key to the last
}
