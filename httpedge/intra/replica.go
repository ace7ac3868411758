package intra

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Records that several nodes keep go between them with their payloads, framed.

// Times of questions about records of several nodes: who waits is in the way of a key.
const (
	storeTime   = 15 * time.Second // a node whose disk takes as long is about to be found failing
	confirmTime = 5 * time.Second
	// receiveTime is for the end of a payload: its sync, and the key's turn.
	receiveTime = 2 * time.Minute
)

// Store implements gateway.Peers.
func (r *Road) Store(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, payload *gateway.Arrival) (messages.Stored, error) {
	q := &wire.StoreQuestion{About: wire.AboutOf(bucket, true), Epoch: wire.EpochOf(c.Epoch), Name: []byte(name), Record: wire.RecordOf(record), ToEqual: c.Sends == messages.ToEqual, Origin: wire.OriginOf(&c.For)}
	size := int64(0)
	var body io.Reader
	if payload != nil {
		q.Parts, body = wire.PartsOf(payload.Parts), payload.Body
	}
	if body != nil {
		q.Payload, size = true, record.Size
	}
	text, err := framedQuestion(c.Node, pathStore, q, size)
	if err != nil {
		return messages.Stored{}, err
	}
	var answer wire.StoreAnswer
	if err := r.store(c.Node, text, body, size, &answer); err != nil {
		return messages.Stored{}, err
	}
	has, err := stored(&answer)
	return has, unreadable(c.Node, writes, err)
}

// store puts a question that a payload follows, and reads the answer.
func (r *Road) store(node *messages.NodeView, text []byte, payload io.Reader, size int64, answer any) error {
	var x *exchange
	var err error
	if size <= slab.Bytes/2 {
		if size > 0 {
			at := len(text)
			text = slices.Grow(text, int(size))[:at+int(size)]
			if _, err := io.ReadFull(payload, text[at:]); err != nil {
				return errs.E("intra.Store", errs.IO, err)
			}
		}
		x, err = r.put(node, reads, text, storeTime) // who has it already says so: it may be sent again
	} else {
		x, err = r.stream(node, text, payload, size)
	}
	if err != nil {
		return err
	}
	if x, err = r.granted(x, writes); err != nil {
		return err
	}
	return r.value(x, writes, answer)
}

// framedQuestion is the text of a question whose message is framed, up to the payload,
// which has so many bytes.
func framedQuestion(node *messages.NodeView, path string, question wire.Message, payload int64) ([]byte, error) {
	length := frameHead + int64(question.SizeVT())
	return appendFrame(questionHead(node, path, length+payload), question)
}

// stream sends a question and then the payload that follows it, and reads the head of
// the answer, which may come before all was sent.
func (r *Road) stream(node *messages.NodeView, text []byte, payload io.Reader, size int64) (*exchange, error) {
	window, err := r.Slabs.Lease(1)
	if err != nil {
		return nil, errs.E("intra.Store", err)
	}
	defer window.Release()
	x, err := r.begin(node, false)
	if err != nil {
		return nil, err
	}
	lost := func(err error) (*exchange, error) {
		x.drop()
		return nil, &messages.NodeAway{Node: node.ID, Reason: err.Error(), Begun: true}
	}
	wait := receiveTime
	err = x.send(text)
	for room, left := window.Slab(0), size; err == nil && left > 0; {
		part := room[:min(int64(len(room)), left)]
		if _, err := io.ReadFull(payload, part); err != nil {
			x.drop()
			return nil, errs.E("intra.Store", errs.IO, err)
		}
		left -= int64(len(part))
		err = x.send(part)
	}
	if err != nil {
		wait = lastWords // it takes no more. It may have said why
	}
	if deadlineErr := x.SetReadDeadline(within(wait)); deadlineErr != nil {
		return lost(errors.Join(err, deadlineErr))
	}
	if answerErr := x.answer(); answerErr != nil {
		return lost(errors.Join(err, answerErr))
	}
	if err != nil {
		x.head.SetConnectionClose()
	}
	return x, nil
}

