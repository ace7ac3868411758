package archive

import (
	"archive/tar"
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/pierrec/lz4/v4"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Input is a member on its way into a shard.
type Input struct {
	Name     string    // see NameToWrite
	Size     int64     // bytes that are taken from Body
	Mode     uint32    // permission bits, 0 to 0o777; 0: DefaultMode
	Modified time.Time // its seconds are kept; the zero time: 1970, so that nothing depends on when it was written
	Body     io.Reader
}

// DefaultMode is the permission bits of a member that has none.
const DefaultMode = 0o644

// WriterOptions say what a Writer does beside writing.
type WriterOptions struct {
	Index bool // gather the index of the shard, which takes memory for the names of its members
}

// Writer makes a shard as a stream. The same members make the same bytes, with the same
// binary. Memory is some hundred KiB; of a zip, also its directory, about 300 bytes and the
// name for each member. One goroutine may use it at a time. After an error every call fails
// with it, and what was written is no archive.
type Writer struct {
	format  Format
	out     *counter // of the shard
	base    int64    // where in the shard out begins
	packer  io.WriteCloser
	tape    *counter // of the tar; of a tar that is not compressed, out
	tar     *tar.Writer
	zip     *zip.Writer
	pending *zip.FileHeader // of the last member of a zip, which is complete when the next begins
	member  Member          // which is that
	index   *indexWriter    // nil: none is wanted
	points  *points
	begun   bool
	closed  bool
	tail    int64
	err     error
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// NewWriter begins a shard. Unknown is Invalid.
func NewWriter(w io.Writer, f Format, o WriterOptions) (*Writer, error) {
	const op errs.Op = "archive.NewWriter"
	z := &Writer{format: f, out: &counter{w: w}, points: &points{wanted: o.Index}}
	if o.Index {
		z.index = &indexWriter{format: f}
	}
	switch f {
	case Tar:
		z.tape = z.out
	case TarGzip:
		p, err := newGzipPacker(z.out, z.points)
		if err != nil {
			return nil, errs.E(op, err)
		}
		z.packer, z.tape = p, &counter{w: p}
	case TarLZ4:
		p, err := newLZ4Packer(z.out, z.points)
		if err != nil {
			return nil, errs.E(op, err)
		}
		z.packer, z.tape = p, &counter{w: p}
	case Zip:
		z.zip = zip.NewWriter(z.out)
		z.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
		return z, nil
	default:
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%s is no format to write", f))
	}
	z.tar = tar.NewWriter(z.tape)
	return z, nil
}

// Add writes one member, for which exactly Size bytes are taken from its Body; a Body with
// fewer is Invalid.
func (z *Writer) Add(in Input) error {
	const op errs.Op = "archive.Add"
	if z.err != nil {
		return z.err
	}
	name, err := NameToWrite(in.Name)
	switch {
	case err != nil:
		return err
	case in.Size < 0:
		return errs.E(op, in.Name, errs.Invalid, fmt.Errorf("a member of %d bytes", in.Size))
	case z.closed:
		return errs.E(op, in.Name, errs.Internal, errors.New("the shard is closed"))
	}
	z.begun = true
	m := Member{Name: name, Size: in.Size, Stored: in.Size, Mode: in.Mode & 0o777, Modified: time.Unix(0, 0).UTC()}
	if m.Mode == 0 {
		m.Mode = DefaultMode
	}
	if !in.Modified.IsZero() {
		m.Modified = time.Unix(in.Modified.Unix(), 0).UTC()
	}
	if z.zip != nil {
		err = z.addZip(m, in.Body)
	} else {
		err = z.addTar(m, in.Body)
	}
	if err != nil {
		z.err = errs.E(op, in.Name, err)
	}
	return z.err
}

func (z *Writer) addTar(m Member, body io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: m.Name, Size: m.Size, Mode: int64(m.Mode), ModTime: m.Modified}
	if err := z.tar.WriteHeader(header); err != nil {
		return err
	}
	m.Offset = z.base + z.tape.n
	if err := copyExactly(z.tar, body, m.Size); err != nil {
		return err
	}
	return z.note(m)
}

func (z *Writer) addZip(m Member, body io.Reader) error {
	header := &zip.FileHeader{Name: m.Name, Method: zip.Deflate, Modified: m.Modified}
	header.SetMode(fs.FileMode(m.Mode))
	content, err := z.zip.CreateHeader(header)
	if err != nil {
		return err
	}
	return z.fillZip(header, m, content, body, m.Size)
}

// fillZip writes the content of a member whose header was written.
func (z *Writer) fillZip(header *zip.FileHeader, m Member, content io.Writer, body io.Reader, n int64) error {
	if err := z.settle(); err != nil {
		return err
	}
	if err := z.zip.Flush(); err != nil {
		return err
	}
	m.Offset = z.out.n
	z.pending, z.member = header, m
	return copyExactly(content, body, n)
}

// settle notes the member of a zip that is complete now.
func (z *Writer) settle() error {
	if z.pending == nil {
		return nil
	}
	h := z.pending
	z.pending = nil
	z.member.Method, z.member.CRC, z.member.Stored = h.Method, h.CRC32, int64(h.CompressedSize64)
	return z.note(z.member)
}

func (z *Writer) note(m Member) error {
	if z.index == nil {
		return nil
	}
	return z.index.add(m)
}

// copyExactly copies so many bytes.
func copyExactly(w io.Writer, r io.Reader, n int64) error {
	copied, err := io.CopyN(w, r, n)
	if err == io.EOF {
		return errs.E("", errs.Invalid, fmt.Errorf("%d bytes came, %d were announced", copied, n))
	}
	return err
}

// Close ends the shard. It does not close what the shard is written to.
func (z *Writer) Close() error {
	const op errs.Op = "archive.Close"
	if z.err != nil || z.closed {
		return z.err
	}
	z.closed = true
	z.err = errs.Wrap(op, z.close())
	return z.err
}

func (z *Writer) close() error {
	if z.zip != nil {
		if err := z.zip.Close(); err != nil {
			return err
		}
		z.tail = -1
		return z.settle()
	}
	if err := z.tar.Flush(); err != nil {
		return err
	}
	z.tail = z.base + z.tape.n
	if err := z.tar.Close(); err != nil {
		return err
	}
	if z.packer != nil {
		return z.packer.Close()
	}
	return nil
}

// Written returns how many bytes were written. After Close it is the size of the shard, or,
// of an appended tail, of the tail.
func (z *Writer) Written() int64 { return z.out.n }

// gzipPacker makes one gzip member whose deflate begins anew every pointBytes, without
// reference to what was before: a reader can begin there. Several gzip members would do the
// same, but readers are about that take the first for all (Python's tarfile of a stream).
type gzipPacker struct {
	out    *counter
	pack   *flate.Writer
	points *points
	sum    hash.Hash32
	size   int64
	piece  int64 // bytes since deflate began
	begun  bool
}

func newGzipPacker(out *counter, p *points) (*gzipPacker, error) {
	pack, err := flate.NewWriter(out, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	return &gzipPacker{out: out, pack: pack, points: p, sum: crc32.NewIEEE()}, nil
}

func (g *gzipPacker) header() error {
	if g.begun {
		return nil
	}
	g.begun = true
	// Deflate; no flags, no time; made by no system in particular.
	_, err := g.out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	return err
}

// Write implements io.Writer.
func (g *gzipPacker) Write(p []byte) (written int, err error) {
	if err := g.header(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		if g.piece == pointBytes {
			if err := g.pack.Flush(); err != nil { // to a whole byte
				return written, err
			}
			g.points.pass(point{packed: g.out.n, unpacked: g.size, frame: pointDeflate})
			g.pack.Reset(g.out)
			g.piece = 0
		}
		n, err := g.pack.Write(p[:min(int64(len(p)), pointBytes-g.piece)])
		_, _ = g.sum.Write(p[:n]) // it cannot fail
		g.piece += int64(n)
		g.size += int64(n)
		written += n
		p = p[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close ends the gzip member.
func (g *gzipPacker) Close() error {
	if err := g.header(); err != nil {
		return err
	}
	if err := g.pack.Close(); err != nil {
		return err
	}
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:], g.sum.Sum32())
	binary.LittleEndian.PutUint32(trailer[4:], uint32(g.size))
	_, err := g.out.Write(trailer[:])
	return err
}

// lz4Packer makes one LZ4 frame of blocks that refer to nothing before them. They are of
// 256 KiB: small enough that a reader needs little memory, large enough that they compress
// as well as any.
type lz4Packer struct {
	out    *counter
	pack   *lz4.Writer
	points *points
	size   int64
	piece  int64 // bytes since the last multiple of pointBytes, which blocks divide
}

// lz4PackerFrame is the descriptor of its frame: version 1, independent blocks of 256 KiB, a
// checksum of all.
const lz4PackerFrame = (1<<6|lz4FlagIndependent|lz4FlagContentChecksum)<<8 | 5<<4

func newLZ4Packer(out *counter, p *points) (*lz4Packer, error) {
	pack := lz4.NewWriter(out)
	err := pack.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ConcurrencyOption(1), lz4.ChecksumOption(true))
	return &lz4Packer{out: out, pack: pack, points: p}, err
}

// Write implements io.Writer.
func (l *lz4Packer) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		if l.piece == pointBytes {
			l.points.pass(point{packed: l.out.n, unpacked: l.size, frame: lz4PackerFrame})
			l.piece = 0
		}
		n, err := l.pack.Write(p[:min(int64(len(p)), pointBytes-l.piece)])
		l.piece += int64(n)
		l.size += int64(n)
		written += n
		p = p[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close ends the frame.
func (l *lz4Packer) Close() error { return l.pack.Close() }
