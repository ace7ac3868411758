package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"github.com/troupe-storage/troupe/test/s3client"
)

// summed is a checksum of a payload, raw.
type summed func(body []byte) []byte

func sumSHA256(body []byte) []byte { sum := sha256.Sum256(body); return sum[:] }
func sumCRC32(body []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))
}
func sumCRC32C(body []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}
func sumCRC64NVME(body []byte) []byte {
	return binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(body))
}

// whole is a checksum as S3 writes it; composite, that of parts.
func (s summed) whole(body []byte) string { return base64.StdEncoding.EncodeToString(s(body)) }

func (s summed) composite(bodies ...[]byte) string {
	var sums []byte
	for _, body := range bodies {
		sums = append(sums, s(body)...)
	}
	return fmt.Sprintf("%s-%d", s.whole(sums), len(bodies))
}

// checksum stores an object with a checksum of an algorithm, and reads it.
func checksum(algorithm types.ChecksumAlgorithm, sum summed) test {
	return func(c *client) {
		bucket, name := c.bucket(), "x-amz-checksum-"+strings.ToLower(string(algorithm))
		for _, body := range [][]byte{nil, []byte("foo"), pattern(1<<20, 1)} {
			want := sum.whole(body)
			_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("sdk"), Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
			c.must(err)
			a := c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "raw", Body: body, Header: keyed(name, want)}))
			c.is(name+" of PUT", a.Header.Get(name), want)
			c.is("x-amz-checksum-type of PUT", a.Header.Get("x-amz-checksum-type"), "FULL_OBJECT")
			for _, key := range keys("sdk", "raw") {
				for _, method := range []string{"GET", "HEAD"} {
					a := c.ok(c.do(s3client.Request{Method: method, Bucket: bucket, Key: key, Header: keyed("x-amz-checksum-mode", "ENABLED")}))
					c.is(name+" of "+method, a.Header.Get(name), want)
					c.is("x-amz-checksum-type", a.Header.Get("x-amz-checksum-type"), "FULL_OBJECT")
					a = c.ok(c.do(s3client.Request{Method: method, Bucket: bucket, Key: key}))
					c.is(name+" that nobody asked for", a.Header.Get(name), "")
				}
			}
			listed := c.list(2, bucket, asked{prefix: some("sdk")}).contents
			c.is("ChecksumAlgorithm of a listing", listed[0].ChecksumAlgorithm, []types.ChecksumAlgorithm{algorithm})
			c.is("ChecksumType of a listing", listed[0].ChecksumType, types.ChecksumTypeFullObject)
		}
		a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", Body: []byte("foo"), Header: keyed(name, sum.whole([]byte("bar")))})
		c.answers("another checksum", a, http.StatusBadRequest, "BadDigest")
		for _, value := range []string{"bad", "", "AA=="} {
			a = c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", Body: []byte("foo"), Header: keyed(name, value)})
			c.answers("the checksum "+value, a, http.StatusBadRequest, "InvalidRequest")
		}
		a = c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", Body: []byte("foo"), Header: keyed(name, sum.whole([]byte("foo")), "x-amz-checksum-sha1", "C+7Hteo/D9vJXQ3UfzxbwnXaijM=")})
		c.answers("two checksums", a, http.StatusBadRequest, "InvalidRequest")
		c.missing(bucket, "bad")
	}
}

// checkedUpload uploads parts with checksums, completes, and returns where the object is.
func (c *client) checkedUpload(algorithm types.ChecksumAlgorithm, kind types.ChecksumType, bodies ...[]byte) (bucket string, done *s3.CompleteMultipartUploadOutput) {
	c.Helper()
	bucket = c.bucket()
	created, err := c.sdk().CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: some("k"), ChecksumAlgorithm: algorithm, ChecksumType: kind})
	c.must(err)
	c.is("ChecksumAlgorithm of the upload", created.ChecksumAlgorithm, algorithm)
	c.is("ChecksumType of the upload", created.ChecksumType, kind)
	var parts []types.CompletedPart
	for i, body := range bodies {
		n := int32(i + 1)
		out, err := c.sdk().UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &bucket, Key: some("k"), UploadId: created.UploadId, PartNumber: &n, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
		c.must(err)
		parts = append(parts, types.CompletedPart{PartNumber: &n, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C,
			ChecksumSHA256: out.ChecksumSHA256, ChecksumCRC64NVME: out.ChecksumCRC64NVME})
	}
	// A part under another checksum than it has is none of the parts.
	wrong := append([]types.CompletedPart(nil), parts...)
	switch algorithm {
	case types.ChecksumAlgorithmCrc32:
		wrong[0].ChecksumCRC32 = some("AAAAAA==")
	case types.ChecksumAlgorithmCrc32c:
		wrong[0].ChecksumCRC32C = some("AAAAAA==")
	case types.ChecksumAlgorithmSha256:
		wrong[0].ChecksumSHA256 = some(summed(sumSHA256).whole([]byte("another")))
	}
	complete := func(parts []types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
		return c.sdk().CompleteMultipartUpload(c.ctx, &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: some("k"), UploadId: created.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	}
	_, err = complete(wrong)
	c.refused("a part of another checksum", err, http.StatusBadRequest, "InvalidPart")
	done, err = complete(parts)
	c.must(err)
	c.is("ChecksumType of the completion", done.ChecksumType, kind)
	c.holds(bucket, "k", bytes.Join(bodies, nil))
	return bucket, done
}

