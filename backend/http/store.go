package http

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// store is the resources below a URL.
type store struct {
	base   *url.URL // with a slash at its end
	client *http.Client
}

// Open returns the resources below a URL, which is one of http or https with neither
// query nor fragment. Nothing is asked yet. The client is safe for concurrent use and not
// closed; see NewClient.
func Open(base string, client *http.Client) (backend.Store, error) {
	const op errs.Op = "http.Open"
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, errs.E(op, errs.Invalid, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%q is no URL of http or https", u.Redacted()))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%q has a query or a fragment: names are put behind it", u.Redacted()))
	}
	if !strings.HasSuffix(u.Path, "/") {
		u = u.JoinPath("/")
	}
	return &store{u, client}, nil
}

// resource is the URL of an object. Names that servers or proxies take for others are
// refused: those with a segment that is "." or "..", or that begin with a slash.
func (s *store) resource(op errs.Op, name string) (string, error) {
	if name == "" || strings.HasPrefix(name, "/") {
		return "", errs.E(op, strconv.Quote(name), errs.Invalid, errors.New("a name that is a path below a URL is neither empty nor begins with a slash"))
	}
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." {
			return "", errs.E(op, name, errs.Invalid, fmt.Errorf("a path with a segment %q is another one to servers", segment))
		}
		segments[i] = url.PathEscape(segment)
	}
	u := *s.base
	u.User = nil // it goes into a header, and into no error
	return u.String() + strings.Join(segments, "/"), nil
}

// ask sends a request. The response is of a status that is no failure.
func (s *store) ask(ctx context.Context, op errs.Op, method, name string, headers map[string]string) (*http.Response, error) {
	resource, err := s.resource(op, name)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, resource, http.NoBody)
	if err != nil {
		return nil, errs.E(op, name, errs.Invalid, err)
	}
	if user := s.base.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	request.Header.Set("Accept-Encoding", "identity")
	for key, value := range headers {
		request.Header.Set(key, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, errs.E(op, name, kindOf(ctx, err), err)
	}
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	_ = response.Body.Close() // what it says is not for clients of ours
	kind := errs.Invalid
	switch code := response.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		kind = errs.NotFound
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		kind = errs.Denied
	case code == http.StatusPreconditionFailed:
		kind = errs.Conflict
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		kind = errs.Busy
	case code >= http.StatusInternalServerError || code == http.StatusRequestTimeout:
		kind = errs.Offline
	}
	return nil, errs.E(op, name, kind, fmt.Errorf("%s answers %s", s.base.Host, response.Status))
}

// kindOf is the kind of a failure to ask, or to read what comes.
func kindOf(ctx context.Context, err error) errs.Kind {
	var refused *Refused
	switch {
	case ctx.Err() != nil:
		return errs.Canceled
	case errors.As(err, &refused):
		return errs.Denied
	}
	return errs.Offline
}

// Head implements backend.Store.
func (s *store) Head(ctx context.Context, name string) (backend.Object, error) {
	response, err := s.ask(ctx, "http.Head", http.MethodHead, name, nil)
	if err != nil {
		return backend.Object{}, err
	}
	return objectOf(name, response), response.Body.Close()
}

// Open implements backend.Store. A server that does not know ranges is read up to the
// offset.
func (s *store) Open(ctx context.Context, name string, r backend.Read) (backend.Object, io.ReadCloser, error) {
	const op errs.Op = "http.Open"
	if r.Offset < 0 {
		return backend.Object{}, nil, errs.E(op, name, errs.Invalid, fmt.Errorf("offset %d", r.Offset))
	}
	headers := make(map[string]string)
	if r.Version != "" {
		headers["If-Match"] = `"` + r.Version + `"`
	}
	switch end := r.Offset + r.Length - 1; {
	case r.Length > 0 && end >= r.Offset:
		headers["Range"] = fmt.Sprintf("bytes=%d-%d", r.Offset, end)
	case r.Offset > 0:
		headers["Range"] = fmt.Sprintf("bytes=%d-", r.Offset)
	}
	response, err := s.ask(ctx, op, http.MethodGet, name, headers)
	if err != nil {
		return backend.Object{}, nil, err
	}
	object, body, err := s.opened(ctx, op, name, r, response)
	if err != nil {
		_ = response.Body.Close() // the failure is the one to tell
		return backend.Object{}, nil, errs.E(op, name, err)
	}
	return object, body, nil
}

