package offline

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// archive is a Sink of one tar stream: a regular file for each object, under the
// path that a tree would give it, with the exact key and an Entry in PAX records.
type archive struct {
	out    *tar.Writer
	bucket objects.BucketID
	// above are the objects so far that the next names may lie below: a of a/b.
	// Objects come by name, so that there are never more than a name has slashes.
	above []string
}

// PAX records of an exported object. The key is as it is, whatever bytes it has;
// the entry is an Entry in JSON.
const (
	PAXKey   = "TROUPE.key"
	PAXEntry = "TROUPE.entry"
)

// NewArchive makes a Sink that writes a tar stream (PAX). Every object is read
// twice: once to verify it, since its length goes out before its bytes. The
// writer stays the caller's.
func NewArchive(w io.Writer) Sink {
	return &archive{out: tar.NewWriter(w)}
}

// Put implements Sink.
func (a *archive) Put(o *Object) error {
	const op errs.Op = "offline.archive.Put"
	if _, err := o.WriteTo(io.Discard); err != nil {
		return err
	}
	name := a.name(o)
	entry, err := json.Marshal(NewEntry(o, name))
	if err != nil {
		return errs.E(op, o.Key, errs.Internal, err)
	}
	header := &tar.Header{
		Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: name, Size: o.Meta.Size, Mode: 0o644, ModTime: o.Meta.Modified,
		PAXRecords: map[string]string{PAXKey: o.Key.Name, PAXEntry: string(entry)},
	}
	if err := a.out.WriteHeader(header); err != nil {
		return errs.E(op, o.Key, errs.IO, err)
	}
	if _, err := o.WriteTo(a.out); err != nil {
		// It was whole a moment ago: the stream promises bytes that are not there.
		return errs.E(op, o.Key, errs.IO, fmt.Errorf("the object changed while it was read: %w", err))
	}
	return nil
}

// name returns the path of an object in the archive. Of a and a/b the later has a
// mark, so that both can be extracted.
func (a *archive) name(o *Object) string {
	if a.bucket != o.Key.Bucket.ID {
		a.bucket, a.above = o.Key.Bucket.ID, nil
	}
	// What begins with F and a slash comes before what begins with F and "0".
	a.above = slices.DeleteFunc(a.above, func(f string) bool { return o.Key.Name >= f+"0" })
	path := append([]string{BucketsFolder}, BucketFolder(o.Key.Bucket)...)
	rest := o.Key.Name
	for at := strings.IndexByte(rest, '/'); at >= 0; at = strings.IndexByte(rest, '/') {
		above := o.Key.Name[:len(o.Key.Name)-len(rest)+at]
		component := EscapePath(rest[:at])
		if slices.Contains(a.above, above) {
			component[len(component)-1] += Taken
		}
		path = append(path, component...)
		rest = rest[at+1:]
	}
	a.above = append(a.above, o.Key.Name)
	return strings.Join(append(path, EscapePath(rest)...), "/")
}

// Close implements Sink.
func (a *archive) Close() error {
	if err := a.out.Close(); err != nil {
		return errs.E("offline.archive.Close", errs.IO, err)
	}
	return nil
}
