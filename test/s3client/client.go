package s3client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
)

// region is what a node of Troupe expects unless it is told otherwise.
const region = "us-east-1"

// answerBytes bounds the body of an answer that is read into memory: beyond what
// any test stores under a key.
const answerBytes = 1 << 30

// Client signs and sends requests to one address. Safe for concurrent use.
type Client struct {
	Address string // HOST:PORT

	scheme string
	signer *sigv4.Signer
	http   *http.Client
}

// New makes a client. It keeps connections until Close.
func New(address string, keys sigv4.Credentials) *Client {
	return newClient(address, keys, "http", nil)
}

// NewTLS makes a client that speaks HTTPS.
func NewTLS(address string, keys sigv4.Credentials, config *tls.Config) *Client {
	return newClient(address, keys, "https", config)
}

func newClient(address string, keys sigv4.Credentials, scheme string, config *tls.Config) *Client {
	return &Client{
		Address: address,
		scheme:  scheme,
		signer:  sigv4.NewSigner(keys, region),
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     config,
				MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: time.Second,
			},
			// A redirect is an answer like any other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes the connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is a whole answer of the node.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Code   string // of S3's error document; empty if there is none
}

// OK says whether the request did what it should.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// ETag returns the entity tag without its quotes.
func (a *Answer) ETag() string { return trimQuotes(a.Header.Get("ETag")) }

// Err returns nil for an answer that is OK, else what it says.
func (a *Answer) Err() error {
	if a.OK() {
		return nil
	}
	return fmt.Errorf("%d %s: %.500s", a.Status, a.Code, a.Body)
}

// Do sends a request and returns the whole answer, whatever its status.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	response, err := c.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("%s %s: the body of the answer: %w", r.Method, r.target(), err)
	}
	answer := &Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	if answer.Status >= 300 {
		answer.Code = errorCode(body)
	} else if bytes.Contains(body[:min(len(body), 512)], []byte("<Error>")) && response.Header.Get("Content-Type") == "application/xml" {
		answer.Code = errorCode(body) // S3 may say so behind a status of 200
	}
	return answer, nil
}

// Send sends a request and returns the answer's head; the caller closes the body.
func (c *Client) Send(ctx context.Context, r Request) (*http.Response, error) {
	signature, err := c.sign(&r)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if r.Stream != nil {
		body = r.Stream
	} else if len(r.Body) > 0 {
		body = bytes.NewReader(r.Body)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.scheme+"://"+c.Address, body)
	if err != nil {
		return nil, err
	}
	// Opaque is sent as it is: net/http cleans nothing.
	request.URL = &url.URL{Scheme: c.scheme, Host: c.Address, Opaque: r.path(), RawQuery: r.Query}
	request.ContentLength = r.length()
	request.GetBody = nil // nothing is sent twice
	for _, h := range append(signature.Headers, r.Header...) {
		request.Header.Add(h.Name, h.Value)
	}
	return c.http.Do(request)
}

// errorCode returns the code of S3's error document; empty if it is none.
func errorCode(body []byte) string {
	var document struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
	}
	if xml.Unmarshal(body, &document) != nil {
		return ""
	}
	return document.Code
}

// ErrorCode reads the code out of S3's error document; empty if it is none.
func ErrorCode(body []byte) string { return errorCode(body) }

func trimQuotes(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
