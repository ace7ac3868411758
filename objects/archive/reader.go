package archive

import (
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Reader goes through the members of a shard, in the order of the archive. One goroutine may
// use it at a time. It holds nothing that has to be closed; what it reads from is the
// caller's.
//
// Errors: Invalid for what is no archive (ErrMalformed) or beyond Limits (ErrLimit); else
// what the caller's reader failed with. After one, every call fails with it.
type Reader struct {
	format  Format
	fault   *fault
	meter   *meter
	points  *points
	walk    walk
	tape    tape  // of a tar
	end     int64 // bytes of the shard, -1: of a stream
	left    int64 // how many more members may come
	most    int64 // bytes of an index; 0: any number
	begun   bool
	current Member
	reading *content // of current; nil: not begun
	err     error
}

// walk is what the formats differ in.
type walk interface {
	next() (Member, error)         // io.EOF after the last
	locate(Member) (Member, error) // fills Offset of what next returned last
	open(Member) io.Reader         // its content, once located
	tail() int64                   // after the last: where the trailer of a tar begins; -1: not known, or a zip
}

// Open returns a reader of a shard that can be read in ranges. What is not asked for is not
// read: of a tar the headers, of a zip the directory. Of a tar that is compressed everything
// is, up to what is wanted.
func Open(f Format, at io.ReaderAt, size int64, limits Limits) (*Reader, error) {
	const op errs.Op = "archive.Open"
	r := newReader(f, limits)
	r.end = size
	if f == Zip {
		w, err := newZipWalk(at, size, r.fault, r.meter)
		if err != nil {
			return nil, explain(op, r.fault, noEOF(err))
		}
		r.walk = w
		return r, nil
	}
	return r.onTape(op, sourceOf(at, 0, size, r.fault))
}

// OpenStream returns a reader of a shard that can only be read from front to back. A zip
// cannot: what is in it is said at its end. It is Invalid.
func OpenStream(f Format, stream io.Reader, limits Limits) (*Reader, error) {
	const op errs.Op = "archive.OpenStream"
	r := newReader(f, limits)
	if f == Zip {
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("a zip is read from its end, which a stream has not yet"))
	}
	return r.onTape(op, sourceOfStream(stream, r.fault))
}

func newReader(f Format, limits Limits) *Reader {
	return &Reader{format: f, fault: new(fault), meter: newMeter(limits), points: new(points), left: limits.members(), most: limits.Index, end: -1}
}

func (r *Reader) onTape(op errs.Op, s *source) (*Reader, error) {
	t, err := openTape(r.format, s, point{}, r.meter, r.points)
	if err != nil {
		return nil, explain(op, r.fault, noEOF(err))
	}
	r.tape, r.walk = t, newTarWalk(t)
	return r, nil
}

// Format returns what the shard is read as.
func (r *Reader) Format() Format { return r.format }

// Next returns the next member, of whatever kind, or io.EOF after the last. Of a zip its
// Offset is -1.
func (r *Reader) Next() (Member, error) {
	const op errs.Op = "archive.Next"
	if r.err != nil {
		return Member{}, r.err
	}
	r.begun, r.reading = true, nil
	m, err := r.walk.next()
	switch {
	case err != nil:
		r.err = explain(op, r.fault, err)
		return Member{}, r.err
	case len(m.Name) > MaxNameBytes || m.Name == "":
		r.err = malformed(op, "a name of %d bytes", len(m.Name))
		return Member{}, r.err
	}
	if r.left--; r.left < 0 {
		r.err = errs.E(op, errs.Invalid, fmt.Errorf("%w: it has more members than may be", ErrLimit))
		return Member{}, r.err
	}
	r.current = m
	return m, nil
}

// NextMatch returns the next file that a pattern chooses, or io.EOF if there is none.
func (r *Reader) NextMatch(p Pattern) (Member, error) {
	for {
		m, err := r.Next()
		if err != nil || m.Kind == File && p.Matches(m.Name) {
			return m, err
		}
	}
}

// Find goes to the next file of that name, which from the beginning is the first: where a
// name is there twice, the first has it. If there is none the error is NotFound.
func (r *Reader) Find(name string) (Member, error) {
	const op errs.Op = "archive.Find"
	why := "there is no such member"
	for {
		m, err := r.Next()
		switch {
		case err == io.EOF:
			return m, errs.E(op, name, errs.NotFound, fmt.Errorf("%s in the archive", why))
		case err != nil:
			return m, err
		case !Same(m.Name, name):
		case m.Kind == File:
			return m, nil
		default:
			why = fmt.Sprintf("there is only a %s of that name", m.Kind)
		}
	}
}

// Locate returns the member that Next returned last with its Offset, for which in a zip its
// header is read. A file that would go on behind the end of the shard is Invalid.
func (r *Reader) Locate() (Member, error) {
	if r.err != nil {
		return Member{}, r.err
	}
	m, err := r.walk.locate(r.current)
	if err == nil && r.format == Tar && r.end >= 0 && m.Kind == File && m.Size > r.end-m.Offset {
		err = fmt.Errorf("%.100q has %d bytes from %d, the archive ends at %d", m.Name, m.Size, m.Offset, r.end)
	}
	if err != nil {
		r.err = explain("archive.Locate", r.fault, noEOF(err))
		return Member{}, r.err
	}
	r.current = m
	return m, nil
}

// Read implements io.Reader: it gives the content of the member that Next returned last. One
// that is no file is Invalid.
func (r *Reader) Read(p []byte) (int, error) {
	if r.reading == nil {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	n, err := r.reading.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *Reader) begin() error {
	const op errs.Op = "archive.Read"
	switch {
	case r.err != nil:
		return r.err
	case r.current.Kind != File || r.current.Name == "":
		return errs.E(op, r.current.Name, errs.Invalid, fmt.Errorf("a %s is not read", r.current.Kind))
	}
	m, err := r.Locate()
	if err != nil {
		return err
	}
	r.reading = newContent(r.walk.open(m), m, r.format == Zip, r.meter, r.fault)
	return nil
}
