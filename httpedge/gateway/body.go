package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/OneOfOne/xxhash"
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

type pid = *actor.PID

// piece is a run of bytes in one payload file.
type piece struct {
	open           func() (messages.PayloadFile, error)
	offset, length int64
	size           int64  // of the file
	xxhash         uint64 // of the whole file
	base           int64  // of the file's first byte, in the payload
}

// whole reports whether the piece is all of its file, so that it can be verified.
func (p piece) whole() bool { return p.offset == 0 && p.length == p.size }

// pieces cuts length bytes from offset along the payload's files.
func (o *Object) pieces(offset, length int64) []piece {
	if o.opened.Parts == nil {
		file := o.opened.File
		return []piece{{
			open: func() (messages.PayloadFile, error) {
				if file == nil {
					return nil, errs.E("gateway.body", o.key, errs.Internal, errors.New("the payload is in no file here"))
				}
				return kept{file}, nil
			},
			offset: offset, length: length, size: o.Meta.Size, xxhash: o.Meta.XXHash,
		}}
	}
	var pieces []piece
	var at int64
	for i, p := range o.opened.Parts.Parts {
		from, to := max(offset, at), min(offset+length, at+p.Size)
		if from < to {
			pieces = append(pieces, piece{
				open:   func() (messages.PayloadFile, error) { return o.opened.Parts.Open(i) },
				offset: from - at, length: to - from, size: p.Size, xxhash: p.XXHash, base: at,
			})
		}
		at += p.Size
	}
	return pieces
}

// kept is a file that is closed with its object, not with its piece.
type kept struct{ messages.PayloadFile }

// Close implements io.Closer.
func (kept) Close() error { return nil }

// stallTime is how long a client may take no byte of an answer.
const stallTime = 60 * time.Second

// sendAtOnce is how much the kernel sends between two deadlines: slow clients
// get one for every 4 MiB, 70 KiB/s.
const sendAtOnce = 4 << 20

// body streams an object's files to a connection. What the kernel can send by
// itself goes from the page cache to the socket. Where the connection is
// encrypted, or the bucket wants reads verified, the files pass through the
// object's window; whole ones are verified on their way, and a mismatch cuts the
// answer before its last slab. What the disk does not give it has from other nodes that
// keep the object (around.go). It closes the object, exactly once.
type body struct {
	object *Object
	conn   net.Conn
	kernel bool // the connection is one that the kernel can send files to
	pieces []piece
	file   messages.PayloadFile // of pieces[0]; nil before it is opened
	sent   int64                // bytes
	first  [1]byte              // see touch
	left   *pieceReader         // of pieces[0], where it passed through memory until the file failed; else nil
	given  int64                // bytes of pieces[0] that were sent when its file failed
	record *access.Record       // is told how many
	once   sync.Once
}

func newBody(o *Object, conn net.Conn, kernel bool, offset, length int64) *body {
	return &body{object: o, conn: conn, kernel: kernel, pieces: o.pieces(offset, length)}
}

// recorded has the record told how much was sent.
func (b *body) recorded(r *access.Record) *body {
	b.record = r
	return b
}

// Read implements io.Reader; fasthttp uses WriteTo where it can.
func (b *body) Read(p []byte) (int, error) {
	if len(b.pieces) == 0 {
		return 0, io.EOF
	}
	if err := b.openNext(); err != nil {
		return 0, err
	}
	next := &b.pieces[0]
	n, err := b.file.ReadAt(p[:min(int64(len(p)), next.length)], next.offset)
	b.sent += int64(n)
	next.offset += int64(n)
	next.length -= int64(n)
	if next.length == 0 {
		return n, b.endPiece()
	}
	if n > 0 {
		return n, nil
	}
	return 0, short(err)
}

// WriteTo implements io.WriterTo.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for len(b.pieces) > 0 {
		n, err := int64(0), b.openNext()
		if err == nil {
			n, err = b.sendPiece(w)
			total += n
			b.sent += n
		}
		if err != nil {
			b.given += n
			if err = b.goAround(err, &w); err != nil {
				return total, err
			}
			continue
		}
		if err := b.endPiece(); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (b *body) openNext() (err error) {
	if b.file != nil {
		return nil
	}
	if b.file, err = b.pieces[0].open(); err != nil {
		return &sourceError{err}
	}
	if b.object.verify && b.object.detour == nil && !b.pieces[0].whole() {
		return b.verifyFile(b.pieces[0])
	}
	return nil
}

// verifyFile reads the whole file of a piece that is only a part of it, where
// the bucket wants every read verified.
func (b *body) verifyFile(p piece) error {
	p.offset, p.length = 0, p.size
	reader := &pieceReader{file: b.file, piece: p, key: b.object.key}
	for {
		if _, err := reader.fill(b.object.window.Slab(0)); err == io.EOF {
			return nil
		} else if err != nil {
			return &sourceError{err}
		}
	}
}

func (b *body) endPiece() error {
	err := b.file.Close()
	b.file, b.pieces, b.left, b.given = nil, b.pieces[1:], nil, 0
	return err
}

