package s3api

// listV1 answers ListObjects, and hands over to ListObjectsV2 where the client
// asks for it.
func listV1(r *request) error {
	switch v, given := r.query.get("list-type"); {
	case given && v == "2":
		return listV2(r)
	case given && v != "1" && v != "":
		return refuse(codeInvalidArgument, "Invalid List Type specified in Request").argument("list-type", v)
	}
	l, err := r.listing()
	if err != nil {
		return err
	}
	marker := r.query.value("marker")
	page, err := r.page(&l, l.afterMarker(marker))
	if err != nil {
		return err
	}
	m := r.newMarkup()
	m.root("ListBucketResult")
	m.text("Name", r.target.bucket)
	m.name("Prefix", l.prefix, l.url)
	m.name("Marker", marker, l.url)
	if next, ok := last(page); ok && page.More && l.delimiter != "" {
		m.name("NextMarker", next.after, l.url) // S3 leaves it out where the last key serves
	}
	m.number("MaxKeys", int64(l.limit))
	if l.delimiter != "" {
		m.name("Delimiter", l.delimiter, l.url)
	}
	if l.url {
		m.text("EncodingType", "url")
	}
	m.boolean("IsTruncated", page.More)
	m.entries(page, &l, r.ownerMarkup("Owner"))
	m.end("ListBucketResult")
	r.send(m)
	return nil
}
