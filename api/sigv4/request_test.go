package sigv4

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// fields are header fields in memory.
type fields []objects.Pair

func (f fields) All(visit func(name, value []byte)) {
	for _, p := range f {
		visit([]byte(p.Name), []byte(p.Value))
	}
}

// wire is a whole request in memory, easy to change.
type wire struct {
	method, path, query, host string
	headers                   fields
	body                      []byte
}

func (w *wire) request() *Request {
	return &Request{
		Method: []byte(w.method), Path: []byte(w.path), Query: []byte(w.query), Host: []byte(w.host), Headers: w.headers,
	}
}

func (w *wire) header(name string) string {
	for _, h := range w.headers {
		if equalFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func equalFold(a, b string) bool {
	return len(a) == len(b) && match([]byte(a), lower(b), 1, 0) == 1
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

func clone(w wire) wire {
	w.headers = append(fields(nil), w.headers...)
	w.body = append([]byte(nil), w.body...)
	return w
}

// vectorFile is testdata/botocore.json.
type vectorFile struct {
	Time      string `json:"time"`
	Region    string `json:"region"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Vectors   []struct {
		Name    string      `json:"name"`
		Method  string      `json:"method"`
		Path    string      `json:"path"`
		Query   string      `json:"query"`
		Host    string      `json:"host"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
	} `json:"vectors"`
}

type vector struct {
	name string
	wire
}

func botocoreVectors(t testing.TB) (vectorFile, []vector) {
	t.Helper()
	data, err := os.ReadFile("testdata/botocore.json")
	if err != nil {
		t.Fatal(err)
	}
	var file vectorFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	for _, v := range file.Vectors {
		w := wire{method: v.Method, path: v.Path, query: v.Query, host: v.Host}
		for _, h := range v.Headers {
			w.headers = append(w.headers, objects.Pair{Name: h[0], Value: h[1]})
		}
		if w.body, err = base64.StdEncoding.DecodeString(v.Body); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, vector{v.Name, w})
	}
	if len(vectors) < 50 {
		t.Fatalf("%d vectors: the file is not whole", len(vectors))
	}
	return file, vectors
}

func (f vectorFile) now(t testing.TB) time.Time {
	t.Helper()
	now, ok := parseTime([]byte(f.Time))
	if !ok {
		t.Fatalf("time %q", f.Time)
	}
	return now
}

// verifierAt accepts one pair of keys at a fixed time.
func verifierAt(now time.Time, access, secret string, regions ...string) *Verifier {
	return NewVerifier(Options{
		Now: func() time.Time { return now }, Regions: regions,
		Secret: func(key string) (string, bool) { return secret, key == access },
	})
}

func codeOf(err error) Code {
	if e, ok := err.(*Error); ok { //nolint:errorlint // Verify documents *Error
		return e.Code
	}
	return ""
}
