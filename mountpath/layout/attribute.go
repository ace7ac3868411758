package layout

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/erasure"
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

	// What follows is what a rebuild of the index needs and no reader asks for.

	// Modified is S3's Last-Modified; zero in files written before it was here:
	// then the file's own time stands for it.
	Modified time.Time
	// Draft is what was known before the body (of a part: of its upload), nil if
	// it does not fit (DraftFits) or if nothing was known.
	Draft *objects.Draft
	// Sidecar says that the draft does not fit and lies beside: SidecarPath, of a
	// part PartSidecarPath.
	Sidecar bool
	// Wanted is the checksum that the part's upload announced for the whole.
	Wanted checksum.Wanted
	// Initiated is when the part's upload began.
	Initiated time.Time

	// Form is set on files in SlicesDir, and on those of sliced uploads: the file is a slice
	// of the payload, or a whole one. Size and checksums are always the payload's.
	Form erasure.Form
	// Index is which slice, with a Form; objects.WholeIndex: the file is the payload.
	Index uint8
	// Sums are those of all slices, as erasure.Label has them; nil: the payload was not sliced.
	Sums []uint64
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
	attributeModified     protowire.Number = 11
	attributeDraft        protowire.Number = 12
	attributeSidecar      protowire.Number = 13
	attributeAlgorithm    protowire.Number = 14
	attributeType         protowire.Number = 15
	attributeInitiated    protowire.Number = 16
	attributeForm         protowire.Number = 17
	attributeIndex        protowire.Number = 18
	attributeSums         protowire.Number = 19
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
	dst = appendTime(dst, attributeModified, a.Modified)
	if a.Draft != nil {
		dst = appendDraft(dst, attributeDraft, a.Draft)
	}
	dst = appendBool(dst, attributeSidecar, a.Sidecar)
	dst = appendUint(dst, attributeAlgorithm, uint64(a.Wanted.Algorithm))
	dst = appendUint(dst, attributeType, uint64(a.Wanted.Type))
	dst = appendTime(dst, attributeInitiated, a.Initiated)
	if a.Form != (erasure.Form{}) {
		dst = appendSlicing(dst, attributeForm, &objects.Slicing{Data: a.Form.Data, Parity: a.Form.Parity, CellBytes: a.Form.CellBytes})
		if a.Index != objects.WholeIndex { // 0 is written: it is not absent
			dst = protowire.AppendVarint(protowire.AppendTag(dst, attributeIndex, protowire.VarintType), uint64(a.Index))
		}
		dst = appendSums(dst, attributeSums, a.Sums)
	}
	return seal(dst, start)
}

// MaxAttributeDraftBytes is the longest draft that an attribute carries, as
// encoded: half of MaxAttributeBytes, since everything else of an attribute takes
// less than the other half.
const MaxAttributeDraftBytes = MaxAttributeBytes / 2

// DraftFits reports whether an object's attribute carries its draft. Where it
// does not, a sidecar does.
func DraftFits(d *objects.Draft) bool {
	return len(appendDraft(nil, attributeDraft, d)) <= MaxAttributeDraftBytes
}

// CarryDraft puts the draft into the attribute, or says that a sidecar has it.
// The draft is kept, not copied. An empty one is carried as nil. All else is in the
// attribute: beside the sums of many slices a draft may not fit that would fit otherwise.
func (a *Attribute) CarryDraft(d *objects.Draft) {
	a.Draft, a.Sidecar = nil, false
	switch encoded := len(appendDraft(nil, attributeDraft, d)); {
	case encoded > MaxAttributeDraftBytes, a.Sums != nil && len(AppendAttribute(nil, a))+encoded > MaxAttributeBytes:
		a.Sidecar = true
	case encoded > 0:
		a.Draft = d
	}
}

// checkSlice says why what the attribute says of a slice cannot be, or nil, and makes one
// without a form one that says nothing of slices.
func (a *Attribute) checkSlice() error {
	switch width := a.Form.Slices(); {
	case a.Form == (erasure.Form{}) && a.Sums != nil:
		return errors.New("sums of slices that have no form")
	case a.Form == (erasure.Form{}):
		a.Index = 0
		return nil
	case a.Form.Check() != nil:
		return a.Form.Check()
	case a.Index != objects.WholeIndex && int(a.Index) >= width:
		return fmt.Errorf("slice %d of %d", a.Index, width)
	case a.Sums != nil && len(a.Sums) != width:
		return fmt.Errorf("sums of %d slices of %d", len(a.Sums), width)
	}
	return nil
}

// AttributeFits reports whether an encoded attribute may be set on a file. One
// of a legal key always does: a name of 1,024 bytes, a bucket of 64 in a
// namespace of 97, all five checksums and every number together take less than
// half of MaxAttributeBytes, and the draft at most the other half; beside the sums
// of slices, what they leave of it.
func AttributeFits(encoded []byte) bool { return len(encoded) <= MaxAttributeBytes }

// DecodeAttribute reads what AppendAttribute wrote.
func DecodeAttribute(b []byte) (*Attribute, error) {
	const op errs.Op = "layout.DecodeAttribute"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	a := &Attribute{Index: objects.WholeIndex}
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
		case attributeModified:
			a.Modified = c.time(form)
		case attributeDraft:
			if a.Draft == nil {
				a.Draft = new(objects.Draft)
			}
			c.draft(form, a.Draft)
		case attributeSidecar:
			a.Sidecar = c.bool(form)
		case attributeAlgorithm:
			a.Wanted.Algorithm = checksum.Algorithm(c.small(form))
		case attributeType:
			a.Wanted.Type = checksum.Type(c.small(form))
		case attributeInitiated:
			a.Initiated = c.time(form)
		case attributeForm:
			if s := c.slicing(form); s != nil {
				a.Form = erasure.Form{Data: s.Data, Parity: s.Parity, CellBytes: s.CellBytes}
			}
		case attributeIndex:
			a.Index = c.small(form)
		case attributeSums:
			a.Sums = c.sums(form)
		default:
			c.skip(field, form)
		}
	}
	if err := a.checkSlice(); err != nil {
		c.fail("%w", err)
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return a, nil
}
