package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// minPart is the least size of a part that is not the last.
const minPart = 5 << 20

// begin begins an upload.
func (c *client) begin(bucket, key string) (uploadID string) {
	c.Helper()
	out, err := c.sdk().CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	c.must(err)
	return *out.UploadId
}

// part uploads a part.
func (c *client) part(bucket, key, uploadID string, number int, body []byte) types.CompletedPart {
	c.Helper()
	n := int32(number)
	out, err := c.sdk().UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: &uploadID, PartNumber: &n, Body: bytes.NewReader(body)})
	c.must(err)
	return types.CompletedPart{PartNumber: &n, ETag: out.ETag}
}

// uploaded begins an upload and uploads its parts, from 1 on.
func (c *client) uploaded(bucket, key string, bodies ...[]byte) (uploadID string, parts []types.CompletedPart) {
	c.Helper()
	uploadID = c.begin(bucket, key)
	for i, body := range bodies {
		parts = append(parts, c.part(bucket, key, uploadID, i+1, body))
	}
	return uploadID, parts
}

// complete completes an upload.
func (c *client) complete(bucket, key, uploadID string, parts []types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
	return c.sdk().CompleteMultipartUpload(c.ctx, &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
}

// compositeOf is the entity tag of an object in parts, quoted.
func compositeOf(bodies ...[]byte) string {
	var sums []byte
	for _, body := range bodies {
		sum := md5.Sum(body)
		sums = append(sums, sum[:]...)
	}
	sum := md5.Sum(sums)
	return fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sum[:]), len(bodies))
}

// stores uploads and completes, and reports an object that is not as it should be.
func (c *client) stores(bucket, key string, bodies ...[]byte) {
	c.Helper()
	id, parts := c.uploaded(bucket, key, bodies...)
	out, err := c.complete(bucket, key, id, parts)
	c.must(err)
	want := compositeOf(bodies...)
	c.is("ETag of the completion", aws.ToString(out.ETag), want)
	c.is("Bucket", aws.ToString(out.Bucket), bucket)
	c.is("Key", aws.ToString(out.Key), key)
	c.is("Location names the object", strings.HasSuffix(aws.ToString(out.Location), "/"+bucket+"/"+escapePath(key)), true)
	c.is("ETag", aws.ToString(c.head(bucket, key).ETag), want)
	c.holds(bucket, key, bytes.Join(bodies, nil))
	_, err = c.sdk().ListParts(c.ctx, &s3.ListPartsInput{Bucket: &bucket, Key: &key, UploadId: &id})
	c.refused("ListParts of what is complete", err, http.StatusNotFound, "NoSuchUpload")
	again, err := c.complete(bucket, key, id, parts) // which S3 answers as the first
	c.must(err)
	c.is("ETag of the completion sent again", aws.ToString(again.ETag), want)
}

