package messages

import (
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Slices are staged before the turn of their key, and named in it.

// StageSlice appends bytes to a slice that is staged, and seals it. Sent by the gateway to
// the coordinator of the key's mountpath, which spawns a stager for it, and refuses a second
// one of the slice meanwhile (Busy). Bytes go where the slice ends, which is 0 where there is
// none: another Offset is Conflict, and nothing is done. Of a slice that is sealed nothing
// is read. Answered by Staged when the bytes are with the file, or, sealed, durable; or by a
// failure, after which what came stays where it can go on. Cells is read by one goroutine;
// its Read fails once the sender has gone. The window stays the sender's; the stager pins
// all of it.
type StageSlice struct {
	Key      objects.Key
	Payload  objects.Generation
	Form     erasure.Form
	Index    uint8     // objects.WholeIndex: all of the payload
	Offset   int64     // bytes, in the slice: where Cells go
	Length   int64     // bytes of Cells
	SizeHint int64     // bytes of the file; -1: not known
	Cells    io.Reader // nil: none come
	// Last ends the slice; nil: more follow. Without Cells and Last it is asked where the
	// slice ends, and none begins by it.
	Last     *objects.Sealing
	UploadID string // of a part
	Part     int    // of a part: its number; 0: an object's
	Window   *slab.Window
	Reply    Reply[Staged]
}

// Fail implements Failer.
func (m *StageSlice) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *StageSlice) Subject() string { return m.Key.String() }

// Handles implements Handled.
func (m *StageSlice) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }

// Staged is how far a slice is staged.
type Staged struct {
	Offset int64 // bytes that are with the file: where the next go
	Sealed bool  // it is at its name, durably
}

// AbandonStage drops what is staged of a payload, but for what is being committed. Sent by
// the gateway to the coordinator of the key's mountpath, whose keeper does it: there is no
// admission. Answered when it is gone; idempotent. One that is lost costs space for
// store.StageTime.
type AbandonStage struct {
	Key     objects.Key
	Payload objects.Generation
	Reply   Reply[struct{}]
}

// Fail implements Failer.
func (m *AbandonStage) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *AbandonStage) Subject() string { return m.Key.String() }

// Handles implements Handled.
func (m *AbandonStage) Handles() Handling { return HandlesKey(m.Key, DeleteAccess) }

// PutSlices commits an object whose slices are staged. Sent by the gateway to the key's
// write lane. Answered by a Receipt when the record is durable, or by a failure: Busy around
// objects.ErrNoSlice says that a slice that Meta names here is not here. What is staged
// stays so if nothing was stored.
type PutSlices struct {
	Key        objects.Key
	Meta       objects.Meta // Generation is the lane's to set
	Conditions objects.Conditions
	Fence      Fence
	Reply      Reply[objects.Receipt]
}

// Fail implements Failer.
func (m *PutSlices) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *PutSlices) Subject() string { return m.Key.String() }

// Handles implements Handled.
func (m *PutSlices) Handles() Handling { return HandlesKey(m.Key, WriteAccess) }
