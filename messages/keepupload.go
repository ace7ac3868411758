package messages

import (
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/objects/smap"
)

// An upload under way that several nodes keep is what the node in charge of its key has.
// That node makes it so at the others: it asks what they have, looks at its own after
// that, and sends them what they lack.

// KeepUpload has an upload under way become what it is at the node in charge of its key,
// but for parts that lack: those that are not among Parts go. Sent by the gateway to the
// key's write lane; answered by the numbers of the parts that lack when it is durable, or
// by a failure: Busy (MapDiffers, the key was written since CountWrites answered with
// Writes, or an earlier stay of the upload is being reclaimed), Conflict (it became the
// object that is here).
type KeepUpload struct {
	Key    objects.Key
	Upload objects.Upload
	Parts  []objects.Part
	Writes uint64
	Fence  Fence
	Reply  Reply[[]int]
}

// Fail implements Failer.
func (m *KeepUpload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *KeepUpload) Subject() string { return m.Key.String() }

// StorePart has a part of an upload under way kept as the node in charge of its key has
// it; of two of a number the later stays. Sent by the gateway to the coordinator of the
// key's mountpath, as StorePayload. Answered when it is durable, or by a failure:
// NotFound or Conflict (the upload is not under way here), Busy.
type StorePart struct {
	Key      objects.Key
	UploadID string
	Part     objects.Part
	Payload  io.Reader
	Fence    Fence
	Window   *slab.Window // the sender's; the importer pins all of it
	Reply    Reply[Stored]
}

// Fail implements Failer.
func (m *StorePart) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *StorePart) Subject() string { return m.Key.String() }

// RemoveLeftoverUpload is RemoveLeftover for an upload under way. One that is not there
// any more is no failure.
type RemoveLeftoverUpload struct {
	Key      objects.Key
	UploadID string
	Placing  smap.Key // the key, by the bucket's document
	Reply    Reply[struct{}]
}

// Fail implements Failer.
func (m *RemoveLeftoverUpload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *RemoveLeftoverUpload) Subject() string { return m.Key.String() }
