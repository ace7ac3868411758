package model

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects"
)

// Cell is a place that has one value at a time. With an empty Upload it is an
// object; with Part 0, an upload under way; else a part of it.
type Cell struct {
	Bucket objects.BucketID
	Name   string // of the object that is there, or that the upload becomes
	Upload string
	Part   int
}

// Object returns the cell of an object.
func Object(key objects.Key) Cell { return Cell{Bucket: key.Bucket.ID, Name: key.Name} }

// Upload returns the cell of an upload.
func Upload(key objects.Key, uploadID string) Cell {
	return Cell{Bucket: key.Bucket.ID, Name: key.Name, Upload: uploadID}
}

// Part returns the cell of a part of an upload.
func Part(key objects.Key, uploadID string, number int) Cell {
	return Cell{Bucket: key.Bucket.ID, Name: key.Name, Upload: uploadID, Part: number}
}

// String tells the cell as a person would.
func (c Cell) String() string {
	switch {
	case c.Upload == "":
		return fmt.Sprintf("object %q", c.Name)
	case c.Part == 0:
		return fmt.Sprintf("upload %s of %q", c.Upload, c.Name)
	default:
		return fmt.Sprintf("part %d of upload %s of %q", c.Part, c.Upload, c.Name)
	}
}

// Value is what a cell holds: bytes by their digest, and everything that came
// with them. A nil *Value is a cell that holds nothing. An upload has a Draft only.
type Value struct {
	Size   int64
	Digest uint64 // of all the bytes, by whatever function the test uses everywhere
	ETag   string
	Draft  objects.Draft
}

// Equal reports whether two values, either of which may be nil, are the same.
func (v *Value) Equal(w *Value) bool {
	if v == nil || w == nil {
		return v == w
	}
	return v.Size == w.Size && v.Digest == w.Digest && v.ETag == w.ETag &&
		v.Draft.Headers == w.Draft.Headers && v.Draft.VersionID == w.Draft.VersionID &&
		class(v.Draft) == class(w.Draft) &&
		slices.Equal(v.Draft.User, w.Draft.User) && slices.Equal(v.Draft.Tags, w.Draft.Tags)
}

// class returns the durability class with the default filled in.
func class(d objects.Draft) objects.Durability {
	if d.Class == "" {
		return objects.Synced
	}
	return d.Class
}

// String tells the value in a line.
func (v *Value) String() string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes %016x etag %s type %q user %v", v.Size, v.Digest, v.ETag, v.Draft.Headers.ContentType, v.Draft.User)
}
