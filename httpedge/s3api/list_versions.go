package s3api

import "github.com/troupe-storage/troupe/objects"

// listVersions answers ListObjectVersions for a bucket that was never versioned:
// every object is its own null version. Clients empty buckets by this listing.
func listVersions(r *request) error {
	l, err := r.listing()
	if err != nil {
		return err
	}
	if l.bucket.Props.Versioning != objects.VersioningOff {
		return refuse(codeNotImplemented, "Listing the versions of a versioned bucket is not implemented.")
	}
	marker, idMarker := r.query.value("key-marker"), r.query.value("version-id-marker")
	if idMarker != "" && marker == "" {
		return refuse(codeInvalidArgument, "A version-id marker cannot be specified without a key marker.").argument("version-id-marker", idMarker)
	}
	page, err := r.page(&l, l.afterMarker(marker))
	if err != nil {
		return err
	}
	owner := r.ownerMarkup("Owner")
	m := r.newMarkup()
	m.root("ListVersionsResult")
	m.text("Name", r.target.bucket)
	m.name("Prefix", l.prefix, l.url)
	m.name("KeyMarker", marker, l.url)
	m.text("VersionIdMarker", idMarker)
	if next, ok := last(page); ok && page.More {
		m.name("NextKeyMarker", next.after, l.url)
		if !next.prefix {
			m.text("NextVersionIdMarker", "null")
		}
	}
	m.number("MaxKeys", int64(l.limit))
	if l.delimiter != "" {
		m.name("Delimiter", l.delimiter, l.url)
	}
	if l.url {
		m.text("EncodingType", "url")
	}
	m.boolean("IsTruncated", page.More)
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Meta == nil {
			continue
		}
		m.open("Version")
		m.object(e, l.url)
		m.text("VersionId", "null")
		m.boolean("IsLatest", true)
		m.raw(owner)
		m.text("StorageClass", storageClass)
		m.end("Version")
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; e.Meta == nil {
			m.commonPrefix(e.Name, l.url)
		}
	}
	m.end("ListVersionsResult")
	r.send(m)
	return nil
}
