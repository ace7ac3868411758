package s3api

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/checksum"
)

const partBytes = 5 << 20

// upload begins a multipart upload and returns its id.
func (e *edge) upload(name string, headers ...string) string {
	e.t.Helper()
	type result struct {
		Bucket, Key string
		UploadID    string `xml:"UploadId"`
	}
	r := document[result](e.do(post, "/b/"+name+"?uploads", "", headers...).want(200))
	if r.Bucket != "b" || r.UploadID == "" {
		e.t.Fatalf("%+v", r)
	}
	return r.UploadID
}

// part uploads a part and returns its entity tag.
func (e *edge) part(name, id string, number int, body string, headers ...string) string {
	e.t.Helper()
	return e.do(put, fmt.Sprintf("/b/%s?uploadId=%s&partNumber=%d", name, id, number), body, headers...).want(200).header.Get("ETag")
}

// completed writes the document of CompleteMultipartUpload: pairs of number and tag.
func completed(pairs ...any) string {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "<Part><PartNumber>%v</PartNumber><ETag>%v</ETag></Part>", pairs[i], pairs[i+1])
	}
	return b.String() + "</CompleteMultipartUpload>"
}

type completion struct {
	Location, Bucket, Key, ETag                      string
	ChecksumCRC64NVME, ChecksumSHA256, ChecksumCRC32 string
	ChecksumType                                     string
}

// multipart_upload, multipart_upload_contents, multipart_get_part: parts become
// an object whose bytes, parts and checksum are theirs.
func TestMultipart(t *testing.T) {
	e := newEdge(t)
	id := e.upload("dir/k", "Content-Type: text/x", "x-amz-meta-a: b", "x-amz-tagging: t=1")
	one, two := strings.Repeat("1", partBytes), "22"
	tag2 := e.part("dir/k", id, 2, two)
	tag1 := e.part("dir/k", id, 1, one)
	e.do(get, "/b/dir/k", "").wantError(404, "NoSuchKey")
	at := "/b/dir/k?uploadId=" + id
	r := e.do(post, at, completed(1, tag1, 2, tag2)).want(200)
	c := document[completion](r)
	if c.Bucket != "b" || c.Key != "dir/k" || c.Location != "http://localhost/b/dir/k" || !strings.HasSuffix(c.ETag, `-2"`) || c.ChecksumCRC64NVME != sumOf(checksum.CRC64NVME, one+two) || c.ChecksumType != "FULL_OBJECT" {
		t.Errorf("%+v", c)
	}
	if r.header.Get("X-Troupe-Receipt") == "" {
		t.Error("no receipt")
	}
	again := document[completion](e.do(post, at, completed(1, tag1, 2, tag2)).want(200))
	if again != c {
		t.Errorf("completed again: %+v", again)
	}
	e.do(get, "/b/dir/k", "", "x-amz-checksum-mode: ENABLED").want(200).wantBody(one+two).wantHeader("ETag", c.ETag).wantHeader("Content-Type", "text/x").
		wantHeader("x-amz-meta-a", "b").wantHeader("x-amz-tagging-count", "1").wantHeader("x-amz-checksum-crc64nvme", c.ChecksumCRC64NVME).wantHeader("x-amz-mp-parts-count", "")
	for _, method := range []string{get, head} {
		p := e.do(method, "/b/dir/k?partNumber=2", "").want(206).wantHeader("Content-Range", fmt.Sprintf("bytes %d-%d/%d", partBytes, partBytes+1, partBytes+2)).
			wantHeader("x-amz-mp-parts-count", "2").wantHeader("Content-Length", "2")
		if method == get {
			p.wantBody(two)
		}
	}
	e.do(get, "/b/dir/k?partNumber=3", "").wantError(400, "InvalidPart")
	e.do(get, "/b/dir/k?partNumber=0", "").wantError(400, "InvalidArgument")
	e.do(get, "/b/dir/k?partNumber=10001", "").wantError(400, "InvalidArgument")
	e.do(get, "/b/dir/k?partNumber=1", "", "Range: bytes=0-1").wantError(400, "InvalidRequest")
	e.do(get, "/b/dir/k", "", fmt.Sprintf("Range: bytes=%d-%d", partBytes-1, partBytes)).want(206).wantBody("12")
	e.do(get, "/b/dir/k?attributes", "", "x-amz-object-attributes: ObjectParts", "x-amz-max-parts: 1").want(200).golden("attributes_parts_1")
	e.do(get, "/b/dir/k?attributes", "", "x-amz-object-attributes: ObjectParts", "x-amz-part-number-marker: 1").want(200).golden("attributes_parts_2")
	e.do(get, "/b/dir/k?attributes", "", "x-amz-object-attributes: ObjectParts", "x-amz-max-parts: -1").wantError(400, "InvalidArgument")
}

