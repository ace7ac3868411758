package s3api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// bucketListing is what the listings of objects have, as clients read them.
type bucketListing struct {
	Name, Prefix, Delimiter, Marker, NextMarker, EncodingType string
	StartAfter, ContinuationToken, NextContinuationToken      string
	KeyMarker, NextKeyMarker, NextVersionIDMarker             string
	MaxKeys, KeyCount                                         int
	IsTruncated                                               bool
	Contents                                                  []struct {
		Key, ETag, LastModified, StorageClass string
		Size                                  int64
		Owner                                 *struct{ ID, DisplayName string }
	}
	Version []struct {
		Key       string
		VersionID string `xml:"VersionId"`
		IsLatest  bool
	}
	CommonPrefixes []struct{ Prefix string }
}

func (l *bucketListing) keys() []string {
	names := []string{}
	for _, c := range l.Contents {
		names = append(names, c.Key)
	}
	for _, v := range l.Version {
		names = append(names, v.Key)
	}
	return names
}

func (l *bucketListing) prefixes() []string {
	names := []string{}
	for _, p := range l.CommonPrefixes {
		names = append(names, p.Prefix)
	}
	return names
}

func (e *edge) list(query string) bucketListing {
	e.t.Helper()
	return document[bucketListing](e.do(get, "/b?"+query, "").want(200))
}

