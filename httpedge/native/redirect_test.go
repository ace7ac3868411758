package native

import (
	"bufio"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// Which heads wait to be redirected: uploads of AIStore's Python SDK over HTTPS, and
// nothing that has been redirected already or sends its body anyway.
func TestWaitsForRedirect(t *testing.T) {
	const waits = "PUT /v1/objects/b/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n"
	for _, c := range []struct {
		name, old, new string
		want           bool
	}{
		{"as the SDK sends it", "", "", true},
		{"a doubled slash", "/v1", "//v1", true},
		{"with parameters", "/k ", "/k?provider=ais&append_type=append ", true},
		{"redirected", "/k ", "/k?pid=a&utm=1 ", false},
		{"redirected, among others", "/k ", "/k?a=b&utm=1&c&pid=a ", false},
		{"half of it", "/k ", "/k?pid=a ", true},
		{"names that look like it", "/k ", "/k?xpid=a&utmost=1 ", true},
		{"a connection that is kept", "Connection: close\r\n", "", false},
		{"no body", "Content-Length: 10", "Content-Length: 0", false},
		{"in chunks", "Content-Length: 10", "Transfer-Encoding: chunked", false},
		{"another method", "PUT", "POST", false},
		{"another path", "objects", "buckets", false},
		{"S3", "/v1/objects", "/s3", false},
	} {
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReader(strings.NewReader(strings.Replace(waits, c.old, c.new, 1)))); err != nil {
			t.Fatal(err)
		}
		if got := WaitsForRedirect(&h); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
