package loader

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/troupe-storage/troupe/objects/allocation"
)

// readAll reads one response to an operation, as a worker does.
func readAll(source io.Reader, o Operation) (response, []byte, error) {
	r := newReader(source)
	answer, err := r.head()
	if err != nil {
		return answer, nil, err
	}
	body := collector{limit: 1 << 20}
	if answer.hasBody(o) {
		if _, err := r.body(answer, &body); err != nil {
			return answer, nil, err
		}
	}
	return answer, body.kept, nil
}

// What servers send is read the same however the network cuts it.
func TestResponses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Operation
		want       response
		body       string
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a-2\"\r\nX-Troupe-Receipt: class=relaxed; disks=1\r\n\r\nhello", Get,
			response{status: 200, length: 5, class: "relaxed", etag: []byte(`"a-2"`)}, "hello"},
		{"receipt in JSON", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-troupe-receipt: {\"class\":\"synced\"}\r\n\r\n", Put,
			response{status: 200, class: "synced"}, ""},
		{"head", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", Head, response{status: 200, length: 77}, ""},
		{"no reason", "HTTP/1.1 204\r\n\r\n", Delete, response{status: 204, length: -1}, ""},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", Put, response{status: 200, length: 1}, "x"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;e=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n", Get,
			response{status: 200, length: -1, chunked: true}, "abc0123456789"},
		{"until the end", "HTTP/1.0 200 OK\r\n\r\nall of it", Get, response{status: 200, length: -1, close: true}, "all of it"},
		{"close", "HTTP/1.1 503 Busy\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno", Get, response{status: 503, length: 2, close: true}, "no"},
	} {
		for _, source := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
			got, body, err := readAll(source, c.o)
			if err != nil || !reflect.DeepEqual(got, c.want) || string(body) != c.body {
				t.Errorf("%s: %+v, %q, %v", c.name, got, body, err)
			}
		}
	}
}

// What is not HTTP, or could be read in two ways, is an error and not a guess.
func TestBadResponses(t *testing.T) {
	for name, text := range map[string]string{
		"not HTTP":            "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":              "HTTP/2 200 OK\r\n\r\n",
		"status":              "HTTP/1.1 2x0 OK\r\n\r\n",
		"small status":        "HTTP/1.1 099 OK\r\n\r\n",
		"two lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"negative length":     "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"huge length":         "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
		"length and chunks":   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"space before colon":  "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx",
		"folded line":         "HTTP/1.1 200 OK\r\nX-A: 1\r\n b\r\n\r\n",
		"no colon":            "HTTP/1.1 200 OK\r\nX-A\r\n\r\n",
		"bare line feed":      "HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 1\r\n\r\nx",
		"no end":              "HTTP/1.1 200 OK\r\n\r\nbody",
		"chunk size":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
		"huge chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
		"behind a chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"endless head":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxHeadBytes) + "\r\n\r\n",
		"endless chunk line":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 2*maxChunkLineBytes),
		"too many trailers":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: b\r\n", 100) + "\r\n",
		"document of a giant": "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + strings.Repeat("a", 2000000),
	} {
		if got, _, err := readAll(strings.NewReader(text), Get); !errors.Is(err, errProtocol) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// Every answer that breaks off is known to have.
	whole := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	for n := range whole {
		if _, _, err := readAll(strings.NewReader(whole[:n]), Get); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("broken off after %q: %v", whole[:n], err)
		}
	}
}

// memoryBase bounds what the smallest input costs: the reader's buffer, an error.
const memoryBase = readBufferBytes + 64<<10

// Whatever a server sends, the reader ends, keeps to its buffer, and reads the
// same whether it comes at once or byte by byte.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 C\r\n\r\nHTTP/1.0 500 X\r\nConnection: close\r\nX-Troupe-Receipt: class=synced\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, text []byte) {
		allocation.Check(t, len(text), memoryBase, func() { _, _, _ = readAll(bytes.NewReader(text), Get) })
		got, body, err := readAll(bytes.NewReader(text), Get)
		slow, slowBody, slowErr := readAll(iotest.OneByteReader(bytes.NewReader(text)), Get)
		if !reflect.DeepEqual(got, slow) || !bytes.Equal(body, slowBody) || (err == nil) != (slowErr == nil) {
			t.Fatalf("at once %+v %q %v, byte by byte %+v %q %v", got, body, err, slow, slowBody, slowErr)
		}
		if err == nil && (got.status < 200 || got.status > 599 || len(body) > len(text)) {
			t.Fatalf("%+v with %d bytes out of %d", got, len(body), len(text))
		}
	})
}

// Documents of servers are searched without harm, and every key that is counted
// stands in them.
func FuzzPage(f *testing.F) {
	f.Add([]byte("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken><Contents><Key>a</Key></Contents></ListBucketResult>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		allocation.Check(t, len(document), memoryBase, func() { parsePage(document); documentCode(500, document) })
		if p, ok := parsePage(document); ok && p.keys > bytes.Count(document, []byte("<Key>")) {
			t.Fatalf("%+v", p)
		}
		if code := documentCode(500, document); code == "" || len(code) > 64 {
			t.Fatalf("code %q", code)
		}
	})
}
