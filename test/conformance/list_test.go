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

// asked are the parameters that both listings have; nil: not given.
type asked struct {
	prefix, delimiter *string
	after             *string // marker, or start-after
	token             *string // of version 2
	max               *int32
	url               bool // encoding-type
}

// page is what both listings answer.
type page struct {
	name                     string
	contents                 []types.Object
	keys, prefixes           []string
	truncated                bool
	next                     *string // NextMarker, or NextContinuationToken
	prefix, delimiter, after *string
	max                      *int32
	encoding                 types.EncodingType
	count                    *int32 // KeyCount, of version 2
	token                    *string
}

// version is which of the two listings is asked: 1 or 2.
type version int

// list asks for one page.
func (c *client) list(v version, bucket string, a asked) page {
	c.Helper()
	var p page
	var common []types.CommonPrefix
	var encoding types.EncodingType
	if a.url {
		encoding = types.EncodingTypeUrl
	}
	if v == 1 {
		out, err := c.sdk().ListObjects(c.ctx, &s3.ListObjectsInput{
			Bucket: &bucket, Prefix: a.prefix, Delimiter: a.delimiter, Marker: a.after, MaxKeys: a.max, EncodingType: encoding,
		})
		c.must(err)
		p = page{name: aws.ToString(out.Name), contents: out.Contents, truncated: aws.ToBool(out.IsTruncated), next: out.NextMarker, prefix: out.Prefix, delimiter: out.Delimiter,
			after: out.Marker, max: out.MaxKeys, encoding: out.EncodingType}
		common = out.CommonPrefixes
	} else {
		out, err := c.sdk().ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{
			Bucket: &bucket, Prefix: a.prefix, Delimiter: a.delimiter, StartAfter: a.after, MaxKeys: a.max, EncodingType: encoding, ContinuationToken: a.token,
		})
		c.must(err)
		p = page{name: aws.ToString(out.Name), contents: out.Contents, truncated: aws.ToBool(out.IsTruncated), next: out.NextContinuationToken, prefix: out.Prefix, delimiter: out.Delimiter,
			after: out.StartAfter, max: out.MaxKeys, encoding: out.EncodingType, count: out.KeyCount, token: out.ContinuationToken}
		common = out.CommonPrefixes
		c.is("KeyCount", int(aws.ToInt32(p.count)), len(p.contents)+len(common))
	}
	for _, o := range p.contents {
		p.keys = append(p.keys, aws.ToString(o.Key))
	}
	for _, o := range common {
		p.prefixes = append(p.prefixes, aws.ToString(o.Prefix))
	}
	c.is("Name", p.name, bucket)
	if a.url { // the order is that of the names, not of how they are written
		return p
	}
	c.is("keys are in order", slices.IsSorted(p.keys), true)
	c.is("common prefixes are in order", slices.IsSorted(p.prefixes), true)
	return p
}

