package access

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/clock"
)

// fixed is a clock that stands still until it is moved.
type fixed struct {
	clock.System
	mu      sync.Mutex
	elapsed time.Duration
}

func (c *fixed) Now() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC) }

func (c *fixed) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

func (c *fixed) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elapsed += d
}

// line runs one request through a log and returns what was written.
func line(t *testing.T, format Format, head string, during func(*Record, *fixed, *fasthttp.RequestCtx)) string {
	t.Helper()
	var out bytes.Buffer
	at := &fixed{}
	log, err := Open(Options{Output: &out, Format: format, Clock: at})
	if err != nil {
		t.Fatal(err)
	}
	ctx := request(t, head)
	r := log.Begin(ctx, "s3")
	if log.Begin(ctx, "s3") != r || Of(ctx) != r {
		t.Error("a request has two records")
	}
	during(r, at, ctx)
	r.Handled()
	at.pass(5 * time.Millisecond) // the answer is being written
	ctx.Request.Reset()           // as fasthttp does after the answer
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Written() != 1 || log.Dropped() != 0 {
		t.Errorf("%d lines written, %d dropped", log.Written(), log.Dropped())
	}
	return out.String()
}

func request(t testing.TB, head string) *fasthttp.RequestCtx {
	t.Helper()
	var request fasthttp.Request
	if err := request.Header.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
		t.Fatal(err)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&request, nil, nil)
	return ctx
}

func stored(r *Record, at *fixed, ctx *fasthttp.RequestCtx) {
	r.SetRequest("0123456789ABCDEF", "node-1")
	r.SetOperation("REST.PUT.OBJECT", "photos", "a b/\"c\"\n.jpg")
	r.SetRequester("troupe", Signed{Version: "SigV4", Place: "AuthHeader"})
	at.pass(20 * time.Millisecond)
	r.Received(1000)
	at.pass(3 * time.Millisecond)
	r.SetObject(1000, "")
	ctx.SetStatusCode(200)
}

// The lines are what tools for S3's logs, and for JSON, expect.
func TestForms(t *testing.T) {
	const head = "PUT /photos/a%20b HTTP/1.1\r\nHost: node:9000\r\nUser-Agent: test \"1\"\r\nReferer: http://x/\r\n\r\n"
	got := line(t, S3, head, stored)
	want := `- photos [03/Feb/2026:04:05:06 +0000] 0.0.0.0 troupe 0123456789ABCDEF REST.PUT.OBJECT a%20b/%22c%22%0A.jpg ` +
		`"PUT /photos/a%20b HTTP/1.1" 200 - - 1000 28 3 "http://x/" "test %221%22" - node-1 SigV4 - AuthHeader node:9000 - - - - 1000` + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got = line(t, JSON, head, stored)
	want = `{"time":"2026-02-03T04:05:06.000789Z","remote":"0.0.0.0","listener":"s3","request":"0123456789ABCDEF","requester":"troupe",` +
		`"operation":"REST.PUT.OBJECT","bucket":"photos","key":"a b/\"c\"\u000A.jpg","method":"PUT","uri":"/photos/a%20b","status":200,` +
		`"bytes_in":1000,"bytes_out":0,"object_size":1000,"total_us":28000,"turnaround_us":3000,"host":"node:9000","referer":"http://x/",` +
		`"user_agent":"test \"1\"","signature":"SigV4","authentication":"AuthHeader","node":"node-1"}` + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Errorf("no JSON: %s", got)
	}
}

// What a client sends never ends a line, a field or a JSON string early.
func TestNothingIsForged(t *testing.T) {
	for name, key := range map[string]string{"newline": "a\nb", "quote": `a" 200 "b`, "blank": "a b", "no UTF-8": "a\xff\xfeb", "NUL": "a\x00b", "rune": "ä→𝄞"} {
		t.Run(name, func(t *testing.T) {
			forge := func(r *Record, _ *fixed, _ *fasthttp.RequestCtx) { r.SetOperation("REST.GET.OBJECT", "b", key) }
			head := "GET /b/k\"x HTTP/1.1\r\nHost: x\r\nUser-Agent: " + `"} 500 - "` + "\r\n\r\n"
			plain := line(t, S3, "GET /b/k HTTP/1.1\r\nHost: x\r\nUser-Agent: agent\r\n\r\n", func(r *Record, _ *fixed, _ *fasthttp.RequestCtx) {
				r.SetOperation("REST.GET.OBJECT", "b", "k")
			})
			got := line(t, S3, head, forge)
			if strings.Count(got, "\n") != 1 || strings.Count(got, `"`) != strings.Count(plain, `"`) {
				t.Errorf("%q", got)
			}
			got = line(t, JSON, head, forge)
			var document map[string]any
			if err := json.Unmarshal([]byte(got), &document); err != nil || strings.Count(got, "\n") != 1 {
				t.Fatalf("%q: %v", got, err)
			}
			if name != "no UTF-8" && document["key"] != key {
				t.Errorf("key %q, want %q", document["key"], key)
			}
		})
	}
}

