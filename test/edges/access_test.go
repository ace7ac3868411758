package edges_test

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// entry is what a line of the access log says of a request, as far as a client can
// know it beforehand.
type entry struct {
	Operation  string `json:"operation"`
	Bucket     string `json:"bucket"`
	Key        string `json:"key"`
	Method     string `json:"method"`
	Status     int    `json:"status"`
	Code       string `json:"error"`
	BytesIn    int64  `json:"bytes_in"`
	BytesOut   int64  `json:"bytes_out"`
	Requester  string `json:"requester"`
	Placed     string `json:"authentication"`
	Remote     string `json:"remote"`
	TLS        string `json:"tls"`
	ID         string `json:"request"`
	Total      int64  `json:"total_us"`
	Turnaround int64  `json:"turnaround_us"`
}

// known is the entry without what only the node knows.
func (e entry) known() entry {
	e.Total, e.Turnaround = 0, 0
	return e
}

// Every request has its line, in order, and the line says what was done; over two
// rotations, one by signal and one without.
func TestAccessLogTellsWhatWasDone(t *testing.T) {
	authority, files := process.AuthorityForTest(t)
	path := filepath.Join(t.TempDir(), "access.log")
	node := start(t, process.Config{
		TLS: &files, Args: []string{"--access-log", path, "--access-log-format", "json", "--min-part", "1", "--tls-listener", "s3", "--tls-listener", "native"},
	})
	client := s3client.NewTLS(node.S3, process.Keys(), authority.Client())
	defer client.Close()

	var want []entry
	did := func(operation, key string, r s3client.Request) *s3client.Answer {
		t.Helper()
		answer, err := client.Do(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
		e := entry{
			Operation: operation, Bucket: r.Bucket, Key: key, Method: r.Method, Status: answer.Status, Code: answer.Code,
			BytesIn: int64(len(r.Body)), BytesOut: int64(len(answer.Body)), Requester: process.AccessKey, Placed: "AuthHeader",
			Remote: "127.0.0.1", TLS: "TLSv1.3", ID: answer.Header.Get("x-amz-request-id"),
		}
		want = append(want, e)
		return answer
	}
	const bucket = "bucket"
	on := func(method, key, query string, body []byte, header ...objects.Pair) s3client.Request {
		return s3client.Request{Method: method, Bucket: bucket, Key: key, Query: query, Body: body, Header: header}
	}
	small, large := content(1000), content(3<<20)
	did("REST.PUT.BUCKET", "", on("PUT", "", "", nil))
	did("REST.HEAD.BUCKET", "", on("HEAD", "", "", nil))
	did("REST.GET.SERVICE", "", s3client.Request{Method: "GET"})
	did("REST.GET.LOCATION", "", on("GET", "", "location", nil))
	did("REST.PUT.OBJECT", "small", on("PUT", "small", "", small))
	did("REST.PUT.OBJECT", "ä b/\"c\"\t", on("PUT", "ä b/\"c\"\t", "", small))
	did("REST.PUT.OBJECT", "large", on("PUT", "large", "", large))
	did("REST.PUT.OBJECT", "nothing", on("PUT", "nothing", "", nil))
	did("REST.COPY.OBJECT", "copy", on("PUT", "copy", "", nil, objects.Pair{Name: "x-amz-copy-source", Value: "/bucket/large"}))
	did("REST.GET.OBJECT", "small", on("GET", "small", "", nil))
	did("REST.GET.OBJECT", "large", on("GET", "large", "", nil))
	did("REST.GET.OBJECT", "large", on("GET", "large", "", nil, objects.Pair{Name: "Range", Value: "bytes=100-1999999"}))
	did("REST.GET.OBJECT", "nothing", on("GET", "nothing", "", nil))
	did("REST.HEAD.OBJECT", "large", on("HEAD", "large", "", nil))
	did("REST.GET.OBJECT", "absent", on("GET", "absent", "", nil))
	did("REST.GET.OBJECT", "small", on("GET", "small", "", nil, objects.Pair{Name: "If-Match", Value: `"other"`}))
	did("REST.GET.OBJECT_TAGGING", "small", on("GET", "small", "tagging", nil))
	did("REST.GET.OBJECT_ACL", "small", on("GET", "small", "acl", nil))
	did("REST.GET.BUCKET", "", on("GET", "", "list-type=2&prefix=s", nil))
	did("REST.GET.BUCKETVERSIONS", "", on("GET", "", "versions", nil))
	did("REST.PUT.VERSIONING", "", on("PUT", "", "versioning", []byte("<VersioningConfiguration/>")))

	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := node.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	logged(t, node, "settings were read again", 1)

	created := did("REST.POST.UPLOADS", "parts", on("POST", "parts", "uploads", nil))
	upload, err := s3client.UploadID(created)
	if err != nil {
		t.Fatal(err)
	}
	part := did("REST.PUT.PART", "parts", on("PUT", "parts", s3client.Query("partNumber", "1", "uploadId", upload), large))
	did("REST.COPY.PART", "parts", on("PUT", "parts", s3client.Query("partNumber", "2", "uploadId", upload), nil, objects.Pair{Name: "x-amz-copy-source", Value: "/bucket/small"}))
	did("REST.GET.UPLOAD", "parts", on("GET", "parts", s3client.Query("uploadId", upload), nil))
	did("REST.GET.UPLOADS", "", on("GET", "", "uploads", nil))
	did("REST.POST.UPLOAD", "parts", on("POST", "parts", s3client.Query("uploadId", upload),
		[]byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+part.ETag()+"</ETag></Part></CompleteMultipartUpload>")))
	did("REST.GET.OBJECT", "parts", on("GET", "parts", "", nil))
	did("REST.DELETE.UPLOAD", "parts", on("DELETE", "parts", "uploadId=none", nil))
	if err := os.Rename(path, path+".2"); err != nil { // and no signal
		t.Fatal(err)
	}
	if err := node.Await(t.Context(), "the name to be used again", func(process.Metrics) bool { // each question is a line
		_, err := os.Stat(path)
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	did("REST.DELETE.OBJECT", "small", on("DELETE", "small", "", nil))
	did("REST.POST.MULTI_OBJECT_DELETE", "", on("POST", "", "delete", []byte("<Delete><Object><Key>copy</Key></Object></Delete>"),
		objects.Pair{Name: "Content-MD5", Value: md5Of("<Delete><Object><Key>copy</Key></Object></Delete>")}))
	did("REST.DELETE.BUCKET", "", on("DELETE", "", "", nil))

	raw := func(operation, key, target string, status int, code string, change func(*http.Request)) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+node.S3+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(request)
		}
		https := &http.Client{Transport: &http.Transport{TLSClientConfig: authority.Client(), DisableKeepAlives: true}}
		answer, err := https.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != status {
			t.Fatalf("%s: %d, want %d; %v", target, answer.StatusCode, status, err)
		}
		e := entry{
			Operation: operation, Key: key, Method: "GET", Status: status, Code: code, BytesOut: int64(len(body)),
			Remote: "127.0.0.1", TLS: "TLSv1.3", ID: answer.Header.Get("x-amz-request-id"),
		}
		if key != "" {
			e.Bucket = bucket
		}
		if status == 200 && key != "" {
			e.Requester, e.Placed = process.AccessKey, "QueryString"
		}
		want = append(want, e)
	}
	link, err := client.Presign(on("GET", "large", "", nil), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	raw("REST.GET.OBJECT", "large", link, 200, "", nil)
	raw("REST.GET.OBJECT", "large", strings.Replace(link, "X-Amz-Signature=", "X-Amz-Signature=0", 1), 403, "SignatureDoesNotMatch", nil)
	raw("REST.GET.OBJECT", "large", "/bucket/large", 403, "AccessDenied", nil)
	raw("REST.GET.HEALTH", "", "/~health", 200, "", nil)
	raw("REST.GET.HEALTH", "", "/~health", 200, "", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "198.51.100.7") }) // nobody is trusted
	// A refusal before the body is sent.
	refused, err := client.Do(t.Context(), s3client.Request{
		Method: "PUT", Bucket: "no-such-bucket", Key: "k", Body: large, Header: []objects.Pair{{Name: "Expect", Value: "100-continue"}},
	})
	if err != nil || refused.Code != "NoSuchBucket" {
		t.Fatalf("%+v, %v", refused, err)
	}
	want = append(want, entry{
		Operation: "REST.PUT.OBJECT", Bucket: "no-such-bucket", Key: "k", Method: "PUT", Status: 404, Code: "NoSuchBucket",
		BytesOut: int64(len(refused.Body)), Remote: "127.0.0.1", TLS: "TLSv1.3", ID: refused.Header.Get("x-amz-request-id"),
	})

	// Lines of the requests that looked at the metrics, and at health, come between.
	if err := node.Await(t.Context(), "all lines to be written", func(m process.Metrics) bool {
		return m["troupe_access_log_lines_total"] >= float64(len(want)) && m["troupe_access_log_dropped_total"] == 0
	}); err != nil {
		t.Fatal(err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	var got []entry
	var all []byte
	for _, name := range []string{path + ".1", path + ".2", path} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 {
			t.Errorf("%s is empty", name)
		}
		all = append(all, text...)
	}
	for line := range bytes.Lines(all) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Operation == "NATIVE.GET.METRICS" || e.Operation == "NATIVE.GET.HEALTH" {
			if e.TLS != "TLSv1.3" || e.Status != 200 && e.Status != 503 {
				t.Errorf("%s", line)
			}
			continue
		}
		if e.Turnaround < 0 || e.Total < e.Turnaround || e.Total > int64(time.Minute/time.Microsecond) {
			t.Errorf("%d µs in all, %d for the answer: %s", e.Total, e.Turnaround, line)
		}
		got = append(got, e)
	}
	// A line is written when the answer is out: by then the next request may have come, over
	// another connection.
	asked := make(map[string]int)
	for i, e := range want {
		asked[e.ID] = i
	}
	slices.SortStableFunc(got, func(a, b entry) int { return cmp.Compare(asked[a.ID], asked[b.ID]) })
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("line %d is missing: %+v", i, want[i])
		case i >= len(want):
			t.Fatalf("line %d is of no request: %+v", i, got[i])
		case got[i].known() != want[i]:
			t.Errorf("line %d:\ngot  %+v\nwant %+v", i, got[i].known(), want[i])
		}
	}
	for _, secret := range []string{process.SecretKey, "X-Amz-Signature=0", link[strings.Index(link, "X-Amz-Signature=")+len("X-Amz-Signature="):]} {
		if bytes.Contains(all, []byte(secret)) {
			t.Errorf("the log has %q in it", secret)
		}
	}
}

