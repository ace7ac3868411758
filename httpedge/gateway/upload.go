package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Put is one object, or one part of a multipart upload, on its way in.
type Put struct {
	Name       string
	Draft      objects.Draft // Class is filled in from the bucket
	Conditions objects.Conditions
	Size       int64     // declared; -1: not known before the end
	Body       io.Reader // read to io.EOF; its own errors (bad chunk signature, short body) end the upload and are returned
	MD5        string    // raw 16 bytes, expected (Content-MD5); empty: not given
	SHA256     string    // raw 32 bytes, expected (x-amz-content-sha256); empty: not given
	Sums       []checksum.Algorithm
	// Expect returns what the client says the checksums are, asked after Body
	// ended (trailers); nil: nothing.
	Expect func() ([]checksum.Value, error)
	Copies bool // the body is another object's: the history says so

	by objects.Origin // for the history: of the request's context
}

// expected is what the client says of the payload, once its body has ended.
func (p *Put) expected() (checksum.Expected, error) {
	e := checksum.Expected{Size: p.Size, MD5: p.MD5, SHA256: p.SHA256}
	if p.Expect == nil {
		return e, nil
	}
	var err error
	e.Values, err = p.Expect()
	return e, err
}

// Put stores an object and answers when it is durable at the bucket's class.
func (g *Gateway) Put(ctx context.Context, bucket *objects.BucketDoc, put *Put) (objects.Receipt, error) {
	const op errs.Op = "gateway.Put"
	charge, err := g.charged(op, bucket, put.Name)
	if err != nil {
		return objects.Receipt{}, err
	}
	key := objects.Key{Bucket: bucket.Bucket, Name: put.Name}
	put.by = originOf(ctx)
	if put.Copies && put.by.Cause == objects.CauseRequest {
		put.by.Cause = objects.CauseCopy
	}
	put.Draft.Class = bucket.Props.Class()
	if charge.Plural() { // what others have, too, must not be lost here by a crash of the system
		put.Draft.Class = objects.Synced
	}
	if put.Size > int64(g.InlineLimit) {
		uploaded, err := g.stream(op, key, bucket, put, part{}, nil, 0)
		return uploaded.Receipt, err
	}
	if _, err := g.place(op, key); err != nil {
		return objects.Receipt{}, err
	}
	return g.putSmall(op, key, bucket, put)
}

// before does what a write of an object needs at the key's former mountpath.
// Conditions are about the object that is there, which is moved then; else it is
// not, and only its count of writes is returned.
func (g *Gateway) before(op errs.Op, key objects.Key, c objects.Conditions, p *place) (writes uint64, err error) {
	if p.former == nil {
		return 0, nil
	}
	if c != (objects.Conditions{}) || p.turned() {
		return 0, g.settle(op, key, p)
	}
	if err := p.former.Away(); err != nil {
		return 0, errs.E(op, key, errs.Offline, err)
	}
	old, err := g.record(op, key, p.former, p.digest)
	switch {
	case err == nil:
		return old.Writes, nil
	case errs.Is(errs.NotFound, err):
		return 0, nil
	default:
		return 0, err
	}
}

// putSmall reads a payload that may fit the index into one slab. One that turns
// out to be larger goes on as a stream that begins with that slab.
func (g *Gateway) putSmall(op errs.Op, key objects.Key, bucket *objects.BucketDoc, put *Put) (objects.Receipt, error) {
	etag := bucket.Props.ETagKind()
	window, err := g.Slabs.Lease(1)
	if err != nil {
		return objects.Receipt{}, errs.E(op, key, err)
	}
	defer window.Release()
	room := window.Slab(0)
	n, err := readFull(put.Body, room[:g.InlineLimit+1])
	if err != nil && err != io.EOF {
		return objects.Receipt{}, err
	}
	if n > g.InlineLimit {
		uploaded, err := g.stream(op, key, bucket, put, part{}, window, n)
		return uploaded.Receipt, err
	}
	digests := checksum.NewDigests(checksum.Want{
		MD5: etag == objects.ETagMD5 || put.MD5 != "", SHA256: put.SHA256 != "", Sums: put.Sums,
	})
	digests.Write(room[:n])
	sums := digests.Sums()
	expected, err := put.expected()
	if err != nil {
		return objects.Receipt{}, err
	}
	if err := sums.Compare(expected); err != nil {
		return objects.Receipt{}, errs.E(op, key, errs.Invalid, errors.Join(objects.ErrBadDigest, err))
	}
	if etag == objects.ETagFast {
		sums.MD5 = ""
	}
	meta := objects.Meta{
		Size: sums.Size, XXHash: sums.XXHash, ETag: sums.ETag(), Checksums: sums.Values, Modified: g.Now(), Draft: put.Draft,
	}
	store := func(fence messages.Fence, p *place) (objects.Receipt, error) {
		writes, err := g.before(op, key, put.Conditions, p)
		if err != nil {
			return objects.Receipt{}, err
		}
		m := &messages.PutObject{
			Key: key, Conditions: put.Conditions, Window: window, Meta: meta, Fence: p.under(fence), Reply: messages.NewReply[objects.Receipt](),
		}
		m.Meta.Writes = writes
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		receipt, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		if err == nil {
			g.forget(key, p)
		}
		return receipt, err
	}
	return followMap(g, op, bucket, put.Name, func(c Charge) (objects.Receipt, error) {
		c.For = put.by
		return agree(g, op, bucket, key, c, func(fence messages.Fence) (written[objects.Receipt], error) {
			receipt, err := change(g, op, key, func(p *place) (objects.Receipt, error) { return store(fence, p) })
			return c.receipt(receipt, room[:n]), err
		})
	})
}

