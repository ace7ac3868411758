package archive

import (
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// gunzip is the tape of a tar.gz: the contents of its gzip members, one after the other.
type gunzip struct {
	from     packedSource
	member   *gzip.Reader  // nil: none was begun yet
	deflate  io.ReadCloser // what a restart point leads into, until it ends
	position int64
	meter    *meter
	points   *points
	err      error
}

// newGunzip begins at a restart point, or with a zero one at the beginning.
func newGunzip(from packedSource, at point, m *meter, p *points) (*gunzip, error) {
	g := &gunzip{from: from, position: at.unpacked, meter: m, points: p}
	if at.frame == pointDeflate {
		g.deflate = flate.NewReader(from.Reader)
	} else if err := g.next(); err != nil {
		return nil, err
	}
	return g, nil
}

// next begins the next gzip member. It returns io.EOF if there is none.
func (g *gunzip) next() (err error) {
	if _, err := g.from.Peek(1); err != nil {
		return err
	}
	g.points.pass(point{packed: g.from.tell(), unpacked: g.position, frame: pointBegins})
	if g.member == nil {
		g.member, err = gzip.NewReader(g.from.Reader)
	} else {
		err = g.member.Reset(g.from.Reader)
	}
	if err != nil {
		return noEOF(err)
	}
	g.member.Multistream(false)
	return nil
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (n int, err error) {
	for len(p) > 0 && n == 0 && g.err == nil {
		n, g.err = g.read(p)
	}
	g.position += int64(n)
	if err := g.meter.take(n); err != nil {
		g.err = err
		return 0, err
	}
	if n > 0 {
		return n, nil
	}
	return 0, g.err
}

func (g *gunzip) read(p []byte) (n int, err error) {
	if g.deflate != nil {
		if n, err = g.deflate.Read(p); err != io.EOF {
			return n, err
		}
		g.deflate = nil
		// The checksum behind is that of the whole member, of which only the end was seen.
		if _, err := g.from.Discard(8); err != nil {
			return n, noEOF(err)
		}
	} else if n, err = g.member.Read(p); err != io.EOF {
		return n, err
	}
	if n > 0 {
		g.position += int64(n) // where the next member begins
		err = g.next()
		g.position -= int64(n)
		return n, err
	}
	return 0, g.next()
}

func (g *gunzip) tell() int64 { return g.position }

// noEOF makes the end of input where there should be more what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
