package archive

import (
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/objects/errs"
)

// sourceRoom is how much a source reads at least: the header of a member, and often, where
// members are small, the headers of its neighbours.
const sourceRoom = 4 << 10

// maxNothing is how often in a row a reader may give neither bytes nor an error.
const maxNothing = 100

// source reads the bytes of a shard from front to back, from ranges or from a stream. It
// knows where it is, and tells failures of the caller's reader from faults of the archive.
type source struct {
	at       io.ReaderAt // nil: stream
	stream   io.Reader
	end      int64 // of ranges: where they end
	position int64 // of the next byte that Read gives
	room     []byte
	unread   []byte // of room
	fault    *fault // not nil
}

// fault is what the caller's reader failed with. All sources of one shard share it, and it
// stays.
type fault struct{ err error }

func sourceOf(at io.ReaderAt, from, end int64, f *fault) *source {
	return &source{at: at, position: from, end: end, fault: f}
}

func sourceOfStream(r io.Reader, f *fault) *source { return &source{stream: r, fault: f} }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.unread) == 0 {
		if len(p) >= sourceRoom {
			n, err := s.fetch(p)
			s.position += int64(n)
			return n, err
		}
		if s.room == nil {
			s.room = make([]byte, sourceRoom)
		}
		n, err := s.fetch(s.room)
		if s.unread = s.room[:n]; n == 0 {
			return 0, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	s.position += int64(n)
	return n, nil
}

// fetch reads from the caller's reader what lies behind unread. It gives bytes or an error.
func (s *source) fetch(p []byte) (n int, err error) {
	if s.fault.err != nil {
		return 0, s.fault.err
	}
	if s.at != nil {
		from := s.position + int64(len(s.unread))
		if from >= s.end {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), s.end-from)]
		n, err = s.at.ReadAt(p, from)
		if err == io.EOF && n < len(p) {
			err = fmt.Errorf("it ended at %d, it has %d bytes: %w", from+int64(n), s.end, io.ErrUnexpectedEOF)
		}
	} else {
		for nothing := 0; n == 0 && err == nil; nothing++ {
			if nothing == maxNothing {
				err = io.ErrNoProgress
				break
			}
			n, err = s.stream.Read(p)
		}
	}
	if err != nil && err != io.EOF {
		s.fault.err = errs.Wrap("archive.Read", err)
	}
	switch {
	case n > 0:
		return n, nil // the error comes again, or is kept in fault
	case s.fault.err != nil:
		return 0, s.fault.err
	}
	return 0, io.EOF
}

// skip moves ahead in ranges without reading, perhaps past the end.
func (s *source) skip(n int64) {
	s.position += n
	s.unread = s.unread[min(n, int64(len(s.unread))):]
}

// ranges is a source of ranges for archive/tar, which skips contents by Seek.
type ranges struct{ *source }

// Seek implements io.Seeker as far as archive/tar needs it: ahead, from where it is.
func (r ranges) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, fmt.Errorf("archive: seek by %d from %d", offset, whence)
	}
	if offset > r.end {
		offset = r.end + 1 // past the end is past the end, and cannot overflow
	}
	r.skip(offset)
	return r.position, nil
}

func (s *source) tell() int64 { return s.position }

// readFull fills p, or returns io.EOF if there is nothing and io.ErrUnexpectedEOF if there
// is too little.
func (s *source) readFull(p []byte) error {
	_, err := io.ReadFull(s, p)
	return err
}
