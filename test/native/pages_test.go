package native_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors"
)

// Where the native listener asks for no token, a web page in a browser of this
// machine can reach it. Each row is what a browser sends for such a page (Fetch,
// "Sec-Fetch-*" of W3C, Origin of RFC 6454); none of them may have an effect.
// Control: the same requests without those headers do.
func TestForeignPagesAreRefused(t *testing.T) {
	n := start(t, func(c *supervisors.Config) { c.NativeHosts = []string{"store.example"} })
	_, port, err := net.SplitHostPort(n.Native())
	if err != nil {
		t.Fatal(err)
	}
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", "content")
	requests := []call{
		{method: "GET", target: "/v1/buckets"}, {method: "GET", target: "/v1/objects/b/o"}, {method: "HEAD", target: "/v1/objects/b/o"},
		{method: "GET", target: "/metrics"}, {method: "GET", target: "/v1/daemon?what=smap"}, {method: "GET", target: "/v1/cluster?what=bmd"},
		{method: "PUT", target: "/v1/objects/b/forged", body: "x"}, {method: "DELETE", target: "/v1/objects/b/o"},
		{method: "POST", target: "/v1/buckets/forged?provider=ais", body: action("create-bck", nil)},
		{method: "DELETE", target: "/v1/buckets/b", body: action("destroy-bck", nil)},
	}
	pages := map[string]struct {
		header []string
		text   string
	}{
		"a form of another site":        {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Origin", "https://evil.example"}, "another site"},
		"an image of another site":      {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"}, "another site"},
		"a program on another port":     {[]string{"Host", "localhost:" + port, "Sec-Fetch-Site", "same-site", "Origin", "http://localhost:1"}, "another site"},
		"an old browser":                {[]string{"Origin", "https://evil.example"}, "another site"},
		"a sandboxed frame":             {[]string{"Origin", "null"}, "another site"},
		"a name that was pointed here":  {[]string{"Host", "evil.example:" + port}, "native-host"},
		"the same, from its own script": {[]string{"Host", "evil.example:" + port, "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:" + port}, "native-host"},
	}
	for name, page := range pages {
		for _, c := range requests {
			c.header = page.header
			t.Run(name, func(t *testing.T) {
				inner := *n
				inner.t = t
				inner.refused(c, 403, "", page.text)
			})
		}
	}
	if a := n.must("GET", "/v1/objects/b/o", ""); a.body != "content" {
		t.Errorf("the object is %q", a.body)
	}
	if found := names(n.list("b", nil)); len(found) != 1 || found[0] != "o" {
		t.Errorf("the bucket has %v", found)
	}
	// Whether the node is alive is no secret, and health checks use all kinds of names.
	n.must("GET", "/v1/health?readiness=true", "", "Host", "balancer.example")
	// Control: names and pages of the listener's own, and programs.
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range [][]string{
		nil, {"Host", "localhost:" + port}, {"Host", "store.example"}, {"Host", machine + ":" + port}, {"Host", "192.0.2.7"},
		{"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "same-origin", "Origin", "http://" + n.Native()},
	} {
		for _, c := range requests {
			n.must(c.method, c.target, c.body, header...)
		}
		n.bucket("b")
		n.must("PUT", "/v1/objects/b/o", "content")
		n.must("DELETE", "/v1/buckets/forged", action("destroy-bck", nil))
	}
}

// What asks for a token or a signature needs no such care: a page has neither.
func TestPagesWithATokenAreServed(t *testing.T) {
	n := start(t, func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = supervisors.NativeAuthToken, token })
	n.must("GET", "/v1/buckets", "", "Host", "a.name.example", "Authorization", "Bearer "+token)
	n.refused(call{method: "GET", target: "/v1/log", header: []string{"Host", "a.name.example"}}, 403, "", "root key pair")
}

// A page that is refused is refused before it sends what it has, if it waits; and
// names can be set to any. Over HTTP/1.0 there may be no Host at all.
func TestPagesOnTheWire(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for _, c := range []struct{ request, begins string }{
		{"PUT /v1/objects/b/o HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 403 "},
		{"GET /v1/buckets HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "},
		{"GET /v1/buckets HTTP/1.0\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 403 "},
	} {
		connection, err := net.Dial("tcp", n.Native())
		if err != nil {
			t.Fatal(err)
		}
		if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := connection.Write([]byte(c.request)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 13)
		if _, err := connection.Read(answer); err != nil || string(answer) != c.begins {
			t.Errorf("%q: %q, %v, want %q", c.request, answer, err, c.begins)
		}
		connection.Close()
	}
	open := start(t, func(c *supervisors.Config) { c.NativeHosts = []string{"*"} })
	open.must("GET", "/v1/buckets", "", "Host", "anything.example")
	open.refused(call{method: "GET", target: "/v1/buckets", header: []string{"Sec-Fetch-Site", "cross-site"}}, 403, "", "another site")
}

// Names that cannot be are refused by name.
func TestNativeHostSettings(t *testing.T) {
	for _, name := range []string{"", "store.example:8080", "http://store.example", "*.example", ".example"} {
		config := supervisors.Config{Data: []string{"a"}, NativeHosts: []string{name}}
		if err := config.WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), "native-host") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
