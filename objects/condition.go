package objects

import (
	"strings"
	"time"
)

// Conditions guard a request: it happens only if they hold for the object as it
// is. The zero value always holds. Source: RFC 9110, 13; Amazon S3's
// conditional reads, writes and deletes.
type Conditions struct {
	IfMatch           string    // entity tags, or "*": the object must exist and match
	IfNoneMatch       string    // entity tags, or "*": no existing object may match
	IfModifiedSince   time.Time // reads only
	IfUnmodifiedSince time.Time // reads only
	IfSize            *int64    // deletes: x-amz-if-match-size
	IfLastModified    time.Time // deletes: x-amz-if-match-last-modified-time
}

// IsZero reports whether nothing is asked.
func (c *Conditions) IsZero() bool {
	return c.IfMatch == "" && c.IfNoneMatch == "" && c.IfModifiedSince.IsZero() &&
		c.IfUnmodifiedSince.IsZero() && c.IfSize == nil && c.IfLastModified.IsZero()
}

// Verdict is what conditions say about a read.
type Verdict uint8

const (
	// Proceed: the conditions hold.
	Proceed Verdict = iota
	// NotModified: the reader has it already (304).
	NotModified
	// Failed: a condition does not hold (412).
	Failed
)

// ForRead judges the conditions of a read of an existing object, in the order
// of RFC 9110, 13.2.2. Times are compared by the second, as HTTP writes them.
func (c *Conditions) ForRead(m *Meta) Verdict {
	modified := m.Modified.Truncate(time.Second)
	if c.IfMatch != "" {
		if !matchesETag(c.IfMatch, m.ETag) {
			return Failed
		}
	} else if !c.IfUnmodifiedSince.IsZero() && modified.After(c.IfUnmodifiedSince) {
		return Failed
	}
	if c.IfNoneMatch != "" {
		if matchesETag(c.IfNoneMatch, m.ETag) {
			return NotModified
		}
	} else if !c.IfModifiedSince.IsZero() && !modified.After(c.IfModifiedSince) {
		return NotModified
	}
	return Proceed
}

// ForWrite judges the conditions of a write or delete. Current is the object as
// it is, nil if there is none (or only a delete marker). The error is
// ErrNoSuchKey where something should match and nothing exists, and
// ErrPreconditionFailed otherwise.
func (c *Conditions) ForWrite(current *Meta) error {
	if c.IsZero() {
		return nil
	}
	if current == nil {
		if c.IfMatch != "" || c.IfSize != nil || !c.IfLastModified.IsZero() {
			return ErrNoSuchKey
		}
		return nil
	}
	switch {
	case c.IfMatch != "" && !matchesETag(c.IfMatch, current.ETag),
		c.IfNoneMatch != "" && matchesETag(c.IfNoneMatch, current.ETag),
		c.IfSize != nil && *c.IfSize != current.Size,
		!c.IfLastModified.IsZero() && !current.Modified.Truncate(time.Second).Equal(c.IfLastModified.Truncate(time.Second)):
		return ErrPreconditionFailed
	}
	return nil
}

// matchesETag reports whether the list of entity tags of a condition header
// holds etag (which is without quotes), or is "*". Weak tags compare as strong
// ones do: an object store has only strong ones.
func matchesETag(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || strings.Trim(tag, `"`) == etag {
			return true
		}
	}
	return false
}
