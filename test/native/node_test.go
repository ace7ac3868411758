// Package native_test holds the native listener of real nodes, in the test's own
// process, against what AIStore's API says goes over the wire: statuses, headers,
// bodies and texts, as far as clients look at them. What real clients make of it
// is in test/clients.
//
// Start with wire_test.go.
package native_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/supervisors"
)

// node is a node and the directories it lives in.
type node struct {
	*supervisors.Node
	t      *testing.T
	config supervisors.Config
}

// start starts a node with three mountpaths in a directory of the test's own.
func start(t *testing.T, change func(*supervisors.Config)) *node {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	config := supervisors.Config{Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 128 << 20, LimitHeap: func(int64) {}, InlineBytes: 4 << 10, Log: log}
	dir := t.TempDir()
	for i := range 3 {
		config.Data = append(config.Data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	if change != nil {
		change(&config)
	}
	n := &node{t: t, config: config}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	running, err := supervisors.Start(n.config)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Node = running
}

func (n *node) stop() {
	n.t.Helper()
	if err := n.Stop(); err != nil {
		n.t.Errorf("the node did not stop cleanly: %v", err)
	}
}

// restart stops the node and starts it on the same mountpaths.
func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

// call is one request.
type call struct {
	method, target, body string
	header               []string // names and values in turn
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as it is written: the target is not encoded again.
func (n *node) do(c call) answer {
	n.t.Helper()
	request, err := http.NewRequest(c.method, "http://"+n.Native(), strings.NewReader(c.body))
	if err != nil {
		n.t.Fatal(err)
	}
	if request.URL.Opaque = c.target; strings.HasPrefix(c.target, "//") { // net/http would take a host for what follows
		request.URL.Opaque, request.URL.Path = "", c.target
	}
	for i := 0; i+1 < len(c.header); i += 2 {
		if c.header[i] == "Host" { // which net/http keeps elsewhere
			request.Host = c.header[i+1]
			continue
		}
		request.Header.Add(c.header[i], c.header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request) // does not follow redirects
	if err != nil {
		n.t.Fatalf("%s %s: %v", c.method, c.target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", c.method, c.target, err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// must sends a request that has to succeed.
func (n *node) must(method, target, body string, header ...string) answer {
	n.t.Helper()
	a := n.do(call{method, target, body, header})
	if a.status/100 != 2 {
		n.t.Fatalf("%s %s: %d %s %s", method, target, a.status, a.header.Get("Hdr-Error"), a.body)
	}
	return a
}

// refused sends a request that has to be refused with a status, a type and a text.
func (n *node) refused(c call, status int, kind, text string) {
	n.t.Helper()
	a := n.do(c)
	raw := a.body
	if c.method == http.MethodHead {
		raw = a.header.Get("Hdr-Error")
	}
	var failure ais.Failure
	if err := json.Unmarshal([]byte(raw), &failure); err != nil {
		n.t.Errorf("%s %s: %d %q is no failure: %v", c.method, c.target, a.status, raw, err)
		return
	}
	if a.status != status || failure.Status != status || failure.Type != kind || !strings.Contains(failure.Message, text) {
		n.t.Errorf("%s %s %s: %d %+v, want %d, %q and %q in the message", c.method, c.target, c.body, a.status, failure, status, kind, text)
	}
	path, _, _ := strings.Cut(c.target, "?")
	if failure.Method != c.method || strings.TrimPrefix(path, "/") != strings.TrimPrefix(failure.Path, "/") || failure.RemoteAddr == "" || failure.Node == "" {
		n.t.Errorf("%s %s: %+v does not say what it answers", c.method, c.target, failure)
	}
	if c.method != http.MethodHead && (a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff") {
		n.t.Errorf("%s %s: headers of the refusal: %v", c.method, c.target, a.header)
	}
}

// action is an action message.
func action(name string, value any) string {
	b, err := json.Marshal(map[string]any{"action": name, "value": value})
	if err != nil {
		panic(err) // the tests' own values
	}
	return string(b)
}

// bucket makes a bucket.
func (n *node) bucket(name string) {
	n.t.Helper()
	n.must(http.MethodPost, "/v1/buckets/"+name+"?provider=ais", action("create-bck", nil))
}

// list returns a page as JSON.
func (n *node) list(bucket string, message map[string]any) ais.List {
	n.t.Helper()
	a := n.must(http.MethodGet, "/v1/buckets/"+bucket, action("list", message))
	var list ais.List
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		n.t.Fatalf("list of %s: %q: %v", bucket, a.body, err)
	}
	return list
}

func names(list ais.List) []string {
	out := []string{}
	for _, e := range list.Entries {
		out = append(out, e.Name)
	}
	return out
}

// payload is so many bytes that differ from their neighbours.
func payload(size int) string {
	b := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	for i := 0; i < size; i += 1000 {
		b[i] = byte(i / 1000)
	}
	return string(b)
}