// Show implements gateway.Peers.
func (r *Road) Show(c gateway.Charge, bucket *objects.BucketDoc, name string, payload bool) (gateway.Kept, error) {
	q := &wire.ShowQuestion{About: wire.AboutOf(bucket, true), Epoch: wire.EpochOf(c.Epoch), Name: []byte(name), Payload: payload}
	x, err := r.exchangeWithin(c.Node, pathShow, reads, q, cmp.Or(c.Within, answerTime))
	if err != nil {
		return gateway.Kept{}, err
	}
	body := x.body()
	kept, follows, err := readKept(body)
	if err == nil && follows && body.left != kept.Record.Size {
		err = fmt.Errorf("it sends %d bytes for %d", body.left, kept.Record.Size)
	}
	if err != nil {
		return gateway.Kept{}, errors.Join(unreadable(c.Node, reads, err), body.Close())
	}
	if !follows {
		return kept, body.Close()
	}
	kept.Body = body
	return kept, nil
}

// readKept reads what a node has of a key, up to the payload, and whether that follows.
func readKept(body io.Reader) (kept gateway.Kept, follows bool, err error) {
	var a wire.ShowAnswer
	if err := unframe(body, &a); err != nil {
		return gateway.Kept{}, false, err
	}
	if kept.Record, err = a.Record.Meta(); err != nil {
		return gateway.Kept{}, false, err
	}
	if kept.Parts, err = wire.Parts(a.Parts); err != nil {
		return gateway.Kept{}, false, err
	}
	if a.Payload && kept.Record == nil {
		return gateway.Kept{}, false, errors.New("a payload without a record")
	}
	return kept, a.Payload, nil
}

// Confirm implements gateway.Peers.
func (r *Road) Confirm(set *messages.NodeSet, node *messages.NodeView, keys []gateway.Confirmation) ([]int, error) {
	q := &wire.ConfirmQuestion{Map: set.Version(), Keys: make([]*wire.Confirmation, len(keys))}
	for i, k := range keys {
		q.Keys[i] = &wire.Confirmation{About: wire.AboutOf(k.Bucket, true), Name: []byte(k.Name), Epoch: wire.EpochOf(k.Epoch)}
	}
	text, err := framedQuestion(node, pathConfirm, q, 0)
	if err != nil {
		return nil, err
	}
	x, err := r.put(node, reads, text, confirmTime)
	if err == nil {
		x, err = r.granted(x, reads)
	}
	if err != nil {
		return nil, err
	}
	var answer wire.ConfirmAnswer
	if err := r.value(x, reads, &answer); err != nil {
		return nil, err
	}
	denied := make([]int, len(answer.Denied))
	for i, place := range answer.Denied {
		if int64(place) >= int64(len(keys)) {
			return nil, unreadable(node, reads, fmt.Errorf("it denies key %d of %d", place, len(keys)))
		}
		denied[i] = int(place)
	}
	return denied, nil
}

// Settled implements gateway.Peers.
func (r *Road) Settled(node *messages.NodeView, bucket *objects.BucketDoc, list []messages.Settlement) error {
	q := &wire.SettledQuestion{About: wire.AboutOf(bucket, true), List: make([]*wire.Settlement, len(list))}
	for i, l := range list {
		q.List[i] = &wire.Settlement{Name: []byte(l.Key.Name), Generation: wire.GenerationOf(l.Generation)}
	}
	return r.ask(node, pathSettled, reads, q, new(wire.Nothing))
}

// timedBody is the body of a question, as it comes.
func timedBody(ctx *fasthttp.RequestCtx) (*questionBody, error) {
	body, _, err := bodyOf(ctx)
	if err != nil {
		return nil, err
	}
	return &questionBody{ctx, body}, nil
}

// questionBody reads the body of a question. Each read has its time.
type questionBody struct {
	ctx  *fasthttp.RequestCtx
	from io.Reader
}

// Read implements io.Reader.
func (b *questionBody) Read(room []byte) (int, error) {
	if err := b.ctx.SetReadDeadline(within(stallTime)); err != nil {
		return 0, err
	}
	return b.from.Read(room)
}

