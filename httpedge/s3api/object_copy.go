package s3api

import (
	"strings"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// source is an object opened to be copied from. Its owner closes the payload.
type source struct {
	target  target
	meta    *objects.Meta
	payload Payload
}

// parseSource reads x-amz-copy-source: bucket and key, with or without a
// leading slash, percent-encoded once, and perhaps a version.
func parseSource(header string) (at target, version string, err error) {
	bad := func() *Error {
		return refuse(codeInvalidArgument, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey").argument("x-amz-copy-source", header)
	}
	path := header
	if i := strings.LastIndexByte(path, '?'); i >= 0 {
		if id, ok := strings.CutPrefix(path[i+1:], "versionId="); ok {
			path = path[:i]
			if version, err = versionOf(id, true); err != nil {
				return at, "", err
			}
		}
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok {
		// Some clients encode the separator with the rest.
		decoded, err := unescape(path, plusIsPlus)
		if err != nil {
			return at, "", bad()
		}
		bucket, key, _ = strings.Cut(strings.TrimPrefix(decoded, "/"), "/")
		at = target{bucket, key}
	} else {
		if at.bucket, err = unescape(bucket, plusIsPlus); err != nil {
			return at, "", bad()
		}
		if at.key, err = unescape(key, plusIsPlus); err != nil {
			return at, "", bad()
		}
	}
	if at.bucket == "" || at.key == "" {
		return at, "", bad()
	}
	return at, version, checkKey(at.key)
}

// openSource opens what a copy reads from, if its conditions hold. All of them
// answer 412 when they do not: there is no 304 for a copy.
func (r *request) openSource() (*source, error) {
	if r.header.encryption {
		return nil, refuse(codeNotImplemented, "Server-side encryption is not implemented.")
	}
	at, version, err := parseSource(r.header.copySource.value)
	if err != nil {
		return nil, err
	}
	bucket, err := r.bucketNamed(at.bucket, r.header.expectedSourceOwner)
	if err != nil {
		return nil, err
	}
	meta, payload, err := r.h.config.Gateway.Open(r.context, bucket, at.key, version)
	if err != nil {
		return nil, errorOf(err, at)
	}
	conditions := r.header.sourceConditions()
	if conditions.ForRead(meta) != objects.Proceed {
		payload.Close()
		return nil, refuse(codePreconditionFailed, "").with("Condition", "x-amz-copy-source-If-"+failedCondition(&r.header))
	}
	return &source{at, meta, payload}, nil
}

// failedCondition names the condition of a copy that was looked at.
func failedCondition(h *header) string {
	switch {
	case h.copyIfMatch != "":
		return "Match"
	case h.copyIfNoneMatch != "":
		return "None-Match"
	case h.copyIfUnmodifiedSince != "":
		return "Unmodified-Since"
	}
	return "Modified-Since"
}

// directive reads x-amz-metadata-directive or x-amz-tagging-directive.
func directive(name, value string) (replace bool, err error) {
	switch value {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	}
	return false, refuse(codeInvalidArgument, "Unknown metadata directive.").argument(name, value)
}

// copyObject answers CopyObject: the bytes are read and written again, for two
// objects never share a file.
func copyObject(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	replaceMetadata, err := directive("x-amz-metadata-directive", r.header.metadataDirective)
	if err != nil {
		return err
	}
	replaceTags, err := directive("x-amz-tagging-directive", r.header.taggingDirective)
	if err != nil {
		return err
	}
	wanted, err := r.header.wanted()
	if err != nil {
		return err
	}
	draft, err := r.draft()
	if err != nil {
		return err
	}
	from, err := r.openSource()
	if err != nil {
		return err
	}
	defer from.payload.Close()
	if from.target == r.target && !replaceMetadata && draft.Headers.Redirect == from.meta.Headers.Redirect {
		return refuse(codeInvalidRequest, "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if size, limit := from.meta.Size, r.h.config.Limits.ObjectBytes; size > limit {
		return tooLarge(size, limit)
	}
	if !replaceMetadata {
		redirect := draft.Headers.Redirect // never copied
		draft.Headers, draft.User = from.meta.Headers, from.meta.User
		draft.Headers.Redirect = redirect
	}
	if !replaceTags {
		draft.Tags = from.meta.Tags
	}
	algorithm := wanted.Algorithm
	if r.header.checksumAlgorithm == "" && len(from.meta.Checksums) > 0 {
		algorithm = from.meta.Checksums[0].Algorithm
	}

	receipt, err := r.h.config.Gateway.Put(r.context, bucket, &gateway.Put{
		Name:       r.target.key,
		Draft:      draft,
		Conditions: r.header.writeConditions(),
		Size:       from.meta.Size,
		Body:       from.payload.Reader(0, from.meta.Size),
		Sums:       []checksum.Algorithm{algorithm},
		Copies:     true,
	})
	if err != nil {
		return err
	}
	r.setNonEmpty("x-amz-copy-source-version-id", from.meta.VersionID)
	r.setNonEmpty("x-amz-version-id", receipt.Meta.VersionID)
	r.receipt(receipt)
	m := r.newMarkup()
	m.root("CopyObjectResult")
	m.etag("ETag", receipt.Meta.ETag)
	m.instant("LastModified", receipt.Meta.Modified)
	m.sumsAndType(receipt.Meta.Checksums)
	m.end("CopyObjectResult")
	r.send(m)
	return nil
}
