package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// escapePath escapes a name as it stands in a copy's source.
func escapePath(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(name), "+", "%20"), "%2F", "/")
}

// etagOf is the entity tag of a payload in one piece, quoted.
func etagOf(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// head is HeadObject.
func (c *client) head(bucket, key string) *s3.HeadObjectOutput {
	c.Helper()
	out, err := c.sdk().HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	c.must(err)
	return out
}

func objectTests() map[string]test {
	return map[string]test{
		"object_read_not_exist": func(c *client) {
			bucket := c.bucket()
			c.missing(bucket, "foobar")
			_, err := c.sdk().HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: some("foobar")})
			c.refused("HEAD", err, http.StatusNotFound, "NotFound")
			a := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "foo bar/+"})
			c.answers("GET", a, http.StatusNotFound, "NoSuchKey")
			for _, element := range []string{"<Key>foo bar/+</Key>", "<RequestId>", "<HostId>", "<Message>The specified key does not exist.</Message>"} {
				c.is("the error has "+element, strings.Contains(string(a.Body), element), true)
			}
			c.is("Content-Type", a.Header.Get("Content-Type"), "application/xml")
			c.answers("GET where no bucket is", c.do(s3client.Request{Method: "GET", Bucket: c.bucketName(), Key: "k"}), http.StatusNotFound, "NoSuchBucket")
		},
		"object_head_zero_bytes": func(c *client) {
			bucket := c.bucket()
			c.is("ETag", c.put(bucket, "empty", ""), etagOf(nil))
			meta := c.head(bucket, "empty")
			c.is("ContentLength", aws.ToInt64(meta.ContentLength), int64(0))
			c.is("ETag", aws.ToString(meta.ETag), etagOf(nil))
			a := c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: "empty"})
			c.is("Content-Length", a.Header.Get("Content-Length"), "0")
			c.is("payload", c.get(bucket, "empty"), "")
		},
		"object_write_check_etag": func(c *client) {
			bucket := c.bucket()
			for _, body := range []string{"", "bar", string(pattern(200<<10, 1))} {
				want := etagOf([]byte(body))
				c.is("ETag of PUT", c.put(bucket, "foo", body), want)
				c.is("ETag of HEAD", aws.ToString(c.head(bucket, "foo").ETag), want)
				c.is("ETag of a listing", aws.ToString(c.list(1, bucket, asked{}).contents[0].ETag), want)
			}
		},
		"object_write_cache_control": func(c *client) {
			bucket := c.bucket()
			expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
			_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("foo"), Body: strings.NewReader("bar"),
				CacheControl: some("public, max-age=14400"), Expires: &expires, ContentDisposition: some(`attachment; filename="a b"`),
				ContentLanguage: some("de, en"), ContentEncoding: some("gzip"), ContentType: some("text/plain; charset=utf-8")})
			c.must(err)
			meta := c.head(bucket, "foo")
			out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("foo")})
			c.must(err)
			c.is("payload", c.body(out), "bar")
			for what, got := range map[string][2]string{
				"public, max-age=14400":         {aws.ToString(meta.CacheControl), aws.ToString(out.CacheControl)},
				expires.Format(http.TimeFormat): {aws.ToString(meta.ExpiresString), aws.ToString(out.ExpiresString)},
				`attachment; filename="a b"`:    {aws.ToString(meta.ContentDisposition), aws.ToString(out.ContentDisposition)},
				"de, en":                        {aws.ToString(meta.ContentLanguage), aws.ToString(out.ContentLanguage)},
				"gzip":                          {aws.ToString(meta.ContentEncoding), aws.ToString(out.ContentEncoding)},
				"text/plain; charset=utf-8":     {aws.ToString(meta.ContentType), aws.ToString(out.ContentType)},
			} {
				c.is("of HEAD", got[0], what)
				c.is("of GET", got[1], what)
			}
			// What is not a date is kept as it is.
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Header: keyed("Expires", "0")}))
			c.is("Expires", aws.ToString(c.head(bucket, "foo").ExpiresString), "0")
			c.is("Cache-Control", aws.ToString(c.head(bucket, "foo").CacheControl), "")
		},
		"object_write_read_update_read_delete": func(c *client) {
			bucket := c.bucket()
			c.put(bucket, "foo", "bar")
			c.is("written", c.get(bucket, "foo"), "bar")
			c.put(bucket, "foo", "soup, longer")
			c.is("written again", c.get(bucket, "foo"), "soup, longer")
			for range 2 {
				a := c.do(s3client.Request{Method: "DELETE", Bucket: bucket, Key: "foo"})
				c.answers("DELETE", a, http.StatusNoContent, "")
				c.missing(bucket, "foo")
			}
		},
		"object_set_get_metadata_none_to_empty": func(c *client) {
			bucket := c.bucket()
			set := func(metadata map[string]string) map[string]string {
				_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("foo"), Body: strings.NewReader("bar"), Metadata: metadata})
				c.must(err)
				return c.head(bucket, "foo").Metadata
			}
			for _, metadata := range []map[string]string{{}, {"meta1": "mymeta"}, {"meta1": ""}, {"a": "1", "b-c": "x y  z", "d_e": "=?UTF-8?Q?=C3=A4?="}, {}} {
				got := set(metadata)
				if len(metadata) > 0 || len(got) > 0 {
					c.is("metadata", got, metadata)
				}
			}
			c.is("names in lower case", set(map[string]string{"MixedCase": "Value"}), map[string]string{"mixedcase": "Value"})
			a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "big", Header: keyed("x-amz-meta-a", strings.Repeat("x", 2048))})
			c.answers("2049 bytes of metadata", a, http.StatusBadRequest, "MetadataTooLarge")
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "big", Header: keyed("x-amz-meta-a", strings.Repeat("x", 2047))}))
		},
		"object_write_file": func(c *client) {
			bucket := c.bucket()
			for _, size := range []int{1, 64 << 10, 3<<20 + 7} {
				body := pattern(size, 2)
				_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("foo"), Body: bytes.NewReader(body)})
				c.must(err)
				c.holds(bucket, "foo", body)
				c.is("size", aws.ToInt64(c.head(bucket, "foo").ContentLength), int64(size))
			}
		},
		"object_delete_key_bucket_gone": func(c *client) {
			bucket := c.bucket()
			_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket})
			c.must(err)
			_, err = c.sdk().DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: some("foo")})
			c.refused("DELETE", err, http.StatusNotFound, "NoSuchBucket")
			_, err = c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("foo"), Body: strings.NewReader("bar")})
			c.refused("PUT", err, http.StatusNotFound, "NoSuchBucket")
		},

		"ranged_big_request_response_code": func(c *client) {
			bucket, body := c.bucket(), pattern(8<<20, 3)
			c.put(bucket, "k", string(body))
			c.ranged(bucket, "k", "bytes=3145728-5242880", body, 3145728, 5242881)
			c.ranged(bucket, "k", "bytes=0-0", body, 0, 1)
			c.ranged(bucket, "k", "bytes=0-99999999", body, 0, len(body))
			c.ranged(bucket, "k", fmt.Sprintf("bytes=%d-%d", len(body)-1, len(body)-1), body, len(body)-1, len(body))
		},
		"ranged_request_skip_leading_bytes_response_code": func(c *client) {
			bucket, body := c.bucket(), []byte("testcontent")
			c.put(bucket, "k", string(body))
			c.ranged(bucket, "k", "bytes=4-", body, 4, 11)
			c.ranged(bucket, "k", "bytes=0-", body, 0, 11)
			c.ranged(bucket, "k", "bytes=10-", body, 10, 11)
		},
		"ranged_request_return_trailing_bytes_response_code": func(c *client) {
			bucket, body := c.bucket(), []byte("testcontent")
			c.put(bucket, "k", string(body))
			c.ranged(bucket, "k", "bytes=-7", body, 4, 11)
			c.ranged(bucket, "k", "bytes=-1", body, 10, 11)
			c.ranged(bucket, "k", "bytes=-12", body, 0, 11)
		},
		"ranged_request_invalid_range": func(c *client) {
			bucket := c.filled("testcontent")
			c.put(bucket, "empty", "")
			for _, at := range [][2]string{{"testcontent", "bytes=40-50"}, {"testcontent", "bytes=11-"}, {"testcontent", "bytes=-0"}, {"empty", "bytes=0-0"}, {"empty", "bytes=40-50"}, {"empty", "bytes=-1"}} {
				a := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: at[0], Header: keyed("Range", at[1])})
				c.answers(at[0]+" "+at[1], a, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
				c.is("Content-Range", a.Header.Get("Content-Range"), map[string]string{"testcontent": "bytes */11", "empty": "bytes */0"}[at[0]])
				c.is("HEAD", c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: at[0], Header: keyed("Range", at[1])}).Status, http.StatusRequestedRangeNotSatisfiable)
			}
			for _, none := range []string{"bytes=5-4", "bytes=a-b", "bytes=", "bytes=-", "lines=0-1", "0-1", "bytes=0-1,3-4"} {
				a := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "testcontent", Header: keyed("Range", none)})
				c.answers(none, a, http.StatusOK, "")
				c.is(none, string(a.Body), "testcontent")
			}
		},

		"get_object_ifmatch_failed": func(c *client) {
			bucket := c.filled("foo")
			get := &s3.GetObjectInput{Bucket: &bucket, Key: some("foo"), IfMatch: some(`"ABCORZ"`)}
			_, err := c.sdk().GetObject(c.ctx, get)
			c.refused("If-Match", err, http.StatusPreconditionFailed, "PreconditionFailed")
			c.readIf(bucket, "foo", "If-Match", etagOf([]byte("foo")), 200)
			c.readIf(bucket, "foo", "If-Match", strings.Trim(etagOf([]byte("foo")), `"`), 200)
			c.readIf(bucket, "foo", "If-Match", "*", 200)
			c.readIf(bucket, "foo", "If-Match", `"x", `+etagOf([]byte("foo")), 200)
			c.readIf(bucket, "foo", "If-Match", `"x"`, 412)
			c.answers("of what is not there", c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "gone", Header: keyed("If-Match", "*")}), http.StatusNotFound, "NoSuchKey")
		},
		"get_object_ifnonematch_good": func(c *client) {
			bucket := c.filled("foo")
			_, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("foo"), IfNoneMatch: some(etagOf([]byte("foo")))})
			c.refused("If-None-Match", err, http.StatusNotModified, "")
			c.readIf(bucket, "foo", "If-None-Match", etagOf([]byte("foo")), 304)
			c.readIf(bucket, "foo", "If-None-Match", "*", 304)
			c.readIf(bucket, "foo", "If-None-Match", "W/"+etagOf([]byte("foo")), 304)
			c.readIf(bucket, "foo", "If-None-Match", `"ABCORZ"`, 200)
			c.readIf(bucket, "foo", "If-None-Match", etagOf([]byte("foo")), 304, "If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT")
		},
		"get_object_ifmodifiedsince_good": func(c *client) {
			bucket := c.filled("foo")
			for _, date := range []string{"Sat, 29 Oct 1994 19:43:31 GMT", "Saturday, 29-Oct-94 19:43:31 GMT", "Sat Oct 29 19:43:31 1994", "no date"} {
				c.readIf(bucket, "foo", "If-Modified-Since", date, 200)
			}
		},
		"get_object_ifmodifiedsince_failed": func(c *client) {
			bucket := c.filled("foo")
			modified := *c.head(bucket, "foo").LastModified
			c.readIf(bucket, "foo", "If-Modified-Since", modified.UTC().Format(http.TimeFormat), 304)
			c.readIf(bucket, "foo", "If-Modified-Since", modified.Add(time.Second).UTC().Format(http.TimeFormat), 304)
			c.readIf(bucket, "foo", "If-Modified-Since", modified.Add(-time.Second).UTC().Format(http.TimeFormat), 200)
		},
		"get_object_ifunmodifiedsince_good": func(c *client) {
			bucket := c.filled("foo")
			modified := *c.head(bucket, "foo").LastModified
			_, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: some("foo"), IfUnmodifiedSince: some(time.Unix(783459811, 0))})
			c.refused("If-Unmodified-Since 1994", err, http.StatusPreconditionFailed, "PreconditionFailed")
			c.readIf(bucket, "foo", "If-Unmodified-Since", modified.UTC().Format(http.TimeFormat), 200)
			c.readIf(bucket, "foo", "If-Unmodified-Since", modified.Add(-time.Second).UTC().Format(http.TimeFormat), 412)
			c.readIf(bucket, "foo", "If-Unmodified-Since", "Sat, 29 Oct 2100 19:43:31 GMT", 200)
			// An entity tag that matches wins (Amazon, GetObject).
			c.readIf(bucket, "foo", "If-Match", etagOf([]byte("foo")), 200, "If-Unmodified-Since", "Sat, 29 Oct 1994 19:43:31 GMT")
		},
		"copy_object_ifnonematch_good": func(c *client) {
			bucket := c.filled("foo")
			_, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("bar"), CopySource: some(bucket + "/foo"), CopySourceIfNoneMatch: some(`"ABCORZ"`)})
			c.must(err)
			c.is("copy", c.get(bucket, "bar"), "foo")
			_, err = c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("bar"), CopySource: some(bucket + "/foo"), CopySourceIfMatch: some(etagOf([]byte("foo"))),
				CopySourceIfUnmodifiedSince: some(time.Unix(783459811, 0))})
			c.must(err)
		},
		"copy_object_ifnonematch_failed": func(c *client) {
			bucket := c.filled("foo")
			for what, in := range map[string]*s3.CopyObjectInput{
				"If-None-Match":                     {CopySourceIfNoneMatch: some(etagOf([]byte("foo")))},
				"If-None-Match, and modified since": {CopySourceIfNoneMatch: some(etagOf([]byte("foo"))), CopySourceIfModifiedSince: some(time.Unix(783459811, 0))},
				"If-Match":                          {CopySourceIfMatch: some(`"ABCORZ"`)},
				"If-Modified-Since":                 {CopySourceIfModifiedSince: some(time.Now().Add(time.Hour))},
				"If-Unmodified-Since":               {CopySourceIfUnmodifiedSince: some(time.Unix(783459811, 0))},
			} {
				in.Bucket, in.Key, in.CopySource = &bucket, some("bar"), some(bucket+"/foo")
				_, err := c.sdk().CopyObject(c.ctx, in)
				c.refused(what, err, http.StatusPreconditionFailed, "PreconditionFailed")
				c.missing(bucket, "bar")
			}
		},

		"put_object_ifmatch_failed": func(c *client) {
			bucket := c.filled("foo")
			c.refused("If-Match", c.putIf(bucket, "foo", "bar", some(`"ABCORZ"`), nil), http.StatusPreconditionFailed, "PreconditionFailed")
			c.is("foo", c.get(bucket, "foo"), "foo")
			c.refused("If-Match of what is not there", c.putIf(bucket, "gone", "bar", some(`"ABCORZ"`), nil), http.StatusNotFound, "NoSuchKey")
			c.missing(bucket, "gone")
		},
		"put_object_if_match": func(c *client) {
			bucket := c.filled("foo")
			c.must(c.putIf(bucket, "foo", "zar", some(etagOf([]byte("foo"))), nil))
			c.is("foo", c.get(bucket, "foo"), "zar")
			c.refused("the former tag", c.putIf(bucket, "foo", "bar", some(etagOf([]byte("foo"))), nil), http.StatusPreconditionFailed, "PreconditionFailed")
			c.must(c.putIf(bucket, "foo", "bar", some(strings.Trim(etagOf([]byte("zar")), `"`)), nil))
			c.is("foo", c.get(bucket, "foo"), "bar")
		},
		"put_current_object_if_none_match": func(c *client) {
			bucket := c.bucket()
			c.must(c.putIf(bucket, "foo", "data1", nil, some("*")))
			c.is("foo", c.get(bucket, "foo"), "data1")
			c.refused("again", c.putIf(bucket, "foo", "data2", nil, some("*")), http.StatusPreconditionFailed, "PreconditionFailed")
			c.is("foo", c.get(bucket, "foo"), "data1")
			c.deletesAll(bucket, keys("foo"))
			c.must(c.putIf(bucket, "foo", "data3", nil, some("*")))
			// Of many at once one succeeds.
			made := make([]bool, 8)
			c.side(len(made), func(i int) { made[i] = c.putIf(bucket, "race", fmt.Sprint(i), nil, some("*")) == nil })
			count := 0
			for _, m := range made {
				if m {
					count++
				}
			}
			c.is("of 8 at once", count, 1)
		},
		"put_current_object_if_match": func(c *client) {
			bucket := c.bucket()
			first := c.put(bucket, "foo", "data1")
			c.must(c.putIf(bucket, "foo", "data2", &first, nil))
			c.refused("the former tag", c.putIf(bucket, "foo", "data3", &first, nil), http.StatusPreconditionFailed, "PreconditionFailed")
			c.is("foo", c.get(bucket, "foo"), "data2")
			c.must(c.putIf(bucket, "foo", "data4", some("*"), nil))
			c.deletesAll(bucket, keys("foo"))
			c.refused("what was deleted", c.putIf(bucket, "foo", "data5", some(etagOf([]byte("data4"))), nil), http.StatusNotFound, "NoSuchKey")
		},
		"multipart_put_current_object_if_none_match": func(c *client) {
			bucket := c.bucket()
			complete := func() error {
				id, parts := c.uploaded(bucket, "foo", []byte("part"))
				_, err := c.sdk().CompleteMultipartUpload(c.ctx, &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: some("foo"), UploadId: &id, IfNoneMatch: some("*"),
					MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
				return err
			}
			c.must(complete())
			c.refused("again", complete(), http.StatusPreconditionFailed, "PreconditionFailed")
			c.is("foo", c.get(bucket, "foo"), "part")
			c.deletesAll(bucket, keys("foo"))
			c.must(complete())
		},
		"multipart_put_current_object_if_match": func(c *client) {
			bucket := c.bucket()
			first := c.put(bucket, "foo", "data1")
			complete := func(key string, tag *string) error {
				id, parts := c.uploaded(bucket, key, []byte("part"))
				_, err := c.sdk().CompleteMultipartUpload(c.ctx, &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &id, IfMatch: tag,
					MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
				return err
			}
			c.must(complete("foo", &first))
			c.is("foo", c.get(bucket, "foo"), "part")
			c.refused("the former tag", complete("foo", &first), http.StatusPreconditionFailed, "PreconditionFailed")
			c.refused("what is not there", complete("gone", &first), http.StatusNotFound, "NoSuchKey")
			c.must(complete("foo", c.head(bucket, "foo").ETag))
		},
	}
}

