package intra

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What nodes ask each other: a POST to one of these paths, with a question as the
// body. The answer has status 200 and the value asked for, 409 and a failure, or 421
// where maps differ. Bodies are encoded by encoding/gob: fields may be added, and
// their meaning never changes.
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
	pathConfirm = "/question/confirm"
	pathSettled = "/question/settled"
	// Those of rebalance.go.
	pathHoldings = "/question/holdings"
	pathDrop     = "/question/drop"
)

const (
	questionBytes = 16 << 20 // the largest question: 1000 keys of 1 KiB with conditions of 8 KiB
	answerBytes   = 64 << 20 // the largest answer: a page of records, each with 64 KiB of metadata at the most
)

// about says which bucket a question is about, and under which documents.
type about struct {
	Bucket   string
	Document uint64 // version of the bucket's document
	// ID is the bucket's where the question is about what several nodes keep; else zero.
	ID objects.BucketID
}

// listQuestion is asked at pathList, and answered by gateway.NodePage.
type listQuestion struct {
	About   about
	Map     uint64
	Request gateway.ListRequest
}

// uploadsQuestion is asked at pathUploads, and answered by gateway.NodeUploads.
type uploadsQuestion struct {
	About   about
	Map     uint64
	Request gateway.UploadsRequest
}

// keyQuestion is asked at the other paths.
type keyQuestion struct {
	About           about
	Epoch           smap.Epoch
	Name, VersionID string
	// Conditions of a delete. Size is apart: gob does not tell a pointer to 0 from nil.
	Conditions objects.Conditions
	HasSize    bool
	Size       int64
	// Payload names the bytes that are wanted, of Length from Offset.
	Payload        objects.Generation
	Offset, Length int64
}

// deletesQuestion is asked at pathDeletes, and answered by a deletion's outcome for each.
type deletesQuestion struct {
	About about
	List  []deletion
}

// deletion is one delete, under the epoch of its key. Size is apart, as above.
type deletion struct {
	Epoch           smap.Epoch
	Name, VersionID string
	Conditions      objects.Conditions
	HasSize         bool
	Size            int64
}

// outcome is what became of a deletion.
type outcome struct {
	Done    bool
	Failed  bool
	Failure failure
}

// failure is an error on its way between nodes: its kind, its words, and what callers
// tell apart.
type failure struct {
	Kind      uint8
	Sentinel  string // words of one of the sentinels; empty: none
	Message   string
	Mountpath *messages.MountpathAway
}

// sentinels are the errors that callers tell apart.
func sentinels() []error {
	return []error{
		objects.ErrNoSuchBucket, objects.ErrNoSuchKey, objects.ErrNoSuchVersion, objects.ErrNoSuchUpload, objects.ErrPreconditionFailed,
		objects.ErrObjectName, objects.ErrNameTooLong, objects.ErrOutcomeUnknown, objects.ErrInvalidRange, messages.ErrNoAnswer,
	}
}

func failureOf(err error) failure {
	f := failure{Kind: uint8(errs.KindOf(err)), Message: err.Error()}
	errors.As(err, &f.Mountpath)
	for _, s := range sentinels() {
		if errors.Is(err, s) {
			f.Sentinel = s.Error()
			break
		}
	}
	return f
}

// toldError is a failure of another node.
type toldError struct {
	node, message string
	cause         error // sentinel or mountpath; may be nil
}

// Error implements error.
func (e *toldError) Error() string { return "node " + e.node + ": " + e.message }

// Unwrap returns what callers tell apart.
func (e *toldError) Unwrap() error { return e.cause }

func (f failure) err(node string) error {
	e := &toldError{node: node, message: f.Message}
	if f.Mountpath != nil {
		e.cause = f.Mountpath
	} else if f.Sentinel != "" {
		for _, s := range sentinels() {
			if s.Error() == f.Sentinel {
				e.cause = s
			}
		}
	}
	return errs.E("intra.ask", errs.Kind(f.Kind), e)
}

// question answers what another node asks by itself.
func (s *Server) question(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Request.Header.RequestURI())
	var err error
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
	case pathConfirm:
		err = s.onConfirm(ctx)
	case pathSettled:
		err = s.onSettled(ctx)
	case pathHoldings:
		err = s.onHoldings(ctx)
	case pathDrop:
		err = s.onDrop(ctx)
	default:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
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
		ctx.SetStatusCode(fasthttp.StatusConflict)
	}
}

