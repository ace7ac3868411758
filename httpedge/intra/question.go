package intra

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What nodes ask each other: a POST to one of these paths, with a question as the
// body. The answer has status 200 and the value asked for, 409 and a failure, 404 and
// a failure that says that there is no such question, or 421 where maps differ. What
// bodies look like is in frame.go.
const (
	pathList    = "/question/list"
	pathUploads = "/question/uploads"
	pathDelete  = "/question/delete"
	pathDeletes = "/question/deletes"
	pathRecord  = "/question/record"
	pathPayload = "/question/payload"
	// Those of replica.go.
	pathStore   = "/question/store"
	pathShow    = "/question/show"
	pathGive    = "/question/give"
	pathConfirm = "/question/confirm"
	pathSettled = "/question/settled"
	// Those of rebalance.go.
	pathHoldings = "/question/holdings"
	pathDrop     = "/question/drop"
	// Those of upload.go.
	pathUpload      = "/question/upload"
	pathPart        = "/question/part"
	pathHeldUploads = "/question/helduploads"
	// That of history.go.
	pathHistory = "/question/history"
	// Those of stage.go and slice.go.
	pathStage   = "/question/stage"
	pathUnstage = "/question/unstage"
	pathSlice   = "/question/slice"
	pathSlices  = "/question/slices"
	pathBuild   = "/question/build"
)

// Outcomes of single deletes of a list, as wire.Outcome has them.
const (
	outcomeOpen = 1 // nothing was changed, and the key is still to be deleted
	outcomeDone = 2
)

// question answers what another node asks by itself.
func (s *Server) question(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Request.Header.RequestURI())
	var err error
	failed := fasthttp.StatusConflict
	switch path {
	case pathList:
		err = s.onList(ctx)
	case pathUploads:
		err = s.onUploads(ctx)
	case pathDeletes:
		err = s.onDeletes(ctx)
	case pathDelete, pathRecord, pathPayload:
		err = s.onKey(ctx, path)
	case pathStore:
		err = s.onStore(ctx)
	case pathShow:
		err = s.onShow(ctx)
	case pathGive:
		err = s.onGive(ctx)
	case pathConfirm:
		err = s.onConfirm(ctx)
	case pathSettled:
		err = s.onSettled(ctx)
	case pathHoldings:
		err = s.onHoldings(ctx)
	case pathDrop:
		err = s.onDrop(ctx)
	case pathUpload:
		err = s.onUpload(ctx)
	case pathPart:
		err = s.onPart(ctx)
	case pathHeldUploads:
		err = s.onHeldUploads(ctx)
	case pathHistory:
		err = s.onHistory(ctx)
	case pathStage, pathUnstage, pathSlice, pathSlices, pathBuild:
		if s.Slices == nil {
			failed, err = fasthttp.StatusNotFound, unknownQuestion(path)
			break
		}
		err = s.onSlices(ctx, path)
	default:
		failed, err = fasthttp.StatusNotFound, unknownQuestion(path)
	}
	var differs *messages.MapDiffers
	switch {
	case errors.As(err, &differs):
		refuse(ctx, s.nodes())
	case err != nil:
		ctx.Response.Reset()
		if encodeErr := give(ctx, failureOf(err)); encodeErr != nil {
			ctx.SetStatusCode(fasthttp.StatusInternalServerError)
			return
		}
		ctx.SetStatusCode(failed)
	}
}

func unknownQuestion(path string) error {
	return errs.E("intra.question", path, errs.Invalid, errors.New("this node knows no such question; is it of an older version?"))
}

func (s *Server) nodes() *messages.NodeSet {
	if s.Gateway.Nodes == nil {
		return nil
	}
	return s.Gateway.Nodes.Load()
}

