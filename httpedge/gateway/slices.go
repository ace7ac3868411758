package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// A payload in slices is read from any d of them, at whatever nodes they are.
//
//	decoder ◀── a cell each ── stream (goroutine, reads one cell ahead) ◀── giver
//
// The decoder asks for the slices of data and, for as long as one of those does not come,
// for another one. A cell that comes late is one that does not come, while there are others:
// only when there are none it is waited for. Every cell is verified before a byte of it is
// given out, so that it does not matter whom it came from.

// Times of reading slices.
const (
	// cellTime is how long a cell is waited for at least while there are other slices: a
	// disk that turns has it in half of that with five requests before.
	cellTime = 50 * time.Millisecond
	// cellTimes is of how many usual cells (the median of this read) it is waited for, if
	// that is longer.
	cellTimes = 4
	// cellsKnown is of how many cells that is.
	cellsKnown = 33
)

// sliceGiver is a node that a slice may be had from; nil: this one.
type sliceGiver = *messages.NodeView

// slicedPayload is a payload that lies in slices, and who may have them. Immutable. Safe for
// concurrent use.
type slicedPayload struct {
	key    objects.Key
	record *objects.Meta
	codec  *erasure.Codec
	slabs  *slab.Pool
	clock  clock.Clock
	// givers of each slice, by index, in the order in which they are tried.
	givers [][]sliceGiver
	// open opens bytes of a slice at a giver. It may block; what it returns is closed by who
	// reads it.
	open func(sliceGiver, *SliceWanted) (io.ReadCloser, error)
}

// slicedOf returns the payload of a record that lies in slices. Every member that can be asked
// may give: those that own the key no more, and those that have not caught up, too.
func (g *Gateway) slicedOf(op errs.Op, bucket *objects.BucketDoc, key objects.Key, record *objects.Meta) (*slicedPayload, error) {
	s := record.Slicing
	if s == nil || s.Whole || record.Where != objects.Slices {
		return nil, errs.E(op, key, errs.Internal, errors.New("the payload does not lie in slices"))
	}
	codec, err := g.codecs.For(erasure.Form{Data: s.Data, Parity: s.Parity, CellBytes: s.CellBytes})
	if err != nil {
		return nil, errs.E(op, key, errs.Corrupt, err)
	}
	var set *messages.NodeSet
	if g.Config.Nodes != nil {
		set = g.Config.Nodes.Load()
	}
	return &slicedPayload{
		key: key, record: record, codec: codec, slabs: g.Slabs, clock: g.System.Clock(), givers: giversOf(s, set),
		open: func(at sliceGiver, w *SliceWanted) (io.ReadCloser, error) {
			if at == nil {
				return g.Slice(bucket, key.Name, w)
			}
			return g.Peers.Slice(at, bucket, key.Name, w)
		},
	}, nil
}

// giversOf returns who may have each slice, by index: this node first. Those that cannot be
// asked are left out.
func giversOf(s *objects.Slicing, set *messages.NodeSet) [][]sliceGiver {
	nodes := make(map[uint64]sliceGiver)
	if set != nil {
		for i := range set.Nodes {
			if n := &set.Nodes[i]; n.ID != set.Self && n.Away == "" {
				nodes[objects.NodeDigest(n.ID)] = n
			}
		}
		nodes[objects.NodeDigest(set.Self)] = nil
	}
	givers := make([][]sliceGiver, s.Width())
	for _, m := range s.Members {
		if node, ok := nodes[m.Node]; ok && node == nil {
			givers[m.Index] = slices.Insert(givers[m.Index], 0, node)
		} else if ok {
			givers[m.Index] = append(givers[m.Index], node)
		}
	}
	return givers
}

// layout is where the payload's bytes lie.
func (p *slicedPayload) layout() erasure.Layout {
	return erasure.Layout{Form: p.codec.Form(), Size: p.record.Size}
}

