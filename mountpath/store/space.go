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

const (
	// reservedBytes is kept free for the index: three memtables, two WALs and
	// compactions in their course; on a small filesystem 2% of it.
	reservedBytes = 1 << 30
	// reservedFiles is kept free likewise; on a filesystem that counts few
	// inodes, 2% of them.
	reservedFiles = 1000
)

// fullnessOf says how full a filesystem is. Memtables is what the index may
// have to write at once, in bytes.
func fullnessOf(space disk.Space, memtables uint64) Fullness {
	bytes := 5*memtables + min(reservedBytes, space.TotalBytes/50)
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
// answer. On becoming full the index is flushed, so that deleted payloads come
// back soon.
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
	fullness := fullnessOf(space, uint64(s.memTableBytes))
	if was := Fullness(s.fullness.Swap(uint32(fullness))); was != fullness {
		s.log.WithField("free_bytes", space.FreeBytes).WithField("free_files", space.FreeFiles).Warn("the mountpath is now " + fullness.String())
		if fullness == Full {
			return errs.Wrap(op, s.index.Flush())
		}
	}
	return nil
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
	if fullnessOf(left, uint64(s.memTableBytes)) == Roomy {
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
