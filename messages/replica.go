package messages

import (
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// A record that several nodes keep is taken over by each of them as the node in charge
// of its key has it: with its generation. What a node has that is as new or newer
// stays.

// StoreRecord has a key's record replaced by one of another node, if it is greater.
// Its payload is in slot 0 of Window, or here already, or there is none; the parts of an
// object that is made of some may be here from their upload. Sent by the
// gateway to the key's write lane, with the payload verified. Answered by Stored when
// what the answer says is durable, or by a failure (MapDiffers: nothing was done). The
// window stays the sender's; the lane pins slot 0.
type StoreRecord struct {
	Key    objects.Key
	Record *objects.Meta
	Parts  []objects.Part // of objects.Chunks, in the order of their bytes; nil: not told
	Fence  Fence
	Sent   Sending
	Window *slab.Window // of an inline payload; nil: none comes with it
	Reply  Reply[Stored]
}

// Fail implements Failer.
func (m *StoreRecord) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *StoreRecord) Subject() string { return m.Key.String() }

// StorePayload is StoreRecord for a payload in files: of one, or of the parts that an
// object is made of. Sent by the gateway to the coordinator of the key's mountpath,
// which spawns an importer for it: it copies, verifies and syncs, and hands what it has
// to the key's write lane. Payload is read by one goroutine, from its beginning; its
// Read fails once the sender has gone.
type StorePayload struct {
	Key     objects.Key
	Record  *objects.Meta
	Parts   []objects.Part // of objects.Chunks, in the order of their bytes
	Payload io.Reader      // of the file, or of all parts one after the other
	Fence   Fence
	Sent    Sending
	Window  *slab.Window // the sender's; the importer pins all of it
	Reply   Reply[Stored]
}

// Fail implements Failer.
func (m *StorePayload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *StorePayload) Subject() string { return m.Key.String() }

// Stored is what became of a record that another node sent.
type Stored struct {
	// Has: the record is here, and durable. It may have been before.
	Has bool
	// Here is the record that is here instead, which is greater; nil: none is.
	Here *objects.Meta
	// NeedsPayload: nothing was done, because the payload is not here and did not come
	// with the record.
	NeedsPayload bool
	// Indices are the slices of the record's payload that are durable here, in order;
	// objects.WholeIndex: all of it. nil: none, or the record has no Slicing.
	Indices []uint8
	// Missing are the numbers of the parts that are needed, where others are here from an
	// upload under way; nil: all are.
	Missing []int
	// Covered, if it is not zero, says that nothing was done, because nothing is here of
	// the key and a delete marker that was dropped may have deleted the record: it is to be
	// given a greater generation, under this version of the map or a later one.
	Covered uint64
}

// SettleRecords notes that records of the lane's keys are settled, those that still are
// of the generation given. Sent by the gateway to a write lane; answered when it is
// noted. It need not last: who finds a record unsettled settles it.
type SettleRecords struct {
	List  []Settlement
	Reply Reply[struct{}]
}

// Fail implements Failer.
func (m *SettleRecords) Fail(err error) { m.Reply.Fail(err) }

// Settlement names a record that all nodes have that must have it.
type Settlement struct {
	Key        objects.Key
	Generation objects.Generation
}