// cut has a read that waits return.
func (b *questionBody) cut() { _ = b.ctx.Conn().SetReadDeadline(time.Unix(1, 0)) } // a connection that is gone ends the read, too

func (s *Server) onStore(ctx *fasthttp.RequestCtx) (err error) {
	body, err := timedBody(ctx)
	if err != nil {
		return err
	}
	var q wire.StoreQuestion
	if err := unframe(body, &q); err != nil {
		return errs.E("intra.question", pathStore, errs.Invalid, err)
	}
	record, parts, err := arriving(&q)
	if err != nil {
		return invalid(q.About, err)
	}
	var arrival *gateway.Arrival
	if !q.Payload && parts != nil {
		arrival = &gateway.Arrival{Parts: parts}
	}
	if q.Payload {
		arrival = &gateway.Arrival{Parts: parts, Body: io.LimitReader(body, record.Size), Cut: body.cut}
		defer func() {
			if err != nil {
				ctx.SetConnectionClose() // what was not read of the payload
			}
		}()
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	accept := s.Gateway.Accept
	if q.ToEqual {
		accept = s.Gateway.AcceptEqual
	}
	stored, err := accept(bucket, string(q.Name), q.Epoch.Value(), record, arrival, q.Origin.Value())
	if err != nil {
		return err
	}
	if q.Payload && !stored.Has {
		ctx.SetConnectionClose() // likewise
	}
	return give(ctx, storeAnswer(&stored))
}

// arriving is what a StoreQuestion holds.
func arriving(q *wire.StoreQuestion) (*objects.Meta, []objects.Part, error) {
	record, err := q.Record.Meta()
	if err != nil {
		return nil, nil, err
	}
	if record == nil {
		return nil, nil, errors.New("there is no record to be stored")
	}
	parts, err := wire.Parts(q.Parts)
	return record, parts, err
}

func (s *Server) onShow(ctx *fasthttp.RequestCtx) error {
	var q wire.ShowQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	kept, err := s.Gateway.Show(bucket, string(q.Name), q.Epoch.Value(), q.Payload)
	if err != nil {
		return err
	}
	frame, err := appendFrame(nil, &wire.ShowAnswer{Record: wire.RecordOf(kept.Record), Payload: kept.Body != nil, Parts: wire.PartsOf(kept.Parts)})
	if err != nil {
		if kept.Body != nil {
			err = errors.Join(err, kept.Body.Close())
		}
		return err
	}
	if kept.Body == nil {
		ctx.Response.SetBodyRaw(frame)
		return nil
	}
	ctx.SetBodyStream(&shownBody{io.MultiReader(bytes.NewReader(frame), kept.Body), kept.Body}, len(frame)+int(kept.Record.Size))
	return nil
}

// shownBody is the answer to a showQuestion.
type shownBody struct {
	io.Reader
	payload io.Closer
}

// Close implements io.Closer.
func (b *shownBody) Close() error { return b.payload.Close() }

func (s *Server) onConfirm(ctx *fasthttp.RequestCtx) error {
	body, err := timedBody(ctx)
	if err != nil {
		return err
	}
	var q wire.ConfirmQuestion
	if err := unframe(body, &q); err != nil {
		return errs.E("intra.question", pathConfirm, errs.Invalid, err)
	}
	var answer wire.ConfirmAnswer
	for i, k := range q.Keys {
		bucket, _, err := s.bucket(k.About)
		if err != nil || !s.Gateway.Confirms(bucket, string(k.Name), k.Epoch.Value()) {
			answer.Denied = append(answer.Denied, uint32(i))
		}
	}
	return give(ctx, &answer)
}

func (s *Server) onSettled(ctx *fasthttp.RequestCtx) error {
	var q wire.SettledQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	list := make([]messages.Settlement, len(q.List))
	for i, l := range q.List {
		list[i] = messages.Settlement{Key: objects.Key{Bucket: bucket.Bucket, Name: string(l.Name)}, Generation: l.Generation.Value()}
	}
	if err := s.Gateway.NoteSettled(list); err != nil {
		return err
	}
	return give(ctx, new(wire.Nothing))
}
