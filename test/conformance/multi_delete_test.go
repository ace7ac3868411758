package conformance

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/troupe-storage/troupe/test/s3client"
)

// deleteMany asks for the deletion of several objects.
func (c *client) deleteMany(bucket string, names []string, quiet bool) *s3.DeleteObjectsOutput {
	c.Helper()
	list := &types.Delete{Quiet: &quiet}
	for i := range names {
		list.Objects = append(list.Objects, types.ObjectIdentifier{Key: &names[i]})
	}
	out, err := c.sdk().DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: list})
	c.must(err)
	return out
}

// deletesAll reports names that DeleteObjects does not say it has deleted.
func (c *client) deletesAll(bucket string, names []string) {
	c.Helper()
	out := c.deleteMany(bucket, names, false)
	var deleted []string
	for _, d := range out.Deleted {
		deleted = append(deleted, aws.ToString(d.Key))
	}
	slices.Sort(deleted)
	c.is("deleted", deleted, slices.Sorted(slices.Values(names)))
	c.is("errors", len(out.Errors), 0)
}

// deletion sends a document to DeleteObjects, with its MD5 unless it has none.
func (c *client) deletion(bucket, document string) *s3client.Answer {
	c.Helper()
	sum := md5.Sum([]byte(document))
	return c.do(s3client.Request{Method: "POST", Bucket: bucket, Query: "delete", Body: []byte(document),
		Header: keyed("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))})
}

func multiDeleteTests() map[string]test {
	return map[string]test{
		"multi_object_delete": func(c *client) {
			names := keys("key0", "key1", "key2", "ä ö/\n&")
			bucket := c.filled(append(names, "stays")...)
			c.deletesAll(bucket, names)
			c.lists(1, bucket, asked{}, keys("stays"), nil)
			c.deletesAll(bucket, names)
			quiet := c.deleteMany(bucket, keys("stays", "never there"), true)
			c.is("quiet: deleted", len(quiet.Deleted), 0)
			c.is("quiet: errors", len(quiet.Errors), 0)
			c.lists(1, bucket, asked{}, nil, nil)
			// A name that no object can have fails by itself.
			c.put(bucket, "a", "")
			mixed := c.deleteMany(bucket, keys("a", strings.Repeat("x", 1025)), true)
			if len(mixed.Errors) != 1 || aws.ToString(mixed.Errors[0].Code) != "KeyTooLongError" {
				c.Errorf("a name of 1025 bytes: %+v", mixed.Errors)
			}
			c.missing(bucket, "a")
			// Documents that are none, and digests that do not fit.
			for _, document := range []string{"", "<Delete></Delete>", "<Delete><Object></Object></Delete>", "<Delete><Object><Key></Key></Object></Delete>",
				"<Delete><Object><Key>a</Key></Object>", "<Remove><Object><Key>a</Key></Object></Remove>"} {
				c.answers(document, c.deletion(bucket, document), http.StatusBadRequest, "MalformedXML")
			}
			c.answers("no digest", c.do(s3client.Request{Method: "POST", Bucket: bucket, Query: "delete", Body: []byte("<Delete><Object><Key>a</Key></Object></Delete>")}),
				http.StatusBadRequest, "InvalidRequest")
			c.answers("another digest", c.do(s3client.Request{Method: "POST", Bucket: bucket, Query: "delete", Body: []byte("<Delete><Object><Key>a</Key></Object></Delete>"),
				Header: keyed("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")}), http.StatusBadRequest, "BadDigest")
			gone := c.bucketName()
			c.answers("no bucket", c.deletion(gone, "<Delete><Object><Key>a</Key></Object></Delete>"), http.StatusNotFound, "NoSuchBucket")
		},
		"multi_object_delete_key_limit": func(c *client) {
			bucket := c.bucket()
			document := func(count int) string {
				var b strings.Builder
				b.WriteString(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
				for i := range count {
					fmt.Fprintf(&b, "<Object><Key>key-%d</Key></Object>", i)
				}
				return b.String() + "</Delete>"
			}
			c.put(bucket, "key-0", "")
			c.answers("1001 keys", c.deletion(bucket, document(1001)), http.StatusBadRequest, "MalformedXML")
			c.lists(1, bucket, asked{}, keys("key-0"), nil) // nothing of it was done
			a := c.ok(c.deletion(bucket, document(1000)))
			var result struct{ Deleted []struct{ Key string } }
			c.must(xml.Unmarshal(a.Body, &result))
			c.is("deleted", len(result.Deleted), 1000)
			c.lists(1, bucket, asked{}, nil, nil)
		},
	}
}
