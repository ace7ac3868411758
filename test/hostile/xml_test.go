package hostile_test

import (
	"crypto/md5" //nolint:gosec // what S3 compares
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/s3client"
)

// residentLimit is where the node's memory may not come, in bytes: its budget of
// 256 MiB and a quarter.
const residentLimit = 320 << 20

// deleteMany sends a document to DeleteObjects.
func (a *arena) deleteMany(document string) *s3client.Answer {
	a.Helper()
	sum := md5.Sum([]byte(document)) //nolint:gosec // see the import
	return a.answered(a.client.Do(a.Context(), s3client.Request{
		Method: "POST", Bucket: bucket, Query: "delete=", Body: []byte(document),
		Header: []objects.Pair{{Name: "content-md5", Value: base64Of(sum[:])}},
	}))
}

// named is a document that names keys.
func named(keys ...string) string {
	var b strings.Builder
	b.WriteString("<Delete>")
	for _, key := range keys {
		b.WriteString("<Object><Key>" + key + "</Key></Object>")
	}
	return b.String() + "</Delete>"
}

// bombs are documents that are small and become large, or deep, or endless, or
// ask for files.
func bombs() map[string]string {
	laughs := `<!DOCTYPE d [<!ENTITY a0 "ha">`
	for i := range 20 {
		laughs += fmt.Sprintf(`<!ENTITY a%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&a%d;", i), 10))
	}
	return map[string]string{
		"billion laughs":   laughs + "]>" + named("&a20;"),
		"external entity":  `<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + named("&x;"),
		"quadratic entity": `<!DOCTYPE d [<!ENTITY x "` + strings.Repeat("x", 50<<10) + `">]>` + named(strings.Repeat("&x;", 10_000)),
		"deep":             strings.Repeat("<Delete>", 500_000),
		"deep below":       "<Delete><Object><Key>" + strings.Repeat("<x>", 300_000),
		"deep and skipped": "<Delete>" + strings.Repeat("<x>", 300_000) + strings.Repeat("</x>", 300_000) + "</Delete>",
		"attributes":       "<Delete " + strings.Repeat(`a="b" `, 100_000) + "><Object><Key>before</Key></Object>",
		"no end":           "<Delete><Object><Key>before</Key></Object>",
		"another root":     "<Elsewhere><Object><Key>before</Key></Object></Elsewhere>",
		"two roots":        named("before") + named("before"),
		"no document":      "before",
		"empty":            "",
		"bad UTF-8":        named("\xff\xfe"),
		"NUL":              named("a\x00b"),
		"NUL, escaped":     named("a&#0;b"),
		"another encoding": `<?xml version="1.0" encoding="UTF-16"?>` + named("before"),
		"no keys":          "<Delete></Delete>",
		"an empty key":     named(""),
		"1,001 keys":       named(strings.Fields(strings.Repeat("before ", 1001))...),
		"100,000 keys":     named(strings.Fields(strings.Repeat("k ", 100_000))...),
	}
}

// Documents that are bombs, or too large, or nonsense, are refused before they
// cost memory, and nothing that they name is deleted.
func TestXML(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	for name, document := range bombs() {
		a.refused(name, a.deleteMany(document))
		if got := a.get("before"); !got.OK() {
			t.Fatalf("%s: its key was deleted", name)
		}
	}
	a.hugeDocuments()

	// Negative controls: the largest that S3 allows is done, key by key.
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("many/%04d", i))
	}
	a.ok("put", many[7], a.put(many[7], []byte("x")))
	if answer := a.deleteMany(named(many...)); !answer.OK() || strings.Count(string(answer.Body), "<Deleted>") != 1000 {
		t.Errorf("1,000 keys: %v", answer.Err())
	}
	// A key that cannot be is an error about that key, and the others go.
	a.ok("put", "gone", a.put("gone", []byte("x")))
	answer := a.deleteMany(named(strings.Repeat("k", 1025), "gone", "../../etc/passwd"))
	if !answer.OK() || strings.Count(string(answer.Body), "<Error>") != 1 || strings.Count(string(answer.Body), "<Deleted>") != 2 {
		t.Errorf("a key of 1,025 bytes among others: %d %s", answer.Status, answer.Body)
	}
	a.holds()
	peak, err := a.node.ResidentPeak()
	if err != nil || peak > residentLimit {
		t.Errorf("the node had %d MiB resident, %v", peak>>20, err)
	}
	t.Logf("at most %d MiB resident", peak>>20)
	a.end()
}

