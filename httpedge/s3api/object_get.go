package s3api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// getObject answers GetObject.
func getObject(r *request) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	meta, payload, err := r.h.config.Gateway.Open(r.context, bucket, r.target.key, version)
	if err != nil {
		return err
	}
	sent := false
	defer func() {
		if !sent {
			payload.Close()
		}
	}()
	which, done, err := r.describe(meta, payload, payload.Begin)
	if err != nil || done {
		return err
	}
	sent = true
	payload.Send(r.ctx, which.offset, which.length)
	return nil
}

// headObject answers HeadObject: what GetObject would say, without the payload.
// Only a part's extent needs the object opened.
func headObject(r *request) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	var meta *objects.Meta
	var payload Payload
	if r.query.has("partNumber") {
		if meta, payload, err = r.h.config.Gateway.Open(r.context, bucket, r.target.key, version); err != nil {
			return err
		}
		defer payload.Close()
	} else if meta, err = r.h.config.Gateway.Head(r.context, bucket, r.target.key, version); err != nil {
		return err
	}
	which, done, err := r.describe(meta, payload, nil)
	if err != nil || done {
		return err
	}
	r.ctx.Response.Header.SetContentLength(int(which.length))
	return nil
}

// head returns the record of the request's object, for operations about it.
func (r *request) head() (*objects.Meta, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	bucket, err := r.bucket()
	if err != nil {
		return nil, err
	}
	return r.h.config.Gateway.Head(r.context, bucket, r.target.key, version)
}

// extent is which bytes of an object an answer is about.
type extent struct {
	offset, length int64
	partial        bool
	part           int // its number, if a part was asked for
}

// describe sets the status and headers of GetObject and HeadObject, and says
// which bytes are asked. Done says that the answer is complete: 304. Payload tells
// about parts of the object; it may be nil where none is asked for. Begin is called with the
// bytes before any header is set, and fails where they cannot be read; nil: none are sent.
func (r *request) describe(meta *objects.Meta, payload Payload, begin func(offset, length int64) error) (which extent, done bool, err error) {
	r.record.SetObject(meta.Size, meta.VersionID)
	if done, err = r.judge(meta); err != nil || done {
		return extent{}, done, err
	}
	if which, err = r.extent(meta, payload); err != nil {
		return extent{}, false, err
	}
	if begin != nil {
		if err = begin(which.offset, which.length); err != nil {
			return extent{}, false, err
		}
	}
	if err = r.contentHeaders(meta); err != nil {
		return extent{}, false, err
	}
	r.validators(meta)
	r.set("Accept-Ranges", "bytes")
	for _, p := range meta.User {
		r.set("x-amz-meta-"+p.Name, p.Value)
	}
	if len(meta.Tags) > 0 {
		r.set("x-amz-tagging-count", itoa(len(meta.Tags)))
	}
	r.setNonEmpty("x-amz-website-redirect-location", meta.Headers.Redirect)
	if strings.EqualFold(r.header.checksumMode, "ENABLED") {
		switch {
		case which.part > 0:
			r.setPartSums(meta, payload, which.part)
		case !which.partial:
			r.setSums(meta.Checksums)
		}
	}
	if which.partial {
		r.ctx.SetStatusCode(fasthttp.StatusPartialContent)
		r.set("Content-Range", "bytes "+itoa(which.offset)+"-"+itoa(which.offset+which.length-1)+"/"+itoa(meta.Size))
	}
	return which, false, nil
}

// setPartSums names the checksums of a part in the answer's headers: its own where the
// object's is composed of them, the object's where the part is all of it, else none.
func (r *request) setPartSums(meta *objects.Meta, payload Payload, number int) {
	table, ok := payload.(partTable)
	switch {
	case meta.PartCount == 0:
		r.setSums(meta.Checksums)
	case len(meta.Checksums) == 0 || !ok:
	case meta.Checksums[0].Type == checksum.Composite:
		for _, p := range table.Parts() {
			if v, found := checksum.Find(p.Checksums, meta.Checksums[0].Algorithm); found && p.Number == number {
				r.set(v.Algorithm.Header(), v.String())
				r.set("x-amz-checksum-type", checksum.Composite.String())
			}
		}
	case meta.PartCount == 1:
		r.setSums(meta.Checksums)
	}
}

// extent resolves partNumber or Range against an object.
func (r *request) extent(meta *objects.Meta, payload Payload) (extent, error) {
	number, byPart, err := r.query.part(r.h.config.Limits.MaxParts)
	if err != nil {
		return extent{}, err
	}
	if byPart {
		if r.header.byteRange != "" {
			return extent{}, refuse(codeInvalidRequest, "Cannot specify both Range header and partNumber query parameter")
		}
		offset, length, ok := payload.Part(number)
		if !ok {
			return extent{}, refuse(codeInvalidPart, "").with("PartNumber", itoa(number))
		}
		if meta.PartCount > 0 {
			r.set("x-amz-mp-parts-count", itoa(meta.PartCount))
		}
		return extent{offset, length, length > 0, number}, nil
	}
	if r.header.byteRange == "" || !r.header.rangeHolds(meta) {
		return extent{length: meta.Size}, nil
	}
	asked := objects.ParseRange(r.header.byteRange)
	offset, length, err := asked.In(meta.Size)
	if err != nil {
		e := refuse(codeInvalidRange, "").with("RangeRequested", r.header.byteRange).with("ActualObjectSize", itoa(meta.Size)).because(err)
		e.Header = []Detail{{"Content-Range", "bytes */" + itoa(meta.Size)}}
		return extent{}, e
	}
	return extent{offset, length, asked.Kind != objects.RangeAll, 0}, nil
}

// validators sets the headers by which a client knows a version of an object.
func (r *request) validators(meta *objects.Meta) {
	r.set("ETag", `"`+meta.ETag+`"`)
	var room [32]byte
	r.ctx.Response.Header.SetBytesV("Last-Modified", fasthttp.AppendHTTPDate(room[:0], meta.Modified))
	r.setNonEmpty("x-amz-version-id", meta.VersionID)
}

// contentType is S3's for an object that came without one.
const contentType = "binary/octet-stream"

// contentHeaders sets the content headers: as stored, or as the request's
// response-… parameters override them.
func (r *request) contentHeaders(meta *objects.Meta) error {
	h := meta.Headers
	if len(r.query) > 0 {
		for _, o := range []struct {
			parameter string
			field     *string
		}{
			{"response-content-type", &h.ContentType},
			{"response-content-language", &h.ContentLanguage},
			{"response-expires", &h.Expires},
			{"response-cache-control", &h.CacheControl},
			{"response-content-disposition", &h.ContentDisposition},
			{"response-content-encoding", &h.ContentEncoding},
		} {
			if v, ok := r.query.get(o.parameter); ok && v != "" {
				if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }) {
					return refuse(codeInvalidArgument, "Header value cannot be represented").argument(o.parameter, v)
				}
				*o.field = v
			}
		}
	}
	if h.ContentType == "" {
		h.ContentType = contentType
	}
	r.ctx.SetContentType(h.ContentType)
	r.setNonEmpty("Content-Encoding", h.ContentEncoding)
	r.setNonEmpty("Content-Disposition", h.ContentDisposition)
	r.setNonEmpty("Content-Language", h.ContentLanguage)
	r.setNonEmpty("Cache-Control", h.CacheControl)
	r.setNonEmpty("Expires", h.Expires)
	return nil
}
