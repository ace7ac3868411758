package messages

import (
	"errors"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// ErrNoAnswer is the cause of a failure when an actor did not answer in time.
var ErrNoAnswer = errors.New("no answer in time; the outcome is unknown")

// ErrOvertaken is the cause of a failed read that writes of the same key
// overtook twice. Asked again in the key's turn, nothing moves.
var ErrOvertaken = errors.New("writes of the key overtook the read")

// Overtaken reports whether a failed OpenObject should go to the key's write lane.
func Overtaken(err error) bool { return errors.Is(err, ErrOvertaken) }

// Failer is a request that can be answered with an error: what a panicking
// actor does with the message it was handling, and a stopping one with the rest.
type Failer interface{ Fail(error) }

// PutObject commits an object whose payload fits one slab and goes into the
// index. Sent by the gateway to the key's write lane, with checksums already
// verified. Answered by a Receipt when the write is durable at its class, or by
// a failure. The window stays the sender's; the lane pins slot 0.
type PutObject struct {
	Key        objects.Key
	Meta       objects.Meta // Generation, Payload, Where are the lane's to set
	Conditions objects.Conditions
	Window     *slab.Window // nil for an empty payload
	Fence      Fence
	Reply      Reply[objects.Receipt]
}

// Fail implements Failer.
func (m *PutObject) Fail(err error) { m.Reply.Fail(err) }

// OpenObject asks for an object: its record, and what is needed to send its
// bytes. Sent by the gateway to a read lane of the key's mountpath. Answered by
// ObjectOpened or by a failure (NotFound, Busy, Corrupt, Offline). An inline
// payload is copied to slot 0 of Window, which stays the sender's. A file in the
// answer is the receiver's to close; one that nobody waited for any more ends with
// the file's finalizer and the lease's deadline. Sent to the key's write lane, it
// is answered in the key's turn.
type OpenObject struct {
	Key        objects.Key
	VersionID  string
	Window     *slab.Window // nil: only the record is wanted (HEAD)
	RecordOnly bool
	// Tombstones: a delete marker is an answer like another record.
	Tombstones bool
	Reply      Reply[*ObjectOpened]
}

// Fail implements Failer.
func (m *OpenObject) Fail(err error) { m.Reply.Fail(err) }

// DeleteObject removes an object. Sent by the gateway to the key's write lane.
// Answered when the removal is durable; an object that is not there is no
// failure, unless the conditions need it.
type DeleteObject struct {
	Key        objects.Key
	VersionID  string
	Conditions objects.Conditions
	Former     bool   // the mountpath is the one that the key leaves, by the roster of Epoch
	Epoch      uint64 // another one refuses it
	// Fence: where it marks the record as unsettled, a delete marker takes the object's
	// place, also where there is none.
	Fence Fence
	Reply Reply[ObjectDeleted]
}

// Fail implements Failer.
func (m *DeleteObject) Fail(err error) { m.Reply.Fail(err) }

// ObjectDeleted answers DeleteObject.
type ObjectDeleted struct {
	Existed    bool
	Generation objects.Generation
	Marker     *objects.Meta // that took its place; nil: none
}

// ListObjects asks one mountpath for a page of names of a bucket, in byte
// order. Sent by a bucket's lister to a read lane. Answered by ObjectPage.
type ListObjects struct {
	Bucket objects.Bucket
	Prefix string
	// After: names after this one; where it is itself a common prefix of this
	// listing, those after all names that it rolls up.
	After     string
	Delimiter string // names that hold it after Prefix are rolled up into one CommonPrefix
	Limit     int    // entries wanted, at least 1; rolled-up prefixes count as one
	Whole     bool   // entries hold the whole record
	Markers   Markers
	Reply     Reply[*ObjectPage]
}

// Fail implements Failer.
func (m *ListObjects) Fail(err error) { m.Reply.Fail(err) }

// Markers says which delete markers a listing has.
type Markers uint8

// Kinds of listings.
const (
	NoMarkers        Markers = iota
	UnsettledMarkers         // those that may not count yet
	AllMarkers
)

// ObjectPage is a page of names in byte order. More says that there are names
// after the last entry.
type ObjectPage struct {
	Entries []ObjectEntry
	More    bool
}

// ObjectEntry is one object, or one common prefix, in a page. Meta is nil for
// a common prefix, and holds at least Size, ETag, Modified, Checksums (their
// algorithms and types) for an object; everything if ListObjects.Whole was set.
type ObjectEntry struct {
	Name string
	Meta *objects.Meta
}

// ChangeDraft changes the user metadata or the tags of an object and nothing else
// of it. Sent by the gateway to the key's write lane; answered by the new record
// once it is durable, or by a failure (NotFound; Invalid beyond MaxUserBytes).
type ChangeDraft struct {
	Key    objects.Key
	Change DraftChange
	Fence  Fence
	Map    uint64 // set by the lane: version of the map that its turn is under
	Reply  Reply[*objects.Meta]
}

// DraftChange says what becomes of an object's user metadata and tags. The zero
// value changes nothing.
type DraftChange struct {
	User         []objects.Pair // added, or put in place of those of the same name
	ReplaceUser  bool           // what is not in User goes
	MaxUserBytes int            // bounds names and values of user metadata together, afterwards; 0: they are not changed
	Tags         []objects.Pair
	ReplaceTags  bool // Tags are the tags from now on; else tags are not changed
}

// Fail implements Failer.
func (m *ChangeDraft) Fail(err error) { m.Reply.Fail(err) }

// SealBucket makes a lane refuse writes to a bucket id from now on, or (Open)
// take them again. Sent by the buckets coordinator to every write lane; answered
// when the lane's earlier writes are done.
type SealBucket struct {
	Bucket objects.BucketID
	Open   bool
	Reply  Reply[struct{}]
}

// Fail implements Failer.
func (m *SealBucket) Fail(err error) { m.Reply.Fail(err) }

// EmptyBucket removes objects of a sealed bucket from a mountpath. Sent by the
// buckets coordinator to each mountpath's coordinator; answered when at most
// Limit of them have gone, durably, with whether there may be more.
type EmptyBucket struct {
	Bucket objects.Bucket
	Limit  int
	Reply  Reply[bool]
}

// Fail implements Failer.
func (m *EmptyBucket) Fail(err error) { m.Reply.Fail(err) }

// DropBucket removes everything a mountpath has of a sealed bucket. Sent by the
// buckets coordinator to each mountpath's coordinator once the document says
// that the bucket is destroyed. Answered when the removal is durable; space
// comes back in the background.
type DropBucket struct {
	Bucket objects.Bucket
	Reply  Reply[struct{}]
}

// Fail implements Failer.
func (m *DropBucket) Fail(err error) { m.Reply.Fail(err) }
