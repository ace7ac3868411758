package native

import (
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
)

// batchPath is where many objects are asked for at once; a bucket may follow.
const batchPath = "/v1/ml/moss"

// getBatch answers many objects, members of shards and ranges of them, in the order of the
// request, as one archive.
func getBatch(r *Request) error {
	wanted, err := r.batchRequest()
	if err != nil {
		return err
	}
	items, targets, err := r.batchItems(wanted)
	if err != nil {
		return err
	}
	asked := gateway.BatchRequest{Items: items, Format: archive.Tar}
	if wanted.Format != "" {
		if asked.Format, err = archive.OfMIME(wanted.Format); err != nil {
			return err
		}
	}
	if wanted.SkipAbsent {
		asked.AbsentFolder = ais.AbsentFolder
	}
	batch, err := r.h.Gateway.OpenBatch(asked)
	if err != nil {
		return explainBatch(err, items, targets)
	}
	r.ctx.SetContentType(asked.Format.ContentType())
	batch.Send(r.ctx)
	return nil
}

// batchRequest reads the body.
func (r *Request) batchRequest() (*ais.BatchRequest, error) {
	wanted := new(ais.BatchRequest)
	if err := r.Decode(ais.MaxBatchBytes, wanted); err != nil {
		return nil, err
	}
	switch n := len(wanted.Items); {
	case n == 0:
		return nil, Refuse(fasthttp.StatusBadRequest, "", "an empty batch: it names no object")
	case n > ais.MaxBatchItems:
		return nil, Refuse(fasthttp.StatusBadRequest, "", "a batch of %d items, at most %d are allowed", n, ais.MaxBatchItems)
	case wanted.Colocation < 0 || wanted.Colocation > ais.MaxColocation:
		return nil, Refuse(fasthttp.StatusBadRequest, "", "coloc %d is none of 0, 1 and 2", wanted.Colocation)
	case !wanted.Streaming:
		return nil, notImplemented("get-batch with the list of what is in it (strm: false)")
	}
	return wanted, nil
}

// batchItems finds what the items are of. Those of one bucket share its document, and what
// an item is called in texts is made of its target.
func (r *Request) batchItems(wanted *ais.BatchRequest) ([]gateway.BatchItem, []target, error) {
	var usual ais.Bucket
	names, err := r.Segments()
	switch {
	case err != nil:
		return nil, nil, err
	case len(names) > 1:
		return nil, nil, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: more than a bucket is named", r.path)
	case len(names) == 1:
		if usual, err = r.bucketNamed(names[0]); err != nil {
			return nil, nil, err
		}
	}
	docs := make(map[ais.Bucket]*objects.BucketDoc)
	items, targets := make([]gateway.BatchItem, len(wanted.Items)), make([]target, len(wanted.Items))
	for i := range wanted.Items {
		item := &wanted.Items[i]
		t, err := batchTarget(item, usual)
		if err == nil && docs[t.bucket] == nil {
			docs[t.bucket], err = r.find(t.bucket)
		}
		if err != nil {
			return nil, nil, inItem(i, err)
		}
		as := t.name
		if !wanted.OnlyObjects {
			as = t.bucket.Name + "/" + as
		}
		if item.Member != "" {
			if item.Member[0] != '/' {
				as += "/"
			}
			as += item.Member
		}
		if _, err := archive.NameToWrite(as); err != nil {
			return nil, nil, inItem(i, err)
		}
		items[i] = gateway.BatchItem{Bucket: docs[t.bucket], Name: t.name, Member: item.Member, Start: item.Start, Length: item.Length, As: as}
		targets[i] = t
	}
	return items, targets, nil
}

// batchTarget reads the object that an item names, and judges its range.
func batchTarget(item *ais.BatchItem, usual ais.Bucket) (t target, err error) {
	bad := func(format string, args ...any) (target, error) {
		return target{}, Refuse(fasthttp.StatusBadRequest, "", format, args...)
	}
	switch {
	case item.Start < 0 || item.Length < -1 || item.Start > 0 && item.Length == 0:
		return bad("invalid range: start %d, length %d; a start needs a length, and the length -1 is to the end", item.Start, item.Length)
	case item.Uname != "":
		return parseUname("uname", item.Uname)
	case item.Object == "":
		return bad("no object is named (objname)")
	case len(item.Object) > objects.MaxNameBytes:
		return bad("invalid object name: %d bytes, at most %d", len(item.Object), objects.MaxNameBytes)
	case item.Bucket == "" && usual.Name == "":
		return bad("no bucket is named, neither here nor in the path")
	case item.Bucket == "":
		return target{bucket: usual, name: item.Object}, nil
	}
	provider, ok := ais.ParseProvider(item.Provider)
	if !ok {
		return bad("invalid bucket provider %q", item.Provider)
	}
	return target{bucket: ais.Bucket{Name: item.Bucket, Provider: provider}, name: item.Object}, nil
}

// inItem says in which item of a batch a refusal is.
func inItem(i int, err error) error {
	refusal := *refusalOf(err)
	refusal.Message = fmt.Sprintf("item %d: %s", i, refusal.Message)
	refusal.Err = err
	return &refusal
}

// explainBatch puts the failure of a batch into AIStore's words.
func explainBatch(err error, items []gateway.BatchItem, targets []target) error {
	var failure *gateway.BatchFailure
	if !errors.As(err, &failure) {
		return err
	}
	item, t := &items[failure.Item], targets[failure.Item]
	var outside *gateway.RangeOutside
	err = explain(failure.Err, t)
	switch refusal := refusalOf(err); {
	case errors.As(failure.Err, &outside):
		err = Refuse(fasthttp.StatusRequestedRangeNotSatisfiable, "", "%s: invalid range: %v", t, outside)
	case refusal.Status == fasthttp.StatusNotFound && item.Member != "" && refusal.Type == typeNotFound && !errors.Is(failure.Err, objects.ErrNoSuchKey):
		err = Refuse(fasthttp.StatusNotFound, typeNotFound, "%s/%s does not exist", t, item.Member)
	}
	return inItem(failure.Item, err)
}
