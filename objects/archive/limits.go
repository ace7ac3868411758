package archive

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Limits bound what reading an archive may cost, since an archive can claim and unpack to
// anything. Memory is bounded without them: see the package's comment.
type Limits struct {
	Members  int64 // members that are looked at; 0: DefaultMembers
	Unpacked int64 // bytes that come out of decompression, whether they are wanted or skipped; 0: any number
	Index    int64 // bytes of the index that BuildIndex makes; 0: as many as an index can have
}

// DefaultMembers is how many members are looked at in one archive unless Limits says
// otherwise: as many names as a request may have.
const DefaultMembers = 10_000_000

// ErrMalformed says that an object is not an archive of its format, or not a whole one.
var ErrMalformed = errors.New("malformed archive")

// ErrLimit says that an archive is larger than Limits allows.
var ErrLimit = errors.New("archive beyond the limit")

func (l Limits) members() int64 {
	if l.Members > 0 {
		return l.Members
	}
	return DefaultMembers
}

// malformed is an error of kind Invalid: what was stored is what is stored, but no archive.
func malformed(op errs.Op, format string, args ...any) error {
	return errs.E(op, errs.Invalid, fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...)))
}

// meter counts what comes out of decompression.
type meter struct {
	left      int64 // how much more may
	unlimited bool
}

func newMeter(l Limits) *meter { return &meter{left: l.Unpacked, unlimited: l.Unpacked <= 0} }

func (m *meter) take(n int) error {
	if m.unlimited {
		return nil
	}
	if m.left -= int64(n); m.left < 0 {
		return errs.E("archive.Read", errs.Invalid, fmt.Errorf("%w: more bytes come out of it than may", ErrLimit))
	}
	return nil
}
