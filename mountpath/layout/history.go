package layout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The history of objects is a journal in segments, oldest first. Within a segment it is
// ordered by key, and within a key the newest comes first:
//
//	x  h │ segment 8                                              Segment
//	x  h │ segment 8 │ bucket id 8 │ name, escaped, 00 01 │ arrival 24, inverted   Mutation
//	x  g │ bucket id 8                                            DestroyedBucket
//
// Arrival is a generation of this node, taken for the entry, or for the record that the
// entry is about.

const segmentBytes = 8

// SegmentKey appends the key of what is known of a segment as a whole. Its entries follow
// it.
func SegmentKey(dst []byte, segment uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, KindJournal, journalHistory), segment)
}

// MutationKey appends the key of an entry of the history.
func MutationKey(dst []byte, segment uint64, b objects.BucketID, name string, arrival objects.Generation) []byte {
	return inverted(arrival).AppendTo(appendEscaped(append(SegmentKey(dst, segment), b[:]...), name))
}

// ParseSegmentKey reads what SegmentKey wrote; anything else is errs.Corrupt.
func ParseSegmentKey(key []byte) (segment uint64, err error) {
	segment, rest, err := cutSegment(key)
	if err == nil && len(rest) > 0 {
		err = errors.New("it goes on behind the segment")
	}
	if err != nil {
		return 0, badKey("layout.ParseSegmentKey", key, err)
	}
	return segment, nil
}

// SegmentOf returns the segment of a key that SegmentKey or MutationKey wrote.
func SegmentOf(key []byte) (segment uint64, err error) {
	segment, _, err = cutSegment(key)
	if err != nil {
		return 0, badKey("layout.SegmentOf", key, err)
	}
	return segment, nil
}

// MutationPlace is what the key of an entry of the history says.
type MutationPlace struct {
	Segment uint64
	Bucket  objects.BucketID
	Name    string
	Arrival objects.Generation
}

// ParseMutationKey reads what MutationKey wrote; anything else is errs.Corrupt.
func ParseMutationKey(key []byte) (p MutationPlace, err error) {
	segment, rest, err := cutSegment(key)
	p.Segment = segment
	if err == nil && len(rest) < len(p.Bucket) {
		err = errors.New("it has no bucket id")
	}
	if err == nil {
		copy(p.Bucket[:], rest)
		p.Name, rest, err = cutEscaped(rest[len(p.Bucket):])
	}
	if err == nil {
		p.Arrival, err = objects.GenerationOf(rest)
	}
	if err != nil {
		return MutationPlace{}, badKey("layout.ParseMutationKey", key, err)
	}
	p.Arrival = inverted(p.Arrival)
	return p, nil
}

func cutSegment(key []byte) (segment uint64, rest []byte, err error) {
	if len(key) < 2+segmentBytes || key[0] != KindJournal || key[1] != journalHistory {
		return 0, nil, errors.New("it is too short, or of another kind")
	}
	return binary.BigEndian.Uint64(key[2:]), key[2+segmentBytes:], nil
}

// MutationBounds returns the range [lower, upper) of the entries of a key in a segment.
func MutationBounds(segment uint64, b objects.BucketID, name string) (lower, upper []byte) {
	return prefixBounds(appendEscaped(append(SegmentKey(nil, segment), b[:]...), name))
}

// HistoryBounds returns the range [lower, upper) of all segments with their entries.
func HistoryBounds() (lower, upper []byte) { return prefixBounds([]byte{KindJournal, journalHistory}) }

// Segment is what is known of a segment of the history as a whole.
type Segment struct {
	Begun time.Time // by the wall clock of the node
	Bytes int64     // of its entries, keys and values, when it was last noted
}

// Fields of message Segment.
const (
	segmentBegun protowire.Number = 1
	segmentSize  protowire.Number = 2
)

// AppendSegment appends the value of a segment's key.
func AppendSegment(dst []byte, s *Segment) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendTime(dst, segmentBegun, s.Begun)
	dst = appendInt(dst, segmentSize, s.Bytes)
	return seal(dst, start)
}

// DecodeSegment reads what AppendSegment wrote.
func DecodeSegment(b []byte) (*Segment, error) {
	const op errs.Op = "layout.DecodeSegment"
	c, err := openValue(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	s := new(Segment)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case segmentBegun:
			s.Begun = c.time(form)
		case segmentSize:
			s.Bytes = c.int(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return s, nil
}

// DestroyedKey appends the key by which a destroyed bucket is still known.
func DestroyedKey(dst []byte, b objects.BucketID) []byte {
	return append(append(dst, KindJournal, journalDestroyed), b[:]...)
}

// ParseDestroyedKey reads what DestroyedKey wrote; anything else is errs.Corrupt.
func ParseDestroyedKey(key []byte) (b objects.BucketID, err error) {
	if len(key) != 2+len(b) || key[0] != KindJournal || key[1] != journalDestroyed {
		return b, badKey("layout.ParseDestroyedKey", key, fmt.Errorf("%d bytes, or of another kind", len(key)))
	}
	copy(b[:], key[2:])
	return b, nil
}

// DestroyedBounds returns the range [lower, upper) of the keys that DestroyedKey makes.
func DestroyedBounds() (lower, upper []byte) {
	return prefixBounds([]byte{KindJournal, journalDestroyed})
}

// DestroyedBucket is what a bucket was called that is destroyed.
type DestroyedBucket struct {
	Bucket    objects.Bucket
	Destroyed time.Time // by the wall clock of the node
}

// Fields of message DestroyedBucket.
const (
	destroyedBucket protowire.Number = 1
	destroyedAt     protowire.Number = 2
)

// AppendDestroyed appends the value of a destroyed bucket's key.
func AppendDestroyed(dst []byte, d *DestroyedBucket) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendKey(dst, destroyedBucket, &objects.Key{Bucket: d.Bucket})
	dst = appendTime(dst, destroyedAt, d.Destroyed)
	return seal(dst, start)
}

// DecodeDestroyed reads what AppendDestroyed wrote.
func DecodeDestroyed(b []byte) (*DestroyedBucket, error) {
	const op errs.Op = "layout.DecodeDestroyed"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	d := new(DestroyedBucket)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case destroyedBucket:
			var key objects.Key
			c.key(form, &key)
			d.Bucket = key.Bucket
		case destroyedAt:
			d.Destroyed = c.time(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return d, nil
}

// CheckHistory checks an entry of these journals, as an offline check does; an entry of
// another journal passes.
func CheckHistory(key, value []byte) error {
	if len(key) < 2 || key[0] != KindJournal {
		return nil
	}
	switch key[1] {
	case journalHistory:
		if _, err := ParseSegmentKey(key); err == nil {
			_, err = DecodeSegment(value)
			return err
		}
		if _, err := ParseMutationKey(key); err != nil {
			return err
		}
		_, err := DecodeMutation(value)
		return err
	case journalDestroyed:
		if _, err := ParseDestroyedKey(key); err != nil {
			return err
		}
		_, err := DecodeDestroyed(value)
		return err
	}
	return nil
}
