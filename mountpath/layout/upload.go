package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Fields of message Upload.
const (
	uploadID        protowire.Number = 1
	uploadName      protowire.Number = 2
	uploadInitiated protowire.Number = 3
	uploadAlgorithm protowire.Number = 4
	uploadType      protowire.Number = 5
	uploadDraft     protowire.Number = 6
	uploadSlicing   protowire.Number = 7
)

// AppendUpload appends the value of an upload's key.
func AppendUpload(dst []byte, u *objects.Upload) []byte {
	start := len(dst)
	dst = append(dst, versionOf(u.Slicing))
	dst = appendText(dst, uploadID, u.ID)
	dst = appendText(dst, uploadName, u.Name)
	dst = appendTime(dst, uploadInitiated, u.Initiated)
	dst = appendUint(dst, uploadAlgorithm, uint64(u.Checksum.Algorithm))
	dst = appendUint(dst, uploadType, uint64(u.Checksum.Type))
	dst = appendDraft(dst, uploadDraft, &u.Draft)
	dst = appendSlicing(dst, uploadSlicing, u.Slicing)
	return seal(dst, start)
}

// DecodeUpload reads what AppendUpload wrote.
func DecodeUpload(b []byte) (*objects.Upload, error) {
	const op errs.Op = "layout.DecodeUpload"
	c, err := openCopy(op, SlicedVersion, b)
	if err != nil {
		return nil, err
	}
	u := new(objects.Upload)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case uploadID:
			u.ID = c.text(form)
		case uploadName:
			u.Name = c.text(form)
		case uploadInitiated:
			u.Initiated = c.time(form)
		case uploadAlgorithm:
			u.Checksum.Algorithm = checksum.Algorithm(c.small(form))
		case uploadType:
			u.Checksum.Type = checksum.Type(c.small(form))
		case uploadDraft:
			c.draft(form, &u.Draft)
		case uploadSlicing:
			u.Slicing = c.slicing(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return u, nil
}