// opened judges what came.
func (s *store) opened(ctx context.Context, op errs.Op, name string, r backend.Read, response *http.Response) (backend.Object, io.ReadCloser, error) {
	object, skip := objectOf(name, response), r.Offset
	if response.StatusCode == http.StatusPartialContent {
		first, size, err := contentRange(response.Header.Get("Content-Range"))
		if err == nil && first != r.Offset {
			err = fmt.Errorf("bytes from %d came, those from %d were asked for", first, r.Offset)
		}
		if err != nil {
			return object, nil, errs.E(op, name, errs.Offline, err)
		}
		object.Size, skip = size, 0
	}
	if r.Version != "" && object.Version != r.Version {
		return object, nil, errs.E(op, name, errs.Conflict, fmt.Errorf("version %q is there, not %q", object.Version, r.Version))
	}
	b := &body{ctx: ctx, name: name, from: response.Body, left: r.Length}
	if object.Size != backend.Unsized {
		length, err := backend.Within(r, object.Size)
		if err != nil {
			return object, nil, err
		}
		b.left, b.sized = length, true
	}
	if n, err := io.CopyN(io.Discard, response.Body, skip); errors.Is(err, io.EOF) {
		return object, nil, errs.E(op, name, errs.Invalid, fmt.Errorf("offset %d of %d bytes", r.Offset, n))
	} else if err != nil {
		return object, nil, errs.E(op, name, kindOf(ctx, err), err)
	}
	return object, b, nil
}

// contentRange parses a Content-Range: RFC 9110, section 14.4.
func contentRange(header string) (first, size int64, err error) {
	bytes, ok := strings.CutPrefix(header, "bytes ")
	span, total, slash := strings.Cut(bytes, "/")
	from, _, dash := strings.Cut(span, "-")
	if first, err = strconv.ParseInt(from, 10, 64); !ok || !slash || !dash || err != nil || first < 0 {
		return 0, 0, fmt.Errorf("the answer has Content-Range %q", header)
	}
	if total == "*" {
		return first, backend.Unsized, nil
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || size <= first {
		return 0, 0, fmt.Errorf("the answer has Content-Range %q", header)
	}
	return first, size, nil
}

// objectOf is what headers tell.
func objectOf(name string, response *http.Response) backend.Object {
	h := response.Header
	o := backend.Object{Name: name, Size: response.ContentLength, Headers: objects.Headers{
		ContentType: h.Get("Content-Type"), ContentEncoding: h.Get("Content-Encoding"), ContentDisposition: h.Get("Content-Disposition"),
		ContentLanguage: h.Get("Content-Language"), CacheControl: h.Get("Cache-Control"), Expires: h.Get("Expires"),
	}}
	if o.Size < 0 {
		o.Size = backend.Unsized
	}
	if tag := h.Get("ETag"); len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' { // a weak one is of other bytes, too
		o.ETag = tag[1 : len(tag)-1]
		o.Version = o.ETag
	}
	if modified, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.Modified = modified
	}
	if sum, err := base64.StdEncoding.DecodeString(h.Get("Content-MD5")); err == nil && len(sum) == 16 && response.StatusCode == http.StatusOK {
		o.MD5 = string(sum)
	}
	return o
}

// List implements backend.Store.
func (s *store) List(context.Context, backend.ListRequest) (backend.Page, error) {
	return backend.Page{}, errs.E("http.List", s.base.Host, errs.Invalid, errors.New("what is below a URL cannot be listed"))
}

// Put implements backend.Store.
func (s *store) Put(_ context.Context, name string, _ backend.Put, _ io.ReaderAt, _ int64) (backend.Object, error) {
	return backend.Object{}, errs.E("http.Put", name, errs.Invalid, errors.New("what is below a URL is only read"))
}

// Delete implements backend.Store.
func (s *store) Delete(_ context.Context, name string) error {
	return errs.E("http.Delete", name, errs.Invalid, errors.New("what is below a URL is only read"))
}

// Info implements backend.Store.
func (s *store) Info(ctx context.Context) (backend.BucketInfo, error) {
	return backend.BucketInfo{Name: s.base.Redacted()}, errs.Wrap("http.Info", ctx.Err())
}

// Limits implements backend.Store.
func (s *store) Limits() backend.Limits { return backend.Limits{} }