// The client's address is that of X-Forwarded-For if a trusted proxy says it; what
// cannot be parsed has a line too; the other form has 28 fields.
func TestAccessLogOfProxies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	node := start(t, process.Config{Args: []string{"--access-log", path, "--trusted-proxy", "127.0.0.0/8"}})
	conn, err := net.Dial("tcp", node.S3)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /~health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6, 2001:db8::7\r\nUser-Agent: one two\r\n\r\nthis is no HTTP\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(said), "<Code>BadRequest</Code>") {
		t.Fatalf("%s, %v", said, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, " NATIVE.") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	fields := fieldsOf(lines[0])
	if len(fields) != 28 || fields[3] != "2001:db8::7" || fields[6] != "REST.GET.HEALTH" || fields[8] != "GET /~health HTTP/1.1" || fields[9] != "200" || fields[16] != "one two" {
		t.Errorf("%d fields: %q", len(fields), fields)
	}
	if fields = fieldsOf(lines[1]); len(fields) != 28 || fields[3] != "127.0.0.1" || fields[9] != "400" || fields[10] != "BadRequest" {
		t.Errorf("%d fields: %q", len(fields), fields)
	}
}

// fieldsOf splits a line as tools for S3's logs do: at blanks, but for those in
// brackets and quotes.
func fieldsOf(line string) (fields []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimPrefix(line, " ") {
		end, skip := " ", 0
		switch line[0] {
		case '"':
			end, skip = `"`, 1
		case '[':
			end, skip = "]", 1
		}
		field, rest, _ := strings.Cut(line[skip:], end)
		fields, line = append(fields, field), rest
		if end == " " && rest != "" {
			line = " " + rest
		}
	}
	return fields
}

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
