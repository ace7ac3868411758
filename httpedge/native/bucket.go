package native

import (
	"encoding/json"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects"
)

// actionBytes bounds the body of a control request.
const actionBytes = 1 << 20

// buckets answers everything at and below /v1/buckets.
func buckets(r *Request) error {
	return Verbs{get: bucketGet, head: headBucket, post: bucketPost, put: bucketPut, patch: bucketPatch, remove: bucketDelete}.Handle(r)
}

// action reads the action message; an empty body is an empty message.
func (r *Request) action() (ais.Action, error) {
	var message ais.Action
	body, err := r.Body(actionBytes)
	if err != nil || len(body) == 0 {
		return message, err
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return message, Refuse(fasthttp.StatusBadRequest, "", "the body of %s %s is not an action message: %v", r.method, r.path, err)
	}
	return message, nil
}

// value reads the value of an action message; null and nothing leave it as it is.
func (r *Request) value(message ais.Action, value any) error {
	if len(message.Value) == 0 {
		return nil
	}
	if err := json.Unmarshal(message.Value, value); err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the value of action %q is not what is expected: %v", message.Action, err)
	}
	return nil
}

// bucket reads the bucket that the path names, and nothing behind it.
func (r *Request) bucket() (ais.Bucket, error) {
	segments, err := r.Segments()
	if err != nil {
		return ais.Bucket{}, err
	}
	if len(segments) != 1 {
		return ais.Bucket{}, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: it must name one bucket and nothing behind it", r.path)
	}
	if strings.Contains(segments[0], "/") {
		return ais.Bucket{}, Refuse(fasthttp.StatusBadRequest, "", "invalid bucket name %q", segments[0])
	}
	return r.bucketNamed(segments[0])
}

// unknown answers an action that is none of this verb's: those that AIStore has
// are not implemented, others are not valid.
func unknown(action string) error {
	switch action {
	case ais.ActionMoveBucket, ais.ActionCopyBucket, ais.ActionTransformBucket, ais.ActionEvictBucket, ais.ActionSummary,
		ais.ActionShardSummary, ais.ActionCopyList, ais.ActionTransformList, ais.ActionPrefetchList, ais.ActionDeleteList,
		ais.ActionEvictList, ais.ActionMakeCopies, ais.ActionErasureCode, ais.ActionRechunk, ais.ActionIndexShard,
		ais.ActionCreateInventory, ais.ActionShowInventory, ais.ActionDropInventory, ais.ActionArchive, ais.ActionRename,
		ais.ActionCheckLock, ais.ActionPromote, ais.ActionBlobDownload:
		return Refuse(fasthttp.StatusNotImplemented, typeNotImplemented, "action %q is not implemented", action)
	}
	return Refuse(fasthttp.StatusBadRequest, "", "invalid action %q", action)
}

