package auth

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// slowClient gives so many bytes after so long, as a connection with deadlines
// does; the time is the test's own.
type slowClient struct {
	bytes    int
	every    time.Duration
	left     int
	deadline time.Time
}

func (c *slowClient) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func (c *slowClient) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if wait := time.Until(c.deadline); wait < c.every {
		time.Sleep(wait)
		return 0, timeoutError{}
	}
	time.Sleep(c.every)
	n := min(c.bytes, c.left, len(p))
	c.left -= n
	return n, nil
}

// A client that keeps the minimum rate is served however long it takes; one that
// does not is let go, however regularly it sends; time that the node itself takes
// between reads is not held against the client.
func TestStallPolicy(t *testing.T) {
	const size = 1 << 20
	for name, c := range map[string]struct {
		bytes   int
		every   time.Duration
		node    time.Duration // between reads
		size    int
		stalled bool
	}{
		"fast":                  {64 << 10, time.Millisecond, 0, size, false},
		"just fast enough":      {8 << 10, time.Second, 0, size, false},
		"too slow":              {4 << 10, time.Second, 0, size, true},
		"one byte a second":     {1, time.Second, 0, size, true},
		"silent":                {1, time.Hour, 0, size, true},
		"busy node":             {8 << 10, time.Second, time.Minute, size, false},
		"slow but short":        {1, time.Second, 0, 9, false},
		"slow, short, too long": {1, time.Second, 0, 11, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &slowClient{bytes: c.bytes, every: c.every, left: c.size}
				w := &wire{conn: client, from: client, declared: int64(c.size), policy: BodyOptions{}.withDefaults().Stall}
				p := make([]byte, 128<<10)
				total := 0
				for {
					n, err := w.Read(p)
					total += n
					time.Sleep(c.node)
					if err == nil {
						continue
					}
					if c.stalled && (codeOf(err) != sigv4.RequestTimeout || !errs.Is(errs.Canceled, err)) || !c.stalled && (!errors.Is(err, io.EOF) || total != c.size) {
						t.Errorf("%d bytes, %v", total, err)
					}
					if _, again := w.Read(p); again != err { //nolint:errorlint // the very same
						t.Errorf("then %v", again)
					}
					return
				}
			})
		})
	}
}

// Fewer bytes than declared are an error, and so is a connection that broke.
func TestWireEnds(t *testing.T) {
	boom := errors.New("connection reset")
	for _, c := range []struct {
		err      error
		declared int64
		want     error
		kind     errs.Kind
	}{
		{io.EOF, 5, io.EOF, errs.Internal},
		{io.EOF, -1, io.EOF, errs.Internal},
		{io.EOF, 6, objects.ErrIncompleteBody, errs.Invalid},
		{io.ErrUnexpectedEOF, -1, objects.ErrIncompleteBody, errs.Invalid},
		{boom, 6, boom, errs.Canceled},
	} {
		client := &ending{text: "hello", err: c.err}
		_, err := io.ReadAll(&wire{conn: client, from: client, declared: c.declared, policy: BodyOptions{}.withDefaults().Stall})
		if c.want == io.EOF {
			if err != nil {
				t.Errorf("%v of %d: %v", c.err, c.declared, err)
			}
		} else if !errors.Is(err, c.want) || errs.KindOf(err) != c.kind {
			t.Errorf("%v of %d: %v", c.err, c.declared, err)
		}
	}
}

// ending gives its text and the error at once.
type ending struct {
	text string
	err  error
}

func (e *ending) SetReadDeadline(time.Time) error { return nil }

func (e *ending) Read(p []byte) (int, error) {
	n := copy(p, e.text)
	e.text = e.text[n:]
	if e.text == "" {
		return n, e.err
	}
	return n, nil
}

// A body in chunks whose client goes away between two chunks, so that its last
// chunk never comes, is no whole body, though fasthttp says io.EOF.
func TestCutBetweenChunks(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"whole":                {"5\r\nhello\r\n0\r\n\r\n", nil},
		"cut between chunks":   {"5\r\nhello\r\n", objects.ErrIncompleteBody},
		"cut before any chunk": {"", objects.ErrIncompleteBody},
		"cut in a chunk":       {"5\r\nhell", objects.ErrIncompleteBody},
		"cut in a size":        {"5\r\nhello\r\n5", errCut},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0") // deadlines of a pipe in memory are not those of a socket
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			server := &fasthttp.Server{StreamRequestBody: true, Logger: silent{}, Handler: func(ctx *fasthttp.RequestCtx) {
				w := &wire{conn: ctx, from: ctx.RequestBodyStream(), declared: -1, policy: BodyOptions{}.withDefaults().Stall}
				_, err := io.ReadAll(w)
				ended <- err
			}}
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+c.body); err != nil {
				t.Fatal(err)
			}
			if c.want != nil { // one that is whole is not cut
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
			}
			got := <-ended
			switch {
			case c.want == errCut && got == nil, c.want != errCut && !errors.Is(got, c.want):
				t.Errorf("%v, want %v", got, c.want)
			}
			_ = conn.Close() // again, where it was closed
			if err := errors.Join(server.Shutdown(), <-served); err != nil {
				t.Error(err)
			}
		})
	}
}

// errCut stands for any error.
var errCut = errors.New("any error")

// silent is a server's log that nobody reads.
type silent struct{}

func (silent) Printf(string, ...any) {}
