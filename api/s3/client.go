package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxDocumentBytes bounds an XML answer: a page of 1,000 entries with keys of
// 1,024 bytes, each byte escaped, stays far below.
const maxDocumentBytes = 32 << 20

// Client speaks S3. Safe for concurrent use.
type Client struct{ *client.Connection }

// request begins a request about a bucket or, with a key, an object. The name
// in errors is the one that commands take: troupe://BUCKET/KEY.
func request(op errs.Op, method, bucket, key string) *client.Request {
	r := &client.Request{Op: op, Method: method, Path: "/", What: Address(bucket, key), Payload: sigv4.Unsigned}
	if bucket != "" {
		r.Path = string(sigv4.AppendPath([]byte("/"), bucket))
	}
	if key != "" {
		r.Path = string(sigv4.AppendPath([]byte(r.Path+"/"), key))
	}
	return r
}

// Address names a bucket or an object as commands do.
func Address(bucket, key string) string {
	if bucket == "" {
		return "troupe://"
	}
	if key == "" {
		return "troupe://" + bucket
	}
	return "troupe://" + bucket + "/" + key
}

// query makes a query of names and values that take turns; a pair with an empty
// value is left out unless its name ends with "=".
func query(pairs ...string) string {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i], pairs[i+1]
		bare, always := strings.CutSuffix(name, "=")
		if value == "" && !always {
			continue
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(sigv4.AppendQuery(b, bare), '=')
		b = sigv4.AppendQuery(b, value)
	}
	return string(b)
}

// document makes a body of bytes that are at hand.
func document(r *client.Request, body []byte) {
	r.Length = int64(len(body))
	r.Body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
}

// header adds headers that are not empty, names and values in turns.
func header(r *client.Request, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			r.Header = append(r.Header, objects.Pair{Name: pairs[i], Value: pairs[i+1]})
		}
	}
}

// do sends a request whose answer's body does not matter.
func (c Client) do(ctx context.Context, r *client.Request) (http.Header, error) {
	response, err := c.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxDocumentBytes)); err != nil {
		return nil, errs.E(r.Op, r.What, errs.Offline, err)
	}
	return response.Header, nil
}

// read sends a request and reads its XML answer into out. S3 may say behind a
// status of 200 that it failed after all; such a failure is returned.
func (c Client) read(ctx context.Context, r *client.Request, out any) (http.Header, error) {
	response, err := c.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBytes))
	if err != nil {
		return nil, errs.E(r.Op, r.What, errs.Offline, err)
	}
	if failure := client.ParseErrorDocument(body); failure != nil {
		return nil, errs.E(r.Op, r.What, failure.Kind(), failure)
	}
	if err := xml.Unmarshal(body, out); err != nil {
		return nil, errs.E(r.Op, r.What, errs.Internal, fmt.Errorf("the answer is not S3's XML: %w", err))
	}
	return response.Header, nil
}

// Bucket is an entry of a list of buckets.
type Bucket struct {
	Name    string    `json:"bucket"`
	Created time.Time `json:"created"`
}

// Buckets lists the buckets.
func (c Client) Buckets(ctx context.Context) ([]Bucket, error) {
	var all []Bucket
	for token := ""; ; {
		r := request("list", "GET", "", "")
		r.Query = query("continuation-token", token)
		var page struct {
			Buckets struct {
				Bucket []struct {
					Name         string
					CreationDate time.Time
				}
			}
			ContinuationToken string
		}
		if _, err := c.read(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, b := range page.Buckets.Bucket {
			all = append(all, Bucket{b.Name, b.CreationDate})
		}
		if page.ContinuationToken == "" || page.ContinuationToken == token {
			return all, nil
		}
		token = page.ContinuationToken
	}
}

// BucketOptions are properties that a bucket is made with and S3 has no words for. The
// zero value of a field leaves it to the server.
type BucketOptions struct {
	Copies    int    // nodes that keep each object, 1 to 16
	MinCopies int    // of them must have a write before it is acknowledged
	Reads     string // "confirmed", or "relaxed": may be old
}

func (o BucketOptions) header() (header []objects.Pair) {
	for _, h := range []struct {
		name  string
		value int
	}{{"X-Troupe-Copies", o.Copies}, {"X-Troupe-Min-Copies", o.MinCopies}} {
		if h.value != 0 {
			header = append(header, objects.Pair{Name: h.name, Value: strconv.Itoa(h.value)})
		}
	}
	if o.Reads != "" {
		header = append(header, objects.Pair{Name: "X-Troupe-Reads", Value: o.Reads})
	}
	return header
}

// CreateBucket makes a bucket; errs.Exists if there is one.
func (c Client) CreateBucket(ctx context.Context, bucket string) error {
	return c.CreateBucketWith(ctx, bucket, BucketOptions{})
}

// CreateBucketWith makes a bucket with properties; errs.Exists if there is one.
func (c Client) CreateBucketWith(ctx context.Context, bucket string, o BucketOptions) error {
	r := request("make bucket", "PUT", bucket, "")
	r.Header = append(r.Header, o.header()...)
	_, err := c.do(ctx, r)
	return err
}

// DeleteBucket removes a bucket, which must be empty.
func (c Client) DeleteBucket(ctx context.Context, bucket string) error {
	_, err := c.do(ctx, request("remove bucket", "DELETE", bucket, ""))
	return err
}

// HeadBucket tells whether a bucket can be used.
func (c Client) HeadBucket(ctx context.Context, bucket string) (http.Header, error) {
	return c.do(ctx, request("stat", "HEAD", bucket, ""))
}

// Presign returns a URL with which anybody may send the request, until it
// expires: 1 s to 7 days. It asks no server.
func (c Client) Presign(signer *sigv4.Signer, method, bucket, key string, now time.Time, expires time.Duration) (string, error) {
	r := request("presign", method, bucket, key)
	endpoint, err := client.ParseEndpoint(c.Endpoint())
	if err != nil {
		return "", errs.E(r.Op, errs.Invalid, err)
	}
	path := string(sigv4.AppendPath(nil, endpoint.Path)) + r.Path
	q, err := signer.Presign(&sigv4.Outgoing{Method: method, Path: path, Host: endpoint.Host, Payload: sigv4.Unsigned}, now, expires)
	if err != nil {
		return "", errs.E(r.Op, r.What, errs.Invalid, err)
	}
	return endpoint.Scheme + "://" + endpoint.Host + path + "?" + q, nil
}

func itoa[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

func unquote(etag string) string { return strings.Trim(etag, `"`) }
