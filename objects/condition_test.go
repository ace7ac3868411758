package objects

import (
	"errors"
	"testing"
	"time"
)

// Reads: the order of RFC 9110, 13.2.2. An entity tag outranks a time.
func TestConditionsOfReads(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	second := at.Truncate(time.Second) // what HTTP can say of it
	before, after := second.Add(-time.Second), second.Add(time.Second)
	m := &Meta{ETag: "abc", Modified: at}
	for name, c := range map[string]struct {
		conditions Conditions
		want       Verdict
	}{
		"none":                      {Conditions{}, Proceed},
		"match":                     {Conditions{IfMatch: `"abc"`}, Proceed},
		"match bare":                {Conditions{IfMatch: `abc`}, Proceed},
		"match any":                 {Conditions{IfMatch: `*`}, Proceed},
		"match in a list":           {Conditions{IfMatch: `"x", "abc"`}, Proceed},
		"match weak":                {Conditions{IfMatch: `W/"abc"`}, Proceed},
		"match other":               {Conditions{IfMatch: `"x", "ab"`}, Failed},
		"match outranks time":       {Conditions{IfMatch: `"abc"`, IfUnmodifiedSince: before}, Proceed},
		"none match":                {Conditions{IfNoneMatch: `"abc"`}, NotModified},
		"none match any":            {Conditions{IfNoneMatch: `*`}, NotModified},
		"none match other":          {Conditions{IfNoneMatch: `"x"`}, Proceed},
		"none match outranks time":  {Conditions{IfNoneMatch: `"x"`, IfModifiedSince: after}, Proceed},
		"unmodified since, not":     {Conditions{IfUnmodifiedSince: before}, Failed},
		"unmodified since":          {Conditions{IfUnmodifiedSince: second}, Proceed},
		"modified since":            {Conditions{IfModifiedSince: before}, Proceed},
		"modified since, not":       {Conditions{IfModifiedSince: second}, NotModified},
		"failed before unmodified":  {Conditions{IfMatch: `"x"`, IfNoneMatch: `"abc"`}, Failed},
		"match and then unmodified": {Conditions{IfMatch: `"abc"`, IfNoneMatch: `"abc"`}, NotModified},
	} {
		if got := c.conditions.ForRead(m); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Writes and deletes: "only if it is new" and "only if it is still this".
func TestConditionsOfWrites(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	m := &Meta{ETag: "abc", Size: 5, Modified: at}
	five, six := int64(5), int64(6)
	for name, c := range map[string]struct {
		conditions Conditions
		exists     error // where the object exists
		absent     error // where it does not
	}{
		"none":            {Conditions{}, nil, nil},
		"create only":     {Conditions{IfNoneMatch: "*"}, ErrPreconditionFailed, nil},
		"not that one":    {Conditions{IfNoneMatch: `"abc"`}, ErrPreconditionFailed, nil},
		"another one":     {Conditions{IfNoneMatch: `"x"`}, nil, nil},
		"still that one":  {Conditions{IfMatch: `"abc"`}, nil, ErrNoSuchKey},
		"some one":        {Conditions{IfMatch: "*"}, nil, ErrNoSuchKey},
		"not any more":    {Conditions{IfMatch: `"x"`}, ErrPreconditionFailed, ErrNoSuchKey},
		"size":            {Conditions{IfSize: &five}, nil, ErrNoSuchKey},
		"another size":    {Conditions{IfSize: &six}, ErrPreconditionFailed, ErrNoSuchKey},
		"time":            {Conditions{IfLastModified: at.Truncate(time.Second)}, nil, ErrNoSuchKey},
		"another time":    {Conditions{IfLastModified: at.Add(time.Second)}, ErrPreconditionFailed, ErrNoSuchKey},
		"one of two hold": {Conditions{IfMatch: `"abc"`, IfSize: &six}, ErrPreconditionFailed, ErrNoSuchKey},
	} {
		if err := c.conditions.ForWrite(m); !errors.Is(err, c.exists) || (err == nil) != (c.exists == nil) {
			t.Errorf("%s, exists: %v, want %v", name, err, c.exists)
		}
		if err := c.conditions.ForWrite(nil); !errors.Is(err, c.absent) || (err == nil) != (c.absent == nil) {
			t.Errorf("%s, absent: %v, want %v", name, err, c.absent)
		}
	}
}
