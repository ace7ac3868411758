package layout

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// SidecarVersion is the version of sidecars that this binary writes, and the
// newest that it reads.
const SidecarVersion = 1

// Sidecar is what an attribute cannot carry: the draft of an object whose
// headers, user metadata and tags are long, or, for a part, of its upload. It
// serves rebuild and export; nothing else reads it.
type Sidecar struct {
	Key      objects.Key
	UploadID string             // of a part
	Payload  objects.Generation // which bytes it belongs to
	Draft    objects.Draft
}

// sidecarJSON is a Sidecar as it is written; members as in a manifest.
type sidecarJSON struct {
	Version   int                `json:"version"`
	Bucket    objects.Bucket     `json:"bucket"`
	Name      text               `json:"name"`
	UploadID  text               `json:"upload,omitempty"`
	Payload   generationJSON     `json:"payload"`
	Class     objects.Durability `json:"class,omitempty"`
	VersionID text               `json:"version_id,omitempty"`
	Headers   headersJSON        `json:"headers,omitzero"`
	User      []pairJSON         `json:"user,omitempty"`
	Tags      []pairJSON         `json:"tags,omitempty"`
}

// SidecarPath returns the sidecar of an object's payload:
// sidecars/<xx>/<payload>.json, xx as in VersionPath.
func SidecarPath(payload objects.Generation) string {
	return fmt.Sprintf("%s/%02x/%s.json", SidecarsDir, byte(payload.Seq), payload)
}

// PartSidecarPath returns the sidecar of a part, beside it.
func PartSidecarPath(uploadID string, number int, payload objects.Generation) string {
	return PartPath(uploadID, number, payload) + ".json"
}

// EncodeSidecar writes a sidecar.
func EncodeSidecar(s *Sidecar) ([]byte, error) {
	b, err := encodeDocument(&sidecarJSON{
		Version: SidecarVersion, Bucket: s.Key.Bucket, Name: text(s.Key.Name), UploadID: text(s.UploadID), Payload: generationJSON(s.Payload),
		Class: s.Draft.Class, VersionID: text(s.Draft.VersionID), Headers: headersToJSON(&s.Draft.Headers),
		User: pairsToJSON(s.Draft.User), Tags: pairsToJSON(s.Draft.Tags),
	})
	if err != nil {
		return nil, errs.E("layout.EncodeSidecar", s.Key, errs.Internal, err)
	}
	return b, nil
}

// DecodeSidecar reads what EncodeSidecar wrote. The error is errs.Corrupt with
// the reason, or wraps ErrNewer.
func DecodeSidecar(b []byte) (*Sidecar, error) {
	var doc sidecarJSON
	if err := decodeDocument("layout.DecodeSidecar", "sidecar", b, SidecarVersion, &doc); err != nil {
		return nil, err
	}
	return &Sidecar{
		Key:      objects.Key{Bucket: doc.Bucket, Name: string(doc.Name)},
		UploadID: string(doc.UploadID), Payload: objects.Generation(doc.Payload),
		Draft: objects.Draft{
			Headers: doc.Headers.headers(), User: pairsFromJSON(doc.User), Tags: pairsFromJSON(doc.Tags),
			Class: doc.Class, VersionID: string(doc.VersionID),
		},
	}, nil
}