// bucketGet lists buckets, or the objects of one.
func bucketGet(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	segments, err := r.Segments()
	if err != nil {
		return err
	}
	switch {
	case message.Action != ais.ActionList && (message.Action != "" || len(segments) > 0):
		return unknown(message.Action)
	case len(segments) == 0:
		return r.listBuckets(message)
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	return r.listObjects(bucket, message)
}

// actions is a table from the name of an action on one bucket to what does it.
type actions map[string]func(*Request, ais.Bucket, ais.Action) error

// handle reads the action message and the bucket, and follows the table.
func (a actions) handle(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	if do := a[message.Action]; do != nil {
		return do(r, bucket, message)
	}
	return unknown(message.Action)
}

func bucketPost(r *Request) error {
	return actions{ais.ActionCreateBucket: (*Request).createBucket, ais.ActionList: (*Request).listObjects}.handle(r)
}

// bucketPut has nothing that is implemented.
func bucketPut(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	return unknown(message.Action)
}

func bucketPatch(r *Request) error {
	return actions{ais.ActionSetProps: (*Request).setProps, ais.ActionResetProps: (*Request).setProps}.handle(r)
}

func bucketDelete(r *Request) error {
	return actions{
		ais.ActionDestroyBucket: (*Request).destroyBucket,
		ais.ActionEvictBucket:   (*Request).evict, ais.ActionEvictList: (*Request).evict,
	}.handle(r)
}

// setProps changes the properties of a bucket, or puts them back to the defaults.
func (r *Request) setProps(bucket ais.Bucket, message ais.Action) error {
	doc, err := r.find(bucket)
	if err != nil {
		return err
	}
	// S3's, which is not this API's to change, and what takes a plan.
	wanted := doc.Wanted()
	next := objects.BucketProps{Versioning: wanted.Versioning, Copies: wanted.Copies, MinCopies: wanted.MinCopies}
	if message.Action == ais.ActionSetProps {
		if next, err = changedProps(doc, message.Value); err != nil {
			return err
		}
	}
	_, err = r.h.Gateway.SetBucketProps(r.Context(), bucket.Name, next)
	return explain(err, target{bucket: bucket})
}

// destroyBucket destroys a bucket with all that is in it.
func (r *Request) destroyBucket(bucket ais.Bucket, _ ais.Action) error {
	if _, err := r.find(bucket); err != nil {
		return err
	}
	return explain(r.h.Gateway.DestroyBucket(r.Context(), bucket.Name), target{bucket: bucket})
}

// evict refuses: no bucket has a backend.
func (r *Request) evict(bucket ais.Bucket, _ ais.Action) error {
	if _, err := r.find(bucket); err != nil {
		return err
	}
	return Refuse(fasthttp.StatusBadRequest, "", "bucket %q has no backend to evict to", bucket)
}

// createBucket makes a bucket, perhaps with properties.
func (r *Request) createBucket(bucket ais.Bucket, message ais.Action) error {
	if err := objects.CheckBucketName(bucket.Name); err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "%v", err)
	}
	switch {
	case bucket.Provider != ais.ProviderAIS:
		return Refuse(fasthttp.StatusNotImplemented, typeNotImplemented, "cannot create %s bucket %q: no backend is configured", bucket.Provider, bucket)
	case bucket.Namespace.UUID != "":
		return noSuchBucket(bucket)
	case !bucket.Namespace.IsGlobal():
		return Refuse(fasthttp.StatusNotImplemented, typeNotImplemented, "cannot create bucket %q: namespaces are not implemented", bucket)
	}
	var props objects.BucketProps
	if hasValue(message.Value) {
		var err error
		if props, err = changedProps(&objects.BucketDoc{Bucket: objects.Bucket{Name: bucket.Name, Provider: bucket.Provider}}, message.Value); err != nil {
			return err
		}
	}
	_, err := r.h.Gateway.CreateBucket(r.Context(), bucket.Name, props)
	return explain(err, target{bucket: bucket})
}

// hasValue reports whether a JSON value is there, and not null.
func hasValue(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// headBucket tells the properties of a bucket. A prefix may follow the bucket in the
// path: it is about the summary, which is not implemented.
func headBucket(r *Request) error {
	name, _, _ := strings.Cut(r.rest, "/")
	r.rest = name
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	doc, err := r.find(bucket)
	if err != nil {
		return err
	}
	if r.Query("bsumm_remote") != "" {
		return Refuse(fasthttp.StatusNotImplemented, typeNotImplemented, "bucket %q: summaries are not implemented", bucket)
	}
	props := propsOf(doc)
	body, err := json.Marshal(&props)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetBytesV(ais.HeaderBucketProps, body)
	return nil
}

// listBuckets tells which buckets there are, in order.
func (r *Request) listBuckets(message ais.Action) error {
	asked, err := r.bucketNamed(message.Name)
	if err != nil {
		return err
	}
	list := []ais.Bucket{}                                                                             // never null
	if asked.Provider == ais.ProviderAIS && asked.Namespace.IsGlobal() && r.Query("presence") != "5" { // 5: only what is not here
		for _, doc := range r.h.Gateway.Buckets() {
			if message.Name == "" || doc.Name == message.Name {
				list = append(list, ais.Bucket{Name: doc.Name, Provider: ais.ProviderAIS})
			}
		}
	}
	return r.JSON(list)
}
