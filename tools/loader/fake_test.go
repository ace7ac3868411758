package loader

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

const testAccess, testSecret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// fakeS3 is a small S3 in memory, with a native listener's requests beside it.
// It verifies every signature. Its faults are what tests are about.
type fakeS3 struct {
	verifier *sigv4.Verifier

	mu      sync.Mutex
	buckets map[string]*fakeBucket
	asked   map[string]int // requests by method
	flip    bool           // GET flips a bit of every object
	keep    bool           // DELETE answers, and deletes nothing
	shuffle bool           // listings begin with their last key
	refuse  map[string]int // by method: how many more requests get 503 SlowDown
	whole   bool           // GET does not know ranges
	shift   bool           // GET of a range begins one byte too late
	deaf    bool           // an upload is answered with status 200 and an error when it completes
	slow    time.Duration  // every request about an object takes so long
	uploads map[string]map[int][]byte
	aborted int
	sever   int     // how many more GETs lose their connection
	class   string  // of receipts, whatever the bucket says
	debts   []int64 // what successive scrapes report; the last one stays
	scrapes int
}

type fakeBucket struct {
	objects map[string][]byte
	props   objects.BucketProps
}

func newFakeS3() *fakeS3 {
	return &fakeS3{
		verifier: sigv4.NewVerifier(sigv4.Options{Secret: func(access string) (string, bool) {
			return testSecret, access == testAccess
		}}),
		buckets: make(map[string]*fakeBucket), asked: make(map[string]int), refuse: make(map[string]int),
		uploads: make(map[string]map[int][]byte),
	}
}

// change changes the fake while it may be serving.
func (f *fakeS3) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

// seen returns how many requests with the method came since the last forget.
func (f *fakeS3) seen(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[method]
}

// forget starts counting requests anew.
func (f *fakeS3) forget() { f.change(func() { clear(f.asked) }) }

// stored returns how many objects a bucket holds.
func (f *fakeS3) stored(bucket string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.buckets[bucket].objects)
}

// serveHTTP serves a handler, with bodies in memory, on a free loopback port until
// the test ends.
func serveHTTP(t testing.TB, handler fasthttp.RequestHandler) (endpoint string) {
	t.Helper()
	return serve(t, &fasthttp.Server{Handler: handler, MaxRequestBodySize: 16 << 20, CloseOnShutdown: true, ReadBufferSize: 32 << 10})
}

// serve serves on a free loopback port until the test ends.
func serve(t testing.TB, server *fasthttp.Server) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, server, listener)
}

// serveOn serves on a listener until the test ends.
func serveOn(t testing.TB, server *fasthttp.Server, listener net.Listener) (endpoint string) {
	t.Helper()
	server.Logger = quiet{}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-served); err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// quiet drops what a server says about connections that tests break.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// all lets the signature see a request's headers.
type all struct{ header *fasthttp.RequestHeader }

func (a all) All(visit func(name, value []byte)) {
	for name, value := range a.header.All() {
		if string(name) != "Host" {
			visit(name, value)
		}
	}
}

