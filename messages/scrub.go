package messages

import (
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// ScrubAccess is what the scrubber does: of a key, to verify its payload; of a bucket, to
// walk its records.
const ScrubAccess Access = "scrub"

// ScrubPhase says what a scrubber is at.
type ScrubPhase string

// The phases.
const (
	ScrubOff      ScrubPhase = "off"      // it is switched off, or the mountpath is only read
	ScrubCounting ScrubPhase = "counting" // what is left to be verified
	ScrubWalking  ScrubPhase = "walking"  // and verifying
	ScrubResting  ScrubPhase = "resting"  // everything was verified in time
)

// ScrubStatus is what the scrubber of one mountpath has done.
type ScrubStatus struct {
	Phase     ScrubPhase
	Cycle     uint64    // from 1; 0: it has not begun
	Begun     time.Time // the cycle
	Due       time.Time // by when it is to be through
	Ended     time.Time // zero: it is under way
	At        objects.Key
	Bytes     int64 // verified in this cycle
	Payloads  int64 // likewise
	Remaining int64 // bytes left in this cycle, as counted last and since
	Read      int64 // bytes read since the store was opened
	Taken     int64 // bytes that clients read and verified, in this cycle
	Skipped   int64 // payloads that could not be verified in this cycle
	Passing   int64 // of what looked damaged, so much was not at the second look, since the store was opened
	Found     int64 // payloads found damaged, ever
	Damaged   int64 // payloads that are damaged now

	Findings []ScrubFinding // of those that are damaged now, the first of them
	Skips    []ScrubFinding // likewise, of this process
	Ranges   []ScrubAges
}

// ScrubAges says of the objects, or of the parts of uploads under way, of one bucket, how
// long ago they were verified, or written.
type ScrubAges struct {
	Bucket  objects.BucketID
	Uploads bool // it is about parts of uploads under way
	Ages    []ScrubAge
}

// ScrubAge is payloads of which none was verified, or written, before a time.
type ScrubAge struct {
	At       time.Time
	Bytes    int64
	Payloads int64
}

// ScrubFinding is a payload that is not what was stored, or that could not be verified.
type ScrubFinding struct {
	Key      objects.Key
	UploadID string // of a part of an upload under way
	Part     int    // 0: it is about the payload as a whole
	Payload  objects.Generation
	Reason   string
	At       time.Time
	Path     string // where the file was that was put aside; empty: none was
}
