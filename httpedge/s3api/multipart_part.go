package s3api

import (
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// putPart answers UploadPart, or UploadPartCopy where a source is named.
func putPart(r *request) error {
	number, given, err := r.query.part(r.h.config.Limits.MaxParts)
	if err != nil {
		return err
	}
	if !given {
		return refuse(codeInvalidArgument, "partNumber is missing").argument("partNumber", "")
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	upload, err := r.findUpload(bucket)
	if err != nil {
		return err
	}
	if r.header.encryption {
		return refuse(codeNotImplemented, "Server-side encryption is not implemented.")
	}
	if r.header.copySource.ok {
		return r.copyPart(bucket, upload, number)
	}
	put, err := r.upload(r.h.config.Limits.PartBytes)
	if err != nil {
		return err
	}
	put.Name = r.target.key
	sent := checksum.None
	if len(put.Sums) > 0 {
		sent = put.Sums[0]
	}
	if put.Sums, err = partSums(upload, sent); err != nil {
		return err
	}
	part, err := r.h.config.Gateway.PutPart(r.context, bucket, upload.ID, number, put)
	if err != nil {
		return err
	}
	r.set("ETag", `"`+part.ETag+`"`)
	if v, ok := checksum.Find(part.Checksums, put.Sums[0]); ok {
		r.set(v.Algorithm.Header(), v.String())
	}
	return r.empty(fasthttp.StatusOK)
}

// findUpload returns the upload that the request names.
func (r *request) findUpload(bucket *objects.BucketDoc) (*objects.Upload, error) {
	id, err := r.uploadID()
	if err != nil {
		return nil, err
	}
	page, err := r.h.config.Gateway.ListParts(r.context, bucket, r.target.key, id, 0, 1)
	if err != nil {
		return nil, err
	}
	return &page.Upload, nil
}

// uploadID returns the upload's id as objects.Upload has it: 32 hexadecimal
// digits. No other names an upload, and none gets further than this.
func (r *request) uploadID() (string, error) {
	id := r.query.value("uploadId")
	if len(id) != 32 || strings.ContainsFunc(id, func(c rune) bool { return c >= utf8.RuneSelf || unhex(byte(c)) < 0 }) {
		return "", refuse(codeNoSuchUpload, "").with("UploadId", id)
	}
	return id, nil
}

// partSums returns the checksums to compute of a part: the one that its client
// sent, which the answer repeats, and the one that the whole will be made of.
// An upload that announced no algorithm is CRC64NVME here as on S3, and its
// parts may come with any other; one that announced another takes only that.
func partSums(upload *objects.Upload, sent checksum.Algorithm) ([]checksum.Algorithm, error) {
	announced := upload.Checksum.Algorithm
	switch {
	case sent == announced || sent == checksum.None:
		return []checksum.Algorithm{announced}, nil
	case announced == checksum.None: // an upload that another API began
		return []checksum.Algorithm{sent}, nil
	case announced == checksum.CRC64NVME:
		return []checksum.Algorithm{sent, announced}, nil
	}
	return nil, refuse(codeInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: "+strings.ToLower(announced.String())+
		", actual checksum Type: "+strings.ToLower(sent.String()))
}

// copyPart answers UploadPartCopy.
func (r *request) copyPart(bucket *objects.BucketDoc, upload *objects.Upload, number int) error {
	from, err := r.openSource()
	if err != nil {
		return err
	}
	defer from.payload.Close()
	offset, length := int64(0), from.meta.Size
	if r.header.copyRange.ok {
		if offset, length, err = copyRange(r.header.copyRange.value, from.meta.Size); err != nil {
			return err
		}
	}
	if limit := r.h.config.Limits.PartBytes; length > limit {
		return tooLarge(length, limit)
	}
	part, err := r.h.config.Gateway.PutPart(r.context, bucket, upload.ID, number, &gateway.Put{
		Name: r.target.key,
		Size: length,
		Body: from.payload.Reader(offset, length),
		Sums: []checksum.Algorithm{upload.Checksum.Algorithm},
	})
	if err != nil {
		return err
	}
	r.setNonEmpty("x-amz-copy-source-version-id", from.meta.VersionID)
	m := r.newMarkup()
	m.root("CopyPartResult")
	m.etag("ETag", part.ETag)
	m.instant("LastModified", part.Modified)
	m.sums(part.Checksums)
	m.end("CopyPartResult")
	r.send(m)
	return nil
}

// copyRange reads x-amz-copy-source-range. Unlike Range it has one form only,
// and must lie within the source.
func copyRange(header string, size int64) (offset, length int64, err error) {
	asked := objects.ParseRange(header)
	if asked.Kind != objects.RangeBetween || strings.ContainsAny(header, " \t") {
		return 0, 0, refuse(codeInvalidArgument, "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy").
			argument("x-amz-copy-source-range", header)
	}
	if asked.Last >= size {
		return 0, 0, refuse(codeInvalidRange, "Range specified is not valid for source object of size: "+itoa(size)).argument("x-amz-copy-source-range", header)
	}
	return asked.First, asked.Last - asked.First + 1, nil
}
