package intra

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Give implements gateway.Peers.
func (r *Road) Give(node *messages.NodeView, bucket *objects.BucketDoc, name string, record *objects.Meta, wanted gateway.Wanted) (io.ReadCloser, error) {
	q := &wire.KeyQuestion{About: wire.AboutOf(bucket, true), Name: []byte(name), Payload: wire.GenerationOf(record.Payload), Offset: wanted.Offset, Length: wanted.Length}
	x, err := r.exchangeWithin(node, pathGive, reads, q, cmp.Or(wanted.Begin, answerTime))
	if err != nil {
		return nil, err
	}
	body := x.body()
	if body.size != wanted.Length {
		return nil, errors.Join(&messages.NodeAway{Node: node.ID, Reason: fmt.Sprintf("it sent %d bytes for %d", body.size, wanted.Length)}, body.Close())
	}
	body.stall = cmp.Or(wanted.Stall, stallTime)
	return body, nil
}

// onGive answers with bytes of a payload that this node has, whoever is in charge of its
// key: a payload never changes, and so no map is asked.
func (s *Server) onGive(ctx *fasthttp.RequestCtx) error {
	const op errs.Op = "intra.onGive"
	var q wire.KeyQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	object, err := s.Gateway.OpenKept(bucket, string(q.Name), q.Payload.Value())
	if err != nil {
		return err
	}
	return sendRange(ctx, op, objects.Key{Bucket: bucket.Bucket, Name: string(q.Name)}, object, &q)
}

// sendRange answers with the bytes that a question asks for, and takes over the object.
func sendRange(ctx *fasthttp.RequestCtx, op errs.Op, key objects.Key, object *gateway.Object, q *wire.KeyQuestion) error {
	if size := object.Meta.Size; q.Offset < 0 || q.Length <= 0 || q.Offset > size || q.Length > size-q.Offset {
		object.Close()
		return errs.E(op, key, errs.Invalid, fmt.Errorf("%w: %d bytes from %d of %d", objects.ErrInvalidRange, q.Length, q.Offset, size))
	}
	if err := object.Begin(q.Offset, q.Length); err != nil {
		object.Close()
		return err
	}
	object.Send(ctx, q.Offset, q.Length)
	return nil
}
