package cipher

import (
	"errors"
	"io"

	"github.com/minio/sio"

	"github.com/troupe-storage/troupe/objects/errs"
)

// NewSealer returns what a payload is when it is sealed under a key of Key.Object or
// Key.Part. It ends in io.EOF when the source does, and in no other case: a source that
// fails, with io.ErrUnexpectedEOF too, fails the sealer with its error. One reader; it
// reads up to a package ahead. 64 KiB of memory while it is read.
func NewSealer(src io.Reader, key Key) io.Reader { return newSealer(src, key, sio.Config{}) }

func newSealer(src io.Reader, key Key, config sio.Config) io.Reader {
	s := &sealer{src: guarded{src: src}}
	config.Key, config.MinVersion, config.MaxVersion = key.Bytes(), sio.Version20, sio.Version20
	s.sealed, s.err = sio.EncryptReader(&s.src, config)
	if s.err != nil {
		s.err = errs.E("cipher.NewSealer", errs.Internal, s.err)
	}
	return s
}

type sealer struct {
	src    guarded
	sealed io.Reader
	err    error // io.EOF: it has ended
}

// Read implements io.Reader.
func (s *sealer) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.sealed.Read(p)
	if err == nil && s.src.failed == nil {
		return n, nil
	}
	if s.err = err; s.src.failed != nil {
		n, s.err = 0, s.src.failed
	}
	return n, s.err
}

// errSource stands for an error of the source on its way through sio, which takes
// io.ErrUnexpectedEOF for an end and would mark the package so far as the last one.
var errSource = errors.New("cipher: the source failed")

// guarded is a source that remembers by what it failed.
type guarded struct {
	src    io.Reader
	failed error // nil: it has not, or it has ended
}

// Read implements io.Reader.
func (g *guarded) Read(p []byte) (int, error) {
	if g.failed != nil {
		return 0, errSource
	}
	n, err := g.src.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF is not wrapped
		g.failed = err
		return n, errSource
	}
	return n, err
}
