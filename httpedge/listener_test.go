package httpedge

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/errs"
)

// listen runs a listener in an actor until the test ends and returns its address.
func listen(t *testing.T, l Listener) string {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	system := actors.NewSystem(logrus.NewEntry(log))
	t.Cleanup(system.Shutdown)
	socket, err := Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Name, l.Address, l.Socket, l.MaxConnections = "test", socket.Addr().String(), socket, 64
	pid, err := system.Spawn(system.Root(), Spec(system, l))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := system.Stop(pid); err != nil {
			t.Error(err)
		}
	})
	return l.Address
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A client that sends nothing reads nothing: an answer to no question would be
// taken for that to the next one. Half a head is answered: somebody waits.
func TestSilenceIsClosedSilently(t *testing.T) {
	f := newFiles(t)
	p := newPair(t, 1, time.Now().Add(time.Hour))
	f.put(t, p)
	certificate, err := LoadCertificate(f.certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	echo := func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("here") }
	for _, c := range []struct {
		name, send, want string
		tls              bool
	}{
		{name: "nothing"},
		{name: "nothing in TLS", tls: true},
		{name: "half a head", send: "GET / HT", want: "HTTP/1.1 408"},
		{name: "half a head in TLS", send: "GET / HT", want: "HTTP/1.1 408", tls: true},
		{name: "no HTTP", send: "what is this\r\n\r\n", want: "HTTP/1.1 400"},
		{name: "a request, then nothing", send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", want: "HTTP/1.1 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := Listener{Handler: echo, HeadTime: 200 * time.Millisecond, IdleTime: 200 * time.Millisecond}
			if c.tls {
				l.Certificate = certificate
			}
			conn := dial(t, listen(t, l))
			if c.tls {
				secure := tls.Client(conn, clientOf(t, p))
				if err := secure.Handshake(); err != nil {
					t.Fatal(err)
				}
				conn = secure
			}
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			said, err := io.ReadAll(conn)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			if !strings.HasPrefix(string(said), c.want) || c.want == "" && len(said) > 0 {
				t.Errorf("it said %q, want %q", said, c.want)
			}
			if strings.Count(string(said), "HTTP/1.1") > 1 {
				t.Errorf("it said more than one answer: %q", said)
			}
		})
	}
}

// Plain HTTP on a port that speaks HTTPS is told so, in plain HTTP.
func TestPlainOnTLS(t *testing.T) {
	f := newFiles(t)
	p := newPair(t, 1, time.Now().Add(time.Hour))
	f.put(t, p)
	certificate, err := LoadCertificate(f.certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	address := listen(t, Listener{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("secret") }, Certificate: certificate})
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"} {
		conn := dial(t, address)
		if _, err := io.WriteString(conn, method+" /b/k HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "GET"})
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || answer.StatusCode != 400 || !strings.Contains(string(body), "https://") {
			t.Errorf("%s: %d %q, %v", method, answer.StatusCode, body, err)
		}
	}
	conn := dial(t, address) // what is neither gets an alert, not words
	if _, err := io.WriteString(conn, "garbage that is no record"); err != nil {
		t.Fatal(err)
	}
	if said, _ := io.ReadAll(conn); strings.Contains(string(said), "HTTP") {
		t.Errorf("garbage was answered %q", said)
	}
	old := clientOf(t, p)
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	if err := tls.Client(dial(t, address), old).Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	two := clientOf(t, p)
	two.MaxVersion = tls.VersionTLS12
	if err := tls.Client(dial(t, address), two).Handshake(); err != nil { // negative control
		t.Errorf("TLS 1.2: %v", err)
	}
}

