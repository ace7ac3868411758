package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
)

// connection makes a Connection to a handler.
func connection(t *testing.T, handler http.HandlerFunc, change func(*Config)) *Connection {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config := Config{Endpoint: server.URL, Credentials: sigv4.Credentials{AccessKey: "a", SecretKey: "s"}, Patience: 10 * time.Second}
	if change != nil {
		change(&config)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What may pass is repeated with its whole body, what may not is not.
func TestRepetition(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 100_000)
	for _, c := range []struct {
		name        string
		status      int
		text        string
		once        bool
		onlyRefused bool
		want        int32 // requests
		kind        errs.Kind
	}{
		{"busy", 503, "", false, false, 3, 0},
		{"too many", 429, "", false, true, 3, 0},
		{"internal", 500, "", false, false, 3, 0},
		{"internal, changed something", 500, "", false, true, 1, errs.Internal},
		{"timeout", 400, "<Error><Code>RequestTimeout</Code></Error>", false, false, 3, 0},
		{"busy, once", 503, "", true, false, 1, errs.Busy},
		{"invalid", 400, "<Error><Code>InvalidArgument</Code><Message>no</Message></Error>", false, false, 1, errs.Invalid},
		{"absent", 404, `{"message":"no such job","status":404}`, false, false, 1, errs.NotFound},
		{"denied", 403, "", false, false, 1, errs.Denied},
		{"precondition", 412, "", false, false, 1, errs.Conflict},
		{"full", 507, "", false, false, 1, errs.NoSpace},
		{"redirect", 307, "", false, false, 1, errs.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests atomic.Int32
			connection := connection(t, func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("a body of %d bytes, %v", len(got), err)
				}
				if requests.Add(1) < 3 {
					w.WriteHeader(c.status)
					io.WriteString(w, c.text) //nolint:errcheck // the client tells
				}
			}, nil)
			response, err := connection.Send(t.Context(), &Request{
				Op: "test", What: "thing", Method: "PUT", Path: "/b/k", Payload: sigv4.Unsigned, Once: c.once, OnlyRefused: c.onlyRefused,
				Length: int64(len(body)), Body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
			})
			if err == nil {
				response.Body.Close() //nolint:errcheck // nothing in it
			}
			if requests.Load() != c.want || (err == nil) != (c.want == 3) || err != nil && errs.KindOf(err) != c.kind {
				t.Errorf("%d requests, want %d; %v", requests.Load(), c.want, err)
			}
		})
	}
}

// Retry-After is waited for, and no request is repeated beyond its patience.
func TestRetryAfter(t *testing.T) {
	var paused atomic.Int64
	var requests atomic.Int32
	c := connection(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(503)
	}, func(c *Config) {
		c.Patience = time.Second
		c.Repeated = func(_ error, pause time.Duration) { paused.Store(int64(pause)) }
	})
	_, err := c.Send(t.Context(), &Request{Op: "test", Method: "GET", Path: "/"})
	if !errs.Is(errs.Busy, err) || requests.Load() != 1 || paused.Load() != 0 || AsFailure(err).RetryAfter != 2*time.Second {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

// A server that was never heard is given up soon, one that a context ends at once.
func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Endpoint: address, Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), &Request{Op: "test", Method: "GET", Path: "/"}); !errs.Is(errs.Offline, err) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Send(ctx, &Request{Op: "test", Method: "GET", Path: "/"}); !errs.Is(errs.Canceled, err) {
		t.Error(err)
	}
}

// A body that cannot be read fails at once, and with its own words.
func TestOwnBody(t *testing.T) {
	own := errors.New("the disk is gone")
	c := connection(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, nil) //nolint:errcheck // it is cut
	_, err := c.Send(t.Context(), &Request{Op: "test", Method: "PUT", Path: "/", Length: 10, Body: func() (io.ReadCloser, error) { return nil, own }})
	if !errors.Is(err, own) || !errs.Is(errs.IO, err) {
		t.Error(err)
	}
}

// A server that stops sending is noticed; one that is slow is not cut.
func TestStall(t *testing.T) {
	release := make(chan struct{})
	c := connection(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "12345") //nolint:errcheck // the client tells
		w.(http.Flusher).Flush()
		<-release
	}, func(c *Config) { c.Stall = 50 * time.Millisecond })
	defer close(release)
	response, err := c.Send(t.Context(), &Request{Op: "test", Method: "GET", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); err == nil || string(got) != "12345" {
		t.Errorf("%q, %v", got, err)
	}
}

// Control sends and reads JSON, and signs what it sends.
func TestControl(t *testing.T) {
	type message struct{ Name string }
	c := connection(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/actors/a b" || r.URL.RawQuery != "what=x%20y" || r.Header.Get("Authorization") == "" ||
			r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" || string(body) != `{"Name":"in"}` {
			t.Errorf("%s %s %q %v", r.URL, r.Header, body, err)
		}
		io.WriteString(w, `{"Name":"out"}`) //nolint:errcheck // the client tells
	}, nil)
	var out message
	if err := (Control{c}).Post(t.Context(), "/v1/actors/a b", map[string][]string{"what": {"x y"}}, message{"in"}, &out); err != nil || out.Name != "out" {
		t.Errorf("%+v %v", out, err)
	}
}

// An endpoint is what can be asked, and nothing else.
func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:9000": "http://127.0.0.1:9000", "https://host": "https://host", "http://host:8080/s3/": "http://host:8080/s3", "localhost": "http://localhost",
		"[::1]:9000": "http://[::1]:9000",
		"ftp://host": "", "http://": "", "http://me:secret@host": "", "http://host?x": "", "http://host:port": "",
	} {
		u, err := ParseEndpoint(text)
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%q: %v %v", text, u, err)
		}
	}
}
