package native

import (
	"errors"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// putRoutes tells the kinds of PUT by their parameters.
func putRoutes(r *Request) error {
	switch {
	case r.Query("append_type") != "":
		return notImplemented("appending to an object (append_type)")
	case r.Query("object_to") != "":
		return copyObject(r)
	case r.Query("uploadId") != "" || r.Query("partNumber") != "":
		return putPart(r)
	}
	return putObject(r)
}

// putObject stores an object: the payload streams to the gateway, and the answer
// goes out when it is durable. Whatever Content-Type says: the SDK always says
// application/json.
func putObject(r *Request) error {
	t, err := r.newObject()
	if err != nil {
		return err
	}
	if err := r.plain(); err != nil {
		return err
	}
	user, err := r.custom()
	if err != nil {
		return err
	}
	sum, err := r.declaredChecksum()
	if err != nil {
		return err
	}
	skip, err := r.Flag("skip_vc")
	if err != nil {
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	body, err := r.stream(objectBytes)
	if err != nil {
		return err
	}
	if sum.value != "" && !skip && len(user) == 0 {
		if done, err := r.same(doc, t, sum, body); done || err != nil {
			return err
		}
	}
	receipt, err := r.h.Gateway.Put(r.Context(), doc, &gateway.Put{
		Name: t.name, Draft: objects.Draft{User: user}, Size: body.Size(), Body: sum.checked(body, t),
		Sums: []checksum.Algorithm{checksum.CRC64NVME}, // as through S3: no object is without one
	})
	if err != nil {
		return explain(err, t)
	}
	r.stored(doc, receipt.Meta)
	return nil
}

// newObject reads the object that the path names, which is to be made.
func (r *Request) newObject() (target, error) {
	t, err := r.object()
	if err == nil {
		err = checkNewName(t)
	}
	return t, err
}

// stored sets the headers that tell what a write made.
func (r *Request) stored(doc *objects.BucketDoc, meta *objects.Meta) {
	r.setChecksum(meta)
	r.setAtime(meta)
	r.setVersion(doc, meta)
}

// same answers a PUT of what is there already: the object stays as it is, and so
// does its version. The body is read all the same, and must be what was declared.
func (r *Request) same(doc *objects.BucketDoc, t target, sum declared, body io.Reader) (done bool, err error) {
	meta, err := r.h.Gateway.Head(r.Context(), doc, t.name, "")
	if errors.Is(err, objects.ErrNoSuchKey) {
		return false, nil
	}
	if err != nil {
		return false, explain(err, t)
	}
	if declaredSize := int64(r.ctx.Request.Header.ContentLength()); !sum.is(meta) || declaredSize >= 0 && declaredSize != meta.Size {
		return false, nil
	}
	// Without a declared size, another payload with the same xxhash could come: its
	// length would tell. It is then refused, and may be sent with skip_vc.
	n, err := io.Copy(io.Discard, sum.checked(body, t))
	if err != nil {
		return false, err
	}
	if n != meta.Size {
		return false, Refuse(fasthttp.StatusConflict, "", "%s: another payload with the checksum %s is there; use skip_vc", t, sum.value)
	}
	r.stored(doc, meta)
	return true, nil
}

// expectPut judges the head of a PUT whose client waits for 100 Continue.
func expectPut(r *Request) error {
	if r.method != put {
		return nil
	}
	t, err := r.newObject()
	if err != nil {
		return err
	}
	if length := r.ctx.Request.Header.ContentLength(); int64(length) > objectBytes {
		return Refuse(fasthttp.StatusRequestEntityTooLarge, "", "%s: %d bytes, at most %d", t, length, int64(objectBytes))
	}
	_, err = r.find(t.bucket)
	return err
}