// slicedRead reads a range of a payload that lies in slices. It leases a window of two
// stripes, which Close releases: one is the decoder's, into the other the streams read ahead.
// All of a payload is compared with the record's xxhash64 before the last of it is given
// out. One goroutine's at a time.
type slicedRead struct {
	payload *slicedPayload
	window  *slab.Window
	ahead   *erasure.Stripe // where its cells lie the streams have room
	decoder *erasure.Decoder
	left    int64            // bytes that are still to be given
	hash    *xxhash.XXHash64 // of all that was; nil: it is not all of the payload

	tried   []int          // by index: how many givers were tried
	streams []*sliceStream // by index, the last
	late    []bool         // by index: it is the stream's lateness that it was left for
	patient bool           // there are no others: what is late is waited for
	took    []time.Duration
	rest    []byte // of the last piece, for Read
	given   int64  // bytes
	err     error  // that ended it
}

// errLateCell says that a cell is not there in time.
var errLateCell = errors.New("its cell is late")

// read begins to read length bytes from an offset, 1 or more. It has the first stripe when it
// returns, so that what cannot be read is known before an answer begins.
func (p *slicedPayload) read(op errs.Op, offset, length int64) (*slicedRead, error) {
	form := p.codec.Form()
	window, err := p.slabs.Lease(form.Slabs(2))
	if err != nil {
		return nil, errs.E(op, p.key, err)
	}
	r := &slicedRead{
		payload: p, window: window, left: length, tried: make([]int, form.Slices()), streams: make([]*sliceStream, form.Slices()), late: make([]bool, form.Slices()),
	}
	if offset == 0 && length == p.record.Size {
		r.hash = xxhash.New64()
	}
	rooms := make([][]byte, window.Len())
	for i := range rooms {
		rooms[i] = window.Slab(i)
	}
	stripes, err := p.codec.NewStripes(2, rooms...)
	if err == nil {
		r.ahead = stripes[1]
		read := erasure.Read{Layout: p.layout(), Payload: p.record.Payload, Sources: make([]erasure.Source, form.Slices()), Failed: r.failed}
		for i := range read.Sources {
			read.Sources[i] = r.another(i)
		}
		r.decoder, err = erasure.NewDecoder(context.Background(), read, stripes[0], offset, length)
	}
	if err == nil {
		err = r.patiently(r.decoder.Fill)
	}
	if err != nil {
		_ = r.Close() // it has failed
		return nil, errs.E(op, p.key, err)
	}
	return r, nil
}

// another is the next giver of a slice as a source; nil: there is none.
func (r *slicedRead) another(index int) erasure.Source {
	givers := r.payload.givers[index]
	if r.tried[index] == len(givers) {
		return nil
	}
	r.tried[index]++
	return &sliceSource{read: r, index: index, giver: givers[r.tried[index]-1]}
}

// failed is told by the decoder of a cell that could not be had, and supplies another giver of
// the slice, if there is one.
func (r *slicedRead) failed(f erasure.Failure) {
	if f.Wrong {
		return
	}
	r.late[f.Slice] = errors.Is(f.Err, errLateCell)
	if source := r.another(f.Slice); source != nil {
		r.late[f.Slice] = false
		r.decoder.Supply(f.Slice, source)
	}
}

// piece returns the next bytes, which are good until the next call.
func (r *slicedRead) piece() ([]byte, error) {
	if r.left == 0 {
		return nil, io.EOF
	}
	var piece []byte
	err := r.patiently(func() (err error) {
		piece, err = r.decoder.Next()
		return err
	})
	if err != nil {
		return nil, err
	}
	r.left -= int64(len(piece))
	if r.hash != nil {
		r.hash.Write(piece)
		if got := r.hash.Sum64(); r.left == 0 && got != r.payload.record.XXHash {
			return nil, errs.E("gateway.slicedRead", r.payload.key, errs.Corrupt, fmt.Errorf("xxhash %016x, want %016x", got, r.payload.record.XXHash))
		}
	}
	return piece, nil
}

// patiently does a step of the decoder, and does it again with those that were late where there
// are too few without them.
func (r *slicedRead) patiently(step func() error) error {
	err := step()
	if errors.Is(err, erasure.ErrTooFew) && r.wait() {
		r.patient = true
		err = step()
		r.patient = false
	}
	return err
}

// wait has the slices that were late tried again; false: none was.
func (r *slicedRead) wait() (some bool) {
	for index, late := range r.late {
		if late {
			some, r.late[index] = true, false
			r.decoder.Supply(index, &sliceSource{read: r, index: index, giver: r.streams[index].giver})
		}
	}
	return some
}