// hugeDocuments sends documents of 100 MiB, declared and in chunks.
func (a *arena) hugeDocuments() {
	a.Helper()
	const size = 100 << 20
	uploadID, answer, err := a.client.CreateUpload(a.Context(), bucket, "huge")
	a.ok("creation", "huge", a.answered(answer, err))
	for name, request := range map[string]s3client.Request{
		"delete":   {Method: "POST", Bucket: bucket, Query: "delete=", Header: []objects.Pair{{Name: "content-md5", Value: "1B2M2Y8AsgTpgAmY7PhCfg=="}}},
		"complete": {Method: "POST", Bucket: bucket, Key: "huge", Query: s3client.Query("uploadId", uploadID)},
		"tagging":  {Method: "PUT", Bucket: bucket, Key: "before", Query: "tagging="},
		"bucket":   {Method: "PUT", Bucket: "huge-bucket"},
	} {
		w := a.dial()
		w.send(a.head(request, fmt.Sprintf("Content-Length: %d", size)))
		go func() { _, _ = io.CopyN(w.conn, endless{}, size) }() // the node may hang up
		if answer := w.answer(request.Method); answer != nil {
			a.refused(name+" of 100 MiB", answer)
		}
		w.hangUp()

		w = a.dial()
		w.send(a.head(request, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n", size))
		go func() { _, _ = io.CopyN(w.conn, endless{}, size) }()
		if answer := w.answer(request.Method); answer != nil {
			a.refused(name+" of 100 MiB in chunks", answer)
		}
		w.hangUp()
	}
	a.ok("abort", "huge", a.answered(a.client.Abort(a.Context(), bucket, "huge", uploadID)))
}

// endless is well-formed XML without an end.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) {
	const element = "<Object><Key>before</Key></Object>"
	for n := 0; n < len(p); {
		n += copy(p[n:], element)
	}
	return len(p), nil
}

// Documents that complete an upload with parts that cannot be are refused, and
// the upload stays as it is.
func TestCompletions(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	uploadID, answer, err := a.client.CreateUpload(t.Context(), bucket, "upload")
	a.ok("creation", "upload", a.answered(answer, err))
	part := a.answered(a.client.PutPart(t.Context(), bucket, "upload", uploadID, 1, []byte("part")))
	a.ok("part", "upload", part)
	tag := part.ETag()
	one := func(number, tag string) string {
		return "<Part><PartNumber>" + number + "</PartNumber><ETag>" + tag + "</ETag></Part>"
	}
	var tooMany strings.Builder
	for i := range 10_001 {
		tooMany.WriteString(one(fmt.Sprint(i+1), tag))
	}
	for name, parts := range map[string]string{
		"none": "", "10,001 parts": tooMany.String(), "another tag": one("1", strings.Repeat("0", 32)), "no tag": one("1", ""),
		"part 0": one("0", tag), "part -1": one("-1", tag), "part 10,001": one("10001", tag), "part of 20 digits": one("99999999999999999999", tag),
		"twice": one("1", tag) + one("1", tag), "falling": one("2", tag) + one("1", tag), "a part that is not there": one("1", tag) + one("2", tag),
		"a word": one("one", tag), "not closed": one("1", tag) + "<Part>",
	} {
		answer := a.answered(a.client.Do(t.Context(), s3client.Request{
			Method: "POST", Bucket: bucket, Key: "upload", Query: s3client.Query("uploadId", uploadID),
			Body: []byte("<CompleteMultipartUpload>" + parts + "</CompleteMultipartUpload>"),
		}))
		a.refused(name, answer)
	}
	for name, id := range map[string]string{
		"another id": strings.Repeat("0", 32), "an id of dots": "../../../etc", "an empty id": "", "a long id": strings.Repeat("a", 2000), "an id with NUL": "a\x00b",
	} {
		a.refused("completion of "+name, a.answered(a.client.Complete(t.Context(), bucket, "upload", id, []s3client.Part{{Number: 1, ETag: tag}})))
		a.refused("part of "+name, a.answered(a.client.PutPart(t.Context(), bucket, "upload", id, 1, []byte("x"))))
		if id != "" { // a delete with an empty uploadId has a meaning of its own
			a.refused("abort of "+name, a.answered(a.client.Abort(t.Context(), bucket, "upload", id)))
		}
	}
	a.holds()
	a.ok("completion", "upload", a.answered(a.client.Complete(t.Context(), bucket, "upload", uploadID, []s3client.Part{{Number: 1, ETag: tag}})))
	if got := a.get("upload"); string(got.Body) != "part" {
		t.Errorf("the upload holds %q", got.Body)
	}
	a.end()
}
