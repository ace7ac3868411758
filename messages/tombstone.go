package messages

import (
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Tombstone is a delete marker that one mountpath has, or had: an entry of its journal.
type Tombstone struct {
	Arrival    objects.Generation // of the node, taken when the marker came: names the entry
	Key        objects.Key        // in a TombstonePage of the bucket's ID only
	Generation objects.Generation // of the marker
	// Placing is the key by the bucket's document, for DropTombstones. The zero value: the
	// node knows no such bucket, and the marker stays.
	Placing smap.Key
	// Held is set by the lane: the marker stays, if it has not gone already.
	Held bool
}

// ListTombstones asks a mountpath for delete markers in the order in which they came. Sent
// by the sweeper to a read lane; answered by a TombstonePage.
type ListTombstones struct {
	After  objects.Generation // those that came after it; zero: from the first
	Before objects.Generation // those that came before it
	Limit  int                // at least 1
	Reply  Reply[*TombstonePage]
}

// Fail implements Failer.
func (m *ListTombstones) Fail(err error) { m.Reply.Fail(err) }

// TombstonePage answers ListTombstones.
type TombstonePage struct {
	List []Tombstone
	More bool // there may be further ones
	// Now is an arrival later than that of everything that had come when the page was made.
	Now objects.Generation
}

// DropTombstones has delete markers of the lane's keys dropped: those that are settled, of
// whose keys all owners are up and no plan moves any, by the map that the lanes act on.
// Entries whose marker has gone are dropped, too. Sent by the sweeper to a write lane;
// answered when that is durable. The list is the lane's from then on. An empty one only
// has the bounds of the node's other mountpaths noted on this one.
type DropTombstones struct {
	List  []Tombstone
	Reply Reply[Swept]
}

// Fail implements Failer.
func (m *DropTombstones) Fail(err error) { m.Reply.Fail(err) }

// Swept is what became of the markers of a DropTombstones.
type Swept struct {
	Dropped   int
	Stale     int         // their markers had gone before
	Held      int         // they may not be dropped now
	Unsettled []Tombstone // likewise, because they are not settled
}

// RenewRecord gives a record that is to be settled a greater generation: another node
// has dropped a delete marker that covers the present one. Sent by the gateway to the key's
// write lane, under the fence of who settles; answered by the record when it is durable, or
// by a failure: Conflict (it is of another generation by now).
type RenewRecord struct {
	Key        objects.Key
	Generation objects.Generation
	Fence      Fence
	Reply      Reply[*objects.Meta]
}

// Fail implements Failer.
func (m *RenewRecord) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *RenewRecord) Subject() string { return m.Key.String() }

// Sending says why a node is sent a record.
type Sending uint8

// Why nodes are sent records.
const (
	// ToSettle: all of the ack set are to have it. It may come late, when it was deleted
	// and the marker dropped: where nothing is, what such a marker covers is refused.
	ToSettle Sending = iota
	// ToEqual: the node is to have what the node in charge has, for a plan or a return. No
	// marker of the key is dropped meanwhile, and what comes after it is refused by its
	// epoch; the record may be as old as the bucket.
	ToEqual
)
