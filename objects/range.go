package objects

import (
	"fmt"
	"strconv"
	"strings"
)

// Range asks for a part of an object. The zero value asks for all of it.
type Range struct {
	Kind  RangeKind
	First int64 // first byte, for RangeFrom and RangeBetween
	Last  int64 // last byte, inclusive, for RangeBetween; how many bytes, for RangeSuffix
}

// RangeKind is the form of a Range.
type RangeKind uint8

const (
	// RangeAll is the whole object.
	RangeAll RangeKind = iota
	// RangeFrom is bytes=First-.
	RangeFrom
	// RangeBetween is bytes=First-Last.
	RangeBetween
	// RangeSuffix is bytes=-Last.
	RangeSuffix
)

// ParseRange reads an HTTP Range header. Anything but one well-formed byte
// range asks for the whole object, as RFC 9110 (14.2) allows and S3 does.
func ParseRange(header string) Range {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return Range{}
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return Range{}
	}
	number := func(s string) (int64, bool) {
		n, err := strconv.ParseUint(s, 10, 63)
		return int64(n), err == nil
	}
	switch {
	case first == "":
		if n, ok := number(last); ok {
			return Range{Kind: RangeSuffix, Last: n}
		}
	case last == "":
		if n, ok := number(first); ok {
			return Range{Kind: RangeFrom, First: n}
		}
	default:
		a, okA := number(first)
		b, okB := number(last)
		if okA && okB && a <= b {
			return Range{Kind: RangeBetween, First: a, Last: b}
		}
	}
	return Range{}
}

// In resolves the range against an object of size bytes: offset and length of
// what to send. An unsatisfiable range is ErrInvalidRange.
func (r Range) In(size int64) (offset, length int64, err error) {
	switch r.Kind {
	case RangeFrom, RangeBetween:
		if r.First >= size {
			return 0, 0, fmt.Errorf("%w: it begins at %d of %d bytes", ErrInvalidRange, r.First, size)
		}
		last := size - 1
		if r.Kind == RangeBetween {
			last = min(last, r.Last)
		}
		return r.First, last - r.First + 1, nil
	case RangeSuffix:
		if r.Last == 0 || size == 0 {
			return 0, 0, fmt.Errorf("%w: the last %d of %d bytes", ErrInvalidRange, r.Last, size)
		}
		n := min(r.Last, size)
		return size - n, n, nil
	default:
		return 0, size, nil
	}
}
