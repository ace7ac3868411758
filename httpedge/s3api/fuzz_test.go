package s3api

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// wantCode fails unless err is nil or a refusal that the table knows.
func wantCode(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%v has no code", err)
	}
	if e == nil {
		return
	}
	if _, ok := answerOf(e.Code); !ok {
		t.Fatalf("code %s is not in the table", e.Code)
	}
}

// memoryBase bounds what the smallest input costs: a decoder, a request's headers, an
// error with its document.
const memoryBase = 64 << 10

// A query is refused or decoded to text.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "acl", "a=b&c", "prefix=%2F+x", "&&", "=", "%zz", "a=%ff", "max-keys=99999999999999999999", "partNumber=0x1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		allocation.Check(t, len(raw), memoryBase, func() { _, _ = parseQuery(raw, nil) })
		q, err := parseQuery(raw, nil)
		wantCode(t, err)
		for _, p := range q {
			if !utf8.ValidString(p.name) || !utf8.ValidString(p.value) {
				t.Fatalf("%q: %q=%q is not UTF-8", raw, p.name, p.value)
			}
		}
		n, err := q.page("max-keys", 1000)
		if wantCode(t, err); err == nil && (n < 0 || n > 1000) {
			t.Fatalf("%q: a page of %d", raw, n)
		}
		n, _, err = q.part(10_000)
		if wantCode(t, err); err == nil && (n < 0 || n > 10_000) {
			t.Fatalf("%q: part %d", raw, n)
		}
	})
}

// A token is refused or is the one that its position writes.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", token{after: "a"}.String(), token{after: "a/", prefix: true}.String(), "MW4", "!!", "MnhhYmM"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		allocation.Check(t, len(s), memoryBase, func() { parseToken(s) })
		got, ok := parseToken(s)
		if !ok {
			return
		}
		if got.String() != s {
			t.Fatalf("%q reads as %+v, which writes %q", s, got, got.String())
		}
		if objects.CheckName(got.after) != nil {
			t.Fatalf("%q stands after %q, which is no name", s, got.after)
		}
	})
}

// Documents of any bytes are refused or read within their limits.
func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{
		`<Delete><Object><Key>a</Key></Object></Delete>`,
		`<?xml version="1.0"?><Delete xmlns="x"><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId><ETag>"x"</ETag></Object></Delete>`,
		`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>`,
		`<CompleteMultipartUpload/>`, `<!DOCTYPE x [<!ENTITY a "b">]><Delete>&a;</Delete>`, `<Delete><Object/></Delete>`, `<a`, "",
		`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`, `<Tagging><TagSet/></Tagging>`,
		`<Delete>` + strings.Repeat("<a>", 100), `<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		allocation.Check(t, len(text), memoryBase, func() {
			_, _ = parseDeletion(text, 3)
			_, _ = parseTagging(text)
			_, _ = parseCompletion(text, 3)
		})
		list, err := parseDeletion(text, 3)
		if wantCode(t, err); err == nil && (len(list.objects) == 0 || len(list.objects) > 3) {
			t.Fatalf("%d keys", len(list.objects))
		}
		tags, err := parseTagging(text)
		if wantCode(t, err); err == nil && checkTags(tags) != nil {
			t.Fatalf("tags %q", tags)
		}
		parts, err := parseCompletion(text, 3)
		wantCode(t, err)
		for i, p := range parts {
			if p.Number < 1 || p.Number > 3 || i > 0 && p.Number <= parts[i-1].Number {
				t.Fatalf("parts %+v", parts)
			}
		}
	})
}

// Headers of any bytes are refused or mean something.
func FuzzHeaders(f *testing.F) {
	f.Add("X-Amz-Tagging", "a=b&c=d")
	f.Add("X-Amz-Copy-Source", "/b/k%20?versionId=null")
	f.Add("X-Amz-Checksum-Crc32", "AAAAAA==")
	f.Add("X-Amz-Trailer", "x-amz-checksum-crc32")
	f.Add("Content-Md5", "1B2M2Y8AsgTpgAmY7PhCfg==")
	f.Add("X-Amz-Copy-Source-Range", "bytes=0-9")
	f.Add("X-Amz-If-Match-Size", "-1")
	f.Add("If-Modified-Since", "Wed, 04 Mar 2026 05:06:07 GMT")
	f.Add("X-Amz-Meta-\u00e9", "x")
	h, err := New(Config{Gateway: newModel(nil), Auth: newBeliever()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		var from fasthttp.RequestHeader
		from.Set(name, value)
		allocation.Check(t, len(name)+len(value), memoryBase, func() {
			r := &request{h: h}
			r.header.read(&from)
			_, _ = r.draft()
			_, _ = r.integrity()
			_, _ = r.header.wanted()
			_, _ = r.header.trailers()
			_, _, _ = parseSource(r.header.copySource.value)
		})
		r := &request{h: h}
		r.header.read(&from)
		draft, err := r.draft()
		wantCode(t, err)
		if err == nil && checkTags(draft.Tags) != nil {
			t.Fatalf("tags %q", draft.Tags)
		}
		p, err := r.integrity()
		if wantCode(t, err); err == nil && p.algorithm != checksum.None && !p.trailing && len(p.value.Sum) != p.algorithm.Size() {
			t.Fatalf("checksum %+v", p.value)
		}
		_, err = r.header.wanted()
		wantCode(t, err)
		_, err = r.header.deleteConditions()
		wantCode(t, err)
		_, err = r.header.trailers()
		wantCode(t, err)
		at, _, err := parseSource(r.header.copySource.value)
		if wantCode(t, err); err == nil && (at.bucket == "" || objects.CheckName(at.key) != nil) {
			t.Fatalf("copy source %q is %q", r.header.copySource.value, at)
		}
		offset, length, err := copyRange(r.header.copyRange.value, 100)
		if wantCode(t, err); err == nil && (offset < 0 || length < 1 || offset+length > 100) {
			t.Fatalf("copy range %q is %d bytes from %d", r.header.copyRange.value, length, offset)
		}
	})
}

// Any text that is escaped is read back by an XML parser, but for the characters
// that XML 1.0 has not, which are written as references.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a&b<c>'\"", "\x00\x1f\x7f", "\ufffe\uffff", "\xff", "\U0010ffff\U0001fffe", "\r\n\t", "\ue000\ufeff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		allocation.Check(t, len(s), memoryBase, func() { (&markup{}).text("v", s) })
		m := &markup{}
		m.text("v", s)
		holds := !strings.ContainsFunc(s, func(c rune) bool {
			return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF
		})
		var got string
		err := xml.Unmarshal(m.b, &got)
		want := strings.ToValidUTF8(s, "\x00") // each invalid byte is a replacement character of its own
		if !strings.Contains(want, "\x00") && holds && (err != nil || got != s) {
			t.Fatalf("%q was written %q and read %q (%v)", s, m.b, got, err)
		}
		if !utf8.Valid(m.b) {
			t.Fatalf("%q was written %q", s, m.b)
		}
		for _, c := range m.b {
			if c < ' ' || c == 0x7f {
				t.Fatalf("%q was written %q", s, m.b)
			}
		}
		d := xml.NewDecoder(strings.NewReader(string(m.b)))
		for holds && err == nil {
			if _, err = d.Token(); err == io.EOF {
				return
			}
		}
	})
}
