package layout

import (
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ManifestVersion is the version of manifests that this binary writes, and the
// newest that it reads.
const ManifestVersion = 1

// Manifest says which parts make an object, in order, and everything else of its
// record that is not in the parts' attributes. It lies beside the parts, is
// durable before the index names it, and serves rebuild and export: with it the
// parts are an object even where the index is lost.
type Manifest struct {
	Key       objects.Key
	UploadID  string
	Payload   objects.Generation // names this manifest in the record
	Size      int64
	XXHash    uint64
	ETag      string
	Checksums []checksum.Value
	Modified  time.Time
	Draft     objects.Draft
	Parts     []objects.Part // in the order of their bytes
}

// manifestJSON is a Manifest as it is written.
type manifestJSON struct {
	Version   int                `json:"version"`
	Bucket    objects.Bucket     `json:"bucket"`
	Name      text               `json:"name"`
	UploadID  text               `json:"upload"`
	Payload   generationJSON     `json:"payload"`
	Size      int64              `json:"size"`
	XXHash    digest             `json:"xxhash"`
	ETag      text               `json:"etag"`
	Checksums []checksumJSON     `json:"checksums,omitempty"`
	Modified  time.Time          `json:"modified,omitzero"`
	Class     objects.Durability `json:"class,omitempty"`
	VersionID text               `json:"version_id,omitempty"`
	Headers   headersJSON        `json:"headers,omitzero"`
	User      []pairJSON         `json:"user,omitempty"`
	Tags      []pairJSON         `json:"tags,omitempty"`
	Parts     []manifestPartJSON `json:"parts"`
}

type manifestPartJSON struct {
	Number    int            `json:"number"`
	File      string         `json:"file"` // beside the manifest
	Size      int64          `json:"size"`
	XXHash    digest         `json:"xxhash"`
	ETag      text           `json:"etag"`
	Checksums []checksumJSON `json:"checksums,omitempty"`
	Modified  time.Time      `json:"modified,omitzero"`
}

type headersJSON struct {
	ContentType        text `json:"content-type,omitempty"`
	ContentEncoding    text `json:"content-encoding,omitempty"`
	ContentDisposition text `json:"content-disposition,omitempty"`
	ContentLanguage    text `json:"content-language,omitempty"`
	CacheControl       text `json:"cache-control,omitempty"`
	Expires            text `json:"expires,omitempty"`
	Redirect           text `json:"x-amz-website-redirect-location,omitempty"`
}

type pairJSON struct {
	Name  text `json:"name"`
	Value text `json:"value"`
}

// checksumJSON is a checksum as S3 writes it.
type checksumJSON struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

type generationJSON objects.Generation

// MarshalText implements encoding.TextMarshaler.
func (g generationJSON) MarshalText() ([]byte, error) {
	return []byte(objects.Generation(g).String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *generationJSON) UnmarshalText(b []byte) error {
	parsed, err := objects.ParseGeneration(string(b))
	*g = generationJSON(parsed)
	return err
}

// EncodeManifest writes a manifest. It fails for checksums that S3 has no form
// for, which no upload of ours has.
func EncodeManifest(m *Manifest) ([]byte, error) {
	b, err := encodeManifest(m)
	if err != nil {
		return nil, errs.E("layout.EncodeManifest", m.Key, errs.Internal, err)
	}
	return b, nil
}

func encodeManifest(m *Manifest) ([]byte, error) {
	sums, err := checksumsToJSON(m.Checksums)
	if err != nil {
		return nil, err
	}
	doc := manifestJSON{
		Version: ManifestVersion,
		Bucket:  m.Key.Bucket, Name: text(m.Key.Name), UploadID: text(m.UploadID),
		Payload: generationJSON(m.Payload),
		Size:    m.Size, XXHash: digest(m.XXHash), ETag: text(m.ETag), Checksums: sums, Modified: m.Modified.UTC(),
		Class: m.Draft.Class, VersionID: text(m.Draft.VersionID),
		Headers: headersToJSON(&m.Draft.Headers),
		User:    pairsToJSON(m.Draft.User), Tags: pairsToJSON(m.Draft.Tags),
		Parts: make([]manifestPartJSON, len(m.Parts)),
	}
	for i := range m.Parts {
		p := &m.Parts[i]
		if sums, err = checksumsToJSON(p.Checksums); err != nil {
			return nil, fmt.Errorf("part %d: %w", p.Number, err)
		}
		doc.Parts[i] = manifestPartJSON{
			Number: p.Number, File: PartName(p.Number, p.Payload), Size: p.Size,
			XXHash: digest(p.XXHash), ETag: text(p.ETag), Checksums: sums, Modified: p.Modified.UTC(),
		}
	}
	return encodeDocument(&doc)
}

// DecodeManifest reads what EncodeManifest wrote. The error is errs.Corrupt with
// the reason, or wraps ErrNewer.
func DecodeManifest(b []byte) (*Manifest, error) {
	const op errs.Op = "layout.DecodeManifest"
	var doc manifestJSON
	if err := decodeDocument(op, manifestName, b, ManifestVersion, &doc); err != nil {
		return nil, err
	}
	m, err := doc.manifest()
	if err != nil {
		return nil, errs.E(op, manifestName, errs.Corrupt, err)
	}
	return m, nil
}

func (doc *manifestJSON) manifest() (*Manifest, error) {
	sums, err := checksumsFromJSON(doc.Checksums)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Key:      objects.Key{Bucket: doc.Bucket, Name: string(doc.Name)},
		UploadID: string(doc.UploadID), Payload: objects.Generation(doc.Payload),
		Size: doc.Size, XXHash: uint64(doc.XXHash), ETag: string(doc.ETag), Checksums: sums, Modified: doc.Modified.UTC(),
		Draft: objects.Draft{
			Headers: doc.Headers.headers(),
			User:    pairsFromJSON(doc.User), Tags: pairsFromJSON(doc.Tags),
			Class: doc.Class, VersionID: string(doc.VersionID),
		},
	}
	if len(doc.Parts) > 0 {
		m.Parts = make([]objects.Part, len(doc.Parts))
	}
	for i := range doc.Parts {
		p := &doc.Parts[i]
		number, payload, err := ParsePartName(p.File)
		if err != nil {
			return nil, err
		}
		if number != p.Number {
			return nil, fmt.Errorf("part %d has the file %q", p.Number, p.File)
		}
		if sums, err = checksumsFromJSON(p.Checksums); err != nil {
			return nil, fmt.Errorf("part %d: %w", p.Number, err)
		}
		m.Parts[i] = objects.Part{
			Number: number, Payload: payload, Size: p.Size,
			XXHash: uint64(p.XXHash), ETag: string(p.ETag), Checksums: sums, Modified: p.Modified.UTC(),
		}
	}
	return m, nil
}

func checksumsToJSON(values []checksum.Value) ([]checksumJSON, error) {
	var out []checksumJSON
	for _, v := range values {
		j := checksumJSON{v.Algorithm.String(), v.String()}
		if back, err := j.value(); err != nil || back != v {
			return nil, fmt.Errorf("checksum of algorithm %d, type %d, %d bytes has no form", v.Algorithm, v.Type, len(v.Sum))
		}
		out = append(out, j)
	}
	return out, nil
}

func checksumsFromJSON(list []checksumJSON) ([]checksum.Value, error) {
	var out []checksum.Value
	for _, j := range list {
		v, err := j.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (j checksumJSON) value() (checksum.Value, error) {
	a, ok := checksum.Parse(j.Algorithm)
	if !ok {
		return checksum.Value{}, fmt.Errorf("checksum algorithm %q is unknown", j.Algorithm)
	}
	return checksum.ParseValue(a, j.Value)
}

func headersToJSON(h *objects.Headers) headersJSON {
	return headersJSON{
		ContentType: text(h.ContentType), ContentEncoding: text(h.ContentEncoding),
		ContentDisposition: text(h.ContentDisposition), ContentLanguage: text(h.ContentLanguage),
		CacheControl: text(h.CacheControl), Expires: text(h.Expires), Redirect: text(h.Redirect),
	}
}

func (h *headersJSON) headers() objects.Headers {
	return objects.Headers{
		ContentType: string(h.ContentType), ContentEncoding: string(h.ContentEncoding),
		ContentDisposition: string(h.ContentDisposition), ContentLanguage: string(h.ContentLanguage),
		CacheControl: string(h.CacheControl), Expires: string(h.Expires), Redirect: string(h.Redirect),
	}
}

func pairsToJSON(pairs []objects.Pair) []pairJSON {
	var out []pairJSON
	for _, p := range pairs {
		out = append(out, pairJSON{text(p.Name), text(p.Value)})
	}
	return out
}

func pairsFromJSON(list []pairJSON) []objects.Pair {
	var out []objects.Pair
	for _, p := range list {
		out = append(out, objects.Pair{Name: string(p.Name), Value: string(p.Value)})
	}
	return out
}
