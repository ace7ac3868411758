package native

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
)

// memoryBase bounds what the smallest input costs: a decoder, a document of properties,
// an error.
const memoryBase = 64 << 10

// A name is decoded as net/url decodes it, but for what is refused; and once only.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "a", "a%2Fb", "%252F", "%", "%z", "%zz", "%00", "%ff", "+", "日", "..%2f.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		var err error
		allocation.Check(t, len(s), memoryBase, func() { got, err = decode(s) })
		want, wantErr := url.PathUnescape(s)
		if refused := wantErr != nil || strings.Contains(want, "\x00") || !utf8.ValidString(want); refused != (err != nil) {
			t.Fatalf("%q: %q, %v; net/url: %q, %v", s, got, err, want, wantErr)
		}
		if err == nil && got != want {
			t.Fatalf("%q is %q, net/url says %q", s, got, want)
		}
	})
}

// Whatever properties a client sends, the outcome is a valid set or a refusal with
// a status, and what is not implemented never changes.
func FuzzProps(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `{"mirror":{"enabled":true}}`, `{"versioning":{"enabled":false}}`, `{"troupe":{"durability":"relaxed","etag":"fast"}}`,
		`{"EC":{"Data_Slices":2}}`, `{"extra":{"aws":{"cloud_region":""}}}`, `{"a":{"b":{"c":{"d":1}}}}`, `{"checksum":null}`, `[1]`, `{"access":18446744073709551615}`,
	} {
		f.Add([]byte(s))
	}
	doc := &objects.BucketDoc{Bucket: objects.Bucket{Name: "b", Provider: "ais"}, Created: time.Unix(1, 0)}
	f.Fuzz(func(t *testing.T, value []byte) {
		if !json.Valid(value) {
			return // the action message is JSON, so its value is
		}
		var next objects.BucketProps
		var err error
		allocation.Check(t, len(value), memoryBase, func() { next, err = changedProps(doc, value) })
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Status != 400 && refusal.Status != 501 {
				t.Fatalf("%s: %v", value, err)
			}
			return
		}
		if err := next.Check(); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		changed := *doc
		changed.Props = next
		was, now := propsOf(doc), propsOf(&changed)
		was.Versioning, was.Checksum, was.Troupe = now.Versioning, now.Checksum, now.Troupe
		if !reflect.DeepEqual(was, now) {
			t.Fatalf("%s changed what is not implemented: %+v", value, now)
		}
	})
}

// Every list message makes a listing within its bounds, or a refusal.
func FuzzListMessage(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"flags":"2048","pagesize":3,"prefix":"a/","props":"name,size"}`, `{"uuid":"abcdefghi","continuation_token":"x","start_after":"y"}`,
		`{"time_format":"2006"}`, `{"props":","}`, `{"flags":"8"}`, `{"target":"x"}`, `{"pagesize":9223372036854775807}`,
	} {
		f.Add([]byte(s))
	}
	h := &Handler{Config: Config{NodeID: "0123456789abcdef"}}
	bucket, doc := ais.Bucket{Name: "b", Provider: "ais"}, &objects.BucketDoc{}
	f.Fuzz(func(t *testing.T, value []byte) {
		var m ais.ListMessage
		var err error
		allocation.Check(t, len(value), memoryBase, func() { err = json.Unmarshal(value, &m) })
		if err != nil {
			return
		}
		l, err := h.newListing(bucket, doc, &m)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("%s: %v", value, err)
			}
			return
		}
		if l.size < 1 || l.size > maxPage || !isListID(l.uuid) || len(l.request.Prefix) > objects.MaxNameBytes || len(l.request.After) > objects.MaxNameBytes {
			t.Fatalf("%s: %+v", value, l)
		}
	})
}

// A unique name that is read names a bucket and an object that can be made.
func FuzzUname(f *testing.F) {
	for _, s := range []string{"ais/@#/b/o", "ais/@u#n/b/dir/o", "", "///", "ais/@#/b/", "s3/@#/b/o", "ais/@#/b/../o", "x/@#/b/o"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		allocation.Check(t, len(s), memoryBase, func() { _, _ = parseUname("object_to", s) })
		at, err := parseUname("object_to", s)
		if err != nil {
			return
		}
		if at.bucket.Name == "" || at.name == "" || strings.Contains(at.bucket.Name, "/") || checkNewName(at) != nil || !strings.HasSuffix(s, "/"+at.bucket.Name+"/"+at.name) {
			t.Fatalf("%q: %+v", s, at)
		}
	})
}
