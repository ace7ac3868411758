package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Fields of message Record. What a listing reads comes first.
const (
	recordGeneration protowire.Number = 1
	recordPayload    protowire.Number = 2
	recordDeleted    protowire.Number = 3
	recordWhere      protowire.Number = 4
	recordSize       protowire.Number = 5
	recordXXHash     protowire.Number = 6
	recordETag       protowire.Number = 7
	recordChecksums  protowire.Number = 8
	recordModified   protowire.Number = 9
	recordDraft      protowire.Number = 10
	recordPath       protowire.Number = 11
	recordInode      protowire.Number = 12
	recordBirth      protowire.Number = 13
	recordPartCount  protowire.Number = 14
	recordPartSize   protowire.Number = 15
	recordWrites     protowire.Number = 16
	recordUnsettled  protowire.Number = 17
	recordSlicing    protowire.Number = 18
	recordFollows    protowire.Number = 19
)

// AppendRecord appends the value of an object's key: everything of m.
func AppendRecord(dst []byte, m *objects.Meta) []byte {
	start := len(dst)
	dst = append(dst, versionOf(m.Slicing))
	dst = appendGeneration(dst, recordGeneration, m.Generation)
	dst = appendGeneration(dst, recordPayload, m.Payload)
	dst = appendBool(dst, recordDeleted, m.Deleted)
	dst = appendUint(dst, recordWhere, uint64(m.Where))
	dst = appendInt(dst, recordSize, m.Size)
	dst = appendFixed(dst, recordXXHash, m.XXHash)
	dst = appendText(dst, recordETag, m.ETag)
	dst = appendChecksums(dst, recordChecksums, m.Checksums)
	dst = appendTime(dst, recordModified, m.Modified)
	dst = appendDraft(dst, recordDraft, &m.Draft)
	dst = appendText(dst, recordPath, m.Path)
	dst = appendUint(dst, recordInode, m.Inode)
	dst = appendFixed(dst, recordBirth, uint64(m.Birth))
	dst = appendInt(dst, recordPartCount, int64(m.PartCount))
	dst = appendInt(dst, recordPartSize, m.PartSize)
	dst = appendUint(dst, recordWrites, m.Writes)
	dst = appendBool(dst, recordUnsettled, m.Unsettled)
	dst = appendSlicing(dst, recordSlicing, m.Slicing)
	dst = appendGeneration(dst, recordFollows, m.Follows)
	return seal(dst, start)
}

// DecodeRecord reads what AppendRecord wrote. The record shares nothing with b.
// Times come back in UTC, empty lists as nil. The error is errs.Corrupt with the
// reason, or wraps ErrNewer, as for all Decode functions here.
func DecodeRecord(b []byte) (*objects.Meta, error) {
	const op errs.Op = "layout.DecodeRecord"
	c, err := openCopy(op, SlicedVersion, b)
	if err != nil {
		return nil, err
	}
	m := new(objects.Meta)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case recordGeneration:
			m.Generation = c.generation(form)
		case recordPayload:
			m.Payload = c.generation(form)
		case recordDeleted:
			m.Deleted = c.bool(form)
		case recordWhere:
			m.Where = objects.Where(c.small(form))
		case recordSize:
			m.Size = c.int(form)
		case recordXXHash:
			m.XXHash = c.fixed(form)
		case recordETag:
			m.ETag = c.text(form)
		case recordChecksums:
			c.checksum(form, field, &m.Checksums)
		case recordModified:
			m.Modified = c.time(form)
		case recordDraft:
			c.draft(form, &m.Draft)
		case recordPath:
			m.Path = c.text(form)
		case recordInode:
			m.Inode = c.uint(form)
		case recordBirth:
			m.Birth = int64(c.fixed(form))
		case recordPartCount:
			m.PartCount = int(c.int(form))
		case recordPartSize:
			m.PartSize = c.int(form)
		case recordWrites:
			m.Writes = c.uint(form)
		case recordUnsettled:
			m.Unsettled = c.bool(form)
		case recordSlicing:
			m.Slicing = c.slicing(form)
		case recordFollows:
			m.Follows = c.generation(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return m, nil
}

// DecodeEntry reads from a record what a listing shows: generation, deleted, unsettled,
// size, ETag, time, class, version id, and the algorithms and types of the
// checksums. Everything else in m becomes zero. It shares nothing with b and
// fails where DecodeRecord does, but for faults inside fields that it passes over.
func DecodeEntry(b []byte, m *objects.Meta) error {
	const op errs.Op = "layout.DecodeEntry"
	*m = objects.Meta{}
	c, err := openValue(op, SlicedVersion, b)
	if err != nil {
		return err
	}
	var etag, version []byte
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case recordGeneration:
			m.Generation = c.generation(form)
		case recordDeleted:
			m.Deleted = c.bool(form)
		case recordSize:
			m.Size = c.int(form)
		case recordETag:
			etag = c.bytes(form)
		case recordChecksums:
			c.checksumKind(form, field, &m.Checksums)
		case recordModified:
			m.Modified = c.time(form)
		case recordDraft:
			c.draftKind(form, &m.Class, &version)
		case recordUnsettled:
			m.Unsettled = c.bool(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		*m = objects.Meta{}
		return err
	}
	if len(version) == 0 {
		m.ETag = string(etag)
		return nil
	}
	var room [96]byte // an MD5 with a part count, and a version id: one allocation for both
	both := string(append(append(room[:0], etag...), version...))
	m.ETag, m.VersionID = both[:len(etag)], both[len(etag):]
	return nil
}

// Fields of message Checksum.
const (
	checksumAlgorithm protowire.Number = 1
	checksumType      protowire.Number = 2
	checksumParts     protowire.Number = 3
	checksumSum       protowire.Number = 4
)

func appendChecksums(dst []byte, field protowire.Number, values []checksum.Value) []byte {
	for i := range values {
		v := &values[i]
		var at int
		dst, at = openMessage(dst, field)
		dst = appendUint(dst, checksumAlgorithm, uint64(v.Algorithm))
		dst = appendUint(dst, checksumType, uint64(v.Type))
		dst = appendInt(dst, checksumParts, int64(v.Parts))
		dst = appendText(dst, checksumSum, v.Sum)
		dst = closeMessage(dst, at)
	}
	return dst
}

// checksum reads one element of a list into it.
func (c *cursor) checksum(form protowire.Type, of protowire.Number, list *[]checksum.Value) {
	var v checksum.Value
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case checksumAlgorithm:
			v.Algorithm = checksum.Algorithm(c.small(form))
		case checksumType:
			v.Type = checksum.Type(c.small(form))
		case checksumParts:
			v.Parts = int(c.int(form))
		case checksumSum:
			v.Sum = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
	if *list == nil {
		*list = room[checksum.Value](c, of)
	}
	*list = append(*list, v)
}

// checksumKind reads one element of a list, its algorithm and type only.
func (c *cursor) checksumKind(form protowire.Type, of protowire.Number, list *[]checksum.Value) {
	var v checksum.Value
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case checksumAlgorithm:
			v.Algorithm = checksum.Algorithm(c.small(form))
		case checksumType:
			v.Type = checksum.Type(c.small(form))
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
	if *list == nil {
		*list = room[checksum.Value](c, of)
	}
	*list = append(*list, v)
}
