package messages

import (
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects"
)

// Handling is what is done to one thing: to read a key, to list a bucket, to run a job.
// It is what is counted when it panics, and what is quarantined when it does so again
// and again (actors.Quarantine). Comparable.
type Handling struct {
	Thing  Thing
	Bucket objects.BucketID // which life of the bucket; zero where nobody knows, or there is none
	Of     string           // of a key: the bucket's name; else empty
	Name   string           // of a key: the object's; of a bucket: its own; of a job: its kind and parameters
	Does   Access
}

// Thing says what is handled. Extensions may have things of their own.
type Thing string

// The things of a node.
const (
	KeyThing    Thing = "key"
	BucketThing Thing = "bucket"
	JobThing    Thing = "job"
)

// Access says what is done to a thing. Each is quarantined by itself: a key that cannot
// be read can be deleted. Extensions may have accesses of their own.
type Access string

// The accesses of a node.
const (
	ReadAccess   Access = "read"   // of a key: its payload, its parts
	HeadAccess   Access = "head"   // of a key: its record alone, which writes of keys with copies need, too
	WriteAccess  Access = "write"  // of a key: everything that makes or changes it
	DeleteAccess Access = "delete" // of a key: everything that takes it away; of a bucket: its destruction
	SettleAccess Access = "settle" // of a key: to find out what became of a write that was interrupted; nobody asks for it
	MoveAccess   Access = "move"   // of a key: what a job does that copies it elsewhere, by itself
	ListAccess   Access = "list"   // of a bucket: its objects or uploads
	ChangeAccess Access = "change" // of a bucket: to create it, to change its properties
	RunAccess    Access = "run"    // of a job
)

// IsZero reports whether the handling is of nothing.
func (h Handling) IsZero() bool { return h == Handling{} }

// MaxHandlingName bounds Of and Name together, in bytes: those of a key have at most 1,024
// and a bucket's name.
const MaxHandlingName = 2 << 10

// CanBeKept reports whether the handling is one that is found again after it was written
// to a disk. What cannot be is not quarantined.
func (h Handling) CanBeKept() bool {
	return h.Thing != "" && h.Does != "" && len(h.Of)+len(h.Name) <= MaxHandlingName &&
		utf8.ValidString(string(h.Thing)+string(h.Does)) && utf8.ValidString(h.Of) && utf8.ValidString(h.Name)
}

// Subject is the thing as people say it: photos/cat.jpg.
func (h Handling) Subject() string {
	if h.Thing == KeyThing {
		return h.Of + "/" + h.Name
	}
	return h.Name
}

// String says what is done to what: "key photos/cat.jpg (read)".
func (h Handling) String() string {
	return string(h.Thing) + " " + h.Subject() + " (" + string(h.Does) + ")"
}

// Handled is a message that says what it handles. A request that does is refused while
// that is quarantined. Handles is called by whoever handles the message, or refuses it.
type Handled interface{ Handles() Handling }

// HandlesKey is an access to a key.
func HandlesKey(key objects.Key, does Access) Handling {
	return Handling{Thing: KeyThing, Bucket: key.Bucket.ID, Of: key.Bucket.Name, Name: key.Name, Does: does}
}

// HandlesBucket is an access to a bucket. Who has only its name leaves the id zero.
func HandlesBucket(bucket objects.Bucket, does Access) Handling {
	return Handling{Thing: BucketThing, Bucket: bucket.ID, Name: bucket.Name, Does: does}
}

func named(bucket string, does Access) Handling {
	return HandlesBucket(objects.Bucket{Name: bucket}, does)
}

// Reads of keys.

// Handles implements Handled.
func (m *OpenObject) Handles() Handling {
	if m.RecordOnly {
		return HandlesKey(m.Key, HeadAccess)
	}
	return HandlesKey(m.Key, ReadAccess)
}

// Handles implements Handled.
func (m *ListParts) Handles() Handling { return HandlesKey(m.Key, ReadAccess) }

// Handles implements Handled.
func (m *ExportUpload) Handles() Handling { return HandlesKey(m.Key, ReadAccess) }

// Writes of keys.

// Handles implements Handled.
func (m *PutObject) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *ChangeDraft) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *OpenUpload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *CreateUpload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *CompleteUpload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *KeepUpload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *StorePart) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *StoreRecord) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *StorePayload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *RenewRecord) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *ImportObject) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Handles implements Handled.
func (m *ImportUpload) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Removals of keys.

// Handles implements Handled.
func (m *DeleteObject) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *AbortUpload) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *DropRecord) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *RemoveLeftover) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *RemoveLeftoverUpload) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *RemoveMoved) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Handles implements Handled.
func (m *RemoveMovedUpload) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// Buckets.

// Handles implements Handled.
func (m *ListObjects) Handles() Handling { return HandlesBucket(m.Bucket, ListAccess) }

// Handles implements Handled.
func (m *ListUploads) Handles() Handling { return HandlesBucket(m.Bucket, ListAccess) }

// Handles implements Handled.
func (m *CreateBucket) Handles() Handling { return named(m.Name, ChangeAccess) }

// Handles implements Handled.
func (m *SetBucketProps) Handles() Handling { return named(m.Name, ChangeAccess) }

// Handles implements Handled.
func (m *DestroyBucket) Handles() Handling { return named(m.Name, DeleteAccess) }

// Handles implements Handled.
func (m *EmptyBucket) Handles() Handling { return HandlesBucket(m.Bucket, DeleteAccess) }

// Handles implements Handled.
func (m *DropBucket) Handles() Handling { return HandlesBucket(m.Bucket, DeleteAccess) }