// receipt is a receipt with the nodes that will have the write, for agree.
func (c Charge) receipt(r objects.Receipt, inline []byte) written[objects.Receipt] {
	if c.Plural() {
		r.Nodes = len(c.AckSet)
	}
	return written[objects.Receipt]{value: r, record: r.Meta, inline: inline}
}

// PutPart stores a part of a multipart upload.
func (g *Gateway) PutPart(_ context.Context, bucket *objects.BucketDoc, uploadID string, number int, put *Put) (objects.Part, error) {
	const op errs.Op = "gateway.PutPart"
	if _, err := g.charged(op, bucket, put.Name); err != nil {
		return objects.Part{}, err
	}
	key := objects.Key{Bucket: bucket.Bucket, Name: put.Name}
	uploaded, err := g.stream(op, key, bucket, put, part{uploadID, number}, nil, 0)
	if errors.Is(err, objects.ErrNoSuchUpload) {
		err = g.confirmNoUpload(op, bucket, key, uploadID, err)
	}
	return uploaded.Part, err
}

// part says which part of which upload a stream is; the zero value is an object.
type part struct {
	uploadID string
	number   int
}

// sealTime bounds the wait for the end of a large upload: the fsync of what the
// kernel still holds of it, and the lane's turn.
const sealTime = 5 * time.Minute

// stream sends a payload to a transfer, chunk by chunk. Begun is nil, or a
// window whose slab 0 holds the first n bytes; it stays its owner's. The place of
// the key is settled before the body is read, which cannot be read twice; where the
// key has moved when it ends, it is read from where it is then, and sent on.
func (g *Gateway) stream(op errs.Op, key objects.Key, bucket *objects.BucketDoc, put *Put, p part, begun *slab.Window, n int) (messages.Uploaded, error) {
	body := put.Body
	for look := 1; ; look++ {
		uploaded, err := g.streamFrom(op, key, bucket, put, p, body, begun, n)
		var parked *messages.Parked
		if !errors.As(err, &parked) {
			return uploaded, err
		}
		defer parked.Release() // few: see maxLooks
		if look == maxLooks {
			return uploaded, err
		}
		body, begun, n = io.NewSectionReader(parked.Payload, 0, parked.Size), nil, 0
	}
}

// streamFrom is stream with a body, by the roster as it is when it begins.
func (g *Gateway) streamFrom(op errs.Op, key objects.Key, bucket *objects.BucketDoc, put *Put, p part, body io.Reader, begun *slab.Window, n int) (messages.Uploaded, error) {
	if _, err := g.place(op, key); err != nil {
		return messages.Uploaded{}, err
	}
	window, err := g.Slabs.Lease(g.windowFor(put.Size))
	if err != nil {
		return messages.Uploaded{}, errs.E(op, key, err)
	}
	defer window.Release()
	s := &stream{gateway: g, op: op, key: key, window: window, written: make(chan messages.ChunkWritten, window.Len()+1)}
	var at place
	opened, err := change(g, op, key, func(now *place) (messages.UploadOpened, error) {
		at = *now
		return s.open(bucket, put, p, now)
	})
	if err != nil {
		return messages.Uploaded{}, err
	}
	s.transfer = opened.Transfer
	finished := false
	defer func() {
		if !finished {
			g.System.Root().Send(s.transfer, &messages.AbandonUpload{})
		}
	}()
	if err := s.copy(body, begun, n); err != nil {
		return messages.Uploaded{}, err
	}
	expected, err := put.expected()
	if err != nil {
		return messages.Uploaded{}, err
	}
	if expected.Size < 0 {
		expected.Size = s.size
	}
	finish := &messages.FinishUpload{
		Size: expected.Size, Sent: s.size, MD5: expected.MD5, SHA256: expected.SHA256, Expect: expected.Values,
		Modified: g.Now(), Reply: messages.NewReply[messages.Uploaded](),
	}
	commit := func(fence messages.Fence) (messages.Uploaded, error) {
		// The body may have taken long. Where the key is still this mountpath's, it is so under
		// the mount epoch of now; where it is not, the lane says so.
		finish.Fence, finished = g.Roster.Load().Fenced(fence, g.holders(key), at.digest), true
		g.System.Root().Send(s.transfer, finish)
		uploaded, err := finish.Reply.WaitOn(g.System.Clock(), op, sealTime)
		if err == nil && p.number == 0 {
			g.forget(key, &at)
		}
		return uploaded, err
	}
	if p.number > 0 {
		return g.agreePart(op, bucket, key, p, commit)
	}
	charge, err := g.charged(op, bucket, put.Name) // the key's turn, and who is in charge, are asked for once the body is here
	if err != nil {
		return messages.Uploaded{}, err
	}
	charge.For = put.by
	return agree(g, op, bucket, key, charge, func(fence messages.Fence) (written[messages.Uploaded], error) {
		uploaded, err := commit(fence)
		w := charge.receipt(uploaded.Receipt, nil)
		uploaded.Receipt = w.value
		return written[messages.Uploaded]{value: uploaded, record: w.record}, err
	})
}