// partChecksums uploads in parts with each kind of checksum that an algorithm has.
func partChecksums(algorithm types.ChecksumAlgorithm, sum summed, kinds ...types.ChecksumType) test {
	return func(c *client) {
		bodies := [][]byte{pattern(minPart, 1), pattern(minPart, 2), pattern(123, 3)}
		for _, kind := range kinds {
			bucket, done := c.checkedUpload(algorithm, kind, bodies...)
			want := sum.composite(bodies...)
			if kind == types.ChecksumTypeFullObject {
				want = sum.whole(bytes.Join(bodies, nil))
			}
			got := map[types.ChecksumAlgorithm]*string{types.ChecksumAlgorithmSha256: done.ChecksumSHA256, types.ChecksumAlgorithmCrc32: done.ChecksumCRC32, types.ChecksumAlgorithmCrc32c: done.ChecksumCRC32C}[algorithm]
			c.is("checksum of the completion", aws.ToString(got), want)
			for _, method := range []string{"GET", "HEAD"} {
				a := c.ok(c.do(s3client.Request{Method: method, Bucket: bucket, Key: "k", Header: keyed("x-amz-checksum-mode", "ENABLED")}))
				c.is("checksum of "+method, a.Header.Get("x-amz-checksum-"+strings.ToLower(string(algorithm))), want)
				c.is("x-amz-checksum-type of "+method, a.Header.Get("x-amz-checksum-type"), string(kind))
			}
		}
		bucket, id := c.bucket(), ""
		out, err := c.sdk().CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: some("k"), ChecksumAlgorithm: algorithm})
		c.must(err)
		id = *out.UploadId
		name := "x-amz-checksum-" + strings.ToLower(string(algorithm))
		a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "k", Query: s3client.Query("partNumber", "1", "uploadId", id), Body: []byte("foo"), Header: keyed(name, sum.whole([]byte("bar")))})
		c.answers("a part with another checksum", a, http.StatusBadRequest, "BadDigest")
		a = c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "k", Query: s3client.Query("partNumber", "1", "uploadId", id), Body: []byte("foo"), Header: keyed("x-amz-checksum-sha1", "C+7Hteo/D9vJXQ3UfzxbwnXaijM=")})
		c.answers("a part with a checksum of another algorithm", a, http.StatusBadRequest, "InvalidRequest")
	}
}

// attributes is GetObjectAttributes of all there are.
func (c *client) attributes(bucket, key string, max *int32, marker *string) *s3.GetObjectAttributesOutput {
	c.Helper()
	out, err := c.sdk().GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: &bucket, Key: &key, MaxParts: max, PartNumberMarker: marker,
		ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}})
	c.must(err)
	return out
}

