package store

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Fullness is how much room a mountpath has left.
type Fullness uint32

const (
	// Roomy: everything works.
	Roomy Fullness = iota
	// Full: reads and deletes work, writes fail with NoSpace before they start.
	Full
	// Exhausted: deletes fail too: the index itself needs what is left.
	Exhausted
)

// Reserve is how much of a filesystem is kept free for compactions of the index
// in their course, beside its three memtables and two logs: the smaller of the two
// that are given.
type Reserve struct {
	Bytes   int64   // at least 0; 0: Percent alone counts
	Percent float64 // of the filesystem, 0 to 100; 0: Bytes alone counts
}

// DefaultReserve is 1 GiB, and on a small filesystem 2% of it.
func DefaultReserve() Reserve { return Reserve{Bytes: 1 << 30, Percent: 2} }

// of returns the reserve on a filesystem, in bytes.
func (r Reserve) of(totalBytes uint64) uint64 {
	share := uint64(float64(totalBytes) * (r.Percent / 100))
	switch {
	case r.Percent == 0:
		return uint64(r.Bytes)
	case r.Bytes == 0:
		return share
	default:
		return min(uint64(r.Bytes), share)
	}
}

const (
	// reservedFiles is kept free likewise; on a filesystem that counts few
	// inodes, 2% of them.
	reservedFiles = 1000
)

// Reserved returns how many bytes of the filesystem are kept free: below it
// writes fail, below half of it deletes too. 0 before the first measurement.
func (s *Store) Reserved() uint64 {
	if space := s.space.Load(); space != nil {
		return s.reservedOf(*space)
	}
	return 0
}

// reservedOf adds to the reserve what the index may have to write at once: three
// memtables and two logs of their size.
func (s *Store) reservedOf(space disk.Space) uint64 {
	return 5*uint64(s.memTableBytes) + s.reserve.of(space.TotalBytes)
}

// fullnessOf says how full a filesystem is of which so many bytes are reserved.
func fullnessOf(space disk.Space, bytes uint64) Fullness {
	files := min(reservedFiles, space.TotalFiles/50) // filesystems without a table of inodes say 0
	switch {
	case space.FreeBytes < bytes/2 || space.TotalFiles > 0 && space.FreeFiles < files/2:
		return Exhausted
	case space.FreeBytes < bytes || space.TotalFiles > 0 && space.FreeFiles < files:
		return Full
	default:
		return Roomy
	}
}

// MeasureSpace asks the filesystem what is free; writes are judged by the last
// answer. On becoming full the index is flushed, so that deleted payloads come back
// soon, and while it is, again whenever as much was deleted of payloads in the index
// as a memtable holds: in memory, deletes give nothing back. What a flush shows to be
// deleted is left to the index's own compactions. One on demand might write payloads
// anew that lie beside the deleted ones, and take the room that the log needs.
func (s *Store) MeasureSpace() error {
	const op errs.Op = "store.MeasureSpace"
	bytes, files := s.claimedBytes.Load(), s.claimedFiles.Load()
	space, err := s.fs.Space()
	if err != nil {
		s.diskError(objects.Key{}, err)
		return errs.E(op, kindOf(err), err)
	}
	s.space.Store(&space)
	// What was claimed before the look is in what was seen; what came meanwhile is not.
	s.claimedBytes.Add(-bytes)
	s.claimedFiles.Add(-files)
	fullness := fullnessOf(space, s.reservedOf(space))
	was := Fullness(s.fullness.Swap(uint32(fullness)))
	if was != fullness {
		s.log.WithField("free_bytes", space.FreeBytes).WithField("free_files", space.FreeFiles).Warn("the mountpath is now " + fullness.String())
	}
	deleted := s.deletedBytes.Load()
	if fullness == Roomy || s.readOnly || s.index.Err() != nil || deleted < int64(s.memTableBytes) && (was == fullness || fullness != Full) {
		return nil
	}
	s.deletedBytes.Add(-deleted)
	return errs.Wrap(op, s.index.Flush())
}

// String returns the fullness in words.
func (f Fullness) String() string {
	switch f {
	case Roomy:
		return "roomy"
	case Full:
		return "full"
	default:
		return "exhausted"
	}
}

// Space returns what was last measured of the filesystem.
func (s *Store) Space() disk.Space {
	if space := s.space.Load(); space != nil {
		return *space
	}
	return disk.Space{}
}

// Fullness returns how much room was left when it was last measured.
func (s *Store) Fullness() Fullness { return Fullness(s.fullness.Load()) }

// claim is what a write is about to take of the disk.
type claim struct {
	bytes int64
	files int64
}

// admitWrite refuses what would need room on a full disk, and counts what is
// about to be taken until the next measurement sees it: between two of them,
// writers could otherwise take all that the index keeps for itself, and with it
// the deletes that would free the disk again.
func (s *Store) admitWrite(op errs.Op, what fmt.Stringer, c claim) error {
	if s.index.Stalled() {
		return errs.E(op, what, errs.Busy, errors.New("the index is compacting; writes wait"))
	}
	if Fullness(s.fullness.Load()) >= Full {
		return errs.E(op, what, errs.NoSpace, errors.New("the mountpath is full"))
	}
	bytes, files := s.claimedBytes.Add(c.bytes), s.claimedFiles.Add(c.files)
	space := s.space.Load()
	if space == nil {
		return nil // not measured yet
	}
	left := *space
	left.FreeBytes -= min(left.FreeBytes, uint64(max(bytes, 0)))
	left.FreeFiles -= min(left.FreeFiles, uint64(max(files, 0)))
	if fullnessOf(left, s.reservedOf(*space)) == Roomy {
		return nil
	}
	s.claimedBytes.Add(-c.bytes)
	s.claimedFiles.Add(-c.files)
	return errs.E(op, what, errs.NoSpace, errors.New("the mountpath is full but for what is being written"))
}

// admitDelete refuses what would need room of the index on an exhausted disk.
func (s *Store) admitDelete(op errs.Op, what fmt.Stringer) error {
	if Fullness(s.fullness.Load()) >= Exhausted {
		return errs.E(op, what, errs.NoSpace, errors.New("the mountpath has no room left even for deletes"))
	}
	return nil
}
