package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// tarBlock is what everything in a tar is a multiple of.
const tarBlock = 512

// trailerBytes is what ends a tar: two blocks of zeros. One, or none, is taken too.
const trailerBytes = 2 * tarBlock

// tarWalk goes through the members of a tar.
type tarWalk struct {
	tape   tape
	reader *tar.Reader
	end    int64 // where the members so far end, and the trailer begins after the last; -1: not known, behind a sparse file
}

func newTarWalk(t tape) *tarWalk { return &tarWalk{tape: t, reader: tar.NewReader(t)} }

// next returns the next member, or io.EOF. Every other error is the tape's, or says that it
// is no tar.
func (w *tarWalk) next() (Member, error) {
	for {
		header, err := w.reader.Next()
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // a name is not a path here: see Member.Escapes
			return Member{}, err
		}
		w.end = w.tape.tell()
		if header.Typeflag == tar.TypeXGlobalHeader {
			w.end = blocks(w.end) // what comes next is behind its padding
			continue
		}
		m := Member{
			Name: header.Name, Size: header.Size, Offset: w.end, Stored: header.Size,
			Mode: uint32(header.Mode & 0o7777), Modified: time.Unix(header.ModTime.Unix(), 0).UTC(), Kind: tarKind(header),
		}
		switch {
		case m.Size > math.MaxInt64-tarBlock-w.end:
			return Member{}, fmt.Errorf("a member of %d bytes", m.Size)
		case m.Kind == Sparse:
			m.Stored, w.end = 0, -1
		case hasContent(header.Typeflag):
			w.end += blocks(m.Size)
		default:
			m.Size, m.Stored = 0, 0
		}
		return m, nil
	}
}

// blocks is a number of bytes with the padding behind them.
func blocks(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

// hasContent reports whether members of a type have content behind the header. Of the others
// a size means nothing.
func hasContent(typeflag byte) bool {
	switch typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		return false
	}
	return true
}

func tarKind(header *tar.Header) Kind {
	switch header.Typeflag {
	case tar.TypeDir:
		return Directory
	case tar.TypeLink, tar.TypeSymlink:
		return Link
	case tar.TypeGNUSparse:
		return Sparse
	case tar.TypeReg, tar.TypeCont:
		for name := range header.PAXRecords {
			if strings.HasPrefix(name, "GNU.sparse.") {
				return Sparse
			}
		}
		if strings.HasSuffix(header.Name, "/") {
			return Directory
		}
		return File
	}
	return Other
}

func (w *tarWalk) open(Member) io.Reader { return w.reader }

func (w *tarWalk) locate(m Member) (Member, error) { return m, nil }

func (w *tarWalk) tail() int64 { return w.end }
