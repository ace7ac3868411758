package intra

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Records that several nodes keep go between them with their payloads. Such a question,
// or answer, is framed: the length of its head in 4 bytes, big-endian, the head in gob,
// and the payload, of the record's size.

// storeQuestion is asked at pathStore, framed, and answered by messages.Stored.
type storeQuestion struct {
	About   about
	Epoch   smap.Epoch
	Name    string
	Record  objects.Meta
	Payload bool // it follows
	Parts   []objects.Part
}

// showQuestion is asked at pathShow, and answered by a shown, framed.
type showQuestion struct {
	About   about
	Epoch   smap.Epoch
	Name    string
	Payload bool // it is wanted
}

// shown answers a showQuestion. The payload follows if it is wanted and there is one.
type shown struct {
	Found   bool
	Record  objects.Meta
	Payload bool
	Parts   []objects.Part
}

// confirmQuestion is asked at pathConfirm, and answered by the places of the keys that
// are denied.
type confirmQuestion struct {
	Map  uint64 // version of who asks
	Keys []confirmation
}

// confirmation is one key of a confirmQuestion.
type confirmation struct {
	About about
	Name  string
	Epoch smap.Epoch
}

// settledQuestion is asked at pathSettled. Its answer says nothing.
type settledQuestion struct {
	About about
	List  []settlement
}

// settlement names a record.
type settlement struct {
	Name       string
	Generation objects.Generation
}

// Times of questions about records of several nodes: who waits is in the way of a key.
const (
	storeTime   = 15 * time.Second // a node whose disk takes as long is about to be found failing
	confirmTime = 5 * time.Second
	// receiveTime is for the end of a payload: its sync, and the key's turn.
	receiveTime = 2 * time.Minute
)

// frameHead is how many bytes come before the head of a frame; a head is at most
// questionBytes long.
const frameHead = 4

// framed returns the frame of a head, to which the payload is to be appended.
func framed(head any) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, frameHead))
	if err := gob.NewEncoder(&b).Encode(head); err != nil {
		return nil, errs.E("intra.framed", errs.Internal, err)
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(b.Len()-frameHead))
	return b.Bytes(), nil
}

// unframe reads a frame up to the payload, which is next in body then.
func unframe(body io.Reader, head any) error {
	var length [frameHead]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > questionBytes {
		return fmt.Errorf("a head of %d bytes", n)
	}
	limited := io.LimitReader(body, int64(n))
	if err := gob.NewDecoder(limited).Decode(head); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, limited)
	return err
}

func aboutKept(b *objects.BucketDoc) about {
	return about{Bucket: b.Name, Document: b.Version, ID: b.ID}
}

// Store implements gateway.Peers.
func (r *Road) Store(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, payload *gateway.Arrival) (messages.Stored, error) {
	q := &storeQuestion{About: aboutKept(bucket), Epoch: c.Epoch, Name: name, Record: *record}
	size := int64(0)
	if payload != nil {
		q.Payload, q.Parts, size = true, payload.Parts, record.Size
	}
	frame, err := framed(q)
	if err != nil {
		return messages.Stored{}, err
	}
	text := append(questionHead(c.Node, pathStore, int64(len(frame))+size), frame...)
	var x *exchange
	if size <= slab.Bytes/2 {
		if size > 0 {
			at := len(text)
			text = append(text, make([]byte, size)...)
			if _, err := io.ReadFull(payload.Body, text[at:]); err != nil {
				return messages.Stored{}, errs.E("intra.Store", errs.IO, err)
			}
		}
		x, err = r.put(c.Node, reads, text, storeTime) // who has it already says so: it may be sent again
	} else {
		x, err = r.stream(c.Node, text, payload.Body, size)
	}
	if err != nil {
		return messages.Stored{}, err
	}
	if x, err = r.granted(x, writes); err != nil {
		return messages.Stored{}, err
	}
	var stored messages.Stored
	return stored, r.value(x, writes, &stored)
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
	x, err := r.exchange(c.Node, pathShow, reads, &showQuestion{About: aboutKept(bucket), Epoch: c.Epoch, Name: name, Payload: payload})
	if err != nil {
		return gateway.Kept{}, err
	}
	body := x.body()
	var s shown
	if err := unframe(body, &s); err != nil {
		return gateway.Kept{}, errors.Join(&messages.NodeAway{Node: c.Node.ID, Reason: "its answer cannot be read: " + err.Error()}, body.Close())
	}
	if !s.Found {
		return gateway.Kept{}, body.Close()
	}
	kept := gateway.Kept{Record: &s.Record, Parts: s.Parts}
	if !s.Payload {
		return kept, body.Close()
	}
	if body.left != s.Record.Size {
		return gateway.Kept{}, errors.Join(&messages.NodeAway{Node: c.Node.ID, Reason: fmt.Sprintf("it sends %d bytes for %d", body.left, s.Record.Size)}, body.Close())
	}
	kept.Body = body
	return kept, nil
}

