package archive

import (
	"bufio"
	"fmt"
	"io"
)

// tape is a tar as it is without compression, read from front to back. Positions on it are
// what offsets of a tar's members count.
type tape interface {
	io.Reader
	tell() int64 // of the next byte that Read gives
}

// pointBytes is how far restart points are apart on a tape, at least. Going to a member
// unpacks half of it in vain on average, a millisecond or two; and a point costs an index
// four to ten bytes.
const pointBytes = 1 << 20

// point is a place in a compressed tar where decompression can begin.
type point struct {
	packed   int64 // in the shard
	unpacked int64 // on the tape
	frame    uint16
}

// The meaning of point.frame. In a tar.lz4 any other value is the FLG and the BD byte of the
// frame whose block begins there; FLG is never zero, for it has the version.
const (
	pointBegins  uint16 = 0 // a gzip member or an LZ4 frame begins
	pointDeflate uint16 = 1 // in a tar.gz: deflate goes on that refers to nothing before
)

// points are the restart points that were passed, thinned out.
type points struct {
	wanted bool
	all    []point
}

func (p *points) pass(at point) {
	if !p.wanted || at.unpacked < pointBytes {
		return
	}
	if n := len(p.all); n > 0 && at.unpacked-p.all[n-1].unpacked < pointBytes {
		return
	}
	p.all = append(p.all, at)
}

// unpackRoom is how much of a compressed shard is read at once.
const unpackRoom = 32 << 10

// packedSource is a source for decompression, which takes single bytes and must not take one
// too many.
type packedSource struct {
	*bufio.Reader
	under *source
}

func packedOf(s *source) packedSource {
	return packedSource{bufio.NewReaderSize(s, unpackRoom), s}
}

func (p packedSource) tell() int64 { return p.under.position - int64(p.Buffered()) }

// openTape returns the tape of a shard in one of the formats of tar, as of a restart point
// or, with a zero one, of its beginning.
func openTape(f Format, s *source, at point, m *meter, p *points) (tape, error) {
	switch f {
	case Tar:
		if s.at != nil {
			return ranges{s}, nil
		}
		return s, nil
	case TarGzip:
		return newGunzip(packedOf(s), at, m, p)
	case TarLZ4:
		return newUnlz4(packedOf(s), at, m, p), nil
	}
	return nil, fmt.Errorf("%s is no format of tar", f)
}
