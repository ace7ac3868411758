package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// dialTimeout bounds the making of one connection.
const dialTimeout = 10 * time.Second

// Connection asks one server, over as many sockets as there are requests at a
// time. Safe for concurrent use.
type Connection struct {
	config   Config
	endpoint *url.URL
	signer   *sigv4.Signer // nil: unsigned
	http     *http.Client
	heard    atomic.Bool // the server has answered something
}

// Request is one request. Bodies are made anew for every attempt.
type Request struct {
	Op   errs.Op // what it is for, in errors
	What string  // the thing it is about, in errors

	Method string
	Path   string // under the endpoint's prefix, with a leading slash, escaped as sent (sigv4.AppendPath)
	Query  string // escaped as sent, without "?"
	Header []objects.Pair

	// Body returns the body from its beginning, Length bytes; nil: none. The
	// connection closes it.
	Body   func() (io.ReadCloser, error)
	Length int64
	// Payload says how the body is bound to the signature, SHA256 with what.
	Payload sigv4.PayloadMode
	SHA256  [32]byte

	// Once is set for a request that must not be repeated.
	Once bool
	// OnlyRefused is set for a request that is repeated only if the server said
	// that it did nothing (503, 429), not if its answer was lost.
	OnlyRefused bool
}

// New makes a Connection; it opens no socket. Close lets idle sockets go.
func New(config Config) (*Connection, error) {
	config = config.withDefaults()
	endpoint, err := ParseEndpoint(config.Endpoint)
	if err != nil {
		return nil, errs.E("client.New", errs.Invalid, err)
	}
	c := &Connection{config: config, endpoint: endpoint}
	if config.Credentials.AccessKey != "" {
		c.signer = sigv4.NewSigner(config.Credentials, config.Region)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				socket, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &watchedSocket{socket, config.Stall}, nil
			},
			TLSClientConfig:       config.TLS,
			TLSHandshakeTimeout:   dialTimeout,
			MaxIdleConns:          config.Connections,
			MaxIdleConnsPerHost:   config.Connections,
			IdleConnTimeout:       30 * time.Second,
			DisableCompression:    true, // an object is what it is
			ExpectContinueTimeout: time.Second,
			ResponseHeaderTimeout: config.Answer,
			WriteBufferSize:       128 << 10,
			ReadBufferSize:        64 << 10,
		},
		// A redirect's target would need a signature of its own.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes the sockets that are kept.
func (c *Connection) Close() { c.http.CloseIdleConnections() }

// Endpoint returns the server's URL.
func (c *Connection) Endpoint() string { return c.endpoint.String() }

// Send sends a request, again while its failure may pass, and returns an answer
// of 2xx; the caller closes its body. Any other answer is an error with a *Failure; no
// answer is errs.Offline, or errs.Invalid of a WrongServer; a context that ended is errs.Canceled.
func (c *Connection) Send(ctx context.Context, r *Request) (*http.Response, error) {
	var repeat repetition
	for {
		response, err := c.attempt(ctx, r)
		if err == nil {
			c.heard.Store(true)
			if response.StatusCode >= 200 && response.StatusCode < 300 {
				return response, nil
			}
			failure := ReadFailure(response)
			err = errs.E(r.Op, r.What, failure.Kind(), failure)
		} else if ctx.Err() != nil {
			return nil, errs.E(r.Op, r.What, errs.Canceled, context.Cause(ctx))
		} else {
			err = errs.E(r.Op, r.What, kindOf(err), c.explain(err))
		}
		pause, again := repeat.next(c, r, err)
		if !again {
			return nil, err
		}
		if c.config.Repeated != nil {
			c.config.Repeated(err, pause)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errs.E(r.Op, r.What, errs.Canceled, context.Cause(ctx))
		}
	}
}

// errBody marks failures of the caller's own body, which no repetition mends.
type errBody struct{ err error }

func (e *errBody) Error() string { return e.err.Error() }
func (e *errBody) Unwrap() error { return e.err }

// kindOf tells a body that could not be read, and a server that is not what the
// endpoint says, from a server that could not be asked.
func kindOf(err error) errs.Kind {
	if WrongServer(err) {
		return errs.Invalid
	}
	var own *errBody
	if errors.As(err, &own) {
		return errs.IO
	}
	var refused *sigv4.Error
	if errors.As(err, &refused) {
		return errs.Invalid
	}
	return errs.Offline
}

// explain takes net/http's wrapping off, which repeats method and URL.
func (c *Connection) explain(err error) error {
	var own *errBody
	if errors.As(err, &own) {
		return own.err
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return fmt.Errorf("%s: %w", c.endpoint, wrapped.Err)
	}
	return err
}

// attempt sends a request once and returns whatever is answered.
func (c *Connection) attempt(ctx context.Context, r *Request) (*http.Response, error) {
	path := string(sigv4.AppendPath(nil, c.endpoint.Path)) + r.Path
	headers := r.Header
	if c.signer != nil {
		signature, err := c.signer.Sign(&sigv4.Outgoing{
			Method: r.Method, Path: path, Query: r.Query, Host: c.endpoint.Host, Headers: r.Header,
			Payload: r.Payload, PayloadSHA256: r.SHA256,
		}, time.Now())
		if err != nil {
			return nil, err
		}
		headers = append(signature.Headers, r.Header...)
	}
	var body io.Reader
	if r.Body != nil && r.Length > 0 {
		opened, err := r.Body()
		if err != nil {
			return nil, &errBody{err}
		}
		body = &sentBody{ReadCloser: opened}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, r.Method, c.endpoint.Scheme+"://"+c.endpoint.Host, body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	// Opaque is sent as it is: net/http cleans no path.
	request.URL = &url.URL{Scheme: c.endpoint.Scheme, Host: c.endpoint.Host, Opaque: path, RawQuery: r.Query}
	if body != nil {
		request.ContentLength = r.Length
	}
	request.GetBody = nil // repeating is ours
	if c.config.UserAgent != "" {
		request.Header.Set("User-Agent", c.config.UserAgent)
	}
	for _, h := range headers {
		request.Header.Add(h.Name, h.Value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	response.Body = newWatchedBody(response.Body, c.config.Stall, cancel)
	return response, nil
}

// sentBody marks what fails in the caller's own reader.
type sentBody struct{ io.ReadCloser }

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself
		err = &errBody{err}
	}
	return n, err
}
