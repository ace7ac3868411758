package layout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A value is one version byte, the fields of a message of record.proto, and the
// CRC-32C (Castagnoli, big-endian) of all before it. New fields keep the version;
// a new version is one that older binaries must not read.
const (
	// ValueVersion is the version of all values but those of SlicedVersion.
	ValueVersion = 1
	// SlicedVersion is the version of a record or upload with a Slicing: to a binary that
	// knows none, its payload would be lost.
	SlicedVersion = 2

	crcBytes   = 4
	frameBytes = 1 + crcBytes
)

// ErrNewer says that a value or document is whole, but of a version that this
// binary does not know. It is not corruption: nothing may be quarantined for it.
var ErrNewer = errors.New("written by a newer version of Troupe")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal ends the value that began at start.
func seal(dst []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// The append functions below leave out what is zero, as protobuf does; what is
// not there is zero on reading.

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func appendInt(dst []byte, field protowire.Number, v int64) []byte {
	return appendUint(dst, field, uint64(v))
}

func appendBool(dst []byte, field protowire.Number, v bool) []byte {
	return appendUint(dst, field, protowire.EncodeBool(v))
}

func appendFixed(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}

func appendGeneration(dst []byte, field protowire.Number, g objects.Generation) []byte {
	if g.IsZero() {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return g.AppendTo(protowire.AppendVarint(dst, objects.GenerationBytes))
}

// appendTime writes nanoseconds since 1970; a zero time is left out, 1970 itself
// is not. Times that 64 bits cannot hold (before 1677, after 2262) become the
// nearest that they can.
func appendTime(dst []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), uint64(nanoseconds(t)))
}

func nanoseconds(t time.Time) int64 {
	switch {
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	default:
		return t.UnixNano()
	}
}

// openMessage begins a nested message, closeMessage ends it with the same at.
func openMessage(dst []byte, field protowire.Number) (out []byte, at int) {
	dst = append(protowire.AppendTag(dst, field, protowire.BytesType), 0)
	return dst, len(dst)
}

// closeMessage puts the message's length before it, moving it if the length
// takes more than the one byte that openMessage reserved.
func closeMessage(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 0x80 {
		dst[at-1] = byte(n)
		return dst
	}
	var room [binary.MaxVarintLen64]byte
	length := protowire.AppendVarint(room[:0], uint64(n))
	dst = append(dst, length[1:]...)
	copy(dst[at-1+len(length):], dst[at:at+n])
	copy(dst[at-1:], length)
	return dst
}

// cursor reads fields of one message. Its first fault stays; after it, next
// reports the end and every read returns zero.
type cursor struct {
	b       []byte // the whole value, frame and all
	s       string // a copy of b, of which texts are parts; empty if none are wanted
	at, end int    // what is left of this message
	fault   error
}

// versionOf returns the version of a value with this slicing.
func versionOf(s *objects.Slicing) byte {
	if s != nil {
		return SlicedVersion
	}
	return ValueVersion
}

// openValue checks frame and CRC, and that the version is at most the newest that is known of
// this kind of value.
func openValue(op errs.Op, newest byte, b []byte) (cursor, error) {
	if len(b) < frameBytes {
		return cursor{}, errs.E(op, errs.Corrupt, fmt.Errorf("%d bytes are too few", len(b)))
	}
	end := len(b) - crcBytes
	if got, want := crc32.Checksum(b[:end], castagnoli), binary.BigEndian.Uint32(b[end:]); got != want {
		return cursor{}, errs.E(op, errs.Corrupt, fmt.Errorf("crc %08x, want %08x", got, want))
	}
	if b[0] < ValueVersion || b[0] > newest {
		return cursor{}, errs.E(op, errs.Internal, fmt.Errorf("%w: value version %d, this binary reads %d", ErrNewer, b[0], newest))
	}
	return cursor{b: b, at: 1, end: end}, nil
}

// openCopy is openValue with a copy for texts, so that b may die. One copy costs
// one allocation where a record has a dozen texts.
func openCopy(op errs.Op, newest byte, b []byte) (cursor, error) {
	c, err := openValue(op, newest, b)
	if err == nil {
		c.s = string(b)
	}
	return c, err
}

// close reports the fault of the whole value, if any.
func (c *cursor) close(op errs.Op) error {
	if c.fault == nil {
		return nil
	}
	return errs.E(op, errs.Corrupt, c.fault)
}

func (c *cursor) fail(format string, args ...any) {
	if c.fault == nil {
		c.fault = fmt.Errorf("byte %d: %w", c.at, fmt.Errorf(format, args...))
	}
}

