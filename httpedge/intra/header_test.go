package intra

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/smap"
)

// headOf parses a head as a listener does.
func headOf(t testing.TB, text string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := new(fasthttp.RequestCtx)
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	return ctx
}

var example = Relayed{
	By: "n1", Edge: S3Edge, Scheme: schemePlain, Request: "7F", Client: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 5},
	Map: 9, Epoch: smap.Epoch{Map: 7, Document: 2},
}

// A request goes on byte for byte, but for what belongs to the connection, the framing
// of a body without a length, and the nodes' own fields, which are read back.
func TestHeadGoesOnAsItCame(t *testing.T) {
	own := "X-Troupe-Relay-Edge: s3\r\nX-Troupe-Relay-Scheme: http\r\nX-Troupe-Relay-Client: 1.2.3.4:5\r\n" +
		"X-Troupe-Relay-Request: 7F\r\nX-Troupe-Relay-Map: 9\r\nX-Troupe-Relay-Epoch: 7/2\r\n\r\n"
	for _, c := range []struct {
		head, want string
		expect     bool
	}{
		{
			head: "GET /b/a%2Fb//c/../d+e%20f?k=a+b%2B&x HTTP/1.1\r\nhost: B.example:80\r\nX-amz-META-a:  b   c \r\nx-amz-meta-a: d\r\n",
			want: "GET /b/a%2Fb//c/../d+e%20f?k=a+b%2B&x HTTP/1.1\r\nhost: B.example:80\r\nX-amz-META-a:  b   c \r\nx-amz-meta-a: d\r\n",
		},
		{
			head: "PUT //b/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTE: trailers\r\ncontent-length: 7\r\nX-Troupe-Relay-Client: forged\r\n", expect: true,
			want: "PUT //b/k HTTP/1.1\r\nHost: h\r\ncontent-length: 7\r\nExpect: 100-continue\r\n",
		},
		{
			head: "PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nexpect: 100-Continue\r\nTrailer: x\r\n", expect: true,
			want: "PUT /b/k HTTP/1.1\r\nHost: h\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n",
		},
		{head: "PUT /b/k HTTP/1.1\r\nHost: h\r\n", want: "PUT /b/k HTTP/1.1\r\nHost: h\r\n"},
	} {
		ctx := headOf(t, c.head+"\r\n")
		got := string(appendHead(nil, ctx, &example, c.expect))
		if got != c.want+own {
			t.Errorf("%q\ngoes on as %q\nwant       %q", c.head, got, c.want+own)
			continue
		}
		back := headOf(t, got)
		relayed, err := readRelayed(&back.Request.Header, "n1")
		if err != nil {
			t.Fatal(err)
		}
		if relayed.Client.String() != "1.2.3.4:5" || relayed.Epoch != example.Epoch || relayed.Map != 9 || relayed.Request != "7F" || relayed.Scheme != "http" {
			t.Errorf("read back as %+v", relayed)
		}
		for name := range back.Request.Header.All() {
			if inSpace(name) {
				t.Errorf("%s is left in the request", name)
			}
		}
	}
}

// The nodes' space is found in every spelling, and nothing else is taken for it.
func TestReservedSpace(t *testing.T) {
	for field, want := range map[string]bool{
		"X-Troupe-Relay-Edge": true, "x-troupe-relay-": true, "X-TROUPE-RELAY-ANYTHING": true,
		"X-Troupe-Redirect": false, "X-Troupe-Relay": false, "X-Troupe-Receipt": false, "Relay": false,
	} {
		ctx := headOf(t, "GET / HTTP/1.1\r\nHost: h\r\n"+field+": 1\r\nA: b\r\n\r\n")
		if got := usesSpace(&ctx.Request.Header); got != want {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
}

// What nodes read of a head never panics, and gives every field whole.
func FuzzLines(f *testing.F) {
	f.Add("A: b\r\nC: d\r\n folded\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		var names []string
		lines([]byte(raw), func(name, line []byte) {
			if !strings.HasPrefix(string(line), string(name)+":") || !strings.Contains(raw, string(line)) {
				t.Errorf("%q has no line %q of %q", raw, line, name)
			}
			names = append(names, string(name))
		})
		if slices.Contains(names, "") {
			t.Errorf("%q: a field without a name", raw)
		}
	})
}
