package sigv4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

var unsignedTrailer = Identity{Anonymous: true, Payload: ChunkedUnsignedTrailer}

// A chunk that fits the reader's memory is seen by no one before its signature
// was checked; one that does not ends in the error.
func TestNoByteOfAWrongChunkThatFits(t *testing.T) {
	w, id := chunked(t, ChunkedSigned, 10_000, 10_000, 10_000)
	at := bytes.Index(w.body, []byte("bbbb")) + 5_000
	w.body[at] ^= 1
	for _, c := range []struct{ memory, want int }{
		{64 << 10, 10_000}, // all chunks fit: the first comes, nothing of the second
		{10_000, 10_000},
		{20_000, 10_000},
		{4_096, 18_192}, // no chunk fits: what came before the end of the second was not believed yet
	} {
		got, _, err := decode(w.body, id, 30_000, nil, c.memory)
		if codeOf(err) != SignatureDoesNotMatch || len(got) != c.want || !errs.Is(errs.Denied, err) {
			t.Errorf("memory %d: %d bytes, %v, want %d", c.memory, len(got), err, c.want)
		}
	}
}

// After an error there is nothing but this error, and no trailers.
func TestErrorsAreFinal(t *testing.T) {
	w, id := chunked(t, ChunkedSignedTrailer, 100)
	r := NewChunkReader(bytes.NewReader(w.body[:len(w.body)-80]), id,
		ChunkOptions{DecodedLength: 100, Trailers: []string{"x-amz-checksum-crc32"}})
	payload, err := io.ReadAll(r)
	if codeOf(err) != IncompleteBody || !errors.Is(err, objects.ErrIncompleteBody) || len(payload) != 100 {
		t.Fatalf("%d bytes, %v", len(payload), err)
	}
	for range 3 {
		if n, again := r.Read(make([]byte, 10)); n != 0 || again != err { //nolint:errorlint // the very same
			t.Fatalf("%d, %v", n, again)
		}
	}
	if r.Trailers() != nil {
		t.Error("trailers of a broken body")
	}
}