// putIf stores an object under conditions.
func (c *client) putIf(bucket, key, body string, match, noneMatch *string) error {
	_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body), IfMatch: match, IfNoneMatch: noneMatch})
	return err
}

// readIf reports reads under a condition, and perhaps others, of another status, by GET and
// by HEAD.
func (c *client) readIf(bucket, key, condition, value string, status int, others ...string) {
	c.Helper()
	header := append(keyed(condition, value), keyed(others...)...)
	code := map[int]string{412: "PreconditionFailed"}[status]
	a := c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: key, Header: header})
	c.answers(condition+": "+value, a, status, code)
	c.is("HEAD, "+condition+": "+value, c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: key, Header: header}).Status, status)
	if status == http.StatusNotModified {
		c.is("body of 304", len(a.Body), 0)
		c.is("ETag of 304", a.Header.Get("ETag"), etagOf([]byte(key)))
		c.is("304 says when it was changed", a.Header.Get("Last-Modified") != "", true)
	}
}

// ranged reports a range that is not answered with the bytes from first up to end.
func (c *client) ranged(bucket, key, header string, body []byte, first, end int) {
	c.Helper()
	for _, method := range []string{"GET", "HEAD"} {
		a := c.do(s3client.Request{Method: method, Bucket: bucket, Key: key, Header: keyed("Range", header)})
		c.answers(header, a, http.StatusPartialContent, "")
		c.is(method+" "+header+": Content-Range", a.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", first, end-1, len(body)))
		c.is(method+" "+header+": Content-Length", a.Header.Get("Content-Length"), fmt.Sprint(end-first))
		c.is(method+" "+header+": Accept-Ranges", a.Header.Get("Accept-Ranges"), "bytes")
		if method == "GET" {
			c.is(header+": the bytes", bytes.Equal(a.Body, body[first:end]), true)
		}
	}
}