// sendPiece sends one piece the cheapest way that its bucket allows.
func (b *body) sendPiece(w io.Writer) (int64, error) {
	p := b.pieces[0]
	file := b.file.OS()
	kernel, ok := w.(io.ReaderFrom)
	if file == nil || !ok || !b.kernel || b.object.verify && p.whole() {
		return b.sendSlabs(w, p)
	}
	if _, err := file.Seek(p.offset, io.SeekStart); err != nil {
		return 0, &sourceError{err}
	}
	var total int64
	defer func() { // what is left of it, for who goes on
		b.pieces[0].offset += total
		b.pieces[0].length -= total
	}()
	for total < p.length {
		if err := b.touch(p.offset + total); err != nil {
			return total, &sourceError{err}
		}
		if err := b.extend(); err != nil {
			return total, err
		}
		n, err := kernel.ReadFrom(&io.LimitedReader{R: file, N: min(sendAtOnce, p.length-total)})
		total += n
		b.file.Sent(n)
		if errors.Is(err, syscall.EIO) && total < p.length { // no connection's error
			return total, &sourceError{errs.E("gateway.body", b.object.key, errs.IO, errors.Join(err, b.touch(p.offset+total)))}
		}
		if err != nil {
			return total, err
		}
		if n == 0 {
			return total, &sourceError{short(nil)}
		}
	}
	return total, nil
}

// touch reads a byte, so that the mountpath hears how the disk does that the kernel
// is about to send from: it says nothing of its reads.
func (b *body) touch(offset int64) error {
	if n, err := b.file.ReadAt(b.first[:], offset); n < len(b.first) {
		return short(err)
	}
	return nil
}

// sendSlabs sends one piece through memory and verifies it if it is whole.
func (b *body) sendSlabs(w io.Writer, p piece) (int64, error) {
	if err := b.object.lease(); err != nil { // a file that looked as if the kernel could send it
		return 0, err
	}
	room := b.object.window.Slab(0)
	reader := pieceReader{file: b.file, piece: p, key: b.object.key}
	if b.left != nil {
		reader = *b.left
		reader.file = b.file
	}
	var total int64
	for {
		n, err := reader.fill(room)
		if err != nil && err != io.EOF {
			left := reader
			b.left = &left
			return total, &sourceError{err}
		}
		if n > 0 {
			if err := b.extend(); err != nil {
				return total, err
			}
			written, err := w.Write(room[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		if err == io.EOF {
			return total, nil
		}
	}
}

// extend gives the client time for the next bytes.
func (b *body) extend() error { return extend(b.conn) }

// extend gives a client time for the next bytes; nil is none.
func extend(conn net.Conn) error {
	if conn == nil {
		return nil
	}
	return conn.SetWriteDeadline(time.Now().Add(stallTime))
}

// Close implements io.Closer. Idempotent.
func (b *body) Close() error {
	b.once.Do(func() {
		if b.file != nil {
			_ = b.file.Close() // it was only read
		}
		b.record.Sent(b.sent)
		b.object.Close()
	})
	return nil
}

func short(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errs.E("gateway.body", errs.Corrupt, io.ErrUnexpectedEOF)
	}
	return err
}

// pieceReader reads a piece and, if it is a whole file, verifies it: the last
// bytes are given out only when the checksum is right.
type pieceReader struct {
	file  messages.PayloadFile
	piece piece
	key   objects.Key
	read  int64
	hash  *xxhash.XXHash64
}

// fill reads the next bytes into room; io.EOF comes with the last of them.
func (r *pieceReader) fill(room []byte) (int, error) {
	want := min(int64(len(room)), r.piece.length-r.read)
	n, err := r.file.ReadAt(room[:want], r.piece.offset+r.read)
	if int64(n) < want {
		return 0, short(err)
	}
	r.read += int64(n)
	if r.piece.whole() {
		if r.hash == nil {
			r.hash = xxhash.New64()
		}
		r.hash.Write(room[:n])
	}
	if r.read < r.piece.length {
		return n, nil
	}
	if r.hash != nil {
		if got := r.hash.Sum64(); got != r.piece.xxhash {
			return 0, errs.E("gateway.read", r.key, errs.Corrupt, fmt.Errorf("xxhash %016x, want %016x", got, r.piece.xxhash))
		}
		if v, ok := r.file.(messages.VerifiedFile); ok {
			v.Verified()
		}
	}
	return n, io.EOF
}

// verifiedReader reads pieces one after the other, for a copy: through memory,
// so always verified where a piece is a whole file.
type verifiedReader struct {
	pieces []piece
	key    objects.Key
	file   messages.PayloadFile
	reader *pieceReader
}

// Read implements io.Reader.
func (v *verifiedReader) Read(b []byte) (int, error) {
	for {
		if v.reader == nil {
			if len(v.pieces) == 0 {
				return 0, io.EOF
			}
			file, err := v.pieces[0].open()
			if err != nil {
				return 0, err
			}
			v.file, v.reader = file, &pieceReader{file: file, piece: v.pieces[0], key: v.key}
			v.pieces = v.pieces[1:]
		}
		n, err := v.reader.fill(b)
		if err == io.EOF {
			err = v.file.Close()
			v.file, v.reader = nil, nil
		} else if err != nil {
			err = errors.Join(err, v.file.Close())
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}