// lists reports a listing that is not of these keys and common prefixes, whole on one page,
// and then in pages of every size down to one.
func (c *client) lists(v version, bucket string, a asked, keys, prefixes []string) page {
	c.Helper()
	whole := c.list(v, bucket, a)
	what := fmt.Sprintf("version %d, prefix %q, delimiter %q, after %q", v, aws.ToString(a.prefix), aws.ToString(a.delimiter), aws.ToString(a.after))
	c.is(what+": keys", whole.keys, keys)
	c.is(what+": common prefixes", whole.prefixes, prefixes)
	c.is(what+": truncated", whole.truncated, false)
	c.is(what+": where it goes on", whole.next, (*string)(nil))
	if a.max != nil || a.url {
		return whole
	}
	all := len(keys) + len(prefixes)
	for size := 1; size <= min(all, 3); size++ {
		var gotKeys, gotPrefixes []string
		b := a
		b.max = aws.Int32(int32(size))
		for pages := 0; ; pages++ {
			p := c.list(v, bucket, b)
			gotKeys, gotPrefixes = append(gotKeys, p.keys...), append(gotPrefixes, p.prefixes...)
			c.is(what+": MaxKeys", aws.ToInt32(p.max), int32(size))
			if !p.truncated {
				break
			}
			c.is(what+": entries of a page", len(p.keys)+len(p.prefixes), size)
			if pages > all {
				c.Fatalf("%s: %d pages of %d for %d entries", what, pages, size, all)
			}
			switch {
			case v == 2:
				if p.next == nil {
					c.Fatalf("%s: truncated, and no token", what)
				}
				b.token = p.next
			case aws.ToString(a.delimiter) != "":
				if p.next == nil {
					c.Fatalf("%s: truncated, and no NextMarker", what)
				}
				b.after = p.next
			default: // S3 leaves NextMarker out: the last key serves
				c.is(what+": NextMarker", p.next, (*string)(nil))
				b.after = &p.keys[len(p.keys)-1]
			}
		}
		c.is(fmt.Sprintf("%s: keys in pages of %d", what, size), gotKeys, keys)
		c.is(fmt.Sprintf("%s: common prefixes in pages of %d", what, size), gotPrefixes, prefixes)
	}
	return whole
}

// some is the pointer to a value, as the SDK has it.
func some[T any](v T) *T { return &v }

// keys is a list of names.
func keys(names ...string) []string { return names }

// refusesList reports parameters of a listing that are not refused.
func (c *client) refusesList(bucket, query string, status int, code string) {
	c.Helper()
	c.answers("?"+query, c.do(s3client.Request{Method: "GET", Bucket: bucket, Query: query}), status, code)
}

// delimiter is a delimiter, the names that are there, and what is listed.
func delimiter(v version, by string, names, listed, prefixes []string) test {
	return func(c *client) {
		bucket := c.filled(names...)
		p := c.lists(v, bucket, asked{delimiter: &by}, listed, prefixes)
		c.is("Delimiter", p.delimiter, &by)
	}
}

// prefix is a prefix, the names that are there, and what is listed.
func prefix(v version, begin string, names, listed []string) test {
	return func(c *client) {
		bucket := c.filled(names...)
		p := c.lists(v, bucket, asked{prefix: &begin}, listed, nil)
		c.is("Prefix", p.prefix, &begin)
		c.is("CommonPrefixes", p.prefixes, []string(nil))
	}
}

// both is prefix and delimiter.
func both(v version, begin, by string, names, listed, prefixes []string) test {
	return func(c *client) {
		bucket := c.filled(names...)
		p := c.lists(v, bucket, asked{prefix: &begin, delimiter: &by}, listed, prefixes)
		c.is("Prefix", p.prefix, &begin)
		c.is("Delimiter", p.delimiter, &by)
	}
}

// underscore: names that begin below the letters, with a delimiter and prefixes.
func underscore(v version) test {
	return func(c *client) {
		bucket := c.filled("_obj1_", "_under1/bar", "_under1/baz/xyzzy", "_under2/bla", "_under2/thud")
		slash := some("/")
		c.lists(v, bucket, asked{delimiter: slash}, keys("_obj1_"), keys("_under1/", "_under2/"))
		c.lists(v, bucket, asked{delimiter: slash, prefix: some("")}, keys("_obj1_"), keys("_under1/", "_under2/"))
		c.lists(v, bucket, asked{delimiter: slash, prefix: some("_under1/")}, keys("_under1/bar"), keys("_under1/baz/"))
		c.lists(v, bucket, asked{delimiter: slash, prefix: some("_under")}, nil, keys("_under1/", "_under2/"))
		c.lists(v, bucket, asked{delimiter: slash, prefix: some("_under1/baz")}, nil, keys("_under1/baz/"))
		c.lists(v, bucket, asked{delimiter: slash, after: some("_obj1_")}, nil, keys("_under1/", "_under2/"))
		if v == 1 { // a marker that is a common prefix: it was listed, with all below it
			c.lists(v, bucket, asked{delimiter: slash, after: some("_under1/")}, nil, keys("_under2/"))
		}
		c.lists(v, bucket, asked{delimiter: some("_")}, nil, keys("_"))
	}
}

