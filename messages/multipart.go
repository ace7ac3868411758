package messages

import (
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// CreateUpload begins a multipart upload. Sent by the gateway to the key's write
// lane; answered when it is durable.
type CreateUpload struct {
	Key    objects.Key
	Upload objects.Upload // ID chosen by the sender
	Fence  Fence
	Reply  Reply[struct{}]
}

// Fail implements Failer.
func (m *CreateUpload) Fail(err error) { m.Reply.Fail(err) }

// CompletePart names a part as the client does when completing.
type CompletePart struct {
	Number int
	ETag   string // without quotes
	// Checksums are the part's checksums in S3's form, as far as the client repeats them.
	Checksums map[checksum.Algorithm]string
}

// CompleteUpload turns parts into an object. Sent by the gateway to the key's
// write lane; nothing is copied. Repeating it after success answers the same
// receipt while the object is still that upload's.
type CompleteUpload struct {
	Key         objects.Key
	UploadID    string
	Parts       []CompletePart
	MinPartSize int64  // of every part but the last
	Size        int64  // expected of the whole (x-amz-mp-object-size); -1: not given
	Checksum    string // expected of the whole in S3's form; empty: not given
	Conditions  objects.Conditions
	ETag        objects.ETagKind
	Fence       Fence
	Map         uint64 // set by the lane: version of the map that its turn is under
	Reply       Reply[objects.Receipt]
}

// Fail implements Failer.
func (m *CompleteUpload) Fail(err error) { m.Reply.Fail(err) }

// AbortUpload ends a multipart upload and reclaims its parts. Sent by the
// gateway to the key's write lane; answered when it is durable.
type AbortUpload struct {
	Key      objects.Key
	UploadID string
	Former   bool   // the mountpath is the one that the key leaves, by the roster of Epoch
	Epoch    uint64 // another one refuses it
	Fence    Fence
	// Counted: only if no write of the key began since CountWrites answered with Writes; else
	// Busy.
	Counted bool
	Writes  uint64
	Reply   Reply[struct{}]
}

// Fail implements Failer.
func (m *AbortUpload) Fail(err error) { m.Reply.Fail(err) }

// ListParts asks for the parts of an upload with numbers after After, in order.
// Sent by the gateway to a read lane.
type ListParts struct {
	Key      objects.Key
	UploadID string
	After    int
	Limit    int
	Reply    Reply[*PartPage]
}

// Fail implements Failer.
func (m *ListParts) Fail(err error) { m.Reply.Fail(err) }

// PartPage answers ListParts.
type PartPage struct {
	Upload objects.Upload
	Parts  []objects.Part
	More   bool
}

// ListUploads asks one mountpath for the uploads under way in a bucket, ordered
// by name, then id. Sent by a bucket's lister to a read lane.
type ListUploads struct {
	Bucket             objects.Bucket
	Prefix             string
	AfterName, AfterID string // uploads after this pair; AfterID may be empty: after all of AfterName
	Limit              int
	Reply              Reply[*UploadPage]
}

// Fail implements Failer.
func (m *ListUploads) Fail(err error) { m.Reply.Fail(err) }

// UploadPage answers ListUploads.
type UploadPage struct {
	Uploads []objects.Upload
	More    bool
}
