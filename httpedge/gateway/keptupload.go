package gateway

import (
	"errors"
	"io"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What a node does about uploads at the word of the node in charge of their key.

// KeptUpload is what one node has of an upload.
type KeptUpload struct {
	Upload *objects.Upload // nil: it is not under way there
	Parts  []objects.Part  // by number
	// Became is the object that it became there; nil: what is there is none, or another one.
	Became *objects.Meta
	// Writes is the count of the key's writes there, from before the rest was looked at.
	Writes uint64
}

// ShowUpload returns what this node has of an upload, under an epoch of its key. A
// *messages.MapDiffers: the lanes act on another epoch, or nothing of the key is kept here.
func (g *Gateway) ShowUpload(bucket *objects.BucketDoc, name string, epoch smap.Epoch, uploadID string) (KeptUpload, error) {
	const op errs.Op = "gateway.ShowUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return KeptUpload{}, err
	}
	var kept KeptUpload
	if kept.Writes, err = g.countWrites(op, key); err != nil {
		return KeptUpload{}, err
	}
	if kept.Upload, kept.Parts, err = g.uploadHere(op, key, uploadID); err != nil {
		return KeptUpload{}, err
	}
	record, err := g.recordMarked(op, key)
	if err != nil && !errs.Is(errs.NotFound, err) {
		return KeptUpload{}, err
	}
	if err == nil && !record.Meta.Deleted && record.Meta.Where == objects.Chunks && record.Meta.Path == uploadID {
		kept.Became = record.Meta
	}
	if g.still(op, bucket, key, &fence) != nil {
		return KeptUpload{}, &messages.MapDiffers{Node: fence.Set.Self, Version: fence.Set.Version()}
	}
	return kept, nil
}

// KeepUpload makes what this node has of an upload what the node in charge has, under an
// epoch of the key, but for the parts that lack, whose numbers it returns. Busy: the key
// was written since ShowUpload answered with writes, or an earlier stay of the upload is
// being reclaimed.
func (g *Gateway) KeepUpload(bucket *objects.BucketDoc, epoch smap.Epoch, upload *objects.Upload, parts []objects.Part, writes uint64) ([]int, error) {
	const op errs.Op = "gateway.KeepUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: upload.Name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return nil, err
	}
	return change(g, op, key, func(p *place) ([]int, error) {
		m := &messages.KeepUpload{Key: key, Upload: *upload, Parts: parts, Writes: writes, Fence: p.under(fence), Reply: messages.NewReply[[]int]()}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	})
}

// EndUpload ends an upload that the node in charge does not have, under an epoch of its
// key. That it is not under way here is no failure. Busy: the key was written since
// ShowUpload answered with writes.
func (g *Gateway) EndUpload(bucket *objects.BucketDoc, name string, epoch smap.Epoch, uploadID string, writes uint64) error {
	const op errs.Op = "gateway.EndUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return err
	}
	err = g.abortHere(op, key, uploadID, fence, &writes)
	if errs.Is(errs.NotFound, err) {
		return nil
	}
	return err
}

// AcceptPart keeps a part of an upload as the node in charge of its key has it, under an
// epoch of the key. It has ended with payload, which has a Body, when it returns.
// objects.ErrNoSuchUpload: the upload is not under way here. Otherwise as Accept.
func (g *Gateway) AcceptPart(bucket *objects.BucketDoc, name string, epoch smap.Epoch, uploadID string, p *objects.Part, payload *Arrival) error {
	const op errs.Op = "gateway.AcceptPart"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	fence, err := g.holds(bucket, key, epoch)
	if err != nil {
		return err
	}
	_, err = change(g, op, key, func(at *place) (messages.Stored, error) {
		if err := g.settleUpload(op, key, uploadID, at); err != nil {
			return messages.Stored{}, err
		}
		return g.arrived(op, key, p.Size, payload, func(body io.Reader, window *slab.Window) messages.Reply[messages.Stored] {
			m := &messages.StorePart{Key: key, UploadID: uploadID, Part: *p, Payload: body, Fence: at.under(fence), Window: window, Reply: messages.NewReply[messages.Stored]()}
			g.System.Root().Send(at.owner.Coordinator, m)
			return m.Reply
		})
	})
	switch {
	case errs.Is(errs.NotFound, err), errs.Is(errs.Conflict, err):
		return errs.E(op, key, errs.NotFound, errors.Join(objects.ErrNoSuchUpload, err))
	case err != nil:
		return err
	}
	return g.still(op, bucket, key, &fence)
}

// abortHere ends an upload at this node, at its former mountpath, too. Writes is nil, or
// a count of the key's writes without which it is not done.
func (g *Gateway) abortHere(op errs.Op, key objects.Key, uploadID string, fence messages.Fence, writes *uint64) error {
	abort := func(p *place, view *messages.MountpathView, former bool) error {
		m := &messages.AbortUpload{Key: key, UploadID: uploadID, Former: former, Epoch: p.roster.Epoch, Fence: p.under(fence), Reply: messages.NewReply[struct{}]()}
		if writes != nil && !former {
			m.Counted, m.Writes = true, *writes
		}
		g.System.Root().Send(view.Writer(p.digest), m)
		_, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		return err
	}
	_, err := change(g, op, key, func(p *place) (struct{}, error) {
		wasFormer := false
		if p.former != nil {
			if err := p.former.Closed(); err != nil {
				return struct{}{}, errs.E(op, key, errs.Offline, err)
			}
			err := abort(p, p.former, true)
			if err != nil && !errs.Is(errs.NotFound, err) {
				return struct{}{}, err
			}
			wasFormer = err == nil
		}
		err := abort(p, p.owner, false)
		if wasFormer && errs.Is(errs.NotFound, err) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