// next is piece, for a read that has failed, too: it stays so.
func (r *slicedRead) next() ([]byte, error) {
	if len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.piece()
	}
	piece := r.rest
	r.rest = nil
	if len(piece) == 0 {
		return nil, r.err
	}
	r.given += int64(len(piece))
	return piece, nil
}

// Read implements io.Reader. A read that has failed stays so.
func (r *slicedRead) Read(room []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.piece()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(room, r.rest)
	r.rest = r.rest[n:]
	r.given += int64(n)
	return n, nil
}

// Close ends the read, and gives back what it holds. Streams that hang keep the slabs that they
// read into, until they return. Idempotent.
func (r *slicedRead) Close() error {
	if r.window == nil {
		return nil
	}
	if r.decoder != nil {
		_ = r.decoder.Close() // it was only read
	}
	for _, s := range r.streams {
		s.end()
	}
	r.window.Release()
	r.window, r.rest, r.err = nil, nil, cmp.Or(r.err, error(errs.E("gateway.slicedRead", r.payload.key, errs.Canceled, errors.New("it was closed"))))
	return nil
}

// patience is how long a cell is waited for now.
func (r *slicedRead) patience() time.Duration {
	if r.patient {
		return Deadline
	}
	if len(r.took) == 0 {
		return cellTime
	}
	took := slices.Sorted(slices.Values(r.took))
	return max(cellTime, cellTimes*took[len(took)/2])
}

// arrived notes how long a cell took.
func (r *slicedRead) arrived(took time.Duration) {
	if len(r.took) == cellsKnown {
		r.took = slices.Delete(r.took, 0, 1)
	}
	r.took = append(r.took, took)
}

// sliceSource is a slice at a giver.
type sliceSource struct {
	read  *slicedRead
	index int
	giver sliceGiver
}

// Open implements erasure.Source. It does not block: the first cell tells whether it could.
func (s *sliceSource) Open(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	r := s.read
	if before := r.streams[s.index]; before != nil {
		if before.giver == s.giver && before.at == offset && before.to == offset+length && !before.closed {
			return before, nil // it was late, and is waited for
		}
		before.end()
	}
	stream := &sliceStream{
		read: r, giver: s.giver, at: offset, to: offset + length, window: r.window,
		turn: make(chan struct{}, 1), cells: make(chan aheadCell, 1), quit: make(chan struct{}), done: make(chan struct{}),
		wanted: SliceWanted{Payload: r.payload.record.Payload, Index: uint8(s.index), Offset: offset, Length: length, Begin: giveTime, Stall: giveStall},
	}
	stream.slot, stream.offset = r.ahead.Slot(s.index)
	if before := r.streams[s.index]; before != nil && !before.over() { // it may still write where it has room
		window, err := r.payload.slabs.Lease(1)
		if err != nil {
			return nil, err
		}
		stream.window, stream.slot, stream.offset, stream.own = window, 0, 0, true
	}
	r.streams[s.index] = stream
	stream.turn <- struct{}{}
	go stream.run(r.payload, int64(r.payload.codec.Form().CellBytes))
	return stream, nil
}

// aheadCell is a cell that was read ahead, or why there is none.
type aheadCell struct {
	bytes int
	took  time.Duration
	err   error
}

// sliceStream is a slice on its way from a giver, a cell at a time. What follows run is its
// goroutine's; the rest is the read's.
type sliceStream struct {
	read   *slicedRead
	giver  sliceGiver
	at, to int64 // in the slice: what the decoder gets next, and the end
	rest   []byte
	closed bool
	own    bool // the window is the stream's: who ends it releases it

	window       *slab.Window
	slot, offset int // of its room
	wanted       SliceWanted
	turn         chan struct{}  // the room may be filled again
	cells        chan aheadCell // it is full
	quit         chan struct{}  // nobody reads any more
	done         chan struct{}  // the goroutine has ended
}