func wantNames(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if strings.Join(got, " ") != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// bucket_list_delimiter_…, bucket_list_prefix_…: in both versions of the
// listing, what is listed and what is rolled up.
func TestListDelimiterAndPrefix(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla", "b_r", "b%25az", "c%20ab", "foo%0Abar", "b.d", "_under1/a", "under"} {
		e.put(k, k)
	}
	for _, c := range []struct{ query, keys, prefixes string }{
		{"", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud foo\nbar under", ""},
		{"delimiter=/", "asdf b%az b.d b_r c ab foo\nbar under", "_under1/ boo/ cquux/"},
		{"delimiter=a", "b.d b_r cquux/thud under", "_under1/a a b%a boo/ba c a cquux/bla foo\nba"},
		{"delimiter=%25", "_under1/a asdf b.d b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud foo\nbar under", "b%"},
		{"delimiter=%20", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy cquux/bla cquux/thud foo\nbar under", "c "},
		{"delimiter=%0A", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud under", "foo\n"},
		{"delimiter=.", "_under1/a asdf b%az b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud foo\nbar under", "b."},
		{"delimiter=quux/", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy c ab foo\nbar under", "cquux/"},
		{"delimiter=nowhere", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud foo\nbar under", ""},
		{"prefix=boo/", "boo/bar boo/baz/xyzzy", ""},
		{"prefix=boo/&delimiter=/", "boo/bar", "boo/baz/"},
		{"prefix=bo&delimiter=/", "", "boo/"},
		{"prefix=boo/bar&delimiter=/", "boo/bar", ""},
		{"prefix=%5Cx", "", ""},
		{"prefix=&delimiter=", "_under1/a asdf b%az b.d b_r boo/bar boo/baz/xyzzy c ab cquux/bla cquux/thud foo\nbar under", ""},
		{"prefix=_under1/", "_under1/a", ""},
	} {
		for _, version := range []string{"", "&list-type=2"} {
			l := e.list(c.query + version)
			wantNames(t, c.query+version, l.keys(), c.keys)
			wantNames(t, c.query+version, l.prefixes(), c.prefixes)
			if l.MaxKeys != 1000 || l.IsTruncated || l.Name != "b" {
				t.Errorf("%s: %+v", c.query, l)
			}
			if version != "" && l.KeyCount != len(l.Contents)+len(l.CommonPrefixes) {
				t.Errorf("%s: KeyCount %d", c.query, l.KeyCount)
			}
		}
		l := e.list(c.query + "&versions")
		wantNames(t, c.query+"&versions", l.keys(), c.keys)
		wantNames(t, c.query+"&versions", l.prefixes(), c.prefixes)
	}
}

// Page by page, of any size, every listing gives every name once, in order.
func TestListPages(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"a", "b/1", "b/2", "b/3", "c", "d/1", "d/e/1", "d0", "e", "\U0010ffff/x", "b/"} {
		e.put(string(appendURL(nil, k)), k)
	}
	walk := func(t *testing.T, query string, size int, next func(*bucketListing) string) (names []string) {
		more := ""
		for turn := 0; ; turn++ {
			if turn > 50 {
				t.Fatalf("%s: no end; so far %q", query, names)
			}
			l := e.list(fmt.Sprintf("%s&max-keys=%d%s", query, size, more))
			page := append(l.keys(), l.prefixes()...)
			if len(page) > size {
				t.Fatalf("%s: %d names in a page of %d", query, len(page), size)
			}
			slices.Sort(page)
			names = append(names, page...)
			if !l.IsTruncated {
				if l.NextContinuationToken != "" || l.NextMarker != "" || l.NextKeyMarker != "" {
					t.Errorf("%s: the last page says where to go on: %+v", query, l)
				}
				return names
			}
			if len(page) != size {
				t.Errorf("%s: %d names in a page of %d that is not the last", query, len(page), size)
			}
			more = next(&l)
		}
	}
	escape := func(s string) string { return string(appendURL(nil, s)) }
	forms := map[string]func(*bucketListing) string{
		"list-type=2": func(l *bucketListing) string { return "&continuation-token=" + escape(l.NextContinuationToken) },
		"versions":    func(l *bucketListing) string { return "&key-marker=" + escape(l.NextKeyMarker) },
		"":            nil,
	}
	for _, filter := range []string{"", "&delimiter=/", "&delimiter=/&prefix=b/", "&prefix=d", "&delimiter=/&prefix=d", "&delimiter=1"} {
		whole := e.list("list-type=2" + filter)
		want := append(whole.keys(), whole.prefixes()...)
		slices.Sort(want)
		for form, next := range forms {
			if next == nil {
				next = func(l *bucketListing) string {
					marker := l.NextMarker
					if marker == "" { // only with a delimiter does S3 name it
						marker = l.Contents[len(l.Contents)-1].Key
					}
					return "&marker=" + escape(marker)
				}
			}
			for size := 1; size <= 12; size++ {
				if got := walk(t, form+filter, size, next); !slices.Equal(got, want) {
					t.Errorf("%s%s by %d: %q, want %q", form, filter, size, got, want)
				}
			}
		}
	}
}

// bucket_list_maxkeys_…, bucket_list_marker_…, bucket_listv2_startafter_…
func TestListParameters(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"bar", "baz", "foo", "quxx"} {
		e.put(k, "x")
	}
	if l := e.list("max-keys=0"); len(l.Contents) != 0 || l.IsTruncated || l.MaxKeys != 0 {
		t.Errorf("max-keys=0: %+v", l)
	}
	if l := e.list("max-keys=1"); len(l.Contents) != 1 || !l.IsTruncated || l.MaxKeys != 1 || l.NextMarker != "" {
		t.Errorf("max-keys=1: %+v", l)
	}
	if l := e.list("max-keys=100000"); l.MaxKeys != 1000 || l.IsTruncated {
		t.Errorf("max-keys=100000: %+v", l)
	}
	if l := e.list("max-keys="); l.MaxKeys != 1000 {
		t.Errorf("max-keys=: %+v", l)
	}
	for _, bad := range []string{"max-keys=blah", "max-keys=-1", "max-keys=99999999999", "encoding-type=rot13", "list-type=3", "list-type=2&continuation-token=", "list-type=2&continuation-token=xyz", "list-type=2&continuation-token=%2A", "prefix=%ff", "versions&version-id-marker=null"} {
		e.do(get, "/b?"+bad, "").wantError(400, "InvalidArgument")
	}
	for query, want := range map[string]string{
		"marker=baz": "foo quxx", "marker=bay": "baz foo quxx", "marker=zzz": "", "marker=%0A": "bar baz foo quxx", "marker=": "bar baz foo quxx",
		"list-type=2&start-after=baz": "foo quxx", "list-type=2&start-after=blah": "foo quxx", "list-type=2&start-after=zzz": "", "list-type=2&start-after=": "bar baz foo quxx",
	} {
		l := e.list(query)
		wantNames(t, query, l.keys(), want)
		if _, marker, ok := strings.Cut(query, "marker="); ok && marker != "%0A" && l.Marker != marker {
			t.Errorf("%s: Marker %q", query, l.Marker)
		}
	}
	first := e.list("list-type=2&start-after=bar&max-keys=1")
	second := e.list("list-type=2&start-after=bar&max-keys=5&continuation-token=" + first.NextContinuationToken)
	wantNames(t, "token and start-after", second.keys(), "foo quxx")
	if second.StartAfter != "bar" || second.ContinuationToken != first.NextContinuationToken {
		t.Errorf("neither is repeated: %+v", second)
	}
	if l := e.list("list-type=2&fetch-owner=true"); l.Contents[0].Owner == nil || l.Contents[0].Owner.ID != "owner" {
		t.Errorf("fetch-owner=true: %+v", l.Contents[0])
	}
	for _, query := range []string{"list-type=2", "list-type=2&fetch-owner=false"} {
		if l := e.list(query); l.Contents[0].Owner != nil {
			t.Errorf("%s has an owner", query)
		}
	}
	if l := e.list(""); l.Contents[0].Owner == nil {
		t.Error("the first version of the listing has no owner")
	}
	e.do(get, "/missing?list-type=2", "").wantError(404, "NoSuchBucket")
	e.do(get, "/missing", "").wantError(404, "NoSuchBucket")
}

// bucket_list_encoding_basic: names, prefixes, delimiters and markers are
// percent-encoded when the client asks for it, and tokens are not.
func TestListEncoding(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"foo%2B1/bar", "foo/bar/xyzzy", "quux%20ab/thud", "asdf%2Bb", "%01"} {
		e.put(k, "")
	}
	for _, version := range []string{"", "&list-type=2", "&versions"} {
		l := e.list("delimiter=/&encoding-type=url" + version)
		wantNames(t, version, l.keys(), "%01 asdf%2Bb")
		wantNames(t, version, l.prefixes(), "foo%2B1/ foo/ quux%20ab/")
		if l.EncodingType != "url" || l.Delimiter != "/" {
			t.Errorf("%s: %+v", version, l)
		}
	}
	l := e.list("encoding-type=url&delimiter=%2B&prefix=a+b&marker=%26")
	if l.Delimiter != "%2B" || l.Prefix != "a%20b" || l.Marker != "%26" {
		t.Errorf("%+v", l)
	}
	if l := e.list("encoding-type=url&list-type=2&start-after=%26"); l.StartAfter != "%26" {
		t.Errorf("%+v", l)
	}
}

// The documents of the listings, element by element.
func TestListDocuments(t *testing.T) {
	e := newEdge(t)
	for i, k := range []string{"a%26b%3C%3E%22%27%01", "dir/1", "dir/2", "z"} {
		e.now = e.now.Add(time.Hour)
		e.put(k, strings.Repeat("x", i))
	}
	e.do(get, "/b?delimiter=/&max-keys=2", "").want(200).golden("list_v1")
	e.do(get, "/b?list-type=2&delimiter=/&max-keys=2&fetch-owner=true&start-after=A", "").want(200).golden("list_v2")
	e.do(get, "/b?list-type=2&prefix=none", "").want(200).golden("list_v2_empty")
	e.do(get, "/b?versions&max-keys=3&encoding-type=url", "").want(200).golden("list_versions")
}

// A token is opaque and holds the last name only, so that it never goes stale:
// the listing goes on although the name is gone.
func TestTokenOutlivesItsName(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"a", "b", "c"} {
		e.put(k, "")
	}
	l := e.list("list-type=2&max-keys=2")
	e.do(remove, "/b/b", "").want(204)
	wantNames(t, "after the name is gone", func() []string {
		l := e.list("list-type=2&continuation-token=" + l.NextContinuationToken)
		return l.keys()
	}(), "c")
}

// buckets_list_ctime, list_buckets_paginated.
func TestListBuckets(t *testing.T) {
	e := newEdge(t)
	for _, name := range []string{"bucket-a", "bucket-b", "bucket-c", "other"} {
		e.do(put, "/"+name, "").want(200).wantHeader("Location", "/"+name)
	}
	type listing struct {
		Owner             struct{ ID, DisplayName string }
		Bucket            []struct{ Name, CreationDate, BucketRegion string } `xml:"Buckets>Bucket"`
		ContinuationToken string
		Prefix            string
	}
	names := func(query string) (string, listing) {
		l := document[listing](e.do(get, "/?"+query, "").want(200))
		var all []string
		for _, b := range l.Bucket {
			all = append(all, b.Name)
		}
		return strings.Join(all, " "), l
	}
	if got, l := names(""); got != "b bucket-a bucket-b bucket-c other" || l.Owner.ID != "owner" || l.Bucket[0].CreationDate != "2026-03-04T05:06:07.000Z" {
		t.Errorf("%s: %+v", got, l)
	}
	if got, l := names("prefix=bucket-"); got != "bucket-a bucket-b bucket-c" || l.Prefix != "bucket-" || l.Bucket[0].BucketRegion != "us-east-1" {
		t.Errorf("%s: %+v", got, l)
	}
	got, l := names("prefix=bucket-&max-buckets=2")
	if got != "bucket-a bucket-b" || l.ContinuationToken == "" {
		t.Fatalf("%s: %+v", got, l)
	}
	if got, l := names("prefix=bucket-&max-buckets=2&continuation-token=" + l.ContinuationToken); got != "bucket-c" || l.ContinuationToken != "" {
		t.Errorf("%s: %+v", got, l)
	}
	if got, _ := names("bucket-region=mars-1"); got != "" {
		t.Errorf("another region has %q", got)
	}
	if got, _ := names("prefix=zzz"); got != "" {
		t.Errorf("no such prefix has %q", got)
	}
	for _, bad := range []string{"max-buckets=0", "max-buckets=x", "continuation-token=x"} {
		e.do(get, "/?"+bad, "").wantError(400, "InvalidArgument")
	}
	e.do(get, "/", "").want(200).golden("list_buckets")
	e.anonymous(get, "/", "").wantError(403, "AccessDenied")
	e.do(get, "/", "", "Authorization: bad").want(200) // the first header counts
}
