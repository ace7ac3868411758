package gateway

import (
	"cmp"
	"errors"
	"io"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// StageSlice is SliceKeeper.StageSlice at this node.
func (g *Gateway) StageSlice(bucket *objects.BucketDoc, name string, s *SliceStage, cells *Arrival) (SliceStaged, error) {
	const op errs.Op = "gateway.StageSlice"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	m := &messages.StageSlice{
		Key: key, Payload: s.Payload, Form: s.Form, Index: s.Index, Offset: s.Offset, Length: s.Length, SizeHint: -1,
		Last: s.Last, UploadID: s.UploadID, Part: s.Part, Reply: messages.NewReply[messages.Staged](),
	}
	count := func() int64 { return 0 }
	if cells != nil && cells.Body != nil {
		window, err := g.Slabs.Lease(g.windowFor(s.Length))
		if err != nil {
			return SliceStaged{}, errs.E(op, key, err)
		}
		defer window.Release()
		body := &lent{from: cells.Body}
		defer body.end(cells.Cut)
		m.Cells, m.Window, count = io.Reader(body), window, body.count
	}
	within := cmp.Or(s.Stall, Deadline)
	if s.Last != nil {
		within = max(within, sealTime)
	}
	staged, err := change(g, op, key, func(p *place) (messages.Staged, error) {
		g.System.Root().Send(p.owner.Coordinator, m)
		for before := int64(-1); ; {
			staged, err := m.Reply.WaitOn(g.System.Clock(), op, within)
			read := count()
			if !errors.Is(err, messages.ErrNoAnswer) || read == before {
				return staged, err
			}
			before = read
		}
	})
	return SliceStaged{Offset: staged.Offset, Sealed: staged.Sealed}, err
}

// AbandonStage is SliceKeeper.AbandonStage at this node.
func (g *Gateway) AbandonStage(bucket *objects.BucketDoc, name string, payload objects.Generation) error {
	const op errs.Op = "gateway.AbandonStage"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	_, err := change(g, op, key, func(p *place) (struct{}, error) {
		m := &messages.AbandonStage{Key: key, Payload: payload, Reply: messages.NewReply[struct{}]()}
		g.System.Root().Send(p.owner.Coordinator, m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
	return err
}
