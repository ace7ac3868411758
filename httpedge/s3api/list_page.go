package s3api

import (
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// listing is what the listings of objects have in common.
type listing struct {
	bucket    *objects.BucketDoc
	prefix    string
	delimiter string
	limit     int
	url       bool // names are percent-encoded
}

// listing reads the parameters that all listings of objects have.
func (r *request) listing() (listing, error) {
	l := listing{prefix: r.query.value("prefix"), delimiter: r.query.value("delimiter")}
	var err error
	if l.limit, err = r.query.page("max-keys", r.h.config.Limits.MaxKeys); err != nil {
		return l, err
	}
	if l.url, err = r.query.urlEncoding(); err != nil {
		return l, err
	}
	l.bucket, err = r.bucket()
	return l, err
}

// page asks for the entries after a position.
func (r *request) page(l *listing, after string) (*messages.ObjectPage, error) {
	if l.limit == 0 {
		return new(messages.ObjectPage), nil
	}
	return r.h.config.Gateway.List(r.context, l.bucket, gateway.ListRequest{Prefix: l.prefix, After: after, Delimiter: l.delimiter, Limit: l.limit})
}

// afterMarker returns the position that a client's marker stands for: a marker
// that is itself a common prefix was listed already, with all that is below it.
func (l *listing) afterMarker(marker string) string {
	if p, ok := rolledUp(marker, l.prefix, l.delimiter); ok && p == marker {
		return pastPrefix(p)
	}
	return marker
}

// last returns the last entry of a page as a token; ok is false for an empty page.
func last(page *messages.ObjectPage) (token, bool) {
	if len(page.Entries) == 0 {
		return token{}, false
	}
	e := &page.Entries[len(page.Entries)-1]
	return token{e.Name, e.Meta == nil}, true
}

// entries writes the objects of a page, then its common prefixes. Owner is
// markup to write into every object; empty: none.
func (m *markup) entries(page *messages.ObjectPage, l *listing, owner string) {
	prefixes := 0
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Meta == nil {
			prefixes++
			continue
		}
		m.raw("<Contents>")
		m.object(e, l.url)
		m.raw(owner)
		m.raw("<StorageClass>" + storageClass + "</StorageClass></Contents>")
	}
	if prefixes == 0 {
		return
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; e.Meta == nil {
			m.commonPrefix(e.Name, l.url)
		}
	}
}

// object writes what all listings say about an object.
func (m *markup) object(e *messages.ObjectEntry, url bool) {
	m.name("Key", e.Name, url)
	m.instant("LastModified", e.Meta.Modified)
	m.etag("ETag", e.Meta.ETag)
	if sums := e.Meta.Checksums; len(sums) > 0 {
		for i := range sums {
			m.text("ChecksumAlgorithm", sums[i].Algorithm.String())
		}
		m.text("ChecksumType", sums[0].Type.String())
	}
	m.number("Size", e.Meta.Size)
}

func (m *markup) commonPrefix(prefix string, url bool) {
	m.raw("<CommonPrefixes>")
	m.name("Prefix", prefix, url)
	m.raw("</CommonPrefixes>")
}

func (m *markup) commonPrefixes(prefixes []string, url bool) {
	for _, p := range prefixes {
		m.commonPrefix(p, url)
	}
}

// ownerMarkup returns the owner's element as it stands in every entry.
func (r *request) ownerMarkup(element string) string {
	m := &markup{}
	r.owner(m, element)
	return string(m.b)
}