// none: what is not given is as if it were empty, and is not repeated.
func noDelimiter(v version, empty bool) test {
	return func(c *client) {
		bucket := c.filled("a/b", "bar", "baz", "cab", "foo")
		a := asked{}
		if empty {
			a.delimiter = some("")
		}
		p := c.lists(v, bucket, a, keys("a/b", "bar", "baz", "cab", "foo"), nil)
		c.is("Delimiter", p.delimiter, (*string)(nil))
	}
}

func noPrefix(v version, empty bool) test {
	return func(c *client) {
		bucket := c.filled("foo/bar", "foo/baz", "quux")
		a := asked{}
		if empty {
			a.prefix = some("")
		}
		p := c.lists(v, bucket, a, keys("foo/bar", "foo/baz", "quux"), nil)
		c.is("Prefix", aws.ToString(p.prefix), "")
	}
}

// unreadable: control characters in a prefix or position are characters like any other.
func unreadable(v version) test {
	return func(c *client) {
		bucket := c.filled("\t", "\n1", "\nfoo", "bar", "foo", "\u0085x")
		a := asked{prefix: some("\n")}
		p := c.lists(v, bucket, a, keys("\n1", "\nfoo"), nil)
		c.is("Prefix", p.prefix, some("\n"))
		p = c.lists(v, bucket, asked{after: some("\n")}, keys("\n1", "\nfoo", "bar", "foo", "\u0085x"), nil)
		c.is("position", p.after, some("\n"))
		p = c.lists(v, bucket, asked{delimiter: some("\n")}, keys("\t", "bar", "foo", "\u0085x"), keys("\n"))
		c.is("Delimiter", p.delimiter, some("\n"))
		c.put(bucket, "\x01\x7f", "") // which XML has no place for
		c.is("encoded keys", c.list(v, bucket, asked{prefix: some("\x01"), url: true}).keys, keys("%01%7F"))
		if p = c.list(v, bucket, asked{prefix: some("\n"), url: true}); aws.ToString(p.prefix) != "%0A" || p.keys[0] != "%0A1" {
			c.Errorf("encoded: prefix %q, keys %q", aws.ToString(p.prefix), p.keys)
		}
	}
}

// maxZero: a page of nothing, after which nothing follows.
func maxZero(v version) test {
	return func(c *client) {
		bucket := c.filled("bar", "baz", "foo")
		p := c.lists(v, bucket, asked{max: some(int32(0))}, nil, nil)
		c.is("MaxKeys", p.max, some(int32(0)))
	}
}

// maxNone: a thousand, however many are asked for.
func maxNone(v version) test {
	return func(c *client) {
		bucket := c.filled("bar", "baz", "foo")
		c.is("MaxKeys", c.lists(v, bucket, asked{}, keys("bar", "baz", "foo"), nil).max, some(int32(1000)))
		kind := map[version]string{1: "", 2: "list-type=2&"}[v]
		for _, query := range []string{"max-keys=", "max-keys=1001", "max-keys=2147483647"} {
			a := c.ok(c.do(s3client.Request{Method: "GET", Bucket: bucket, Query: kind + query}))
			c.is(query+" is 1000", strings.Contains(string(a.Body), "<MaxKeys>1000</MaxKeys>"), true)
		}
		for _, query := range []string{"max-keys=blah", "max-keys=-1", "max-keys=1.5", "max-keys=2147483648", "max-keys=%201"} {
			c.refusesList(bucket, kind+query, http.StatusBadRequest, "InvalidArgument")
		}
		if v == 1 {
			// A bucket of more than a thousand is listed a thousand at a time.
			many := c.bucket()
			c.side(8, func(i int) {
				for n := i; n < 1003; n += 8 {
					c.ok(c.do(s3client.Request{Method: "PUT", Bucket: many, Key: fmt.Sprintf("%04d", n)}))
				}
			})
			first := c.list(1, many, asked{})
			c.is("keys of the first page", len(first.keys), 1000)
			c.is("truncated", first.truncated, true)
			c.is("the rest", c.list(1, many, asked{after: &first.keys[999]}).keys, keys("1000", "1001", "1002"))
		}
	}
}

