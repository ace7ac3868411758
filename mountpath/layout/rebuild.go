package layout

import (
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// RebuildVersion is the version of RebuildFile.
const RebuildVersion = 1

// Rebuild is the content of RebuildFile: a rebuild has made a whole new index in
// RebuiltDir and is about to put it in the place of the old one. It is durable
// before the first rename and goes after the last, so that whoever finds it knows
// that the index's directory may be the old one, the new one, or absent.
type Rebuild struct {
	// Old is the name, in Private, that the old index gets; empty: there is none.
	Old   string
	Begun time.Time
}

type rebuildJSON struct {
	Version int       `json:"version"`
	Old     string    `json:"old,omitempty"`
	Begun   time.Time `json:"begun"`
}

// EncodeRebuild writes the content of RebuildFile.
func EncodeRebuild(r *Rebuild) ([]byte, error) {
	b, err := encodeDocument(&rebuildJSON{Version: RebuildVersion, Old: r.Old, Begun: r.Begun})
	if err != nil {
		return nil, errs.E("layout.EncodeRebuild", RebuildFile, errs.Internal, err)
	}
	return b, nil
}

// DecodeRebuild reads what EncodeRebuild wrote.
func DecodeRebuild(b []byte) (*Rebuild, error) {
	var doc rebuildJSON
	if err := decodeDocument("layout.DecodeRebuild", RebuildFile, b, RebuildVersion, &doc); err != nil {
		return nil, err
	}
	return &Rebuild{Old: doc.Old, Begun: doc.Begun}, nil
}
