package cipher

import (
	"errors"
	"io"

	"github.com/minio/sio"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Reader gives the plain bytes of a range of a sealed payload. Each package is judged
// before any byte of it is given: that it is authentic, in its place, and the last one if
// and only if the payload has no more. errs.Corrupt: it is not; nothing is given after
// that. Errors of the source come as they are. One reader; 64 KiB of memory while it is
// read.
type Reader struct {
	src   packages
	plain io.Reader
	left  int64 // plain bytes of the range that were not given
	skip  int64
	err   error // io.EOF: it has ended
}

// NewReader reads r of a payload that was sealed under a key; src gives its bytes from
// r.Offset on, of which r.Length are read.
func NewReader(src io.Reader, key Key, r Range) *Reader {
	reader := &Reader{src: packages{src: guarded{src: src}, left: r.Length, at: r.first, last: r.last}, left: r.plain, skip: r.skip}
	if r.plain == 0 {
		reader.err = io.EOF
		return reader
	}
	config := sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, Key: key.Bytes(), SequenceNumber: r.first}
	var err error
	if reader.plain, err = sio.DecryptReader(&reader.src, config); err != nil {
		reader.err = errs.E("cipher.NewReader", errs.Internal, err)
	}
	return reader
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for r.skip > 0 {
		n, err := io.CopyN(io.Discard, r.plain, r.skip)
		if r.skip -= n; err != nil {
			return 0, r.fail(err)
		}
	}
	p = p[:min(int64(len(p)), r.left)]
	n, err := r.plain.Read(p)
	r.left -= int64(n)
	switch {
	case r.left == 0:
		// The package is judged, and no byte is read beyond it: what is left of it is
		// dropped so that its memory is used again.
		_, _ = io.Copy(io.Discard, r.plain)
		r.err = io.EOF
		return n, nil
	case err != nil:
		return n, r.fail(err)
	}
	return n, nil
}

// fail says why there is no more.
func (r *Reader) fail(err error) error {
	if r.err = r.src.src.failed; r.err != nil {
		return r.err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it ends too early")
	}
	r.err = errs.E("cipher.Read", errs.Corrupt, err)
	return r.err
}

// packages is a source that gives the packages of a range, and refuses one that says that
// it is the last and is not, or that it is not and is. What it says is authentic if the
// package is: it is part of its nonce.
type packages struct {
	src    guarded
	left   int64  // sealed bytes of the range
	at     uint32 // the package that is being read
	within int    // how many of its bytes have been
	last   uint32 // of the payload
}

// finalAt is where in a package its highest bit says that it is the last one.
const finalAt, finalBit = 4, 0x80

var errFinal = errors.New("a package says otherwise whether it is the last one")

// Read implements io.Reader.
func (s *packages) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.left, int64(packageSealed-s.within))]
	n, err := s.src.Read(p)
	if s.within <= finalAt && s.within+n > finalAt && (p[finalAt-s.within]&finalBit != 0) != (s.at == s.last) {
		return 0, errFinal
	}
	s.left -= int64(n)
	if s.within += n; s.within == packageSealed {
		s.at, s.within = s.at+1, 0
	}
	return n, err
}
