package archive

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// IndexVersion is the version that this binary writes, and the only one that it reads.
const IndexVersion = 1

var (
	// ErrNewer says that an index is whole, but of a version that this binary does not know.
	// It is not corruption. The shard can be read without it.
	ErrNewer = errors.New("an index written by a newer version of Troupe")
	// ErrOtherStamp says that an index is whole, but of another payload than the one that it
	// was to be of: the shard was written since.
	ErrOtherStamp = errors.New("an index of another payload")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Stamp binds an index to the payload that it was made from. The caller takes it from the
// shard's record before it makes the index, and again before it believes one.
type Stamp struct {
	Payload objects.Generation // of the shard
	Size    int64              // of the shard, in bytes
}

// Index says where the files of a shard are. It is immutable, and may be used by many
// goroutines. It holds the bytes that it was read from, and four more for each member.
type Index struct {
	format  Format
	stamp   Stamp
	tail    int64 // of a tar: where its trailer begins; -1: not known
	entries []byte
	starts  []uint32 // of members, in entries, in the order of the archive
	order   []byte   // numbers of members, 4 bytes each, by name and then by number
	points  []byte
}

const (
	indexBase      = 1 + 1 + objects.GenerationBytes + 8 + 8 + 4 + 4 + 4 + crc32.Size
	indexMinMember = 1 + 1 + 1 + 1 + 1 + 1 // the least that the entry of a member can take
	indexMinPoint  = 1 + 1 + 2
	tailUnknown    = math.MaxUint64
)

// indexWriter gathers what an index holds.
type indexWriter struct {
	format  Format
	entries []byte
	starts  []uint32
	points  []point
}

// add takes a file, whose Offset is known. Other kinds are left out.
func (w *indexWriter) add(m Member) error {
	if m.Kind != File {
		return nil
	}
	if len(w.entries) > math.MaxUint32-MaxNameBytes-64 {
		return errs.E("archive.Index", errs.Invalid, fmt.Errorf("%w: an index of more than 4 GiB", ErrLimit))
	}
	w.starts = append(w.starts, uint32(len(w.entries)))
	w.entries = appendMember(w.entries, w.format, m)
	return nil
}

// appendMember appends an entry:
//
//	varint  length of the name; name
//	varint  offset
//	varint  size
//	varint  mode
//	varint  time of modification: seconds since 1970, zigzag
//
// and in a zip
//
//	1       method
//	varint  bytes stored
//	4       CRC-32 of the content
func appendMember(b []byte, f Format, m Member) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.Name)))
	b = append(b, m.Name...)
	b = binary.AppendUvarint(b, uint64(m.Offset))
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = binary.AppendUvarint(b, uint64(m.Mode))
	b = binary.AppendVarint(b, m.Modified.Unix())
	if f == Zip {
		b = append(b, byte(m.Method))
		b = binary.AppendUvarint(b, uint64(m.Stored))
		b = binary.BigEndian.AppendUint32(b, m.CRC)
	}
	return b
}

