package s3api

import (
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// listBuckets answers ListBuckets: the owner's buckets by name, in pages if the
// client asks for pages.
func listBuckets(r *request) error {
	limit := r.h.config.Limits.MaxBuckets
	if v := r.query.value("max-buckets"); v != "" {
		n, err := r.query.page("max-buckets", limit)
		if err != nil || n == 0 {
			return refuse(codeInvalidArgument, "max-buckets must be an integer between 1 and "+itoa(limit)).argument("max-buckets", v)
		}
		limit = n
	}
	after, err := r.tokenAfter("continuation-token")
	if err != nil {
		return err
	}
	prefix := r.query.value("prefix")
	paged := r.query.has("max-buckets") || r.query.has("prefix") || r.query.has("continuation-token") || r.query.has("bucket-region")

	all := r.h.config.Gateway.Buckets()
	begin, found := slices.BinarySearchFunc(all, max(after, prefix), func(b *objects.BucketDoc, name string) int { return strings.Compare(b.Name, name) })
	if found && all[begin].Name == after {
		begin++
	}
	page := all[begin:]
	if end := slices.IndexFunc(page, func(b *objects.BucketDoc) bool { return !strings.HasPrefix(b.Name, prefix) }); end >= 0 {
		page = page[:end]
	}
	if region := r.query.value("bucket-region"); region != "" && region != r.h.config.Region {
		page = nil
	}
	more := len(page) > limit
	page = page[:min(limit, len(page))]

	m := r.newMarkup()
	m.root("ListAllMyBucketsResult")
	r.owner(m, "Owner")
	m.open("Buckets")
	for _, b := range page {
		m.open("Bucket")
		m.text("Name", b.Name)
		m.instant("CreationDate", b.Created)
		if paged {
			m.text("BucketRegion", r.h.config.Region)
		}
		m.end("Bucket")
	}
	m.end("Buckets")
	if more {
		m.text("ContinuationToken", token{after: page[len(page)-1].Name}.String())
	}
	m.optional("Prefix", prefix)
	m.end("ListAllMyBucketsResult")
	r.send(m)
	return nil
}

// owner writes the account that owns everything.
func (r *request) owner(m *markup, element string) {
	m.open(element)
	m.text("ID", r.h.config.Owner.ID)
	m.text("DisplayName", r.h.config.Owner.DisplayName)
	m.end(element)
}