func payloadTests() map[string]test {
	return map[string]test{
		"object_checksum_sha256":            checksum(types.ChecksumAlgorithmSha256, sumSHA256),
		"object_checksum_crc64nvme":         checksum(types.ChecksumAlgorithmCrc64nvme, sumCRC64NVME),
		"multipart_checksum_sha256":         partChecksums(types.ChecksumAlgorithmSha256, sumSHA256, types.ChecksumTypeComposite),
		"multipart_use_cksum_helper_crc32":  partChecksums(types.ChecksumAlgorithmCrc32, sumCRC32, types.ChecksumTypeComposite, types.ChecksumTypeFullObject),
		"multipart_use_cksum_helper_crc32c": partChecksums(types.ChecksumAlgorithmCrc32c, sumCRC32C, types.ChecksumTypeComposite, types.ChecksumTypeFullObject),

		"get_object_attributes": func(c *client) {
			bucket, body := c.bucket(), "attributes"
			put, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("k"), Body: strings.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
			c.must(err)
			tag := aws.ToString(put.ETag)
			out := c.attributes(bucket, "k", nil, nil)
			c.is("ETag has no quotes", aws.ToString(out.ETag), strings.Trim(tag, `"`))
			c.is("ObjectSize", aws.ToInt64(out.ObjectSize), int64(len(body)))
			c.is("StorageClass", out.StorageClass, types.StorageClassStandard)
			c.is("LastModified", aws.ToTime(out.LastModified).UTC(), c.head(bucket, "k").LastModified.UTC())
			if out.ObjectParts != nil {
				c.Errorf("ObjectParts of an object in one piece: %+v", out.ObjectParts)
			}
			if out.Checksum == nil {
				c.Fatalf("no Checksum")
			}
			c.is("ChecksumCRC32", aws.ToString(out.Checksum.ChecksumCRC32), summed(sumCRC32).whole([]byte(body)))
			c.is("ChecksumType", out.Checksum.ChecksumType, types.ChecksumTypeFullObject)
			size, err := c.sdk().GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: &bucket, Key: aws.String("k"), ObjectAttributes: []types.ObjectAttributes{"ObjectSize"}})
			c.must(err)
			if size.ETag != nil || size.Checksum != nil || size.StorageClass != "" || size.ObjectSize == nil {
				c.Errorf("what was not asked for: %+v", size)
			}
			_, err = c.sdk().GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: &bucket, Key: aws.String("gone"), ObjectAttributes: []types.ObjectAttributes{"ETag"}})
			c.refused("of what is not there", err, http.StatusNotFound, "NoSuchKey")
			_, err = c.sdk().GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: &bucket, Key: aws.String("k"), ObjectAttributes: []types.ObjectAttributes{"Colour"}})
			c.refused("an attribute that is none", err, http.StatusBadRequest, "InvalidArgument")
		},
		"get_multipart_object_attributes": func(c *client) {
			bucket := c.bucket()
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart, 2), pattern(10, 3)}
			c.stores(bucket, "k", bodies...)
			out := c.attributes(bucket, "k", nil, nil)
			c.is("ETag", aws.ToString(out.ETag), strings.Trim(compositeOf(bodies...), `"`))
			c.is("ObjectSize", aws.ToInt64(out.ObjectSize), int64(2*minPart+10))
			if out.ObjectParts == nil {
				c.Fatalf("no ObjectParts")
			}
			c.is("TotalPartsCount", aws.ToInt32(out.ObjectParts.TotalPartsCount), int32(3))
			c.is("IsTruncated", aws.ToBool(out.ObjectParts.IsTruncated), false)
			c.is("Parts", len(out.ObjectParts.Parts), 3)
			for i, p := range out.ObjectParts.Parts {
				c.is("PartNumber", aws.ToInt32(p.PartNumber), int32(i+1))
				c.is("Size", aws.ToInt64(p.Size), int64(len(bodies[i])))
			}
		},
		"get_paginated_multipart_object_attributes": func(c *client) {
			bucket := c.bucket()
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart+1, 2), pattern(10, 3)}
			c.stores(bucket, "k", bodies...)
			var marker *string
			for i := range 3 {
				p := c.attributes(bucket, "k", some(int32(1)), marker).ObjectParts
				c.is("TotalPartsCount", aws.ToInt32(p.TotalPartsCount), int32(3))
				c.is("MaxParts", aws.ToInt32(p.MaxParts), int32(1))
				c.is("PartNumberMarker", aws.ToString(p.PartNumberMarker), fmt.Sprint(i))
				c.is("NextPartNumberMarker", aws.ToString(p.NextPartNumberMarker), fmt.Sprint(i+1))
				c.is("IsTruncated", aws.ToBool(p.IsTruncated), i < 2)
				c.is("Parts", len(p.Parts), 1)
				c.is("PartNumber", aws.ToInt32(p.Parts[0].PartNumber), int32(i+1))
				c.is("Size", aws.ToInt64(p.Parts[0].Size), int64(len(bodies[i])))
				marker = p.NextPartNumberMarker
			}
			p := c.attributes(bucket, "k", some(int32(10)), some("1")).ObjectParts
			c.is("Parts after the first", len(p.Parts), 2)
			c.is("IsTruncated", aws.ToBool(p.IsTruncated), false)
		},
		"get_multipart_checksum_object_attributes": func(c *client) {
			bodies := [][]byte{pattern(minPart, 1), pattern(minPart, 2), pattern(10, 3)}
			bucket, _ := c.checkedUpload(types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite, bodies...)
			out := c.attributes(bucket, "k", nil, nil)
			want, _, _ := strings.Cut(summed(sumSHA256).composite(bodies...), "-") // the number of parts is not in it here
			c.is("ChecksumSHA256", aws.ToString(out.Checksum.ChecksumSHA256), want)
			c.is("ChecksumType", out.Checksum.ChecksumType, types.ChecksumTypeComposite)
			c.is("TotalPartsCount", aws.ToInt32(out.ObjectParts.TotalPartsCount), int32(3))
			for i, p := range out.ObjectParts.Parts {
				c.is("ChecksumSHA256 of a part", aws.ToString(p.ChecksumSHA256), summed(sumSHA256).whole(bodies[i]))
			}
			bucket, _ = c.checkedUpload(types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject, bodies...)
			out = c.attributes(bucket, "k", nil, nil)
			c.is("ChecksumCRC32C", aws.ToString(out.Checksum.ChecksumCRC32C), summed(sumCRC32C).whole(bytes.Join(bodies, nil)))
			c.is("ChecksumType", out.Checksum.ChecksumType, types.ChecksumTypeFullObject)
		},

		"atomic_read_4mb":  atomicRead(4 << 20),
		"atomic_read_8mb":  atomicRead(8 << 20),
		"atomic_write_4mb": atomicWrite(4 << 20),
		"atomic_write_8mb": atomicWrite(8 << 20),
		"atomic_dual_write_4mb": func(c *client) {
			bucket, a, b := c.bucket(), pattern(4<<20, 'A'), pattern(4<<20, 'B')
			c.during(bucket, "k", "", a, func() { c.put(bucket, "k", string(b)) })
			c.holds(bucket, "k", a) // which was finished last
			c.side(4, func(i int) { c.put(bucket, "k", string([][]byte{a, b}[i%2])) })
			if got := c.get(bucket, "k"); got != string(a) && got != string(b) {
				c.Errorf("a mixture of two writes")
			}
		},
		"atomic_multipart_upload_write": func(c *client) {
			bucket := c.filled("k")
			id, parts := c.uploaded(bucket, "k", []byte("parts"))
			c.is("before completion", c.get(bucket, "k"), "k")
			_, err := c.complete(bucket, "k", id, parts)
			c.must(err)
			c.is("after completion", c.get(bucket, "k"), "parts")
			id, _ = c.uploaded(bucket, "k", []byte("others"))
			_, err = c.sdk().AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: some("k"), UploadId: &id})
			c.must(err)
			c.is("after an abort", c.get(bucket, "k"), "parts")
		},
		"multipart_resend_first_finishes_last": func(c *client) {
			bucket, a, b := c.bucket(), pattern(8<<20, 'A'), pattern(8<<20, 'B')
			id := c.begin(bucket, "k")
			c.during(bucket, "k", s3client.Query("partNumber", "1", "uploadId", id), a, func() { c.part(bucket, "k", id, 1, b) })
			listed, err := c.sdk().ListParts(c.ctx, &s3.ListPartsInput{Bucket: &bucket, Key: some("k"), UploadId: &id})
			c.must(err)
			c.is("parts", len(listed.Parts), 1)
			_, err = c.complete(bucket, "k", id, []types.CompletedPart{{PartNumber: some(int32(1)), ETag: listed.Parts[0].ETag}})
			c.must(err)
			switch tag := aws.ToString(listed.Parts[0].ETag); tag { // one of them, whole
			case etagOf(a):
				c.holds(bucket, "k", a)
			case etagOf(b):
				c.holds(bucket, "k", b)
			default:
				c.Errorf("a part that nobody sent: %s", tag)
			}
		},
	}
}