// bucket finds the bucket of a question; where this node does not know it, maps differ.
func (s *Server) bucket(a *wire.About) (*objects.BucketDoc, *messages.NodeSet, error) {
	set := s.nodes()
	if set == nil {
		return nil, nil, &messages.MapDiffers{}
	}
	id, err := a.BucketID()
	if err != nil {
		return nil, nil, errs.E("intra.question", a.GetBucket(), errs.Invalid, err)
	}
	doc, err := s.Gateway.KnownBucket(a.GetBucket())
	if err != nil || !id.IsZero() && doc.ID != id {
		return nil, nil, &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	return doc, set, nil
}

// invalid is a question that can be read and makes no sense.
func invalid(about *wire.About, err error) error {
	return errs.E("intra.question", about.GetBucket(), errs.Invalid, err)
}

func (s *Server) onList(ctx *fasthttp.RequestCtx) error {
	var q wire.ListQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, set, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	if set.Version() != q.Map {
		return &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	request, err := listRequest(&q)
	if err != nil {
		return invalid(q.About, err)
	}
	page, err := s.Gateway.ListOurs(set, bucket, request)
	if err != nil {
		return err
	}
	return give(ctx, listAnswer(page))
}

func (s *Server) onUploads(ctx *fasthttp.RequestCtx) error {
	var q wire.UploadsQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, set, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	if set.Version() != q.Map {
		return &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	request, err := uploadsRequest(&q)
	if err != nil {
		return invalid(q.About, err)
	}
	page, err := s.Gateway.ListOurUploads(set, bucket, request)
	if err != nil {
		return err
	}
	return give(ctx, uploadsAnswer(page))
}

func (s *Server) onDeletes(ctx *fasthttp.RequestCtx) error {
	var q wire.DeletesQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	list, epochs := make([]gateway.Deletion, len(q.List)), make([]smap.Epoch, len(q.List))
	for i, d := range q.List {
		list[i] = gateway.Deletion{Name: string(d.Name), VersionID: string(d.VersionId), Conditions: d.Conditions.Value()}
		epochs[i] = d.Epoch.Value()
	}
	answer := &wire.DeletesAnswer{Outcomes: make([]*wire.Outcome, len(list))}
	for i, deleted := range s.Gateway.DeleteAllHere(bucket, list, epochs, q.Origin.Value()) {
		answer.Outcomes[i] = &wire.Outcome{State: outcomeOpen}
		if deleted.Done {
			answer.Outcomes[i].State = outcomeDone
		}
		if deleted.Err != nil {
			answer.Outcomes[i].Failure = failureOf(deleted.Err)
		}
	}
	return give(ctx, answer)
}

func (s *Server) onKey(ctx *fasthttp.RequestCtx, path string) error {
	var q wire.KeyQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, set, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	name, versionID := string(q.Name), string(q.VersionId)
	c, err := s.Gateway.Charge(bucket, name)
	if err != nil {
		return err
	}
	if !c.Ours() || c.Epoch != q.Epoch.Value() {
		return &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	switch path {
	case pathDelete:
		deleted, err := s.Gateway.DeleteHere(bucket, name, versionID, q.Conditions.Value(), q.Origin.Value())
		if err != nil {
			return err
		}
		return give(ctx, deletedAnswer(&deleted))
	case pathRecord:
		record, err := s.Gateway.HeadHere(bucket, name, versionID)
		if err != nil {
			return err
		}
		return give(ctx, wire.RecordOf(record))
	}
	return s.sendPayload(ctx, bucket, &q)
}

// sendPayload answers with bytes of a payload.
func (s *Server) sendPayload(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, q *wire.KeyQuestion) error {
	const op errs.Op = "intra.sendPayload"
	key := objects.Key{Bucket: bucket.Bucket, Name: string(q.Name)}
	object, err := s.Gateway.OpenHere(bucket, key.Name, string(q.VersionId))
	if err != nil {
		return err
	}
	if object.Meta.Payload != q.Payload.Value() {
		object.Close()
		return errs.E(op, key, errs.Busy, errors.New("it was written again meanwhile"))
	}
	return sendRange(ctx, op, key, object, q)
}
