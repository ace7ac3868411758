package intra

import (
	"errors"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What nodes ask each other about uploads that several of them keep.

// What an UploadQuestion wants to be done. The numbers never change.
const (
	showUpload  = 1
	keepUpload  = 2
	endUpload   = 3
	shareUpload = 4
)

// upload puts an UploadQuestion.
func (r *Road) upload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string, does effect, q *wire.UploadQuestion) (*wire.UploadAnswer, error) {
	q.About, q.Epoch, q.Name, q.UploadId = wire.AboutOf(bucket, true), wire.EpochOf(c.Epoch), []byte(name), []byte(uploadID)
	wait := answerTime
	if q.Does == shareUpload { // it may send all parts first
		wait = writeAnswerTime
	}
	x, err := r.exchangeWithin(c.Node, pathUpload, does, q, wait)
	if err != nil {
		return nil, err
	}
	answer := new(wire.UploadAnswer)
	return answer, r.value(x, does, answer)
}

// ShowUpload implements gateway.Peers.
func (r *Road) ShowUpload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string) (gateway.KeptUpload, error) {
	answer, err := r.upload(c, bucket, name, uploadID, reads, &wire.UploadQuestion{Does: showUpload})
	if err != nil {
		return gateway.KeptUpload{}, err
	}
	kept, err := keptUpload(answer)
	return kept, unreadable(c.Node, reads, err)
}

func keptUpload(a *wire.UploadAnswer) (kept gateway.KeptUpload, err error) {
	kept.Writes = a.Writes
	if a.Upload != nil {
		upload, err := a.Upload.Value()
		if err != nil {
			return kept, err
		}
		kept.Upload = &upload
	}
	if kept.Parts, err = wire.Parts(a.Parts); err != nil {
		return kept, err
	}
	kept.Became, err = a.Became.Meta()
	return kept, err
}

// KeepUpload implements gateway.Peers.
func (r *Road) KeepUpload(c gateway.Charge, bucket *objects.BucketDoc, upload *objects.Upload, parts []objects.Part, count uint64) ([]int, error) {
	answer, err := r.upload(c, bucket, upload.Name, upload.ID, writes, &wire.UploadQuestion{
		Does: keepUpload, Upload: wire.UploadOf(upload), Parts: wire.PartsOf(parts), Writes: count,
	})
	if err != nil {
		return nil, err
	}
	return numbers(answer.Missing), nil
}

// EndUpload implements gateway.Peers.
func (r *Road) EndUpload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string, count uint64) error {
	_, err := r.upload(c, bucket, name, uploadID, writes, &wire.UploadQuestion{Does: endUpload, Writes: count})
	return err
}

// ShareUpload implements gateway.Peers.
func (r *Road) ShareUpload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string) error {
	_, err := r.upload(c, bucket, name, uploadID, writes, &wire.UploadQuestion{Does: shareUpload})
	return err
}

// StorePart implements gateway.Peers.
func (r *Road) StorePart(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string, part *objects.Part, payload io.Reader) error {
	q := &wire.PartQuestion{
		About: wire.AboutOf(bucket, true), Epoch: wire.EpochOf(c.Epoch), Name: []byte(name), UploadId: []byte(uploadID),
		Part: wire.PartsOf([]objects.Part{*part})[0],
	}
	text, err := framedQuestion(c.Node, pathPart, q, part.Size)
	if err != nil {
		return err
	}
	return r.store(c.Node, text, payload, part.Size, new(wire.Nothing))
}

// HeldUploads implements gateway.Peers.
func (r *Road) HeldUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.HeldUploadsRequest) (*gateway.HeldUploads, error) {
	q := &wire.HeldUploadsQuestion{
		About: wire.AboutOf(bucket, true), Map: set.Version(), Asker: request.Asker, Next: request.Next,
		AfterName: []byte(request.AfterName), AfterId: []byte(request.AfterID), From: uint32(request.From), To: uint32(request.To),
	}
	var answer wire.HeldUploadsAnswer
	if err := r.ask(node, pathHeldUploads, reads, q, &answer); err != nil {
		return nil, err
	}
	page := &gateway.HeldUploads{AfterName: string(answer.AfterName), AfterID: string(answer.AfterId), More: answer.More}
	for _, u := range answer.Uploads {
		page.Uploads = append(page.Uploads, messages.UploadName{Name: string(u.Name), ID: string(u.Id)})
	}
	return page, nil
}

