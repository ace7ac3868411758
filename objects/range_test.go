package objects

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Ranges as RFC 9110, 14.1.2, writes them, against an object of 10 bytes.
func TestRangeOfTenBytes(t *testing.T) {
	for header, want := range map[string][2]int64{ // offset, length; {-1}: not satisfiable
		"bytes=0-0": {0, 1}, "bytes=0-9": {0, 10}, "bytes=2-5": {2, 4}, "bytes=9-": {9, 1}, "bytes=0-": {0, 10},
		"bytes=5-100": {5, 5}, "bytes=-1": {9, 1}, "bytes=-10": {0, 10}, "bytes=-99": {0, 10},
		"bytes=3-9223372036854775807": {3, 7}, "bytes=-9223372036854775807": {0, 10},

		"bytes=10-": {-1}, "bytes=10-20": {-1}, "bytes=-0": {-1},

		// Not a range that we serve: all of it.
		"": {0, 10}, "bytes": {0, 10}, "bytes=": {0, 10}, "bytes=-": {0, 10}, "bytes=5-2": {0, 10}, "bytes=a-b": {0, 10},
		"bytes=0-1,3-4": {0, 10}, "items=0-1": {0, 10}, "bytes=+1-2": {0, 10}, "bytes=1-+2": {0, 10}, "bytes=0x1-2": {0, 10},
		"bytes=1": {0, 10}, "bytes=99999999999999999999-": {0, 10}, "bytes=1-2-3": {0, 10}, "bytes=--1": {0, 10},
	} {
		offset, length, err := ParseRange(header).In(10)
		if want[0] < 0 {
			if !errors.Is(err, ErrInvalidRange) {
				t.Errorf("%q: %d, %d, %v, want not satisfiable", header, offset, length, err)
			}
			continue
		}
		if err != nil || offset != want[0] || length != want[1] {
			t.Errorf("%q: %d, %d, %v, want %v", header, offset, length, err, want)
		}
	}
}

// Of an empty object there is all, and no part.
func TestRangeOfNothing(t *testing.T) {
	if offset, length, err := (Range{}).In(0); offset != 0 || length != 0 || err != nil {
		t.Errorf("all: %d, %d, %v", offset, length, err)
	}
	for _, header := range []string{"bytes=0-", "bytes=0-0", "bytes=-1"} {
		if _, _, err := ParseRange(header).In(0); !errors.Is(err, ErrInvalidRange) {
			t.Errorf("%q: %v", header, err)
		}
	}
}

// Whatever a client sends, what is sent back lies in the object.
func TestRangeStaysInTheObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := "bytes=" + rapid.StringMatching(`[0-9]{0,20}-[0-9]{0,20}`).Draw(t, "range")
		size := rapid.Int64Min(0).Draw(t, "size")
		offset, length, err := ParseRange(header).In(size)
		if err == nil && (offset < 0 || length < 0 || offset > size || length > size-offset || length == 0 && size > 0) {
			t.Fatalf("%q of %d bytes: %d, %d", header, size, offset, length)
		}
	})
}
