package objects

import (
	"time"

	"github.com/troupe-storage/troupe/objects/checksum"
)

// Where says what holds an object's payload.
type Where uint8

const (
	// Inline: in the index, beside the record.
	Inline Where = 1
	// File: one plain file.
	File Where = 2
	// Chunks: part files of a completed multipart upload, in order.
	Chunks Where = 3
	// Slices: files that hold slices of it, or all of it, as Meta.Slicing says.
	Slices Where = 4
	// Remote: known to a backend, not here (later).
	Remote Where = 5
)

// Pair is one entry of user metadata or of a tag set.
type Pair struct{ Name, Value string }

// Headers are the content headers that a client gives with an object and gets
// back with it. Empty: not given.
type Headers struct {
	ContentType        string
	ContentEncoding    string
	ContentDisposition string
	ContentLanguage    string
	CacheControl       string
	Expires            string // as sent; S3 does not read it
	Redirect           string // x-amz-website-redirect-location
}

// Draft is what is known of an object before its body: what a writer asks for.
type Draft struct {
	Headers Headers
	User    []Pair // user metadata: lower-case names without x-amz-meta-, in the order sent
	Tags    []Pair
	Class   Durability
	// VersionID is the id of the version to be made; empty where the bucket is
	// not versioned. (The API that fills it follows; the format has it.)
	VersionID string
}

// Meta is the record of one version of an object: everything but its bytes.
// A Meta is immutable once it was published; Headers and slices are shared.
type Meta struct {
	Generation Generation // orders writes; taken in the lane's turn
	Payload    Generation // names the bytes; taken when the transfer started
	Deleted    bool       // a delete marker: no payload
	// Unsettled: not every node that must have the record is known to have it. It is
	// sent to all of them before it is shown, judged or copied. Nodes that are alone
	// write none.
	Unsettled bool
	Where     Where
	Path      string // File: the escaped path below the mountpath; empty: the natural one
	Inode     uint64 // File: fast check that the file is the one recorded; 0: unknown
	Birth     int64  // File: birth time in ns, likewise; 0: the filesystem has none

	Size      int64
	XXHash    uint64 // xxhash64 of the payload (Chunks: of the parts' xxhashes, big-endian)
	ETag      string // without quotes
	Checksums []checksum.Value
	Modified  time.Time // S3's Last-Modified; never used for order

	// Writes counts the writes of the name since it last named nothing: what native
	// clients see as version "1", "2", … A metadata change is none. 0: written
	// before there was a count.
	Writes uint64

	PartCount int   // Chunks: how many
	PartSize  int64 // Chunks: size of every part but the last where they are equal, else 0

	// Slicing says which nodes hold the payload, and in what form; nil: it lies where the
	// record does. Slices has one; Inline, Chunks and File may.
	Slicing *Slicing
	// Follows is the generation of the record that was settled when this one was written;
	// zero: there was none, or the bucket is not erasure-coded.
	Follows Generation

	Draft
}

// CountAfter sets Writes for a record that replaces old, which is nil or a delete
// marker where there was no object: then Writes counts from what it is, which is 0
// but for an object whose predecessor is on another mountpath.
func (m *Meta) CountAfter(old *Meta) {
	if old != nil && !old.Deleted {
		m.Writes = old.Writes
	}
	m.Writes++
}

// Part is one part of a multipart upload, or one chunk of an object made from it.
type Part struct {
	Number    int        // as the client counts, 1 to 10,000
	Payload   Generation // names the file parts/<upload>/<number>.<payload>
	Size      int64
	XXHash    uint64
	ETag      string // MD5 in hexadecimal, or a fast one
	Checksums []checksum.Value
	Modified  time.Time
	// Whole: of an upload with a Slicing, this part is not sliced.
	Whole bool
}

// Upload is a multipart upload under way.
type Upload struct {
	ID        string // 32 hexadecimal digits
	Name      string // of the object it will become
	Initiated time.Time
	// Checksum is what the client announced for the whole: algorithm and type.
	Checksum checksum.Wanted
	// Slicing is the form of all parts, and the nodes that hold them; nil: parts lie where
	// the upload does.
	Slicing *Slicing
	Draft
}

// Receipt is what a write reached, for the answer to it.
type Receipt struct {
	Class      Durability
	Disks      int // mountpaths that hold it
	Nodes      int
	Generation Generation
	Meta       *Meta // the record as committed
}
