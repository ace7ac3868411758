package sigv4

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

const (
	docAccess = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	docScope  = " Credential=" + docAccess + "/20130524/us-east-1/s3/aws4_request,"
)

var docTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func docHeaders(signed, signature, payload string, more ...string) fields {
	f := fields{
		{Name: "X-Amz-Date", Value: "20130524T000000Z"},
		{Name: "x-amz-content-sha256", Value: payload},
		{Name: "Authorization", Value: algorithm + docScope + "SignedHeaders=" + signed + ",Signature=" + signature},
	}
	for i := 0; i < len(more); i += 2 {
		f = append(f, objects.Pair{Name: more[i], Value: more[i+1]})
	}
	return f
}

// docExamples are the worked examples of the Amazon S3 API reference.
func docExamples() []vector {
	const host = "examplebucket.s3.amazonaws.com"
	const base = "host;x-amz-content-sha256;x-amz-date"
	return []vector{
		{"GET object", wire{method: "GET", path: "/test.txt", host: host, headers: docHeaders(
			"host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
			emptySHA256, "Range", "bytes=0-9")}},
		{"PUT object", wire{method: "PUT", path: "/test$file.text", host: host, headers: docHeaders(
			"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			"Date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class", "REDUCED_REDUNDANCY"), body: []byte("Welcome to Amazon S3.")}},
		{"GET bucket lifecycle", wire{method: "GET", path: "/", query: "lifecycle", host: host, headers: docHeaders(
			base, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", emptySHA256)}},
		{"GET bucket, list objects", wire{method: "GET", path: "/", query: "max-keys=2&prefix=J", host: host, headers: docHeaders(
			base, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", emptySHA256)}},
		{"presigned GET", wire{method: "GET", path: "/test.txt", host: host, query: "X-Amz-Algorithm=AWS4-HMAC-SHA256" +
			"&X-Amz-Credential=" + docAccess + "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400" +
			"&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"}},
		{"chunked upload", wire{method: "PUT", path: "/examplebucket/chunkObject.txt", host: "s3.amazonaws.com", headers: docHeaders(
			"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", chunkedSigned,
			"x-amz-storage-class", "REDUCED_REDUNDANCY", "Content-Encoding", "aws-chunked",
			"x-amz-decoded-content-length", "66560", "Content-Length", "66824"),
			body: docBody("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
				"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
				"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", "\r\n")}},
		{"chunked upload with trailer", wire{method: "PUT", path: "/examplebucket/chunkObject.txt", host: "s3.amazonaws.com", headers: docHeaders(
			"content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", chunkedSignedTrailer,
			"x-amz-storage-class", "REDUCED_REDUNDANCY", "Content-Encoding", "aws-chunked",
			"x-amz-decoded-content-length", "66560", "x-amz-trailer", "x-amz-checksum-crc32c"),
			body: docBody("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
				"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
				"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
				"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"+
					"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n")}},
	}
}

func docBody(first, second, last, end string) []byte {
	return []byte("10000;chunk-signature=" + first + "\r\n" + strings.Repeat("a", 65536) + "\r\n400;chunk-signature=" + second +
		"\r\n" + strings.Repeat("a", 1024) + "\r\n0;chunk-signature=" + last + "\r\n" + end)
}

// payloadOf reads the payload as the identity says it came, and checks it.
func payloadOf(t *testing.T, w *wire, id Identity) []byte {
	t.Helper()
	switch {
	case id.Payload.Chunked():
		size, err := strconv.ParseInt(w.header("x-amz-decoded-content-length"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		if name := w.header("x-amz-trailer"); name != "" {
			names = []string{name}
		}
		r := NewChunkReader(bytes.NewReader(w.body), id, ChunkOptions{DecodedLength: size, Trailers: names})
		payload, err := io.ReadAll(r)
		if err != nil || int64(len(payload)) != size {
			t.Fatalf("%d of %d bytes, %v", len(payload), size, err)
		}
		for _, trailer := range r.Trailers() {
			algorithm, ok := checksum.Parse(strings.TrimPrefix(trailer.Name, "x-amz-checksum-"))
			if !ok {
				t.Fatalf("trailer %s", trailer.Name)
			}
			h := algorithm.New()
			h.Write(payload)
			want := checksum.Of(algorithm, h).String()
			if trailer.Value != want {
				t.Errorf("trailer %s: %s, want %s", trailer.Name, trailer.Value, want)
			}
		}
		if len(r.Trailers()) != len(names) {
			t.Errorf("trailers %v, announced %v", r.Trailers(), names)
		}
		return payload
	case id.Payload == Signed && sha256.Sum256(w.body) != id.PayloadSHA256:
		t.Errorf("the body's hash is not %x", id.PayloadSHA256)
	}
	return w.body
}

// The examples of Amazon's documentation are accepted, with the signatures
// printed there, down to the chunks; with another secret none is.
func TestDocumentedExamples(t *testing.T) {
	for _, v := range docExamples() {
		t.Run(v.name, func(t *testing.T) {
			id, err := verifierAt(docTime, docAccess, docSecret, "us-east-1").Verify(v.request())
			if err != nil {
				t.Fatalf("%v\n%s", err, detail(err, "CanonicalRequest"))
			}
			if id.AccessKey != docAccess || id.Region != "us-east-1" || id.Date != "20130524" || !id.Time.Equal(docTime) || id.Anonymous {
				t.Errorf("identity %+v", id)
			}
			payload := payloadOf(t, &v.wire, id)
			if id.Payload.Chunked() && !bytes.Equal(payload, bytes.Repeat([]byte("a"), 66560)) {
				t.Error("the payload is not 66,560 times a")
			}
			if _, err := verifierAt(docTime, docAccess, docSecret+"x").Verify(v.request()); codeOf(err) != SignatureDoesNotMatch {
				t.Errorf("with another secret: %v", err)
			}
		})
	}
}

func detail(err error, name string) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // Verify documents *Error
		return e.Detail(name)
	}
	return ""
}

// What botocore and boto3 send is accepted as they send it: path and virtual-host
// style, header and presigned, hashed and aws-chunked with a CRC32 trailer.
func TestBotocoreVectors(t *testing.T) {
	file, vectors := botocoreVectors(t)
	modes := map[PayloadMode]int{}
	presigned := 0
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			id, err := verifierAt(file.now(t), file.AccessKey, file.SecretKey, file.Region).Verify(v.request())
			if err != nil {
				t.Fatalf("%v\n%s", err, detail(err, "CanonicalRequest"))
			}
			if id.Presigned {
				presigned++
			} else {
				modes[id.Payload]++
			}
			payloadOf(t, &v.wire, id)
			if _, err := verifierAt(file.now(t), file.AccessKey, "other").Verify(v.request()); codeOf(err) != SignatureDoesNotMatch {
				t.Errorf("with another secret: %v", err)
			}
		})
	}
	if modes[Signed] == 0 || modes[ChunkedUnsignedTrailer] == 0 || presigned == 0 {
		t.Errorf("the vectors lack a kind: %v, %d presigned", modes, presigned)
	}
}

// Our signer writes what the documentation does, byte for byte.
func TestSignerWritesTheDocumentedSignatures(t *testing.T) {
	signer := NewSigner(Credentials{AccessKey: docAccess, SecretKey: docSecret}, "us-east-1")
	signature, err := signer.Sign(&Outgoing{
		Method: "GET", Path: "/test.txt", Host: "examplebucket.s3.amazonaws.com",
		Headers: []objects.Pair{{Name: "Range", Value: "bytes=0-9"}}, Payload: Signed, PayloadSHA256: EmptySHA256(),
	}, docTime)
	if err != nil || !strings.HasSuffix(signature.Headers[len(signature.Headers)-1].Value,
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41") {
		t.Errorf("%v, %v", signature.Headers, err)
	}
	query, err := signer.Presign(&Outgoing{Method: "GET", Path: "/test.txt", Host: "examplebucket.s3.amazonaws.com"}, docTime, 24*time.Hour)
	if want := docExamples()[4].query; err != nil || query != want {
		t.Errorf("%s, %v\nwant %s", query, err, want)
	}
	for _, v := range docExamples()[5:] {
		out := &Outgoing{Method: v.method, Path: v.path, Host: v.host, Payload: ChunkedSigned}
		var trailers []objects.Pair
		for _, h := range v.headers[3:] {
			out.Headers = append(out.Headers, h)
			if h.Name == "x-amz-trailer" {
				out.Payload = ChunkedSignedTrailer
				trailers = []objects.Pair{{Name: "x-amz-checksum-crc32c", Value: "sOO8/Q=="}}
			}
		}
		signature, err := signer.Sign(out, docTime)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		w := NewChunkWriter(&body, signature.Identity)
		payload := bytes.Repeat([]byte("a"), 66560)
		for len(payload) > 0 {
			n, err := w.Write(payload[:min(len(payload), 65536)])
			if err != nil {
				t.Fatal(err)
			}
			payload = payload[n:]
		}
		if err := w.Close(trailers...); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body.Bytes(), v.body) {
			t.Errorf("%s: the body differs", v.name)
		}
		length := out.Payload.EncodedLength(Encoding{PayloadBytes: 66560, ChunkBytes: 65536, Trailers: trailers})
		if length != int64(len(v.body)) {
			t.Errorf("%s: length %d, want %d", v.name, length, len(v.body))
		}
	}
}