// afterAll: a position after every key is the end.
func afterAll(v version) test {
	return func(c *client) {
		bucket := c.filled("bar", "baz", "foo")
		p := c.lists(v, bucket, asked{after: some("zzz")}, nil, nil)
		c.is("position", p.after, some("zzz"))
		c.lists(v, bucket, asked{after: some("foo")}, nil, nil)
	}
}

func listV1Tests() map[string]test {
	return map[string]test{
		"bucket_list_encoding_basic": func(c *client) {
			bucket := c.filled("asdf+b", "foo+1/bar", "foo/bar/xyzzy", "quux ab/thud", "ä/x", "é&<>'\"~*()!", "z\n")
			slash := some("/")
			for _, v := range []version{1, 2} {
				p := c.lists(v, bucket, asked{delimiter: slash, url: true},
					keys("asdf%2Bb", "z%0A", "%C3%A9%26%3C%3E%27%22~%2A%28%29%21"), keys("foo%2B1/", "foo/", "quux%20ab/", "%C3%A4/"))
				c.is("EncodingType", p.encoding, types.EncodingTypeUrl)
				c.is("Delimiter", p.delimiter, slash)
				p = c.list(v, bucket, asked{delimiter: some("+ ü"), prefix: some("a+ä "), after: some("a b+ü"), url: true})
				c.is("Delimiter", p.delimiter, some("%2B%20%C3%BC"))
				c.is("Prefix", p.prefix, some("a%2B%C3%A4%20"))
				c.is("position", p.after, some("a%20b%2B%C3%BC"))
				if p = c.lists(v, bucket, asked{delimiter: slash}, keys("asdf+b", "z\n", "é&<>'\"~*()!"), keys("foo+1/", "foo/", "quux ab/", "ä/")); p.encoding != "" {
					c.Errorf("EncodingType %q that nobody asked for", p.encoding)
				}
			}
			p := c.list(1, bucket, asked{delimiter: slash, max: some(int32(2)), url: true})
			c.is("NextMarker", p.next, some("foo%2B1/"))
			for _, query := range []string{"encoding-type=base64", "list-type=2&encoding-type=xml"} {
				c.refusesList(bucket, query, http.StatusBadRequest, "InvalidArgument")
			}
		},
		"bucket_list_delimiter_alt":               delimiter(1, "a", keys("bar", "baz", "cab", "foo"), keys("foo"), keys("ba", "ca")),
		"bucket_list_delimiter_prefix_underscore": underscore(1),
		"bucket_list_delimiter_whitespace":        delimiter(1, " ", keys("b ar", "b az", "c ab", "foo"), keys("foo"), keys("b ", "c ")),
		"bucket_list_delimiter_dot":               delimiter(1, ".", keys("b.ar", "b.az", "c.ab", "foo"), keys("foo"), keys("b.", "c.")),
		"bucket_list_delimiter_empty":             noDelimiter(1, true),
		"bucket_list_delimiter_none":              noDelimiter(1, false),
		"bucket_list_delimiter_not_exist":         delimiter(1, "/", keys("bar", "baz", "cab", "foo"), keys("bar", "baz", "cab", "foo"), nil),
		"bucket_list_delimiter_not_skip_special": func(c *client) {
			// What sorts close to a common prefix is not skipped with it.
			bucket := c.bucket()
			c.side(8, func(i int) {
				for n := 1000 + i; n < 1999; n += 8 {
					c.ok(c.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: fmt.Sprintf("0/%d", n)}))
				}
			})
			beside := keys("0", "0.", "00", "1999", "1999#", "1999+", "2000")
			for _, key := range beside {
				c.put(bucket, key, "")
			}
			for _, v := range []version{1, 2} {
				c.lists(v, bucket, asked{delimiter: some("/")}, beside, keys("0/"))
				c.lists(v, bucket, asked{delimiter: some("/"), after: some("0/1998")}, beside[2:], nil)
			}
		},
		"bucket_list_prefix_basic":                                prefix(1, "foo/", keys("foo/bar", "foo/baz", "quux"), keys("foo/bar", "foo/baz")),
		"bucket_list_prefix_alt":                                  prefix(1, "ba", keys("bar", "baz", "foo"), keys("bar", "baz")),
		"bucket_list_prefix_empty":                                noPrefix(1, true),
		"bucket_list_prefix_not_exist":                            prefix(1, "d", keys("foo/bar", "foo/baz", "quux"), nil),
		"bucket_list_prefix_delimiter_alt":                        both(1, "ba", "a", keys("bar", "bazar", "cab", "foo"), keys("bar"), keys("baza")),
		"bucket_list_prefix_delimiter_prefix_not_exist":           both(1, "d", "/", keys("b/a/c", "b/a/g", "b/a/r", "g"), nil, nil),
		"bucket_list_prefix_delimiter_prefix_delimiter_not_exist": both(1, "y", "z", keys("b/a/c", "b/a/g", "b/a/r", "g"), nil, nil),
		"bucket_list_maxkeys_one": func(c *client) {
			all := keys("bar", "baz", "foo", "quxx")
			bucket := c.filled(all...)
			first := c.list(1, bucket, asked{max: some(int32(1))})
			c.is("keys", first.keys, all[:1])
			c.is("truncated", first.truncated, true)
			rest := c.list(1, bucket, asked{after: &all[0]})
			c.is("keys after the first", rest.keys, all[1:])
			c.is("truncated", rest.truncated, false)
			c.lists(1, bucket, asked{}, all, nil)
		},
		"bucket_list_maxkeys_zero":      maxZero(1),
		"bucket_list_maxkeys_none":      maxNone(1),
		"bucket_list_marker_unreadable": unreadable(1),
		"bucket_list_marker_after_list": afterAll(1),
		"bucket_list_return_data": func(c *client) {
			names := keys("bar", "baz", "foo")
			bucket := c.filled(names...)
			acl, err := c.sdk().GetBucketAcl(c.ctx, &s3.GetBucketAclInput{Bucket: &bucket})
			c.must(err)
			for i, o := range c.lists(1, bucket, asked{}, names, nil).contents {
				meta, err := c.sdk().HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: o.Key})
				c.must(err)
				c.is("Size", o.Size, meta.ContentLength)
				c.is("Size", aws.ToInt64(o.Size), int64(len(names[i])))
				c.is("ETag", o.ETag, meta.ETag)
				c.is("LastModified", aws.ToTime(o.LastModified).UTC(), aws.ToTime(meta.LastModified).UTC())
				c.is("LastModified is of today", time.Since(*o.LastModified).Abs() < time.Hour, true)
				c.is("StorageClass", o.StorageClass, types.ObjectStorageClassStandard)
				if o.Owner == nil {
					c.Fatalf("no owner")
				}
				c.is("Owner.ID", o.Owner.ID, acl.Owner.ID)
				c.is("Owner.DisplayName", o.Owner.DisplayName, acl.Owner.DisplayName)
			}
		},
		"bucket_list_special_prefix": func(c *client) {
			below := keys("_bla/1", "_bla/2", "_bla/3", "_bla/4")
			bucket := c.filled(append(below, "abcd")...)
			c.lists(1, bucket, asked{}, append(below, "abcd"), nil)
			c.lists(1, bucket, asked{prefix: some("_bla/")}, below, nil)
		},
	}
}

