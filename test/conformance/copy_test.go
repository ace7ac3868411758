package conformance

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// duplicates copies an object and reports a copy that differs.
func (c *client) duplicates(from, source, to, target string) {
	c.Helper()
	out, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &to, Key: &target, CopySource: some(from + "/" + escapePath(source))})
	c.must(err)
	c.is("LastModified is told", out.CopyObjectResult.LastModified != nil, true)
	c.is("ETag of the copy", aws.ToString(out.CopyObjectResult.ETag), aws.ToString(c.head(to, target).ETag))
	c.holds(to, target, []byte(c.get(from, source)))
	c.is("ContentType", c.head(to, target).ContentType, c.head(from, source).ContentType)
}

// tagSet is the tags of an object.
func (c *client) tagSet(bucket, key string) map[string]string {
	c.Helper()
	out, err := c.sdk().GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key})
	c.must(err)
	tags := map[string]string{}
	for _, t := range out.TagSet {
		tags[*t.Key] = *t.Value
	}
	return tags
}

// setTags is PutObjectTagging.
func (c *client) setTags(bucket, key string, tags map[string]string) error {
	set := &types.Tagging{TagSet: []types.Tag{}}
	for name, value := range tags {
		set.TagSet = append(set.TagSet, types.Tag{Key: &name, Value: &value})
	}
	_, err := c.sdk().PutObjectTagging(c.ctx, &s3.PutObjectTaggingInput{Bucket: &bucket, Key: &key, Tagging: set})
	return err
}

// copyPart copies a range into a part; an empty one: all.
func (c *client) copyPart(bucket, key, id string, number int32, source, byteRange string) (types.CompletedPart, error) {
	in := &s3.UploadPartCopyInput{Bucket: &bucket, Key: &key, UploadId: &id, PartNumber: &number, CopySource: &source}
	if byteRange != "" {
		in.CopySourceRange = &byteRange
	}
	out, err := c.sdk().UploadPartCopy(c.ctx, in)
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag}, nil
}