// seal returns the index as it is kept:
//
//	 1  version: 1
//	 1  format: 1 tar, 2 tar.gz, 3 tar.lz4, 4 zip
//	24  payload generation of the shard
//	 8  bytes of the shard
//	 8  where the trailer of a tar begins; all ones: not known, or a zip
//	 4  how many members
//	 4  bytes of the entries
//	 4  how many restart points
//	 …  entries, in the order of the archive
//	 …  numbers of the members, 4 bytes each, by name and then by number
//	 …  restart points: varint of bytes of the shard since the last, varint of bytes of the tar
//	    since the last, 2 bytes of frame
//	 4  CRC-32C of all before
//
// Fixed numbers are big-endian. Names are compared without one leading slash.
func (w *indexWriter) seal(stamp Stamp, tail int64) []byte {
	name := func(number uint32) string {
		b := w.entries[w.starts[number]:]
		length, n := binary.Uvarint(b)
		return string(b[n : n+int(length)])
	}
	order := make([]uint32, len(w.starts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Or(cmp.Compare(bare(name(a)), bare(name(b))), cmp.Compare(a, b)) })

	b := make([]byte, 0, indexBase+len(w.entries)+4*len(order)+len(w.points)*16)
	b = append(b, IndexVersion, byte(w.format))
	b = stamp.Payload.AppendTo(b)
	b = binary.BigEndian.AppendUint64(b, uint64(stamp.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(tail)) // -1 is all ones
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.starts)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.entries)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.points)))
	b = append(b, w.entries...)
	for _, number := range order {
		b = binary.BigEndian.AppendUint32(b, number)
	}
	var last point
	for _, p := range w.points {
		b = binary.AppendUvarint(b, uint64(p.packed-last.packed))
		b = binary.AppendUvarint(b, uint64(p.unpacked-last.unpacked))
		b = binary.BigEndian.AppendUint16(b, p.frame)
		last = p
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// bytes is about what the index takes with so many restart points.
func (w *indexWriter) bytes(points int) int64 {
	return indexBase + int64(len(w.entries)) + 4*int64(len(w.starts)) + 8*int64(points)
}

// BuildIndex reads a whole shard, of which nothing was read yet, and returns its index as it
// is kept. Memory is that of the index, about forty bytes and the name of each member, twice.
func BuildIndex(r *Reader, stamp Stamp) ([]byte, error) {
	const op errs.Op = "archive.BuildIndex"
	if r.begun {
		return nil, errs.E(op, errs.Internal, errors.New("some of the shard was read already"))
	}
	if r.end >= 0 && r.end != stamp.Size {
		return nil, errs.E(op, errs.Conflict, fmt.Errorf("%w: it has %d bytes, the shard %d", ErrOtherStamp, stamp.Size, r.end))
	}
	r.points.wanted = true
	w := indexWriter{format: r.format}
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil && m.Kind == File {
			m, err = r.Locate()
		}
		if err == nil {
			err = w.add(m)
		}
		if err == nil && r.most > 0 && w.bytes(len(r.points.all)) > r.most {
			err = errs.E(op, errs.Invalid, fmt.Errorf("%w: an index of more than %d bytes", ErrLimit, r.most))
		}
		if err != nil {
			return nil, err
		}
	}
	tail := r.walk.tail()
	if r.tape != nil && tail > r.tape.tell() {
		tail = -1 // the tar ends before its last member's padding does: there is no place for a header
	}
	w.points = r.points.all
	return w.seal(stamp, tail), nil
}

// ParseIndex reads what BuildIndex or a Writer made of the shard with that stamp, and nothing
// else: an index has one spelling. It keeps b, which must not change any more. One that is
// damaged is Corrupt; one of another stamp Conflict, and wraps ErrOtherStamp; one of another
// version Internal, and wraps ErrNewer. All of them mean: read the shard without.
func ParseIndex(b []byte, stamp Stamp) (*Index, error) {
	const op errs.Op = "archive.ParseIndex"
	damaged := func(format string, args ...any) (*Index, error) {
		return nil, errs.E(op, errs.Corrupt, fmt.Errorf(format, args...))
	}
	if len(b) < indexBase {
		return damaged("%d bytes are too few", len(b))
	}
	body, check := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if got := crc32.Checksum(body, castagnoli); got != check {
		return damaged("crc %08x, want %08x", got, check)
	}
	if body[0] != IndexVersion {
		return nil, errs.E(op, errs.Internal, fmt.Errorf("%w: index version %d, this binary reads %d", ErrNewer, body[0], IndexVersion))
	}
	ix := &Index{format: Format(body[1])}
	if ix.format < Tar || ix.format > Zip {
		return damaged("format %d is none", body[1])
	}
	body = body[2:]
	ix.stamp.Payload, _ = objects.GenerationOf(body[:objects.GenerationBytes]) // it is as long as that
	body = body[objects.GenerationBytes:]
	size, tail := binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])
	if size > math.MaxInt64 {
		return damaged("a shard of %d bytes", size)
	}
	if ix.stamp.Size = int64(size); ix.stamp != stamp {
		return nil, errs.E(op, errs.Conflict, fmt.Errorf("%w: %s of %d bytes, the shard is %s of %d", ErrOtherStamp,
			ix.stamp.Payload, ix.stamp.Size, stamp.Payload, stamp.Size))
	}
	if ix.tail = int64(tail); tail != tailUnknown && (ix.format == Zip || tail > math.MaxInt64 || tail%tarBlock != 0 || ix.format == Tar && tail > size) {
		return damaged("a trailer at %d of %d", tail, size)
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint32(body[at:])) }
	members, entries, points := number(16), number(20), number(24)
	body = body[28:]
	if entries+4*members+indexMinPoint*points > int64(len(body)) || members*indexMinMember > entries {
		return damaged("%d members in %d bytes and %d restart points, in %d", members, entries, points, len(body))
	}
	ix.entries, ix.order, ix.points = body[:entries], body[entries:entries+4*members], body[entries+4*members:]
	if err := ix.readEntries(int(members)); err != nil {
		return damaged("%w", err)
	}
	if err := ix.checkOrder(); err != nil {
		return damaged("%w", err)
	}
	if err := ix.checkPoints(int(points)); err != nil {
		return damaged("%w", err)
	}
	return ix, nil
}

