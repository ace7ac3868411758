package messages

import (
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// An object moves between two mountpaths of a node in two exchanges, both of which
// the mover asks for: the destination imports it, and answers once it is durable;
// then the source removes it, if it is still the same. Who reads asks the
// destination first, and where that has nothing the source.

// ImportObject makes a mountpath copy an object from another one of the node, and
// make it its own with its record, generation and all, unless what it has is as
// new. Sent by a mover to the destination's coordinator, which spawns an importer
// for it; answered by Imported when the object is durable there, or by a failure:
// Busy (too many transfers, the key is being moved, written or reclaimed; later it
// works), Corrupt (the source is damaged: nothing was changed), NoSpace, Offline.
type ImportObject struct {
	Key    objects.Key
	From   *MountpathView
	Window *slab.Window // the sender's; the importer pins all of it
	Reply  Reply[Imported]
}

// Fail implements Failer.
func (m *ImportObject) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *ImportObject) Subject() string { return m.Key.String() }

// Imported answers ImportObject.
type Imported struct {
	Found      bool               // the source has such an object; false: there is nothing to move
	Generation objects.Generation // of the source's record: what RemoveMoved is to remove
	Bytes      int64              // of its payload
	Copied     bool               // the destination had nothing as new
}

// RemoveMoved removes an object from the mountpath that it was moved from, if its
// record still is of that generation, and the set of mountpaths has not changed since
// the import was asked for: else what was copied may have moved back, and be the only
// one. Sent by a mover to the write lane of the
// source, after Imported. Conflict: it was written there meanwhile, and is to be
// moved again. One that is not there any more is no failure.
type RemoveMoved struct {
	Key        objects.Key
	Generation objects.Generation
	Epoch      uint64 // of the roster, from before the import
	Reply      Reply[struct{}]
}

// Fail implements Failer.
func (m *RemoveMoved) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *RemoveMoved) Subject() string { return m.Key.String() }

// ImportUpload is ImportObject for a multipart upload under way. Parts that the
// destination has already stay; of two with one number the later counts.
type ImportUpload struct {
	Key      objects.Key
	UploadID string
	From     *MountpathView
	Window   *slab.Window
	Reply    Reply[UploadImported]
}

// Fail implements Failer.
func (m *ImportUpload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *ImportUpload) Subject() string { return m.Key.String() }

// UploadImported answers ImportUpload.
type UploadImported struct {
	Found bool                 // the source has such an upload
	Parts []objects.Generation // payload generations of the source's parts: what RemoveMovedUpload is to remove
	Bytes int64
}

// RemoveMovedUpload is RemoveMoved for an upload: it is removed if it has exactly
// those parts.
type RemoveMovedUpload struct {
	Key      objects.Key
	UploadID string
	Parts    []objects.Generation
	Epoch    uint64
	Reply    Reply[struct{}]
}

// Fail implements Failer.
func (m *RemoveMovedUpload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *RemoveMovedUpload) Subject() string { return m.Key.String() }

// ExportUpload asks for an upload under way with the means to read its parts. Sent
// by an importer to a read lane of the source.
type ExportUpload struct {
	Key      objects.Key
	UploadID string
	Only     int // number of the one part that is wanted; 0: all
	Reply    Reply[*UploadExported]
}

// Fail implements Failer.
func (m *ExportUpload) Fail(err error) { m.Reply.Fail(err) }

// Subject implements Subjected.
func (m *ExportUpload) Subject() string { return m.Key.String() }

// UploadExported answers ExportUpload. A part that is replaced or removed
// meanwhile fails to open with Busy: the upload is to be exported again.
type UploadExported struct {
	Upload objects.Upload
	Parts  PartReader
}