func copyTests() map[string]test {
	return map[string]test{
		"object_copy_zero_size": func(c *client) {
			bucket := c.bucket()
			c.put(bucket, "foo", "")
			c.duplicates(bucket, "foo", bucket, "bar")
			c.is("ContentLength", aws.ToInt64(c.head(bucket, "bar").ContentLength), int64(0))
		},
		"object_copy_16m": func(c *client) {
			bucket := c.bucket()
			c.put(bucket, "foo", string(pattern(16<<20, 7)))
			c.duplicates(bucket, "foo", bucket, "bar")
			c.is("ETag", aws.ToString(c.head(bucket, "bar").ETag), etagOf(pattern(16<<20, 7)))
		},
		"object_copy_same_bucket": func(c *client) {
			bucket := c.filled("foo", "a b/+&%", "日本")
			for i, source := range keys("foo", "a b/+&%", "日本") {
				c.duplicates(bucket, source, bucket, fmt.Sprint("bar", i))
			}
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "slash", Header: keyed("x-amz-copy-source", "/"+bucket+"/foo")}))
			c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "encoded", Header: keyed("x-amz-copy-source", "%2F"+bucket+"%2Ffoo")}))
			c.is("copies", c.get(bucket, "slash")+c.get(bucket, "encoded"), "foofoo")
			for source, code := range map[string]string{bucket + "/gone": "NoSuchKey", c.bucketName() + "/foo": "NoSuchBucket"} {
				_, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("bar"), CopySource: &source})
				c.refused("from "+source, err, http.StatusNotFound, code)
			}
			for _, source := range []string{"", "/", bucket, bucket + "/", "/" + bucket} {
				a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", Header: keyed("x-amz-copy-source", source)})
				c.answers("from "+source, a, http.StatusBadRequest, "InvalidArgument")
			}
			c.missing(bucket, "bad")
		},
		"object_copy_to_itself_with_metadata": func(c *client) {
			bucket := c.filled("foo")
			_, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("foo"), CopySource: some(bucket + "/foo")})
			c.refused("without a change", err, http.StatusBadRequest, "InvalidRequest")
			_, err = c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("foo"), CopySource: some(bucket + "/foo"), MetadataDirective: "REPLACE",
				Metadata: map[string]string{"foo": "bar"}, ContentType: some("text/x")})
			c.must(err)
			c.is("Metadata", c.head(bucket, "foo").Metadata, map[string]string{"foo": "bar"})
			c.is("ContentType", aws.ToString(c.head(bucket, "foo").ContentType), "text/x")
			c.is("foo", c.get(bucket, "foo"), "foo")
			a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "foo", Header: keyed("x-amz-copy-source", bucket+"/foo", "x-amz-metadata-directive", "CHANGE")})
			c.answers("another directive", a, http.StatusBadRequest, "InvalidArgument")
		},
		"object_copy_diff_bucket": func(c *client) {
			from, to := c.filled("foo"), c.bucket()
			c.duplicates(from, "foo", to, "bar")
			c.deletesAll(from, keys("foo"))
			c.is("bar", c.get(to, "bar"), "foo") // it is no link
			gone := c.bucketName()
			_, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &gone, Key: some("bar"), CopySource: some(to + "/bar")})
			c.refused("to no bucket", err, http.StatusNotFound, "NoSuchBucket")
		},
		"object_copy_retaining_metadata": func(c *client) {
			for _, size := range []int{3, 1 << 20} {
				bucket := c.bucket()
				_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("foo"), Body: bytes.NewReader(pattern(size, 1)), Metadata: map[string]string{"key1": "value1", "key2": "value2"},
					ContentType: some("audio/ogg"), CacheControl: some("no-cache"), ContentDisposition: some("inline"), ContentEncoding: some("gzip"), ContentLanguage: some("de"), Tagging: some("a=1&b=2")})
				c.must(err)
				c.duplicates(bucket, "foo", bucket, "bar")
				meta := c.head(bucket, "bar")
				c.is("Metadata", meta.Metadata, map[string]string{"key1": "value1", "key2": "value2"})
				c.is("headers", []string{*meta.ContentType, *meta.CacheControl, *meta.ContentDisposition, *meta.ContentEncoding, *meta.ContentLanguage}, []string{"audio/ogg", "no-cache", "inline", "gzip", "de"})
				c.is("tags", c.tagSet(bucket, "bar"), map[string]string{"a": "1", "b": "2"})
				// Replaced: nothing of the source's is left, but the tags, which have their own directive.
				_, err = c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("bar"), CopySource: some(bucket + "/foo"), MetadataDirective: "REPLACE", Metadata: map[string]string{"key3": "value3"},
					ContentType: some("audio/mpeg")})
				c.must(err)
				meta = c.head(bucket, "bar")
				c.is("Metadata", meta.Metadata, map[string]string{"key3": "value3"})
				c.is("ContentType", *meta.ContentType, "audio/mpeg")
				c.is("CacheControl", meta.CacheControl, (*string)(nil))
				c.is("tags", c.tagSet(bucket, "bar"), map[string]string{"a": "1", "b": "2"})
				_, err = c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("bar"), CopySource: some(bucket + "/foo"), TaggingDirective: "REPLACE", Tagging: some("c=3")})
				c.must(err)
				c.is("tags", c.tagSet(bucket, "bar"), map[string]string{"c": "3"})
				c.is("Metadata", c.head(bucket, "bar").Metadata, map[string]string{"key1": "value1", "key2": "value2"})
			}
		},

		"multipart_copy_small": func(c *client) {
			bucket := c.filled("foo bar")
			id := c.begin(bucket, "mymultipart")
			part, err := c.copyPart(bucket, "mymultipart", id, 1, bucket+"/foo%20bar", "bytes=0-0")
			c.must(err)
			_, err = c.complete(bucket, "mymultipart", id, []types.CompletedPart{part})
			c.must(err)
			c.is("mymultipart", c.get(bucket, "mymultipart"), "f")
			// Ranges of a large one, and parts of one's own beside them.
			source := pattern(2*minPart+100, 4)
			c.put(bucket, "large", string(source))
			id = c.begin(bucket, "mymultipart")
			var parts []types.CompletedPart
			for i, byteRange := range []string{fmt.Sprintf("bytes=%d-%d", minPart, 2*minPart-1), fmt.Sprintf("bytes=0-%d", minPart-1)} {
				part, err := c.copyPart(bucket, "mymultipart", id, int32(i+1), bucket+"/large", byteRange)
				c.must(err)
				parts = append(parts, part)
			}
			c.is("ETag of a part", aws.ToString(parts[1].ETag), etagOf(source[:minPart]))
			parts = append(parts, c.part(bucket, "mymultipart", id, 3, []byte("end")))
			_, err = c.complete(bucket, "mymultipart", id, parts)
			c.must(err)
			c.holds(bucket, "mymultipart", bytes.Join([][]byte{source[minPart : 2*minPart], source[:minPart], []byte("end")}, nil))
			for from, code := range map[string]string{bucket + "/gone": "NoSuchKey", c.bucketName() + "/foo": "NoSuchBucket"} {
				_, err := c.copyPart(bucket, "mymultipart", c.begin(bucket, "mymultipart"), 1, from, "")
				c.refused("from "+from, err, http.StatusNotFound, code)
			}
			_, err = c.copyPart(bucket, "mymultipart", strings.Repeat("0", 32), 1, bucket+"/large", "")
			c.refused("into no upload", err, http.StatusNotFound, "NoSuchUpload")
		},
		"multipart_copy_improper_range": func(c *client) {
			bucket := c.filled("foo")
			id := c.begin(bucket, "mymultipart")
			for _, byteRange := range []string{"0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-2", "bytes=0-", "bytes=2-1", "bytes 0-2", "bytes=", "=0-2", "bytes=0-2 ", "bytes= 0-2", "Bytes=0-2x"} {
				_, err := c.copyPart(bucket, "mymultipart", id, 1, bucket+"/foo", byteRange)
				if byteRange == "bytes=0-2 " { // HTTP trims
					c.must(err)
					continue
				}
				c.refused(byteRange, err, http.StatusBadRequest, "InvalidArgument")
			}
			_, err := c.copyPart(bucket, "mymultipart", id, 1, bucket+"/foo", "bytes=0-3")
			c.refused("more than there is", err, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		},
		"multipart_copy_without_range": func(c *client) {
			bucket := c.filled("foo")
			id := c.begin(bucket, "mymultipart")
			part, err := c.copyPart(bucket, "mymultipart", id, 1, bucket+"/foo", "")
			c.must(err)
			c.is("ETag", aws.ToString(part.ETag), etagOf([]byte("foo")))
			_, err = c.complete(bucket, "mymultipart", id, []types.CompletedPart{part})
			c.must(err)
			c.is("mymultipart", c.get(bucket, "mymultipart"), "foo")
		},
		"upload_part_copy_percent_encoded_key": func(c *client) {
			names := keys("anyfile.txt", "any+file", "any file", "any%20file", "any%file", "ä/ö", "?versionId", "foo%2Fbar")
			bucket := c.filled(names...)
			for _, name := range names {
				id := c.begin(bucket, name)
				part, err := c.copyPart(bucket, name, id, 1, bucket+"/"+escapePath(name), "")
				c.must(err)
				_, err = c.complete(bucket, name, id, []types.CompletedPart{part})
				c.must(err)
				c.is(name, c.get(bucket, name), name)
			}
		},

		"set_multipart_tagging": func(c *client) {
			bucket := c.bucket()
			for _, tags := range []map[string]string{{"Hello": "World", "foo": "bar"}, {}} {
				in := &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: some("k")}
				if len(tags) > 0 {
					in.Tagging = some("Hello=World&foo=bar")
				}
				out, err := c.sdk().CreateMultipartUpload(c.ctx, in)
				c.must(err)
				_, err = c.complete(bucket, "k", *out.UploadId, []types.CompletedPart{c.part(bucket, "k", *out.UploadId, 1, []byte("x"))})
				c.must(err)
				c.is("tags", c.tagSet(bucket, "k"), tags)
			}
		},
		"get_obj_tagging": func(c *client) {
			bucket := c.filled("k")
			c.is("tags of an object without", c.tagSet(bucket, "k"), map[string]string{})
			tags := map[string]string{"key 1": "value/1", "ключ": "значение", "empty": ""}
			c.must(c.setTags(bucket, "k", tags))
			c.is("tags", c.tagSet(bucket, "k"), tags)
			c.must(c.setTags(bucket, "k", map[string]string{"other": "1"})) // all are replaced
			c.is("tags", c.tagSet(bucket, "k"), map[string]string{"other": "1"})
			a := c.do(s3client.Request{Method: "DELETE", Bucket: bucket, Key: "k", Query: "tagging"})
			c.answers("DeleteObjectTagging", a, http.StatusNoContent, "")
			c.is("tags", c.tagSet(bucket, "k"), map[string]string{})
			c.is("k", c.get(bucket, "k"), "k")
			_, err := c.sdk().GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: some("gone")})
			c.refused("of what is not there", err, http.StatusNotFound, "NoSuchKey")
			c.refused("to what is not there", c.setTags(bucket, "gone", tags), http.StatusNotFound, "NoSuchKey")
		},
		"get_obj_head_tagging": func(c *client) {
			bucket := c.filled("k")
			c.is("x-amz-tagging-count without tags", c.do(s3client.Request{Method: "HEAD", Bucket: bucket, Key: "k"}).Header.Get("x-amz-tagging-count"), "")
			c.must(c.setTags(bucket, "k", map[string]string{"a": "1", "b": "2"}))
			for _, method := range []string{"GET", "HEAD"} {
				c.is("x-amz-tagging-count", c.do(s3client.Request{Method: method, Bucket: bucket, Key: "k"}).Header.Get("x-amz-tagging-count"), "2")
			}
		},
		"put_max_tags": func(c *client) {
			bucket, tags := c.filled("k"), map[string]string{}
			for i := range 10 {
				tags[fmt.Sprintf("%d%s", i, strings.Repeat("k", 127))] = strings.Repeat("v", 256)
			}
			c.must(c.setTags(bucket, "k", tags))
			c.is("tags", c.tagSet(bucket, "k"), tags)
			tags["one more"] = ""
			c.refused("11 tags", c.setTags(bucket, "k", tags), http.StatusBadRequest, "BadRequest")
			c.is("tags", len(c.tagSet(bucket, "k")), 10)
		},
		"put_excess_val_tags": func(c *client) {
			bucket := c.filled("k")
			for what, tags := range map[string]map[string]string{
				"a value of 257": {"a": strings.Repeat("v", 257)},
				"a key of 129":   {strings.Repeat("k", 129): "v"},
				"no key":         {"": "v"},
				"a sign":         {"a": "v;w"},
				"a key of AWS":   {"aws:a": "v"},
			} {
				c.refused(what, c.setTags(bucket, "k", tags), http.StatusBadRequest, "InvalidTag")
			}
			a := c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "k", Query: "tagging", Body: []byte("<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag></TagSet></Tagging>")})
			c.answers("a key twice", a, http.StatusBadRequest, "InvalidTag")
			for _, document := range []string{"", "<Tagging/>", "<Tagging><TagSet>", "nonsense"} {
				c.answers(document, c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "k", Query: "tagging", Body: []byte(document)}), http.StatusBadRequest, "MalformedXML")
			}
			c.is("tags", c.tagSet(bucket, "k"), map[string]string{})
		},
		"put_obj_with_tags": func(c *client) {
			bucket := c.bucket()
			_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: some("k"), Body: strings.NewReader("x"), Tagging: some("foo=bar&bar&sp+ace=%D0%B0%2F1")})
			c.must(err)
			c.is("tags", c.tagSet(bucket, "k"), map[string]string{"foo": "bar", "bar": "", "sp ace": "а/1"})
			a := c.ok(c.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "k", Query: "tagging"}))
			var document struct {
				XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
			}
			c.must(xml.Unmarshal(a.Body, &document))
			for _, header := range []string{"a=1&a=2", "=1", "a=" + strings.Repeat("v", 257), "a=%zz"} {
				code := "InvalidTag"
				if header == "=1" || header == "a=%zz" {
					code = "InvalidArgument"
				}
				c.answers(header, c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "bad", Header: keyed("x-amz-tagging", header)}), http.StatusBadRequest, code)
			}
			c.missing(bucket, "bad")
			c.put(bucket, "k", "y") // a write without tags
			c.is("tags", c.tagSet(bucket, "k"), map[string]string{})
		},
	}
}
