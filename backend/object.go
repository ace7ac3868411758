package backend

import (
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Unsized is the Size of an object whose store does not say.
const Unsized = -1

// Object is what a store tells of an object. Empty fields: it does not say.
type Object struct {
	Name string
	// ETag is the store's, without quotes.
	ETag string
	// Version tells this content of the name from every other one: a version id, or a
	// strong ETag. Two that are equal are of the same bytes.
	Version  string
	Size     int64 // bytes; Unsized
	Modified time.Time
	Sums     []checksum.Value // of the whole payload
	MD5      string           // 16 raw bytes
	Headers  objects.Headers
	User     []objects.Pair
}
