package messages

import (
	"cmp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// OwedRequest asks for a page of what a plan has a node copy: the keys of a run of slots
// that it is in charge of, and whose next owners do not have what it has.
type OwedRequest struct {
	Bucket   *objects.BucketDoc
	After    string // names after it
	From, To uint16 // slots, both inclusive
	Limit    int    // records of the node that are looked at, about
}

// OwedPage answers an OwedRequest.
type OwedPage struct {
	Names []string
	// Upto is the position up to which the page tells everything; empty: to the end.
	Upto string
}

// UploadName names an upload under way in its bucket.
type UploadName struct{ Name, ID string }

// Compare orders uploads by name, then id.
func (u UploadName) Compare(v UploadName) int {
	return cmp.Or(cmp.Compare(u.Name, v.Name), cmp.Compare(u.ID, v.ID))
}

// Leftover is a record that a node has of a key that it neither owns nor will own.
type Leftover struct {
	Name       string
	Generation objects.Generation
}

// LeftoverPage is a page of them, in the order of names.
type LeftoverPage struct {
	Leftovers []Leftover
	Upto      string // as in OwedPage
}

// PlanTally counts what a node would copy for a plan.
type PlanTally struct {
	Objects int64  `json:"objects"` // copies, each counted
	Bytes   int64  `json:"bytes"`   // of their payloads
	Upto    string `json:"upto,omitempty"`
}

// DropRecord has a record removed that the node in charge of its key does not have, or
// has an older one of. Sent by the gateway to the key's write lane; answered when it is
// gone, or by a failure: Conflict (it is of another generation by now), Busy (MapDiffers,
// or the key was written since). In its turn.
type DropRecord struct {
	Key        objects.Key
	Generation objects.Generation
	Fence      Fence
	// Counted: only if no write of the key began since CountWrites answered with Writes.
	Counted bool
	Writes  uint64
	Reply   Reply[struct{}]
}

// Fail implements Failer.
func (m *DropRecord) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *DropRecord) Subject() string { return m.Key.String() }

// CountWrites asks a key's write lane for a number that is another one once a write of
// the key, or the same record once more, has come.
type CountWrites struct {
	Key   objects.Key
	Reply Reply[uint64]
}

// Fail implements Failer.
func (m *CountWrites) Fail(err error) { m.Reply.Fail(err) }

// RemoveLeftover has a record and its payload removed of a key that the node does not
// hold by the map that its lanes act on, judged in the key's turn. Sent by the gateway to
// the key's write lane; answered when it is gone, or by a failure: Conflict (the node
// holds the key, or the record is of another generation).
type RemoveLeftover struct {
	Key        objects.Key
	Generation objects.Generation
	Placing    smap.Key // the key, by the bucket's document
	Reply      Reply[struct{}]
}

// Fail implements Failer.
func (m *RemoveLeftover) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *RemoveLeftover) Subject() string { return m.Key.String() }