// read reads a question.
func read(ctx *fasthttp.RequestCtx, question any) error {
	body := ctx.RequestBodyStream()
	if body == nil || ctx.Request.Header.ContentLength() < 0 || ctx.Request.Header.ContentLength() > questionBytes {
		return errs.E("intra.question", errs.Invalid, errors.New("a question has a body of known length"))
	}
	if err := gob.NewDecoder(io.LimitReader(body, questionBytes)).Decode(question); err != nil {
		return errs.E("intra.question", errs.Invalid, err)
	}
	return nil
}

// give makes a value the answer.
func give(ctx *fasthttp.RequestCtx, value any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(value); err != nil {
		return errs.E("intra.give", errs.Internal, err)
	}
	ctx.Response.SetBodyRaw(b.Bytes())
	return nil
}

func (s *Server) nodes() *messages.NodeSet {
	if s.Gateway.Nodes == nil {
		return nil
	}
	return s.Gateway.Nodes.Load()
}

// bucket finds the bucket of a question; where this node has another document of it,
// or none, maps differ.
func (s *Server) bucket(a about) (*objects.BucketDoc, *messages.NodeSet, error) {
	set := s.nodes()
	if set == nil {
		return nil, nil, &messages.MapDiffers{}
	}
	doc, err := s.Gateway.KnownBucket(a.Bucket)
	if err != nil || doc.Version != a.Document || !a.ID.IsZero() && doc.ID != a.ID {
		return nil, nil, &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	return doc, set, nil
}

func (s *Server) onList(ctx *fasthttp.RequestCtx) error {
	var q listQuestion
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
	page, err := s.Gateway.ListOurs(set, bucket, q.Request)
	if err != nil {
		return err
	}
	return give(ctx, page)
}

func (s *Server) onUploads(ctx *fasthttp.RequestCtx) error {
	var q uploadsQuestion
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
	page, err := s.Gateway.ListOurUploads(set, bucket, q.Request)
	if err != nil {
		return err
	}
	return give(ctx, page)
}

func (s *Server) onDeletes(ctx *fasthttp.RequestCtx) error {
	var q deletesQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	list, epochs := make([]gateway.Deletion, len(q.List)), make([]smap.Epoch, len(q.List))
	for i := range q.List {
		d := &q.List[i]
		if d.HasSize {
			d.Conditions.IfSize = &d.Size
		}
		list[i], epochs[i] = gateway.Deletion{Name: d.Name, VersionID: d.VersionID, Conditions: d.Conditions}, d.Epoch
	}
	outcomes := make([]outcome, len(list))
	for i, deleted := range s.Gateway.DeleteAllHere(bucket, list, epochs) {
		outcomes[i].Done = deleted.Done
		if deleted.Err != nil {
			outcomes[i].Failed, outcomes[i].Failure = true, failureOf(deleted.Err)
		}
	}
	return give(ctx, outcomes)
}

func (s *Server) onKey(ctx *fasthttp.RequestCtx, path string) error {
	var q keyQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, set, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	c, err := s.Gateway.Charge(bucket, q.Name)
	if err != nil {
		return err
	}
	if !c.Ours() || c.Epoch != q.Epoch {
		return &messages.MapDiffers{Node: set.Self, Version: set.Version()}
	}
	switch path {
	case pathDelete:
		if q.HasSize {
			q.Conditions.IfSize = &q.Size
		}
		deleted, err := s.Gateway.DeleteHere(bucket, q.Name, q.VersionID, q.Conditions)
		if err != nil {
			return err
		}
		return give(ctx, deleted)
	case pathRecord:
		record, err := s.Gateway.HeadHere(bucket, q.Name, q.VersionID)
		if err != nil {
			return err
		}
		return give(ctx, record)
	}
	return s.sendPayload(ctx, bucket, &q)
}

// sendPayload answers with bytes of a payload.
func (s *Server) sendPayload(ctx *fasthttp.RequestCtx, bucket *objects.BucketDoc, q *keyQuestion) error {
	const op errs.Op = "intra.sendPayload"
	key := objects.Key{Bucket: bucket.Bucket, Name: q.Name}
	object, err := s.Gateway.OpenHere(bucket, q.Name, q.VersionID)
	if err != nil {
		return err
	}
	if object.Meta.Payload != q.Payload {
		object.Close()
		return errs.E(op, key, errs.Busy, errors.New("it was written again meanwhile"))
	}
	if size := object.Meta.Size; q.Offset < 0 || q.Length <= 0 || q.Offset > size || q.Length > size-q.Offset {
		object.Close()
		return errs.E(op, key, errs.Invalid, fmt.Errorf("%w: %d bytes from %d of %d", objects.ErrInvalidRange, q.Length, q.Offset, size))
	}
	object.Send(ctx, q.Offset, q.Length)
	return nil
}
