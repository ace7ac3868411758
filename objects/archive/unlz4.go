package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/OneOfOne/xxhash"
	"github.com/pierrec/lz4/v4"
)

// The frames of LZ4, as lz4_Frame_format.md of the reference implementation describes them.
// The library has a reader of frames, too, but it cannot say where blocks begin, nor begin
// at one; so blocks are its, and frames are read here.
const (
	lz4Magic     = 0x184d2204
	lz4Skippable = 0x184d2a50 // and the fifteen numbers after it

	lz4FlagVersion         = 0b11 << 6 // it is 01
	lz4FlagIndependent     = 1 << 5
	lz4FlagBlockChecksum   = 1 << 4
	lz4FlagContentSize     = 1 << 3
	lz4FlagContentChecksum = 1 << 2
	lz4FlagReserved        = 1 << 1
	lz4FlagDictionary      = 1 << 0

	lz4AsItIs     = 1 << 31  // of a block's size: it is not compressed
	lz4DictBytes  = 64 << 10 // how far blocks refer back
	lz4GrowsBy    = 255      // a byte of a block cannot become more
	lz4FirstGrant = 64 << 10 // what is believed of a block's size before its bytes have come
)

// unlz4 is the tape of a tar.lz4: the contents of its frames, one after the other.
type unlz4 struct {
	from     packedSource
	position int64
	meter    *meter
	points   *points
	err      error

	inFrame  bool
	flags    byte
	limits   byte  // the BD byte
	declared int64 // what the frame says that its content is, -1: nothing
	given    int64 // of the frame
	whole    bool  // the frame was read from its beginning
	content  hash.Hash32
	block    []byte // as it lies in the shard
	out      []byte // lz4DictBytes of what was before, and the block
	dict     int    // how much of those is filled, from their end
	last     int    // bytes of the block in out
	unread   []byte // of out
}

func newUnlz4(from packedSource, at point, m *meter, p *points) *unlz4 {
	u := &unlz4{from: from, position: at.unpacked, meter: m, points: p, declared: -1, content: xxhash.NewS32(0)}
	if at.frame != pointBegins {
		u.inFrame, u.flags, u.limits = true, byte(at.frame>>8), byte(at.frame)
	}
	return u
}

// checkDescriptor says whether there are such frames.
func checkDescriptor(flags, limits byte) error {
	switch {
	case flags&lz4FlagVersion != 1<<6, flags&lz4FlagReserved != 0, limits&0x8f != 0, limits>>4 < 4:
		return fmt.Errorf("an LZ4 frame of descriptor %02x %02x", flags, limits)
	case flags&lz4FlagDictionary != 0:
		return errors.New("an LZ4 frame that needs a dictionary")
	}
	return nil
}

// maxBlock is how many bytes a block of the frame can be: 64 KiB to 4 MiB.
func (u *unlz4) maxBlock() int { return 1 << (8 + 2*(u.limits>>4)) }

// Read implements io.Reader.
func (u *unlz4) Read(p []byte) (int, error) {
	for len(p) > 0 && len(u.unread) == 0 && u.err == nil {
		if u.inFrame {
			u.err = u.nextBlock()
		} else {
			u.err = u.nextFrame()
		}
	}
	if len(u.unread) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, u.err
	}
	n := copy(p, u.unread)
	u.unread = u.unread[n:]
	u.position += int64(n)
	return n, nil
}

func (u *unlz4) readFull(p []byte) error {
	_, err := io.ReadFull(u.from, p)
	return noEOF(err)
}

// nextFrame reads up to the first block of the next frame. It returns io.EOF if there is no
// frame any more.
func (u *unlz4) nextFrame() error {
	if _, err := u.from.Peek(1); err != nil {
		return err
	}
	begins := point{packed: u.from.tell(), unpacked: u.position, frame: pointBegins}
	var room [8]byte
	if err := u.readFull(room[:4]); err != nil {
		return err
	}
	magic := binary.LittleEndian.Uint32(room[:])
	if magic&^0xf == lz4Skippable {
		if err := u.readFull(room[:4]); err != nil {
			return err
		}
		_, err := io.CopyN(io.Discard, u.from, int64(binary.LittleEndian.Uint32(room[:])))
		return noEOF(err)
	}
	if magic != lz4Magic {
		return fmt.Errorf("an LZ4 frame cannot begin with %08x", magic)
	}
	var descriptor [10]byte
	if err := u.readFull(descriptor[:2]); err != nil {
		return err
	}
	u.flags, u.limits = descriptor[0], descriptor[1]
	if err := checkDescriptor(u.flags, u.limits); err != nil {
		return err
	}
	n := 2
	u.declared = -1
	if u.flags&lz4FlagContentSize != 0 {
		if err := u.readFull(descriptor[2:10]); err != nil {
			return err
		}
		n = 10
		if u.declared = int64(binary.LittleEndian.Uint64(descriptor[2:])); u.declared < 0 {
			return errors.New("an LZ4 frame without end")
		}
	}
	if err := u.readFull(room[:1]); err != nil {
		return err
	}
	if want := byte(xxhash.Checksum32(descriptor[:n]) >> 8); room[0] != want {
		return fmt.Errorf("the descriptor of an LZ4 frame has checksum %02x, want %02x", room[0], want)
	}
	u.points.pass(begins)
	u.inFrame, u.whole, u.given, u.dict, u.last = true, true, 0, 0, 0
	u.content.Reset()
	return nil
}

