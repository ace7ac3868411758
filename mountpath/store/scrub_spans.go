package store

import (
	"slices"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// maxSpans bounds each list of spans of a range. What is joined is as old as its oldest:
// nothing is ever taken for younger than it is.
const maxSpans = 64

// rangeID names what one ScrubRange is about.
type rangeID struct {
	bucket objects.BucketID
	kind   byte // layout.KindObject or layout.KindUpload
}

// scrubRange is a ScrubRange in memory.
type scrubRange struct {
	layout.ScrubRange
	dirty bool // it differs from what the index has
}

// pass notes that the key has been dealt with: what it has was verified, or written, at
// a time. Times within width of one another become one span.
func (r *scrubRange) pass(end string, at time.Time, bytes, payloads int64, width time.Duration) {
	r.dirty = true
	r.take(r.formerly(end, at), bytes, payloads)
	gone := 0
	for gone < len(r.Former) && r.Former[gone].End <= end {
		gone++
	}
	r.Former = slices.Delete(r.Former, 0, gone)
	if n := len(r.Verified); n > 0 {
		if last := &r.Verified[n-1]; at.Sub(last.At).Abs() < width {
			last.End, last.Bytes, last.Payloads = end, last.Bytes+bytes, last.Payloads+payloads
			if at.Before(last.At) {
				last.At = at
			}
			return
		}
	}
	r.Verified = append(r.Verified, layout.ScrubSpan{End: end, At: at, Bytes: bytes, Payloads: payloads})
	r.Verified = boundSpans(r.Verified)
}

// formerly returns when a key beyond what was verified in this cycle was verified last, or
// written, if that was later or if it never was.
func (r *scrubRange) formerly(name string, written time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(r.Former, name, func(s layout.ScrubSpan, name string) int {
		if s.End < name {
			return -1
		}
		return 1
	})
	if i < len(r.Former) && r.Former[i].At.After(written) {
		return r.Former[i].At
	}
	return written
}

// take takes from what was counted ahead what has been dealt with.
func (r *scrubRange) take(at time.Time, bytes, payloads int64) {
	i := len(r.Ahead) - 1
	for i > 0 && r.Ahead[i].At.After(at) {
		i--
	}
	for ; i >= 0 && i < len(r.Ahead) && (bytes > 0 || payloads > 0); i-- {
		s := &r.Ahead[i]
		b, p := min(bytes, s.Bytes), min(payloads, s.Payloads)
		s.Bytes, s.Payloads, bytes, payloads = s.Bytes-b, s.Payloads-p, bytes-b, payloads-p
	}
	r.Ahead = slices.DeleteFunc(r.Ahead, func(s layout.ScrubSpan) bool { return s.Bytes <= 0 && s.Payloads <= 0 })
}

// through says that the cycle has passed the end of the range.
func (r *scrubRange) through() {
	if len(r.Former) > 0 || len(r.Ahead) > 0 {
		r.Former, r.Ahead, r.dirty = nil, nil, true
	}
}

// anew says that a cycle begins.
func (r *scrubRange) anew() {
	r.Former, r.Verified, r.Ahead, r.dirty = r.Verified, nil, nil, true
}

// ages returns what the range has, by age.
func (r *scrubRange) ages(counted bool) []layout.ScrubSpan {
	all := slices.Clone(r.Verified)
	if counted {
		return append(all, r.Ahead...)
	}
	return append(all, r.Former...)
}

// countSpan adds to a list that is in the order of times.
func countSpan(list []layout.ScrubSpan, at time.Time, bytes int64) []layout.ScrubSpan {
	i, found := slices.BinarySearchFunc(list, at, func(s layout.ScrubSpan, at time.Time) int { return s.At.Compare(at) })
	if found {
		list[i].Bytes, list[i].Payloads = list[i].Bytes+bytes, list[i].Payloads+1
		return list
	}
	return boundSpans(slices.Insert(list, i, layout.ScrubSpan{At: at, Bytes: bytes, Payloads: 1}))
}

// boundSpans joins those two neighbours of a list that is too long that differ least.
func boundSpans(list []layout.ScrubSpan) []layout.ScrubSpan {
	if len(list) <= maxSpans {
		return list
	}
	best := 0
	for i := range len(list) - 1 {
		if list[i+1].At.Sub(list[i].At).Abs() < list[best+1].At.Sub(list[best].At).Abs() {
			best = i
		}
	}
	a, b := &list[best], list[best+1]
	a.End, a.Bytes, a.Payloads = b.End, a.Bytes+b.Bytes, a.Payloads+b.Payloads
	if b.At.Before(a.At) {
		a.At = b.At
	}
	return slices.Delete(list, best+1, best+2)
}
