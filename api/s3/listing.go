package s3

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// pageKeys is how many keys a page has: S3's most.
const pageKeys = 1000

// Listing says what to list.
type Listing struct {
	Bucket    string
	Prefix    string
	Delimiter string // rolls up what lies beyond it; empty: nothing is rolled up
	After     string // begins after this key
	Page      int    // entries that are asked for together; 0: as many as S3 gives
}

// Entry is an object, or a common prefix.
type Entry struct {
	Key      string
	IsPrefix bool // Key is a common prefix; the rest is zero
	Size     int64
	Modified time.Time
	ETag     string // without quotes
}

// Walk lists page by page, in the order of keys within objects and within prefixes of a
// page; what follows an error is nothing.
func (c Client) Walk(ctx context.Context, l Listing) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for token := ""; ; {
			entries, next, err := c.page(ctx, l, token)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// pageKeys is how many entries a page is asked for.
func (l *Listing) pageKeys() int64 {
	if l.Page > 0 {
		return int64(l.Page)
	}
	return pageKeys
}

// page asks for one page.
func (c Client) page(ctx context.Context, l Listing, token string) (entries []Entry, next string, err error) {
	r := request("list", "GET", l.Bucket, "")
	after := l.After
	if token != "" {
		after = ""
	}
	r.Query = query("continuation-token", token, "delimiter", l.Delimiter, "encoding-type", "url", "list-type", "2",
		"max-keys", itoa(l.pageKeys()), "prefix", l.Prefix, "start-after", after)
	var page struct {
		EncodingType string
		Contents     []struct {
			Key          string
			Size         int64
			LastModified time.Time
			ETag         string
		}
		CommonPrefixes        []struct{ Prefix string }
		IsTruncated           bool
		NextContinuationToken string
	}
	if _, err := c.read(ctx, r, &page); err != nil {
		return nil, "", err
	}
	decode := func(name string) string {
		if page.EncodingType != "url" {
			return name
		}
		decoded, bad := url.QueryUnescape(name)
		if bad != nil {
			err = errs.E(r.Op, r.What, errs.Internal, bad)
		}
		return decoded
	}
	entries = make([]Entry, 0, len(page.Contents)+len(page.CommonPrefixes))
	for _, p := range page.CommonPrefixes {
		entries = append(entries, Entry{Key: decode(p.Prefix), IsPrefix: true})
	}
	for _, o := range page.Contents {
		entries = append(entries, Entry{Key: decode(o.Key), Size: o.Size, Modified: o.LastModified, ETag: unquote(o.ETag)})
	}
	if page.IsTruncated {
		if next = page.NextContinuationToken; next == "" || next == token {
			err = errs.E(r.Op, r.What, errs.Internal, errors.New("a page that is not the last leads nowhere"))
		}
	}
	return entries, next, err
}
