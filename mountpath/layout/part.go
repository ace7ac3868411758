package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Fields of message Part.
const (
	partNumber    protowire.Number = 1
	partPayload   protowire.Number = 2
	partSize      protowire.Number = 3
	partXXHash    protowire.Number = 4
	partETag      protowire.Number = 5
	partChecksums protowire.Number = 6
	partModified  protowire.Number = 7
	partWhole     protowire.Number = 8
)

// Fields of message Parts.
const partsPart protowire.Number = 1

func appendPartFields(dst []byte, p *objects.Part) []byte {
	dst = appendInt(dst, partNumber, int64(p.Number))
	dst = appendGeneration(dst, partPayload, p.Payload)
	dst = appendInt(dst, partSize, p.Size)
	dst = appendFixed(dst, partXXHash, p.XXHash)
	dst = appendText(dst, partETag, p.ETag)
	dst = appendChecksums(dst, partChecksums, p.Checksums)
	dst = appendTime(dst, partModified, p.Modified)
	return appendBool(dst, partWhole, p.Whole)
}

// part reads the fields of a part to the end of the cursor's message.
func (c *cursor) part(p *objects.Part) {
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case partNumber:
			p.Number = int(c.int(form))
		case partPayload:
			p.Payload = c.generation(form)
		case partSize:
			p.Size = c.int(form)
		case partXXHash:
			p.XXHash = c.fixed(form)
		case partETag:
			p.ETag = c.text(form)
		case partChecksums:
			c.checksum(form, field, &p.Checksums)
		case partModified:
			p.Modified = c.time(form)
		case partWhole:
			p.Whole = c.bool(form)
		default:
			c.skip(field, form)
		}
	}
}

// AppendPart appends the value of a part's key.
func AppendPart(dst []byte, p *objects.Part) []byte {
	start := len(dst)
	return seal(appendPartFields(append(dst, ValueVersion), p), start)
}

// DecodePart reads what AppendPart wrote.
func DecodePart(b []byte) (*objects.Part, error) {
	const op errs.Op = "layout.DecodePart"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	p := new(objects.Part)
	c.part(p)
	if err := c.close(op); err != nil {
		return nil, err
	}
	return p, nil
}

// AppendParts appends the part table of an object made from chunks: the value
// under its payload key.
func AppendParts(dst []byte, parts []objects.Part) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	for i := range parts {
		var at int
		dst, at = openMessage(dst, partsPart)
		dst = closeMessage(appendPartFields(dst, &parts[i]), at)
	}
	return seal(dst, start)
}

// DecodeParts reads what AppendParts wrote.
func DecodeParts(b []byte) ([]objects.Part, error) {
	const op errs.Op = "layout.DecodeParts"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	var parts []objects.Part
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		if field != partsPart {
			c.skip(field, form)
			continue
		}
		var p objects.Part
		outer := c.enter(form)
		c.part(&p)
		c.leave(outer)
		if parts == nil {
			parts = room[objects.Part](&c, field)
		}
		parts = append(parts, p)
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return parts, nil
}
