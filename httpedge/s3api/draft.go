package s3api

import (
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// storageClass is the only one there is; the bucket's durability is not it.
const storageClass = "STANDARD"

// draft reads what a client wants to be kept with an object, and refuses what
// S3 could do for it and Troupe cannot.
func (r *request) draft() (objects.Draft, error) {
	h := &r.header
	if err := r.privateACL(); err != nil {
		return objects.Draft{}, err
	}
	switch {
	case h.encryption:
		return objects.Draft{}, refuse(codeNotImplemented, "Server-side encryption is not implemented.")
	case h.lock:
		return objects.Draft{}, refuse(codeInvalidRequest, "Bucket is missing Object Lock Configuration")
	case h.writeOffset:
		return objects.Draft{}, refuse(codeNotImplemented, "Appending to objects is not implemented.")
	case h.storageClass != "" && h.storageClass != storageClass:
		return objects.Draft{}, refuse(codeInvalidStorageClass, "").with("StorageClassRequested", h.storageClass)
	case h.redirect != "" && !strings.HasPrefix(h.redirect, "/") && !strings.HasPrefix(h.redirect, "http://") && !strings.HasPrefix(h.redirect, "https://"):
		return objects.Draft{}, refuse(codeInvalidRedirect, "")
	}
	size := 0
	for _, p := range h.user {
		size += len(p.Name) + len(p.Value)
	}
	if limit := r.h.config.Limits.MetadataBytes; size > limit {
		return objects.Draft{}, refuse(codeMetadataTooLarge, "").with("Size", itoa(size)).with("MaxSizeAllowed", itoa(limit))
	}
	tags, err := h.tags()
	if err != nil {
		return objects.Draft{}, err
	}
	return objects.Draft{
		Headers: objects.Headers{
			ContentType:        h.contentType,
			ContentEncoding:    withoutChunked(h.contentEncoding),
			ContentDisposition: h.contentDisposition,
			ContentLanguage:    h.contentLanguage,
			CacheControl:       h.cacheControl,
			Expires:            h.expires,
			Redirect:           h.redirect,
		},
		User: h.user,
		Tags: tags,
	}, nil
}

// withoutChunked removes aws-chunked from a list of content codings: it is how
// the request came, not what the object is.
func withoutChunked(codings string) string {
	if !strings.Contains(strings.ToLower(codings), "aws-chunked") {
		return codings
	}
	var kept []string
	for coding := range strings.SplitSeq(codings, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "aws-chunked") {
			kept = append(kept, coding)
		}
	}
	return strings.Join(kept, ", ")
}
