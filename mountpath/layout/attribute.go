package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxAttributeBytes is the longest attribute that is set. ext4 with blocks of 4
// KiB refuses a little less than 4,096 bytes for all attributes of a file
// together, with ENOSPC; 3 KiB leave room for what others set (ACLs, labels).
const MaxAttributeBytes = 3 << 10

// Attribute is what the extended attribute AttributeName of every payload file
// says: whose bytes these are, and what they must hash to. It is set on the work
// file before its fsync and goes with the file wherever it is renamed or linked.
type Attribute struct {
	Key        objects.Key
	Payload    objects.Generation
	Size       int64
	XXHash     uint64
	ETag       string
	Checksums  []checksum.Value
	PartNumber int    // of a part, 1 to 10,000; 0: a whole object
	UploadID   string // of a part

	// SupersededBy is set on files in VersionsDir: the generation of the version
	// that made this one noncurrent. Zero: current.
	SupersededBy objects.Generation
	// ByMarker says that that version is a delete marker.
	ByMarker bool
}

// Fields of message Attribute.
const (
	attributeKey          protowire.Number = 1
	attributePayload      protowire.Number = 2
	attributeSize         protowire.Number = 3
	attributeXXHash       protowire.Number = 4
	attributeETag         protowire.Number = 5
	attributeChecksums    protowire.Number = 6
	attributePartNumber   protowire.Number = 7
	attributeUploadID     protowire.Number = 8
	attributeSupersededBy protowire.Number = 9
	attributeByMarker     protowire.Number = 10
)

// AppendAttribute appends an attribute's value. Ask AttributeFits before it is set.
func AppendAttribute(dst []byte, a *Attribute) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendKey(dst, attributeKey, &a.Key)
	dst = appendGeneration(dst, attributePayload, a.Payload)
	dst = appendInt(dst, attributeSize, a.Size)
	dst = appendFixed(dst, attributeXXHash, a.XXHash)
	dst = appendText(dst, attributeETag, a.ETag)
	dst = appendChecksums(dst, attributeChecksums, a.Checksums)
	dst = appendInt(dst, attributePartNumber, int64(a.PartNumber))
	dst = appendText(dst, attributeUploadID, a.UploadID)
	dst = appendGeneration(dst, attributeSupersededBy, a.SupersededBy)
	dst = appendBool(dst, attributeByMarker, a.ByMarker)
	return seal(dst, start)
}

// AttributeFits reports whether an encoded attribute may be set on a file. One
// of a legal key always does: a name of 1,024 bytes, a bucket of 64 in a
// namespace of 97, all five checksums and every number together take less than
// half of MaxAttributeBytes.
func AttributeFits(encoded []byte) bool { return len(encoded) <= MaxAttributeBytes }

// DecodeAttribute reads what AppendAttribute wrote.
func DecodeAttribute(b []byte) (*Attribute, error) {
	const op errs.Op = "layout.DecodeAttribute"
	c, err := openCopy(op, b)
	if err != nil {
		return nil, err
	}
	a := new(Attribute)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case attributeKey:
			c.key(form, &a.Key)
		case attributePayload:
			a.Payload = c.generation(form)
		case attributeSize:
			a.Size = c.int(form)
		case attributeXXHash:
			a.XXHash = c.fixed(form)
		case attributeETag:
			a.ETag = c.text(form)
		case attributeChecksums:
			c.checksum(form, field, &a.Checksums)
		case attributePartNumber:
			a.PartNumber = int(c.int(form))
		case attributeUploadID:
			a.UploadID = c.text(form)
		case attributeSupersededBy:
			a.SupersededBy = c.generation(form)
		case attributeByMarker:
			a.ByMarker = c.bool(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return a, nil
}
