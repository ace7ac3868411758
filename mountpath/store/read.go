package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// errMoved says that the payload a record names is not where it was: the key
// was written between the two looks. Twice in a row it is for the key's lane to
// judge, since in the key's turn nothing moves.
var errMoved = messages.ErrOvertaken

// Head returns the record of an object; errs.NotFound if there is none. Writers of
// the same key may overtake it: messages.Overtaken, and it is to be asked in the
// key's turn.
func (s *Store) Head(key objects.Key) (*objects.Meta, error) {
	return s.head(key, false)
}

// HeadMarked is Head for whom a delete marker is a record like another one.
func (s *Store) HeadMarked(key objects.Key) (*objects.Meta, error) {
	return s.head(key, true)
}

func (s *Store) head(key objects.Key, marked bool) (*objects.Meta, error) {
	const op errs.Op = "store.Head"
	one := s.reads.begin()
	defer s.reads.end(one)
	meta, err := s.current(op, key, objectKey(key))
	if err != nil {
		return nil, err
	}
	if meta == nil || meta.Deleted && !marked {
		return nil, noSuchKey(op, key)
	}
	return meta, nil
}

// Open opens an object for reading. An inline payload is copied into room,
// which must hold InlineLimit bytes, and is verified. The caller closes what it
// gets. Writers of
// the same key may overtake it: messages.Overtaken, and OpenInTurn is to be asked.
func (s *Store) Open(key objects.Key, room []byte) (*messages.ObjectOpened, error) {
	return s.openTwice(key, room, false)
}

// OpenMarked is Open for whom a delete marker is an object without a payload.
func (s *Store) OpenMarked(key objects.Key, room []byte) (*messages.ObjectOpened, error) {
	return s.openTwice(key, room, true)
}

func (s *Store) openTwice(key objects.Key, room []byte, marked bool) (*messages.ObjectOpened, error) {
	const op errs.Op = "store.Open"
	var err error
	for range 2 {
		var opened *messages.ObjectOpened
		if opened, err = s.open(op, key, room, marked); err == nil || !errors.Is(err, errMoved) {
			return opened, err
		}
	}
	return nil, errs.E(op, key, errs.Busy, err)
}

// OpenInTurn is Open in the key's turn: a payload that is not where the record
// says is damage, reported and never served.
func (s *Store) OpenInTurn(key objects.Key, room []byte) (*messages.ObjectOpened, error) {
	return s.openInTurn(key, room, false)
}

// OpenMarkedInTurn is OpenMarked in the key's turn.
func (s *Store) OpenMarkedInTurn(key objects.Key, room []byte) (*messages.ObjectOpened, error) {
	return s.openInTurn(key, room, true)
}

func (s *Store) openInTurn(key objects.Key, room []byte, marked bool) (*messages.ObjectOpened, error) {
	const op errs.Op = "store.OpenInTurn"
	opened, err := s.open(op, key, room, marked)
	if err == errMoved { // itself: the payload was looked for, and is not there
		err = errs.E(op, key, errs.Corrupt, errors.New("the payload that the record names is not there"))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
	}
	return opened, err
}

func (s *Store) open(op errs.Op, key objects.Key, room []byte, marked bool) (*messages.ObjectOpened, error) {
	one := s.reads.begin()
	defer s.reads.end(one)
	meta, err := s.current(op, key, objectKey(key))
	if err != nil {
		return nil, err
	}
	if meta == nil || meta.Deleted && !marked {
		return nil, noSuchKey(op, key)
	}
	opened := &messages.ObjectOpened{Meta: meta}
	if meta.Deleted {
		return opened, nil
	}
	switch meta.Where {
	case objects.Inline:
		err = s.openInline(key, opened, room)
	case objects.File:
		err = s.openFile(key, opened)
	case objects.Chunks:
		err = s.openChunks(key, opened)
	case objects.Slices: // the record alone: slices are opened by OpenSlice
	default:
		err = errs.E(op, key, errs.Corrupt, fmt.Errorf("the record says that the payload is at %d", meta.Where))
	}
	if err != nil {
		opened.Close()
		if err == errMoved {
			return nil, err
		}
		return nil, failed(op, key, err)
	}
	return opened, nil
}

