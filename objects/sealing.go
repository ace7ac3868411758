package objects

import (
	"time"

	"github.com/troupe-storage/troupe/objects/checksum"
)

// Sealing is what is known of a payload after its body, for who keeps a slice of it or all of
// it. Size, XXHash, ETag and Checksums are the payload's, also for a slice.
type Sealing struct {
	Size      int64 // bytes
	XXHash    uint64
	ETag      string
	Checksums []checksum.Value
	Sums      []uint64  // of all slices, by index; nil: the payload was not sliced
	Modified  time.Time // zero: who seals takes the time
	Draft     Draft
}