// next reads a tag; ok is false at the end of the message and after a fault.
func (c *cursor) next() (field protowire.Number, form protowire.Type, ok bool) {
	if c.at >= c.end || c.fault != nil {
		return 0, 0, false
	}
	if tag := c.b[c.at]; 8 <= tag && tag < 0x80 { // one byte: every field of ours below 16
		c.at++
		return protowire.Number(tag >> 3), protowire.Type(tag & 7), true
	}
	field, form, n := protowire.ConsumeTag(c.b[c.at:c.end])
	if n < 0 {
		c.fail("bad tag: %w", protowire.ParseError(n))
		return 0, 0, false
	}
	c.at += n
	return field, form, true
}

// skip passes over a field that this binary does not know.
func (c *cursor) skip(field protowire.Number, form protowire.Type) {
	switch form { // the common ones, without protowire's checks for groups
	case protowire.BytesType:
		c.span(form)
		return
	case protowire.Fixed64Type:
		c.fixed(form)
		return
	}
	n := protowire.ConsumeFieldValue(field, form, c.b[c.at:c.end])
	if n < 0 {
		c.fail("field %d: %w", field, protowire.ParseError(n))
		return
	}
	c.at += n
}

func (c *cursor) wants(form, want protowire.Type) bool {
	if form != want {
		c.fail("wire type %d, want %d", form, want)
		return false
	}
	return true
}

func (c *cursor) uint(form protowire.Type) uint64 {
	if !c.wants(form, protowire.VarintType) {
		return 0
	}
	v, n := protowire.ConsumeVarint(c.b[c.at:c.end])
	if n < 0 {
		c.fail("bad number: %w", protowire.ParseError(n))
		return 0
	}
	c.at += n
	return v
}

func (c *cursor) int(form protowire.Type) int64 { return int64(c.uint(form)) }
func (c *cursor) bool(form protowire.Type) bool { return c.uint(form) != 0 }

// small reads a number of one byte: an enumeration.
func (c *cursor) small(form protowire.Type) uint8 {
	v := c.uint(form)
	if v > math.MaxUint8 {
		c.fail("%d is too large", v)
		return 0
	}
	return uint8(v)
}

func (c *cursor) fixed(form protowire.Type) uint64 {
	if !c.wants(form, protowire.Fixed64Type) {
		return 0
	}
	if c.end-c.at < 8 {
		c.fail("a fixed number is cut off")
		return 0
	}
	v := binary.LittleEndian.Uint64(c.b[c.at:])
	c.at += 8
	return v
}

func (c *cursor) time(form protowire.Type) time.Time {
	ns := c.fixed(form)
	if c.fault != nil {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

// span reads a length and returns where its bytes begin and end.
func (c *cursor) span(form protowire.Type) (from, to int) {
	if !c.wants(form, protowire.BytesType) {
		return c.at, c.at
	}
	if c.at < c.end && c.b[c.at] < 0x80 && int(c.b[c.at]) < c.end-c.at { // one byte: most lengths
		from = c.at + 1
		c.at = from + int(c.b[c.at])
		return from, c.at
	}
	length, n := protowire.ConsumeVarint(c.b[c.at:c.end])
	if n < 0 || length > uint64(c.end-c.at-n) {
		c.fail("a length reaches beyond the end")
		return c.at, c.at
	}
	from = c.at + n
	c.at = from + int(length)
	return from, c.at
}

// text returns a part of the copy.
func (c *cursor) text(form protowire.Type) string {
	from, to := c.span(form)
	if c.fault != nil {
		return ""
	}
	return c.s[from:to]
}

// bytes returns a part of the value: not a copy.
func (c *cursor) bytes(form protowire.Type) []byte {
	from, to := c.span(form)
	return c.b[from:to]
}

func (c *cursor) generation(form protowire.Type) objects.Generation {
	b := c.bytes(form)
	if c.fault != nil {
		return objects.Generation{}
	}
	g, err := objects.GenerationOf(b)
	if err != nil {
		c.fail("%w", err)
	}
	return g
}

func (c *cursor) bucketID(form protowire.Type) (id objects.BucketID) {
	b := c.bytes(form)
	if c.fault == nil && len(b) != len(id) {
		c.fail("bucket id of %d bytes, want %d", len(b), len(id))
	}
	copy(id[:], b)
	return id
}

// enter narrows the cursor to a nested message; leave, with what enter
// returned, widens it again behind the message.
func (c *cursor) enter(form protowire.Type) (outer int) {
	from, to := c.span(form)
	outer = c.end
	c.at, c.end = from, to
	return outer
}

func (c *cursor) leave(outer int) { c.end = outer }

// room returns an empty list with room for this element of a repeated field and
// all that follow in the message, so that a list is allocated once and at its
// size: growing it would cost several times as much for hostile input.
func room[T any](c *cursor, field protowire.Number) []T {
	n := 1
	for at := c.at; at < c.end; {
		f, form, tag := protowire.ConsumeTag(c.b[at:c.end])
		if tag < 0 {
			break // next will find it
		}
		length := protowire.ConsumeFieldValue(f, form, c.b[at+tag:c.end])
		if length < 0 {
			break
		}
		at += tag + length
		if f == field {
			n++
		}
	}
	return make([]T, 0, n)
}