// non_multipart_get_part: an object put in one request is its own part 1.
func TestPartOfPlainObject(t *testing.T) {
	e := newEdge(t)
	e.put("k", "body")
	e.put("empty", "")
	e.do(get, "/b/k?partNumber=1", "").want(206).wantBody("body").wantHeader("x-amz-mp-parts-count", "").wantHeader("Content-Range", "bytes 0-3/4")
	e.do(get, "/b/empty?partNumber=1", "").want(200).wantBody("")
	e.do(get, "/b/k?partNumber=2", "").wantError(400, "InvalidPart")
	e.do(head, "/b/k?partNumber=2", "").want(400)
}

// Parts keep the numbers that they were uploaded with.
func TestSparseParts(t *testing.T) {
	e := newEdge(t)
	id := e.upload("k")
	tag1 := e.part("k", id, 3, strings.Repeat("x", partBytes))
	tag2 := e.part("k", id, 10_000, "end")
	e.part("k", id, 7, "unnamed")
	e.do(post, "/b/k?uploadId="+id, completed(3, tag1, 10_000, tag2)).want(200)
	e.do(get, "/b/k?partNumber=10000", "").want(206).wantBody("end")
	e.do(get, "/b/k?partNumber=7", "").wantError(400, "InvalidPart")
	e.do(get, "/b/k?attributes", "", "x-amz-object-attributes: ObjectParts").want(200).golden("attributes_parts_sparse")
}

// multipart_upload_empty, _missing_part, _incorrect_etag, _size_too_small: what
// cannot be completed is refused, and can be completed afterwards.
func TestCompleteRefusals(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.PartsDocument = 100_000; c.Limits.MaxParts = 1000 })
	id := e.upload("k")
	tag1, tag2 := e.part("k", id, 1, "too small"), e.part("k", id, 2, "end")
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "<Part><PartNumber>%d</PartNumber><ETag>x</ETag></Part>", i+1)
	}
	at := "/b/k?uploadId=" + id
	for _, c := range []struct{ body, code string }{
		{"", "MalformedXML"},
		{"<CompleteMultipartUpload/>", "MalformedXML"},
		{"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", "MalformedXML"},
		{"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", "MalformedXML"},
		{"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>", "MalformedXML"},
		{"<Other/>", "MalformedXML"},
		{"<CompleteMultipartUpload>", "MalformedXML"},
		{completed(1, tag1) + "x", "MalformedXML"},
		{"<CompleteMultipartUpload>" + many.String() + "</CompleteMultipartUpload>", "MalformedXML"},
		{strings.Repeat(" ", 100_001), "MaxMessageLengthExceeded"},
		{completed(0, tag1), "InvalidArgument"},
		{completed(1001, tag1), "InvalidArgument"},
		{completed(2, tag2, 1, tag1), "InvalidPartOrder"},
		{completed(1, tag1, 1, tag1), "InvalidPartOrder"},
		{completed(3, tag2), "InvalidPart"},
		{completed(1, `"ffffffffffffffffffffffffffffffff"`), "InvalidPart"},
		{completed(1, tag1, 2, tag2), "EntityTooSmall"},
	} {
		e.do(post, at, c.body).wantError(400, c.code)
	}
	if r := e.do(post, at, completed(1, tag1, 2, tag2)); !strings.Contains(r.body, "<MinSizeAllowed>5242880<") {
		t.Errorf("the least size is not told: %s", r.body)
	}
	e.do(post, at, completed(1, tag1), "x-amz-mp-object-size: 5").wantError(400, "InvalidPart")
	e.do(post, at, completed(1, tag1), "x-amz-mp-object-size: five").wantError(400, "InvalidArgument")
	e.do(post, "/b/k?uploadId=none", completed(1, tag1)).wantError(404, "NoSuchUpload")
	e.do(post, "/b/other?uploadId="+id, completed(1, tag1)).wantError(404, "NoSuchUpload")
	e.do(post, at, completed(1, tag1), "If-Match: *").wantError(404, "NoSuchKey")
	e.do(post, at, completed(1, strings.Trim(tag1, `"`)), "x-amz-mp-object-size: 9").want(200)
	id = e.upload("k")
	tag := e.part("k", id, 1, "new")
	e.do(post, "/b/k?uploadId="+id, completed(1, tag), "If-None-Match: *").wantError(412, "PreconditionFailed")
	e.do(get, "/b/k", "").want(200).wantBody("too small")
	e.do(post, "/b/k?uploadId="+id, completed(1, tag), `If-Match: "other"`).wantError(412, "PreconditionFailed")
}

