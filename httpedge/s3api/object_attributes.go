package s3api

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// partTable is a payload that knows its parts' records, not only where they
// lie; of a payload without it the parts' checksums are left out.
type partTable interface {
	// Parts returns the parts in order; the slice is only read.
	Parts() []objects.Part
}

// getAttributes answers GetObjectAttributes: those that x-amz-object-attributes
// names, and no others.
func getAttributes(r *request) error {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(r.header.attributes, ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case "ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize":
			wanted[name] = true
		default:
			return refuse(codeInvalidArgument, "Invalid attribute name specified.").argument("x-amz-object-attributes", name)
		}
	}
	if len(wanted) == 0 {
		return refuse(codeInvalidRequest, "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
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
	defer payload.Close()

	m := r.newMarkup()
	m.root("GetObjectAttributesResponse")
	if wanted["ETag"] {
		m.text("ETag", meta.ETag) // without quotes, unlike everywhere else
	}
	if wanted["Checksum"] && len(meta.Checksums) > 0 {
		m.open("Checksum")
		for _, v := range meta.Checksums {
			m.text(sumElement(v.Algorithm), v.Base64()) // without "-N", unlike everywhere else
		}
		m.text("ChecksumType", meta.Checksums[0].Type.String())
		m.end("Checksum")
	}
	if wanted["ObjectParts"] && meta.PartCount > 0 {
		if err := r.attributeParts(m, meta, payload); err != nil {
			_ = m.Close()
			return err
		}
	}
	if wanted["StorageClass"] {
		m.text("StorageClass", storageClass)
	}
	if wanted["ObjectSize"] {
		m.number("ObjectSize", meta.Size)
	}
	m.end("GetObjectAttributesResponse")
	r.ctx.Response.Header.SetBytesV("Last-Modified", fasthttp.AppendHTTPDate(nil, meta.Modified))
	r.setNonEmpty("x-amz-version-id", meta.VersionID)
	r.send(m)
	return nil
}

// attributeParts writes a page of an object's parts.
func (r *request) attributeParts(m *markup, meta *objects.Meta, payload Payload) error {
	number := func(name, value string, standard int) (int, error) {
		if value == "" {
			return standard, nil
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return 0, refuse(codeInvalidArgument, "").argument(name, value)
		}
		return int(n), nil
	}
	marker, err := number("x-amz-part-number-marker", r.header.partMarker, 0)
	if err != nil {
		return err
	}
	limit, err := number("x-amz-max-parts", r.header.maxParts, r.h.config.Limits.MaxKeys)
	if err != nil {
		return err
	}
	limit = min(limit, r.h.config.Limits.MaxKeys)

	sums := map[int][]checksum.Value{}
	if table, ok := payload.(partTable); ok {
		for _, p := range table.Parts() {
			sums[p.Number] = p.Checksums
		}
	}
	m.open("ObjectParts")
	m.number("PartsCount", int64(meta.PartCount))
	m.number("PartNumberMarker", int64(marker))
	next, more := marker, false
	// Parts have the numbers that they were uploaded with, which need not follow
	// one another; the one that ends where the object ends is the last.
	written := 0
	for n := marker + 1; n <= r.h.config.Limits.MaxParts && limit > 0; n++ {
		offset, size, ok := payload.Part(n)
		if !ok {
			continue
		}
		if more = written == limit; more {
			break
		}
		m.open("Part")
		m.number("PartNumber", int64(n))
		m.number("Size", size)
		m.sums(sums[n])
		m.end("Part")
		written++
		next = n
		if offset+size == meta.Size {
			break
		}
	}
	m.number("NextPartNumberMarker", int64(next))
	m.number("MaxParts", int64(limit))
	m.boolean("IsTruncated", more)
	m.end("ObjectParts")
	return nil
}
