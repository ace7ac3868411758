package s3api

import (
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// listParts answers ListParts.
func listParts(r *request) error {
	limit, err := r.query.page("max-parts", r.h.config.Limits.MaxKeys)
	if err != nil {
		return err
	}
	marker := 0
	if v := r.query.value("part-number-marker"); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return refuse(codeInvalidArgument, "Provided part-number-marker not an integer or within integer range").argument("part-number-marker", v)
		}
		marker = int(n)
	}
	url, err := r.query.urlEncoding()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	id, err := r.uploadID()
	if err != nil {
		return err
	}
	page, err := r.h.config.Gateway.ListParts(r.context, bucket, r.target.key, id, marker, max(limit, 1))
	if err != nil {
		return err
	}
	parts, more := page.Parts, page.More
	if limit == 0 {
		parts, more = nil, false
	}
	next := marker
	if len(parts) > 0 {
		next = parts[len(parts)-1].Number
	}

	m := r.newMarkup()
	m.root("ListPartsResult")
	m.text("Bucket", r.target.bucket)
	m.name("Key", r.target.key, url)
	m.text("UploadId", id)
	r.owner(m, "Initiator")
	r.owner(m, "Owner")
	m.text("StorageClass", storageClass)
	m.number("PartNumberMarker", int64(marker))
	m.number("NextPartNumberMarker", int64(next))
	m.number("MaxParts", int64(limit))
	m.boolean("IsTruncated", more)
	m.wanted(&page.Upload)
	for i := range parts {
		p := &parts[i]
		m.open("Part")
		m.number("PartNumber", int64(p.Number))
		m.instant("LastModified", p.Modified)
		m.etag("ETag", p.ETag)
		m.number("Size", p.Size)
		m.sums(p.Checksums)
		m.end("Part")
	}
	m.end("ListPartsResult")
	r.send(m)
	return nil
}

// wanted writes what an upload announced.
func (m *markup) wanted(u *objects.Upload) {
	if name := u.Checksum.Algorithm.String(); name != "" {
		m.text("ChecksumAlgorithm", name)
		m.text("ChecksumType", u.Checksum.Type.String())
	}
}

// uploadPage is a page of uploads, rolled up by a delimiter.
type uploadPage struct {
	uploads  []objects.Upload
	prefixes []string
	more     bool
	// nextName and nextID are where the next page begins.
	nextName, nextID string
}

// listUploads answers ListMultipartUploads.
func listUploads(r *request) error {
	limit, err := r.query.page("max-uploads", r.h.config.Limits.MaxKeys)
	if err != nil {
		return err
	}
	url, err := r.query.urlEncoding()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	prefix, delimiter, keyMarker := r.query.value("prefix"), r.query.value("delimiter"), r.query.value("key-marker")
	idMarker := ""
	if keyMarker != "" { // without a key, S3 ignores the id
		idMarker = r.query.value("upload-id-marker")
	}
	page, err := r.uploads(bucket, prefix, delimiter, keyMarker, idMarker, limit)
	if err != nil {
		return err
	}

	m := r.newMarkup()
	m.root("ListMultipartUploadsResult")
	m.text("Bucket", r.target.bucket)
	m.name("KeyMarker", keyMarker, url)
	m.text("UploadIdMarker", idMarker)
	if page.more {
		m.name("NextKeyMarker", page.nextName, url)
		m.text("NextUploadIdMarker", page.nextID)
	}
	m.name("Prefix", prefix, url)
	if delimiter != "" {
		m.name("Delimiter", delimiter, url)
	}
	if url {
		m.text("EncodingType", "url")
	}
	m.number("MaxUploads", int64(limit))
	m.boolean("IsTruncated", page.more)
	for i := range page.uploads {
		u := &page.uploads[i]
		m.open("Upload")
		m.name("Key", u.Name, url)
		m.text("UploadId", u.ID)
		r.owner(m, "Initiator")
		r.owner(m, "Owner")
		m.text("StorageClass", storageClass)
		m.instant("Initiated", u.Initiated)
		m.wanted(u)
		m.end("Upload")
	}
	m.commonPrefixes(page.prefixes, url)
	m.end("ListMultipartUploadsResult")
	r.send(m)
	return nil
}

// uploads collects a page. Each turn of its loop adds an entry or ends, so
// there are no more turns than entries: a common prefix is skipped in one.
func (r *request) uploads(bucket *objects.BucketDoc, prefix, delimiter, afterName, afterID string, limit int) (*uploadPage, error) {
	page := new(uploadPage)
	if limit == 0 {
		return page, nil
	}
	if p, ok := rolledUp(afterName, prefix, delimiter); ok && p == afterName {
		afterName, afterID = pastPrefix(p), ""
	}
	for {
		got, err := r.h.config.Gateway.ListUploads(r.context, bucket, prefix, afterName, afterID, limit-len(page.uploads)-len(page.prefixes)+1)
		if err != nil {
			return nil, err
		}
		skipped := false
		for _, u := range got.Uploads {
			if len(page.uploads)+len(page.prefixes) == limit {
				page.more = true
				return page, nil
			}
			if p, ok := rolledUp(u.Name, prefix, delimiter); ok {
				page.prefixes = append(page.prefixes, p)
				page.nextName, page.nextID = p, ""
				afterName, afterID, skipped = pastPrefix(p), "", true
				break
			}
			page.uploads = append(page.uploads, u)
			page.nextName, page.nextID = u.Name, u.ID
			afterName, afterID = u.Name, u.ID
		}
		if !skipped && !got.More || len(got.Uploads) == 0 {
			return page, nil
		}
	}
}

// rolledUp returns the common prefix that stands for a name: up to and with the
// first delimiter after the prefix.
func rolledUp(name, prefix, delimiter string) (string, bool) {
	if delimiter == "" || !strings.HasPrefix(name, prefix) {
		return "", false
	}
	i := strings.Index(name[len(prefix):], delimiter)
	if i < 0 {
		return "", false
	}
	return name[:len(prefix)+i+len(delimiter)], true
}

// pastPrefix is a position after every name that begins with a prefix: FF is in
// no UTF-8 text, and greater than all that is.
func pastPrefix(prefix string) string { return prefix + "\xff" }
