package archive

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Tail returns where the trailer of a tar begins, for AppendTail. It reads the headers. One
// that does not end as a tar does (cut in its last member, or behind a sparse file, whose
// length is not known) is Invalid, and is written anew to append to it.
func Tail(at io.ReaderAt, size int64, limits Limits) (int64, error) {
	const op errs.Op = "archive.Tail"
	r, err := Open(Tar, at, size, limits)
	if err != nil {
		return 0, err
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			return 0, err
		}
	}
	return checkTail(op, r.walk.tail(), size)
}

func checkTail(op errs.Op, tail, size int64) (int64, error) {
	switch {
	case tail < 0:
		return 0, errs.E(op, errs.Invalid, errors.New("the last member of the tar is a sparse file, behind which nothing can be appended"))
	case tail > size:
		return 0, malformed(op, "the last member ends at %d of %d", tail, size)
	}
	return tail, nil
}

// AppendTail begins to append to a tar in place. What the Writer gives belongs at tail, which
// Tail or Index.Tail has told, over the trailer; behind it, at tail plus Written, the tar must
// be cut, or have zeros only as a trailer that was longer has. Until all of it is there the
// tar is broken: who appends keeps the bytes of the old trailer, or writes to a copy.
//
// With an index of the tar as it was, the Writer gathers the index of what it becomes; with
// nil, none.
func AppendTail(w io.Writer, tail int64, old *Index) (*Writer, error) {
	const op errs.Op = "archive.AppendTail"
	if tail < 0 || tail%tarBlock != 0 {
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("the trailer of a tar cannot begin at %d", tail))
	}
	z, err := NewWriter(w, Tar, WriterOptions{Index: old != nil})
	if err != nil {
		return nil, err
	}
	z.base, z.begun = tail, true
	if old == nil {
		return z, nil
	}
	if old.format != Tar || old.tail != tail {
		return nil, errs.E(op, errs.Conflict, fmt.Errorf("%w: a %s with its trailer at %d, not at %d", ErrOtherStamp, old.format, old.tail, tail))
	}
	for m := range old.Files() {
		if err := z.note(m); err != nil {
			return nil, err
		}
	}
	return z, nil
}

// Tail returns where the trailer of the tar begins, in a compressed one on its tape. It is
// Invalid where that is not known.
func (ix *Index) Tail() (int64, error) {
	const op errs.Op = "archive.Tail"
	if ix.format == Zip {
		return 0, errs.E(op, errs.Invalid, errors.New("a zip has no trailer to append at"))
	}
	if ix.format.packed() {
		return checkTail(op, ix.tail, ix.tail)
	}
	return checkTail(op, ix.tail, ix.stamp.Size)
}

// Take writes all that a shard has into a new one, as the first thing there: what is added
// then is appended. Members go over with all their headers, in tars as they are and in zips
// without being unpacked. r is a shard of which nothing was read yet; a tar may become
// another format of tar, everything else stays what it is.
func (z *Writer) Take(r *Reader) error {
	const op errs.Op = "archive.Take"
	switch {
	case z.err != nil:
		return z.err
	case z.begun || z.closed || r.begun:
		return errs.E(op, errs.Internal, errors.New("something was written or read already"))
	case (z.format == Zip) != (r.format == Zip):
		return errs.E(op, errs.Invalid, fmt.Errorf("a %s does not become a %s", r.format, z.format))
	}
	z.begun = true
	if z.zip != nil {
		z.err = errs.Wrap(op, z.takeZip(r))
	} else {
		z.err = errs.Wrap(op, z.takeTar(r))
	}
	return z.err
}

// carbon passes on what is read of a tape, but for the last that may be a trailer.
type carbon struct {
	tape
	to   io.Writer
	held []byte // at most trailerBytes
	err  error  // of to
}

// Read implements io.Reader.
func (c *carbon) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.tape.Read(p)
	if c.held = append(c.held, p[:n]...); len(c.held) > trailerBytes {
		over := len(c.held) - trailerBytes
		if _, c.err = c.to.Write(c.held[:over]); c.err != nil {
			return 0, c.err
		}
		c.held = c.held[:copy(c.held, c.held[over:])]
	}
	return n, err
}

func (z *Writer) takeTar(r *Reader) error {
	c := &carbon{tape: r.tape, to: z.tape}
	w := newTarWalk(c)
	r.tape, r.walk = c, w
	for {
		m, err := r.Next()
		if c.err != nil {
			return c.err
		}
		if err == io.EOF {
			break
		}
		if err == nil {
			err = z.note(m)
		}
		if err != nil {
			return err
		}
	}
	read := c.tell()
	end, err := checkTail("archive.Tail", w.tail(), read)
	if err != nil {
		return err
	}
	if over := read - end; over > int64(len(c.held)) {
		return malformed("archive.Tail", "%d bytes of trailer", over)
	}
	_, err = z.tape.Write(c.held[:int64(len(c.held))-(read-end)])
	return err
}

func (z *Writer) takeZip(r *Reader) error {
	w := r.walk.(*zipWalk)
	if err := z.zip.SetComment(w.comment); err != nil {
		return err
	}
	left := r.end
	for {
		m, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			m, err = r.Locate()
		}
		if err != nil {
			return err
		}
		header := w.entry.header
		// What a local header cannot say of a large member is said behind it.
		header.Flags |= zipFlagDescriptor
		if strings.HasSuffix(m.Name, "/") {
			header.Flags &^= zipFlagDescriptor // the library writes nothing behind those
			if m.Stored > 0 {
				return malformed("archive.Take", "the directory %.100q has content", m.Name)
			}
		}
		if left -= m.Stored; left < 0 {
			return malformed("archive.Take", "its members overlap")
		}
		content, err := z.zip.CreateRaw(&header)
		if err != nil {
			return err
		}
		from := sourceOf(w.at, m.Offset, m.Offset+m.Stored, r.fault)
		if err := z.fillZip(&header, m, content, from, m.Stored); err != nil {
			return explain("archive.Take", r.fault, err)
		}
	}
}

// Index returns the index of the shard that was closed, as BuildIndex makes it. The stamp is
// of the whole shard, with what was before an appended tail.
func (z *Writer) Index(stamp Stamp) ([]byte, error) {
	const op errs.Op = "archive.Index"
	switch {
	case z.err != nil:
		return nil, z.err
	case z.index == nil || !z.closed:
		return nil, errs.E(op, errs.Internal, errors.New("the shard is not closed, or no index was asked for"))
	case stamp.Size < z.base+z.out.n:
		return nil, errs.E(op, errs.Conflict, fmt.Errorf("%w: it has %d bytes, the shard %d", ErrOtherStamp, stamp.Size, z.base+z.out.n))
	}
	z.index.points = z.points.all
	return z.index.seal(stamp, z.tail), nil
}
