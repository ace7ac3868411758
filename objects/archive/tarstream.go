package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// streamRoom is how much of a member's content a TarStream takes at once.
const streamRoom = 64 << 10

// TarStream is a tar that is made while it is read: for who is read from, and cannot be
// written to. Memory is streamRoom and what a header takes. Not safe for concurrent use.
type TarStream struct {
	next    func() (Input, error)
	tar     *tar.Writer
	made    bytes.Buffer // and not yet read
	content []byte
	body    io.Reader // of the member that is being written
	left    int64     // bytes of it
	err     error
}

// NewTarStream returns the tar of the members that next returns, until it returns io.EOF.
// The body of one is read to its end before next is called again. Names are taken as
// Writer.Add takes them.
func NewTarStream(next func() (Input, error)) *TarStream {
	s := &TarStream{next: next, content: make([]byte, streamRoom)}
	s.tar = tar.NewWriter(&s.made)
	return s
}

// Read implements io.Reader. An error of next, or of a body, cuts the tar.
func (s *TarStream) Read(p []byte) (int, error) {
	for s.made.Len() == 0 {
		if s.err == nil {
			s.err = s.step()
		}
		if s.err != nil && s.made.Len() == 0 {
			return 0, s.err
		}
	}
	return s.made.Read(p)
}

// step writes a header, some content, or the trailer, which returns io.EOF.
func (s *TarStream) step() error {
	const op errs.Op = "archive.TarStream"
	if s.left > 0 {
		n, err := s.body.Read(s.content[:min(s.left, streamRoom)])
		s.left -= int64(n)
		if _, wrong := s.tar.Write(s.content[:n]); wrong != nil {
			return errs.E(op, wrong)
		}
		if err == io.EOF && s.left == 0 {
			return nil
		}
		return errs.Wrap(op, noEOF(err))
	}
	in, err := s.next()
	if err == io.EOF {
		if err := s.tar.Close(); err != nil {
			return errs.E(op, err)
		}
		return io.EOF
	}
	if err != nil {
		return err
	}
	name, err := NameToWrite(in.Name)
	if err != nil {
		return err
	}
	if in.Size < 0 {
		return errs.E(op, in.Name, errs.Invalid, errors.New("a member of less than nothing"))
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: in.Size, Mode: int64(in.Mode & 0o777), ModTime: time.Unix(0, 0).UTC()}
	if header.Mode == 0 {
		header.Mode = DefaultMode
	}
	if !in.Modified.IsZero() {
		header.ModTime = time.Unix(in.Modified.Unix(), 0).UTC()
	}
	if err := s.tar.WriteHeader(header); err != nil {
		return errs.E(op, in.Name, err)
	}
	s.body, s.left = in.Body, in.Size
	return nil
}
