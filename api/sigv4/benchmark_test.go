package sigv4

import (
	"bytes"
	"io"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// raw are header fields whose bytes exist already, as a server has them.
type raw [][2][]byte

func (r raw) All(visit func(name, value []byte)) {
	for _, p := range r {
		visit(p[0], p[1])
	}
}

func benchmarkVerify(b *testing.B, w wire) {
	v := verifierAt(testTime, testAccess, testSecret, testRegion)
	r := w.request()
	var headers raw
	for _, h := range w.headers {
		headers = append(headers, [2][]byte{[]byte(h.Name), []byte(h.Value)})
	}
	r.Headers = headers
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyGet(b *testing.B) {
	out := Outgoing{Method: "GET", Path: "/bucket/photos/2024/cat.jpg", Host: "127.0.0.1:9000", Payload: Signed, PayloadSHA256: EmptySHA256()}
	w, _ := signed(b, out)
	w.headers = append(w.headers, objects.Pair{Name: "User-Agent", Value: "aws-sdk-go-v2/1.30"}, objects.Pair{Name: "Accept-Encoding", Value: "identity"})
	benchmarkVerify(b, w)
}

func BenchmarkVerifyPut(b *testing.B) {
	out := Outgoing{Method: "PUT", Path: "/bucket/photos/2024/cat.jpg", Query: "x-id=PutObject", Host: "127.0.0.1:9000", Payload: Unsigned, Headers: []objects.Pair{
		{Name: "Content-Type", Value: "image/jpeg"}, {Name: "Content-Length", Value: "4096"},
		{Name: "X-Amz-Meta-Camera", Value: "a b"}, {Name: "X-Amz-Checksum-Crc32", Value: "AAAAAA=="}, {Name: "X-Amz-Sdk-Checksum-Algorithm", Value: "CRC32"}}}
	w, _ := signed(b, out)
	w.headers = append(w.headers, objects.Pair{Name: "User-Agent", Value: "aws-sdk-go-v2/1.30"}, objects.Pair{Name: "Expect", Value: "100-continue"})
	benchmarkVerify(b, w)
}

func BenchmarkVerifyPresigned(b *testing.B) {
	benchmarkVerify(b, presigned(b, Outgoing{Method: "GET", Path: "/bucket/photos/2024/cat.jpg", Host: "127.0.0.1:9000"}))
}

func BenchmarkSign(b *testing.B) {
	signer := NewSigner(Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion)
	out := getObject()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signer.Sign(&out, testTime); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkChunks(b *testing.B, mode PayloadMode) {
	const size = 1 << 20
	var sizes []int
	for range 16 {
		sizes = append(sizes, size/16)
	}
	w, id := chunked(b, mode, sizes...)
	names := []string{"x-amz-checksum-crc32"}
	slab := make([]byte, 128<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		r := NewChunkReader(bytes.NewReader(w.body), id, ChunkOptions{DecodedLength: size, Trailers: names})
		for {
			if _, err := r.Read(slab); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkChunksSigned(b *testing.B)   { benchmarkChunks(b, ChunkedSignedTrailer) }
func BenchmarkChunksUnsigned(b *testing.B) { benchmarkChunks(b, ChunkedUnsignedTrailer) }