// Bodies by hand, without signatures: what is well-formed and what is not.
func TestUnsignedBodies(t *testing.T) {
	const sum = "x-amz-checksum-crc32:AAAAAA=="
	announced := []string{"x-amz-checksum-crc32"}
	for _, c := range []struct {
		name     string
		body     string
		size     int64
		trailers []string
		want     Code
	}{
		{"as botocore", "5\r\nhello\r\n0\r\n" + sum + "\r\n\r\n", 5, announced, ""},
		{"as minio-go", "5\r\nhello\r\n0\r\n" + sum + "\n\r\n\r\n", 5, announced, ""},
		{"blank line first", "5\r\nhello\r\n0\r\n\r\n" + sum + "\r\n\r\n", 5, announced, ""},
		{"no blank line", "5\r\nhello\r\n0\r\n" + sum + "\r\n", 5, announced, ""},
		{"spaces, case", "5\r\nhello\r\n0\r\nX-AMZ-Checksum-CRC32: AAAAAA== \r\n\r\n", 5, announced, ""},
		{"empty", "0\r\n\r\n", 0, nil, ""},
		{"leading zeros, extension", "0005;a=b\r\nhello\r\n000;c\r\n\r\n", 5, nil, ""},
		{"many chunks", "1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", 5, nil, ""},
		{"nothing", "", 5, nil, IncompleteBody},
		{"nothing at all", "", 0, nil, IncompleteBody},
		{"cut in size", "5", 5, nil, IncompleteBody},
		{"cut in payload", "5\r\nhel", 5, nil, IncompleteBody},
		{"cut before CRLF", "5\r\nhello", 5, nil, IncompleteBody},
		{"cut before last chunk", "5\r\nhello\r\n", 5, nil, IncompleteBody},
		{"cut in trailer", "5\r\nhello\r\n0\r\nx-amz-check", 5, announced, IncompleteBody},
		{"less than declared", "5\r\nhello\r\n0\r\n\r\n", 6, nil, IncompleteBody},
		{"more than declared", "5\r\nhello\r\n0\r\n\r\n", 4, nil, IncompleteBody},
		{"enormous", "ffffffffffffffff\r\n", 5, nil, IncompleteBody},
		{"size too long", "00000000000000005\r\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"size not hexadecimal", "5g\r\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"negative size", "-5\r\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"no size", "\r\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"LF alone", "5\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"payload longer than its chunk", "5\r\nhelloo\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"extension too long", "5;" + strings.Repeat("x", lineBytes) + "\r\nhello\r\n0\r\n\r\n", 5, nil, InvalidRequest},
		{"trailer missing", "5\r\nhello\r\n0\r\n\r\n", 5, announced, MalformedTrailerError},
		{"trailer not announced", "5\r\nhello\r\n0\r\nx-amz-acl:public-read\r\n\r\n", 5, nil, MalformedTrailerError},
		{"trailer twice", "5\r\nhello\r\n0\r\n" + sum + "\r\n" + sum + "\r\n\r\n", 5, announced, MalformedTrailerError},
		{"trailer without colon", "5\r\nhello\r\n0\r\nabc\r\n\r\n", 5, announced, MalformedTrailerError},
		{"trailer with control byte", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:A\x00\r\n\r\n", 5, announced, MalformedTrailerError},
		{"trailer with space in name", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32 :A\r\n\r\n", 5, announced, MalformedTrailerError},
		{"trailer too long", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + strings.Repeat("A", lineBytes) + "\r\n\r\n", 5, announced, MalformedTrailerError},
		{"signature that nobody asked for", "5\r\nhello\r\n0\r\n" + sum + "\r\nx-amz-trailer-signature:0\r\n\r\n", 5, announced, MalformedTrailerError},
		{"more after the end", "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 5, nil, MalformedTrailerError},
		{"blank lines for ever", "5\r\nhello\r\n0\r\n" + strings.Repeat("\r\n", 9), 5, nil, MalformedTrailerError},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, step := range []int{1, 3, 5, 4096} {
				for _, slow := range []bool{false, true} {
					var body io.Reader = strings.NewReader(c.body)
					if slow {
						body = iotest.OneByteReader(body)
					}
					r := NewChunkReader(body, unsignedTrailer, ChunkOptions{DecodedLength: c.size, Trailers: c.trailers})
					var payload bytes.Buffer
					_, err := io.CopyBuffer(struct{ io.Writer }{&payload}, struct{ io.Reader }{r}, make([]byte, step))
					if codeOf(err) != c.want || err == nil && (int64(payload.Len()) != c.size || len(r.Trailers()) != len(c.trailers)) {
						t.Fatalf("step %d: %q, %v, trailers %v; want %q", step, payload.String(), err, r.Trailers(), c.want)
					}
					if int64(payload.Len()) > c.size {
						t.Fatalf("%d bytes of a payload of %d", payload.Len(), c.size)
					}
				}
			}
		})
	}
}

// Signed chunks below 8 KiB are refused unless they are the last, as S3 does.
func TestSmallSignedChunks(t *testing.T) {
	w, id := chunked(t, ChunkedSigned, 8191, 1)
	if _, _, err := decode(w.body, id, 8192, nil, 1<<20); codeOf(err) != InvalidChunkSizeError {
		t.Error(err)
	}
	r := NewChunkReader(bytes.NewReader(w.body), id, ChunkOptions{DecodedLength: 8192, Limits: ChunkLimits{MinChunkBytes: -1}})
	if payload, err := io.ReadAll(r); err != nil || len(payload) != 8192 {
		t.Errorf("without the limit: %d, %v", len(payload), err)
	}
}

// The signature over the trailers is needed and checked, and must be the last line.
func TestTrailerSignature(t *testing.T) {
	w, id := chunked(t, ChunkedSignedTrailer, 10)
	names := []string{"x-amz-checksum-crc32"}
	for name, c := range map[string]struct {
		old, replacement string
		want             Code
	}{
		"whole":           {"", "", ""},
		"other value":     {"AAAAAA==", "AAAAAQ==", SignatureDoesNotMatch},
		"no signature":    {"x-amz-trailer-signature:", "x-amz-trailer-signatur:", MalformedTrailerError},
		"empty signature": {"x-amz-trailer-signature:", "x-amz-trailer-signature:\r\n", MalformedTrailerError},
		"as minio-go":     {"AAAAAA==\r\n", "AAAAAA==\n\r\n", ""},
		"line after":      {"\r\n\r\n", "\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", MalformedTrailerError},
	} {
		body := bytes.Replace(w.body, []byte(c.old), []byte(c.replacement), 1)
		if _, _, err := decode(body, id, 10, names, 100); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What is asked of a ChunkReader that cannot be done is an error, not a panic.
func TestChunkReaderRefusesWhatIsNotChunked(t *testing.T) {
	for _, id := range []Identity{{}, {Payload: Signed}, {Payload: ChunkedSigned}} {
		if _, err := NewChunkReader(strings.NewReader(""), id, ChunkOptions{}).Read(make([]byte, 1)); codeOf(err) != InvalidRequest {
			t.Errorf("%v: %v", id.Payload, err)
		}
	}
	if _, err := NewChunkReader(strings.NewReader(""), unsignedTrailer, ChunkOptions{DecodedLength: -1}).Read(make([]byte, 1)); codeOf(err) != MissingContentLength {
		t.Error(err)
	}
}

// A body's own error is handed on, and a body that gives nothing does not hang us.
func TestChunkReaderHandsErrorsOn(t *testing.T) {
	boom := errors.New("boom")
	body := io.MultiReader(strings.NewReader("5\r\nhel"), iotest.ErrReader(boom))
	if _, err := io.ReadAll(NewChunkReader(body, unsignedTrailer, ChunkOptions{DecodedLength: 5})); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := io.ReadAll(NewChunkReader(nothing{}, unsignedTrailer, ChunkOptions{DecodedLength: 5})); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// Whatever our side signs is accepted and decodes to what went in: requests,
// presigned requests, chunks of any sizes read in pieces of any size.
func TestSignedIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := Outgoing{
			Method: rapid.SampledFrom([]string{"GET", "PUT", "POST"}).Draw(t, "method"),
			Path:   string(AppendPath(nil, "/bucket/"+rapid.String().Draw(t, "key"))), Host: rapid.StringMatching(`[a-z.]{1,20}(:[0-9]{1,5})?`).Draw(t, "host"),
			Payload: rapid.SampledFrom([]PayloadMode{Unsigned, Signed, ChunkedSigned, ChunkedSignedTrailer, ChunkedUnsignedTrailer}).Draw(t, "mode"),
		}
		for i, name := range rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "query") {
			if i > 0 {
				out.Query += "&"
			}
			out.Query += "q" + string(AppendQuery(nil, name)) + "=" + string(AppendQuery(nil, name))
		}
		for _, value := range rapid.SliceOfN(rapid.StringMatching(`[ -~\t]{0,20}`), 0, 4).Draw(t, "headers") {
			out.Headers = append(out.Headers, objects.Pair{Name: "X-Amz-Meta-A", Value: value})
		}
		signer := NewSigner(Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion)
		signature, err := signer.Sign(&out, testTime)
		if err != nil {
			t.Fatal(err)
		}
		v := verifierAt(testTime, testAccess, testSecret, testRegion)
		w := wire{method: out.Method, path: out.Path, query: out.Query, host: out.Host, headers: append(append(fields{}, out.Headers...), signature.Headers...)}
		id, err := v.Verify(w.request())
		if err != nil {
			t.Fatalf("%v\n%s", err, detail(err, "CanonicalRequest"))
		}
		query, err := signer.Presign(&out, testTime, 1e9)
		if err != nil {
			t.Fatal(err)
		}
		p := wire{method: out.Method, path: out.Path, query: query, host: out.Host, headers: out.Headers}
		if id, err := v.Verify(p.request()); err != nil || !id.Presigned || id.Payload != out.Payload {
			t.Fatalf("presigned: %+v, %v", id, err)
		}
		if !id.Payload.Chunked() {
			return
		}
		chunkedRoundTrip(t, signature.Identity, id)
	})
}