// abort_multipart_upload: what was aborted is gone.
func TestAbort(t *testing.T) {
	e := newEdge(t)
	id := e.upload("k")
	e.part("k", id, 1, "x")
	e.do(remove, "/b/k?uploadId="+id, "").want(204).wantBody("")
	e.do(remove, "/b/k?uploadId="+id, "").wantError(404, "NoSuchUpload")
	e.do(put, "/b/k?partNumber=1&uploadId="+id, "x").wantError(404, "NoSuchUpload")
	e.do(get, "/b/k?uploadId="+id, "").wantError(404, "NoSuchUpload")
	e.do(post, "/missing/k?uploads", "").wantError(404, "NoSuchBucket")
}

// Part numbers, lengths and digests of a part are judged like an object's.
func TestPartRefusals(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.PartBytes = 10 })
	id := e.upload("k")
	for _, query := range []string{"partNumber=0", "partNumber=10001", "partNumber=x", "partNumber=", "x=y"} {
		e.do(put, "/b/k?uploadId="+id+"&"+query, "x").wantError(400, "InvalidArgument")
	}
	at := "/b/k?partNumber=1&uploadId=" + id
	e.do(put, at, "elevenbytes").wantError(400, "EntityTooLarge")
	e.do(put, at, "x", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==").wantError(400, "BadDigest")
	e.do(put, at, "x", "x-amz-checksum-crc32: AAAAAA==").wantError(400, "BadDigest")
	e.do(put, at, "x", "x-amz-server-side-encryption-customer-key: x").wantError(501, "NotImplemented")
	e.raw("PUT "+at+" HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\n\r\n").wantError(411, "MissingContentLength")
	if n := len(e.model.buckets["b"].uploads[id].parts); n != 0 {
		t.Errorf("%d parts were stored", n)
	}
}

