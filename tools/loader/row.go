package loader

import (
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects"
)

// BareKind says which of the bare handler's answers a row is compared with.
type BareKind string

const (
	// BareMemory answers from memory.
	BareMemory BareKind = "memory"
	// BareFile opens, writes, renames or unlinks a file.
	BareFile BareKind = "file"
)

// BareReference is what the bare handler cost on the reference machine.
type BareReference struct {
	Kind   BareKind `json:"kind"`
	Micros float64  `json:"micros"` // CPU per operation
}

// Row is one line of the reference table: an operation, a size, the properties
// of the bucket, and the figure to reach.
type Row struct {
	Operation Operation          `json:"-"`
	Size      int64              `json:"size_bytes"` // of the objects put, read or deleted; for HEAD and LIST of those in the bucket
	Class     objects.Durability `json:"class"`
	ETag      objects.ETagKind   `json:"etag"`
	Target    float64            `json:"target_micros"` // server CPU per operation, on the reference machine
	Reference []BareReference    `json:"reference,omitempty"`
}

// Name is the row as the table shows it.
func (r Row) Name() string {
	switch {
	case r.Operation == Head:
		return "HEAD"
	case r.Operation == List:
		return "LIST, 1,000 keys a page"
	case r.Operation == Put && r.Size == 1<<20:
		return fmt.Sprintf("PUT 1MiB, %s ETag", r.ETag)
	}
	return r.Operation.String() + " " + FormatBytes(r.Size)
}

// group is the rows that use one bucket, in the order in which they must run:
// what is read was put before, what is deleted goes last.
type group struct {
	size  int64
	class objects.Durability
	etag  objects.ETagKind
	rows  []Row
}

// name is a part of the bucket's name.
func (g group) name() string {
	name := FormatBytes(g.size) + "-" + string(g.class) + "-" + string(g.etag)
	lower := []byte(name)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// referenceGroups is the first table of the design's figures (server CPU in µs
// per operation, 16 connections, 2 cores), for both durability classes.
func referenceGroups() []group {
	var groups []group
	for _, class := range []objects.Durability{objects.Synced, objects.Relaxed} {
		put128, put1M := 600.0, 1400.0
		if class == objects.Relaxed {
			put128, put1M = 500, 1300
		}
		bare := func(kind BareKind, micros float64) []BareReference { return []BareReference{{kind, micros}} }
		small := []Row{
			{Operation: Put, Target: 120, Reference: bare(BareFile, 320)},
			{Operation: Get, Target: 45, Reference: append(bare(BareMemory, 24), bare(BareFile, 58)...)},
			{Operation: Head, Target: 35, Reference: bare(BareMemory, 19)},
			{Operation: List, Target: 1500},
			{Operation: Delete, Target: 60, Reference: bare(BareFile, 45)},
		}
		middle := []Row{
			{Operation: Put, Target: put128, Reference: bare(BareFile, 1012)},
			{Operation: Get, Target: 95, Reference: bare(BareFile, 76)},
		}
		large := []Row{
			{Operation: Put, Target: put1M, Reference: bare(BareFile, 1151)},
			{Operation: Get, Target: 345, Reference: bare(BareFile, 310)},
		}
		groups = append(groups,
			newGroup(4<<10, class, objects.ETagMD5, small),
			newGroup(128<<10, class, objects.ETagMD5, middle))
		if class == objects.Synced { // with MD5 there is no figure for the relaxed class
			withMD5 := slices.Clone(large)
			withMD5[0].Target = 2200
			groups = append(groups, newGroup(1<<20, class, objects.ETagMD5, withMD5))
			large = large[:1] // GET does not look at the ETag: once is enough
		}
		groups = append(groups, newGroup(1<<20, class, objects.ETagFast, large))
	}
	return groups
}

// newGroup completes the rows with what they share.
func newGroup(size int64, class objects.Durability, etag objects.ETagKind, rows []Row) group {
	for i := range rows {
		rows[i].Size, rows[i].Class, rows[i].ETag = size, class, etag
	}
	return group{size: size, class: class, etag: etag, rows: rows}
}