func chunkedRoundTrip(t *rapid.T, sent, received Identity) {
	payload := bytes.Repeat([]byte("0123456789abcdef~"), rapid.IntRange(0, 5000).Draw(t, "size"))
	step := int64(rapid.IntRange(8192, 70000).Draw(t, "chunk"))
	var trailers []objects.Pair
	var names []string
	if sent.Payload.trailers() {
		for i := range rapid.IntRange(0, 3).Draw(t, "trailers") {
			trailers = append(trailers, objects.Pair{Name: fmt.Sprint("x-amz-checksum-", 9-i), Value: "v"})
			names = append(names, trailers[i].Name)
		}
	}
	var body bytes.Buffer
	cw := NewChunkWriter(&body, sent)
	for rest := payload; len(rest) > 0; {
		n, err := cw.Write(rest[:min(int64(len(rest)), step)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := cw.Close(trailers...); err != nil {
		t.Fatal(err)
	}
	if want := sent.Payload.EncodedLength(Encoding{int64(len(payload)), step, trailers}); want != int64(body.Len()) {
		t.Fatalf("length %d, want %d", body.Len(), want)
	}
	got, r, err := decode(body.Bytes(), received, int64(len(payload)), names, rapid.IntRange(1, 100_000).Draw(t, "memory"))
	if err != nil || !bytes.Equal(got, payload) || len(r.Trailers()) != len(trailers) {
		t.Fatalf("%d of %d bytes, %v, trailers %v", len(got), len(payload), err, r.Trailers())
	}
}