// nextBlock reads one block, or the end of the frame.
func (u *unlz4) nextBlock() error {
	if u.flags&lz4FlagIndependent != 0 {
		u.points.pass(point{packed: u.from.tell(), unpacked: u.position, frame: uint16(u.flags)<<8 | uint16(u.limits)})
	}
	var room [4]byte
	if err := u.readFull(room[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(room[:])
	if size == 0 {
		return u.endFrame()
	}
	length := int(size &^ lz4AsItIs)
	if length > u.maxBlock() {
		return fmt.Errorf("an LZ4 block of %d bytes in a frame of blocks up to %d", length, u.maxBlock())
	}
	if err := u.readBlock(length); err != nil {
		return err
	}
	if u.flags&lz4FlagBlockChecksum != 0 {
		if err := u.readFull(room[:]); err != nil {
			return err
		}
		if got, want := xxhash.Checksum32(u.block), binary.LittleEndian.Uint32(room[:]); got != want {
			return fmt.Errorf("an LZ4 block has checksum %08x, want %08x", got, want)
		}
	}
	u.keepDict()
	bound := length
	if size&lz4AsItIs == 0 {
		bound = min(u.maxBlock(), lz4GrowsBy*length)
	}
	if need := lz4DictBytes + bound; need > len(u.out) {
		grown := make([]byte, min(max(need, 2*len(u.out)), lz4DictBytes+u.maxBlock()))
		copy(grown, u.out[:min(lz4DictBytes, len(u.out))])
		u.out = grown
	}
	n := length
	if size&lz4AsItIs != 0 {
		copy(u.out[lz4DictBytes:], u.block)
	} else {
		dict := u.out[lz4DictBytes-u.dict : lz4DictBytes]
		if u.flags&lz4FlagIndependent != 0 {
			dict = nil
		}
		var err error
		if n, err = lz4.UncompressBlockWithDict(u.block, u.out[lz4DictBytes:lz4DictBytes+bound], dict); err != nil {
			return fmt.Errorf("an LZ4 block: %w", err)
		}
	}
	u.unread, u.last = u.out[lz4DictBytes:lz4DictBytes+n], n
	u.given += int64(n)
	if u.whole && u.flags&lz4FlagContentChecksum != 0 {
		_, _ = u.content.Write(u.unread) // it cannot fail
	}
	return u.meter.take(n)
}

// readBlock fills block with so many bytes, and takes memory as they come.
func (u *unlz4) readBlock(length int) error {
	u.block = u.block[:0]
	for len(u.block) < length {
		if len(u.block) == cap(u.block) {
			grown := make([]byte, len(u.block), min(max(lz4FirstGrant, 2*cap(u.block)), max(u.maxBlock(), lz4FirstGrant)))
			copy(grown, u.block)
			u.block = grown
		}
		from := len(u.block)
		u.block = u.block[:min(length, cap(u.block))]
		if err := u.readFull(u.block[from:]); err != nil {
			return err
		}
	}
	return nil
}

// keepDict moves the last of what the block before gave to where the next one can refer to
// it. All of out was read by now.
func (u *unlz4) keepDict() {
	if u.flags&lz4FlagIndependent != 0 || u.last == 0 {
		return
	}
	keep, end := min(lz4DictBytes, u.dict+u.last), lz4DictBytes+u.last
	copy(u.out[lz4DictBytes-keep:lz4DictBytes], u.out[end-keep:end])
	u.dict, u.last = keep, 0
}

// endFrame compares what the frame was to be with what it was.
func (u *unlz4) endFrame() error {
	u.inFrame = false
	if u.flags&lz4FlagContentChecksum != 0 {
		var room [4]byte
		if err := u.readFull(room[:]); err != nil {
			return err
		}
		if got, want := u.content.Sum32(), binary.LittleEndian.Uint32(room[:]); u.whole && got != want {
			return fmt.Errorf("an LZ4 frame has checksum %08x, want %08x", got, want)
		}
	}
	if u.whole && u.declared >= 0 && u.given != u.declared {
		return fmt.Errorf("an LZ4 frame of %d bytes has %d", u.declared, u.given)
	}
	return nil
}

func (u *unlz4) tell() int64 { return u.position }
