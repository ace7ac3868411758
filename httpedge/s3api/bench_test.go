package s3api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// still is a gateway that answers what it was made with: what a benchmark
// measures is the edge alone.
type still struct {
	*model
	page    *messages.ObjectPage
	meta    *objects.Meta
	receipt objects.Receipt
}

func (s *still) List(context.Context, *objects.BucketDoc, gateway.ListRequest) (*messages.ObjectPage, error) {
	return s.page, nil
}

func (s *still) Put(_ context.Context, _ *objects.BucketDoc, put *gateway.Put) (objects.Receipt, error) {
	_, err := io.Copy(io.Discard, put.Body)
	return s.receipt, err
}

func (s *still) Open(context.Context, *objects.BucketDoc, string, string) (*objects.Meta, Payload, error) {
	return s.meta, stillPayload{}, nil
}

func (s *still) Head(context.Context, *objects.BucketDoc, string, string) (*objects.Meta, error) {
	return s.meta, nil
}

type stillPayload struct{}

var stillBody = make([]byte, 4<<10)

func (stillPayload) Send(ctx *fasthttp.RequestCtx, offset, length int64) {
	ctx.Response.SetBodyRaw(stillBody[offset:length])
}
func (stillPayload) Reader(int64, int64) io.Reader { return nil }
func (stillPayload) Begin(int64, int64) error      { return nil }

func (stillPayload) Part(int) (offset, n int64, ok bool) { return 0, 0, false }
func (stillPayload) Close()                              {}

// inMemory hands out a body without a connection to wait on.
type inMemory struct{ Authenticator }

func (inMemory) Body(ctx *fasthttp.RequestCtx, _ identityOf, _ int64) (Body, error) {
	return &memoryBody{*bytes.NewReader(ctx.Request.Body())}, nil
}

type memoryBody struct{ bytes.Reader }

func (memoryBody) Trailers() []objects.Pair { return nil }

func benchmark(b *testing.B, method, uri, body string, status int) {
	m := newModel(time.Now)
	if _, err := m.CreateBucket(b.Context(), "b", objects.BucketProps{}); err != nil {
		b.Fatal(err)
	}
	s := &still{model: m, page: new(messages.ObjectPage)}
	s.meta = &objects.Meta{Size: 4 << 10, ETag: "900150983cd24fb0d6963f7d28e17f72", Modified: time.Now(), Checksums: []checksum.Value{{Algorithm: checksum.CRC32, Sum: "1234"}}}
	s.meta.User = []objects.Pair{{Name: "a", Value: "b"}}
	s.receipt = objects.Receipt{Class: objects.Synced, Disks: 1, Nodes: 1, Meta: s.meta}
	for i := range 1000 {
		s.page.Entries = append(s.page.Entries, messages.ObjectEntry{Name: fmt.Sprintf("photos/2026/03/image-%06d.jpg", i), Meta: s.meta})
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	h, err := New(Config{Gateway: s, Auth: inMemory{newBeliever()}, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	var request fasthttp.Request
	request.Header.SetMethod(method)
	request.SetRequestURI(uri)
	request.Header.SetHost("localhost:9000")
	for _, name := range []string{"Authorization", "X-Amz-Date", "Accept-Encoding", "Amz-Sdk-Request", "Amz-Sdk-Invocation-Id"} {
		request.Header.Set(name, "AWS4-HMAC-SHA256 Credential=x/20260304/us-east-1/s3/aws4_request")
	}
	request.SetBodyString(body)
	request.Header.SetContentLength(len(body))
	var ctx fasthttp.RequestCtx
	ctx.Init(&request, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		h.Handle(&ctx)
		if ctx.Response.StatusCode() != status {
			b.Fatalf("status %d: %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
		ctx.ResetUserValues() // gives the document back, as the server does
	}
}

func BenchmarkGet(b *testing.B)     { benchmark(b, get, "/b/photos/2026/cat.jpg", "", 200) }
func BenchmarkHead(b *testing.B)    { benchmark(b, head, "/b/photos/2026/cat.jpg", "", 200) }
func BenchmarkPut(b *testing.B)     { benchmark(b, put, "/b/photos/2026/cat.jpg", "meow", 200) }
func BenchmarkList(b *testing.B)    { benchmark(b, get, "/b?list-type=2&prefix=photos/", "", 200) }
func BenchmarkListURL(b *testing.B) { benchmark(b, get, "/b?list-type=2&encoding-type=url", "", 200) }
