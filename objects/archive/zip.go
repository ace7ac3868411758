package archive

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
)

// The records of a zip, as APPNOTE.TXT of PKWARE describes them. The standard library reads
// them, too, but holds the whole directory in memory before it tells the first member; here
// one entry is held at a time.
const (
	zipEndBytes       = 22
	zipEnd64Bytes     = 56
	zipLocator64Bytes = 20
	zipEntryBytes     = 46
	zipLocalBytes     = 30
	zipMaxComment     = 1<<16 - 1

	zipFlagEncrypted  = 1 << 0
	zipFlagDescriptor = 1 << 3

	zipExtra64   = 0x0001
	zipExtraTime = 0x5455
)

// zipWalk goes through the members of a zip by its directory.
type zipWalk struct {
	at        io.ReaderAt
	fault     *fault
	meter     *meter
	base      int64 // bytes before the zip, which its offsets do not count
	directory int64 // where the directory begins
	comment   string
	records   uint64 // still to come
	source    *source
	room      []byte // of the varying part of an entry
	entry     zipEntry
	local     *source // reads local headers
	contents  unzip
}

// zipEntry is what the directory says of a member beside what every member has.
type zipEntry struct {
	header   zip.FileHeader // Extra without what is of zip64
	offset   int64          // of the local header
	localLen int            // of its name
}

// newZipWalk finds the directory.
func newZipWalk(at io.ReaderAt, size int64, f *fault, m *meter) (*zipWalk, error) {
	w := &zipWalk{at: at, fault: f, meter: m}
	if size < zipEndBytes {
		return nil, fmt.Errorf("%d bytes are too few for a zip", size)
	}
	end, record, err := w.findEnd(size)
	if err != nil {
		return nil, err
	}
	disk, directoryDisk := binary.LittleEndian.Uint16(record[4:]), binary.LittleEndian.Uint16(record[6:])
	here, all := uint64(binary.LittleEndian.Uint16(record[8:])), uint64(binary.LittleEndian.Uint16(record[10:]))
	length, offset := uint64(binary.LittleEndian.Uint32(record[12:])), uint64(binary.LittleEndian.Uint32(record[16:]))
	w.comment = string(record[zipEndBytes:])
	if all == 0xffff || length == 0xffffffff || offset == 0xffffffff {
		at64, record64, err := w.findEnd64(end)
		if err != nil {
			return nil, err
		}
		if record64 != nil {
			end = at64
			here, all = binary.LittleEndian.Uint64(record64[24:]), binary.LittleEndian.Uint64(record64[32:])
			length, offset = binary.LittleEndian.Uint64(record64[40:]), binary.LittleEndian.Uint64(record64[48:])
		}
	}
	if disk != 0 || directoryDisk != 0 || here != all {
		return nil, fmt.Errorf("a zip of several volumes")
	}
	if length > uint64(end) || offset > uint64(end)-length {
		return nil, fmt.Errorf("its directory lies outside")
	}
	if all > length/zipEntryBytes {
		return nil, fmt.Errorf("a directory of %d bytes cannot have %d entries", length, all)
	}
	w.directory = end - int64(length)
	w.base = w.directory - int64(offset)
	w.records = all
	w.source = sourceOf(at, w.directory, end, f)
	return w, nil
}

// findEnd returns the record that ends a zip, with its comment, and where it begins.
func (w *zipWalk) findEnd(size int64) (int64, []byte, error) {
	for _, n := range []int64{1 << 10, zipEndBytes + zipMaxComment} {
		n = min(n, size)
		tail := make([]byte, n)
		if err := sourceOf(w.at, size-n, size, w.fault).readFull(tail); err != nil {
			return 0, nil, err
		}
		for i := len(tail) - zipEndBytes; i >= 0; i-- {
			if string(tail[i:i+4]) == "PK\x05\x06" && i+zipEndBytes+int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail) {
				return size - n + int64(i), tail[i:], nil
			}
		}
	}
	return 0, nil, fmt.Errorf("a zip ends with a record that is not there")
}

