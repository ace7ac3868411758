package s3api

// listV2 answers ListObjectsV2.
func listV2(r *request) error {
	l, err := r.listing()
	if err != nil {
		return err
	}
	startAfter := r.query.value("start-after")
	after := l.afterMarker(startAfter)
	continued := r.query.has("continuation-token")
	if continued { // it wins over start-after
		if after, err = r.tokenAfter("continuation-token"); err != nil {
			return err
		}
	}
	page, err := r.page(&l, after)
	if err != nil {
		return err
	}
	owner := ""
	if r.query.flag("fetch-owner") {
		owner = r.ownerMarkup("Owner")
	}
	m := r.newMarkup()
	m.root("ListBucketResult")
	m.text("Name", r.target.bucket)
	m.name("Prefix", l.prefix, l.url)
	if continued {
		m.text("ContinuationToken", r.query.value("continuation-token"))
	}
	if next, ok := last(page); ok && page.More {
		m.text("NextContinuationToken", next.String())
	}
	if startAfter != "" {
		m.name("StartAfter", startAfter, l.url)
	}
	m.number("KeyCount", int64(len(page.Entries)))
	m.number("MaxKeys", int64(l.limit))
	if l.delimiter != "" {
		m.name("Delimiter", l.delimiter, l.url)
	}
	if l.url {
		m.text("EncodingType", "url")
	}
	m.boolean("IsTruncated", page.More)
	m.entries(page, &l, owner)
	m.end("ListBucketResult")
	r.send(m)
	return nil
}
