package store

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// scrubReadBytes is how much the scrubber reads with one call, and scrubReads how many
	// calls a step has: a step ends soon enough for who stops it.
	scrubReadBytes = 1 << 20
	scrubReads     = 4
	// scrubTries is how often a payload is looked at that is being written, or is not where
	// its record says.
	scrubTries = 5
)

// scrubUnit is one payload that is being verified: of an object, or a part of an upload
// under way. What is open is opened for each step, so that nothing is held in between.
type scrubUnit struct {
	key      objects.Key
	indexKey []byte
	kind     byte
	meta     *objects.Meta  // of an object
	parts    []objects.Part // of one that is made of parts, or one part
	upload   string
	part     int // index in parts
	written  time.Time

	verifier *Verifier // of the file under way; nil: not begun
	offset   int64
	second   bool // it was not right the first time
	damaged  bool // a part of it is
	tries    int
}

// bytes is what the unit has in all.
func (u *scrubUnit) bytes() int64 {
	if u.kind == layout.KindUpload {
		return u.parts[0].Size
	}
	return u.meta.Size
}

// file returns size and checksum of the file under way, and what names it.
func (u *scrubUnit) file() (size int64, sum uint64, payload objects.Generation, number int) {
	if u.parts != nil {
		p := &u.parts[u.part]
		return p.Size, p.XXHash, p.Payload, p.Number
	}
	return u.meta.Size, u.meta.XXHash, u.meta.Payload, 0
}

// again begins the file under way anew.
func (u *scrubUnit) again() { u.verifier, u.offset = nil, 0 }

// scrubObject makes the unit of a record. An inline payload is verified at once; what is
// returned then is nil, and what is wrong with it.
func (s *Store) scrubObject(bucket objects.Bucket, indexKey []byte, meta *objects.Meta) (*scrubUnit, error) {
	key := objects.Key{Bucket: bucket, Name: string(layout.ObjectName(indexKey))}
	u := &scrubUnit{key: key, indexKey: append([]byte(nil), indexKey...), kind: layout.KindObject, meta: meta, written: meta.Modified, upload: meta.Path}
	if born := time.Unix(0, meta.Birth); meta.Birth != 0 && born.After(u.written) {
		u.written = born
	}
	switch meta.Where {
	case objects.Inline:
		value, err := s.index.Get(layout.PayloadKey(nil, bucket.ID, key.Name, meta.Payload))
		if errs.Is(errs.NotFound, err) {
			return u, errMoved
		}
		if err != nil {
			return u, err
		}
		defer value.Close()
		if err := CheckInline(value.Bytes, meta); err != nil {
			return u, errs.E("store.scrub", key, errs.Corrupt, err)
		}
		return u, nil
	case objects.Chunks:
		value, err := s.index.Get(layout.PayloadKey(nil, bucket.ID, key.Name, meta.Payload))
		if errs.Is(errs.NotFound, err) {
			return u, errMoved
		}
		if err != nil {
			return u, err
		}
		defer value.Close()
		parts, err := layout.DecodeParts(value.Bytes)
		if err == nil {
			err = checkParts("store.scrub", key, meta, parts)
		}
		if err != nil {
			return u, err // it is about the payload as a whole: no part of it is suspected
		}
		u.parts = parts
		return u, nil
	case objects.File:
		return u, nil
	default:
		return u, errs.E("store.scrub", key, errs.Corrupt, fmt.Errorf("the record says that the payload is at %d", meta.Where))
	}
}

// readUnit reads on, at most scrubReads calls. It reports whether the unit is through.
func (s *Store) readUnit(u *scrubUnit, room []byte, before func()) (read int64, done bool, err error) {
	size, sum, _, _ := u.file()
	var opened messages.ObjectOpened
	if u.parts == nil {
		opened.Meta = u.meta
		err = s.openFile(u.key, &opened)
	} else {
		opened.File, err = s.openPart(u.key, u.upload, u.parts[u.part])
	}
	if opened.File != nil {
		defer opened.File.Close() // it was only read
	}
	if err != nil {
		return 0, false, failed("store.scrub", u.key, err)
	}
	file := opened.File.(*payloadFile).File
	if u.verifier == nil {
		u.verifier, u.offset = NewVerifier(size, sum), 0
	}
	for range scrubReads {
		if u.offset >= size {
			break
		}
		before()
		n, err := file.ReadDirect(room[:min(int64(len(room)), size-u.offset)], u.offset)
		_, _ = u.verifier.Write(room[:n]) // never fails
		u.offset, read = u.offset+int64(n), read+int64(n)
		if err != nil && err != io.EOF || n == 0 {
			if err == nil || err == io.EOF {
				err = errs.E("store.scrub", u.key, errs.Corrupt, io.ErrUnexpectedEOF)
			}
			s.diskError(u.key, err)
			return read, false, failed("store.scrub", u.key, err)
		}
	}
	if u.offset < size {
		return read, false, nil
	}
	if err := u.verifier.Check(); err != nil {
		return read, false, errs.E("store.scrub", u.key, errs.Corrupt, err)
	}
	u.again()
	u.second, u.tries = false, 0
	u.part++
	return read, u.part >= len(u.parts), nil
}

// named reports whether what the unit is about is still what the index names.
func (s *Store) named(u *scrubUnit) (bool, error) {
	const op errs.Op = "store.scrub"
	if u.kind == layout.KindUpload {
		value, err := s.index.Get(u.indexKey)
		if errs.Is(errs.NotFound, err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		defer value.Close()
		part, err := layout.DecodePart(value.Bytes)
		return err == nil && part.Payload == u.parts[0].Payload, err
	}
	meta, err := s.current(op, u.key, u.indexKey)
	return meta != nil && !meta.Deleted && meta.Payload == u.meta.Payload, err
}

// verdict says what comes of a unit that could not be verified.
type verdict int

const (
	verdictAgain   verdict = iota // it is looked at once more, now
	verdictLater                  // with the next step, which is to wait
	verdictGone                   // it is no longer there: written anew, or deleted
	verdictSkipped                // it cannot be said
	verdictDamaged
)

// judgeUnit judges a unit that was not right. Only what was read and differs, or is not
// there, is damage: what a disk refuses to give now may be whole, and is looked at again.
func (s *Store) judgeUnit(u *scrubUnit, cause error) (verdict, error) {
	u.again()
	u.tries++
	named, err := s.named(u)
	switch {
	case err == nil && !named:
		return verdictGone, cause
	case err != nil && u.tries < scrubTries:
		return verdictLater, err
	case err != nil:
		return verdictSkipped, err
	case errors.Is(cause, errMoved) || !errs.Is(errs.Corrupt, cause):
		if u.tries < scrubTries && (errors.Is(cause, errMoved) || !errs.Is(errs.IO, cause) || u.tries == 1) { // each failure of the disk counts against it
			return verdictLater, cause
		}
		if errors.Is(cause, errMoved) {
			return verdictDamaged, errors.New(reasonGone)
		}
		return verdictSkipped, cause
	case !u.second:
		u.second = true
		return verdictAgain, cause
	}
	return verdictDamaged, cause
}