// readEntries finds where entries begin, and looks whether each is possible.
func (ix *Index) readEntries(members int) error {
	ix.starts = make([]uint32, 0, members)
	rest := spelled{b: ix.entries}
	for number := range members {
		ix.starts = append(ix.starts, uint32(len(ix.entries)-len(rest.b)))
		var e entry
		e.read(&rest, ix.format)
		if rest.bad {
			return fmt.Errorf("member %d is cut or misspelled", number)
		}
		if err := ix.checkEntry(e); err != nil {
			return fmt.Errorf("member %d: %w", number, err)
		}
	}
	if len(rest.b) != 0 {
		return fmt.Errorf("%d bytes behind the members", len(rest.b))
	}
	return nil
}

func (ix *Index) checkEntry(e entry) error {
	limit := uint64(math.MaxInt64)
	if !ix.format.packed() {
		limit = uint64(ix.stamp.Size)
	}
	switch {
	case len(e.name) == 0 || len(e.name) > MaxNameBytes:
		return fmt.Errorf("a name of %d bytes", len(e.name))
	case e.offset > limit || e.stored > limit-e.offset || e.size > math.MaxInt64:
		return fmt.Errorf("%d bytes at %d lie outside", e.stored, e.offset)
	case ix.format != Zip && e.offset%tarBlock != 0:
		return fmt.Errorf("a member of a tar at %d", e.offset)
	case e.method != uint64(MethodStored) && e.method != uint64(MethodDeflated):
		return fmt.Errorf("method %d", e.method)
	case e.method == uint64(MethodStored) && e.stored != e.size:
		return fmt.Errorf("stored as %d bytes, and has %d", e.stored, e.size)
	case e.mode > 0o7777:
		return fmt.Errorf("mode %o", e.mode)
	}
	return nil
}

// checkOrder looks whether order is all members, each once: they rise, so none is twice.
func (ix *Index) checkOrder() error {
	var last []byte
	for i := range ix.starts {
		number := int(binary.BigEndian.Uint32(ix.order[4*i:]))
		if number >= len(ix.starts) {
			return fmt.Errorf("there is no member %d", number)
		}
		name := ix.name(number)
		if i > 0 {
			before := int(binary.BigEndian.Uint32(ix.order[4*i-4:]))
			if cmp.Or(slices.Compare(last, name), cmp.Compare(before, number)) >= 0 {
				return fmt.Errorf("member %d does not follow member %d", number, before)
			}
		}
		last = name
	}
	return nil
}

func (ix *Index) checkPoints(count int) error {
	rest := spelled{b: ix.points}
	if count > 0 && !ix.format.packed() {
		return fmt.Errorf("restart points in a %s", ix.format)
	}
	var last point
	for i := range count {
		p, ok := last.next(&rest)
		if !ok || p.packed <= last.packed || p.packed > ix.stamp.Size || p.unpacked < last.unpacked {
			return fmt.Errorf("restart point %d is wrong", i)
		}
		switch {
		case p.frame == pointBegins:
		case ix.format == TarGzip && p.frame == pointDeflate:
		case ix.format == TarLZ4 && checkDescriptor(byte(p.frame>>8), byte(p.frame)) == nil && byte(p.frame>>8)&lz4FlagIndependent != 0:
		default:
			return fmt.Errorf("restart point %d leads into a frame %04x", i, p.frame)
		}
		last = p
	}
	if len(rest.b) != 0 {
		return fmt.Errorf("%d bytes behind the restart points", len(rest.b))
	}
	return nil
}

// next reads the point after p.
func (p point) next(b *spelled) (point, bool) {
	packed, unpacked := b.uvarint(), b.uvarint()
	frame := b.take(2)
	if b.bad || packed > uint64(math.MaxInt64-p.packed) || unpacked > uint64(math.MaxInt64-p.unpacked) {
		return p, false
	}
	return point{p.packed + int64(packed), p.unpacked + int64(unpacked), binary.BigEndian.Uint16(frame)}, true
}

// entry is a member as it lies in an index.
type entry struct {
	name                 []byte
	offset, size, stored uint64
	mode, method         uint64
	modified             int64
	crc                  uint32
}

func (e *entry) read(b *spelled, f Format) {
	if length := b.uvarint(); length <= MaxNameBytes {
		e.name = b.take(int(length))
	} else {
		b.bad = true
	}
	e.offset, e.size, e.mode = b.uvarint(), b.uvarint(), b.uvarint()
	zigzag := b.uvarint()
	e.modified = int64(zigzag>>1) ^ -int64(zigzag&1)
	e.stored = e.size
	if f == Zip {
		if method := b.take(1); method != nil {
			e.method = uint64(method[0])
		}
		e.stored = b.uvarint()
		if crc := b.take(4); crc != nil {
			e.crc = binary.BigEndian.Uint32(crc)
		}
	}
}

