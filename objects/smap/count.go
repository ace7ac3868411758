package smap

import (
	"bytes"
	"slices"

	"github.com/troupe-storage/troupe/objects"
)

// Count is how many owners the keys of a bucket have by the map, whatever its document
// says. There is one once a plan has changed it, for as long as the bucket lives: maps and
// documents are adopted one after the other, and who has an older document in his hands is
// not to take others for the owners of a key.
type Count struct {
	Bucket objects.BucketID `json:"bucket"`
	Owners int              `json:"owners"` // from 1
}

const (
	// maxOwners bounds a count: a few more than any bucket may ask for.
	maxOwners = 64
	// maxCounts bounds how many there are, so that a map fits where it is kept. Those of a
	// plan under way are among them: else it could not be finished.
	maxCounts = 1000
)

// MayCount reports whether buckets may get other numbers of owners by one plan: the map has
// counts of them, or room for them.
func (m *Smap) MayCount(buckets ...objects.BucketID) bool {
	list := m.counts
	if m.next != nil {
		list = merged(list, m.next.Counts)
	}
	n := len(list)
	for i, bucket := range buckets {
		if counted(list, bucket, 0) == 0 && !slices.Contains(buckets[:i], bucket) {
			n++
		}
	}
	return n <= maxCounts
}

func compareCounts(a, b Count) int { return bytes.Compare(a.Bucket[:], b.Bucket[:]) }

// counted returns the count of a bucket in a list, or another number where there is none.
func counted(list []Count, bucket objects.BucketID, otherwise int) int {
	if i, found := slices.BinarySearchFunc(list, Count{Bucket: bucket}, compareCounts); found {
		return list[i].Owners
	}
	return otherwise
}

// Owners returns how many owners a key has, where there are so many nodes, and how many
// next owners if its slot has not switched: as many, unless the plan under way changes it.
func (m *Smap) Owners(key Key) (now, next int) {
	now = counted(m.counts, key.Bucket, key.Owners)
	if m.next == nil {
		return now, now
	}
	return now, counted(m.next.Counts, key.Bucket, now)
}

// Most returns the greater of what Owners returns: keys of the bucket may be on so many
// nodes.
func (m *Smap) Most(key Key) int {
	now, next := m.Owners(key)
	return max(now, next)
}

// Least returns the lesser of what Owners returns: each key of the bucket is on so many
// nodes.
func (m *Smap) Least(key Key) int {
	now, next := m.Owners(key)
	return min(now, next)
}

// Counts returns the counts that hold whatever documents say, by bucket.
func (m *Smap) Counts() []Count { return slices.Clone(m.counts) }

// merged returns a list of counts with others in the place of those of the same buckets.
func merged(list, others []Count) []Count {
	list = slices.DeleteFunc(slices.Clone(list), func(c Count) bool { return counted(others, c.Bucket, 0) != 0 })
	list = append(list, others...)
	slices.SortFunc(list, compareCounts)
	return list
}

// Forget drops the counts of a bucket that is destroyed, that of the plan under way, too. The
// caller has seen to it that no node knows the bucket any more, or asks for its keys.
func (c *Change) Forget(bucket objects.BucketID) *Change {
	if !c.to.HasCount(bucket) {
		return c.refuse("bucket %s has no count", bucket)
	}
	drop := func(list []Count) []Count {
		return slices.DeleteFunc(slices.Clone(list), func(other Count) bool { return other.Bucket == bucket })
	}
	c.to.counts = drop(c.to.counts)
	if c.to.next != nil {
		c.to.next.Counts = drop(c.to.next.Counts)
	}
	return c
}

// HasCount reports whether the map, or the plan under way, has a count of a bucket.
func (m *Smap) HasCount(bucket objects.BucketID) bool {
	return counted(m.counts, bucket, 0) != 0 || m.next != nil && counted(m.next.Counts, bucket, 0) != 0
}

// validateCounts finds what contradicts itself in an arranged list.
func (m *Smap) validateCounts(what string, list []Count, fault func(string, ...any)) {
	for i, c := range list {
		if i > 0 && compareCounts(list[i-1], c) == 0 {
			fault("the %s have bucket %s twice", what, c.Bucket)
		}
		if c.Bucket.IsZero() || c.Owners < 1 || c.Owners > maxOwners {
			fault("the %s give bucket %s %d owners, want 1 to %d", what, c.Bucket, c.Owners, maxOwners)
		}
	}
}
