package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// create makes a bucket of a name, as an SDK does.
func (c *client) create(bucket string) error {
	_, err := c.sdk().CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: &bucket})
	return err
}

// bucketExists says whether HeadBucket finds a bucket.
func (c *client) bucketExists(bucket string) bool {
	c.Helper()
	a := c.do(s3client.Request{Method: "HEAD", Bucket: bucket})
	if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
		c.Errorf("HEAD of %s: %d", bucket, a.Status)
	}
	return a.Status == http.StatusOK
}

func bucketTests() map[string]test {
	return map[string]test{
		"bucket_delete_notexist": func(c *client) {
			bucket := c.bucketName()
			_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket})
			c.refused("DeleteBucket", err, http.StatusNotFound, "NoSuchBucket")
			_, err = c.sdk().HeadBucket(c.ctx, &s3.HeadBucketInput{Bucket: &bucket})
			c.refused("HeadBucket", err, http.StatusNotFound, "NotFound")
		},
		"bucket_delete_nonempty": func(c *client) {
			bucket := c.filled("foo")
			remove := func() error {
				_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket})
				return err
			}
			c.refused("DeleteBucket", remove(), http.StatusConflict, "BucketNotEmpty")
			c.is("foo", c.get(bucket, "foo"), "foo")
			c.deletesAll(bucket, keys("foo"))
			c.must(remove())
			c.is("exists", c.bucketExists(bucket), false)
		},
		"bucket_create_delete": func(c *client) {
			bucket := c.bucketName()
			for range 2 { // a name may be taken again
				a := c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket}))
				c.is("Location", a.Header.Get("Location"), "/"+bucket)
				c.is("exists", c.bucketExists(bucket), true)
				a = c.do(s3client.Request{Method: "DELETE", Bucket: bucket})
				c.answers("DeleteBucket", a, http.StatusNoContent, "")
				c.is("exists", c.bucketExists(bucket), false)
				_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket})
				c.refused("DeleteBucket again", err, http.StatusNotFound, "NoSuchBucket")
			}
		},
		"expected_bucket_owner": func(c *client) {
			bucket, key := c.filled("k"), some("k")
			acl, err := c.sdk().GetBucketAcl(c.ctx, &s3.GetBucketAclInput{Bucket: &bucket})
			c.must(err)
			for _, owner := range []struct {
				id     *string
				denied bool
			}{{acl.Owner.ID, false}, {some("unknown"), true}, {some("123456789012"), true}} {
				for what, ask := range map[string]func() error{
					"ListObjects": func() error {
						_, err := c.sdk().ListObjects(c.ctx, &s3.ListObjectsInput{Bucket: &bucket, ExpectedBucketOwner: owner.id})
						return err
					},
					"ListObjectsV2": func() error {
						_, err := c.sdk().ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, ExpectedBucketOwner: owner.id})
						return err
					},
					"PutObject": func() error {
						_, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: key, Body: strings.NewReader("k"), ExpectedBucketOwner: owner.id})
						return err
					},
					"GetObject": func() error {
						out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: key, ExpectedBucketOwner: owner.id})
						if err == nil {
							err = out.Body.Close()
						}
						return err
					},
					"GetObjectTagging": func() error {
						_, err := c.sdk().GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: key, ExpectedBucketOwner: owner.id})
						return err
					},
					"CreateMultipartUpload": func() error {
						_, err := c.sdk().CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: key, ExpectedBucketOwner: owner.id})
						return err
					},
					"CopyObject, of the source": func() error {
						_, err := c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("copy"), CopySource: some(bucket + "/k"), ExpectedSourceBucketOwner: owner.id})
						return err
					},
					"GetBucketLocation": func() error {
						_, err := c.sdk().GetBucketLocation(c.ctx, &s3.GetBucketLocationInput{Bucket: &bucket, ExpectedBucketOwner: owner.id})
						return err
					},
				} {
					if err := ask(); !owner.denied {
						c.must(err)
					} else {
						c.refused(what+" of another's", err, http.StatusForbidden, "AccessDenied")
					}
				}
			}
			_, err = c.sdk().DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: key, ExpectedBucketOwner: some("unknown")})
			c.refused("DeleteObject of another's", err, http.StatusForbidden, "AccessDenied")
			_, err = c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &bucket, ExpectedBucketOwner: some("unknown")})
			c.refused("DeleteBucket of another's", err, http.StatusForbidden, "AccessDenied")
			c.is("k", c.get(bucket, "k"), "k")
		},
		"bucket_get_location": func(c *client) {
			bucket := c.bucket()
			out, err := c.sdk().GetBucketLocation(c.ctx, &s3.GetBucketLocationInput{Bucket: &bucket})
			c.must(err)
			c.is("LocationConstraint of us-east-1", string(out.LocationConstraint), "")
			head, err := c.sdk().HeadBucket(c.ctx, &s3.HeadBucketInput{Bucket: &bucket})
			c.must(err)
			c.is("x-amz-bucket-region", aws.ToString(head.BucketRegion), "us-east-1")
			gone := c.bucketName()
			_, err = c.sdk().GetBucketLocation(c.ctx, &s3.GetBucketLocationInput{Bucket: &gone})
			c.refused("of no bucket", err, http.StatusNotFound, "NoSuchBucket")
			_, err = c.sdk().CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: &gone, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "nowhere-1"}})
			c.refused("a bucket nowhere", err, http.StatusBadRequest, "InvalidLocationConstraint")
			c.is("exists", c.bucketExists(gone), false)
		},
		"bucket_recreate_not_overriding": func(c *client) {
			names := keys("mykey1", "mykey2")
			bucket := c.filled(names...)
			c.must(c.create(bucket)) // in us-east-1 it is no failure
			c.lists(1, bucket, asked{}, names, nil)
			c.is("mykey1", c.get(bucket, "mykey1"), "mykey1")
		},
		"bucket_create_special_key_names": func(c *client) {
			names := keys(" ", "\"", "$", "%", "&", "'", "<", ">", "_", "_ ", "_ _", "__", "+", "?", "#", "\\", "%2F", "a//b", "./x", "../y", "/z", "ß", "日本/語", "😀", "*", "{}", "|", "^", "`", "~", "=", ";", ":", "@", ",")
			bucket := c.filled(names...)
			c.lists(1, bucket, asked{}, slices.Sorted(slices.Values(names)), nil)
			for _, name := range names {
				c.is(name, c.get(bucket, name), name)
				_, err := c.sdk().PutObjectAcl(c.ctx, &s3.PutObjectAclInput{Bucket: &bucket, Key: &name, ACL: types.ObjectCannedACLPrivate})
				c.must(err)
				_, err = c.sdk().CopyObject(c.ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: some("copy of " + name), CopySource: some(bucket + "/" + escapePath(name))})
				c.must(err)
				c.is("copy of "+name, c.get(bucket, "copy of "+name), name)
			}
			c.deletesAll(bucket, names)
		},
		"bucket_create_naming_bad_short_one": func(c *client) {
			for _, name := range []string{"a", "aa", strings.Repeat("a", 64), strings.Repeat("a", 256), "Upper", "alphA", "under_score", "-begins", "ends-", ".begins", "ends.", "two..dots",
				"192.168.5.123", "xn--name", "sthree-name", "amzn-s3-demo-name", "name-s3alias", "name--ol-s3", "name.mrap", "name--x-s3", "name--table-s3", "bl@nk", "a b", "ümlaut", "new\nline"} {
				a := c.do(s3client.Request{Method: "PUT", Bucket: name})
				c.answers(fmt.Sprintf("%q", name), a, http.StatusBadRequest, "InvalidBucketName")
			}
			// Of a name that no bucket can have there is none.
			c.answers("GET of a", c.do(s3client.Request{Method: "GET", Bucket: "a"}), http.StatusNotFound, "NoSuchBucket")
		},
		"bucket_create_naming_good_long_63": func(c *client) {
			for _, size := range []int{3, 60, 61, 62, 63} {
				name := strings.Repeat("z", size)
				c.must(c.create(name))
				c.put(name, "k", "v")
				c.is("read", c.get(name, "k"), "v")
				c.deletesAll(name, keys("k"))
				_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &name})
				c.must(err)
			}
		},
		"bucket_create_naming_good_starts_alpha":    goodName("a", "foo"),
		"bucket_create_naming_good_starts_digit":    goodName("0", "foo"),
		"bucket_create_naming_good_contains_hyphen": goodName("aaa-", "111"),
		"buckets_list_ctime": func(c *client) {
			before := time.Now().Add(-time.Minute)
			made := keys(c.bucket(), c.bucket(), c.bucket())
			out, err := c.sdk().ListBuckets(c.ctx, &s3.ListBucketsInput{})
			c.must(err)
			found := 0
			var names []string
			for _, b := range out.Buckets {
				names = append(names, *b.Name)
				if slices.Contains(made, *b.Name) {
					found++
					c.is(*b.Name+" was made now", b.CreationDate.After(before) && b.CreationDate.Before(time.Now().Add(time.Minute)), true)
				}
			}
			c.is("found", found, 3)
			c.is("in order", slices.IsSorted(names), true)
			if out.Owner == nil || aws.ToString(out.Owner.ID) == "" {
				c.Errorf("no owner")
			}
		},
		"list_buckets_paginated": func(c *client) {
			for i := range 5 {
				c.must(c.create(fmt.Sprintf("paginated-%d", i)))
			}
			var got, want []string
			for i := range 5 {
				want = append(want, fmt.Sprintf("paginated-%d", i))
			}
			var token *string
			for pages := 0; ; pages++ {
				out, err := c.sdk().ListBuckets(c.ctx, &s3.ListBucketsInput{Prefix: some("paginated-"), MaxBuckets: some(int32(2)), ContinuationToken: token})
				c.must(err)
				c.is("Prefix", aws.ToString(out.Prefix), "paginated-")
				for _, b := range out.Buckets {
					got = append(got, *b.Name)
					c.is("BucketRegion", aws.ToString(b.BucketRegion), "us-east-1")
				}
				if token = out.ContinuationToken; token == nil {
					c.is("pages", pages, 2)
					break
				}
				c.is("buckets of a page", len(out.Buckets), 2)
			}
			c.is("buckets", got, want)
			out, err := c.sdk().ListBuckets(c.ctx, &s3.ListBucketsInput{MaxBuckets: some(int32(1))})
			c.must(err)
			c.is("buckets of a page", len(out.Buckets), 1)
			if out.ContinuationToken == nil {
				c.Errorf("a page of one says that it is the last")
			}
			out, err = c.sdk().ListBuckets(c.ctx, &s3.ListBucketsInput{Prefix: some("paginated-"), BucketRegion: some("eu-west-1")})
			c.must(err)
			c.is("buckets elsewhere", len(out.Buckets), 0)
			for _, query := range []string{"max-buckets=0", "max-buckets=-1", "max-buckets=x", "continuation-token=x"} {
				c.answers(query, c.do(s3client.Request{Method: "GET", Query: query}), http.StatusBadRequest, "InvalidArgument")
			}
		},
	}
}

// goodName: buckets of a name that begins like this and ends like that can be made, used
// and removed.
func goodName(begin, end string) test {
	return func(c *client) {
		name := begin + end
		c.must(c.create(name))
		c.is("exists", c.bucketExists(name), true)
		c.put(name, "k", "v")
		c.lists(1, name, asked{}, keys("k"), nil)
		c.deletesAll(name, keys("k"))
		_, err := c.sdk().DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &name})
		c.must(err)
	}
}
