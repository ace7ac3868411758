package messages

import (
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// NodeSet is the nodes of the cluster as one of them sees them, under one map: an
// immutable snapshot, read on every request. A node that is alone has none.
type NodeSet struct {
	Self  string     // id of the node whose view it is
	Map   *smap.Smap // nil: the node has not joined, and answers nothing about keys
	Nodes []NodeView // of the map
	// Replaced is closed once a later snapshot has been published; nil: never.
	Replaced <-chan struct{}
}

// Version returns the map's version; 0: there is none, or no snapshot.
func (s *NodeSet) Version() uint64 {
	if s == nil || s.Map == nil {
		return 0
	}
	return s.Map.Version()
}

// View returns a key of a bucket under the map, which is not nil.
func (s *NodeSet) View(bucket *objects.BucketDoc, digest uint64) smap.View {
	return s.Map.View(Placing(bucket, digest))
}

// Placing is what placement must know of a key of a bucket. Whichever document of the bucket
// it is taken from: where they differ in copies, the map says how many there are.
func Placing(bucket *objects.BucketDoc, digest uint64) smap.Key {
	return smap.Key{Digest: digest, Bucket: bucket.ID, Owners: bucket.Props.Owners()}
}

// Most returns the most owners that a key of a bucket has under the map, or is to have by
// the plan under way, if there are so many nodes; Least the fewest. The map is not nil.
func (s *NodeSet) Most(bucket *objects.BucketDoc) int { return s.Map.Most(Placing(bucket, 0)) }

// Least is described with Most.
func (s *NodeSet) Least(bucket *objects.BucketDoc) int { return s.Map.Least(Placing(bucket, 0)) }

// NodeView is one node as others see it.
type NodeView struct {
	ID     string
	Intra  string // host:port of its intra listener
	S3     string // URL of its S3 listener for clients, without a slash at the end; empty: clients are not sent there
	Native string // likewise of its native listener
	Owns   bool   // it may be in charge of keys: a listing needs it
	Away   string // why it is not asked for anything; empty: it is
}

// Find returns the node of an id; nil if there is none.
func (s *NodeSet) Find(id string) *NodeView {
	for i := range s.Nodes {
		if s.Nodes[i].ID == id {
			return &s.Nodes[i]
		}
	}
	return nil
}

// NodeAway says that a node is needed for a request and cannot be asked, or did not
// answer as it should. Where Begun is set, the request may or may not have been
// carried out.
type NodeAway struct {
	Node   string
	Reason string // for operators
	Begun  bool
}

// Error implements error.
func (e *NodeAway) Error() string {
	if e.Begun {
		return "node " + e.Node + " did not answer a request, which may or may not have been carried out: " + e.Reason
	}
	return "node " + e.Node + " is needed and cannot be asked: " + e.Reason
}

// Is makes one whose request was begun objects.ErrOutcomeUnknown.
func (e *NodeAway) Is(target error) bool { return e.Begun && target == objects.ErrOutcomeUnknown }

// Public says it to clients, who are to know the node and not what went wrong with it.
func (e *NodeAway) Public() string {
	if e.Begun {
		return "Node " + e.Node + " did not answer. The outcome is unknown: the request may or may not have been carried out."
	}
	return "Node " + e.Node + " is needed for this request and cannot be asked now. Nothing was changed."
}

// OwnersAway says that no node that has a key serves: nobody is in charge of it, and
// whether the object exists cannot be told. It is of kind errs.Offline.
type OwnersAway struct {
	Owners []OwnerState // in the order of the key's placement
}

// OwnerState is one owner of a key, and in which state the map has it, such as "down".
type OwnerState struct{ Node, State string }

// Error implements error.
func (e *OwnersAway) Error() string {
	return "no node is in charge of it now; of its owners none that has it serves: " + e.owners()
}

// Public says it to clients.
func (e *OwnersAway) Public() string {
	return "No node that has this object serves now: " + e.owners() + ". Nothing was changed. It is served again when one of them is back."
}

func (e *OwnersAway) owners() string {
	list := make([]string, len(e.Owners))
	for i, o := range e.Owners {
		list[i] = "node " + o.Node + " is " + o.State
	}
	return strings.Join(list, ", ")
}

// AgreementAway says that what all nodes agree on cannot be reached: nothing of it can be
// changed now. It is of kind errs.Offline, whatever its cause is.
type AgreementAway struct {
	// Reading: nothing is to be changed; whether a bucket exists that the node does not
	// know cannot be told.
	Reading bool
	Cause   error // for operators
}

// Error implements error.
func (e *AgreementAway) Error() string {
	if e.Reading {
		return "the node does not know the bucket, and cannot tell whether it exists: " + e.Cause.Error()
	}
	return "Consul cannot be reached, and buckets change only while it can: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *AgreementAway) Unwrap() error { return e.Cause }

// Public says it to clients.
func (e *AgreementAway) Public() string {
	if e.Reading {
		return "This node does not know the bucket, and cannot tell whether it exists: it does not reach Consul, where nodes agree on buckets. Buckets that it knows are served meanwhile."
	}
	const why = "Buckets cannot be changed now: this node does not reach Consul, where nodes agree on them. Requests for objects are served meanwhile."
	if errors.Is(e.Cause, objects.ErrOutcomeUnknown) {
		return why + " The outcome is unknown: the change may or may not have happened."
	}
	return why
}

// MapDiffers says that a node refused a request because it, or who asked, has an
// older map. Nothing was changed, and the request may be repeated under a newer one.
type MapDiffers struct {
	Node    string // that refused
	Version uint64 // of its map
}

// Error implements error.
func (e *MapDiffers) Error() string {
	return fmt.Sprintf("node %s has version %d of the cluster map, and refused; nothing was changed", e.Node, e.Version)
}
