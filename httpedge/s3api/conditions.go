package s3api

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// parseDate reads a date of a header in any of HTTP's three forms. Anything else
// is no date: RFC 9110, 13.1.3 says to ignore such a condition.
func parseDate(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC, time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// readConditions are the conditions of GET and HEAD.
func (h *header) readConditions() objects.Conditions {
	return objects.Conditions{
		IfMatch:           h.ifMatch,
		IfNoneMatch:       h.ifNoneMatch,
		IfModifiedSince:   parseDate(h.ifModifiedSince),
		IfUnmodifiedSince: parseDate(h.ifUnmodifiedSince),
	}
}

// sourceConditions are the conditions of a copy on its source.
func (h *header) sourceConditions() objects.Conditions {
	return objects.Conditions{
		IfMatch:           h.copyIfMatch,
		IfNoneMatch:       h.copyIfNoneMatch,
		IfModifiedSince:   parseDate(h.copyIfModifiedSince),
		IfUnmodifiedSince: parseDate(h.copyIfUnmodifiedSince),
	}
}

// writeConditions are the conditions of a write on what it replaces.
func (h *header) writeConditions() objects.Conditions {
	return objects.Conditions{IfMatch: h.ifMatch, IfNoneMatch: h.ifNoneMatch}
}

// deleteConditions are the conditions of a delete. Unlike those of a read, one
// that cannot be understood refuses the request: the alternative is to delete.
func (h *header) deleteConditions() (objects.Conditions, error) {
	return deleteConditions(h.ifMatch, h.ifSize, parseDate(h.ifLastModified), h.ifLastModified)
}

func deleteConditions(etag, size string, modified time.Time, modifiedText string) (objects.Conditions, error) {
	c := objects.Conditions{IfMatch: etag, IfLastModified: modified}
	if modifiedText != "" && modified.IsZero() {
		return c, refuse(codeInvalidArgument, "").argument("x-amz-if-match-last-modified-time", modifiedText)
	}
	if size != "" {
		n, err := strconv.ParseUint(size, 10, 63)
		if err != nil {
			return c, refuse(codeInvalidArgument, "").argument("x-amz-if-match-size", size)
		}
		bytes := int64(n)
		c.IfSize = &bytes
	}
	return c, nil
}

// judge applies the conditions of a read. Done says that the answer is 304 and
// has been written.
func (r *request) judge(meta *objects.Meta) (done bool, err error) {
	c := r.header.readConditions()
	if c.IsZero() {
		return false, nil
	}
	switch c.ForRead(meta) {
	case objects.NotModified:
		r.validators(meta)
		r.setNonEmpty("Cache-Control", meta.Headers.CacheControl)
		r.setNonEmpty("Expires", meta.Headers.Expires)
		return true, r.empty(fasthttp.StatusNotModified)
	case objects.Failed:
		condition := "If-Match"
		if c.IfMatch == "" {
			condition = "If-Unmodified-Since"
		}
		return false, refuse(codePreconditionFailed, "").with("Condition", condition)
	}
	return false, nil
}

// rangeHolds reports whether a Range header counts, given If-Range: the object
// must still be the one that the client has the rest of (RFC 9110, 13.1.5).
func (h *header) rangeHolds(meta *objects.Meta) bool {
	if h.ifRange == "" {
		return true
	}
	if date := parseDate(h.ifRange); !date.IsZero() {
		return meta.Modified.Truncate(time.Second).Equal(date)
	}
	return h.ifRange == `"`+meta.ETag+`"`
}