func (s *Server) onUpload(ctx *fasthttp.RequestCtx) error {
	var q wire.UploadQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, set, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	name, id, epoch := string(q.Name), string(q.UploadId), q.Epoch.Value()
	var answer wire.UploadAnswer
	switch q.Does {
	case showUpload:
		kept, err := s.Gateway.ShowUpload(bucket, name, epoch, id)
		if err != nil {
			return err
		}
		answer.Parts, answer.Became, answer.Writes = wire.PartsOf(kept.Parts), wire.RecordOf(kept.Became), kept.Writes
		if kept.Upload != nil {
			answer.Upload = wire.UploadOf(kept.Upload)
		}
	case keepUpload:
		upload, parts, err := toKeep(&q)
		if err != nil {
			return invalid(q.About, err)
		}
		missing, err := s.Gateway.KeepUpload(bucket, epoch, upload, parts, q.Writes)
		if err != nil {
			return err
		}
		answer.Missing = numbersOf(missing)
	case endUpload:
		if err := s.Gateway.EndUpload(bucket, name, epoch, id, q.Writes); err != nil {
			return err
		}
	case shareUpload:
		c, err := s.Gateway.Charge(bucket, name)
		if err != nil {
			return err
		}
		if !c.Ours() || c.Epoch != epoch {
			return &messages.MapDiffers{Node: set.Self, Version: set.Version()}
		}
		if err := s.Gateway.ShareUpload(bucket, c, name, id); err != nil {
			return err
		}
	default:
		return invalid(q.About, errors.New("this node does not know what is to be done with an upload; is it of an older version?"))
	}
	return give(ctx, &answer)
}

// toKeep is what an UploadQuestion has to be kept.
func toKeep(q *wire.UploadQuestion) (*objects.Upload, []objects.Part, error) {
	if q.Upload == nil {
		return nil, nil, errors.New("there is no upload to be kept")
	}
	upload, err := q.Upload.Value()
	if err != nil {
		return nil, nil, err
	}
	if upload.Name != string(q.Name) || upload.ID != string(q.UploadId) {
		return nil, nil, errors.New("the upload to be kept is another one")
	}
	parts, err := wire.Parts(q.Parts)
	return &upload, parts, err
}

func (s *Server) onPart(ctx *fasthttp.RequestCtx) (err error) {
	body, err := timedBody(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx.SetConnectionClose() // what was not read of the payload
		}
	}()
	var q wire.PartQuestion
	if err := unframe(body, &q); err != nil {
		return errs.E("intra.question", pathPart, errs.Invalid, err)
	}
	if q.Part == nil {
		return invalid(q.About, errors.New("there is no part to be stored"))
	}
	parts, err := wire.Parts([]*wire.Part{q.Part})
	if err != nil {
		return invalid(q.About, err)
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	arrival := &gateway.Arrival{Body: io.LimitReader(body, parts[0].Size), Cut: body.cut}
	if err := s.Gateway.AcceptPart(bucket, string(q.Name), q.Epoch.Value(), string(q.UploadId), &parts[0], arrival); err != nil {
		return err
	}
	return give(ctx, new(wire.Nothing))
}

func (s *Server) onHeldUploads(ctx *fasthttp.RequestCtx) error {
	var q wire.HeldUploadsQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	set, err := s.laneMap(q.Map)
	if err != nil {
		return err
	}
	if q.From > q.To || q.To >= smap.Slots {
		return invalid(q.About, errors.New("there are no such slots"))
	}
	page, err := s.Gateway.HeldUploads(set, bucket, gateway.HeldUploadsRequest{
		Asker: q.Asker, Next: q.Next, AfterName: string(q.AfterName), AfterID: string(q.AfterId), From: uint16(q.From), To: uint16(q.To),
	})
	if err != nil {
		return err
	}
	answer := &wire.HeldUploadsAnswer{AfterName: []byte(page.AfterName), AfterId: []byte(page.AfterID), More: page.More}
	for _, u := range page.Uploads {
		answer.Uploads = append(answer.Uploads, &wire.UploadName{Name: []byte(u.Name), Id: []byte(u.ID)})
	}
	return give(ctx, answer)
}