// findEnd64 returns the record with larger numbers, or nil if the numbers are just those.
func (w *zipWalk) findEnd64(end int64) (int64, []byte, error) {
	if end < zipLocator64Bytes+zipEnd64Bytes {
		return 0, nil, nil
	}
	var locator [zipLocator64Bytes]byte
	if err := sourceOf(w.at, end-zipLocator64Bytes, end, w.fault).readFull(locator[:]); err != nil {
		return 0, nil, err
	}
	if string(locator[:4]) != "PK\x06\x07" {
		return 0, nil, nil
	}
	// Where something was put before the zip, the locator does not count it; but the record is
	// right before the locator unless it has something that nobody uses.
	last := end - zipLocator64Bytes - zipEnd64Bytes
	record := make([]byte, zipEnd64Bytes)
	for _, at := range []uint64{binary.LittleEndian.Uint64(locator[8:]), uint64(last)} {
		if at > uint64(last) {
			continue
		}
		if err := sourceOf(w.at, int64(at), end, w.fault).readFull(record); err != nil {
			return 0, nil, err
		}
		if string(record[:4]) == "PK\x06\x06" {
			return int64(at), record, nil
		}
	}
	return 0, nil, fmt.Errorf("its zip64 record is not where it should be")
}

// next returns the next member, or io.EOF.
func (w *zipWalk) next() (Member, error) {
	if w.records == 0 {
		if w.source.position != w.source.end {
			return Member{}, fmt.Errorf("its directory has %d bytes more than its entries", w.source.end-w.source.position)
		}
		return Member{}, io.EOF
	}
	var fixed [zipEntryBytes]byte
	if err := w.source.readFull(fixed[:]); err != nil {
		return Member{}, noEOF(err)
	}
	if string(fixed[:4]) != "PK\x01\x02" {
		return Member{}, fmt.Errorf("an entry of its directory begins with % x", fixed[:4])
	}
	u16 := func(at int) uint16 { return binary.LittleEndian.Uint16(fixed[at:]) }
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(fixed[at:]) }
	nameLen, extraLen, commentLen := int(u16(28)), int(u16(30)), int(u16(32))
	if nameLen == 0 || nameLen > MaxNameBytes {
		return Member{}, fmt.Errorf("a name of %d bytes", nameLen)
	}
	if need := nameLen + extraLen + commentLen; need > cap(w.room) {
		if int64(need) > w.source.end-w.source.position {
			return Member{}, io.ErrUnexpectedEOF
		}
		w.room = make([]byte, need)
	}
	rest := w.room[:nameLen+extraLen+commentLen]
	if err := w.source.readFull(rest); err != nil {
		return Member{}, noEOF(err)
	}
	w.entry = zipEntry{localLen: nameLen, header: zip.FileHeader{
		Name: string(rest[:nameLen]), Comment: string(rest[nameLen+extraLen:]),
		CreatorVersion: u16(4), ReaderVersion: u16(6), Flags: u16(8), Method: u16(10),
		CRC32: u32(16), CompressedSize64: uint64(u32(20)), UncompressedSize64: uint64(u32(24)), ExternalAttrs: u32(38),
	}}
	h := &w.entry.header
	clock, date := u16(12), u16(14)
	//lint:ignore SA1019 what is written as it was read, by zip.Writer.CreateRaw, is these and not Modified
	h.ModifiedTime, h.ModifiedDate = clock, date
	if strings.IndexByte(h.Name, 0) >= 0 {
		return Member{}, fmt.Errorf("a name with a NUL, %.100q", h.Name)
	}
	offset := uint64(u32(42))
	modified := dosTime(date, clock)
	for extra := rest[nameLen : nameLen+extraLen]; len(extra) >= 4; {
		tag, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if n > len(extra)-4 {
			break // others leave such remains, and nothing in them is needed
		}
		field := extra[4 : 4+n]
		switch {
		case tag == zipExtra64:
			for _, number := range []struct {
				at   *uint64
				cond bool
			}{{&h.UncompressedSize64, u32(24) == 0xffffffff}, {&h.CompressedSize64, u32(20) == 0xffffffff}, {&offset, u32(42) == 0xffffffff}} {
				if number.cond && len(field) >= 8 {
					*number.at = binary.LittleEndian.Uint64(field)
					field = field[8:]
				}
			}
		case tag == zipExtraTime && n >= 5 && field[0]&1 != 0:
			modified = time.Unix(int64(int32(binary.LittleEndian.Uint32(field[1:]))), 0).UTC()
			fallthrough
		default:
			h.Extra = append(h.Extra, extra[:4+n]...)
		}
		extra = extra[4+n:]
	}
	if offset > uint64(w.directory) || w.base+int64(offset) > w.directory-zipLocalBytes ||
		h.CompressedSize64 > uint64(w.directory) || h.UncompressedSize64 > 1<<62 {
		return Member{}, fmt.Errorf("%.100q lies outside", h.Name)
	}
	w.entry.offset = w.base + int64(offset)
	w.records--
	return Member{
		Name: h.Name, Size: int64(h.UncompressedSize64), Offset: -1, Stored: int64(h.CompressedSize64), Method: h.Method, CRC: h.CRC32,
		Mode: zipMode(h), Modified: modified, Kind: zipKind(h),
	}, nil
}

