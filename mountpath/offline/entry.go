package offline

import (
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Entry is the line of an exported object in manifest.jsonl: everything of its
// record that means something elsewhere. Texts that are not UTF-8 are
// {"base64": "…"}.
type Entry struct {
	Bucket     objects.Bucket         `json:"bucket"`
	Key        layout.Text            `json:"key"`
	Path       layout.Text            `json:"path"` // of the file, below the manifest's directory
	Size       int64                  `json:"size"`
	ETag       layout.Text            `json:"etag"`
	XXHash     string                 `json:"xxhash"` // of a multipart object: of its parts' hashes
	Checksums  []EntryChecksum        `json:"checksums,omitempty"`
	Modified   time.Time              `json:"modified"`
	Class      objects.Durability     `json:"class,omitempty"`
	VersionID  layout.Text            `json:"version_id,omitempty"`
	Headers    map[string]layout.Text `json:"headers,omitempty"`
	User       []EntryPair            `json:"user,omitempty"`
	Tags       []EntryPair            `json:"tags,omitempty"`
	Parts      []EntryPart            `json:"parts,omitempty"`
	Generation string                 `json:"generation"`
}

// EntryChecksum is a checksum as S3 writes it.
type EntryChecksum struct {
	Algorithm string `json:"algorithm"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

// EntryPair is user metadata, or a tag.
type EntryPair struct {
	Name  layout.Text `json:"name"`
	Value layout.Text `json:"value"`
}

// EntryPart is a part of a multipart object, in the order of their bytes.
type EntryPart struct {
	Number int         `json:"number"`
	Size   int64       `json:"size"`
	ETag   layout.Text `json:"etag"`
	XXHash string      `json:"xxhash"`
}

// NewEntry makes the line of an object that is exported to a path.
func NewEntry(o *Object, path string) *Entry {
	m := &o.Meta
	e := &Entry{
		Bucket: o.Key.Bucket, Key: layout.Text(o.Key.Name), Path: layout.Text(path), Size: m.Size, ETag: layout.Text(m.ETag),
		XXHash: fmt.Sprintf("%016x", m.XXHash), Checksums: entryChecksums(m.Checksums), Modified: m.Modified.UTC(),
		Class: m.Class, VersionID: layout.Text(m.VersionID), Generation: m.Generation.String(),
		User: entryPairs(m.User), Tags: entryPairs(m.Tags),
	}
	for name, value := range map[string]string{
		"content-type": m.Headers.ContentType, "content-encoding": m.Headers.ContentEncoding, "content-disposition": m.Headers.ContentDisposition,
		"content-language": m.Headers.ContentLanguage, "cache-control": m.Headers.CacheControl, "expires": m.Headers.Expires,
		"x-amz-website-redirect-location": m.Headers.Redirect,
	} {
		if value != "" {
			if e.Headers == nil {
				e.Headers = make(map[string]layout.Text)
			}
			e.Headers[name] = layout.Text(value)
		}
	}
	for _, p := range o.parts {
		e.Parts = append(e.Parts, EntryPart{p.Number, p.Size, layout.Text(p.ETag), fmt.Sprintf("%016x", p.XXHash)})
	}
	return e
}

func entryChecksums(values []checksum.Value) []EntryChecksum {
	var out []EntryChecksum
	for _, v := range values {
		out = append(out, EntryChecksum{v.Algorithm.String(), v.Type.String(), v.String()})
	}
	return out
}

func entryPairs(pairs []objects.Pair) []EntryPair {
	var out []EntryPair
	for _, p := range pairs {
		out = append(out, EntryPair{layout.Text(p.Name), layout.Text(p.Value)})
	}
	return out
}
