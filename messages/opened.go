package messages

import (
	"io"
	"os"

	"github.com/troupe-storage/troupe/objects"
)

// ObjectOpened answers OpenObject. The receiver closes it exactly once.
type ObjectOpened struct {
	Meta   *objects.Meta
	Inline int         // bytes of payload in slot 0 of the window, for objects.Inline
	File   PayloadFile // for objects.File: its own descriptor
	Parts  *PartReader
	Lease  Lease // for objects.Chunks: keeps the part files while it is open
}

// SliceOpened is a slice, or all of a payload, that is open for reading. The receiver closes
// it exactly once.
type SliceOpened struct {
	File   PayloadFile // its own descriptor; nil: the payload was in the index
	Inline int         // bytes of payload in the room that was given, where File is nil
	Bytes  int64       // of the slice
}

// Close gives back what the answer holds. Idempotent.
func (o *SliceOpened) Close() {
	if o != nil && o.File != nil {
		_ = o.File.Close() // it was only read: nothing can be lost here
		o.File = nil
	}
}

// Close gives back what the answer holds. Idempotent.
func (o *ObjectOpened) Close() {
	if o == nil {
		return
	}
	if o.File != nil {
		_ = o.File.Close() // it was only read: nothing can be lost here
		o.File = nil
	}
	if o.Lease != nil {
		o.Lease.Release()
		o.Lease = nil
	}
}

// Lease keeps the payload files of one generation from being reclaimed until it
// is released or its deadline passes. Release is idempotent and safe from any
// goroutine; it is a table entry's end, not a message, so that a body stream can
// call it in Close.
type Lease interface{ Release() }

// PartReader opens the part files of a chunked object one after the other.
type PartReader struct {
	Parts []objects.Part
	// Open opens the file of Parts[i]; the caller closes it. Safe for concurrent use.
	Open func(i int) (PayloadFile, error)
}

// VerifiedFile is a PayloadFile that wants to know when all of it was read, in one go, and
// was what its record says.
type VerifiedFile interface {
	PayloadFile
	Verified()
}

// PayloadFile is an open payload file.
type PayloadFile interface {
	// ReadAt tells the mountpath how long its disk took, and of its errors; what the
	// kernel sends does not.
	io.ReaderAt
	io.Closer
	// Sent tells the mountpath that the kernel has sent so many bytes from what OS
	// returned, since the last ReadAt.
	Sent(bytes int64)
	// OS returns the descriptor from which the kernel can send, at offset 0 and
	// the caller's to seek; nil where there is none.
	OS() *os.File
}