// run reads cells ahead.
func (s *sliceStream) run(p *slicedPayload, cellBytes int64) {
	defer close(s.done)
	began := p.clock.Elapsed()
	body, err := p.open(s.giver, &s.wanted)
	if err != nil {
		s.cells <- aheadCell{err: err} // there is room: nothing came before
		return
	}
	defer body.Close() // what came was only read
	for left := s.wanted.Length; left > 0; {
		select {
		case <-s.quit:
			return
		case <-s.turn:
		}
		if left < s.wanted.Length {
			began = p.clock.Elapsed()
		}
		room, ok := s.window.Pin(s.slot)
		if !ok {
			return // the read has ended
		}
		n, err := io.ReadFull(body, room[s.offset:s.offset+int(min(cellBytes, left))])
		s.window.Unpin()
		s.cells <- aheadCell{n, p.clock.Elapsed() - began, err} // one for each turn
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// over reports whether the goroutine has ended.
func (s *sliceStream) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Read implements io.Reader for the decoder, which has lost patience when it is errLateCell.
func (s *sliceStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if err := s.await(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	if s.at += int64(n); len(s.rest) == 0 && s.at < s.to {
		s.turn <- struct{}{} // one is free: its cell was taken
	}
	return n, nil
}

// await waits for the next cell.
func (s *sliceStream) await() error {
	if s.at == s.to {
		return io.EOF
	}
	r := s.read
	var cell aheadCell
	select {
	case cell = <-s.cells:
	default:
		late, timer := r.payload.clock.NewTimer(r.patience())
		defer timer.Stop()
		select {
		case cell = <-s.cells:
		case <-late:
			return errs.E("gateway.sliceStream", errs.Busy, errLateCell)
		}
	}
	if cell.err != nil {
		return cell.err
	}
	r.arrived(cell.took)
	s.rest = s.window.Slab(s.slot)[s.offset : s.offset+cell.bytes]
	return nil
}

// Close implements io.Closer for the decoder. A stream whose cell is late goes on with it: it
// may be all that there is. The read ends it.
func (s *sliceStream) Close() error {
	if len(s.rest) > 0 || s.at == s.to || s.over() {
		s.end()
	}
	return nil
}

// end ends the stream; one that hangs ends when it returns. Idempotent; nil is none.
func (s *sliceStream) end() {
	if s == nil || s.closed {
		return
	}
	s.closed = true
	close(s.quit)
	if s.own {
		s.window.Release()
	}
}

// beginSlices begins a range of an object in slices, unless one is begun. With it the object's
// window goes: bytes pass through that of the read.
func (o *Object) beginSlices(offset, length int64) error {
	if o.reading != nil || length == 0 {
		return nil
	}
	o.release()
	reading, err := o.sliced.read("gateway.Open", offset, length)
	if err != nil {
		return err
	}
	o.reading, o.readingFrom = reading, offset
	return nil
}

// slicesReader reads a range of an object in slices: it begins with its first Read, unless the
// object has begun with just that.
type slicesReader struct {
	object         *Object
	offset, length int64
	read           *slicedRead
}

// Read implements io.Reader.
func (r *slicesReader) Read(room []byte) (int, error) {
	if r.length == 0 {
		return 0, io.EOF
	}
	if r.read == nil {
		o := r.object
		if o.reading != nil && (o.readingFrom != r.offset || o.reading.given > 0 || o.reading.left != r.length) {
			_ = o.reading.Close() // another range was read before
			o.reading = nil
		}
		if err := o.beginSlices(r.offset, r.length); err != nil {
			return 0, err
		}
		r.read = o.reading
	}
	return r.read.Read(room)
}

// slicesBody is the body of an answer that comes from slices. It closes the object, once.
type slicesBody struct {
	slicesReader
	conn   net.Conn
	record *access.Record // is told how much was sent
	sent   int64
	once   sync.Once
}

// Read implements io.Reader; fasthttp uses WriteTo where it can.
func (b *slicesBody) Read(room []byte) (int, error) {
	n, err := b.slicesReader.Read(room)
	b.sent += int64(n)
	return n, err
}

// WriteTo implements io.WriterTo, without a copy, and gives the client time for each piece.
func (b *slicesBody) WriteTo(w io.Writer) (total int64, err error) {
	if err := b.object.beginSlices(b.offset, b.length); err != nil {
		return 0, err
	}
	for {
		piece, err := b.object.reading.next()
		if err == io.EOF {
			return total, nil
		}
		if err == nil {
			err = extend(b.conn)
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(piece)
		total, b.sent = total+int64(n), b.sent+int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Close implements io.Closer. Idempotent.
func (b *slicesBody) Close() error {
	b.once.Do(func() {
		b.record.Sent(b.sent)
		b.object.Close()
	})
	return nil
}
