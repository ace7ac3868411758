package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxDocumentBytes bounds a JSON answer: more than a list of every job and actor of a node.
const maxDocumentBytes = 64 << 20

// Control asks the native API in JSON; requests are signed with version 4, their
// body included. Safe for concurrent use.
type Control struct{ *Connection }

// Get reads a document into out (a pointer), for example
//
//	control.Get(ctx, "/v1/actors", url.Values{"under": {"mountpaths"}}, &actors)
func (c Control) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.Do(ctx, http.MethodGet, path, query, nil, out)
}

// Post sends a document and reads the answer into out; in and out may be nil.
func (c Control) Post(ctx context.Context, path string, query url.Values, in, out any) error {
	return c.Do(ctx, http.MethodPost, path, query, in, out)
}

// Do sends any request: path begins with a slash and is not escaped yet; in is sent as
// JSON unless it is nil; out takes the answer's JSON unless it is nil. A request that
// changes something (any but GET and HEAD) is repeated only when the server said that it
// did nothing (503, 429).
func (c Control) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	r := &Request{Op: errs.Op(strings.ToLower(method)), What: path, Payload: sigv4.Signed, SHA256: sigv4.EmptySHA256()}
	r.Method, r.Path, r.Query = method, string(sigv4.AppendPath(nil, path)), encodeQuery(query)
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return errs.E(r.Op, path, errs.Internal, err)
		}
		r.SHA256, r.Length = sha256.Sum256(body), int64(len(body))
		r.Header = []objects.Pair{{Name: "Content-Type", Value: "application/json"}}
		r.Body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	r.OnlyRefused = method != http.MethodGet && method != http.MethodHead
	response, err := c.Send(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBytes+1))
	switch {
	case err != nil:
		return errs.E(r.Op, path, errs.Offline, err)
	case len(body) > maxDocumentBytes:
		return errs.E(r.Op, path, errs.Internal, fmt.Errorf("the answer is longer than %d bytes", maxDocumentBytes))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return errs.E(r.Op, path, errs.Internal, fmt.Errorf("the answer is not the JSON that was expected: %w", err))
	}
	return nil
}

// Head sends a HEAD and returns the fields of the answer, where the native API tells of
// buckets and objects.
func (c Control) Head(ctx context.Context, path string) (http.Header, error) {
	response, err := c.Send(ctx, &Request{
		Op: "head", What: path, Method: http.MethodHead, Path: string(sigv4.AppendPath(nil, path)), Payload: sigv4.Signed, SHA256: sigv4.EmptySHA256(),
	})
	if err != nil {
		return nil, err
	}
	return response.Header, response.Body.Close()
}

// Stream sends a GET and returns its body as it comes, for answers that go on
// (events, lines of JSON); the caller closes it.
func (c Control) Stream(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	response, err := c.Send(ctx, &Request{
		Op: "get", What: path, Method: http.MethodGet, Path: string(sigv4.AppendPath(nil, path)), Query: encodeQuery(query),
		Payload: sigv4.Signed, SHA256: sigv4.EmptySHA256(),
	})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// encodeQuery writes a query as it is signed and sent: "+" would be a space to some.
func encodeQuery(query url.Values) string {
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}