// spelled takes numbers from bytes, each of which has one spelling. After something that is
// none, bad is set and everything is zero.
type spelled struct {
	b   []byte
	bad bool
}

func (s *spelled) take(n int) []byte {
	if s.bad || n > len(s.b) {
		s.bad = true
		return nil
	}
	taken := s.b[:n]
	s.b = s.b[n:]
	return taken
}

func (s *spelled) uvarint() uint64 {
	value, n := binary.Uvarint(s.b)
	if s.bad || n <= 0 || n > 1 && s.b[n-1] == 0 {
		s.bad = true
		return 0
	}
	s.b = s.b[n:]
	return value
}

// name returns the name of a member, without one leading slash.
func (ix *Index) name(number int) []byte {
	b := spelled{b: ix.entries[ix.starts[number]:]}
	name := b.take(int(b.uvarint()))
	if len(name) > 0 && name[0] == '/' {
		name = name[1:]
	}
	return name
}

func (ix *Index) member(number int) Member {
	b := spelled{b: ix.entries[ix.starts[number]:]}
	var e entry
	e.read(&b, ix.format)
	return Member{
		Name: string(e.name), Size: int64(e.size), Offset: int64(e.offset), Stored: int64(e.stored), Method: uint16(e.method),
		CRC: e.crc, Mode: uint32(e.mode), Modified: time.Unix(e.modified, 0).UTC(), Kind: File,
	}
}

// Format returns what the shard is read as.
func (ix *Index) Format() Format { return ix.format }

// Stamp returns what payload the index is of.
func (ix *Index) Stamp() Stamp { return ix.stamp }

// Len returns how many files the shard has.
func (ix *Index) Len() int { return len(ix.starts) }

// Files are the files of the shard, in the order of the archive.
func (ix *Index) Files() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for number := range ix.starts {
			if !yield(ix.member(number)) {
				return
			}
		}
	}
}

// Find returns the file of that name; where a name is there twice, the first. If there is none
// the error is NotFound.
func (ix *Index) Find(name string) (Member, error) {
	at := func(i int) int { return int(binary.BigEndian.Uint32(ix.order[4*i:])) }
	wanted := bare(name)
	low, high := 0, len(ix.starts)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if strings.Compare(string(ix.name(at(middle))), wanted) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(ix.starts) && string(ix.name(at(low))) == wanted {
		return ix.member(at(low)), nil
	}
	return Member{}, errs.E("archive.Find", name, errs.NotFound, errors.New("there is no such file in the archive"))
}

// Range returns the one range of the shard that is the content of a member, as it is. Of a
// member that is compressed, by itself or with the whole tar, there is none.
func (ix *Index) Range(m Member) (offset, length int64, ok bool) {
	if ix.format.packed() || m.Method != MethodStored {
		return 0, 0, false
	}
	return m.Offset, m.Size, true
}

// Open returns the content of a member that the index has given, from the shard, whose
// payload must be that of the stamp. What is read of the shard is the member; of a tar that
// is compressed, from the last restart point before it. Errors are as those of Reader.
func (ix *Index) Open(at io.ReaderAt, m Member, limits Limits) (io.Reader, error) {
	const op errs.Op = "archive.Open"
	f, limit := new(fault), newMeter(limits)
	switch {
	case ix.format == Tar:
		return newContent(sourceOf(at, m.Offset, m.Offset+m.Size, f), m, false, limit, f), nil
	case ix.format == Zip:
		return newContent(new(unzip).open(at, m, f), m, true, limit, f), nil
	}
	begin := ix.pointBefore(m.Offset)
	t, err := openTape(ix.format, sourceOf(at, begin.packed, ix.stamp.Size, f), begin, limit, new(points))
	if err == nil {
		_, err = io.CopyN(io.Discard, t, m.Offset-begin.unpacked)
	}
	if err != nil {
		return nil, explain(op, f, noEOF(err))
	}
	return newContent(t, m, false, limit, f), nil
}

// pointBefore returns the last restart point that is not behind an offset; zero: there is
// none, and the beginning is it.
func (ix *Index) pointBefore(offset int64) (last point) {
	rest := spelled{b: ix.points}
	for len(rest.b) > 0 {
		p, ok := last.next(&rest)
		if !ok || p.unpacked > offset {
			break
		}
		last = p
	}
	return last
}