// A head that is named early is judged before its body, of which nothing needs to
// have been sent; others are not.
func TestEarlyHeadsAreJudged(t *testing.T) {
	address := listen(t, Listener{
		Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.Request.Body()) },
		Early:   func(h *fasthttp.RequestHeader) bool { return len(h.Peek("X-Early")) > 0 },
		Expect: func(ctx *fasthttp.RequestCtx) int {
			if string(ctx.Path()) == "/go" {
				return fasthttp.StatusContinue
			}
			ctx.Response.Header.Set("Location", "/elsewhere")
			return fasthttp.StatusTemporaryRedirect
		},
	})
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "PUT /stop HTTP/1.1\r\nHost: x\r\nX-Early: 1\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 307 || answer.Header.Get("Location") != "/elsewhere" {
		t.Errorf("%+v, %v", answer, err)
	}
	for _, head := range []string{"PUT /go HTTP/1.1\r\nHost: x\r\nX-Early: 1\r\n", "PUT /stop HTTP/1.1\r\nHost: x\r\n"} {
		conn := dial(t, address)
		if _, err := io.WriteString(conn, head+"Content-Length: 4\r\n\r\nbody"); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, nil)
		if err == nil && answer.StatusCode == 100 {
			answer, err = http.ReadResponse(reader, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "body" {
			t.Errorf("%q: %d %q, %v", head, answer.StatusCode, body, err)
		}
	}
}

// A bind that fails says why: in use and by whom, not allowed, no such address.
func TestBindSaysWhy(t *testing.T) {
	socket, err := Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, err = Bind(socket.Addr().String())
	if errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), ", by process ") {
		t.Errorf("in use: %v", err)
	}
	if who := ownerOf(procRoot, socket.Addr().String()); !strings.Contains(who, " "+strconv.Itoa(os.Getpid())+" ") {
		t.Errorf("%q is not this process, %d", who, os.Getpid())
	}
	for _, address := range []string{"192.0.2.1:0", "no-such-host.invalid:0", "127.0.0.1:no-such-service"} {
		if _, err := Bind(address); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", address, err)
		}
	}
	if who := ownerOf(t.TempDir(), socket.Addr().String()); who != "" {
		t.Errorf("without /proc: %q", who)
	}
	six, err := Bind("[::1]:0")
	if err != nil {
		t.Logf("this machine has no IPv6: %v", err)
		return
	}
	defer six.Close()
	if _, err = Bind(six.Addr().String()); errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), ", by process ") {
		t.Errorf("in use: %v", err)
	}
}

// Whom a request is from is the connection's word, or that of proxies that are
// trusted, never that of a client.
func TestProxiesAreBelievedIfTrusted(t *testing.T) {
	for _, c := range []struct {
		trusted []string
		headers string
		want    string
	}{
		{nil, "X-Forwarded-For: 198.51.100.7\r\n", "127.0.0.1"},
		{[]string{"10.0.0.0/8"}, "X-Forwarded-For: 198.51.100.7\r\n", "127.0.0.1"},
		{[]string{"127.0.0.1"}, "", "127.0.0.1"},
		{[]string{"127.0.0.1"}, "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: 198.51.100.7:4711\r\n", "198.51.100.7"},
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: [2001:db8::7]:99\r\n", "2001:db8::7"},
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n", "198.51.100.7"}, // the first was made up
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
		{[]string{"127.0.0.0/8", "10.0.0.0/8"}, "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.1.2.3\r\n", "198.51.100.7"},
		{[]string{"127.0.0.0/8", "10.0.0.0/8"}, "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n", "10.9.9.9"},
		{[]string{"127.0.0.0/8"}, "X-Forwarded-For: unknown\r\n", "127.0.0.1"},
		{[]string{"::1", "127.0.0.0/8"}, "X-Forwarded-For: ,,\r\n", "127.0.0.1"},
	} {
		proxies, err := ParseProxies(c.trusted)
		if err != nil {
			t.Fatal(err)
		}
		address := listen(t, Listener{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(ctx.RemoteIP().String()) }, Proxies: proxies})
		conn := dial(t, address)
		reader := bufio.NewReader(conn)
		ask := func(headers string) string {
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		if got := ask(c.headers); got != c.want {
			t.Errorf("trusting %v, %q: %s, want %s", c.trusted, c.headers, got, c.want)
		}
		if got := ask(""); got != "127.0.0.1" { // on the same connection
			t.Errorf("the request after is said to be from %s", got)
		}
	}
	for _, bad := range []string{"", "proxy", "10.0.0.0/33", "10.0.0"} {
		if _, err := ParseProxies([]string{bad}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
