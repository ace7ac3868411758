package loader

import (
	"bytes"
	"html"
)

const (
	// maxErrorBytes bounds an error document; S3's are below 1 KiB.
	maxErrorBytes = 64 << 10
	// maxPageBytes bounds a page of a listing: 1,000 keys of 1,024 bytes, each
	// byte as "&#x0;" in the worst case, and as much again for the rest.
	maxPageBytes = 16 << 20
)

// element returns the text of the first element with this name in an XML
// document, unescaped, or nothing. It is a search, not a parser: the names it is
// used for occur in S3's documents as elements only.
func element(document []byte, name string) string {
	_, rest, found := bytes.Cut(document, []byte("<"+name+">"))
	if !found {
		return ""
	}
	text, _, found := bytes.Cut(rest, []byte("</"+name+">"))
	if !found {
		return ""
	}
	return html.UnescapeString(string(text))
}

// page is what a load wants to know of one page of a listing.
type page struct {
	keys      int
	truncated bool
	next      string // continuation token; empty on the last page
	first     string // the first key; empty page: empty
	last      string // the last key
	ordered   bool   // the keys rise strictly
}

// parsePage reads a ListBucketResult. Keys of a load need no unescaping (Keys.Prefix);
// those of others are compared as they are written.
func parsePage(document []byte) (page, bool) {
	if !bytes.Contains(document, []byte("<ListBucketResult")) || !bytes.Contains(document, []byte("</ListBucketResult>")) {
		return page{}, false
	}
	p := page{
		truncated: element(document, "IsTruncated") == "true",
		next:      element(document, "NextContinuationToken"),
		ordered:   true,
	}
	var last []byte
	for rest := document; ; {
		_, behind, found := bytes.Cut(rest, []byte("<Key>"))
		if !found {
			break
		}
		key, after, closed := bytes.Cut(behind, []byte("</Key>"))
		if !closed {
			return page{}, false
		}
		if p.keys == 0 {
			p.first = string(key)
		} else if bytes.Compare(last, key) >= 0 {
			p.ordered = false
		}
		p.keys++
		last, rest = key, after
	}
	p.last = string(last)
	return p, true
}
