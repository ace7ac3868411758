package offline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Object is an object that was found, with where its payload is.
type Object struct {
	Key  objects.Key
	Meta objects.Meta

	mount   *Mount
	path    string         // File: of the payload
	parts   []objects.Part // Chunks
	payload []byte         // Inline
}

// Mountpath names the mountpath that it was found on.
func (o *Object) Mountpath() string { return o.mount.Name }

// Parts returns the parts of an object that was sent in parts.
func (o *Object) Parts() []objects.Part { return o.parts }

// WriteTo writes the payload and verifies it on the way. An error of kind Corrupt
// says that what was written, in whole or in part, is not what was stored; the
// errors of w come back as they are.
func (o *Object) WriteTo(w io.Writer) (int64, error) {
	switch o.Meta.Where {
	case objects.Inline:
		if err := store.CheckInline(o.payload, &o.Meta); err != nil {
			return 0, o.damaged("%w", err)
		}
		n, err := w.Write(o.payload)
		return int64(n), err
	case objects.File:
		return o.copy(w, o.path, o.Meta.Size, o.Meta.XXHash)
	case objects.Chunks:
		var written int64
		for _, p := range o.parts {
			n, err := o.copy(w, layout.PartPath(o.Meta.Path, p.Number, p.Payload), p.Size, p.XXHash)
			written += n
			if err != nil {
				return written, fmt.Errorf("part %d: %w", p.Number, err)
			}
		}
		if err := store.CheckParts(o.parts, &o.Meta); err != nil {
			return written, o.damaged("%w", err)
		}
		return written, nil
	default:
		return 0, o.damaged("the record says that the payload is at %d", o.Meta.Where)
	}
}

func (o *Object) damaged(format string, args ...any) error {
	return errs.E("offline.Object", o.Key, errs.Corrupt, fmt.Errorf(format, args...))
}

// copy writes a file that must have so many bytes with that hash.
func (o *Object) copy(w io.Writer, name string, size int64, want uint64) (int64, error) {
	file, err := o.mount.FS.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return 0, errs.E("offline.Object", o.Key, errs.Corrupt, err)
	}
	defer file.Close()               // it was only read
	_ = file.Advise(disk.Sequential) // advice may be refused
	defer file.Advise(disk.DontNeed) //nolint:errcheck // likewise
	verifier := store.NewVerifier(size, want)
	source := &reading{from: io.NewSectionReader(file, 0, size+1)}
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(verifier, w)}, source, make([]byte, copyBytes))
	switch {
	case source.err != nil:
		return n, errs.E("offline.Object", o.Key, errs.Corrupt, source.err)
	case err != nil:
		return n, err
	}
	if err := verifier.Check(); err != nil {
		return n, o.damaged("%s: %w", name, err)
	}
	return n, nil
}

// copyBytes is how much is read at a time: enough that a disk reads in sequence.
const copyBytes = 1 << 20

// reading tells errors of reading from errors of writing.
type reading struct {
	from io.Reader
	err  error
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// onlyWriter hides a ReadFrom, which would copy in pieces of its own.
type onlyWriter struct{ io.Writer }

// readAttribute reads the attribute of the file at a path: nil without an error
// if there is no file, or none with an attribute.
func (m *Mount) readAttribute(name string) (*layout.Attribute, error) {
	raw, err := m.FS.GetAttr(name, layout.AttributeName)
	for _, none := range []error{fs.ErrNotExist, syscall.ENODATA, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG} {
		if errors.Is(err, none) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return layout.DecodeAttribute(raw)
}

// draftOf returns the draft that an attribute carries, or its sidecar has. found
// is false if there is a sidecar that cannot be read.
func (m *Mount) draftOf(attribute *layout.Attribute) (draft objects.Draft, found bool) {
	switch {
	case attribute.Draft != nil:
		return *attribute.Draft, true
	case !attribute.Sidecar:
		return objects.Draft{}, true
	}
	name := layout.SidecarPath(attribute.Payload)
	if attribute.PartNumber > 0 {
		name = layout.PartSidecarPath(attribute.UploadID, attribute.PartNumber, attribute.Payload)
	}
	content, err := store.ReadFile(m.FS, name)
	if err != nil {
		return objects.Draft{}, false
	}
	sidecar, err := layout.DecodeSidecar(content)
	if err != nil || sidecar.Payload != attribute.Payload || sidecar.Key != attribute.Key {
		return objects.Draft{}, false
	}
	return sidecar.Draft, true
}