func multipartTests() map[string]test {
	return map[string]test{
		"multipart_upload_empty": func(c *client) {
			bucket := c.bucket()
			id := c.begin(bucket, "mymultipart")
			_, err := c.complete(bucket, "mymultipart", id, nil)
			c.refused("of no parts", err, http.StatusBadRequest, "MalformedXML")
			for _, document := range []string{"", "<CompleteMultipartUpload></CompleteMultipartUpload>", "<CompleteMultipartUpload><Part></Part></CompleteMultipartUpload>",
				"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", "<Complete/>", "nonsense"} {
				a := c.do(s3client.Request{Method: "POST", Bucket: bucket, Key: "mymultipart", Query: "uploadId=" + id, Body: []byte(document)})
				c.answers(document, a, http.StatusBadRequest, "MalformedXML")
			}
			c.missing(bucket, "mymultipart")
			c.stores(bucket, "a part of nothing", nil)
		},
		"multipart_upload_small": func(c *client) {
			bucket := c.bucket()
			c.stores(bucket, "mymultipart", []byte("x"))
			c.is("size", aws.ToInt64(c.head(bucket, "mymultipart").ContentLength), int64(1))
			id, parts := c.uploaded(bucket, "small", []byte("a"), []byte("b"))
			_, err := c.complete(bucket, "small", id, parts)
			c.refused("a small part that is not the last", err, http.StatusBadRequest, "EntityTooSmall")
			c.missing(bucket, "small")
		},
		"multipart_upload": func(c *client) {
			bucket := c.bucket()
			out, err := c.sdk().CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: some("my multipart/+"), ContentType: some("text/bla"),
				Metadata: map[string]string{"foo": "bar"}, CacheControl: some("no-store")})
			c.must(err)
			c.is("Bucket", aws.ToString(out.Bucket), bucket)
			c.is("Key", aws.ToString(out.Key), "my multipart/+")
			var parts []types.CompletedPart
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart, 2), pattern(77, 3)}
			for i, body := range bodies {
				parts = append(parts, c.part(bucket, "my multipart/+", *out.UploadId, i+1, body))
				c.is("ETag of a part", aws.ToString(parts[i].ETag), etagOf(body))
			}
			c.lists(1, bucket, asked{}, nil, nil) // nothing is there before it is complete
			_, err = c.complete(bucket, "my multipart/+", *out.UploadId, parts)
			c.must(err)
			meta := c.head(bucket, "my multipart/+")
			c.is("ContentType", aws.ToString(meta.ContentType), "text/bla")
			c.is("CacheControl", aws.ToString(meta.CacheControl), "no-store")
			c.is("Metadata", meta.Metadata, map[string]string{"foo": "bar"})
			listed := c.list(1, bucket, asked{}).contents
			c.is("objects", len(listed), 1)
			c.is("Size", aws.ToInt64(listed[0].Size), int64(2*minPart+77))
			c.is("ETag", aws.ToString(listed[0].ETag), compositeOf(bodies...))
			c.ranged(bucket, "my multipart/+", fmt.Sprintf("bytes=%d-%d", minPart-3, minPart+4), bytes.Join(bodies, nil), minPart-3, minPart+5)
		},
		"multipart_upload_resend_part": func(c *client) {
			bucket := c.bucket()
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart, 2), pattern(100, 3)}
			for _, resent := range [][]int{{1}, {2}, {3}, {1, 2, 3, 1}} {
				id, parts := c.uploaded(bucket, "mymultipart", bodies...)
				for _, n := range resent {
					c.part(bucket, "mymultipart", id, n, pattern(minPart+1, 9)) // what is sent again replaces,
					parts[n-1] = c.part(bucket, "mymultipart", id, n, bodies[n-1])
				}
				_, err := c.complete(bucket, "mymultipart", id, parts)
				c.must(err)
				c.holds(bucket, "mymultipart", bytes.Join(bodies, nil))
			}
			id, parts := c.uploaded(bucket, "former", []byte("former"))
			c.part(bucket, "former", id, 1, []byte("later"))
			_, err := c.complete(bucket, "former", id, parts)
			c.refused("the tag of a part that was replaced", err, http.StatusBadRequest, "InvalidPart")
		},
		"multipart_upload_contents": func(c *client) {
			bucket := c.bucket()
			c.stores(bucket, "mymultipart", pattern(minPart, 4), pattern(minPart+1, 5), pattern(1<<20, 6))
		},
		"abort_multipart_upload": func(c *client) {
			bucket := c.bucket()
			id, parts := c.uploaded(bucket, "mymultipart", pattern(1000, 1))
			abort := func(id string) error {
				_, err := c.sdk().AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: some("mymultipart"), UploadId: &id})
				return err
			}
			c.must(abort(id))
			c.lists(1, bucket, asked{}, nil, nil)
			_, err := c.complete(bucket, "mymultipart", id, parts)
			c.refused("completion of what was aborted", err, http.StatusNotFound, "NoSuchUpload")
			n := int32(2)
			_, err = c.sdk().UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &bucket, Key: some("mymultipart"), UploadId: &id, PartNumber: &n, Body: strings.NewReader("x")})
			c.refused("a part of what was aborted", err, http.StatusNotFound, "NoSuchUpload")
			for _, id := range []string{id, "56788", strings.Repeat("0", 32)} {
				c.refused("abort of "+id, abort(id), http.StatusNotFound, "NoSuchUpload")
			}
			_, err = c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket})
			c.must(err)
		},
		"list_multipart_upload": func(c *client) {
			bucket := c.bucket()
			type upload struct{ key, id string }
			want := map[upload]bool{}
			for _, key := range keys("mymultipart", "mymultipart", "mymultipart2", "a/b", "a/c") {
				want[upload{key, c.begin(bucket, key)}] = true
			}
			got := map[upload]bool{}
			var keyMarker, idMarker *string
			for pages := 0; ; pages++ {
				out, err := c.sdk().ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket, MaxUploads: some(int32(2)), KeyMarker: keyMarker, UploadIdMarker: idMarker})
				c.must(err)
				for _, u := range out.Uploads {
					got[upload{*u.Key, *u.UploadId}] = true
					c.is("StorageClass", u.StorageClass, types.StorageClassStandard)
					if u.Initiated == nil || u.Owner == nil || u.Initiator == nil {
						c.Errorf("%s: Initiated %v, Owner %v, Initiator %v", *u.Key, u.Initiated, u.Owner, u.Initiator)
					}
				}
				if !aws.ToBool(out.IsTruncated) {
					c.is("pages", pages, 2)
					break
				}
				c.is("uploads of a page", len(out.Uploads), 2)
				keyMarker, idMarker = out.NextKeyMarker, out.NextUploadIdMarker
			}
			c.is("uploads", got, want)
			out, err := c.sdk().ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket, Prefix: some("a"), Delimiter: some("/")})
			c.must(err)
			c.is("uploads with a delimiter", len(out.Uploads), 0)
			if len(out.CommonPrefixes) != 1 || *out.CommonPrefixes[0].Prefix != "a/" {
				c.Errorf("common prefixes: %+v", out.CommonPrefixes)
			}
			for u := range want {
				_, err := c.sdk().AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &u.key, UploadId: &u.id})
				c.must(err)
			}
			out, err = c.sdk().ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket})
			c.must(err)
			c.is("uploads at the end", len(out.Uploads), 0)
		},
		"multipart_upload_missing_part": func(c *client) {
			bucket := c.bucket()
			id, parts := c.uploaded(bucket, "mymultipart", []byte("x"))
			parts[0].PartNumber = some(int32(9999))
			_, err := c.complete(bucket, "mymultipart", id, parts)
			c.refused("a part that is not there", err, http.StatusBadRequest, "InvalidPart")
			first := c.part(bucket, "mymultipart", id, 1, pattern(minPart, 1))
			second := c.part(bucket, "mymultipart", id, 2, []byte("end"))
			_, err = c.complete(bucket, "mymultipart", id, []types.CompletedPart{second, first})
			c.refused("parts out of order", err, http.StatusBadRequest, "InvalidPartOrder")
			_, err = c.complete(bucket, "mymultipart", id, []types.CompletedPart{first, first})
			c.refused("a part twice", err, http.StatusBadRequest, "InvalidPartOrder")
			for _, n := range []int32{0, 10001, -1} {
				_, err := c.sdk().UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &bucket, Key: some("mymultipart"), UploadId: &id, PartNumber: &n, Body: strings.NewReader("x")})
				c.refused(fmt.Sprint("part ", n), err, http.StatusBadRequest, "InvalidArgument")
			}
			// Parts that are there and not named are left out.
			_, err = c.complete(bucket, "mymultipart", id, []types.CompletedPart{second})
			c.must(err)
			c.is("mymultipart", c.get(bucket, "mymultipart"), "end")
		},
		"multipart_upload_incorrect_etag": func(c *client) {
			bucket := c.bucket()
			id, parts := c.uploaded(bucket, "mymultipart", []byte("x"))
			for _, tag := range []string{`"ffffffffffffffffffffffffffffffff"`, "", "nonsense"} {
				code := "InvalidPart"
				if tag == "" {
					code = "MalformedXML"
				}
				_, err := c.complete(bucket, "mymultipart", id, []types.CompletedPart{{PartNumber: some(int32(1)), ETag: &tag}})
				c.refused("the tag "+tag, err, http.StatusBadRequest, code)
			}
			c.missing(bucket, "mymultipart")
			parts[0].ETag = some(strings.Trim(*parts[0].ETag, `"`)) // quotes are left out by some
			_, err := c.complete(bucket, "mymultipart", id, parts)
			c.must(err)
		},
		"multipart_get_part": func(c *client) {
			bucket := c.bucket()
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart+5, 2), pattern(42, 3)}
			c.stores(bucket, "k", bodies...)
			whole, from := bytes.Join(bodies, nil), 0
			for i, body := range bodies {
				out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("k"), PartNumber: some(int32(i + 1))})
				c.must(err)
				c.is("PartsCount", aws.ToInt32(out.PartsCount), int32(3))
				c.is("ETag", aws.ToString(out.ETag), compositeOf(bodies...))
				c.is("ContentRange", aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-%d/%d", from, from+len(body)-1, len(whole)))
				c.is("the bytes", c.body(out) == string(body), true)
				head, err := c.sdk().HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: some("k"), PartNumber: some(int32(i + 1))})
				c.must(err)
				c.is("ContentLength", aws.ToInt64(head.ContentLength), int64(len(body)))
				c.is("PartsCount", aws.ToInt32(head.PartsCount), int32(3))
				a := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "k", Query: fmt.Sprint("partNumber=", i+1)})
				c.answers("a part", a, http.StatusPartialContent, "")
				from += len(body)
			}
			// Of an object whose checksum is composed of its parts', each tells its own, which the SDK compares.
			composed, _ := c.checkedUpload(types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite, bodies...)
			full, _ := c.checkedUpload(types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject, bodies...)
			for i, body := range bodies {
				in := &s3.GetObjectInput{Bucket: &composed, Key: some("k"), PartNumber: some(int32(i + 1)), ChecksumMode: types.ChecksumModeEnabled}
				out, err := c.sdk().GetObject(c.ctx, in)
				c.must(err)
				c.is("the bytes", c.body(out) == string(body), true)
				c.is("ChecksumSHA256 of a part", aws.ToString(out.ChecksumSHA256), summed(sumSHA256).whole(body))
				c.is("ChecksumType of a part", out.ChecksumType, types.ChecksumTypeComposite)
				head, err := c.sdk().HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &composed, Key: some("k"), PartNumber: in.PartNumber, ChecksumMode: types.ChecksumModeEnabled})
				c.must(err)
				c.is("ChecksumSHA256 of a part by HEAD", aws.ToString(head.ChecksumSHA256), summed(sumSHA256).whole(body))
				in.Bucket = &full // which has one of the whole only
				out, err = c.sdk().GetObject(c.ctx, in)
				c.must(err)
				c.is("the bytes", c.body(out) == string(body), true)
				c.is("ChecksumCRC32 of a part", out.ChecksumCRC32, (*string)(nil))
			}
			_, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("k"), PartNumber: some(int32(5))})
			c.refused("a part that is not there", err, http.StatusBadRequest, "InvalidPart")
			for _, n := range []string{"0", "10001", "x", ""} {
				c.answers("part "+n, c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "k", Query: "partNumber=" + n}), http.StatusBadRequest, "InvalidArgument")
			}
			c.answers("part and range", c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "k", Query: "partNumber=1", Header: keyed("Range", "bytes=0-1")}), http.StatusBadRequest, "InvalidRequest")
		},
		"non_multipart_get_part": func(c *client) {
			bucket := c.filled("body")
			_, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("body"), PartNumber: some(int32(2))})
			c.refused("part 2", err, http.StatusBadRequest, "InvalidPart")
			out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("body"), PartNumber: some(int32(1))})
			c.must(err)
			c.is("the bytes", c.body(out), "body")
			c.is("PartsCount", out.PartsCount, (*int32)(nil))
			a := c.ok(c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "body", Query: "partNumber=1", Header: keyed("x-amz-checksum-mode", "ENABLED")}))
			c.is("the checksum, which is that of all", a.Header.Get("x-amz-checksum-type"), "FULL_OBJECT")
			c.is("ETag", aws.ToString(out.ETag), etagOf([]byte("body")))
			c.put(bucket, "empty", "")
			out, err = c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("empty"), PartNumber: some(int32(1))})
			c.must(err)
			c.is("the bytes", c.body(out), "")
		},
	}
}
