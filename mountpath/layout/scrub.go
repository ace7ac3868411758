package layout

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What the scrubber has verified is a journal of one entry for the mountpath and one for
// each bucket and kind of key, each of bounded size:
//
//	x  s                              Scrub
//	x  s │ bucket id 8 │ kind 1       ScrubRange

// ScrubKey is the key of how far the scrubber is.
func ScrubKey() []byte { return []byte{KindJournal, journalScrub} }

// ScrubRangeKey is the key of what was verified of a bucket. Kind is KindObject or
// KindUpload.
func ScrubRangeKey(b objects.BucketID, kind byte) []byte {
	return append(append(ScrubKey(), b[:]...), kind)
}

// ParseScrubRangeKey reads what ScrubRangeKey wrote; anything else is errs.Corrupt.
func ParseScrubRangeKey(key []byte) (b objects.BucketID, kind byte, err error) {
	if len(key) != 2+len(b)+1 || key[0] != KindJournal || key[1] != journalScrub {
		return b, 0, badKey("layout.ParseScrubRangeKey", key, errors.New("it is too short, or of another kind"))
	}
	copy(b[:], key[2:])
	return b, key[len(key)-1], nil
}

// ScrubBounds returns the range [lower, upper) of what ScrubKey and ScrubRangeKey make.
func ScrubBounds() (lower, upper []byte) { return prefixBounds(ScrubKey()) }

// ScrubRangeBounds returns the range [lower, upper) of the keys of one bucket.
func ScrubRangeBounds(b objects.BucketID) (lower, upper []byte) {
	return prefixBounds(append(ScrubKey(), b[:]...))
}

// Scrub says how far the scrubber of a mountpath is.
type Scrub struct {
	Cycle     uint64    // from 1
	Begun     time.Time // the cycle, by the wall clock of the node
	Ended     time.Time // likewise; zero: it is under way
	At        string    // key of the index that was dealt with last; empty: none yet
	Bytes     int64     // verified in this cycle
	Payloads  int64     // likewise
	Skipped   int64     // payloads that could not be verified in this cycle
	Found     int64     // payloads found damaged, ever
	Remaining int64     // bytes that are left in this cycle
	Counted   time.Time // when they were counted last
}

// ScrubRange says what was verified of the keys of one kind in a bucket, and when.
type ScrubRange struct {
	Verified []ScrubSpan // in this cycle, in the order of keys
	Former   []ScrubSpan // in the one before, beyond what was verified in this one
	Ahead    []ScrubSpan // likewise, as it was counted; without ends, in the order of times
}

// ScrubSpan is keys that follow one another, of which none was verified, or written, before
// a time.
type ScrubSpan struct {
	End      string // the last key, without kind and bucket id
	At       time.Time
	Bytes    int64
	Payloads int64
}

// Fields of message Scrub.
const (
	scrubCycle     protowire.Number = 1
	scrubBegun     protowire.Number = 2
	scrubEnded     protowire.Number = 3
	scrubAt        protowire.Number = 4
	scrubBytes     protowire.Number = 5
	scrubPayloads  protowire.Number = 6
	scrubSkipped   protowire.Number = 7
	scrubFound     protowire.Number = 8
	scrubRemaining protowire.Number = 9
	scrubCounted   protowire.Number = 10
)

// AppendScrub appends the value of ScrubKey.
func AppendScrub(dst []byte, s *Scrub) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendUint(dst, scrubCycle, s.Cycle)
	dst = appendTime(dst, scrubBegun, s.Begun)
	dst = appendTime(dst, scrubEnded, s.Ended)
	dst = appendText(dst, scrubAt, s.At)
	dst = appendInt(dst, scrubBytes, s.Bytes)
	dst = appendInt(dst, scrubPayloads, s.Payloads)
	dst = appendInt(dst, scrubSkipped, s.Skipped)
	dst = appendInt(dst, scrubFound, s.Found)
	dst = appendInt(dst, scrubRemaining, s.Remaining)
	dst = appendTime(dst, scrubCounted, s.Counted)
	return seal(dst, start)
}

// DecodeScrub reads what AppendScrub wrote.
func DecodeScrub(b []byte) (*Scrub, error) {
	const op errs.Op = "layout.DecodeScrub"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	s := new(Scrub)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case scrubCycle:
			s.Cycle = c.uint(form)
		case scrubBegun:
			s.Begun = c.time(form)
		case scrubEnded:
			s.Ended = c.time(form)
		case scrubAt:
			s.At = c.text(form)
		case scrubBytes:
			s.Bytes = c.int(form)
		case scrubPayloads:
			s.Payloads = c.int(form)
		case scrubSkipped:
			s.Skipped = c.int(form)
		case scrubFound:
			s.Found = c.int(form)
		case scrubRemaining:
			s.Remaining = c.int(form)
		case scrubCounted:
			s.Counted = c.time(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return s, nil
}

// Fields of message ScrubRange.
const (
	rangeVerified protowire.Number = 1
	rangeFormer   protowire.Number = 2
	rangeAhead    protowire.Number = 3
)

// Fields of message ScrubSpan.
const (
	spanEnd      protowire.Number = 1
	spanAt       protowire.Number = 2
	spanBytes    protowire.Number = 3
	spanPayloads protowire.Number = 4
)

// AppendScrubRange appends the value of a ScrubRangeKey.
func AppendScrubRange(dst []byte, r *ScrubRange) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendSpans(dst, rangeVerified, r.Verified)
	dst = appendSpans(dst, rangeFormer, r.Former)
	dst = appendSpans(dst, rangeAhead, r.Ahead)
	return seal(dst, start)
}

func appendSpans(dst []byte, field protowire.Number, spans []ScrubSpan) []byte {
	for i := range spans {
		var at int
		dst, at = openMessage(dst, field)
		dst = appendText(dst, spanEnd, spans[i].End)
		dst = appendTime(dst, spanAt, spans[i].At)
		dst = appendInt(dst, spanBytes, spans[i].Bytes)
		dst = appendInt(dst, spanPayloads, spans[i].Payloads)
		dst = closeMessage(dst, at)
	}
	return dst
}

// DecodeScrubRange reads what AppendScrubRange wrote.
func DecodeScrubRange(b []byte) (*ScrubRange, error) {
	const op errs.Op = "layout.DecodeScrubRange"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	r := new(ScrubRange)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case rangeVerified:
			c.scrubSpan(form, field, &r.Verified)
		case rangeFormer:
			c.scrubSpan(form, field, &r.Former)
		case rangeAhead:
			c.scrubSpan(form, field, &r.Ahead)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return r, nil
}

// scrubSpan reads one element of a list into it.
func (c *cursor) scrubSpan(form protowire.Type, of protowire.Number, list *[]ScrubSpan) {
	var s ScrubSpan
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case spanEnd:
			s.End = c.text(form)
		case spanAt:
			s.At = c.time(form)
		case spanBytes:
			s.Bytes = c.int(form)
		case spanPayloads:
			s.Payloads = c.int(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
	if *list == nil {
		*list = room[ScrubSpan](c, of)
	}
	*list = append(*list, s)
}

// CheckScrub checks an entry of the journal, as an offline check does; an entry of another
// journal passes.
func CheckScrub(key, value []byte) error {
	if len(key) < 2 || key[0] != KindJournal || key[1] != journalScrub {
		return nil
	}
	if len(key) == len(ScrubKey()) {
		_, err := DecodeScrub(value)
		return err
	}
	if _, _, err := ParseScrubRangeKey(key); err != nil {
		return err
	}
	_, err := DecodeScrubRange(value)
	return err
}
