package gateway

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

const (
	// maxBatches is how many batches a node answers at a time.
	maxBatches = 64
	// batchAhead is how many items at other nodes are asked for before their turn. Each
	// takes at most two slabs.
	batchAhead = 4
)

// BatchItem is one of the things that a batch is made of. Only read.
type BatchItem struct {
	Bucket *objects.BucketDoc
	Name   string // of the object
	Member string // of the shard that the object is; empty: the object itself
	// Start and Length are a range in bytes, Length -1: to the end. Both 0: all of it.
	Start, Length int64
	As            string // what it is called in the archive
}

func (i *BatchItem) key() objects.Key { return objects.Key{Bucket: i.Bucket.Bucket, Name: i.Name} }

// BatchRequest is what a batch is made of, and how.
type BatchRequest struct {
	Items  []BatchItem
	Format archive.Format
	// AbsentFolder is where an empty member stands for an item that is absent; empty: such
	// an item fails the batch.
	AbsentFolder string
}

// BatchFailure is the failure of one item, which ends the batch.
type BatchFailure struct {
	Item int // its place in the request, from 0
	Err  error
}

// Error implements error.
func (f *BatchFailure) Error() string { return fmt.Sprintf("item %d: %v", f.Item, f.Err) }

// Unwrap returns the cause.
func (f *BatchFailure) Unwrap() error { return f.Err }

// RangeOutside is the failure of an item whose range is not in what it is of.
type RangeOutside struct{ Start, Length, Size int64 }

// Error implements error.
func (e *RangeOutside) Error() string {
	return fmt.Sprintf("start %d, length %d: there are %d bytes", e.Start, e.Length, e.Size)
}

// Batch is an archive that is made while it is read: of objects, members of shards and
// ranges of them, one member for each item, in the order of the request. Nothing of it is
// kept but a slab of what is ready, the item that is its turn, and batchAhead items of other
// nodes. Not safe for concurrent use.
//
//	items ──▶ archive.Writer ──▶ a slab ──▶ Read
//
// Its owner closes it exactly once, or hands it to Send, which does.
type Batch struct {
	gateway *Gateway
	request BatchRequest
	window  *slab.Window // of what is ready
	made    int          // bytes in it

	next func() ([]byte, bool) // runs the writer until the window is full
	stop func()
	rest []byte // what is ready and not yet read
	err  error  // what ended the writer; nil: it is not through, or the archive is whole

	shard  *Shard // of the item before, which may be that of the next
	shared *BatchItem
	ahead  map[int]*batchFetch // items at other nodes that were asked for
	looked int                 // items that were looked at for that
}

// errBatchClosed ends the writer of a batch that nobody reads any more.
var errBatchClosed = errors.New("the batch is closed")

// OpenBatch begins a batch: it reads until a slab of the archive is ready, so that what fails
// before that, a *BatchFailure, can be an answer's status. errs.Busy: the node answers
// maxBatches already, or has no memory. Items are checked by the caller: a name that no
// archive can have ends the batch.
func (g *Gateway) OpenBatch(r BatchRequest) (*Batch, error) {
	const op errs.Op = "gateway.OpenBatch"
	if n := g.batches.Add(1); n > maxBatches {
		g.batches.Add(-1)
		return nil, errs.E(op, errs.Busy, fmt.Errorf("%d batches are under way", maxBatches))
	}
	window, err := g.Slabs.Lease(1)
	if err != nil {
		g.batches.Add(-1)
		return nil, errs.E(op, err)
	}
	b := &Batch{gateway: g, request: r, window: window, ahead: make(map[int]*batchFetch)}
	b.next, b.stop = iter.Pull(b.write)
	if err := b.fill(); err != nil && err != io.EOF {
		b.Close()
		return nil, err
	}
	return b, nil
}