// Confirm implements gateway.Peers.
func (r *Road) Confirm(set *messages.NodeSet, node *messages.NodeView, keys []gateway.Confirmation) ([]int, error) {
	q := &confirmQuestion{Map: set.Version(), Keys: make([]confirmation, len(keys))}
	for i, k := range keys {
		q.Keys[i] = confirmation{aboutKept(k.Bucket), k.Name, k.Epoch}
	}
	frame, err := framed(q)
	if err != nil {
		return nil, err
	}
	x, err := r.put(node, reads, append(questionHead(node, pathConfirm, int64(len(frame))), frame...), confirmTime)
	if err == nil {
		x, err = r.granted(x, reads)
	}
	if err != nil {
		return nil, err
	}
	var denied []int
	return denied, r.value(x, reads, &denied)
}

// Settled implements gateway.Peers.
func (r *Road) Settled(node *messages.NodeView, bucket *objects.BucketDoc, list []messages.Settlement) error {
	q := &settledQuestion{About: aboutKept(bucket), List: make([]settlement, len(list))}
	for i, l := range list {
		q.List[i] = settlement{l.Key.Name, l.Generation}
	}
	var nothing bool
	return r.ask(node, pathSettled, reads, q, &nothing)
}

// bodyOf is the body of a question, as it comes.
func bodyOf(ctx *fasthttp.RequestCtx) (io.Reader, error) {
	body := ctx.RequestBodyStream()
	if body == nil || ctx.Request.Header.ContentLength() < 0 {
		return nil, errs.E("intra.question", errs.Invalid, errors.New("a question has a body of known length"))
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
	body, err := bodyOf(ctx)
	if err != nil {
		return err
	}
	var q storeQuestion
	if err := unframe(body, &q); err != nil {
		return errs.E("intra.question", errs.Invalid, err)
	}
	var arrival *gateway.Arrival
	if q.Payload {
		arrival = &gateway.Arrival{Parts: q.Parts, Body: io.LimitReader(body, q.Record.Size), Cut: body.(*questionBody).cut}
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
	stored, err := s.Gateway.Accept(bucket, q.Name, q.Epoch, &q.Record, arrival)
	if err != nil {
		return err
	}
	if arrival != nil && !stored.Has {
		ctx.SetConnectionClose() // likewise
	}
	return give(ctx, &stored)
}

func (s *Server) onShow(ctx *fasthttp.RequestCtx) error {
	var q showQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	kept, err := s.Gateway.Show(bucket, q.Name, q.Epoch, q.Payload)
	if err != nil {
		return err
	}
	answer := shown{Found: kept.Record != nil, Payload: kept.Body != nil, Parts: kept.Parts}
	if answer.Found {
		answer.Record = *kept.Record
	}
	frame, err := framed(&answer)
	if err != nil {
		return err
	}
	if kept.Body == nil {
		ctx.Response.SetBodyRaw(frame)
		return nil
	}
	ctx.SetBodyStream(&shownBody{io.MultiReader(bytes.NewReader(frame), kept.Body), kept.Body}, len(frame)+int(answer.Record.Size))
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
	body, err := bodyOf(ctx)
	if err != nil {
		return err
	}
	var q confirmQuestion
	if err := unframe(body, &q); err != nil {
		return errs.E("intra.question", errs.Invalid, err)
	}
	denied := []int{}
	for i, k := range q.Keys {
		bucket, _, err := s.bucket(k.About)
		if err != nil || !s.Gateway.Confirms(bucket, k.Name, k.Epoch) {
			denied = append(denied, i)
		}
	}
	return give(ctx, denied)
}

func (s *Server) onSettled(ctx *fasthttp.RequestCtx) error {
	var q settledQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	list := make([]messages.Settlement, len(q.List))
	for i, l := range q.List {
		list[i] = messages.Settlement{Key: objects.Key{Bucket: bucket.Bucket, Name: l.Name}, Generation: l.Generation}
	}
	if err := s.Gateway.NoteSettled(list); err != nil {
		return err
	}
	return give(ctx, true)
}
