package native

import (
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// getObject sends an object, or one range of it.
func getObject(r *Request) error {
	t, err := r.object()
	if err != nil {
		return err
	}
	if err := r.untransformed(); err != nil {
		return err
	}
	if _, err := r.Flag("latest-ver"); err != nil { // of an ais bucket, the latest is what there is
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	if strings.EqualFold(r.Header("Ais-Blob-Download"), "true") {
		return Refuse(fasthttp.StatusBadRequest, "", "bucket %q has no backend to download from", t.bucket)
	}
	if inside, err := r.inside(); err != nil || inside != nil {
		if err != nil {
			return err
		}
		return r.getMembers(t, doc, inside)
	}
	object, err := r.h.Gateway.Open(r.Context(), doc, t.name, "")
	if err != nil {
		return explain(err, t)
	}
	sent := false
	defer func() {
		if !sent {
			object.Close()
		}
	}()
	offset, length, err := r.byteRange(object.Meta.Size)
	if err != nil {
		return err
	}
	if err := object.Begin(offset, length); err != nil {
		return explain(err, t)
	}
	r.describe(doc, object.Meta)
	r.ctx.SetContentType("application/octet-stream")
	sent = true
	object.Send(r.ctx, offset, length)
	return nil
}

// byteRange resolves the Range header against an object and sets status and
// headers of a partial answer. Unlike S3, AIStore refuses what is not one range of
// bytes. An empty object is sent whole, whatever is asked.
func (r *Request) byteRange(size int64) (offset, length int64, err error) {
	header := r.Header("Range")
	if header == "" || size == 0 {
		return 0, size, nil
	}
	asked := objects.ParseRange(header)
	if asked.Kind == objects.RangeAll {
		err = errors.New("it must be one range of bytes")
	} else {
		offset, length, err = asked.In(size)
	}
	if err != nil {
		return 0, 0, &badRange{size: size, Refusal: Refuse(fasthttp.StatusRequestedRangeNotSatisfiable, "", "invalid range %q: %v", header, err)}
	}
	r.ctx.SetStatusCode(fasthttp.StatusPartialContent)
	r.set("Accept-Ranges", "bytes")
	r.ctx.Response.Header.SetContentRange(int(offset), int(offset+length-1), int(size))
	return offset, length, nil
}

// badRange is a refusal that also tells how large the object is.
type badRange struct {
	*Refusal
	size int64
}

// Unwrap returns the refusal, which is what is answered.
func (e *badRange) Unwrap() error { return e.Refusal }

// header is set beside the answer.
func (e *badRange) header() (name, value string) {
	return "Content-Range", "bytes */" + strconv.FormatInt(e.size, 10)
}
