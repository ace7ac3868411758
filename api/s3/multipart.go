package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"net/url"
	"time"

	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxParts is how many parts an upload has at most.
const MaxParts = 10000

// Part is a part of an upload.
type Part struct {
	Number   int // from 1
	Size     int64
	ETag     string
	Sum      checksum.Value // CRC64NVME; zero if the server does not say
	Modified time.Time
}

// CreateUpload begins a multipart upload whose parts and whole have a CRC64NVME.
func (c Client) CreateUpload(ctx context.Context, bucket, key string, a Attributes) (uploadID string, err error) {
	r := request("create upload", "POST", bucket, key)
	r.Query = query("uploads=", "")
	a.add(r)
	header(r, "x-amz-checksum-algorithm", checksum.CRC64NVME.String(), "x-amz-checksum-type", checksum.FullObject.String())
	var result struct{ UploadId string } //nolint:revive // S3's spelling
	_, err = c.read(ctx, r, &result)
	return result.UploadId, err
}

// PutPart stores a part; p has its number, size and sum. It returns p with its ETag.
func (c Client) PutPart(ctx context.Context, bucket, key, uploadID string, p Part, body func() (io.ReadCloser, error)) (Part, error) {
	r := request("put part", "PUT", bucket, key)
	r.Query = query("partNumber", itoa(p.Number), "uploadId", uploadID)
	r.Body, r.Length = body, p.Size
	if p.Sum.Algorithm != checksum.None {
		header(r, p.Sum.Algorithm.Header(), p.Sum.String())
	}
	h, err := c.do(ctx, r)
	if err != nil {
		return Part{}, err
	}
	p.ETag = unquote(h.Get("ETag"))
	return p, nil
}

// CopyPart makes a part of a range of another object, both ends included.
func (c Client) CopyPart(ctx context.Context, p Copy, uploadID string, number int, first, last int64) (Part, error) {
	r := request("copy part", "PUT", p.Bucket, p.Key)
	r.Query = query("partNumber", itoa(number), "uploadId", uploadID)
	header(r, "x-amz-copy-source", p.source(), "x-amz-copy-source-range", "bytes="+itoa(first)+"-"+itoa(last))
	if p.IfMatch != "" {
		header(r, "x-amz-copy-source-if-match", `"`+p.IfMatch+`"`)
	}
	var result struct{ ETag string }
	if _, err := c.read(ctx, r, &result); err != nil {
		return Part{}, err
	}
	return Part{Number: number, Size: last - first + 1, ETag: unquote(result.ETag)}, nil
}

// Parts lists the parts of an upload; errs.NotFound if there is no such upload.
func (c Client) Parts(ctx context.Context, bucket, key, uploadID string) ([]Part, error) {
	var all []Part
	for marker := 0; ; {
		r := request("list parts", "GET", bucket, key)
		r.Query = query("max-parts", "1000", "part-number-marker", itoa(marker), "uploadId", uploadID)
		var page struct {
			IsTruncated bool
			Part        []struct {
				PartNumber        int
				Size              int64
				ETag              string
				LastModified      time.Time
				ChecksumCRC64NVME string
			}
		}
		if _, err := c.read(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Part {
			part := Part{Number: p.PartNumber, Size: p.Size, ETag: unquote(p.ETag), Modified: p.LastModified}
			if sum, err := checksum.ParseValue(checksum.CRC64NVME, p.ChecksumCRC64NVME); err == nil {
				part.Sum = sum
			}
			all = append(all, part)
		}
		if !page.IsTruncated || len(page.Part) == 0 {
			return all, nil
		}
		marker = page.Part[len(page.Part)-1].PartNumber
	}
}

// Complete makes the object of its parts, in ascending order. whole is the checksum that
// it must have; zero: none is sent. Parts that were copied have no sums: only the server
// knows them.
func (c Client) Complete(ctx context.Context, bucket, key, uploadID string, parts []Part, whole checksum.Value) (Written, error) {
	r := request("complete upload", "POST", bucket, key)
	r.Query = query("uploadId", uploadID)
	type part struct {
		PartNumber        int
		ETag              string
		ChecksumCRC64NVME string `xml:",omitempty"`
	}
	var demand struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Part    []part
	}
	for _, p := range parts {
		one := part{PartNumber: p.Number, ETag: `"` + p.ETag + `"`}
		if p.Sum.Algorithm == checksum.CRC64NVME {
			one.ChecksumCRC64NVME = p.Sum.String()
		}
		demand.Part = append(demand.Part, one)
	}
	body, err := xml.Marshal(demand)
	if err != nil {
		return Written{}, err
	}
	document(r, body)
	header(r, "Content-Type", "application/xml")
	if whole.Algorithm != checksum.None {
		header(r, whole.Algorithm.Header(), whole.String(), "x-amz-checksum-type", whole.Type.String())
	}
	var result struct{ ETag string }
	h, err := c.read(ctx, r, &result)
	if err != nil {
		return Written{}, err
	}
	return Written{unquote(result.ETag), h.Get("X-Troupe-Receipt")}, nil
}

// Abort ends an upload; its parts go.
func (c Client) Abort(ctx context.Context, bucket, key, uploadID string) error {
	r := request("abort upload", "DELETE", bucket, key)
	r.Query = query("uploadId", uploadID)
	_, err := c.do(ctx, r)
	return err
}

// Upload is a multipart upload that has begun and is neither completed nor aborted.
type Upload struct {
	Key       string
	ID        string
	Initiated time.Time
}

// Uploads lists the uploads of keys that begin with a prefix, in the order of keys;
// what follows an error is nothing.
func (c Client) Uploads(ctx context.Context, bucket, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		for key, id := "", ""; ; {
			r := request("list uploads", "GET", bucket, "")
			r.Query = query("encoding-type", "url", "key-marker", key, "max-uploads", itoa(pageKeys), "prefix", prefix, "upload-id-marker", id, "uploads=", "")
			var page struct {
				EncodingType string
				Upload       []struct {
					Key       string
					UploadId  string
					Initiated time.Time
				}
				IsTruncated        bool
				NextKeyMarker      string
				NextUploadIdMarker string
			}
			_, err := c.read(ctx, r, &page)
			decode := func(name string) string {
				if page.EncodingType != "url" {
					return name
				}
				decoded, bad := url.QueryUnescape(name)
				if bad != nil && err == nil {
					err = errs.E(r.Op, r.What, errs.Internal, bad)
				}
				return decoded
			}
			next := decode(page.NextKeyMarker)
			if err == nil && page.IsTruncated && next == key && page.NextUploadIdMarker == id {
				err = errs.E(r.Op, r.What, errs.Internal, errors.New("a page that is not the last leads nowhere"))
			}
			for i := 0; i < len(page.Upload) && err == nil; i++ {
				u := Upload{Key: decode(page.Upload[i].Key), ID: page.Upload[i].UploadId, Initiated: page.Upload[i].Initiated}
				if err == nil && !yield(u, nil) {
					return
				}
			}
			if err != nil {
				yield(Upload{}, err)
				return
			}
			if !page.IsTruncated {
				return
			}
			key, id = next, page.NextUploadIdMarker
		}
	}
}