// write makes the archive, a slab at a time.
func (b *Batch) write(yield func([]byte) bool) {
	b.err = func() error {
		out := &batchRoom{batch: b, yield: yield}
		w, err := archive.NewWriter(out, b.request.Format, archive.WriterOptions{})
		if err != nil {
			return err
		}
		for i := range b.request.Items {
			if err := b.add(w, i); err != nil {
				return &BatchFailure{Item: i, Err: err}
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		return out.flush()
	}()
}

// add writes an item's member.
func (b *Batch) add(w *archive.Writer, i int) error {
	item := &b.request.Items[i]
	b.look(i)
	content, err := b.take(i)
	if errs.Is(errs.NotFound, err) && b.request.AbsentFolder != "" {
		return w.Add(archive.Input{Name: b.request.AbsentFolder + "/" + item.As, Body: eof{}})
	}
	if err != nil {
		return err
	}
	defer content.close()
	return w.Add(archive.Input{Name: item.As, Size: content.size, Body: content.body})
}

// eof is the content of what is empty.
type eof struct{}

// Read implements io.Reader.
func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// batchRoom gathers what the writer of an archive makes.
type batchRoom struct {
	batch *Batch
	yield func([]byte) bool
}

// Write implements io.Writer.
func (r *batchRoom) Write(p []byte) (int, error) {
	b, room := r.batch, r.batch.window.Slab(0)
	for n := 0; n < len(p); {
		copied := copy(room[b.made:], p[n:])
		n, b.made = n+copied, b.made+copied
		if b.made == len(room) {
			if err := r.flush(); err != nil {
				return n, err
			}
		}
	}
	return len(p), nil
}

// flush hands on what was gathered.
func (r *batchRoom) flush() error {
	b := r.batch
	ready := b.window.Slab(0)[:b.made]
	b.made = 0
	if len(ready) > 0 && !r.yield(ready) {
		return errBatchClosed
	}
	return nil
}

// fill has the writer go on until there is something to read; io.EOF: the archive is whole.
func (b *Batch) fill() error {
	if ready, ok := b.next(); ok {
		b.rest = ready
		return nil
	}
	if b.err != nil {
		return b.err
	}
	return io.EOF
}

// Read implements io.Reader. An error other than io.EOF cuts the archive.
func (b *Batch) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close gives back what the batch holds, and its place among maxBatches.
func (b *Batch) Close() {
	b.stop()
	b.closeShard()
	for _, f := range b.ahead {
		f.abandon()
	}
	b.window.Release()
	b.gateway.batches.Add(-1)
}

// Send makes the archive the body of the response and takes over the batch. The status and
// headers are the caller's to set. What fails from now on cuts the connection.
func (b *Batch) Send(ctx *fasthttp.RequestCtx) {
	ctx.SetBodyStream(&batchBody{batch: b, conn: ctx.Conn(), record: access.Of(ctx)}, -1)
}

// batchBody is the body of an answer. It closes the batch, exactly once.
type batchBody struct {
	batch  *Batch
	conn   net.Conn
	record *access.Record // is told how many bytes were sent
	sent   int64
	once   sync.Once
}

// Read implements io.Reader. It gives the client time for what it returns.
func (s *batchBody) Read(p []byte) (int, error) {
	n, err := s.batch.Read(p)
	s.sent += int64(n)
	if err != nil && err != io.EOF {
		s.batch.log(err).Warn("the answer of a batch is cut")
	}
	if n > 0 {
		if late := extend(s.conn); late != nil {
			return 0, late
		}
	}
	return n, err
}

// Close implements io.Closer. Idempotent.
func (s *batchBody) Close() error {
	s.once.Do(func() {
		s.record.Sent(s.sent)
		s.batch.Close()
	})
	return nil
}

// log names the item that failed.
func (b *Batch) log(err error) *logrus.Entry {
	entry := b.gateway.System.Log().WithError(err)
	var failure *BatchFailure
	if errors.As(err, &failure) {
		item := &b.request.Items[failure.Item]
		entry = entry.WithFields(logrus.Fields{"bucket": item.Bucket.Name, "key": item.Name, "item": failure.Item})
	}
	return entry
}
