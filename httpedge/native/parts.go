package native

import (
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// maxParts is how many parts a multipart upload may have.
const maxParts = 9999

// explainUpload is explain for an upload.
func explainUpload(err error, t target, uploadID string) error {
	if errors.Is(err, objects.ErrNoSuchUpload) {
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "%s: upload %q does not exist", t, uploadID)
	}
	return explain(err, t)
}

// startParts begins a multipart upload and answers its id.
func startParts(r *Request) error {
	t, err := r.newObject()
	if err != nil {
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	id, err := r.h.Gateway.CreateUpload(r.Context(), doc, t.name, objects.Draft{}, checksum.Wanted{})
	if err != nil {
		return explain(err, t)
	}
	return r.Text(id)
}

// upload reads which upload a request is about.
func (r *Request) upload() (t target, doc *objects.BucketDoc, id string, err error) {
	if t, err = r.object(); err != nil {
		return t, nil, "", err
	}
	if id = r.Query("uploadId"); id == "" {
		return t, nil, "", Refuse(fasthttp.StatusBadRequest, "", "%s: uploadId is not given", t)
	}
	doc, err = r.find(t.bucket)
	return t, doc, id, err
}

// putPart stores one part; the last one of a number counts.
func putPart(r *Request) error {
	t, doc, id, err := r.upload()
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(r.Query("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return Refuse(fasthttp.StatusBadRequest, "", "%s: partNumber %q is not a number from 1 to %d", t, r.Query("partNumber"), maxParts)
	}
	sum, err := r.declaredChecksum()
	if err != nil {
		return err
	}
	body, err := r.stream(objectBytes)
	if err != nil {
		return err
	}
	if body.Size() == 0 {
		return Refuse(fasthttp.StatusBadRequest, "", "%s: part %d: invalid size (0)", t, number)
	}
	_, err = r.h.Gateway.PutPart(r.Context(), doc, id, number, &gateway.Put{
		Name: t.name, Size: body.Size(), Body: sum.checked(body, t), Sums: []checksum.Algorithm{checksum.CRC64NVME},
	})
	return explainUpload(err, t, id)
}

// completeParts turns the parts of an upload into the object. The list must name
// all of them, in any order; entity tags may be left out.
func completeParts(r *Request, message ais.Action) error {
	t, doc, id, err := r.upload()
	if err != nil {
		return err
	}
	if !hasValue(message.Value) {
		return Refuse(fasthttp.StatusBadRequest, "", "%s: the list of parts is missing", t)
	}
	var names []ais.PartName
	if err := r.value(message, &names); err != nil {
		return err
	}
	page, err := r.h.Gateway.ListParts(r.Context(), doc, t.name, id, 0, maxParts+1)
	if err != nil {
		return explainUpload(err, t, id)
	}
	if len(page.Parts) == 0 {
		return Refuse(fasthttp.StatusBadRequest, "", "%s: upload %q has no chunks", t, id)
	}
	if len(names) != len(page.Parts) {
		return Refuse(fasthttp.StatusBadRequest, "", "%s: partial completion of upload %q: %d parts are named, there are %d", t, id, len(names), len(page.Parts))
	}
	tags := make(map[int]string, len(names))
	for _, n := range names {
		tags[n.Number] = n.ETag
	}
	parts := make([]messages.CompletePart, 0, len(page.Parts))
	for _, p := range page.Parts {
		tag, named := tags[p.Number]
		if !named {
			return Refuse(fasthttp.StatusBadRequest, "", "%s: partial completion of upload %q: part %d is not named", t, id, p.Number)
		}
		if tag == "" {
			tag = p.ETag
		}
		parts = append(parts, messages.CompletePart{Number: p.Number, ETag: tag})
	}
	receipt, err := r.h.Gateway.CompleteUpload(r.Context(), doc, gateway.Complete{Name: t.name, UploadID: id, Parts: parts, Size: -1, AnySize: true})
	if err != nil {
		return explainUpload(err, t, id)
	}
	r.stored(doc, receipt.Meta)
	return nil
}

// abortParts ends an upload and forgets its parts.
func abortParts(r *Request) error {
	t, doc, id, err := r.upload()
	if err != nil {
		return err
	}
	return explainUpload(r.h.Gateway.AbortUpload(r.Context(), doc, t.name, id), t, id)
}
