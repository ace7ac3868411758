package gateway

import (
	"io"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
)

// SliceKeeper is what a node does with slices when another one asks it to. A slice is named by
// a payload generation and an index, and what has such a name never changes: so nothing here
// is fenced, and a node in any state may be asked. It names no payload; records do. Safe for
// concurrent use, but for stages of one slice, which come one after the other.
type SliceKeeper interface {
	// StageSlice appends cells to a slice, and seals it with the last of them. They go where
	// the slice ends, which is 0 where there is none: another offset is errs.Conflict, and
	// nothing is done. What is sealed is answered so, and of cells nothing is read. Cells is
	// nil where the stage has none; with no sealing either it is asked where the slice ends,
	// and none begins by it. What came before a failure stays, where it can go on. It has
	// ended with cells when it returns. A failure is errs.Busy, NoSpace, Offline, Corrupt (a
	// cell, or the sums), Conflict or Canceled (cells ended early); none is an unknown outcome.
	StageSlice(bucket *objects.BucketDoc, name string, s *SliceStage, cells *Arrival) (SliceStaged, error)
	// AbandonStage drops what is staged of a payload. Idempotent.
	AbandonStage(bucket *objects.BucketDoc, name string, payload objects.Generation) error
	// Slice opens bytes of a slice, staged or not; errs.NotFound: it is not there;
	// objects.ErrInvalidRange: it is shorter. The caller closes it. It fails rather than end
	// early.
	Slice(bucket *objects.BucketDoc, name string, w *SliceWanted) (io.ReadCloser, error)
	// HaveSlices tells what the node has of payloads of a name, staged or not.
	HaveSlices(bucket *objects.BucketDoc, name string, payloads []objects.Generation) (HeldSlices, error)
	// BuildSlice makes a slice from what other nodes have, and is asked again while that
	// goes on. erasure.ErrTooFew: they do not have enough.
	BuildSlice(bucket *objects.BucketDoc, name string, b *SliceBuild) (Built, error)
}

// MaxHaveSlices bounds the payloads of one SliceKeeper.HaveSlices.
const MaxHaveSlices = 1000

// SliceStage is cells of a slice on their way to the node that is to have it.
type SliceStage struct {
	Payload  objects.Generation
	Form     erasure.Form
	Index    uint8            // objects.WholeIndex: all of the payload
	Offset   int64            // bytes, in the slice: where the cells go
	Length   int64            // bytes of the cells
	Last     *objects.Sealing // nil: more follow
	UploadID string           // of a part
	Part     int              // of a part: its number; 0: an object's
	// Stall is how long the node may take no byte, and how long its answer may take once
	// it has all; zero: Deadline. It does not shorten the wait for a sealing.
	Stall time.Duration
}

// SliceStaged is how far a slice is staged.
type SliceStaged struct {
	Offset int64 // bytes that are with the file: where the next go
	Sealed bool  // it is at its name, durably
}

// SliceWanted is bytes of a slice that a node is asked for.
type SliceWanted struct {
	Payload        objects.Generation
	Index          uint8         // objects.WholeIndex: all of the payload
	Offset, Length int64         // bytes, within the slice; Length is at least 1
	UploadID       string        // of a part
	Part           int           // of a part: its number; 0: an object's
	Begin          time.Duration // until the answer begins; zero: as long as any
	Stall          time.Duration // between two pieces of it; zero: as long as in any body
}

// HeldSlices is what a node has of payloads.
type HeldSlices struct {
	Indices [][]uint8 // in the order asked; objects.WholeIndex: all of the payload
	Lost    bool      // the node has a mountpath that it has not caught up with
}

// SliceBuild is a slice that a node is to make.
type SliceBuild struct {
	Record *objects.Meta
	Parts  []objects.Part // of an object in parts
	Index  uint8
	Verify bool // look at the one that is there first
}

// Built is how far a slice is made.
type Built struct {
	Done      bool
	Bytes, Of int64 // that are made, and in all
}