// What lets somebody else act in the client's name is not written; what does not, is.
func TestSecretsAreBlanked(t *testing.T) {
	const secret = "5ecre7"
	for _, query := range []string{
		"X-Amz-Signature=" + secret, "x-amz-signature=" + secret, "X-Amz-Security-Token=" + secret, "Signature=" + secret,
		"X-Amz%2DSignature=" + secret, "a=b&X-Amz-Signature=" + secret + "&c=d", "%58-Amz-Security-Token=" + secret + "=",
	} {
		for _, form := range []Format{S3, JSON} {
			got := line(t, form, "GET /b/k?visible=1&"+query+" HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4 "+secret+"\r\nX-Amz-Security-Token: "+secret+"\r\n\r\n",
				func(*Record, *fixed, *fasthttp.RequestCtx) {})
			if strings.Contains(got, secret) || !strings.Contains(got, "visible=1") {
				t.Errorf("%s: %s", query, got)
			}
		}
	}
	got := line(t, S3, "GET /b/k?X-Amz-Credential=key&note="+secret+"& HTTP/1.1\r\nHost: x\r\n\r\n", func(*Record, *fixed, *fasthttp.RequestCtx) {})
	if !strings.Contains(got, "/b/k?X-Amz-Credential=key&note="+secret+"& HTTP") { // negative control
		t.Errorf("it hides what is no secret: %s", got)
	}
}

// stuck is an output that takes nothing until it is let go, and then fails or not.
type stuck struct {
	entered chan struct{}
	let     chan struct{}
	err     error
	lines   int
}

// Write implements io.Writer.
func (s *stuck) Write(p []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.let
	if s.err != nil {
		return 0, s.err
	}
	s.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// An output that hangs costs lines, and requests no time; each line is either
// written or counted as dropped.
func TestFullQueueDropsAndCounts(t *testing.T) {
	for _, failure := range []error{nil, errors.New("disk full")} {
		out := &stuck{entered: make(chan struct{}, 1), let: make(chan struct{}), err: failure}
		log, err := Open(Options{Output: out, Clock: clock.NewSystem()})
		if err != nil {
			t.Fatal(err)
		}
		const requests = queueLines + 500
		ctx := request(t, "GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n")
		one := func() {
			log.Begin(ctx, "s3").Handled()
			if err := Of(ctx).Close(); err != nil {
				t.Fatal(err)
			}
			ctx.RemoveUserValue(recordKey{})
		}
		one()
		<-out.entered // the writer hangs with the first line
		for range requests {
			one() // would never return if it waited
		}
		if d := log.Dropped(); d != 500 {
			t.Errorf("%d lines dropped, want 500", d)
		}
		close(out.let)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		want := uint64(queueLines + 1)
		if failure != nil {
			want = 0
		}
		if log.Written() != want || uint64(out.lines) != want || log.Written()+log.Dropped() != requests+1 {
			t.Errorf("%d written, %d of them there, %d dropped, of %d", log.Written(), out.lines, log.Dropped(), requests+1)
		}
	}
}

// A file that was renamed is left to who renamed it: by signal at once, and without
// one as soon as the name was looked at again. No line is lost or written twice.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	at := &fixed{}
	log, err := Open(Options{File: path, Clock: at})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	one := func() {
		n++
		ctx := request(t, fmt.Sprintf("GET /b/k%d HTTP/1.1\r\nHost: x\r\n\r\n", n))
		log.Begin(ctx, "s3").Handled()
		ctx.Request.Reset()
	}
	lines := func(path string) int {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(content, []byte("\n"))
	}
	one()
	one()
	if err := errors.Join(os.Rename(path, path+".1"), log.Reopen()); err != nil {
		t.Fatal(err)
	}
	if lines(path+".1") != 2 || lines(path) != 0 {
		t.Errorf("%d and %d lines", lines(path+".1"), lines(path))
	}
	one()
	if err := log.Reopen(); err != nil { // the same name: appended to
		t.Fatal(err)
	}
	at.pass(2 * nameTime)
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	one() // nobody said anything
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if lines(path+".2") != 1 || lines(path) != 1 {
		t.Errorf("%d and %d lines", lines(path+".2"), lines(path))
	}
	if err := log.Reopen(); err != nil {
		t.Errorf("a log that was closed: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Open(Options{File: t.TempDir(), Clock: at}); err == nil {
		t.Error("a directory is no file")
	}
}

// Without a log there is no record, and nobody needs to ask.
func TestNoLog(t *testing.T) {
	var log *Log
	ctx := request(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := log.Begin(ctx, "s3")
	r.SetRequest("a", "b")
	r.SetOperation("a", "b", "c")
	r.SetRequester("a", Signed{})
	r.SetCode("a")
	r.SetObject(1, "")
	r.SetForwarded("https")
	r.Received(1)
	r.Sent(1)
	r.Handled()
	if r != nil || Of(ctx) != nil {
		t.Error("there is a record")
	}
}

// What the log costs a request: everything on its road, formatting included.
func BenchmarkLine(b *testing.B) {
	for _, form := range []Format{S3, JSON} {
		b.Run(string(form), func(b *testing.B) {
			log, err := Open(Options{Output: io.Discard, Format: form, Clock: clock.NewSystem()})
			if err != nil {
				b.Fatal(err)
			}
			ctx := request(b, "GET /photos/2026/cat.jpg HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUser-Agent: aws-cli/2.13 Python/3.11\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				r := log.Begin(ctx, "s3")
				r.SetRequest("0123456789ABCDEF", "node")
				r.SetOperation("REST.GET.OBJECT", "photos", "2026/cat.jpg")
				r.SetRequester("troupe", Signed{Version: "SigV4", Place: "AuthHeader"})
				r.SetObject(1<<20, "")
				r.Handled()
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				ctx.RemoveUserValue(recordKey{})
			}
			b.StopTimer()
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