func (s *Store) openInline(key objects.Key, opened *messages.ObjectOpened, room []byte) error {
	if err := s.intact(key, opened.Meta.Payload); err != nil {
		return err
	}
	var keyRoom [256]byte
	value, err := s.index.Get(layout.PayloadKey(keyRoom[:0], key.Bucket.ID, key.Name, opened.Meta.Payload))
	if errs.Is(errs.NotFound, err) {
		return errMoved
	}
	if err != nil {
		s.indexError(key, err)
		return err
	}
	defer value.Close()
	if len(value.Bytes) > len(room) {
		return errs.E("store.openInline", key, errs.Internal, fmt.Errorf("%d bytes do not fit the %d given", len(value.Bytes), len(room)))
	}
	opened.Inline = copy(room, value.Bytes)
	if err := CheckInline(room[:opened.Inline], opened.Meta); err != nil {
		err := errs.E("store.openInline", key, errs.Corrupt, err)
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		return err
	}
	return nil
}

func (s *Store) openFile(key objects.Key, opened *messages.ObjectOpened) error {
	if err := s.intact(key, opened.Meta.Payload); err != nil {
		return err
	}
	file, err := s.fs.OpenFile(payloadPath(key, opened.Meta), disk.ReadOnly, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errMoved
	}
	if err != nil {
		s.diskError(key, err)
		return err
	}
	opened.File = &payloadFile{File: file, store: s, key: key, payload: opened.Meta.Payload}
	info, err := file.Stat()
	if err != nil {
		s.diskError(key, err)
		return err
	}
	if info.Inode != opened.Meta.Inode || info.Birth != opened.Meta.Birth {
		raw, err := file.GetAttr(layout.AttributeName)
		if err != nil {
			return errMoved
		}
		attribute, err := layout.DecodeAttribute(raw)
		if err != nil || attribute.Payload != opened.Meta.Payload {
			return errMoved
		}
	}
	if info.Size != opened.Meta.Size {
		err := errs.E("store.openFile", key, errs.Corrupt, fmt.Errorf("the file has %d bytes, the record says %d", info.Size, opened.Meta.Size))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		return err
	}
	return nil
}

func (s *Store) openChunks(key objects.Key, opened *messages.ObjectOpened) error {
	lease := s.leases.take(opened.Meta.Payload, LeaseTime)
	opened.Lease = lease
	value, err := s.index.Get(layout.PayloadKey(nil, key.Bucket.ID, key.Name, opened.Meta.Payload))
	if errs.Is(errs.NotFound, err) {
		return errMoved
	}
	if err != nil {
		s.indexError(key, err)
		return err
	}
	defer value.Close()
	parts, err := layout.DecodeParts(value.Bytes)
	if err == nil {
		err = s.intact(key, opened.Meta.Payload)
	}
	if err == nil {
		err = s.intactParts(key, parts)
	}
	if err != nil {
		return err
	}
	uploadID := opened.Meta.Path
	opened.Parts = &messages.PartReader{Parts: parts, Open: func(i int) (messages.PayloadFile, error) {
		return s.openPart(key, uploadID, parts[i])
	}}
	return nil
}

// openPart opens the file of one part and checks that it is that part's.
func (s *Store) openPart(key objects.Key, uploadID string, part objects.Part) (messages.PayloadFile, error) {
	const op errs.Op = "store.openPart"
	if err := s.intact(key, part.Payload); err != nil {
		return nil, errs.E(op, err)
	}
	file, err := s.fs.OpenFile(layout.PartPath(uploadID, part.Number, part.Payload), disk.ReadOnly, 0)
	if err != nil {
		s.diskError(key, err)
		if errors.Is(err, fs.ErrNotExist) {
			err = errs.E(op, key, errs.Corrupt, fmt.Errorf("part %d is missing: %w", part.Number, err))
			s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
		}
		return nil, failed(op, key, err)
	}
	info, err := file.Stat()
	if err == nil && info.Size != part.Size {
		err = errs.E(op, key, errs.Corrupt, fmt.Errorf("part %d has %d bytes, the record says %d", part.Number, info.Size, part.Size))
		s.onEvent(Event{Kind: Damaged, Key: key, Err: err})
	}
	if err != nil {
		_ = file.Close() // it was only read
		return nil, failed(op, key, err)
	}
	return &payloadFile{File: file, store: s, key: key, payload: part.Payload}, nil
}
