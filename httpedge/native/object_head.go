package native

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// headProps are the properties that a HEAD can be asked for by name, and what
// tells each. Without names, all that HEAD told before it had names.
func headProps() map[string]func(*Request, headed) {
	return map[string]func(*Request, headed){
		"name":     func(r *Request, o headed) { r.set("Ais-Name", o.target.name) },
		"size":     func(*Request, headed) {}, // Content-Length always is
		"checksum": func(r *Request, o headed) { r.setChecksum(o.meta) },
		"atime":    func(r *Request, o headed) { r.setAtime(o.meta) },
		"version":  func(r *Request, o headed) { r.setVersion(o.doc, o.meta) },
		"custom":   func(r *Request, o headed) { r.setCustom(o.meta) },
		"location": func(r *Request, o headed) { r.set("Ais-Location", r.h.location(o.doc, o.target.name)) },
		"etag":     func(r *Request, o headed) { r.set("ETag", `"`+o.meta.ETag+`"`) },
		"ec":       func(*Request, headed) {}, // nothing is erasure-coded
		"last-modified": func(r *Request, o headed) {
			r.ctx.Response.Header.SetBytesV("Last-Modified", fasthttp.AppendHTTPDate(nil, o.meta.Modified))
		},
		"copies": func(r *Request, o headed) {
			copies := r.h.mirrored(o.doc, o.target.name)
			r.set("Ais-Mirror-Paths", "["+strings.Join(copies, ",")+"]")
			r.set("Ais-Mirror-Copies", strconv.Itoa(len(copies)))
		},
		"chunked": func(r *Request, o headed) {
			if o.meta.Where == objects.Chunks {
				r.set("Ais-Chunks-Count", strconv.Itoa(o.meta.PartCount))
				r.set("Ais-Chunks-Max-Chunk-Size", strconv.FormatInt(o.largest, 10))
			}
		},
	}
}

// headed is an object that a HEAD is about.
type headed struct {
	target  target
	doc     *objects.BucketDoc
	meta    *objects.Meta
	largest int64 // bytes of the largest part, where asked
}

// headObject tells the properties of an object: those named by ?props=, or all
// that AIStore told before there was that.
func headObject(r *Request) error {
	t, err := r.object()
	if err != nil {
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	known := headProps()
	names := csv(r.Query("props"))
	for _, name := range names {
		if known[name] == nil {
			return Refuse(fasthttp.StatusBadRequest, "", "invalid property %q of an object", name)
		}
	}
	if _, err := r.Flag("latest-ver"); err != nil { // of an ais bucket, the latest is what there is
		return err
	}
	presence := r.Query("presence")
	if presence != "" && (len(presence) != 1 || presence[0] < '0' || presence[0] > '5') {
		return Refuse(fasthttp.StatusBadRequest, "", "invalid presence %q: it is 0 to 5", presence)
	}
	meta, err := r.h.Gateway.Head(r.Context(), doc, t.name, "")
	if err != nil {
		return explain(err, t)
	}
	if presence == "5" {
		return Refuse(fasthttp.StatusBadRequest, "", "%s is in the cluster", t)
	}
	o := headed{target: t, doc: doc, meta: meta}
	if err := r.look(&o, slices.Contains(names, "chunked")); err != nil {
		return err
	}
	r.set("Ais-Present", "true")
	r.ctx.Response.Header.SetContentLength(int(meta.Size))
	switch {
	case presence == "1" || presence == "3": // whether it exists, and no properties
	case len(names) > 0:
		for _, name := range names {
			known[name](r, o)
		}
	default:
		r.set("Ais-Bucket-Name", t.bucket.Name)
		r.set("Ais-Bucket-Provider", t.bucket.Provider)
		for _, name := range []string{"name", "checksum", "atime", "version", "custom", "location", "copies"} {
			known[name](r, o)
		}
	}
	return nil
}

// look opens the object where its record does not tell all that is asked: how
// large its parts are, and whether it is still what was written.
func (r *Request) look(o *headed, parts bool) error {
	validate, err := r.Flag("validate-checksum")
	if err != nil {
		return err
	}
	if parts = parts && o.meta.Where == objects.Chunks; !parts && !validate {
		return nil
	}
	if parts && o.meta.PartSize > 0 && !validate {
		o.largest = o.meta.PartSize
		return nil
	}
	object, err := r.h.Gateway.Open(r.Context(), o.doc, o.target.name, "")
	if err != nil {
		return explain(err, o.target)
	}
	defer object.Close()
	o.meta = object.Meta
	for _, p := range object.Parts() {
		o.largest = max(o.largest, p.Size)
	}
	if validate {
		_, err = io.Copy(io.Discard, object.Reader(0, object.Meta.Size))
	}
	return err
}