// atomicRead: a read that has begun goes on with what it began with, whatever is written.
func atomicRead(size int) test {
	return func(c *client) {
		bucket, before, after := c.bucket(), pattern(size, 'A'), pattern(size, 'B')
		c.put(bucket, "k", string(before))
		for _, change := range []func(){
			func() { c.put(bucket, "k", string(after)) },
			func() { c.deletesAll(bucket, keys("k")) },
		} {
			want := c.head(bucket, "k").ETag
			out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("k")})
			c.must(err)
			begin := make([]byte, 1000)
			_, err = io.ReadFull(out.Body, begin)
			c.must(err)
			change()
			rest := c.body(out)
			c.is("what was read is what the head says", etagOf(append(begin, rest...)), aws.ToString(want))
		}
		c.missing(bucket, "k")
	}
}

// atomicWrite: until a write is done, what was there is read.
func atomicWrite(size int) test {
	return func(c *client) {
		bucket, before, after := c.bucket(), pattern(size, 'A'), pattern(size, 'B')
		c.during(bucket, "k", "", before, func() { c.missing(bucket, "k") })
		c.holds(bucket, "k", before)
		c.during(bucket, "k", "", after, func() { c.holds(bucket, "k", before) })
		c.holds(bucket, "k", after)
	}
}

// during puts a payload and does something when half of it is sent.
func (c *client) during(bucket, key, query string, body []byte, do func()) {
	c.Helper()
	half := len(body) / 2
	c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: key, Query: query, Length: int64(len(body)),
		Stream: io.MultiReader(bytes.NewReader(body[:half]), &once{do: do}, bytes.NewReader(body[half:]))}))
}

// once does something where it is read, and is empty.
type once struct{ do func() }

func (o *once) Read([]byte) (int, error) {
	o.do()
	return 0, io.EOF
}