func (f *fakeS3) handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.URI().PathOriginal())
	if strings.HasPrefix(path, "/v1/") || path == "/metrics" {
		f.native(ctx, path)
		return
	}
	body := slices.Clone(ctx.PostBody())
	id, err := f.verifier.Verify(&sigv4.Request{
		Method: ctx.Method(), Path: []byte(path), Query: ctx.URI().QueryString(),
		Host: ctx.Request.Header.Host(), Headers: all{&ctx.Request.Header},
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	method := string(ctx.Method())
	f.asked[method]++
	switch {
	case err != nil || id.Anonymous || id.Payload != sigv4.Unsigned:
		fail(ctx, 403, "SignatureDoesNotMatch")
		return
	case f.refuse[method] > 0:
		f.refuse[method]--
		fail(ctx, 503, "SlowDown")
		return
	}
	name, key, isObject := strings.Cut(path[1:], "/")
	bucket := f.buckets[name]
	if !isObject {
		switch {
		case method == "PUT" && bucket != nil:
			fail(ctx, 409, "BucketAlreadyOwnedByYou")
		case method == "PUT":
			f.buckets[name] = &fakeBucket{objects: make(map[string][]byte)}
		case bucket == nil:
			fail(ctx, 404, "NoSuchBucket")
		case method == "DELETE" && len(bucket.objects) > 0:
			fail(ctx, 409, "BucketNotEmpty")
		case method == "DELETE":
			delete(f.buckets, name)
			ctx.SetStatusCode(204)
		default:
			f.list(ctx, bucket)
		}
		return
	}
	if bucket == nil {
		fail(ctx, 404, "NoSuchBucket")
		return
	}
	if f.slow > 0 {
		f.mu.Unlock()
		burnFor(f.slow)
		f.mu.Lock()
	}
	content, exists := bucket.objects[key]
	switch {
	case ctx.QueryArgs().Has("uploads") || ctx.QueryArgs().Has("uploadId"):
		f.upload(ctx, bucket, key, body)
	case method == "PUT":
		bucket.objects[key] = body
		class := f.class
		if class == "" {
			class = string(bucket.props.Class())
		}
		ctx.Response.Header.Set("X-Troupe-Receipt", "class="+class+"; disks=1; nodes=1; generation=1.1.7")
	case method == "DELETE":
		if !f.keep {
			delete(bucket.objects, key)
		}
		ctx.SetStatusCode(204)
	case !exists:
		fail(ctx, 404, "NoSuchKey")
	case method == "HEAD":
		ctx.Response.Header.SetContentLength(len(content))
	case f.sever > 0:
		f.sever--
		ctx.Response.SetBodyStream(strings.NewReader("short"), 100) // fasthttp breaks the connection
	default:
		content = slices.Clone(content)
		if f.flip && len(content) > 0 {
			content[len(content)/2] ^= 1
		}
		if asked := ctx.Request.Header.Peek("Range"); len(asked) > 0 && !f.whole {
			first, last, err := fasthttp.ParseByteRange(asked, len(content))
			if err != nil {
				fail(ctx, 416, "InvalidRange")
				return
			}
			if f.shift && last+1 < len(content) {
				first, last = first+1, last+1
			}
			content = content[first : last+1]
			ctx.SetStatusCode(206)
		}
		ctx.Response.SetBodyRaw(content)
	}
}

// upload answers a request of a multipart upload.
func (f *fakeS3) upload(ctx *fasthttp.RequestCtx, bucket *fakeBucket, key string, body []byte) {
	id := string(ctx.QueryArgs().Peek("uploadId"))
	parts := f.uploads[id]
	number, _ := strconv.Atoi(string(ctx.QueryArgs().Peek("partNumber")))
	switch method := string(ctx.Method()); {
	case method == "POST" && id == "":
		id = fmt.Sprintf("up/load=%d", len(f.uploads)) // needs escaping
		f.uploads[id] = make(map[int][]byte)
		ctx.SetBodyString("<InitiateMultipartUploadResult><UploadId>" + id + "</UploadId></InitiateMultipartUploadResult>")
	case parts == nil:
		fail(ctx, 404, "NoSuchUpload")
	case method == "DELETE":
		f.aborted++
		f.uploads[id] = nil
		ctx.SetStatusCode(204)
	case method == "PUT":
		parts[number] = body
		ctx.Response.Header.Set("ETag", fmt.Sprintf(`"%d-%d"`, number, len(body)))
		ctx.Response.Header.Set("Connection", "close") // any request may be a connection's last
	case f.deaf:
		ctx.SetBodyString("<Error><Code>InternalError</Code><Message>too late</Message></Error>")
	default:
		want, whole := "<CompleteMultipartUpload>", []byte(nil)
		for i := 1; i <= len(parts); i++ {
			want += fmt.Sprintf(`<Part><PartNumber>%d</PartNumber><ETag>"%d-%d"</ETag></Part>`, i, i, len(parts[i]))
			whole = append(whole, parts[i]...)
		}
		if string(body) != want+"</CompleteMultipartUpload>" {
			fail(ctx, 400, "InvalidPart")
			return
		}
		f.uploads[id] = nil
		bucket.objects[key] = whole
		ctx.Response.Header.Set("X-Troupe-Receipt", "class="+string(bucket.props.Class()))
		ctx.SetBodyString("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
	}
}

// burnFor uses so much CPU time: what a test of figures of CPU needs.
func burnFor(d time.Duration) {
	lockThread()
	defer runtime.UnlockOSThread()
	for until := threadTime() + d; threadTime() < until; {
	}
}

func (f *fakeS3) list(ctx *fasthttp.RequestCtx, bucket *fakeBucket) {
	args := ctx.QueryArgs()
	most, _ := strconv.Atoi(string(args.Peek("max-keys")))
	after, _ := base64.StdEncoding.DecodeString(string(args.Peek("continuation-token")))
	var page []string
	for _, key := range slices.Sorted(maps.Keys(bucket.objects)) {
		if key > string(after) && strings.HasPrefix(key, string(args.Peek("prefix"))) {
			page = append(page, key)
		}
	}
	truncated := len(page) > most
	if truncated {
		page = page[:most]
	}
	next := ""
	if truncated {
		next = base64.StdEncoding.EncodeToString([]byte(page[most-1])) // holds + / =, which need escaping
	}
	if f.shuffle {
		slices.Reverse(page)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<?xml version="1.0"?><ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`, truncated, next)
	for _, key := range page {
		fmt.Fprintf(&out, "<Contents><Key>%s</Key></Contents>", key)
	}
	out.WriteString("</ListBucketResult>")
	text := out.String()
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) { _, _ = w.WriteString(text) }) // chunked
}

func (f *fakeS3) native(ctx *fasthttp.RequestCtx, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch name, isBucket := strings.CutPrefix(path, "/v1/buckets/"); {
	case path == "/metrics" && f.debts != nil:
		debt := f.debts[min(f.scrapes, len(f.debts)-1)]
		f.scrapes++
		ctx.SetBodyString(fmt.Sprintf("# TYPE %[1]s gauge\n%[1]s{mountpath=\"/d} 7\"} %d\n%[1]s{mountpath=\"/e\"} 1\n%[1]s_total 9e9\n", debtMetric, debt))
	case path == "/v1/health":
	case isBucket && string(ctx.Method()) == "PATCH":
		var message setBucketProps
		bucket := f.buckets[name]
		if err := json.Unmarshal(ctx.PostBody(), &message); err != nil || message.Action != "set-bprops" || bucket == nil {
			ctx.Error("no", 400)
			return
		}
		bucket.props = message.Value.Troupe
	default:
		ctx.Error("no such thing", 404)
	}
}

func fail(ctx *fasthttp.RequestCtx, status int, code string) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	ctx.SetBodyString("<Error><Code>" + code + "</Code><Message>as the test wants it &amp; so</Message></Error>")
}

// loadOn returns a load against an endpoint, with a bucket that exists.
func loadOn(t testing.TB, endpoint string) Load {
	t.Helper()
	load := Load{
		Endpoint: endpoint, Bucket: "load", AccessKey: testAccess, SecretKey: testSecret,
		Sizes: FixedSize(4096), Connections: 4, Keys: Keys{Seed: 7},
	}
	if _, err := CreateBucket(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	return load
}

// mustRun runs a load that must give a result.
func mustRun(t testing.TB, load Load, observed Observed) *Result {
	t.Helper()
	result, err := Run(t.Context(), load, observed)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// put fills the bucket with so many keys.
func put(t testing.TB, load Load, keys uint64) {
	t.Helper()
	load.Mix, load.Ops, load.Keys.Order, load.Keys.Count = Only(Put), keys, Sequential, keys
	load.Duration, load.Bytes, load.Rate = 0, 0, 0
	if err := mustRun(t, load, Observed{}).Failed(); err != nil {
		t.Fatal(err)
	}
}