func listV2Tests() map[string]test {
	return map[string]test{
		"bucket_list_distinct": func(c *client) {
			one, other := c.bucket(), c.bucket()
			c.put(one, "asdf", "")
			c.lists(2, one, asked{}, keys("asdf"), nil)
			for _, v := range []version{1, 2} {
				c.lists(v, other, asked{}, nil, nil)
			}
		},
		"bucket_listv2_many": func(c *client) {
			bucket := c.filled("bar", "baz", "foo")
			p := c.list(2, bucket, asked{max: some(int32(2))})
			c.is("keys", p.keys, keys("bar", "baz"))
			c.is("truncated", p.truncated, true)
			c.is("the rest, by position", c.list(2, bucket, asked{after: some("baz"), max: some(int32(2))}).keys, keys("foo"))
			rest := c.list(2, bucket, asked{token: p.next, max: some(int32(2))})
			c.is("the rest, by token", rest.keys, keys("foo"))
			c.is("ContinuationToken", rest.token, p.next)
			c.is("truncated", rest.truncated, false)
			c.is("NextContinuationToken", rest.next, (*string)(nil))
			// What was deleted meanwhile does not stop it.
			_, err := c.sdk().DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: some("baz")})
			c.must(err)
			c.is("the rest, after a deletion", c.list(2, bucket, asked{token: p.next}).keys, keys("foo"))
			for _, token := range []string{"nonsense", "%20", "MW4"} {
				c.refusesList(bucket, "list-type=2&continuation-token="+token, http.StatusBadRequest, "InvalidArgument")
			}
		},
		"basic_key_count": func(c *client) {
			bucket := c.filled("0", "1", "2", "3/a", "3/b")
			c.is("KeyCount", c.list(2, bucket, asked{}).count, some(int32(5)))
			c.is("KeyCount", c.list(2, bucket, asked{delimiter: some("/")}).count, some(int32(4)))
			c.is("KeyCount", c.list(2, bucket, asked{max: some(int32(2))}).count, some(int32(2)))
			c.is("KeyCount", c.list(2, bucket, asked{prefix: some("x")}).count, some(int32(0)))
		},
		"bucket_listv2_delimiter_basic": delimiter(2, "/", keys("asdf", "foo/bar", "foo/bar/xyzzy", "quux/thud"), keys("asdf"), keys("foo/", "quux/")),
		"bucket_listv2_delimiter_prefix": func(c *client) {
			bucket := c.filled("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud")
			slash := some("/")
			c.lists(2, bucket, asked{delimiter: slash}, keys("asdf"), keys("boo/", "cquux/"))
			c.lists(2, bucket, asked{delimiter: slash, prefix: some("boo/")}, keys("boo/bar"), keys("boo/baz/"))
			c.lists(2, bucket, asked{delimiter: slash, prefix: some("b")}, nil, keys("boo/"))
			c.lists(2, bucket, asked{delimiter: slash, after: some("boo/bar")}, nil, keys("boo/", "cquux/"))
		},
		"bucket_listv2_delimiter_prefix_ends_with_delimiter":        both(2, "asdf/", "/", keys("asdf/"), keys("asdf/"), nil),
		"bucket_listv2_delimiter_prefix_underscore":                 underscore(2),
		"bucket_listv2_delimiter_percentage":                        delimiter(2, "%", keys("b%ar", "b%az", "c%ab", "foo"), keys("foo"), keys("b%", "c%")),
		"bucket_listv2_delimiter_empty":                             noDelimiter(2, true),
		"bucket_listv2_delimiter_none":                              noDelimiter(2, false),
		"bucket_listv2_fetchowner_notempty":                         fetchOwner(some(true), true),
		"bucket_listv2_fetchowner_empty":                            fetchOwner(some(false), false),
		"bucket_listv2_prefix_basic":                                prefix(2, "foo/", keys("foo/bar", "foo/baz", "quux"), keys("foo/bar", "foo/baz")),
		"bucket_listv2_prefix_empty":                                noPrefix(2, true),
		"bucket_listv2_prefix_none":                                 noPrefix(2, false),
		"bucket_listv2_prefix_not_exist":                            prefix(2, "d", keys("foo/bar", "foo/baz", "quux"), nil),
		"bucket_listv2_prefix_unreadable":                           unreadable(2),
		"bucket_listv2_prefix_delimiter_prefix_delimiter_not_exist": both(2, "y", "z", keys("b/a/c", "b/a/g", "b/a/r", "g"), nil, nil),
		"bucket_listv2_maxkeys_zero":                                maxZero(2),
		"bucket_listv2_maxkeys_none":                                maxNone(2),
		"bucket_listv2_both_continuationtoken_startafter": func(c *client) {
			all := keys("bar", "baz", "foo", "quxx")
			bucket := c.filled(all...)
			first := c.list(2, bucket, asked{after: some("bar"), max: some(int32(1))})
			c.is("keys", first.keys, keys("baz"))
			c.is("StartAfter", first.after, some("bar"))
			rest := c.list(2, bucket, asked{after: some("bar"), token: first.next})
			c.is("keys", rest.keys, keys("foo", "quxx"))
			c.is("StartAfter", rest.after, some("bar"))
			c.is("ContinuationToken", rest.token, first.next)
			c.is("truncated", rest.truncated, false)
		},
		"bucket_listv2_startafter_not_in_list": func(c *client) {
			bucket := c.filled("bar", "baz", "foo")
			p := c.lists(2, bucket, asked{after: some("blah")}, keys("foo"), nil)
			c.is("StartAfter", p.after, some("blah"))
			c.lists(2, bucket, asked{after: some("ba"), prefix: some("b")}, keys("bar", "baz"), nil)
			c.lists(2, bucket, asked{after: some("a"), prefix: some("f")}, keys("foo"), nil)
		},
		"bucket_listv2_startafter_after_list": afterAll(2),
		"bucketv2_notexist": func(c *client) {
			bucket := c.bucketName()
			_, err := c.sdk().ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket})
			c.refused("ListObjectsV2", err, http.StatusNotFound, "NoSuchBucket")
			_, err = c.sdk().ListObjects(c.ctx, &s3.ListObjectsInput{Bucket: &bucket})
			c.refused("ListObjects", err, http.StatusNotFound, "NoSuchBucket")
		},
		"multi_objectv2_delete": func(c *client) {
			names := keys("key0", "key1", "key2", "a b/+%&<>", "\t\n")
			bucket := c.filled(names...)
			c.deletesAll(bucket, names)
			c.lists(2, bucket, asked{}, nil, nil)
			c.deletesAll(bucket, names) // what is gone is deleted as well
		},
	}
}

// fetchOwner: owners are told to who asks for them.
func fetchOwner(fetch *bool, told bool) test {
	return func(c *client) {
		bucket := c.filled("bar", "baz/x")
		out, err := c.sdk().ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, FetchOwner: fetch})
		c.must(err)
		acl, err := c.sdk().GetBucketAcl(c.ctx, &s3.GetBucketAclInput{Bucket: &bucket})
		c.must(err)
		for _, o := range out.Contents {
			switch {
			case (o.Owner != nil) != told:
				c.Errorf("owner told: %v, want %v", o.Owner != nil, told)
			case told:
				c.is("Owner.ID", o.Owner.ID, acl.Owner.ID)
			}
		}
		if !told { // not given, and empty, is false
			for _, query := range []string{"list-type=2", "list-type=2&fetch-owner=", "list-type=2&fetch-owner=false"} {
				a := c.ok(c.do(s3client.Request{Method: "GET", Bucket: bucket, Query: query}))
				c.is("?"+query+" tells owners", strings.Contains(string(a.Body), "<Owner>"), false)
			}
		}
	}
}
