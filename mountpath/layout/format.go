package layout

import (
	"errors"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// FormatVersion is the version of the layout that this binary writes, and the
// newest that it reads. Of a mountpath of version 1 the document of the node has no mount
// map: binaries that read no more than that would write it without, and serve what it says
// is not to be served.
const FormatVersion = 2

// Format says what a mountpath is and whose: the content of FormatFile.
type Format struct {
	Version     int       `json:"version"` // of the layout, from 1
	ClusterID   string    `json:"cluster"`
	NodeID      string    `json:"node"`
	MountpathID string    `json:"mountpath"`
	IndexFormat string    `json:"index_format"` // as the index names its own
	Created     time.Time `json:"created"`
}

// EncodeFormat writes the content of FormatFile.
func EncodeFormat(f *Format) ([]byte, error) {
	b, err := encodeDocument(f)
	if err != nil {
		return nil, errs.E("layout.EncodeFormat", FormatFile, errs.Internal, err)
	}
	return b, nil
}

// DecodeFormat reads what EncodeFormat wrote. The error is errs.Corrupt with the
// reason, or wraps ErrNewer and names both versions.
func DecodeFormat(b []byte) (*Format, error) {
	const op errs.Op = "layout.DecodeFormat"
	f := new(Format)
	if err := decodeDocument(op, FormatFile, b, FormatVersion, f); err != nil {
		return nil, err
	}
	if f.MountpathID == "" {
		return nil, errs.E(op, FormatFile, errs.Corrupt, errors.New("it names no mountpath"))
	}
	return f, nil
}
