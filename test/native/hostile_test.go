package native_test

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors"
)

// raw sends bytes over a connection of their own and returns the first answer;
// nil if the connection just ended.
func (n *node) raw(text string, finish bool) *http.Response {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.Native())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		n.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return nil
	}
	if finish {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return nil
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil
	}
	return response
}

// The node answers the next client whatever the last one sent, keeps no slab, and
// stores nothing of what did not arrive whole.
func TestHostileClients(t *testing.T) {
	n := start(t, func(c *supervisors.Config) { c.NativeHosts = []string{"*"} }) // what a Host may hold gets as far as it can
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", "kept")
	for _, body := range []string{
		"", "{", "null", "[]", `"list"`, "7", `{"action":7}`, `{"action":"list","value":"x"}`, `{"action":"list","value":{"flags":"-1"}}`,
		`{"action":"list","value":{"flags":"99999999999999999999999"}}`, `{"action":"list","value":{"pagesize":1e300}}`,
		`{"action":"list","value":{"continuation_token":7}}`, `{"action":"list","value":{"hdr":[1]}}`, strings.Repeat("[", 100_000),
		`{"action":"` + strings.Repeat("x", 1<<20) + `"}`, "\x00\xff", `{"action":"create-bck","value":{"mirror":[]}}`,
	} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			target := "/v1/buckets/b"
			if a := n.do(call{method: method, target: target, body: body}); a.status/100 != 4 && a.status != 501 && !(method == "GET" && a.status == 200) && !(method == "POST" && a.status == 409) {
				t.Errorf("%s %.40q: %d %.200s", method, body, a.status, a.body)
			}
			if method == "PUT" { // there the body is content
				continue
			}
			if a := n.do(call{method: method, target: "/v1/objects/b/hostile", body: body}); a.status/100 != 4 && a.status != 501 {
				t.Errorf("object: %s %.40q: %d %.200s", method, body, a.status, a.body)
			}
		}
	}
	for name, c := range map[string]struct {
		text   string
		finish bool
		status int // 0: no answer is fine
	}{
		"a body that ends early":       {"PUT /v1/objects/b/short HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000), true, 400},
		"a small body that ends early": {"PUT /v1/objects/b/short HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nxxx", true, 0},
		"chunks that end early":        {"PUT /v1/objects/b/short HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n", true, 400},
		"an absolute target":           {"GET http://elsewhere/v1/objects/b/o HTTP/1.1\r\nHost: x\r\n\r\n", false, 400},
		"a fragment":                   {"GET /v1/objects/b/o#x HTTP/1.1\r\nHost: x\r\n\r\n", false, 400},
		"an action that is too long":   {"GET /v1/buckets HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat(" ", 10_000), false, 413},
		"an object that is too long":   {"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n" + strings.Repeat("x", 10_000), false, 413},
		"two lengths":                  {"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", true, 400},
		"a length that is none":        {"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", true, 400},
		"expect, no such bucket":       {"PUT /v1/objects/none/o HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", false, 404},
		"expect, too long":             {"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999999999\r\n\r\n", false, 413},
		"expect, a name that cannot":   {"PUT /v1/objects/b/o/../x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", false, 400},
		"a host that is none":          {"GET /v1/daemon?what=smap HTTP/1.1\r\nHost: <script>:80\r\n\r\n", false, 200},
	} {
		response := n.raw(c.text, c.finish)
		switch {
		case response == nil && c.status != 0:
			t.Errorf("%s: no answer, want %d", name, c.status)
		case response != nil && c.status != 0 && response.StatusCode != c.status:
			body, _ := io.ReadAll(response.Body) // of a refusal; what is missing of it is no matter
			t.Errorf("%s: %d, want %d: %s", name, response.StatusCode, c.status, body)
		case response != nil && c.status == 200:
			if body, _ := io.ReadAll(response.Body); strings.Contains(string(body), "script") {
				t.Errorf("%s: it comes back: %s", name, body)
			}
		}
	}
	n.refused(call{method: "GET", target: "/v1/objects/b/short"}, 404, "ErrNotFound", "does not exist")
	if a := n.must("GET", "/v1/objects/b/o", ""); a.body != "kept" {
		t.Errorf("the object is %q", a.body)
	}
}

// Whatever a path, a query or a header holds, the answer is one that clients
// understand: never 500, and no panic.
func TestHostileRequestsAreAnswered(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", payload(5000))
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	piece := func() string {
		return pick("b", "o", "%00", "%ff", "..", ".", "", "%2e%2e", "%2F", "ais", "@#", strings.Repeat("a", 300), "%zz", "日本", "~", "+", "x%20y")
	}
	for range 1500 {
		target := pick("/v1/buckets/", "/v1/objects/", "/v1/objects/b/", "/v1/daemon", "/v1/reverse/daemon", "/v1/cluster", "/v1/", "//") + piece() + pick("", "/", "/"+piece())
		var query []string
		for range random.IntN(4) {
			name := pick("provider", "namespace", "what", "props", "presence", "uploadId", "partNumber", "object_to", "skip_vc", "latest-ver",
				"validate-checksum", "set-new-custom", "append_type", "archpath", "readiness", "uuid", "bsumm_remote", "%00", piece())
			query = append(query, name+"="+pick("1", "true", "ais", "aws", "", "-1", "99999999999999999999", "smap", "name,size", "ais/@#/b/o", "ais/@#/b/", "@a#b", "@@", piece()))
		}
		if len(query) > 0 {
			target += "?" + strings.Join(query, "&")
		}
		target = strings.ReplaceAll(strings.ReplaceAll(target, "#", "%23"), "日本", "%E6%97%A5")
		c := call{
			method: pick("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"), target: target,
			body:   pick("", "x", `{"action":"list","value":{}}`, `{"action":"mpt-upload"}`, `{"action":"mpt-complete","value":[{"part-number":1}]}`, `{"action":"","value":{"a":"b"}}`),
			header: []string{pick("Range", "Ais-Checksum-Type", "Ais-Checksum-Value", "Ais-Custom-Md", "Ais-Node-Id", "Accept"), pick("bytes=0-", "bytes=-1", "md5", "=", "a=b", "0", "application/msgpack", "\t", "\xff")},
		}
		if a := n.do(c); a.status >= 500 && a.status != 501 {
			t.Fatalf("seed %d: %+v: %d %s", seed, c, a.status, a.body)
		}
	}
	if used := n.Slabs().InUse(); used != 0 {
		t.Errorf("seed %d: %d slabs are leased", seed, used)
	}
	n.must("GET", "/v1/health?readiness=true", "")
}

// An upload that its client broke off is no error of the node, that somebody would
// look for: it is logged as 400, as through S3. Nothing is left of it.
func TestUploadsThatAreBrokenOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	n := start(t, func(c *supervisors.Config) { c.Edge.AccessLog, c.Edge.AccessLogFormat = path, "json" })
	n.bucket("b")
	heads := []string{"Content-Length: 4000\r\n\r\n", "Content-Length: 4000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nffffff\r\n"}
	for _, head := range heads {
		for _, linger := range []int{0, -1} { // a reset, and an end
			conn, err := net.Dial("tcp", n.Native())
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).SetLinger(linger); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "PUT /v1/objects/b/o?provider=ais HTTP/1.1\r\nHost: localhost\r\n"+head+payload(3000)); err != nil {
				t.Fatal(err)
			}
			if linger < 0 { // the node has seen it all, and has done with it
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Fatal(err)
				}
			}
			conn.Close()
		}
	}
	n.refused(call{method: "GET", target: "/v1/objects/b/o"}, 404, "ErrNotFound", "")
	n.restart() // the lines are written by then
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	logged := 0
	for text := range strings.Lines(string(content)) {
		if !strings.Contains(text, `"method":"PUT"`) {
			continue
		}
		if logged++; !strings.Contains(text, `"status":400,`) {
			t.Errorf("not logged as 400: %s", text)
		}
	}
	// A small one is no request before all of it is there; a connection may be reset before
	// its request is read.
	if logged < len(heads)-1 || logged > 2*len(heads) {
		t.Errorf("%d uploads are logged", logged)
	}
}