// open asks for a transfer, after what it depends on was moved to where it goes.
func (s *stream) open(bucket *objects.BucketDoc, put *Put, p part, at *place) (messages.UploadOpened, error) {
	g := s.gateway
	var writes uint64
	var err error
	if p.number > 0 {
		err = g.settleUpload(s.op, s.key, p.uploadID, at)
	} else {
		writes, err = g.before(s.op, s.key, put.Conditions, at)
	}
	if err != nil {
		return messages.UploadOpened{}, err
	}
	open := &messages.OpenUpload{
		Key: s.key, Draft: put.Draft, Conditions: put.Conditions, ETag: bucket.Props.ETagKind(), Sums: put.Sums,
		WantMD5: put.MD5 != "", WantSHA256: put.SHA256 != "", SizeHint: put.Size, Holders: at.holders, Writes: writes,
		UploadID: p.uploadID, Part: p.number, Window: s.window, Written: s.written,
		Reply: messages.NewReply[messages.UploadOpened](),
	}
	g.System.Root().Send(at.owner.Coordinator, open)
	return open.Reply.WaitOn(g.System.Clock(), s.op, Deadline)
}

// windowFor is how many slabs an upload of the declared size needs.
func (g *Gateway) windowFor(size int64) int {
	most := int64(uploadSlabs)
	if g.Slabs.InUse() > g.Slabs.Total()/8 {
		most /= 2
	}
	if size < 0 {
		return int(most)
	}
	return int(min(most, max(1, (size+slab.Bytes-1)/slab.Bytes)))
}

// stream is one payload on its way to a transfer. Its slabs are free, being
// filled, or with the transfer.
type stream struct {
	gateway  *Gateway
	op       errs.Op
	key      objects.Key
	window   *slab.Window
	transfer *actor.PID
	written  chan messages.ChunkWritten

	sent, answered int
	size           int64
}

// copy sends begun's first n bytes and then body, to its end. The last chunks may
// still be under way then: the transfer writes them before it finishes.
func (s *stream) copy(body io.Reader, begun *slab.Window, n int) error {
	for i, ended := 0, false; !ended; i++ {
		slot := i % s.window.Len()
		if s.sent-s.answered == s.window.Len() {
			if err := s.await(); err != nil {
				return err
			}
		}
		room := s.window.Slab(slot)
		filled := 0
		if i == 0 && begun != nil {
			filled = copy(room, begun.Slab(0)[:n])
		}
		read, err := readFull(body, room[filled:])
		filled += read
		switch err {
		case nil:
		case io.EOF:
			ended = true
		default:
			return err
		}
		if filled > 0 {
			s.gateway.System.Root().Send(s.transfer, &messages.WriteChunk{Slot: slot, Len: filled, Offset: s.size, Written: s.written})
			s.sent++
			s.size += int64(filled)
		}
	}
	return nil
}

// await waits for the oldest chunk under way. Chunks are answered in order, so
// the slab that comes next is free afterwards.
func (s *stream) await() error {
	late, timer := s.gateway.System.Clock().NewTimer(Deadline)
	defer timer.Stop()
	select {
	case w := <-s.written:
		s.answered++
		return w.Err
	case <-late:
		return errs.E(s.op, s.key, errs.Busy, fmt.Errorf("the disk did not take a chunk in %s: %w", Deadline, messages.ErrNoAnswer))
	}
}

// readFull fills room from r. It returns io.EOF only when r has ended, with what
// came before it; a body that ends exactly with room is found out by the next call.
func readFull(r io.Reader, room []byte) (int, error) {
	n := 0
	for n < len(room) {
		read, err := r.Read(room[n:])
		n += read
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
