package messages

import (
	"io"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/slab"
)

// OpenUpload asks a mountpath's coordinator for a transfer that takes a large
// payload: an object, or a part of a multipart upload (Part > 0). Sent by the
// gateway. Answered by UploadOpened, or by a failure (Busy beyond the mountpath's
// transfers, NoSpace, Offline). The transfer ends by FinishUpload, AbandonUpload,
// or when it heard nothing for its idle time.
type OpenUpload struct {
	Key        objects.Key
	Draft      objects.Draft
	Conditions objects.Conditions
	ETag       objects.ETagKind
	Sums       []checksum.Algorithm // to compute, beside xxhash64 and the ETag
	WantMD5    bool                 // the client sent one, whatever the ETag is
	WantSHA256 bool                 // the signature names one
	SizeHint   int64                // -1: unknown
	Holders    int                  // as Fence.Holders
	Writes     uint64               // of the object's predecessor, where that is on another mountpath
	UploadID   string               // of a multipart upload, for a part
	Part       int                  // number of the part; 0: an object
	Window     *slab.Window         // the sender's; the transfer pins one slab per chunk
	Written    chan ChunkWritten    // with room for every slab of the window, and one
	Reply      Reply[UploadOpened]
}

// Fail implements Failer.
func (m *OpenUpload) Fail(err error) { m.Reply.Fail(err) }

// UploadOpened answers OpenUpload.
type UploadOpened struct{ Transfer *actor.PID }

// WriteChunk appends the first Len bytes of the window's slab Slot. Sent by the
// gateway to the transfer, in order. Answered on OpenUpload.Written, in order and
// at the latest when the window is full, since chunks are written together; after
// a failure every further chunk fails with it. FinishUpload may follow before the
// last are answered.
type WriteChunk struct {
	Slot    int
	Len     int
	Offset  int64             // in the payload: bytes sent before
	Written chan ChunkWritten // that of OpenUpload, for who refuses the chunk
}

// Fail implements Failer.
func (m *WriteChunk) Fail(err error) {
	select {
	case m.Written <- ChunkWritten{Slot: m.Slot, Err: err}:
	default: // nobody waits any more
	}
}

// ChunkWritten answers WriteChunk: the slab may be filled again. Slot -1 says
// that the transfer has ended.
type ChunkWritten struct {
	Slot int
	Err  error
}

// FinishUpload says that the body is complete. Sent by the gateway to the
// transfer, which compares the checksums expected, syncs, and hands the work file
// to the key's lane; the lane (or the transfer, failing) answers.
type FinishUpload struct {
	Size     int64            // must be what was written
	Sent     int64            // bytes of all chunks sent; fewer have come if one was refused
	MD5      string           // raw, expected; empty: not given
	SHA256   string           // raw, expected of the payload by its signature; empty: not given
	Expect   []checksum.Value // as the client sent them, in header or trailer
	Modified time.Time        // the object's Last-Modified
	Fence    Fence
	Reply    Reply[Uploaded]
}

// Fail implements Failer.
func (m *FinishUpload) Fail(err error) { m.Reply.Fail(err) }

// Uploaded answers FinishUpload: the receipt of the object, or the part.
type Uploaded struct {
	Receipt objects.Receipt
	Part    objects.Part
}

// Parked is the cause of the failure of FinishUpload where the key has come to belong
// to another mountpath while its payload arrived: nothing was done, and the payload,
// which its sender cannot send twice, can be read where it is. It is an ErrMoved.
type Parked struct {
	Payload io.ReaderAt // fails with Busy when it has been kept for long enough
	Size    int64       // bytes
	Release func()      // ends the need for it; may be called more than once
}

// Error implements error.
func (p *Parked) Error() string { return ErrMoved.Error() }

// Is makes it an ErrMoved.
func (p *Parked) Is(target error) bool { return target == ErrMoved }

// AbandonUpload says that no more will come: the client vanished or its
// signature did not hold. Sent by the gateway to the transfer; not answered.
type AbandonUpload struct{ Reason error }