// multipart_checksum_…: full-object and composite checksums, announced, sent
// with the parts, repeated at the end, and returned.
func TestMultipartChecksums(t *testing.T) {
	e := newEdge(t)
	one, two := strings.Repeat("1", partBytes), "22"
	for _, c := range []struct {
		algorithm checksum.Algorithm
		kind      checksum.Type
	}{
		{checksum.CRC32, checksum.FullObject}, {checksum.CRC32, checksum.Composite}, {checksum.CRC32C, checksum.FullObject}, {checksum.CRC32C, checksum.Composite},
		{checksum.CRC64NVME, checksum.FullObject}, {checksum.SHA1, checksum.Composite}, {checksum.SHA256, checksum.Composite},
	} {
		name := fmt.Sprintf("%s-%s", c.algorithm, c.kind)
		r := e.do(post, "/b/"+name+"?uploads", "", "x-amz-checksum-algorithm: "+c.algorithm.String(), "x-amz-checksum-type: "+c.kind.String()).want(200).
			wantHeader("x-amz-checksum-algorithm", c.algorithm.String()).wantHeader("x-amz-checksum-type", c.kind.String())
		id := document[struct {
			UploadID string `xml:"UploadId"`
		}](r).UploadID
		var parts []string
		var sums []byte
		for i, body := range []string{one, two} {
			sum := sumOf(c.algorithm, body)
			p := e.do(put, fmt.Sprintf("/b/%s?uploadId=%s&partNumber=%d", name, id, i+1), body, c.algorithm.Header()+": "+sum).want(200).wantHeader(c.algorithm.Header(), sum)
			raw, err := base64.StdEncoding.DecodeString(sum)
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, raw...)
			parts = append(parts, fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Checksum%[3]s>%[4]s</Checksum%[3]s></Part>", i+1, p.header.Get("ETag"), c.algorithm, sum))
		}
		want := sumOf(c.algorithm, one+two)
		if c.kind == checksum.Composite {
			want = sumOf(c.algorithm, string(sums)) + "-2"
		}
		body := "<CompleteMultipartUpload>" + strings.Join(parts, "") + "</CompleteMultipartUpload>"
		at := "/b/" + name + "?uploadId=" + id
		other := checksum.Value{Algorithm: c.algorithm, Type: c.kind, Parts: 2, Sum: strings.Repeat("x", c.algorithm.Size())}
		e.do(post, at, body, c.algorithm.Header()+": "+other.String()).wantError(400, "BadDigest")
		e.do(post, at, body, c.algorithm.Header()+": x").wantError(400, "InvalidRequest")
		e.do(post, at, strings.Replace(body, sumOf(c.algorithm, two), sumOf(c.algorithm, one), 1)).wantError(400, "InvalidPart")
		wrong := checksum.SHA1
		if c.algorithm == wrong {
			wrong = checksum.CRC32
		}
		e.do(post, at, body, wrong.Header()+": "+sumOf(wrong, "x")).wantError(400, "InvalidRequest")
		e.do(post, at, body, "x-amz-checksum-type: "+(1-c.kind).String()).wantError(400, "InvalidRequest")
		done := e.do(post, at, body, c.algorithm.Header()+": "+want, "x-amz-checksum-type: "+c.kind.String(), "x-amz-sdk-checksum-algorithm: "+c.algorithm.String()).want(200)
		if !strings.Contains(done.body, fmt.Sprintf("<Checksum%[1]s>%[2]s</Checksum%[1]s><ChecksumType>%[3]s</ChecksumType>", c.algorithm, want, c.kind)) {
			t.Errorf("%s: want %s in %s", name, want, done.body)
		}
		e.do(head, "/b/"+name, "", "x-amz-checksum-mode: enabled").want(200).wantHeader(c.algorithm.Header(), want).wantHeader("x-amz-checksum-type", c.kind.String())
	}
	for header, code := range map[string]string{
		"x-amz-checksum-algorithm: MD6":                                         "InvalidRequest",
		"x-amz-checksum-type: COMPOSITE":                                        "InvalidRequest",
		"x-amz-checksum-algorithm: SHA256\r\nx-amz-checksum-type: FULL_OBJECT":  "InvalidRequest",
		"x-amz-checksum-algorithm: CRC64NVME\r\nx-amz-checksum-type: COMPOSITE": "InvalidRequest",
		"x-amz-checksum-algorithm: CRC32\r\nx-amz-checksum-type: HALF":          "InvalidRequest",
	} {
		e.do(post, "/b/k?uploads", "", header).wantError(400, code)
	}
	// An upload that announced nothing takes parts with any checksum, as
	// botocore sends them, and one that announced something takes only that.
	id := e.upload("free")
	tag := e.part("free", id, 1, "x", "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, "x"))
	body := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + tag + "</ETag><ChecksumCRC32>" + sumOf(checksum.CRC32, "x") + "</ChecksumCRC32></Part></CompleteMultipartUpload>"
	if c := document[completion](e.do(post, "/b/free?uploadId="+id, body).want(200)); c.ChecksumCRC64NVME != sumOf(checksum.CRC64NVME, "x") {
		t.Errorf("%+v", c)
	}
	id = e.upload("bound", "x-amz-checksum-algorithm: SHA256")
	e.do(put, "/b/bound?partNumber=1&uploadId="+id, "x", "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, "x")).wantError(400, "InvalidRequest")
	e.part("bound", id, 1, "x")
}

// list_multipart_upload and the parts of one: in pages, with a prefix, rolled up.
func TestListUploadsAndParts(t *testing.T) {
	e := newEdge(t)
	names := []string{"a", "a", "b/1", "b/2", "c", "d/x"}
	ids := map[string][]string{}
	for _, name := range names {
		ids[name] = append(ids[name], e.upload(name))
	}
	type listing struct {
		Upload []struct {
			Key      string
			UploadID string `xml:"UploadId"`
		}
		CommonPrefixes                    []struct{ Prefix string }
		NextKeyMarker, NextUploadIDMarker string
		NextUploadID                      string `xml:"NextUploadIdMarker"`
		IsTruncated                       bool
	}
	for _, filter := range []string{"", "&delimiter=/", "&prefix=b/", "&prefix=b&delimiter=/", "&delimiter=x"} {
		var want []string
		for size := 10; size > 0; size-- {
			var got []string
			marker := ""
			for turn := 0; turn < 20; turn++ {
				l := document[listing](e.do(get, fmt.Sprintf("/b?uploads&max-uploads=%d%s%s", size, filter, marker), "").want(200))
				var page []string
				for _, u := range l.Upload {
					if !slices.Contains(ids[u.Key], u.UploadID) {
						t.Errorf("%s has no upload %s", u.Key, u.UploadID)
					}
					page = append(page, u.Key+" "+u.UploadID)
				}
				for _, p := range l.CommonPrefixes {
					page = append(page, p.Prefix)
				}
				if len(page) > size {
					t.Fatalf("%d in a page of %d", len(page), size)
				}
				slices.Sort(page)
				got = append(got, page...)
				if !l.IsTruncated {
					break
				}
				marker = "&key-marker=" + l.NextKeyMarker + "&upload-id-marker=" + l.NextUploadID
			}
			if size == 10 {
				want = got
			} else if !slices.Equal(got, want) {
				t.Errorf("%q by %d: %q, want %q", filter, size, got, want)
			}
		}
		if filter == "&delimiter=/" && len(want) != 5 {
			t.Errorf("%q: %q", filter, want)
		}
	}
	e.do(get, "/b?uploads&max-uploads=0", "").want(200)
	e.do(get, "/b?uploads&delimiter=/&max-uploads=3", "").want(200).golden("list_uploads")
	e.do(get, "/b?uploads&max-uploads=x", "").wantError(400, "InvalidArgument")

	id := ids["c"][0]
	for n := 1; n <= 3; n++ {
		e.part("c", id, n, strings.Repeat("x", n))
	}
	e.part("c", id, 2, "again") // multipart_upload_resend_part
	e.do(get, "/b/c?uploadId="+id+"&max-parts=2", "").want(200).golden("list_parts_1")
	e.do(get, "/b/c?uploadId="+id+"&part-number-marker=2&encoding-type=url", "").want(200).golden("list_parts_2")
	e.do(get, "/b/c?uploadId="+id+"&max-parts=0", "").want(200).golden("list_parts_none")
	e.do(get, "/b/c?uploadId="+id+"&part-number-marker=x", "").wantError(400, "InvalidArgument")
	for _, none := range []string{"none", "", strings.Repeat("f", 32), strings.Repeat("g", 32), "..%2f..%2f" + strings.Repeat("a", 26), strings.Repeat("%C3%A9", 16)} {
		for _, method := range []string{get, put, post, remove} {
			e.do(method, "/b/c?partNumber=1&uploadId="+none, completed(1, "x")).wantError(404, "NoSuchUpload")
		}
	}
}

// object_copy_…: bytes and metadata go over as the directives say.
func TestCopy(t *testing.T) {
	e := newEdge(t)
	if _, err := e.model.CreateBucket(t.Context(), "c", e.model.buckets["b"].doc.Props); err != nil {
		t.Fatal(err)
	}
	sha := "x-amz-checksum-sha256: " + sumOf(checksum.SHA256, "meow")
	e.put("dir/a%20b%2Bc%3Fd", "meow", "Content-Type: image/x", "x-amz-meta-a: 1", "x-amz-tagging: t=1", "x-amz-website-redirect-location: /r", sha)
	source := "x-amz-copy-source: /b/dir/a%20b%2Bc%3Fd"
	e.do(put, "/c/copy", "", source).want(200).golden("copy")
	e.do(get, "/c/copy", "", "x-amz-checksum-mode: ENABLED").want(200).wantBody("meow").wantHeader("Content-Type", "image/x").wantHeader("x-amz-meta-a", "1").
		wantHeader("x-amz-tagging-count", "1").wantHeader("x-amz-website-redirect-location", "").wantHeader("x-amz-checksum-sha256", sumOf(checksum.SHA256, "meow"))
	for _, spelled := range []string{"b/dir/a%20b+c%3Fd", "b/dir/a%20b%2Bc%3Fd?versionId=null", "b%2Fdir%2Fa%20b%2Bc%3Fd", "/b/dir/a b+c?d"} {
		e.do(put, "/b/spelled", "", "x-amz-copy-source: "+spelled).want(200)
	}
	e.do(put, "/b/replaced", "", source, "x-amz-metadata-directive: REPLACE", "Content-Type: text/y", "x-amz-meta-b: 2", "x-amz-tagging-directive: REPLACE", "x-amz-tagging: u=1&v=2",
		"x-amz-checksum-algorithm: CRC32C").want(200)
	e.do(get, "/b/replaced", "", "x-amz-checksum-mode: ENABLED").want(200).wantBody("meow").wantHeader("Content-Type", "text/y").wantHeader("x-amz-meta-a", "").wantHeader("x-amz-meta-b", "2").
		wantHeader("x-amz-tagging-count", "2").wantHeader("x-amz-checksum-crc32c", sumOf(checksum.CRC32C, "meow"))

	itself := "/b/dir/a%20b%2Bc%3Fd"
	e.do(put, itself, "", source, "x-amz-website-redirect-location: /r").wantError(400, "InvalidRequest")
	e.do(put, itself, "", source, "x-amz-website-redirect-location: /other").want(200)
	e.do(put, itself, "", source, "x-amz-metadata-directive: REPLACE", "x-amz-meta-c: 3").want(200)
	e.do(head, itself, "").want(200).wantHeader("x-amz-meta-c", "3").wantHeader("x-amz-meta-a", "")

	e.put("empty", "")
	e.do(put, "/b/empty2", "", "x-amz-copy-source: b/empty").want(200)
	e.do(get, "/b/empty2", "").want(200).wantBody("")

	if d := e.do(put, "/b/x", "", "x-amz-copy-source: b/missing").wantError(404, "NoSuchKey"); d.Key != "missing" {
		t.Errorf("the error is about %q", d.Key)
	}
	if d := e.do(put, "/b/x", "", "x-amz-copy-source: nowhere/k").wantError(404, "NoSuchBucket"); d.BucketName != "nowhere" {
		t.Errorf("the error is about %q", d.BucketName)
	}
	for _, c := range []struct {
		headers []string
		status  int
		code    string
	}{
		{[]string{"x-amz-copy-source: b"}, 400, "InvalidArgument"},
		{[]string{"x-amz-copy-source: /"}, 400, "InvalidArgument"},
		{[]string{"x-amz-copy-source:"}, 400, "InvalidArgument"},
		{[]string{"x-amz-copy-source: b/%zz"}, 400, "InvalidArgument"},
		{[]string{"x-amz-copy-source: b/%ff"}, 400, "InvalidURI"},
		{[]string{"x-amz-copy-source: b/empty?versionId=abc"}, 501, "NotImplemented"},
		{[]string{source, "x-amz-metadata-directive: MAYBE"}, 400, "InvalidArgument"},
		{[]string{source, "x-amz-tagging-directive: copy"}, 400, "InvalidArgument"},
		{[]string{source, "x-amz-source-expected-bucket-owner: other"}, 403, "AccessDenied"},
		{[]string{source, "x-amz-checksum-algorithm: MD6"}, 400, "InvalidRequest"},
		{[]string{source, "If-None-Match: *"}, 412, "PreconditionFailed"},
	} {
		e.do(put, "/b/empty", "", c.headers...).wantError(c.status, c.code)
	}
}

// copy_object_if…: there is no 304 for a copy.
func TestCopyConditions(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	etag := `"` + md5Hex("x") + `"`
	for header, status := range map[string]int{
		"if-match: " + etag:                                  200,
		`if-match: "other"`:                                  412,
		"if-none-match: " + etag:                             412,
		`if-none-match: "other"`:                             200,
		"if-modified-since: Tue, 03 Mar 2026 05:06:07 GMT":   200,
		"if-modified-since: Thu, 05 Mar 2026 05:06:07 GMT":   412,
		"if-unmodified-since: Tue, 03 Mar 2026 05:06:07 GMT": 412,
		"if-unmodified-since: Thu, 05 Mar 2026 05:06:07 GMT": 200,
	} {
		if r := e.do(put, "/b/copy", "", "x-amz-copy-source: b/k", "x-amz-copy-source-"+header); r.status != status {
			t.Errorf("%s: %d, want %d", header, r.status, status)
		}
	}
}

// multipart_copy_…: a part out of another object, whole or by range.
func TestCopyPart(t *testing.T) {
	e := newEdge(t)
	e.put("src%20x", "0123456789")
	id := e.upload("k")
	at := func(n int) string { return fmt.Sprintf("/b/k?partNumber=%d&uploadId=%s", n, id) }
	source := "x-amz-copy-source: b/src%20x"
	e.do(put, at(1), "", source, "x-amz-copy-source-range: bytes=2-5").want(200).golden("copy_part")
	type result struct{ ETag, ChecksumCRC64NVME string }
	if r := document[result](e.do(put, at(2), "", source).want(200)); r.ETag != `"`+md5Hex("0123456789")+`"` || r.ChecksumCRC64NVME != sumOf(checksum.CRC64NVME, "0123456789") {
		t.Errorf("%+v", r)
	}
	for _, improper := range []string{"0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-5", "bytes=3-", "", "bytes=5-2"} {
		e.do(put, at(3), "", source, "x-amz-copy-source-range: "+improper).wantError(400, "InvalidArgument")
	}
	e.do(put, at(3), "", source, "x-amz-copy-source-range: bytes=0-21").wantError(416, "InvalidRange")
	e.do(put, at(3), "", source, `x-amz-copy-source-if-match: "other"`).wantError(412, "PreconditionFailed")
	e.do(put, at(3), "", "x-amz-copy-source: b/missing").wantError(404, "NoSuchKey")
	e.do(put, "/b/k?partNumber=1&uploadId=none", "", source).wantError(404, "NoSuchUpload")
	if n := len(e.model.buckets["b"].uploads[id].parts); n != 2 {
		t.Errorf("%d parts", n)
	}
}