// dosTime reads a time of MS-DOS, which has no zone: it is taken as UTC.
func dosTime(date, clock uint16) time.Time {
	if date == 0 && clock == 0 {
		return time.Unix(0, 0).UTC()
	}
	return time.Date(1980+int(date>>9), time.Month(date>>5&0xf), int(date&0x1f), int(clock>>11), int(clock>>5&0x3f), int(clock&0x1f)*2, 0, time.UTC)
}

// zipMode is the permission bits of a member. Archives of other systems have made-up ones.
func zipMode(h *zip.FileHeader) uint32 { return uint32(h.Mode().Perm()) }

func zipKind(h *zip.FileHeader) Kind {
	mode := h.Mode()
	switch {
	case strings.HasSuffix(h.Name, "/") || mode.IsDir():
		return Directory
	case mode&fs.ModeSymlink != 0:
		return Link
	case !mode.IsRegular(), h.Flags&zipFlagEncrypted != 0, h.Method != MethodStored && h.Method != MethodDeflated:
		return Other
	}
	return File
}

// locate reads the local header of the member that next returned last, which must be of the
// same name: where directory and local headers tell different stories, nothing is given.
func (w *zipWalk) locate(m Member) (Member, error) {
	if m.Offset >= 0 {
		return m, nil
	}
	if w.local == nil {
		w.local = sourceOf(w.at, 0, w.directory, w.fault)
	}
	w.local.position, w.local.unread = w.entry.offset, nil
	var fixed [zipLocalBytes]byte
	if err := w.local.readFull(fixed[:]); err != nil {
		return m, noEOF(err)
	}
	if string(fixed[:4]) != "PK\x03\x04" {
		return m, fmt.Errorf("there is no member at %d", w.entry.offset)
	}
	nameLen, extraLen := int(binary.LittleEndian.Uint16(fixed[26:])), int64(binary.LittleEndian.Uint16(fixed[28:]))
	if nameLen != w.entry.localLen {
		return m, fmt.Errorf("%.100q has another name where it lies", m.Name)
	}
	if nameLen > cap(w.room) {
		w.room = make([]byte, nameLen)
	}
	name := w.room[:nameLen]
	if err := w.local.readFull(name); err != nil {
		return m, noEOF(err)
	}
	if string(name) != m.Name {
		return m, fmt.Errorf("%.100q is called %.100q where it lies", m.Name, name)
	}
	if m.Method == MethodStored && m.Stored != m.Size {
		return m, fmt.Errorf("%.100q is stored as %d bytes and has %d", m.Name, m.Stored, m.Size)
	}
	offset := w.entry.offset + zipLocalBytes + int64(nameLen) + extraLen
	if m.Stored > w.directory-offset {
		return m, fmt.Errorf("%.100q goes on in the directory", m.Name)
	}
	m.Offset = offset
	return m, nil
}

// open returns the content of a member that was located, for as long as no other is opened.
func (w *zipWalk) open(m Member) io.Reader { return w.contents.open(w.at, m, w.fault) }

// unzip opens members of a zip, one at a time. What that takes, a hundred times more than a
// small member, it keeps for the next.
type unzip struct {
	source  *source
	packed  packedSource
	inflate io.Reader // a flate.Resetter
}

// open returns the content of a member. Whether it is what the directory says is for content
// to see.
func (z *unzip) open(at io.ReaderAt, m Member, f *fault) io.Reader {
	if z.source == nil {
		z.source = sourceOf(at, 0, 0, f)
	}
	z.source.position, z.source.end, z.source.unread = m.Offset, m.Offset+m.Stored, nil
	if m.Method != MethodDeflated {
		return z.source
	}
	if z.inflate == nil {
		z.packed = packedOf(z.source)
		z.inflate = flate.NewReader(z.packed.Reader)
		return z.inflate
	}
	z.packed.Reset(z.source)
	// It fails only if there is a dictionary.
	_ = z.inflate.(flate.Resetter).Reset(z.packed.Reader, nil)
	return z.inflate
}

func (w *zipWalk) tail() int64 { return -1 }
